"""Cohere: a plan before calls, blocks of thinking, all of the usage in the last event."""

from proxy.upstream.fake.manner import Failure
from proxy.upstream.fake.scenario import Answer
from tests.upstream.fake.speaking import MANNERS, Wish, streamed, whole

COHERE = MANNERS["cohere"]
CALLING = Wish(text="weather", tools=("get_weather",))


def test_a_plan_comes_before_calls_and_counts() -> None:
    events = streamed("cohere", CALLING)
    plan = [e["delta"]["message"]["tool_plan"] for e in events if e["@"] == "tool-plan-delta"]
    body = whole("cohere", CALLING)
    assert "".join(plan) == body["message"]["tool_plan"] == "I will use the tools that fit."
    pieces = [event for event in events if event["@"] in ("tool-call-start", "tool-call-delta")]
    assert body["usage"]["tokens"]["output_tokens"] == len(plan) + len(pieces)
    thinking = Wish(text="weather", tools=("get_weather",), model="weir/reason")
    assert "tool_plan" not in whole("cohere", thinking)["message"]


def test_the_order_of_events() -> None:
    names = [event["@"] for event in streamed("cohere", Wish(), Answer(tokens=1))]
    assert names == [
        "message-start", "content-start", "content-delta", "content-end", "message-end"
    ]  # fmt: skip
    blocks = [e["index"] for e in streamed("cohere", Wish(model="reason")) if "index" in e]
    assert (blocks[0], blocks[-1]) == (0, 1)


def test_calls_are_an_object_with_an_index_outside() -> None:
    (start,) = (e for e in streamed("cohere", CALLING) if e["@"] == "tool-call-start")
    assert start["index"] == 0
    call = start["delta"]["message"]["tool_calls"]
    assert call["id"].startswith("get_weather_")
    assert call["function"] == {"name": "get_weather", "arguments": ""}


def test_errors() -> None:
    refused = COHERE.refusal(Failure("unknown-model", model="m"))
    assert (refused.status, list(refused.body)) == (404, ["id", "message"])
    assert refused.body["message"].startswith("model 'm' not found")


def test_a_finish_reason_is_taken_away_at_its_place() -> None:
    assert COHERE.unfinished({"type": "content-end", "index": 0}) == {
        "type": "content-end", "index": 0
    }  # fmt: skip
    assert COHERE.unfinished({"delta": {"finish_reason": "COMPLETE", "usage": {}}}) == {
        "delta": {"usage": {}}
    }
