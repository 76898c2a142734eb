"""Cohere's answers become events, however odd they are."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.cohere.events import decode_answer, decoder
from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.events import (
    Attachments,
    Ended,
    Event,
    Failed,
    Finished,
    Reasoning,
    Started,
    Text,
    ToolCall,
    Usage,
    UsageReport,
)

Json = dict[str, Any]

STARTED = Started(upstream_id="m1")
DONE = b"data: [DONE]\n\n"


def frame(type_: str, message: Json | None = None, **more: object) -> bytes:
    said = {"type": type_, **more}
    if message is not None:
        said["delta"] = {"message": message}
    return f"event: {type_}\ndata: {json.dumps(said)}\n\n".encode()


def end(reason: str | None, **more: object) -> bytes:
    said = {"type": "message-end", "delta": {"finish_reason": reason, **more}}
    return f"event: message-end\ndata: {json.dumps(said)}\n\n".encode()


def stream(*frames: bytes) -> list[Event]:
    reading = decoder(Quirks())
    fed = itertools.chain.from_iterable(map(reading.feed, frames))
    return [*fed, *reading.end()]


def thought(own: str, text: str, index: int) -> Reasoning:
    detail = {"type": "reasoning.text", "text": text, "format": "unknown", "id": own}
    return Reasoning(0, text, ({**detail, "index": index},))


def call(**function: str) -> Json:
    return {"tool_calls": {"function": function}}


def test_a_stream_with_everything() -> None:
    heard = stream(
        frame("message-start", {"role": "assistant", "tool_plan": ""}, id="m1"),
        frame("content-start", {"content": {"type": "thinking", "thinking": ""}}, index=0),
        frame("content-delta", {"content": {"thinking": "Hm"}}, index=0),
        frame("content-end", index=0),
        frame("content-start", {"content": {"type": "text", "text": ""}}, index=1),
        frame("content-delta", {"content": {"text": "Ho"}}, index=1),
        frame("content-delta", {"content": {"thinking": "Ha"}}, index=2),
        frame("tool-plan-delta", {"tool_plan": "I will"}),
        frame("tool-plan-delta", {"tool_plan": " call."}),
        frame(
            "tool-call-start",
            {"tool_calls": {"id": "a", "type": "function", "function": {"name": "f"}}},
            index=0,
        ),
        frame("tool-call-delta", call(arguments="{}"), index=0),
        frame("tool-call-delta", call(arguments=""), index=0),
        frame("tool-call-end", index=0),
        frame("tool-call-start", {"tool_calls": {"function": {"arguments": "{"}}}, index=1),
        frame("tool-call-delta", call(arguments="}"), index=1),
        frame("debug", prompt="..."),
        end("TOOL_CALL", usage={"tokens": {"input_tokens": 3.0, "output_tokens": 4}}),
        DONE,
        frame("content-delta", {"content": {"text": "late"}}, index=1),
    )
    assert heard == [
        STARTED,
        thought("cohere-thinking", "Hm", 0),
        Text(0, "Ho"),
        thought("cohere-thinking", "Ha", 1),
        thought("cohere-plan", "I will", 2),
        thought("cohere-plan", " call.", 2),
        ToolCall(0, 0, "a", "f", ""),
        ToolCall(0, 0, None, None, "{}"),
        ToolCall(0, 1, None, "", "{"),
        ToolCall(0, 1, None, None, "}"),
        UsageReport(Usage(prompt_tokens=3, completion_tokens=4)),
        Finished(0, "tool_calls", "TOOL_CALL"),
        Ended(),
    ]


def test_a_whole_answer_with_everything() -> None:
    answer = {
        "id": "m1",
        "message": {
            "role": "assistant",
            "tool_plan": "I will.",
            "content": [{"type": "thinking", "thinking": "Hm"}, {"type": "text", "text": "Ho"}],
            "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}],
            "citations": [{"start": 0, "end": 2, "text": "Ho", "sources": []}],
        },
        "logprobs": [
            {"text": "Hm", "token_ids": [1], "logprobs": [-1]},
            {"text": "Ho", "token_ids": [2, 3], "logprobs": [-0.5, -0.25]},
        ],
        "finish_reason": "COMPLETE",
        "usage": {"tokens": {"input_tokens": 3, "output_tokens": 4}},
    }
    entry = {"token": "Ho", "logprob": -0.75, "bytes": [72, 111], "top_logprobs": []}
    cited = {"start": 0, "end": 2, "text": "Ho", "sources": [], "start_index": 0, "end_index": 2}
    assert decode_answer(json.dumps(answer).encode(), Quirks()) == [
        STARTED,
        thought("cohere-thinking", "Hm", 0),
        Text(0, "Ho"),
        Text(0, "", {"content": [entry], "refusal": None}),
        thought("cohere-plan", "I will.", 1),
        ToolCall(0, 0, "a", "f", "{}"),
        Attachments(0, "annotations", ({"type": "file_citation", "file_citation": cited},)),
        UsageReport(Usage(prompt_tokens=3, completion_tokens=4)),
        Finished(0, "tool_calls", "COMPLETE"),
        Ended(),
    ]


@pytest.mark.parametrize(
    ("native", "reason"),
    [
        ("COMPLETE", "stop"),
        ("STOP_SEQUENCE", "stop"),
        ("MAX_TOKENS", "length"),
        ("TOOL_CALL", "tool_calls"),
        ("ERROR_LIMIT", "length"),
        ("ERROR_TOXIC", "content_filter"),
        ("NEW_WORD", "stop"),
        (None, "stop"),
    ],
)
def test_finishes_are_said_in_openrouters_words(native: str | None, reason: str) -> None:
    assert stream(end(native)) == [Finished(0, reason, native), Ended()]
    answer: Json = {"message": {"content": []}, "finish_reason": native}
    assert decode_answer(json.dumps(answer).encode(), Quirks()) == [
        Started(),
        Finished(0, reason, native),
        Ended(),
    ]


def test_a_length_is_a_length_even_with_a_call() -> None:
    started = frame("tool-call-start", {"tool_calls": {"id": "a", "function": {}}}, index=0)
    assert stream(started, end("MAX_TOKENS"))[1] == Finished(0, "length", "MAX_TOKENS")
    assert stream(started, end("COMPLETE"))[1] == Finished(0, "tool_calls", "COMPLETE")


@pytest.mark.parametrize(
    ("frames", "failed"),
    [
        (
            end("ERROR", usage={}, error="No valid response generated."),
            Failed(
                None,
                "No valid response generated.",
                "ERROR",
                '{"error":"No valid response generated."}',
            ),
        ),
        (
            end("TIMEOUT"),
            Failed(504, "The provider ended the answer with 'TIMEOUT'.", "TIMEOUT", "{}"),
        ),
        (
            b'data: {"id":"1","message":"too many requests"}\n\n',
            Failed(None, "too many requests", None, '{"id":"1","message":"too many requests"}'),
        ),
        (
            b'event: error\ndata: {"type":"error","error":{"message":"oops"}}\n\n',
            Failed(None, "oops", None, '{"error":{"message":"oops"}}'),
        ),
    ],
)
def test_a_stream_can_fail(frames: bytes, failed: Failed) -> None:
    assert stream(frames) == [failed]


def test_what_was_counted_before_a_failure_is_told() -> None:
    heard = stream(end("ERROR", usage={"tokens": {"input_tokens": 3}}, error="no"))
    assert heard[0] == UsageReport(Usage(prompt_tokens=3))
    assert isinstance(heard[1], Failed)
    assert len(heard) == 2


def test_an_error_that_is_too_deep_is_told_without_itself() -> None:
    deep: object = "x"
    for _ in range(300):
        deep = [deep]
    assert stream(end("ERROR", error=deep)) == [Failed(None, "", "ERROR", "")]


def test_a_whole_answer_can_fail() -> None:
    failed = Failed(None, "not now", None, '{"message":"not now"}')
    assert decode_answer(b'{"message":"not now"}', Quirks()) == [failed]


@pytest.mark.parametrize("body", [b"{}", b'{"message":7}', b"[]", b"<html>", b""])
def test_what_is_no_answer_is_malformed(body: bytes) -> None:
    with pytest.raises(GatewayError) as raised:
        decode_answer(body, Quirks())
    assert raised.value.kind == "provider_malformed"


def test_arguments_of_no_call_are_malformed() -> None:
    with pytest.raises(GatewayError) as raised:
        stream(frame("tool-call-delta", call(arguments="{}"), index=3))
    assert raised.value.kind == "provider_malformed"


def test_logprobs_belong_to_their_piece() -> None:
    def said(text: object, logprobs: object) -> Event:
        told = {"text": text, "token_ids": [1], "logprobs": logprobs}
        delta = {"content": {"text": "Ho"}}
        return stream(frame("content-delta", delta, index=0, logprobs=told))[0]

    entry = {"token": "Ho", "logprob": -0.5, "bytes": [72, 111], "top_logprobs": []}
    assert said("Ho", [-0.5]) == Text(0, "Ho", {"content": [entry], "refusal": None})
    for text, logprobs in ((None, [0]), ("Ho", None), ("Ho", ["x"])):
        assert said(text, logprobs) == Text(0, "Ho")
    frames = frame("content-delta", {"content": {"text": "Ho"}}, index=0, logprobs=7)
    assert stream(frames) == [Text(0, "Ho")]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ("message", "content", "text", "thinking", "tool_calls", "function", "usage",
             "tokens", "input_tokens", "citations", "sources", "finish_reason", "error", "start",
             "logprobs", "document", "url", "name", "arguments", "id", "tool_plan")
        ),
        inner,
        max_size=5,
    ),
    max_leaves=12,
)  # fmt: skip
TYPES = st.sampled_from(
    ("message-start", "content-start", "content-delta", "tool-plan-delta", "tool-call-start",
     "tool-call-delta", "citation-start", "message-end", "other")
)  # fmt: skip


def broken(read: Callable[[], object]) -> str | None:
    try:
        read()
    except GatewayError as error:
        return error.kind
    return None


@given(st.lists(st.tuples(TYPES, JSON, JSON), max_size=4))
def test_nothing_that_is_sent_breaks_the_reader(frames: list[tuple[str, Any, Any]]) -> None:
    told = [frame(type_, index=index, delta=delta) for type_, index, delta in frames]
    assert broken(lambda: stream(*told)) in (None, "provider_malformed")


@given(JSON)
def test_no_answer_breaks_the_reader(message: Any) -> None:
    body = json.dumps({"message": message, "logprobs": [message]}).encode()
    assert broken(lambda: decode_answer(body, Quirks())) in (None, "provider_malformed")
