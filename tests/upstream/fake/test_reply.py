"""What is said, in every dialect: texts, calls and structures, whole and in events, with usage."""

import json
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.fake.ask import Ask, Function
from proxy.upstream.fake.reply import Reply, blocks, stopped, words
from proxy.upstream.fake.scenario import Answer, Invocation
from tests.upstream.fake.hearing import Heard, hear_stream, hear_whole
from tests.upstream.fake.speaking import MANNERS, Wish, reply, streamed, whole

TOOLS = ("get_weather", "get_time")
CALLED = {
    "chat": "tool_calls",
    "azure": "tool_calls",
    "anthropic": "tool_use",
    "vertex-anthropic": "tool_use",
    "gemini": "STOP",
    "vertex-gemini": "STOP",
    "cohere": "TOOL_CALL",
    "bedrock": "tool_use",
    "responses": "completed",
}
CUT = {
    "chat": "length",
    "azure": "length",
    "anthropic": "max_tokens",
    "vertex-anthropic": "max_tokens",
    "gemini": "MAX_TOKENS",
    "vertex-gemini": "MAX_TOKENS",
    "cohere": "MAX_TOKENS",
    "bedrock": "max_tokens",
    "responses": "incomplete",
}
STOPPED = {
    "chat": "stop",
    "azure": "stop",
    "anthropic": "stop_sequence",
    "vertex-anthropic": "stop_sequence",
    "gemini": "STOP",
    "vertex-gemini": "STOP",
    "cohere": "STOP_SEQUENCE",
    "bedrock": "stop_sequence",
}
WISHES = [
    Wish(),
    Wish(model="weir/reason"),
    Wish(limit=16),
    Wish(limit=20, model="weir/reason"),
    Wish(text="weather", tools=TOOLS),
    Wish(text="weather and time", tools=TOOLS),
    Wish(text="weather and time", tools=TOOLS, model="weir/reason"),
    Wish(tools=TOOLS, must=True),
    Wish(structured=True),
    Wish(model="weir/echo", text="say it  again"),
]


def heard(dialect: str, wish: Wish, answer: Answer | None = None) -> Heard:
    return hear_whole(dialect, whole(dialect, wish, answer))


@pytest.mark.parametrize("wish", WISHES, ids=repr)
@pytest.mark.parametrize("dialect", MANNERS)
def test_both_forms_say_the_same(dialect: str, wish: Wish) -> None:
    at_once = heard(dialect, wish)
    assert hear_stream(dialect, streamed(dialect, wish)) == at_once
    assert at_once.usage is not None
    assert at_once.finish


@pytest.mark.parametrize("dialect", MANNERS)
def test_the_default_answer_is_one_sentence(dialect: str) -> None:
    said = heard(dialect, Wish())
    assert said.text.startswith("Water meets the weir")
    assert said.text.endswith("open sea.")
    assert said.usage == (2, 32)
    assert len(said.text.split()) == 32
    assert not said.signed
    longer = heard(dialect, Wish(), Answer(tokens=40)).usage
    assert longer == (2, 40)


@pytest.mark.parametrize(("limit", "is_cut"), [(31, True), (32, False), (33, False)])
@pytest.mark.parametrize("dialect", MANNERS)
def test_the_limit_cuts(dialect: str, limit: int, is_cut: bool) -> None:
    said = heard(dialect, Wish(limit=limit))
    assert (said.finish == CUT[dialect]) == is_cut
    assert said.usage == (2, min(limit, 32))


@pytest.mark.parametrize(
    ("stop", "text", "is_stopped"),
    [
        ((" meets",), "Water", True),
        (("sea", "the"), "Water meets ", True),
        (("nowhere",), "Water meets the weir", False),
    ],
)
@pytest.mark.parametrize("dialect", STOPPED)
def test_stop_sequences(dialect: str, stop: tuple[str, ...], text: str, is_stopped: bool) -> None:
    said = heard(dialect, Wish(stop=stop), Answer(tokens=4))
    assert said.text == text
    if dialect not in ("chat", "azure", "gemini", "vertex-gemini"):
        assert (said.finish == STOPPED[dialect]) == is_stopped
    else:
        assert said.finish == STOPPED[dialect]


@given(st.text())
def test_words_join_to_the_text(text: str) -> None:
    assert "".join(words(text)) == text
    assert "".join(stopped(iter(words(text)), ["\x00never\x00"])[0]) == text


@pytest.mark.parametrize("dialect", MANNERS)
def test_an_echo_says_the_last_user_message(dialect: str) -> None:
    said = "  Zwei\n Wörter  "
    assert heard(dialect, Wish(text=said, model="weir/echo")).text == said


@pytest.mark.parametrize("dialect", MANNERS)
def test_reasoning_comes_first_and_counts(dialect: str) -> None:
    said = heard(dialect, Wish(model="weir/reason"))
    assert said.reasoning == "The prompt has about 2 tokens. I can answer it as it stands."
    assert said.usage == (2, 13 + 32)
    assert len(said.signed) == (dialect not in ("chat", "azure", "cohere"))
    cut = heard(dialect, Wish(model="weir/reason", limit=16))
    assert (cut.text, cut.usage) == ("Water meets the", (2, 16))


@pytest.mark.parametrize("dialect", MANNERS)
def test_parallel_calls_have_valid_arguments(dialect: str) -> None:
    said = heard(dialect, Wish(text="weather and time", tools=TOOLS))
    assert said.finish == CALLED[dialect]
    assert said.calls == [(name, {"city": "water"}) for name in TOOLS]
    assert said.text == ""


@pytest.mark.parametrize("dialect", MANNERS)
def test_it_calls_what_it_is_told_to_as_far_as_there_is_such_a_function(dialect: str) -> None:
    told = [("get_time", {"zone": "UTC", "deep": [1]}), ("get_time", {}), ("get_lost", {})]
    calls = tuple(Invocation(name=name, arguments=given) for name, given in told)
    said = heard(dialect, Wish(text="weather", tools=TOOLS), Answer(calls=calls))
    assert said.calls == told[:2]
    assert heard(dialect, Wish(text="weather", tools=TOOLS), Answer(calls=())).calls == []


def test_what_it_is_told_to_call_is_called_until_there_are_results() -> None:
    calls = (Invocation(name="f"),)
    asked = Ask(model="weir/lorem", results="done", functions=(Function("f"),))
    assert Reply(asked, Answer(calls=calls), Random(1), 1).calls == []
    (call,) = Reply(replace(asked, results=None), Answer(calls=calls), Random(1), 1).calls
    assert call.arguments == {}


@pytest.mark.parametrize("dialect", MANNERS)
def test_structured_answers(dialect: str) -> None:
    assert json.loads(heard(dialect, Wish(structured=True)).text) == {"city": "water"}


@pytest.mark.parametrize("dialect", MANNERS)
def test_a_mute_answer_says_nothing_and_ends_well(dialect: str) -> None:
    manner = MANNERS[dialect]
    wish = Wish(text="weather", tools=TOOLS, model="weir/reason")
    said = hear_whole(dialect, manner.whole(reply(dialect, wish, mute=True)))
    assert (said.text, said.reasoning, said.calls) == ("", "", [])
    assert said.usage == (1, 0)


def test_free_json_and_several_choices() -> None:
    def texts(**body: Any) -> list[str]:
        answer = whole("chat", Wish(more=body))
        return [choice["message"]["content"] for choice in answer["choices"]]

    (free,) = texts(response_format={"type": "json_object"})
    assert json.loads(free)["answer"].startswith("Water")
    assert texts(response_format={"type": "json_schema"}) == ["{}"]
    assert len(set(texts(n=3))) == 3


def test_attachments_are_mentioned() -> None:
    def text(*attachments: str, model: str = "weir/echo") -> str:
        ask = Ask(model=model, said="what is it?", attachments=attachments)
        return "".join(token.text for token in Reply(ask, Answer(), Random(1), 0).spoken[0])

    assert text("image", "file", "image") == "I was given 2 images and 1 file. what is it?"
    assert text("image", model="m").startswith("I was given 1 image. Water")


def test_blocks_are_runs_of_one_thing() -> None:
    said = reply("chat", Wish(text="weather and time", tools=TOOLS, model="weir/reason"))
    found = [(kind, next(run).kind) for kind, run in blocks(said.spoken[0])]
    assert found == [("reasoning", "reasoning"), ("call", "call"), ("call", "call")]


@pytest.mark.parametrize("dialect", MANNERS)
def test_a_big_answer_is_made_while_it_is_read(dialect: str) -> None:
    answer = Answer(tokens=10**9, event_bytes=16384)
    wish = Wish(limit=10**9)
    events = MANNERS[dialect].events(reply(dialect, wish, answer))
    big = 0
    while big < 3:
        data = next(events).data
        big += len(json.dumps(data)) > 16384


@pytest.mark.parametrize("dialect", MANNERS)
def test_the_same_seed_says_the_same(dialect: str) -> None:
    wish = Wish(tools=TOOLS, must=True)
    assert streamed(dialect, wish) == streamed(dialect, wish)
    assert whole(dialect, wish) == whole(dialect, wish)
