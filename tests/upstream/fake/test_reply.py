"""What is said: texts, calls and structures, whole and in events, with usage that adds up."""

import json
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.fake.ask import decode_ask
from proxy.upstream.fake.reply import Event, Reply, stopped, words
from proxy.upstream.fake.scenario import Answer

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": CITY}}
    for name in ("get_weather", "get_time")
]


def reply(text: str = "hi there", answer: Answer = Answer(), **body: Any) -> Reply:  # noqa: B008
    asked = {"model": "weir/lorem", "messages": [{"role": "user", "content": text}]} | body
    return Reply(decode_ask(json.dumps(asked).encode()), answer, Random(1), 5)


def gathered(events: Iterator[Event]) -> dict[int, dict[str, Any]]:
    """The choices that a reader of the events ends up with."""
    choices: dict[int, dict[str, Any]] = {}
    for event in events:
        for row in (event.data or {}).get("choices", ()):
            choice = choices.setdefault(
                row["index"], {"text": "", "reasoning": "", "calls": {}, "finish": None}
            )
            assert choice["finish"] is None
            delta = row["delta"]
            choice["text"] += delta.get("content") or ""
            choice["reasoning"] += delta.get("reasoning_content") or ""
            choice["finish"] = row["finish_reason"]
            for piece in delta.get("tool_calls", ()):
                call = choice["calls"].setdefault(piece["index"], piece["function"] | {"id": ""})
                call["id"] += piece.get("id", "")
                if "id" not in piece:
                    call["arguments"] += piece["function"]["arguments"]
    return choices


def read(answer: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """The same of a whole answer."""
    return {
        row["index"]: {
            "text": row["message"]["content"] or "",
            "reasoning": row["message"].get("reasoning_content", ""),
            "calls": {
                index: call["function"] | {"id": call["id"]}
                for index, call in enumerate(row["message"].get("tool_calls", ()))
            },
            "finish": row["finish_reason"],
        }
        for row in answer["choices"]
    }


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"n": 3},
        {"max_tokens": 4},
        {"max_completion_tokens": 4, "model": "weir/reason"},
        {"model": "weir/reason"},
        {"model": "weir/reason", "tools": TOOLS, "tool_choice": "required"},
        {"stop": "weir"},
        {"tools": TOOLS, "tool_choice": "required"},
        {"tools": TOOLS, "tool_choice": "required", "max_tokens": 2},
        {"model": "weir/echo", "messages": [{"role": "user", "content": "weather, time"}],
         "tools": TOOLS, "n": 2},
        {"response_format": {"type": "json_object"}},
        {"logprobs": True},
    ],
)  # fmt: skip
def test_both_forms_say_the_same(body: dict[str, Any]) -> None:
    in_events, at_once = reply(**body), reply(**body)
    assert gathered(in_events.events()) == read(at_once.whole())
    assert in_events.count == at_once.count


def test_the_default_answer_is_one_sentence() -> None:
    answer = reply().whole()
    text = answer["choices"][0]["message"]["content"]
    assert text.startswith("Water meets the weir")
    assert text.endswith("open sea.")
    assert answer["usage"]["prompt_tokens"] == 2
    assert answer["usage"]["completion_tokens"] == 32 == len(text.split())
    assert answer["usage"]["total_tokens"] == 34
    assert answer["created"] == 5
    assert reply(answer=Answer(tokens=40)).whole()["usage"]["completion_tokens"] == 40


@pytest.mark.parametrize(("limit", "finish"), [(31, "length"), (32, "stop"), (33, "stop")])
def test_the_limit_cuts(limit: int, finish: str) -> None:
    answer = reply(max_tokens=limit).whole()
    assert answer["choices"][0]["finish_reason"] == finish
    assert answer["usage"]["completion_tokens"] == min(limit, 32)


@pytest.mark.parametrize(
    ("stop", "text"),
    [
        (" meets", "Water"),
        (["sea", "the", 3, ""], "Water meets "),
        ([], "Water meets the weir"),
        ("nowhere", "Water meets the weir"),
        (7, "Water meets the weir"),
    ],
)
def test_stop_sequences(stop: Any, text: str) -> None:
    choice = reply(stop=stop, answer=Answer(tokens=4)).whole()["choices"][0]
    assert choice["message"]["content"] == text
    assert choice["finish_reason"] == "stop"


@given(st.text())
def test_words_join_to_the_text(text: str) -> None:
    assert "".join(words(text)) == text
    assert "".join(stopped(iter(words(text)), ["\x00never\x00"])) == text


def test_an_echo_says_the_last_user_message() -> None:
    said = "  Zwei\n Wörter  "
    assert gathered(reply(said, model="weir/echo").events())[0]["text"] == said


def test_attachments_are_mentioned() -> None:
    parts = [{"type": kind} for kind in ("image_url", "file", "image_url")]
    messages = [{"role": "user", "content": [*parts, {"type": "text", "text": "what is it?"}]}]
    message = reply(messages=messages, model="weir/echo").whole()["choices"][0]["message"]
    assert message["content"] == "I was given 2 images and 1 file. what is it?"
    one = reply(messages=[{"role": "user", "content": parts[:1]}]).whole()
    assert one["choices"][0]["message"]["content"].startswith("I was given 1 image. Water")


def test_choices_differ() -> None:
    choices = reply(n=3).whole()["choices"]
    assert len({choice["message"]["content"] for choice in choices}) == 3


def test_reasoning_comes_first_and_counts() -> None:
    made = reply(model="weir/reason")
    choice = gathered(made.events())[0]
    assert choice["reasoning"].startswith("The prompt has about 2 tokens.")
    assert made.count.reasoning == len(choice["reasoning"].split())
    assert made.count.completion == made.count.reasoning + 32
    cut = reply(model="weir/reason", max_tokens=3)
    assert gathered(cut.events())[0]["text"] == ""
    assert cut.count == (2, 3, 3)


def test_parallel_calls_have_ids_and_valid_arguments() -> None:
    choice = gathered(reply("weather and time", tools=TOOLS).events())[0]
    assert choice["finish"] == "tool_calls"
    assert [call["name"] for call in choice["calls"].values()] == ["get_weather", "get_time"]
    assert [json.loads(call["arguments"]) for call in choice["calls"].values()] == [
        {"city": "water"}
    ] * 2
    ids = {call["id"] for call in choice["calls"].values()}
    assert len(ids) == 2
    assert all(len(call_id) == 29 and call_id.startswith("call_") for call_id in ids)


def test_tool_results_are_answered_with_text() -> None:
    messages = [{"role": "user", "content": "weather"}, {"role": "tool", "content": "18 degrees"}]
    choice = reply(messages=messages, tools=TOOLS).whole()["choices"][0]
    assert choice["message"]["content"] == "The tool said: 18 degrees"
    assert choice["finish_reason"] == "stop"


def test_structured_answers() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": CITY}}
    choice = reply(response_format=wanted).whole()["choices"][0]
    assert json.loads(choice["message"]["content"]) == {"city": "water"}
    free = reply(response_format={"type": "json_object"}).whole()["choices"][0]
    assert json.loads(free["message"]["content"])["answer"].startswith("Water")
    odd = reply(response_format={"type": "json_schema"}).whole()["choices"][0]
    assert odd["message"]["content"] == "{}"


def test_usage_is_sent_where_asked_for() -> None:
    kinds = [event.kind for event in reply(answer=Answer(tokens=2)).events()]
    assert kinds == ["opening", "token", "token", "finish", "done"]
    asked = reply(answer=Answer(tokens=2), stream_options={"include_usage": True})
    last = list(asked.events())[-2]
    assert (last.kind, last.data and last.data["usage"]["completion_tokens"]) == ("usage", 2)
    silent = reply(stream_options={"include_obfuscation": False})
    assert not any("obfuscation" in (event.data or {}) for event in silent.events())


def test_a_big_answer_is_made_while_it_is_read() -> None:
    events = reply(answer=Answer(tokens=10**9, event_bytes=16384)).events()
    next(events)
    for _ in range(3):
        data = next(events).data
        assert data
        assert len(data["choices"][0]["delta"]["content"]) == 16384


def test_the_same_seed_says_the_same() -> None:
    assert list(reply(tools=TOOLS, tool_choice="required").events()) == list(
        reply(tools=TOOLS, tool_choice="required").events()
    )
