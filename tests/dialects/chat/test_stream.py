"""Events become OpenRouter's stream or its whole answer, and both say the same."""

import json
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.dialects.chat.stream import Encoder, encode_answer, encode_usage
from proxy.dialects.forms import Bill
from proxy.errors import GatewayError
from proxy.money import Pricing, cost_of
from proxy.wire.events import (
    Attachments,
    Audio,
    Echo,
    Ended,
    Event,
    Failed,
    Finished,
    Reasoning,
    Refusal,
    Spliced,
    Started,
    Text,
    ToolCall,
    Usage,
    UsageReport,
)
from proxy.wire.frames import DONE
from proxy.wire.request import Head
from tests.heard import check_same, heard_answer, heard_stream
from tests.plain import ASK, HIDING

Json = dict[str, Any]
HEAD = Head(id="gen-1", created=7, model="a/b", provider="Acme")
BILL = Bill(Usage(prompt_tokens=1, completion_tokens=2))
USAGE = encode_usage(BILL.usage, BILL.cost)
START = {
    "id": "gen-1",
    "object": "chat.completion.chunk",
    "created": 7,
    "model": "a/b",
    "provider": "Acme",
}
SEALED = {"type": "reasoning.encrypted", "data": "x", "index": 0}
DETAIL = {"type": "reasoning.text", "text": "hm", "format": "unknown", "index": 0}


def chunk(data: bytes) -> Json:
    assert data.startswith(b"data: ")
    assert data.endswith(b"\n\n")
    value: Json = json.loads(data[6:])
    return value


def choice(delta: Json, index: int = 0) -> Json:
    return {"index": index, "delta": delta, "finish_reason": None, "native_finish_reason": None}


def stream(events: list[Event], *, hide: bool = False) -> bytes:
    encoder = Encoder(HEAD, HIDING if hide else ASK)
    return b"".join(map(encoder.encode, events)) + encoder.encode_end(BILL)


def answer(events: list[Event], *, hide: bool = False) -> Json:
    value: Json = json.loads(encode_answer(events, HEAD, HIDING if hide else ASK, BILL).body)
    return value


DELTAS: list[tuple[Event, Json]] = [
    (Text(0, "a"), {"content": "a", "role": "assistant"}),
    (Refusal(0, "no"), {"content": "", "role": "assistant", "refusal": "no"}),
    (
        Reasoning(0, "hm"),
        {"content": "", "role": "assistant", "reasoning": "hm", "reasoning_details": [DETAIL]},
    ),
    (
        Reasoning(0, "", ({"type": "reasoning.encrypted", "data": "x"},)),
        {
            "content": "",
            "role": "assistant",
            "reasoning": None,
            "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}],
        },
    ),
    (
        ToolCall(0, 0, "c", "f", "{"),
        {
            "content": None,
            "role": "assistant",
            "tool_calls": [
                {
                    "index": 0,
                    "id": "c",
                    "type": "function",
                    "function": {"name": "f", "arguments": "{"},
                }
            ],
        },
    ),
    (
        ToolCall(0, 3, None, None, "}"),
        {
            "content": None,
            "role": "assistant",
            "tool_calls": [{"index": 3, "function": {"arguments": "}"}}],
        },
    ),
    (
        ToolCall(0, 0, "c", "f", "4 ", custom=True),
        {
            "content": None,
            "role": "assistant",
            "tool_calls": [
                {"index": 0, "id": "c", "type": "custom", "custom": {"name": "f", "input": "4 "}}
            ],
        },
    ),
    (Audio(0, {"data": "AA"}), {"content": "", "role": "assistant", "audio": {"data": "AA"}}),
    (
        Attachments(0, "annotations", ({"a": 1}, {"b": 2})),
        {"content": "", "role": "assistant", "annotations": [{"a": 1}, {"b": 2}]},
    ),
    (Attachments(0, "images", ({},)), {"content": "", "role": "assistant", "images": [{}]}),
]


@pytest.mark.parametrize(("event", "delta"), DELTAS, ids=repr)
def test_a_delta(event: Event, delta: Json) -> None:
    data = Encoder(HEAD, ASK).encode(event)
    told = chunk(data)
    assert told == START | {"choices": [choice(delta)]}
    assert list(told) == [*START, "choices"]
    assert list(told["choices"][0]["delta"]) == list(delta)


def test_calls_without_id_get_one_and_without_name_none() -> None:
    encoder = Encoder(HEAD, ASK)
    told = chunk(encoder.encode(ToolCall(2, 1, None, "f", "")))["choices"][0]
    assert told["index"] == 2
    assert told["delta"]["tool_calls"][0]["id"] == "call_2_1"
    told = chunk(encoder.encode(ToolCall(0, 0, "c", None, "")))["choices"][0]
    assert told["delta"]["tool_calls"][0]["function"] == {"name": "", "arguments": ""}


def test_logprobs_stand_beside_their_piece() -> None:
    for event in (Text(0, "a", {"content": [1]}), Refusal(0, "a", {"content": [1]})):
        assert chunk(Encoder(HEAD, ASK).encode(event))["choices"][0]["logprobs"] == {"content": [1]}


@pytest.mark.parametrize(
    "event", [Started(), UsageReport(Usage()), Ended(), Failed(None, "", None, "")], ids=repr
)
def test_what_is_not_said(event: Event) -> None:
    assert Encoder(HEAD, ASK).encode(event) == b""


def test_what_a_provider_tells_of_itself_stays_in_every_event() -> None:
    encoder = Encoder(HEAD, ASK)
    encoder.encode(Started(upstream_id="x", system_fingerprint="fp", service_tier="flex"))
    told = chunk(encoder.encode(Text(0, "a")))
    assert (told["system_fingerprint"], told["service_tier"]) == ("fp", "flex")
    assert "x" not in told.values()


def test_the_end_comes_twice_the_second_time_with_usage() -> None:
    encoder = Encoder(HEAD, ASK)
    finished = choice({"content": "", "role": "assistant"}, 1) | {
        "finish_reason": "stop",
        "native_finish_reason": "end_turn",
    }
    first = chunk(encoder.encode(Finished(1, "stop", "end_turn")))
    assert first == START | {"choices": [finished]}
    end = encoder.encode_end(BILL)
    assert end.endswith(DONE)
    assert chunk(end.removesuffix(DONE)) == START | {"choices": [finished], "usage": USAGE}


def test_a_failure_is_the_last_event() -> None:
    encoder = Encoder(HEAD, ASK)
    data = encoder.encode_failure(GatewayError("provider_cut", "Cut.", metadata={"a": {1}}))
    assert data.endswith(DONE)
    told = chunk(data.removesuffix(DONE))
    assert told["error"]["message"] == "Cut."
    assert told["choices"][0]["finish_reason"] == "error"


def test_what_can_not_be_written_is_the_providers_fault() -> None:
    deep: Any = {}
    for _ in range(600):
        deep = [deep]
    event = Reasoning(0, "", ({"type": "x", "deep": deep},))
    with pytest.raises(GatewayError) as raised:
        Encoder(HEAD, ASK).encode(event)
    assert raised.value.kind == "provider_malformed"
    with pytest.raises(GatewayError):
        encode_answer([event], HEAD, ASK, BILL)


def test_half_of_a_character_can_not_be_written() -> None:
    with pytest.raises(GatewayError) as raised:
        Encoder(HEAD, ASK).encode(Text(0, "\ud83d"))
    assert raised.value.kind == "provider_malformed"


def test_another_encoder_of_the_same_answer_has_told_nothing() -> None:
    encoder = Encoder(HEAD, HIDING)
    text = encoder.encode(Text(0, "a"))
    encoder.encode(Started(service_tier="flex"))
    assert encoder.again().encode(Text(0, "a")) == text != encoder.encode(Text(0, "a"))
    assert encoder.again().encode(Reasoning(0, "a")) == b""


def test_what_was_spliced_is_told_as_it_is() -> None:
    assert Encoder(HEAD, ASK).encode(Spliced(0, b"data: {}\n\n", (1,))) == b"data: {}\n\n"


def test_hidden_reasoning() -> None:
    events: list[Event] = [Reasoning(0, "hm", ({"a": 1},)), Text(0, "a"), Finished(0, "stop", None)]
    assert b"hm" not in stream(events, hide=True)
    assert b'"reasoning"' not in stream(events, hide=True)
    assert b"reasoning_details" not in stream(events, hide=True)
    message = answer(events, hide=True)["choices"][0]["message"]
    assert message == {"role": "assistant", "content": "a", "refusal": None}


def test_who_hides_reasoning_keeps_what_the_provider_wants_back() -> None:
    """As recorded: `reasoning.exclude` before OpenAI."""
    seal = {"type": "reasoning.encrypted", "data": "x", "id": "rs_1", "index": 0}
    read = {"type": "reasoning.summary", "summary": "hm", "index": 0}
    events: list[Event] = [
        Reasoning(0, "hm", (read, seal)),
        Text(0, "a"),
        Finished(0, "stop", None),
    ]
    told = stream(events, hide=True)
    assert b"hm" not in told
    assert b'"reasoning":"' not in told
    assert b'"reasoning_details":[{"type":"reasoning.encrypted"' in told
    message = answer(events, hide=True)["choices"][0]["message"]
    assert message["reasoning_details"] == [seal]
    assert "reasoning" not in message


MESSAGES: list[tuple[list[Event], Json]] = [
    ([Text(0, "a"), Text(0, "b")], {"content": "ab"}),
    ([], {"content": ""}),
    ([Refusal(0, "n"), Refusal(0, "o")], {"content": None, "refusal": "no"}),
    (
        [Reasoning(0, "h"), Reasoning(0, "m"), Text(0, "a")],
        {"content": "a", "reasoning": "hm", "reasoning_details": [DETAIL]},
    ),
    (
        [Reasoning(0, "h"), Reasoning(0, "m"), Reasoning(0, "", (SEALED,)), Reasoning(0, "hm")],
        {"content": "", "reasoning": "hmhm", "reasoning_details": [DETAIL, SEALED, DETAIL]},
    ),
    (
        [ToolCall(0, 0, "c", "f", "{"), ToolCall(0, 0, None, None, "}")],
        {
            "content": None,
            "tool_calls": [
                {
                    "type": "function",
                    "index": 0,
                    "id": "c",
                    "function": {"name": "f", "arguments": "{}"},
                }
            ],
        },
    ),
    (
        [ToolCall(0, 0, "c", "f", "4", custom=True), ToolCall(0, 0, None, None, "+", custom=True)],
        {
            "content": None,
            "tool_calls": [
                {"type": "custom", "index": 0, "id": "c", "custom": {"name": "f", "input": "4+"}}
            ],
        },
    ),
    (
        [Text(0, "a"), ToolCall(0, 0, None, "f", "")],
        {
            "content": "a",
            "tool_calls": [
                {
                    "type": "function",
                    "index": 0,
                    "id": "call_0_0",
                    "function": {"name": "f", "arguments": ""},
                }
            ],
        },
    ),
    (
        [
            Audio(0, {"id": "x", "transcript": "He"}),
            Audio(0, {"data": "AA", "transcript": "y"}),
            Audio(0, {"data": "BB", "expires_at": 5, "id": None}),
        ],
        {
            "content": None,
            "audio": {"id": "x", "transcript": "Hey", "data": "AABB", "expires_at": 5},
        },
    ),
    (
        [Attachments(0, "images", ({"a": 1},)), Attachments(0, "images", ({"b": 2},))],
        {"content": "", "images": [{"a": 1}, {"b": 2}]},
    ),
]


@pytest.mark.parametrize(("events", "expected"), MESSAGES, ids=repr)
def test_a_message_is_put_together(events: list[Event], expected: Json) -> None:
    told = answer([*events, Finished(0, "stop", "end_turn")])
    assert list(told) == [
        "id", "object", "created", "model", "provider", "system_fingerprint", "choices", "usage",
    ]  # fmt: skip
    (only,) = told["choices"]
    plain = {"role": "assistant", "refusal": None, "reasoning": None}
    assert only == {
        "index": 0,
        "logprobs": None,
        "finish_reason": "stop",
        "native_finish_reason": "end_turn",
        "message": plain | expected,
    }


def test_reasoning_details_are_joined_by_their_index() -> None:
    def piece(**more: Any) -> Json:
        return {"type": "reasoning.text", "index": 0, **more}

    sealed = {"type": "reasoning.encrypted", "data": "x", "index": 0}
    loose = {"type": "reasoning.text", "text": "loose"}
    summary = {"type": "reasoning.summary", "summary": "s", "index": 1}
    details = [
        piece(text="a", format=None), piece(text="b"), piece(signature="s", text=None),
        sealed, sealed, summary, summary, loose, loose,
    ]  # fmt: skip
    told = answer([Reasoning(0, "", (detail,)) for detail in details])
    assert told["choices"][0]["message"]["reasoning_details"] == [
        piece(text="ab", format=None, signature="s"),
        sealed, sealed, summary | {"summary": "ss"}, loose, loose,
    ]  # fmt: skip


def test_logprobs_are_joined() -> None:
    events: list[Event] = [
        Text(0, "a", {"content": [1], "refusal": None}),
        Text(0, "b", {"content": [2], "refusal": None}),
        Text(0, "c"),
        Refusal(0, "d", {"content": None, "refusal": [3]}),
    ]
    assert answer(events)["choices"][0]["logprobs"] == {"content": [1, 2], "refusal": [3]}


def test_choices_in_order_and_what_was_told_of_the_provider() -> None:
    events: list[Event] = [
        Started(system_fingerprint="fp"),
        Text(1, "b"),
        Text(0, "a"),
        Started(system_fingerprint="fp", service_tier="flex"),
        UsageReport(Usage()),
        Ended(),
    ]
    told = answer(events)
    assert [one["index"] for one in told["choices"]] == [0, 1]
    assert [one["finish_reason"] for one in told["choices"]] == [None, None]
    assert (told["system_fingerprint"], told["service_tier"]) == ("fp", "flex")


def test_calls_of_two_kinds_under_one_number_are_no_bug() -> None:
    events: list[Event] = [
        ToolCall(0, 0, "c", "f", "{}"),
        ToolCall(0, 0, None, None, "x", custom=True),
    ]
    (call,) = answer(events)["choices"][0]["message"]["tool_calls"]
    assert call["function"] == {"name": "f", "arguments": "{}"}


def test_what_is_no_piece_of_a_message_is_left_out() -> None:
    stranger: Any = SimpleNamespace(choice=0)
    assert answer([stranger])["choices"][0]["message"]["content"] == ""


def test_usage() -> None:
    usage = Usage(
        prompt_tokens=10, completion_tokens=20, cached_tokens=1, cache_write_tokens=2,
        prompt_audio_tokens=3, prompt_video_tokens=4, reasoning_tokens=5,
        completion_audio_tokens=6, completion_image_tokens=7,
    )  # fmt: skip
    price = Pricing(prompt=Decimal("0.000001"), completion=Decimal("0.000002"))
    assert encode_usage(usage, cost_of(usage, price)) == {
        "prompt_tokens": 10,
        "completion_tokens": 20,
        "total_tokens": 30,
        "cost": 0.00005,
        "is_byok": False,
        "prompt_tokens_details": {
            "cached_tokens": 1, "cache_write_tokens": 2, "audio_tokens": 3, "video_tokens": 4,
        },
        "cost_details": {
            "upstream_inference_cost": 0.00005,
            "upstream_inference_prompt_cost": 0.00001,
            "upstream_inference_completions_cost": 0.00004,
        },
        "completion_tokens_details": {
            "reasoning_tokens": 5, "image_tokens": 7, "audio_tokens": 6,
        },
    }  # fmt: skip


def test_usage_without_a_price() -> None:
    told = encode_usage(Usage(prompt_tokens=1), None)
    assert told["cost"] == 0
    assert told["cost_details"] == {
        "upstream_inference_cost": None,
        "upstream_inference_prompt_cost": 0,
        "upstream_inference_completions_cost": 0,
    }


# The fold: a client that joins the stream has what the whole answer says.

WORDS = st.text(min_size=1, max_size=5)
NUMBERS = st.integers(0, 1)
DETAILS = st.builds(
    lambda kind, text, index: {"type": f"reasoning.{kind}", kind: text, "index": index},
    st.sampled_from(["text", "summary"]),
    WORDS,
    NUMBERS,
)
PIECES: st.SearchStrategy[Event] = st.one_of(
    st.builds(Text, NUMBERS, WORDS),
    st.builds(Text, NUMBERS, WORDS, st.builds(lambda n: {"content": [{"n": n}]}, NUMBERS)),
    st.builds(Refusal, NUMBERS, WORDS),
    st.builds(Audio, NUMBERS, st.builds(lambda a, b: {"data": a, "transcript": b}, WORDS, WORDS)),
    st.builds(
        Attachments,
        NUMBERS,
        st.sampled_from(["annotations", "images"]),
        st.tuples(st.builds(lambda n: {"n": n}, NUMBERS)),
    ),
)
THOUGHTS: st.SearchStrategy[Event] = st.builds(Reasoning, NUMBERS, WORDS)
STRUCTURED: st.SearchStrategy[Event] = st.builds(
    lambda i, text, detail: Reasoning(i, text, (detail,)), NUMBERS, WORDS, DETAILS
)
ARGUMENTS = st.lists(st.lists(WORDS, min_size=1, max_size=3), max_size=3)


def calls(arguments: list[list[str]]) -> list[Event]:
    return [
        ToolCall(0, number, None if place else f"c{number}", None if place else "f", text)
        for number, texts in enumerate(arguments)
        for place, text in enumerate(texts)
    ]


@given(
    st.lists(THOUGHTS, max_size=6) | st.lists(STRUCTURED, max_size=6),
    st.lists(PIECES, max_size=12),
    ARGUMENTS,
)
def test_the_fold_of_a_stream_is_the_whole_answer(
    thoughts: list[Event], pieces: list[Event], arguments: list[list[str]]
) -> None:
    events: list[Event] = [Started(), *thoughts, *pieces, *calls(arguments)]
    spoken = {getattr(event, "choice", 0) for event in events}
    events += [Finished(number, "stop", "end_turn") for number in sorted(spoken)]
    whole = heard_answer(encode_answer(events, HEAD, ASK, BILL).body)
    check_same(heard_stream(stream(events)), whole)


def test_what_was_sent_is_shown_beside_no_choice() -> None:
    """OpenRouter's own debug events have an empty list of choices."""
    sent = {"model": "m", "messages": []}
    shown = chunk(Encoder(HEAD, ASK).encode(Echo(sent)))
    assert shown == START | {"choices": [], "debug": {"echo_upstream_body": sent}}


def test_the_route_is_told_with_the_usage() -> None:
    bill = replace(BILL, routing={"requested": "a/b"})
    last = Encoder(HEAD, ASK).encode_end(bill).removesuffix(DONE)
    assert chunk(last)["openrouter_metadata"] == {"requested": "a/b"}
    answer = json.loads(encode_answer([], HEAD, ASK, bill).body)
    assert answer["openrouter_metadata"] == {"requested": "a/b"}
