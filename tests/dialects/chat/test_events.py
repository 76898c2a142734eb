"""A provider's answer becomes events, the same ones however its bytes were sliced."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects import reading as reading_module
from proxy.dialects.chat.events import decode_answer, decoder
from proxy.dialects.chat.whole import REASONS
from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.events import (
    Attachments,
    Audio,
    Ended,
    Event,
    Failed,
    Finished,
    Reasoning,
    Refusal,
    Started,
    Text,
    ToolCall,
    Usage,
    UsageReport,
)
from proxy.wire.frames import FRAME_BYTES_MAX, Splitter

Json = dict[str, Any]
DONE = b"data: [DONE]\n\n"
LOGPROBS = {"content": [{"token": "a", "logprob": -0.1}]}


def chunk(delta: Any = None, finish: Any = None, index: Any = 0, **more: Any) -> Json:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    choice |= {key: more.pop(key) for key in ("logprobs", "native_finish_reason") if key in more}
    return {"choices": [choice], **more}


def sse(*chunks: Json) -> bytes:
    return b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in chunks)


def stream(body: bytes, quirks: Quirks | None = None) -> list[Event]:
    reading = decoder(quirks or Quirks())
    return [*reading.feed(body), *reading.end()]


def heard(*chunks: Json) -> list[Event]:
    """The events of these chunks but the first, which is that something came."""
    began, *events = stream(sse(*chunks))
    assert began == Started()
    return events


def answered(message: Any, finish: Any = "stop", **more: Any) -> list[Event]:
    choice = {"index": 0, "message": message, "finish_reason": finish}
    choice |= {key: more.pop(key) for key in ("logprobs", "finish_details") if key in more}
    body = json.dumps({"choices": [choice], **more}).encode()
    began, *events, ended = decode_answer(body, Quirks())
    assert isinstance(began, Started)
    assert ended == Ended()
    return events


CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
SAID: list[tuple[Any, list[Event]]] = [
    ({"content": "a"}, [Text(0, "a")]),
    ({"role": "assistant", "content": ""}, []),
    ({"content": None}, []),
    ({"content": 5}, []),
    ({}, []),
    (None, []),
    ("a", []),
    ({"refusal": "no"}, [Refusal(0, "no")]),
    ({"reasoning": "hm"}, [Reasoning(0, "hm")]),
    ({"reasoning_content": "hm"}, [Reasoning(0, "hm")]),
    ({"reasoning": "hm", "reasoning_content": "hm"}, [Reasoning(0, "hm")]),
    ({"reasoning": None, "reasoning_content": "hm"}, [Reasoning(0, "hm")]),
    ({"reasoning_details": [{"type": "t"}]}, [Reasoning(0, "", ({"type": "t"},))]),
    ({"reasoning_details": [], "reasoning": ""}, []),
    (
        {"content": [{"type": "thinking", "thinking": [{"text": "hm"}]}, {"text": "a"}]},
        [Reasoning(0, "hm"), Text(0, "a")],
    ),
    ({"reasoning": "hm", "content": "a"}, [Reasoning(0, "hm"), Text(0, "a")]),
    ({"tool_calls": [CALL]}, [ToolCall(0, 0, "c", "f", "{}")]),
    ({"tool_calls": None}, []),
    ({"function_call": {"name": "f", "arguments": "{}"}}, [ToolCall(0, 0, None, "f", "{}")]),
    ({"function_call": None}, []),
    ({"audio": {"id": "a"}}, [Audio(0, {"id": "a"})]),
    ({"audio": None}, []),
    ({"audio": {}}, []),
    ({"annotations": [{"a": 1}], "images": []}, [Attachments(0, "annotations", ({"a": 1},))]),
    ({"images": [{"a": 1}]}, [Attachments(0, "images", ({"a": 1},))]),
]


@pytest.mark.parametrize(("said", "events"), SAID, ids=str)
def test_what_is_said(said: Any, events: list[Event]) -> None:
    assert heard(chunk(said)) == events
    calls = any(isinstance(event, ToolCall) for event in events)
    finished = Finished(0, "tool_calls" if calls else "stop", "stop")
    assert answered(said) == [*events, finished]


def test_logprobs_travel_with_their_piece() -> None:
    assert heard(chunk({"content": "a"}, logprobs=LOGPROBS)) == [Text(0, "a", LOGPROBS)]
    assert heard(chunk({"content": ""}, logprobs=LOGPROBS)) == [Text(0, "", LOGPROBS)]
    assert heard(chunk({"refusal": "n"}, logprobs=LOGPROBS)) == [Refusal(0, "n", LOGPROBS)]
    assert heard(chunk({"content": "a"}, logprobs=-0.1)) == [Text(0, "a")]
    said = answered({"content": "a"}, logprobs=LOGPROBS)
    assert said[0] == Text(0, "a", LOGPROBS)


@pytest.mark.parametrize("native", [*REASONS, "of_tomorrow"])
def test_finish_reasons(native: str) -> None:
    reason = REASONS.get(native, "stop")
    for events in (heard(chunk({"content": "a"}, native)), answered({"content": "a"}, native)):
        if reason == "error":
            message = f"The provider ended the answer with {native!r}."
            assert events[1:] == [Failed(None, message, native, "")]
        else:
            assert events[1:] == [Finished(0, reason, native)]


def test_openrouters_own_finish() -> None:
    events = heard(chunk({}, "stop", native_finish_reason="end_turn"))
    assert events == [Finished(0, "stop", "end_turn")]


def test_a_finish_that_came_is_not_taken_again() -> None:
    first, again = chunk({"content": "a"}, "length"), chunk({"content": ""}, "stop")
    assert heard(first, again) == [Text(0, "a"), Finished(0, "length", "length")]


def test_a_call_makes_a_stop_a_call() -> None:
    events = heard(chunk({"tool_calls": [CALL]}), chunk({}, "stop"))
    assert events == [ToolCall(0, 0, "c", "f", "{}"), Finished(0, "tool_calls", "stop")]
    events = heard(chunk({"tool_calls": [CALL]}), chunk({}, "length"))
    assert events[-1] == Finished(0, "length", "length")


def test_a_whole_answer_without_finish() -> None:
    assert answered({"content": "a"}, None) == [Text(0, "a"), Finished(0, "stop", None)]
    details = {"type": "max_tokens"}
    events = answered({"content": "a"}, None, finish_details=details)
    assert events == [Text(0, "a"), Finished(0, "length", "max_tokens")]


def test_tools_that_a_provider_ran_itself_are_reasoning() -> None:
    ran = [
        {"index": 0, "type": "python", "arguments": "{}", "output": "1\n"},
        {"index": 1, "type": "browser_search", "name": "browser.search"},
        "odd",
    ]
    details = (
        {
            "type": "reasoning.server_tool_call",
            "tool_name": "python",
            "arguments": "{}",
            "result": "1\n",
            "format": "unknown",
        },
        {
            "type": "reasoning.server_tool_call",
            "tool_name": "browser.search",
            "arguments": "",
            "result": "",
            "format": "unknown",
        },
    )
    told = {"reasoning": "hm", "executed_tools": ran, "content": "x"}
    said = [Reasoning(0, "hm"), Reasoning(0, "", details), Text(0, "x")]
    assert heard(chunk(told)) == said
    assert answered(told)[:3] == said
    assert heard(chunk({"executed_tools": 7})) == []


def test_choices_are_kept_apart() -> None:
    events = heard(
        chunk({"tool_calls": [CALL]}, index=1), chunk({"content": "a"}), chunk({}, "stop"),
        chunk({}, "stop", index=1), chunk({"content": "b"}, index="x"),
    )  # fmt: skip
    assert events == [
        ToolCall(1, 0, "c", "f", "{}"), Text(0, "a"), Finished(0, "stop", "stop"),
        Finished(1, "tool_calls", "stop"), Text(0, "b"),
    ]  # fmt: skip


def test_the_beginning_is_told_once_and_again_when_the_tier_is_known() -> None:
    first = chunk({"content": "a"}, id="x", system_fingerprint="fp")
    other = chunk({"content": "b"}, id="y", system_fingerprint="fp2")
    tier = chunk({"content": "c"}, service_tier="flex")
    assert stream(sse(first, other, tier)) == [
        Started(upstream_id="x", system_fingerprint="fp"), Text(0, "a"), Text(0, "b"),
        Started(upstream_id="x", system_fingerprint="fp", service_tier="flex"), Text(0, "c"),
    ]  # fmt: skip


def test_the_newer_name_of_a_tier_is_the_older_one() -> None:
    """The answers to one request have one name for it, whatever its model."""
    fast = [chunk({"content": text}, service_tier="fast") for text in "ab"]
    assert stream(sse(*fast)) == [Started(service_tier="priority"), Text(0, "a"), Text(0, "b")]


def test_citations_come_with_the_finish() -> None:
    cited = {"search_results": [{"url": "https://a", "title": "A"}]}
    events = heard(chunk({"content": "a"}, **cited), chunk({}, "stop", index=1), chunk({}, "stop"))
    source = {"url": "https://a", "title": "A", "start_index": 0, "end_index": 0}
    annotation = {"type": "url_citation", "url_citation": source}
    assert events == [
        Text(0, "a"), Finished(1, "stop", "stop"),
        Attachments(0, "annotations", (annotation,)), Finished(0, "stop", "stop"),
    ]  # fmt: skip


COUNTS = {"prompt_tokens": 1, "completion_tokens": 2}
REPORT = UsageReport(Usage(prompt_tokens=1, completion_tokens=2))


@pytest.mark.parametrize(
    ("more", "events"),
    [
        ({"usage": COUNTS}, [REPORT]),
        ({"usage": None}, []),
        ({"usage": {}}, []),
        ({"usage": {"prompt_tokens": -1, "completion_tokens": 2**63}}, []),
        ({"x_groq": {"usage": COUNTS}}, [REPORT]),
        ({"x_groq": {"id": "r"}}, []),
        ({"x_groq": "r"}, []),
        ({"usage": COUNTS, "x_groq": {"usage": {}}}, [REPORT]),
    ],
    ids=str,
)
def test_usage(more: Json, events: list[Event]) -> None:
    assert heard({"choices": [], **more}) == events


def test_an_error_inside_an_answer_keeps_its_usage() -> None:
    body = sse({"error": {"message": "No.", "code": 400}, "usage": COUNTS})
    failed = Failed(400, "No.", "400", '{"message":"No.","code":400}')
    assert stream(body) == [REPORT, failed]
    assert decode_answer(body[6:-2], Quirks()) == [REPORT, failed, Ended()]


def test_nothing_counts_after_the_end() -> None:
    body = sse(chunk({"content": "a"})) + DONE + sse(chunk({"content": "b"})) + b"data: {\n\n"
    assert stream(body) == [Started(), Text(0, "a"), Ended()]


def test_events_without_data_are_no_events() -> None:
    assert stream(b": hello\n\nevent: ping\n\ndata:\n\ndata:  \n\n" + DONE) == [Ended()]


def test_what_stood_last_counts_if_it_is_whole() -> None:
    whole = sse(chunk({"content": "a"})).rstrip(b"\n")
    assert stream(whole) == [Started(), Text(0, "a")]
    assert stream(whole[:-1]) == []
    assert stream(b"data: [DONE]") == [Ended()]


BROKEN: dict[str, bytes] = {
    "no JSON": b"hello",
    "half": b'{"choices":',
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "NaN": b'{"a":NaN}',
    "too deep": b"[" * 5000 + b"]" * 5000,
    "bad UTF-8": b'{"a":"\xff"}',
    "a broken escape": rb'{"a":"\ud8"}',
    "HTML": b"<html>",
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_an_error(body: bytes) -> None:
    with pytest.raises(GatewayError) as raised:
        list(decoder(Quirks()).feed(b"data: " + body + b"\n\n"))
    assert raised.value.kind == "provider_malformed"
    with pytest.raises(GatewayError) as raised:
        decode_answer(body, Quirks())
    assert raised.value.kind == "provider_malformed"
    assert "<html>" not in raised.value.message


@pytest.mark.parametrize("body", [{}, {"choices": []}, {"choices": None}, {"usage": {}}], ids=str)
def test_an_answer_without_choices_is_none(body: Json) -> None:
    with pytest.raises(GatewayError, match="no choices"):
        decode_answer(json.dumps(body).encode(), Quirks())


def test_an_event_may_be_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_module, "Splitter", lambda: Splitter(frame_bytes_max=64))
    with pytest.raises(GatewayError, match="too long") as raised:
        stream(b"data: " + b"x" * 100)
    assert raised.value.kind == "provider_malformed"


# Providers cut characters beyond the first plane into halves, which are no JSON of their own.

HALVES: dict[str, tuple[list[bytes], str]] = {
    "a whole pair": ([rb"\ud83d\ude00"], "😀"),
    "cut in two": ([rb"a\ud83d", rb"\ude00b"], "a😀b"),
    "cut again": ([rb"\ud83d", rb"\ude00\ud83d", rb"\ude01"], "😀😁"),
    "capitals": ([rb"\uD83D", rb"\uDE00"], "😀"),
    "a second half alone": ([rb"a\ude00b"], "a\ufffdb"),
    "a second half first": ([rb"\ude00", rb"b"], "\ufffdb"),
    "a first half inside": ([rb"a\ud83db"], "a\ufffdb"),
    "an escaped backslash": ([rb"a\\ud83d"], r"a\ud83d"),
    "an escaped backslash before a half": ([rb"a\\\ud83db"], "a\\\ufffdb"),
    "other escapes": ([rb"\n\"\u00e9\ud83d", rb"\ude00\t"], '\n"é😀\t'),
}


@pytest.mark.parametrize(("texts", "expected"), HALVES.values(), ids=HALVES)
def test_halves_of_characters(texts: list[bytes], expected: str) -> None:
    bodies = [b'{"choices":[{"index":0,"delta":{"content":"' + text + b'"}}]}' for text in texts]
    events = stream(b"".join(b"data: " + body + b"\n\n" for body in bodies))
    said = "".join(event.text for event in events if isinstance(event, Text))
    assert said == expected


def test_a_whole_answer_with_half_a_character() -> None:
    body = rb'{"choices":[{"message":{"content":"a\ud83d b"}}]}'
    assert Text(0, "a\ufffd b") in decode_answer(body, Quirks())


def test_halves_that_never_meet_are_bounded() -> None:
    body = b'{"choices":[{"index":0,"delta":{"content":"' + rb"\ud83d" + b'"}}]}'
    reading = decoder(Quirks())
    texts = [
        event.text
        for _ in range(200)
        for event in reading.feed(b"data: " + body + b"\n\n")
        if isinstance(event, Text)
    ]
    assert set(texts) == {"\ufffd"}


@pytest.mark.parametrize(
    "broken", [b"data: {\n\n", b"data: " + b"x" * (FRAME_BYTES_MAX + 1)], ids=["json", "size"]
)
def test_events_before_a_fault_are_not_lost(broken: bytes) -> None:
    events = iter(decoder(Quirks()).feed(sse(chunk({"content": "a"})) + broken))
    assert [next(events), next(events)] == [Started(), Text(0, "a")]
    with pytest.raises(GatewayError) as raised:
        next(events)
    assert raised.value.kind == "provider_malformed"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["choices", "delta", "message", "content", "index", "usage", "error", "tool_calls",
             "finish_reason", "x_groq", "audio", "reasoning_details", "search_results", "logprobs"]
        ),
        inner,
        max_size=5,
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.lists(JSON.filter(lambda value: isinstance(value, dict)), max_size=4), st.data())
def test_odd_types_are_no_bugs_and_slicing_changes_nothing(chunks: list[Json], data: Any) -> None:
    body = sse(*chunks)
    expected = stream(body)
    reading, rest = decoder(Quirks()), body
    events: list[Event] = []
    while rest:
        cut = data.draw(st.integers(1, len(rest)))
        events += reading.feed(rest[:cut])
        rest = rest[cut:]
    assert [*events, *reading.end()] == expected
    for one in chunks:
        try:
            decode_answer(json.dumps(one).encode(), Quirks())
        except GatewayError as error:
            fault = error.kind
        else:
            fault = "provider_malformed"
        assert fault == "provider_malformed"
