"""Answers of the Responses API as events: whole, in pieces, and where only half of it is said."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.responses.events import decode_answer, decoder
from proxy.dialects.responses.items import OPENAI
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
from tests.truths.responses import XAI

Json = dict[str, Any]

USAGE = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
COUNTED = UsageReport(Usage(prompt_tokens=3, completion_tokens=2))
STOP = Finished(0, "stop", "completed")
CALLED = Finished(0, "tool_calls", "completed")


def response(*output: Json, **more: Any) -> Json:
    return {"id": "r", "status": "completed", "output": list(output), "usage": USAGE, **more}


def completed(*output: Json, **more: Any) -> Json:
    return {"type": "response.completed", "response": response(*output, **more)}


def frames(*events: Json, named: bool = True) -> bytes:
    lines = b""
    for event in events:
        name = f"event: {event['type']}\n" if named and "type" in event else ""
        lines += f"{name}data: {json.dumps(event)}\n\n".encode()
    return lines


def streamed(*events: Json, format_: str = OPENAI) -> list[Event]:
    stream = decoder(Quirks(), format_)
    return [*stream.feed(frames(*events)), *stream.end()]


def whole(*output: Json, **more: Any) -> list[Event]:
    return decode_answer(json.dumps(response(*output, **more)).encode(), Quirks())


def content(events: list[Event]) -> list[Event]:
    ends = Started | Finished | UsageReport | Ended
    return [event for event in events if not isinstance(event, ends)]


def message(*parts: Json) -> Json:
    return {"type": "message", "role": "assistant", "id": "msg", "content": list(parts)}


def said(text: str, **more: Any) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], **more}


def delta(kind: str, piece: Any, item: int = 0, **more: Any) -> Json:
    place = {"output_index": item, "content_index": 0}
    return {"type": f"response.{kind}.delta", "delta": piece, **place, **more}


def added(item: Json, number: int = 0) -> Json:
    return {"type": "response.output_item.added", "output_index": number, "item": item}


def done(item: Json, number: int = 0) -> Json:
    return {"type": "response.output_item.done", "output_index": number, "item": item}


CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f"}
CUSTOM = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_1", "name": "f"}


# Text.


def test_a_stream_of_text() -> None:
    created = {"type": "response.created", "response": {"id": "r", "service_tier": "auto"}}
    assert streamed(
        created,
        added(message()),
        delta("output_text", "a"),
        delta("output_text", ""),
        delta("output_text", "b", logprobs=[]),
        {"type": "response.output_text.done", "text": "ab", "output_index": 0},
        done(message(said("ab"))),
        completed(message(said("ab")), service_tier="default"),
    ) == [
        Started(upstream_id="r"),
        Text(0, "a"),
        Text(0, "b"),
        Started(upstream_id="r", service_tier="default"),
        STOP,
        COUNTED,
        Ended(),
    ]


@pytest.mark.parametrize(("told", "tier"), [("fast", "priority"), ("flex", "flex")])
def test_the_tier_that_was_served(told: str, tier: str) -> None:
    events = streamed(added(message()), completed(message(said("a")), service_tier=told))
    assert Started(upstream_id="r", service_tier=tier) in events


def test_a_whole_answer_is_the_same() -> None:
    assert whole(message(said("a"), said("b"))) == [
        Started(upstream_id="r"), Text(0, "a"), Text(0, "b"), STOP, COUNTED, Ended(),
    ]  # fmt: skip


def test_what_the_pieces_left_out_is_told_at_the_end() -> None:
    item = message(said("abc"))
    assert content(streamed(delta("output_text", "a"), done(item))) == [Text(0, "a"), Text(0, "bc")]
    assert content(streamed(done(item), done(item))) == [Text(0, "abc")]
    assert content(streamed(completed(item))) == [Text(0, "abc")]
    assert content(streamed(done(item), completed(item))) == [Text(0, "abc")]


def test_names_of_events_stand_for_their_types() -> None:
    stream = decoder(Quirks())
    data = b'event: response.output_text.delta\ndata: {"delta": "a", "output_index": 0}\n\n'
    data += b'event: response.failed\ndata: {"response": {}}\n\n'
    events = list(stream.feed(data))
    assert events[0] == Text(0, "a")
    assert isinstance(events[1], Failed)


def test_openrouter_names_no_events_and_ends_with_a_mark() -> None:
    data = b": OPENROUTER PROCESSING\n\n" + frames(
        delta("output_text", "a"), completed(), named=False
    )
    stream = decoder(Quirks())
    events = [*stream.feed(data + b"data: [DONE]\n\n"), *stream.end()]
    assert events == [Text(0, "a"), Started(upstream_id="r"), STOP, COUNTED, Ended()]


LOGPROBS = [{"token": "a", "logprob": -0.1, "top_logprobs": []}]


def test_probabilities_belong_to_their_piece() -> None:
    told = Text(0, "a", {"content": LOGPROBS, "refusal": None})
    piece = delta("output_text", "a", logprobs=LOGPROBS)
    item = message(said("a", logprobs=LOGPROBS))
    assert content(streamed(piece, done(item))) == [told]
    assert content(whole(item)) == [told]


def test_a_refusal() -> None:
    item = message({"type": "refusal", "refusal": "no."})
    assert content(streamed(delta("refusal", "no"), done(item))) == [
        Refusal(0, "no"),
        Refusal(0, "."),
    ]
    assert content(whole(item)) == [Refusal(0, "no.")]


def cites(start: int, url: str = "u") -> Json:
    span = {"start_index": start, "end_index": start + 1}
    return {"type": "url_citation", "url": url, "title": "t", **span}


def cited(start: int, url: str = "u") -> Attachments:
    span = {"start_index": start, "end_index": start + 1}
    told = {"url": url, "title": "t", **span}
    return Attachments(0, "annotations", ({"type": "url_citation", "url_citation": told},))


def test_a_source_is_told_once() -> None:
    place = {"output_index": 0, "content_index": 0}
    annotation = {"type": "response.output_text.annotation.added", **place, "annotation": cites(0)}
    item = message(said("ab", annotations=[cites(0), cites(1, "v")]))
    events = streamed(delta("output_text", "ab"), annotation, done(item))
    assert content(events) == [Text(0, "ab"), cited(0), cited(1, "v")]


def test_places_are_those_in_the_whole_text() -> None:
    parts = [said("abc"), said("de", annotations=[cites(1)])]
    wanted = [Text(0, "abc"), Text(0, "de"), cited(4)]
    assert content(whole(message(*parts))) == wanted
    assert content(whole(message(parts[0]), message(parts[1]))) == wanted


def test_what_is_no_source_is_none() -> None:
    item = message(said("a", annotations=[7, {"type": "url_citation"}]))
    assert content(whole(item)) == [Text(0, "a")]


# Calls.


def test_a_call_is_known_by_the_id_that_results_name() -> None:
    events = streamed(
        added({**CALL, "arguments": ""}),
        delta("function_call_arguments", '{"x"'),
        delta("function_call_arguments", ":1}"),
        done({**CALL, "arguments": '{"x":1}'}),
        added({**CALL, "call_id": "call_2"}, 1),
        done({**CALL, "call_id": "call_2", "arguments": "{}"}, 1),
        completed(),
    )
    assert content(events) == [
        ToolCall(0, 0, "call_1", "f", ""),
        ToolCall(0, 0, None, None, '{"x"'),
        ToolCall(0, 0, None, None, ":1}"),
        ToolCall(0, 1, "call_2", "f", ""),
        ToolCall(0, 1, None, None, "{}"),
    ]
    assert CALLED in events


def test_a_custom_call() -> None:
    wanted = [
        ToolCall(0, 0, "call_1", "f", "", True),
        ToolCall(0, 0, None, None, "free", True),
    ]
    piece = delta("custom_tool_call_input", "free")
    assert content(streamed(added(CUSTOM), piece, done({**CUSTOM, "input": "free"}))) == wanted
    assert content(whole({**CUSTOM, "input": "free"})) == wanted


def test_a_call_that_is_told_late_is_told_whole() -> None:
    piece = delta("function_call_arguments", "{}")
    nameless = {"type": "function_call", "call_id": "call_1"}
    wanted = [ToolCall(0, 0, "call_1", "f", ""), ToolCall(0, 0, None, None, "{}")]
    assert content(streamed(added(nameless), piece, done({**CALL, "arguments": "{}"}))) == wanted
    assert content(streamed(done(nameless))) == []


def test_a_call_that_only_the_end_tells_is_told() -> None:
    text = {"type": "response.output_text.delta", "output_index": 0, "delta": "a"}
    called = {**CALL, "arguments": '{"x":1}'}
    events = streamed(text, completed(message({"type": "output_text", "text": "a"}), called))
    assert [event for event in events if isinstance(event, Text | ToolCall)] == [
        Text(0, "a"),
        ToolCall(0, 0, "call_1", "f", ""),
        ToolCall(0, 0, None, None, '{"x":1}'),
    ]
    assert CALLED in events


def test_a_call_without_the_usual_id_has_its_items() -> None:
    assert content(whole({"type": "function_call", "id": "fc_1", "name": "f"})) == [
        ToolCall(0, 0, "fc_1", "f", "")
    ]


def test_items_whose_ids_change_are_told_apart_by_their_place() -> None:
    events = streamed(
        added(message()),
        delta("output_text", "a", item_id="one"),
        delta("output_text", "b", item_id="two"),
        done({**message(said("ab")), "id": "three"}),
    )
    assert content(events) == [Text(0, "a"), Text(0, "b")]


# Reasoning.


def summary(piece: str, index: int, format_: str = OPENAI) -> Reasoning:
    detail = {"type": "reasoning.summary", "summary": piece, "format": format_, "index": index}
    return Reasoning(0, piece, (detail,))


def encrypted(data: str, index: int, id_: str = "rs_1", format_: str = OPENAI) -> Reasoning:
    detail = {"type": "reasoning.encrypted", "data": data, "format": format_, "id": id_}
    return Reasoning(0, "", ({**detail, "index": index},))


def thought(*texts: str, **more: Any) -> Json:
    summaries = [{"type": "summary_text", "text": text} for text in texts]
    return {"type": "reasoning", "id": "rs_1", "summary": summaries, **more}


def test_summaries_and_what_was_encrypted() -> None:
    events = streamed(
        added(thought(encrypted_content="early")),
        delta("reasoning_summary_text", "a", summary_index=0),
        delta("reasoning_summary_text", "b", summary_index=0),
        delta("reasoning_summary_text", "c", summary_index=1),
        done(thought("ab", "cd", encrypted_content="E")),
        done(thought(encrypted_content="F"), 1),
        format_=XAI,
    )
    assert content(events) == [
        summary("a", 0, XAI),
        summary("b", 0, XAI),
        summary("c", 1, XAI),
        summary("d", 1, XAI),
        encrypted("E", 2, format_=XAI),
        encrypted("F", 3, format_=XAI),
    ]


def test_keys_stand_in_openrouters_order() -> None:
    [first, second] = content(whole(thought("a", encrypted_content="E")))
    assert isinstance(first, Reasoning)
    assert isinstance(second, Reasoning)
    assert list(first.details[0]) == ["type", "summary", "format", "index"]
    assert list(second.details[0]) == ["type", "data", "format", "id", "index"]


def test_open_reasoning() -> None:
    detail = {"type": "reasoning.text", "text": "a", "format": OPENAI, "id": "rs_1", "index": 0}
    item = thought(content=[{"type": "reasoning_text", "text": "a"}])
    wanted = [Reasoning(0, "a", (detail,))]
    assert content(whole(item)) == wanted
    assert content(streamed(delta("reasoning_text", "a", item_id="rs_1"), done(item))) == wanted


def test_another_providers_reasoning_keeps_its_name() -> None:
    item = thought(encrypted_content="E", format="google-gemini-v1")
    assert content(whole(item)) == [encrypted("E", 0, format_="google-gemini-v1")]


def test_reasoning_that_says_nothing_is_none() -> None:
    assert content(whole(thought(content=None, encrypted_content=None))) == []
    assert content(whole(thought(encrypted_content="E", id=None))) == [
        Reasoning(
            0, "", ({"type": "reasoning.encrypted", "data": "E", "format": OPENAI, "index": 0},)
        )
    ]


def test_work_of_the_providers_tools_stands_among_the_reasoning() -> None:
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"q": "x"}}
    drawn = {"type": "image_generation_call", "id": "ig_1", "result": "AA=="}
    [first, work, painted, image] = content(whole(thought(encrypted_content="E"), search, drawn))
    assert first == encrypted("E", 0)
    assert isinstance(work, Reasoning)
    assert isinstance(painted, Reasoning)
    assert work.details[0]["tool_name"] == "web_search"
    assert [work.details[0]["index"], painted.details[0]["index"]] == [1, 2]
    assert image == Attachments(
        0, "images", ({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},)
    )


# Ends.


def test_an_answer_that_was_cut_off() -> None:
    cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    end = {"type": "response.incomplete", "response": response(**cut)}
    assert streamed(end)[1:] == [Finished(0, "length", "max_output_tokens"), COUNTED, Ended()]


def test_an_error_is_told_once() -> None:
    failure = {"code": "server_error", "message": "m"}
    events = streamed(
        delta("output_text", "a"),
        {"type": "error", **failure, "param": None, "sequence_number": 3},
        {"type": "response.failed", "response": response(status="failed", error=failure)},
    )
    assert events[0] == Text(0, "a")
    assert isinstance(events[1], Failed)
    assert (events[1].message, events[1].code) == ("m", "server_error")
    assert events[2:] == [COUNTED]


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "error": {"message": "m", "code": "c"}},
        {"error": {"message": "m", "code": "c"}},
        {"type": "response.failed", "response": {"error": {"message": "m", "code": "c"}}},
        {"type": "response.completed", "response": {"error": {"message": "m", "code": "c"}}},
    ],
)
def test_errors_of_every_form(event: Json) -> None:
    [failed] = streamed(event)
    assert isinstance(failed, Failed)
    assert (failed.message, failed.code) == ("m", "c")


def test_a_failure_that_says_nothing_is_one() -> None:
    [failed] = streamed({"type": "error"})
    assert isinstance(failed, Failed)
    [failed] = streamed({"type": "response.failed"})
    assert isinstance(failed, Failed)


def test_a_whole_answer_that_failed() -> None:
    failure = {"code": "rate_limit_exceeded", "message": "m"}
    [counts, failed, end] = whole(status="failed", error=failure)
    assert counts == COUNTED
    assert isinstance(failed, Failed)
    assert failed.status == 429
    assert end == Ended()
    assert isinstance(decode_answer(b'{"error": {"message": "m"}}', Quirks())[0], Failed)


@pytest.mark.parametrize("body", [b"{}", b'{"output": 7}', b"[]", b"", b"<html>"])
def test_what_is_no_answer_is_malformed(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        decode_answer(body, Quirks())
    assert caught.value.error_type == GatewayError("provider_malformed", "").error_type


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_the_beginning_of_an_answer_is_none(status: str) -> None:
    with pytest.raises(GatewayError, match="not complete"):
        whole(status=status)


PIECES = (
    "output_text", "refusal", "reasoning_summary_text", "reasoning_text", "function_call_arguments",
)  # fmt: skip


@pytest.mark.parametrize("kind", PIECES)
@pytest.mark.parametrize("piece", [None, 7, ""])
def test_pieces_that_are_none_say_nothing(kind: str, piece: Any) -> None:
    assert content(streamed(added(CALL), delta(kind, piece))[1:]) == []


@pytest.mark.parametrize("item", [{}, {"type": 7}, {"type": None}])
def test_items_that_are_none_say_nothing(item: Json) -> None:
    assert content(whole(item)) == content(streamed(done(item))) == []


def test_a_text_without_sources_is_a_text() -> None:
    item = message({"type": "output_text", "text": "a"}, {"type": "output_text"})
    assert content(whole(item)) == [Text(0, "a")]


# Whatever comes.

ODD = st.none() | st.integers(-1, 2) | st.text(max_size=3) | st.lists(st.none(), max_size=1)
TYPES = (
    "message", "reasoning", "function_call", "custom_tool_call", "web_search_call",
    "code_interpreter_call", "image_generation_call",
)  # fmt: skip
ITEMS = st.fixed_dictionaries(
    {"type": st.sampled_from(TYPES) | ODD},
    optional={
        name: ODD | st.lists(st.dictionaries(st.sampled_from(("type", "text", "refusal")), ODD))
        for name in (
            "id", "content", "summary", "name", "call_id", "arguments", "input", "outputs",
            "result", "encrypted_content",
        )
    },
)  # fmt: skip
HEARD = (
    "response.created", "response.output_item.added", "response.output_text.delta",
    "response.output_text.annotation.added", "response.refusal.delta",
    "response.reasoning_summary_text.delta", "response.reasoning_text.delta",
    "response.function_call_arguments.delta", "response.output_item.done", "response.completed",
    "response.failed", "error",
)  # fmt: skip
NUMBERS = dict.fromkeys(("output_index", "content_index", "summary_index"), ODD)
EVENTS = st.fixed_dictionaries(
    {"type": ODD | st.sampled_from(HEARD)},
    optional={
        **NUMBERS,
        **dict.fromkeys(("delta", "item_id", "logprobs", "error"), ODD),
        **dict.fromkeys(("item", "annotation"), ODD | ITEMS),
        "response": ODD | st.fixed_dictionaries({"output": ODD | st.lists(ITEMS)}),
    },
)


@given(events=st.lists(EVENTS, max_size=6), size=st.integers(1, 50))
def test_whatever_comes_is_read_in_any_slices(events: list[Json], size: int) -> None:
    data = frames(*events, named=False)
    stream = decoder(Quirks())
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    sliced = [event for piece in pieces for event in stream.feed(piece)]
    assert [*sliced, *stream.end()] == streamed_raw(data)


def streamed_raw(data: bytes) -> list[Event]:
    stream = decoder(Quirks())
    return [*stream.feed(data), *stream.end()]


@given(texts=st.lists(st.text(min_size=1), min_size=1), cut=st.integers(0, 5))
def test_pieces_and_whole_say_the_same(texts: list[str], cut: int) -> None:
    pieces = [delta("output_text", text) for text in texts[:cut]]
    events = streamed(*pieces, done(message(said("".join(texts)))), completed())
    heard = "".join(event.text for event in events if isinstance(event, Text))
    assert heard == "".join(texts)
