"""OpenAI's chat: choices that take turns, usage where it is asked for, DeepSeek's reasoning."""

from typing import Any

import pytest

from proxy.upstream.fake.manner import Failure
from proxy.upstream.fake.manners.chat import style_of
from proxy.upstream.fake.scenario import Answer
from tests.upstream.fake.speaking import MANNERS, Wish, reply, streamed, whole

CHAT = MANNERS["chat"]


def kinds(wish: Wish) -> list[str]:
    return [event.kind for event in CHAT.events(reply("chat", wish, Answer(tokens=2)))]


def test_usage_is_sent_where_asked_for() -> None:
    without = Wish(more={"stream_options": {}})
    assert kinds(without) == ["opening", "token", "token", "finish", "done"]
    assert kinds(Wish())[-2:] == ["usage", "done"]
    assert kinds(Wish(model="weir/reason"))[-2:] == ["finish", "done"]
    last = streamed("chat", Wish(model="weir/reason"))[-1]
    assert last["usage"]["completion_tokens_details"] == {"reasoning_tokens": 13}


def test_obfuscation_may_be_switched_off() -> None:
    silent = Wish(more={"stream_options": {"include_obfuscation": False}})
    assert not any("obfuscation" in event for event in streamed("chat", silent))
    assert style_of(reply("chat", Wish())).padding


def test_choices_take_turns() -> None:
    events = streamed("chat", Wish(more={"n": 2}), Answer(tokens=2))
    turns = [event["choices"][0]["index"] for event in events if event["choices"]]
    assert turns == [0, 1] * 4


def test_a_lone_call_is_in_the_opening_and_several_are_not() -> None:
    def first(text: str) -> Any:
        wish = Wish(text=text, tools=("get_weather", "get_time"))
        return streamed("chat", wish)[0]["choices"][0]["delta"].get("tool_calls")

    assert first("weather")[0]["function"]["name"] == "get_weather"
    assert first("weather and time") is None


def test_refusals() -> None:
    def error(kind: str, **more: Any) -> Any:
        return CHAT.refusal(Failure(kind, **more)).body["error"]

    assert error("too-long")["code"] == "context_length_exceeded"
    assert error("rate-limit")["type"] == "requests"
    assert error("invalid", message="no", code="mine") == {
        "message": "no", "type": "invalid_request_error", "param": None, "code": "mine"
    }  # fmt: skip
    assert error("status", status=502)["type"] == "server_error"


def test_what_is_left_without_a_finish_reason() -> None:
    body = whole("chat", Wish())
    unfinished = CHAT.unfinished(body)
    assert unfinished
    assert unfinished["choices"][0]["finish_reason"] is None
    assert CHAT.unfinished({"choices": [{"finish_reason": "stop", "delta": {}}]}) is None
    assert CHAT.unfinished({"choices": []}) == {"choices": []}


@pytest.mark.parametrize(
    ("asked", "served"),
    [("flex", "flex"), ("priority", "priority"), ("auto", "default"), (7, "default")],
)
def test_an_answer_says_at_which_service_tier_it_was_served(asked: Any, served: str) -> None:
    wish = Wish(more={"service_tier": asked})
    assert whole("chat", wish)["service_tier"] == served
    assert {event["service_tier"] for event in streamed("chat", wish)} == {served}
