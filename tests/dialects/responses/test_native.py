"""A Responses caller before a provider of Responses: each has the other's own words."""

import itertools
import json
import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from proxy.dialects import OUTBOUND, outbound
from proxy.dialects.asking import Target
from proxy.dialects.responses.asked import decode_request
from proxy.dialects.responses.items import OPENAI
from proxy.dialects.responses.native import encode_native
from proxy.dialects.responses.sealing import sealed
from proxy.dialects.responses.stream import Encoder, encode_answer
from proxy.errors import GatewayError
from proxy.providers import Provider, Quirks, known
from proxy.wire.events import Event, Failed, Finished, Verbatim
from proxy.wire.frames import DONE
from tests.accepted.responses import responses_accepts
from tests.order import BILL, HEAD, USAGE, Json, fits
from tests.recordings import Recording, index, load
from tests.truths.responses import XAI

(SAME,) = (row for row in (OUTBOUND["responses"].same,) if row is not None)
PLAIN = Provider(slug="p", name="P", base_url="http://p.test", dialect="responses")
OURS = known()["openai"]


def encoded(model: str = "gpt-9", to: Provider = PLAIN, /, **fields: Any) -> Json:
    request = {"model": "a/b", "input": "hi"} | fields
    ask = decode_request(json.dumps(request).encode())
    body: Json = json.loads(SAME.encode_request(ask, Target(to, model)).body)
    responses_accepts(body)
    return body


def test_the_request_is_its_callers() -> None:
    fields: Json = {
        "instructions": "Be brief.",
        "temperature": 0.5,
        "top_p": 0.9,
        "tools": [{"type": "web_search"}, {"type": "custom", "name": "patch"}],
        "tool_choice": {"type": "custom", "name": "patch"},
        "parallel_tool_calls": False,
        "text": {"format": {"type": "json_object"}, "verbosity": "low"},
        "reasoning": {"effort": "high", "summary": "concise"},
        "include": ["web_search_call.action.sources", "reasoning.encrypted_content"],
        "metadata": {"a": "b"},
        "user": "u",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "top_logprobs": 2,
        "truncation": "auto",
        "service_tier": "flex",
        "max_output_tokens": 100,
        "input": [{"role": "user", "content": "hi"}],
    }
    assert encoded(**fields) == fields | {"model": "gpt-9", "store": False}


def test_what_is_the_gateways_own_stays_here() -> None:
    own = {
        "models": ["c/d"], "route": "fallback", "provider": {"allow_fallbacks": True},
        "plugins": [], "session_id": "s", "store": False, "previous_response_id": None,
        "background": False, "conversation": None, "prompt": None,
    }  # fmt: skip
    lacking = {
        "top_k": 3, "frequency_penalty": 1, "presence_penalty": 1, "seed": 1, "stop": "x",
        "modalities": ["text"], "image_config": {}, "cache_control": {"type": "ephemeral"},
        "client_metadata": {"x-codex-installation-id": "i"},
    }  # fmt: skip
    body = encoded("gpt-4o", **own, **lacking)
    assert body == {"model": "gpt-4o", "input": "hi", "store": False}


def test_what_no_model_of_ours_is_told_wrongly() -> None:
    """A model that thinks refuses temperatures, and efforts that it does not know."""
    more = {"temperature": 0.5, "top_logprobs": 2, "include": ["message.output_text.logprobs"]}
    body = encoded("o3", OURS, reasoning={"effort": "xhigh"}, **more)
    assert body["reasoning"] == {"effort": "high"}
    assert body["include"] == ["reasoning.encrypted_content"]
    assert body.keys().isdisjoint(("temperature", "top_logprobs"))
    assert "reasoning" not in encoded("gpt-4o", OURS, reasoning={"effort": "low"})


@pytest.mark.parametrize(
    ("wish", "sent"),
    [
        ({"max_tokens": 4000, "enabled": True}, {"effort": "medium"}),
        ({"exclude": True}, {}),
        ({"effort": None, "generate_summary": "auto"}, {"generate_summary": "auto"}),
    ],
)
def test_openrouters_wishes_for_reasoning(wish: Json, sent: Json) -> None:
    assert encoded(reasoning=wish).get("reasoning", {}) == sent


@pytest.mark.parametrize("tier", ["priority", "fast", "scale", None])
def test_no_dearer_tier_is_asked_for_than_is_charged(tier: str | None) -> None:
    assert "service_tier" not in encoded(service_tier=tier)


def test_limits_and_streams() -> None:
    body = encoded("gpt-4o", OURS, max_output_tokens=3, stream=True)
    assert body["max_output_tokens"] == 16
    assert (body["stream"], body["stream_options"]) == (True, {"include_obfuscation": False})
    assert "stream_options" not in encoded(stream=True)


def thought(**more: Any) -> Json:
    return {"type": "reasoning", "id": "rs_1", "summary": []} | more


TEXT = [{"type": "reasoning_text", "text": "hm"}]


@pytest.mark.parametrize(
    ("item", "openai", "xai"),
    [
        (thought(encrypted_content="gAAAAB"), True, False),
        (thought(encrypted_content="abc"), True, True),
        (thought(encrypted_content="abc", format=XAI), False, True),
        (thought(encrypted_content="gAAAAB", format=OPENAI), True, False),
        (thought(encrypted_content="ErUB", format="anthropic-claude-v1"), False, False),
        (thought(encrypted_content=sealed([])), False, False),
        (thought(encrypted_content=sealed([]), format=OPENAI), False, False),
        (thought(summary=[{"type": "summary_text", "text": "hm"}]), False, False),
        (thought(content=TEXT), True, True),
        (thought(content=TEXT, id="rs_tmp_1"), False, False),  # made here, of nobody's
        (thought(content=TEXT, id="rs_tmp_1", format=OPENAI), True, False),
        (thought(content=TEXT, format="unknown"), False, False),
    ],
)  # fmt: skip
def test_reasoning_goes_only_where_it_came_from(item: Json, openai: bool, xai: bool) -> None:
    said = {"role": "user", "content": "hi"}
    ask = decode_request(json.dumps({"model": "a/b", "input": [item, said]}).encode())
    for format_, goes in ((OPENAI, openai), (XAI, xai)):
        body = json.loads(encode_native(ask, Target(PLAIN, "m"), format_).body)
        kept = {key: item[key] for key in item if key != "format"}
        assert body["input"] == ([kept, said] if goes else [said])


def test_long_ids_of_calls_are_shortened_everywhere() -> None:
    call = {"type": "function_call", "call_id": "c" * 90, "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c" * 90, "output": "x"}
    one, other = encoded(input=[call, output])["input"]
    assert one["call_id"] == other["call_id"]
    assert len(one["call_id"]) <= 64


def test_who_is_asked_so() -> None:
    ask = decode_request(b'{"model": "a/b", "input": "hi"}')
    assert outbound(OURS, "gpt-4o", ask) == SAME
    assert outbound(PLAIN, "any", ask) == SAME
    anthropic = known()["anthropic"]
    assert outbound(anthropic, "claude", ask) == outbound(anthropic, "claude")


# Recorded answers.


def recorded(kind: str) -> Iterable[Recording]:
    for row in index():
        if row["api"] == "responses" and row["kind"] == kind and row["status"] == 200:
            yield load(row)


def carried(body: bytes, cuts: Iterable[int]) -> tuple[bytes, list[Event]]:
    """The caller's bytes, in the order in which the pipeline has them encoded."""
    ask = decode_request(b'{"model": "a/b", "input": "hi", "stream": true}')
    decoder, encoder = SAME.decoder(Quirks()), Encoder(HEAD, ask)
    events: list[Event] = []
    places = [0, *sorted(cuts), len(body)]
    for start, end in itertools.pairwise(places):
        events += decoder.feed(body[start:end])
    events += decoder.end()
    sent = b"".join(map(encoder.encode, events))
    return sent + encoder.encode_end(BILL), events


def ours(said: Json) -> Json:
    """An event with Weir's additions."""
    if "response" not in said:
        return said
    response = said["response"] | {"id": HEAD.id, "model": HEAD.model}
    if response["status"] != "in_progress":
        counted = response.get("usage") or {}
        costs = {name: USAGE[name] for name in ("cost", "is_byok", "cost_details")}
        response["usage"] = USAGE | counted | costs
    return said | {"response": response}


def frames(body: bytes) -> Iterable[tuple[bytes | None, Json, bytes]]:
    """The line that names an event, its object, and its bytes."""
    for frame in body.replace(b"\r\n", b"\n").split(b"\n\n"):
        lines = frame.split(b"\n")
        name = next((line for line in lines if line.startswith(b"event:")), None)
        for line in lines:
            data = line.removeprefix(b"data:").removeprefix(b" ")
            if line.startswith(b"data:") and data != b"[DONE]":
                yield name, json.loads(data), data


def test_every_recorded_stream_byte_for_byte(capsys: pytest.CaptureFixture[str]) -> None:
    rng, count, events_count = random.Random(5), Counter[str](), 0
    for recording in recorded("sse"):
        body = recording.body
        whole, events = carried(body, ())
        if any(
            isinstance(one, Failed) for e in events if isinstance(e, Verbatim) for one in e.events
        ):
            continue
        expected = []
        for name, said, data in frames(body):
            if "response" in said:
                data = json.dumps(ours(said), ensure_ascii=False, separators=(",", ":")).encode()
            expected.append(([name] if name else []) + [b"data: " + data])
        got = [frame.split(b"\n") for frame in whole.removesuffix(DONE).split(b"\n\n")[:-1]]
        assert whole.endswith(DONE)
        assert len(got) == len(expected), recording.row["name"]
        for theirs, wanted in zip(got, expected, strict=True):
            if b'"response":' in theirs[-1]:
                assert theirs[:-1] == wanted[:-1]
                assert json.loads(theirs[-1][6:]) == json.loads(wanted[-1][6:])
            else:
                assert theirs == wanted, recording.row["name"]
        events_count += len(got)
        cuts = [rng.randrange(len(body)) for _ in range(30)]
        assert carried(body, cuts)[0] == whole
        if len(body) < 40_000:
            assert carried(body, range(len(body)))[0] == whole
        count[recording.row["provider"]] += 1
    with capsys.disabled():
        print(
            f"\n{sum(count.values())} recorded streams, {events_count} events, carried byte for "
            f"byte: {dict(count)}"
        )
    assert count["openai"] >= 25
    assert sum(count.values()) >= 45


def test_every_recorded_answer_is_its_own_but_for_ours(capsys: pytest.CaptureFixture[str]) -> None:
    count = Counter[str]()
    ask = decode_request(b'{"model": "a/b", "input": "hi"}')
    for recording in recorded("json"):
        try:
            events = SAME.decode_answer(recording.body, Quirks())
        except GatewayError:
            continue
        response = json.loads(encode_answer(events, HEAD, ask, BILL).body)
        assert response == ours({"response": json.loads(recording.body)})["response"]
        count[recording.row["provider"]] += 1
    with capsys.disabled():
        print(f"\n{sum(count.values())} recorded answers carried: {dict(count)}")
    assert sum(count.values()) >= 70


def test_an_end_that_was_not_told_is_ours() -> None:
    """A curtailed answer ends by events of our own."""
    recording = next(one for one in recorded("sse") if one.row["provider"] == "openai")
    ask = decode_request(b'{"model": "a/b", "input": "hi", "stream": true}')
    encoder, sent = Encoder(HEAD, ask), b""
    for event in SAME.decoder(Quirks()).feed(recording.body[: len(recording.body) // 2]):
        sent += encoder.encode(event)
    sent += encoder.encode(Finished(0, "length", None)) + encoder.encode_end(BILL)
    last = json.loads(sent.removesuffix(DONE).split(b"\n\n")[-2].split(b"data: ")[1])
    assert last["type"] == "response.incomplete"
    assert last["sequence_number"] == sent.count(b'"sequence_number"') - 1
    fits(last)


@pytest.mark.parametrize("tier", ["priority", "flex", None])
def test_an_endpoint_of_a_service_tier_is_told_of_it(tier: str | None) -> None:
    request = {"model": "a/b", "input": "hi"} | ({"service_tier": tier} if tier else {})
    target = Target(PLAIN, "gpt-9", tier="priority")
    body = json.loads(
        SAME.encode_request(decode_request(json.dumps(request).encode()), target).body
    )
    assert body["service_tier"] == "priority"


def test_what_always_thinks_can_not_be_told_not_to() -> None:
    with pytest.raises(GatewayError, match="reasoning: is mandatory for this model"):
        encoded("gpt-5-mini", OURS, reasoning={"effort": "none"})
    assert encoded("gpt-5.1", OURS, reasoning={"effort": "none"})["reasoning"]["effort"] == "none"
