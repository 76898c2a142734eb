"""Anthropic: the order of its events, its usage with the cache, what Vertex leaves out."""

import pytest

from proxy.upstream.fake.manner import Failure
from proxy.upstream.fake.manners.anthropic import arguments_of
from proxy.upstream.fake.reply import Reply, Token
from proxy.upstream.fake.scenario import Answer
from tests.upstream.fake.speaking import MANNERS, SEAL, Wish, ask, reply, streamed, whole

ANTHROPIC = MANNERS["anthropic"]
TEXT = ["content_block_start", "ping", "content_block_delta", "content_block_delta"]


def test_the_order_of_events() -> None:
    names = [event["@"] for event in streamed("anthropic", Wish(), Answer(tokens=2))]
    assert names == [
        "message_start", *TEXT, "content_block_stop", "message_delta", "message_stop"
    ]  # fmt: skip
    assert [e.name for e in ANTHROPIC.events(reply("anthropic", Wish(), mute=True))] == [
        "message_start", "message_delta", "message_stop"
    ]  # fmt: skip


def test_a_thought_ends_with_its_signature() -> None:
    events = streamed("anthropic", Wish(model="weir/reason"))
    thought = [event for event in events if event.get("index") == 0]
    assert thought[0]["content_block"] == {"type": "thinking", "thinking": "", "signature": ""}
    assert thought[-2]["delta"]["type"] == "signature_delta"
    said = "".join(event.get("delta", {}).get("thinking", "") for event in thought)
    assert SEAL.holds(thought[-2]["delta"]["signature"], said)


def test_a_call_begins_with_an_empty_piece() -> None:
    events = streamed("anthropic", Wish(text="weather", tools=("get_weather",)))
    deltas = [event for event in events if event["@"] == "content_block_delta"]
    pieces = [event["delta"]["partial_json"] for event in deltas]
    assert (pieces[0], "".join(pieces)) == ("", '{"city": "water"}')


def test_objects_have_blanks_behind_them() -> None:
    frames = {ANTHROPIC.frame("x", b"{" + b" " * n + b"}").count(b"} ") for n in range(11)}
    assert frames == {0, 1}
    assert ANTHROPIC.frame("ping", b"{}") == b"event: ping\ndata: {}\n\n"


def test_the_cache_is_no_part_of_the_input() -> None:
    asked = ask("anthropic", Wish(text="one two three four five six"))
    made = Reply(asked, Answer(tokens=1), reply("anthropic", Wish()).rng, 0, cached=(2, 3))
    usage = ANTHROPIC.whole(made)["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (1, 1)
    assert usage["cache_read_input_tokens"] == 2
    assert usage["cache_creation_input_tokens"] == 3
    assert usage["cache_creation"]["ephemeral_5m_input_tokens"] == 3


def test_the_cache_may_last_an_hour() -> None:
    marked = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    asked = ask("anthropic", Wish(more={"system": [marked]}))
    made = Reply(asked, Answer(tokens=1), reply("anthropic", Wish()).rng, 0, cached=(0, 1))
    assert ANTHROPIC.whole(made)["usage"]["cache_creation"] == {
        "ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 1
    }  # fmt: skip


def test_the_stop_sequence_is_named() -> None:
    body = whole("anthropic", Wish(stop=("weir",)))
    assert (body["stop_reason"], body["stop_sequence"]) == ("stop_sequence", "weir")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (403, "permission_error"), (418, "api_error"),
     (500, "api_error"), (529, "overloaded_error")],
)  # fmt: skip
def test_errors_have_a_type_for_their_status(status: int, kind: str) -> None:
    body = ANTHROPIC.refusal(Failure("status", status=status)).body
    assert body["error"]["type"] == kind
    assert list(body) == ["type", "error", "request_id"]


def test_an_unknown_model_is_named() -> None:
    body = ANTHROPIC.refusal(Failure("unknown-model", model="m")).body
    assert body["error"]["message"] == "model: m"


def test_models() -> None:
    listed = ANTHROPIC.models(["a", "b"], 0)
    assert (listed["first_id"], listed["last_id"], listed["has_more"]) == ("a", "b", False)
    assert ANTHROPIC.models([], 0)["first_id"] is None


def test_arguments_that_were_cut_are_empty() -> None:
    assert arguments_of([Token("arguments", '{"a":'), Token("arguments", "1}")]) == {"a": 1}
    assert arguments_of([Token("arguments", '{"a":')]) == {}
