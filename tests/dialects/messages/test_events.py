"""An answer of Anthropic's becomes events, the same ones however its bytes were sliced."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.messages.blocks import FORMAT
from proxy.dialects.messages.events import REASONS, STATUSES, decode_answer, decoder
from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.events import (
    Attachments,
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

Json = dict[str, Any]
STARTED = Started("msg_1", service_tier="default")


def sse(*events: Json) -> bytes:
    frames = (f"event: {one.get('type')}\ndata: {json.dumps(one)}  \n\n" for one in events)
    return "".join(frames).encode()


def stream(body: bytes) -> list[Event]:
    reading = decoder(Quirks())
    return [*reading.feed(body), *reading.end()]


def start(**usage: Any) -> Json:
    message: Json = {"id": "msg_1", "type": "message", "content": [], "stop_reason": None}
    return {"type": "message_start", "message": {**message, "usage": usage}}


def block(kind: str, *deltas: Json, index: int = 0, **said: Any) -> list[Json]:
    begun = {"type": "content_block_start", "index": index}
    return [
        {**begun, "content_block": {"type": kind, **said}},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


CALLS = (
    ToolCall(0, 0, "a", "f", ""),
    ToolCall(0, 0, None, None, "{}"),
    ToolCall(0, 1, "b", "f", ""),
    ToolCall(0, 1, None, None, "{}"),
)


def finish(reason: Any = "end_turn", usage: Any = None, **more: Any) -> Json:
    delta = {"stop_reason": reason, "stop_sequence": None, **more}
    return {"type": "message_delta", "delta": delta, "usage": usage}


STOP = {"type": "message_stop"}


def heard(*events: Json) -> list[Event]:
    """The events between the first, that it began, and the last, that it ended."""
    began, *told, ended = stream(sse(start(service_tier="standard"), *events, STOP))
    assert (began, ended) == (STARTED, Ended())
    return told


def answered(*blocks: Json, **more: Any) -> list[Event]:
    message = {
        "id": "msg_1",
        "type": "message",
        "content": list(blocks),
        "stop_reason": "end_turn",
        "usage": {"service_tier": "standard"},
        **more,
    }
    began, *told, ended = decode_answer(json.dumps(message).encode(), Quirks())
    assert (began, ended) == (STARTED, Ended())
    return told


def text_delta(text: str) -> Json:
    return {"type": "text_delta", "text": text}


def json_delta(piece: str) -> Json:
    return {"type": "input_json_delta", "partial_json": piece}


def thought(index: int = 0, **said: str) -> Json:
    return {"type": "reasoning.text", **said, "format": FORMAT, "index": index}


END = Finished(0, "stop", "end_turn")


@pytest.mark.parametrize(
    ("first", "last", "tiers"),
    [
        ({"speed": "fast", "service_tier": "standard"}, {}, ["priority"]),
        ({"service_tier": "standard"}, {"speed": "fast"}, ["default", "priority"]),
        ({"speed": "standard", "service_tier": "standard"}, {}, ["default"]),
        ({"service_tier": 5}, {}, [None]),
    ],
)
def test_fast_mode_is_a_service_tier(first: Json, last: Json, tiers: list[str | None]) -> None:
    events = stream(sse(start(**first), finish(usage=last), STOP))
    assert [one.service_tier for one in events if isinstance(one, Started)] == tiers


def test_text() -> None:
    told = heard(*block("text", text_delta("a"), text_delta(""), text_delta("b"), text=""))
    assert told == [Text(0, "a"), Text(0, "b")]
    assert answered({"type": "text", "text": "ab"}) == [Text(0, "ab"), END]


def test_thoughts_and_their_signature() -> None:
    deltas = (
        {"type": "thinking_delta", "thinking": "a"},
        {"type": "thinking_delta", "thinking": ""},
        {"type": "signature_delta", "signature": "s"},
    )
    told = heard(*block("thinking", *deltas, thinking="", signature=""))
    assert told == [
        Reasoning(0, "a", (thought(text="a"),)),
        Reasoning(0, "", (thought(signature="s"),)),
    ]
    whole = {"type": "thinking", "thinking": "a", "signature": "s"}
    silent = {"type": "thinking", "thinking": "", "signature": "t"}
    assert answered(whole, silent) == [
        Reasoning(0, "a", (thought(text="a", signature="s"),)),
        Reasoning(0, "", (thought(1, signature="t"),)),
        END,
    ]


def test_thoughts_that_are_hidden() -> None:
    wanted = {"type": "reasoning.encrypted", "data": "x", "format": FORMAT, "index": 0}
    hidden = Reasoning(0, "", (wanted,))
    later = Reasoning(0, "b", (thought(1, text="b", signature="s"),))
    after = {"type": "thinking", "thinking": "b", "signature": "s"}
    assert answered({"type": "redacted_thinking", "data": "x"}, after) == [hidden, later, END]
    assert heard(*block("redacted_thinking", data="x"))[0] == hidden


def test_calls() -> None:
    told = heard(
        *block("tool_use", json_delta(""), json_delta('{"a"'), json_delta(":1}"), id="a", name="f"),
        *block("tool_use", json_delta(""), id="b", name="g", input={}, index=1),
        *block("tool_use", id="c", name="h", input={"x": 1}, index=2),
        finish("tool_use"),
    )
    assert told == [
        ToolCall(0, 0, "a", "f", ""),
        ToolCall(0, 0, None, None, '{"a"'),
        ToolCall(0, 0, None, None, ":1}"),
        ToolCall(0, 1, "b", "g", ""),
        ToolCall(0, 1, None, None, "{}"),
        ToolCall(0, 2, "c", "h", ""),
        ToolCall(0, 2, None, None, '{"x":1}'),
        Finished(0, "tool_calls", "tool_use"),
    ]


SEARCH = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
RESULT = {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"url": "u"}]}


def search(index: int = 0, result: str | None = None, **more: Any) -> Reasoning:
    detail = {
        "type": "reasoning.server_tool_call",
        "tool_name": "web_search",
        "arguments": '{"query":"q"}',
        "result": json.dumps(RESULT, separators=(",", ":")) if result is None else result,
        "tool_call_id": "s",
        "format": FORMAT,
        "index": index,
        **more,
    }
    return Reasoning(0, "", (detail,))


def test_a_server_tool_is_told_with_its_result() -> None:
    use = block("server_tool_use", json_delta('{"query":"q"}'), id="s", name="web_search", input={})
    given: Json = {key: value for key, value in RESULT.items() if key != "type"}
    told = heard(*use, *block("web_search_tool_result", **given), *block("text", text_delta("a")))
    assert told == [search(), Text(0, "a")]
    whole = {**SEARCH, "input": {"query": "q"}, "caller": {"type": "direct"}}
    assert answered(whole, RESULT) == [search(caller={"type": "direct"}), END]
    named = {**SEARCH, "type": "mcp_tool_use", "input": {"query": "q"}, "server_name": "maps"}
    assert answered(named, RESULT) == [search(server_name="maps"), END]


def test_server_tools_side_by_side() -> None:
    first, second = ({**SEARCH, "id": id_, "input": {"query": "q"}} for id_ in "ab")
    results = [{**RESULT, "tool_use_id": id_} for id_ in "ba"]
    told = answered(first, second, *results)
    ids = [event.details[0]["tool_call_id"] for event in told if isinstance(event, Reasoning)]
    assert ids == ["b", "a"]
    lost = answered(first, {**RESULT, "tool_use_id": "renamed"})
    assert isinstance(lost[0], Reasoning)
    assert lost[0].details[0]["tool_call_id"] == "a"
    assert answered(RESULT) == [END], "a result of nothing"


def test_a_turn_that_was_paused_keeps_what_is_under_way() -> None:
    told = answered({**SEARCH, "input": {"query": "q"}}, stop_reason="pause_turn")
    assert told == [search(result=""), Finished(0, "stop", "pause_turn")]


WEB = {
    "type": "web_search_result_location",
    "url": "https://example.com",
    "title": None,
    "cited_text": "c",
    "encrypted_index": "e",
}
PAGE = {"type": "page_location", "cited_text": "c", "document_index": 0, "start_page_number": 1}


def test_citations_span_their_block() -> None:
    told = heard(
        *block("text", text_delta("ab"), text=""),
        *block(
            "text",
            {"type": "citations_delta", "citation": WEB},
            text_delta("cde"),
            {"type": "citations_delta", "citation": PAGE},
            {"type": "citations_delta"},
            text="",
        ),
    )
    web = {
        "url": "https://example.com",
        "title": "https://example.com",
        "start_index": 2,
        "end_index": 5,
        "content": "c",
    }
    cited = Attachments(
        0,
        "annotations",
        (
            {"type": "url_citation", "url_citation": web},
            {"type": "file_citation", "file_citation": {**PAGE, "start_index": 2, "end_index": 5}},
        ),
    )
    assert told == [Text(0, "ab"), Text(0, "cde"), cited]
    whole = {"type": "text", "text": "cde", "citations": [WEB, PAGE]}
    assert answered({"type": "text", "text": "ab"}, whole) == [*told, END]
    assert answered({"type": "text", "text": "ab", "citations": None})[0] == Text(0, "ab")


def test_a_citation_without_an_address_is_one_of_a_file() -> None:
    told = answered({"type": "text", "text": "a", "citations": [{**WEB, "url": None}]})
    assert isinstance(told[1], Attachments)
    assert told[1].items[0]["type"] == "file_citation"


@pytest.mark.parametrize("native", [*REASONS, "compaction"])
def test_why_it_ended(native: str) -> None:
    reason = REASONS.get(native, "stop")
    assert heard(finish(native)) == [Finished(0, reason, native)]
    told = answered({"type": "tool_use", "id": "a", "name": "f"}, stop_reason=native)
    assert told[-1] == Finished(0, "tool_calls" if reason == "stop" else reason, native)


def test_a_refusal_says_why() -> None:
    why = {"type": "refusal", "explanation": "No."}
    wanted = [Refusal(0, "No."), Finished(0, "content_filter", "refusal")]
    assert heard(finish("refusal", stop_details=why)) == wanted
    assert answered(stop_reason="refusal", stop_details={**why, "explanation": None}) == wanted[1:]


def test_it_ends_once() -> None:
    assert heard(finish(None), finish(), finish("max_tokens")) == [END]


def test_usage_is_cumulative_and_told_at_the_end() -> None:
    begun = start(input_tokens=5, cache_read_input_tokens=2, output_tokens=1)
    told = stream(
        sse(begun, finish(usage={"output_tokens": 9, "cache_read_input_tokens": None}), STOP)
    )
    counted = UsageReport(Usage(prompt_tokens=7, completion_tokens=9, cached_tokens=2))
    known = Started("msg_1", prompt=Usage(prompt_tokens=7, cached_tokens=2))
    assert told == [known, END, counted, Ended()]
    assert answered(usage={"service_tier": "standard", "output_tokens": 4})[-1] == UsageReport(
        Usage(completion_tokens=4)
    )


def test_a_stream_that_is_cut_has_only_the_usage_of_its_prompt_and_no_end() -> None:
    told = stream(sse(start(input_tokens=5, output_tokens=1), *block("text", text_delta("a"))))
    assert told == [Started("msg_1", prompt=Usage(prompt_tokens=5)), Text(0, "a")]


def test_blocks_that_nobody_says_are_over() -> None:
    first, last = (block("tool_use", id=id_, name="f", input={})[0] for id_ in "ab")
    told = [event for event in heard(first, last, finish("tool_use")) if event in CALLS]
    assert told == list(CALLS)


@pytest.mark.parametrize("kind", [*STATUSES, "new_error", None])
def test_an_error_inside(kind: str | None) -> None:
    error = {"type": kind, "message": "Overloaded"}
    wanted = Failed(
        STATUSES.get(kind or ""), "Overloaded", kind, json.dumps(error, separators=(",", ":"))
    )
    event = {"type": "error", "error": error, "request_id": "req_1"}
    assert stream(sse(start(), event)) == [Started("msg_1"), wanted]
    assert decode_answer(json.dumps(event).encode(), Quirks()) == [wanted, Ended()]


def test_an_error_that_says_nothing() -> None:
    assert stream(sse({"type": "error"})) == [Failed(None, "", None, "{}")]


@pytest.mark.parametrize(
    "event",
    [
        {"type": "ping"},
        {"type": "later"},
        {},
        {"type": "content_block_start"},
        {"type": "content_block_stop"},
        {"type": "content_block_delta"},
        {"type": "content_block_delta", "delta": {"type": "later"}},
        {"type": "content_block_delta", "delta": json_delta("{}")},
        {"type": "content_block_start", "content_block": {"type": "compaction"}},
        {"type": "message_delta"},
    ],
)
def test_what_is_not_known_says_nothing(event: Json) -> None:
    assert heard(event) == []


def test_blocks_that_are_none() -> None:
    assert answered(*[None, 5], {"type": 7}, {"type": "text", "text": 5}) == [END]  # type: ignore[arg-type]


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"content": "a"}'])
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        decode_answer(body, Quirks())
    assert caught.value.kind == "provider_malformed"


def test_what_is_no_stream() -> None:
    with pytest.raises(GatewayError) as caught:
        stream(b"data: {\n\n")
    assert caught.value.kind == "provider_malformed"


def test_an_input_that_is_too_deep() -> None:
    deep = '{"a":' * 400 + "1" + "}" * 400
    body = (
        '{"content":[{"type":"tool_use","id":"a","name":"f","input":%s}],"stop_reason":"tool_use"}'
    )
    with pytest.raises(GatewayError) as caught:
        decode_answer((body % deep).encode(), Quirks())
    assert caught.value.kind == "provider_malformed"


WHOLE = sse(
    start(input_tokens=5),
    {"type": "ping"},
    *block("thinking", {"type": "thinking_delta", "thinking": "é"}, thinking=""),
    *block("text", text_delta("𝄞b"), text="", index=1),
    *block("tool_use", json_delta('{"a":'), json_delta("1}"), id="a", name="f", index=2),
    finish("tool_use", usage={"output_tokens": 3}),
    STOP,
)


@given(st.lists(st.integers(0, len(WHOLE)), max_size=8).map(sorted), st.booleans())
def test_slicing_changes_nothing(cuts: list[int], crlf: bool) -> None:
    reading = decoder(Quirks())
    told: list[Event] = []
    for begin, end in zip([0, *cuts], [*cuts, len(WHOLE)], strict=True):
        piece = WHOLE[begin:end]
        told += reading.feed(piece.replace(b"\n", b"\r\n") if crlf else piece)
    assert [*told, *reading.end()] == stream(WHOLE)


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "text", "tool_use", "a"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["type", "text", "citations", "usage", "id", "input", "stop_details"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
KINDS = ["content_block_start", "content_block_delta", "content_block_stop", "message_delta"]
EVENTS = st.fixed_dictionaries(
    {"type": st.sampled_from([*KINDS, "message_start", "error"])},
    optional=dict.fromkeys(("content_block", "delta", "message", "usage", "error", "index"), ODD),
)


@given(st.lists(EVENTS, max_size=4))
def test_whatever_is_sent_is_told_or_left_out(events: list[Json]) -> None:
    stream(sse(*events))
