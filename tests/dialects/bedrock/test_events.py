"""Bedrock's answers as canonical events."""

import json
from collections.abc import Iterable
from contextlib import suppress
from itertools import chain
from struct import pack
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.dialects.bedrock.events import decode_answer, decoder
from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.events import (
    Ended,
    Event,
    Failed,
    Finished,
    Started,
    Text,
    ToolCall,
    Usage,
    UsageReport,
)

Json = dict[str, Any]
Said = tuple[str, Json]

EVENT = {":message-type": "event", ":content-type": "application/json"}
USAGE = {"usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}}
COUNTED = UsageReport(Usage(prompt_tokens=3, completion_tokens=2))


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    raw = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + pack("!H", len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = pack("!II", 16 + len(raw) + len(payload), len(raw))
    body = prelude + pack("!I", crc32(prelude)) + raw + payload
    return body + pack("!I", crc32(body))


def message(kind: str, said: Json) -> bytes:
    payload = json.dumps({"p": "abc", **said}).encode()
    return frame(EVENT | {":event-type": kind}, payload)


def stream(*said: Said) -> bytes:
    return b"".join(message(*one) for one in said)


def sse(*said: Said) -> bytes:
    return b"".join(b"data: " + json.dumps({kind: one}).encode() + b"\n\n" for kind, one in said)


def decode(*pieces: bytes) -> list[Event]:
    reader = decoder(Quirks())
    return [*chain.from_iterable(map(reader.feed, pieces)), *reader.end()]


def delta(index: int, **said: Any) -> Said:
    return "contentBlockDelta", {"contentBlockIndex": index, "delta": said}


def begin(index: int, **said: Any) -> Said:
    return "contentBlockStart", {"contentBlockIndex": index, "start": said}


def stop(index: int) -> Said:
    return "contentBlockStop", {"contentBlockIndex": index}


def end(reason: str = "end_turn") -> tuple[Said, Said]:
    return ("messageStop", {"stopReason": reason}), ("metadata", USAGE)


START: Said = ("messageStart", {"role": "assistant"})
TOOL = {"toolUseId": "t1", "name": "look"}
HELLO = stream(START, delta(0, text="hel"), delta(0, text="lo"), stop(0), *end())


def test_a_stream() -> None:
    assert decode(HELLO) == [
        Started(),
        Text(0, "hel"),
        Text(0, "lo"),
        Finished(0, "stop", "end_turn"),
        COUNTED,
        Ended(),
    ]


def test_a_character_cut_in_two_is_one_again() -> None:
    pieces = stream(delta(0, text="a\ud83d"), delta(0, text="\udca7b"), *end())
    said = "".join(event.text for event in decode(pieces) if isinstance(event, Text))
    assert said == "a💧b"


def test_slices_and_what_follows_the_end_change_nothing() -> None:
    wanted = decode(HELLO)
    assert decode(*(bytes([byte]) for byte in HELLO)) == wanted
    assert decode(b"", HELLO + stream(START), b"rubbish", b"more") == wanted
    said = sse(("novelty", {}), START, delta(0, text="hel"), delta(0, text="lo"), stop(0), *end())
    assert decode(said) == decode(*(bytes([byte]) for byte in said)) == wanted


CALLS: list[tuple[list[Said], list[Event]]] = [
    (
        [begin(0, toolUse=TOOL), delta(0, toolUse={"input": '{"a":'}),
         delta(0, toolUse={"input": "1}"}), stop(0), *end("tool_use")],
        [ToolCall(0, 0, "t1", "look", ""), ToolCall(0, 0, None, None, '{"a":'),
         ToolCall(0, 0, None, None, "1}"), Finished(0, "tool_calls", "tool_use")],
    ),
    (
        [begin(3, toolUse=TOOL), delta(3, toolUse={"input": ""}), stop(3), *end("end_turn")],
        [ToolCall(0, 0, "t1", "look", ""), ToolCall(0, 0, None, None, "{}"),
         Finished(0, "tool_calls", "end_turn")],
    ),
    (
        [begin(0, toolUse={}), begin(1, toolUse=TOOL), *end("max_tokens")],
        [ToolCall(0, 0, None, "", ""), ToolCall(0, 1, "t1", "look", ""),
         ToolCall(0, 0, None, None, "{}"), ToolCall(0, 1, None, None, "{}"),
         Finished(0, "length", "max_tokens")],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("said", "events"), CALLS)
def test_calls(said: list[Said], events: list[Event]) -> None:
    assert decode(stream(START, *said)) == [Started(), *events, COUNTED, Ended()]


REASONS = [
    ("end_turn", "stop"),
    ("stop_sequence", "stop"),
    ("max_tokens", "length"),
    ("model_context_window_exceeded", "length"),
    ("guardrail_intervened", "content_filter"),
    ("content_filtered", "content_filter"),
    ("tool_use", "stop"),  # of a server's tool: the caller was told of none
    ("something_new", "stop"),
]


@pytest.mark.parametrize(("native", "reason"), REASONS)
def test_reasons(native: str, reason: str) -> None:
    assert decode(stream(*end(native))) == [
        Started(), Finished(0, reason, native), COUNTED, Ended()
    ]  # fmt: skip


@pytest.mark.parametrize("native", ["malformed_model_output", "malformed_tool_use"])
def test_a_malformed_answer_fails_once_it_was_counted(native: str) -> None:
    failed = Failed(None, f"The provider ended the answer with '{native}'.", native, "")
    assert decode(stream(*end(native))) == [Started(), COUNTED, failed, Ended()]
    assert decode(stream(end(native)[0])) == [Started(), failed]
    assert decode_answer(whole([], native), Quirks()) == [Started(), COUNTED, failed, Ended()]


def test_it_ends_when_both_reason_and_usage_have_come() -> None:
    reason, usage = end()
    assert decode(stream(usage, reason)) == [
        Started(), COUNTED, Finished(0, "stop", "end_turn"), Ended()
    ]  # fmt: skip
    assert decode(stream(reason)) == [Started(), Finished(0, "stop", "end_turn")]


def test_what_is_not_known_or_has_another_type_says_nothing() -> None:
    said = [
        ("chunk", {"bytes": "e30="}),
        delta(0, novelty={"text": "new"}),
        delta(0, text=5),
        ("contentBlockDelta", {"contentBlockIndex": {}, "delta": "text"}),
        ("contentBlockStart", {"start": {"novelty": {}}}),
        stop(7),
        ("messageStop", {}),
        ("metadata", {"usage": [], "serviceTier": "flex", "trace": {}}),
    ]
    assert decode(stream(*said)) == [Started(), Finished(0, "stop", None), Ended()]


def test_the_tier_is_told_at_the_end() -> None:
    said = ("metadata", USAGE | {"serviceTier": {"type": "flex"}})
    assert decode(stream(START, end()[0], said))[2:] == [
        Started(service_tier="flex"), COUNTED, Ended()
    ]  # fmt: skip


def exception(kind: str, **said: Any) -> bytes:
    headers = {":message-type": "exception", ":exception-type": kind}
    return frame(headers, json.dumps(said).encode())


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("throttlingException", 429), ("modelStreamErrorException", 502),
        ("validationException", 400), ("internalServerException", 500),
        ("serviceUnavailableException", 503), ("modelTimeoutException", 408),
        ("somethingNewException", None),
    ],
)  # fmt: skip
def test_exceptions(kind: str, status: int | None) -> None:
    said = stream(START, delta(0, text="hel")) + exception(kind, message="too bad")
    assert decode(said + HELLO) == [
        Started(),
        Text(0, "hel"),
        Failed(status, "too bad", kind, '{"message": "too bad"}'),
    ]
    told = sse((kind, {"message": "too bad"}))
    assert decode(told) == [Failed(status, "too bad", kind, '{"message":"too bad"}')]


def test_exceptions_without_words() -> None:
    headers = {":message-type": "error", ":error-code": "Internal", ":error-message": "it broke"}
    assert decode(frame(headers, b"")) == [Failed(None, "it broke", "Internal", "")]
    assert decode(exception("throttlingException")) == [
        Failed(429, "throttlingException", "throttlingException", "{}")
    ]
    assert decode(frame({":message-type": "exception"}, b"")) == [Failed(None, "", None, "")]


BROKEN = [
    pytest.param(frame(EVENT | {":event-type": "metadata"}, b"{"), id="no JSON"),
    pytest.param(frame(EVENT | {":event-type": "metadata"}, b"[]"), id="no object"),
    pytest.param(stream(delta(0, toolUse={"input": "x"})), id="of no call"),
    pytest.param(message("metadata", {})[:-1] + b"?", id="a wrong checksum"),
]


@pytest.mark.parametrize("broken", BROKEN)
def test_broken_streams(broken: bytes) -> None:
    reader, events = decoder(Quirks()), list[Event]()

    def read() -> None:
        for event in reader.feed(stream(START, delta(0, text="x"), stop(0)) + broken):
            events.append(event)

    with pytest.raises(GatewayError) as error:
        read()
    assert error.value.kind == "provider_malformed"
    assert events == [Started(), Text(0, "x")]


def test_half_a_message_is_none() -> None:
    assert decode(stream(START, delta(0, text="x")) + HELLO[:20]) == [Started(), Text(0, "x")]


def whole(content: Iterable[Json], reason: str = "end_turn", **more: Any) -> bytes:
    answer = {"output": {"message": {"role": "assistant", "content": list(content)}}}
    return json.dumps(answer | {"stopReason": reason} | USAGE | more).encode()


def test_a_whole_answer() -> None:
    content: list[Json] = [
        {"text": "hello"},
        {"text": ""},
        {"toolUse": TOOL | {"input": {"a": [1.0]}}},
    ]
    body = whole(content, "tool_use", serviceTier={"type": "flex"}, trace={})
    assert decode_answer(body, Quirks()) == [
        Started(service_tier="flex"),
        Text(0, "hello"),
        ToolCall(0, 0, "t1", "look", ""),
        ToolCall(0, 0, None, None, '{"a":[1.0]}'),
        Finished(0, "tool_calls", "tool_use"),
        COUNTED,
        Ended(),
    ]


def test_a_whole_refusal() -> None:
    body = b'{"__type":"com.amazon#ThrottlingException","message":"slow down"}'
    assert decode_answer(body, Quirks()) == [
        Failed(429, "slow down", "com.amazon#ThrottlingException", "")
    ]
    assert decode_answer(b'{"Message":"no"}', Quirks()) == [Failed(None, "no", None, "")]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"output":{"message":{"content":"x"}}}'])
def test_no_answer(body: bytes) -> None:
    with pytest.raises(GatewayError) as error:
        decode_answer(body, Quirks())
    assert error.value.kind == "provider_malformed"


WORDS = """text toolUse toolResult reasoningContent reasoningText signature redactedContent citation
citationsContent citations content image source bytes format input toolUseId name type start delta
contentBlockIndex usage inputTokens serviceTier location web url stopReason"""
KEYS = st.sampled_from(WORDS.split())
LEAVES = st.sampled_from((None, True, -1, 0.5, "", "x", "QQ==", "t1", "server_tool_use"))
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda some: st.lists(some, max_size=3) | st.dictionaries(KEYS, some, max_size=4),
    max_leaves=10,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=4)
KINDS = st.sampled_from(
    ("contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata")
)


def outcome(*pieces: bytes) -> list[Event] | str:
    try:
        return decode(*pieces)
    except GatewayError as error:
        return error.kind


@settings(deadline=None)
@given(st.lists(st.tuples(KINDS, OBJECTS), max_size=8))
def test_whatever_comes_is_read_or_malformed(said: list[Said]) -> None:
    for body in (stream(*said), sse(*said)):
        found = outcome(body)
        assert found == outcome(*(bytes([byte]) for byte in body))
        assert isinstance(found, list) or found == "provider_malformed"
    with suppress(GatewayError):
        answer = whole(one for _, one in said)
        assert isinstance(decode_answer(answer, Quirks())[0], Started)


def test_an_exception_that_is_too_deep_to_be_told() -> None:
    said = b'data: {"throttlingException":' + b"[" * 300 + b"]" * 300 + b"}\n\n"
    with pytest.raises(GatewayError) as error:
        list(decoder(Quirks()).feed(said))
    assert error.value.kind == "provider_malformed"
