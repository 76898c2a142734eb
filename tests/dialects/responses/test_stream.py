"""What any provider says reaches a Responses caller in legal order, and means the same there."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.dialects.forms import Bill
from proxy.dialects.responses.asked import decode_request
from proxy.dialects.responses.events import decoder
from proxy.dialects.responses.stream import Encoder, encode_answer
from proxy.errors import KINDS, GatewayError
from proxy.providers import Quirks
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
    Started,
    Text,
    ToolCall,
    Usage,
    UsageReport,
    Verbatim,
)
from proxy.wire.request import Ask
from tests.order import BILL, HEAD, USAGE, Json, events_of, fits, listen
from tests.recordings import Row, index, load
from tests.truths.dialects import DIALECTS, dialect_of

STOP = Finished(0, "stop", None)


def asked(**fields: Any) -> Ask:
    return decode_request(json.dumps({"model": "a/b", "input": "hi"} | fields).encode())


def stream(*events: Event, ask: Ask | None = None, bill: Bill = BILL) -> bytes:
    encoder = Encoder(HEAD, ask or asked())
    return b"".join(map(encoder.encode, events)) + encoder.encode_end(bill)


def told(*events: Event, ask: Ask | None = None, bill: Bill = BILL) -> Json:
    """The response at the end of a stream in order, which is the whole answer as well."""
    data = stream(*events, ask=ask, bill=bill)
    for event in events_of(data):
        if event["type"] != "response.debug":  # OpenRouter's own
            fits(event)
    response = listen(data)
    whole = encode_answer(events, HEAD, ask or asked(), bill)
    assert json.loads(whole.body) == response
    return response


def kinds(data: bytes) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events_of(data)]


def thought(text: str | None, **more: Any) -> Reasoning:
    detail = {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0} | more
    return Reasoning(0, text or "", (detail | ({} if text is None else {"text": text}),))


def test_a_text() -> None:
    response = told(Started(), Text(0, ""), Text(0, "He"), Text(0, "llo"), STOP)
    (item,) = response["output"]
    assert item == {
        "id": "msg_tmp_abcdefghij01234567890",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [
            {"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []},
        ],
    }
    assert response["usage"] == USAGE
    assert (response["status"], response["incomplete_details"]) == ("completed", None)


def test_the_events_of_a_text() -> None:
    assert kinds(stream(Text(0, "a"), Text(0, "b"), STOP)) == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta",
        "output_text.delta", "output_text.done", "content_part.done", "output_item.done",
        "completed",
    ]  # fmt: skip


def test_nothing_is_sent_before_there_is_content() -> None:
    encoder = Encoder(HEAD, asked())
    assert encoder.encode(Started(upstream_id="x", service_tier="flex")) == b""
    assert encoder.encode(Ended()) == b""
    assert encoder.encode(UsageReport(Usage())) == b""
    assert encoder.encode(Failed(500, "", None, "")) == b""
    response = listen(encoder.encode_end(BILL))
    assert (response["output"], response["service_tier"]) == ([], "flex")


@pytest.mark.parametrize(
    ("reason", "status", "details"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
        ("error", "failed", None),
    ],
)
def test_how_it_ends(reason: str, status: str, details: Json | None) -> None:
    response = told(Text(0, "a"), Finished(0, reason, None))
    assert (response["status"], response["incomplete_details"]) == (status, details)
    assert response["output"][0]["status"] == (
        "completed" if status == "completed" else "incomplete"
    )
    assert (response["error"] is None) == (status != "failed")


def test_logprobs_and_a_refusal() -> None:
    probe = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}
    response = told(Text(0, "a", {"content": [probe], "refusal": None}), Refusal(0, "No"), STOP)
    text, refusal = response["output"][0]["content"]
    assert text["logprobs"] == [probe]
    assert refusal == {"type": "refusal", "refusal": "No"}


def test_citations_are_counted_in_their_own_part() -> None:
    url = {"url": "https://a.test/", "title": "A", "start_index": 5, "end_index": 7}
    cited = Attachments(0, "annotations", ({"type": "url_citation", "url_citation": url}, {}))
    response = told(Text(0, "12345"), thought("hm"), Text(0, "67"), cited, STOP)
    (part,) = response["output"][2]["content"]
    assert part["annotations"] == [url | {"type": "url_citation", "start_index": 0, "end_index": 2}]


def test_a_citation_without_a_text_has_one_that_is_empty() -> None:
    url = {"url": "https://a.test/"}
    cited = Attachments(0, "annotations", ({"type": "url_citation", "url_citation": url},))
    assert told(cited, STOP)["output"][0]["content"][0]["text"] == ""


def test_images() -> None:
    url = "data:image/jpeg;base64,AAAA"
    images = ({"type": "image_url", "image_url": {"url": url}}, {"type": "image_url"})
    response = told(Text(0, "a"), Attachments(0, "images", images), STOP)
    assert response["output"][1] == {
        "id": "ig_tmp_abcdefghij01234567891",
        "type": "image_generation_call",
        "status": "completed",
        "result": "AAAA",
        "output_format": "jpeg",
    }


def test_calls_in_turn_and_across() -> None:
    response = told(
        Text(0, "a"),
        ToolCall(0, 0, "call_a", "f", ""),
        ToolCall(0, 1, None, "g", "{"),
        ToolCall(0, 0, None, None, '{"x":1}'),
        ToolCall(0, 1, None, None, "}"),
        ToolCall(0, 2, "call_c", "h", ""),
        Text(0, "b"),
        Finished(0, "tool_calls", None),
    )
    calls = response["output"][1:4]
    assert [(one["call_id"], one["name"], one["arguments"]) for one in calls] == [
        ("call_a", "f", '{"x":1}'),
        ("call_tmp_abcdefghij01234567892", "g", "{}"),
        ("call_c", "h", "{}"),
    ]
    assert response["output"][4]["content"][0]["text"] == "b"


def test_half_a_call_is_not_completed() -> None:
    response = told(ToolCall(0, 0, "c", "f", ""), Finished(0, "length", None))
    (call,) = response["output"]
    assert (call["status"], call["arguments"]) == ("incomplete", "")


@pytest.mark.parametrize("said", ['{"input": "*** patch"}', "*** patch"])
def test_a_tool_that_takes_free_text(said: str) -> None:
    """It was asked for as a function, and its call is again what the caller knows."""
    ask = asked(tools=[{"type": "custom", "name": "patch"}])
    pieces = [ToolCall(0, 0, None, None, piece) for piece in (said[:4], said[4:])]
    response = told(ToolCall(0, 0, "c", "patch", ""), *pieces, STOP, ask=ask)
    (call,) = response["output"]
    assert call == {
        "id": "ctc_tmp_abcdefghij01234567890",
        "type": "custom_tool_call",
        "status": "completed",
        "call_id": "c",
        "name": "patch",
        "input": "*** patch",
    }


def test_a_tool_of_a_namespace() -> None:
    tool = {"type": "function", "name": "f", "parameters": {}}
    space = {"type": "namespace", "name": "mcp", "description": "d", "tools": [tool]}
    ask = asked(tools=[space])
    (call,) = told(ToolCall(0, 0, "c", "mcp__f", "{}"), STOP, ask=ask)["output"]
    assert (call["namespace"], call["name"], call["arguments"]) == ("mcp", "f", "{}")


def test_free_text_of_a_provider_that_knows_it() -> None:
    response = told(ToolCall(0, 0, "c", "p", "a", custom=True), STOP)
    assert response["output"][0]["input"] == "a"


def test_what_responses_has_no_words_for() -> None:
    response = told(Audio(0, {"data": "AA", "transcript": "said"}), Audio(0, {"id": "x"}), STOP)
    assert response["output"][0]["content"][0]["text"] == "said"


def test_hidden_reasoning() -> None:
    ask = asked(reasoning={"exclude": True})
    assert told(thought("hm"), STOP, ask=ask)["output"] == []


def test_what_was_sent_to_the_provider() -> None:
    data = stream(Echo({"a": 1}), Text(0, "a"), STOP)
    (event,) = [one for one in events_of(data) if one["type"] == "response.debug"]
    assert event["debug"] == {"echo_upstream_body": {"a": 1}}


def test_how_it_was_routed() -> None:
    bill = replace(BILL, routing={"attempt": 1})
    assert told(Text(0, "a"), STOP, bill=bill)["openrouter_metadata"] == {"attempt": 1}


def test_without_a_price() -> None:
    usage = told(Text(0, "a"), STOP, bill=Bill(Usage(cache_write_tokens=4)))["usage"]
    assert usage["cost"] == 0
    assert usage["cost_details"]["upstream_inference_cost"] is None
    assert usage["input_tokens_details"] == {"cached_tokens": 0, "cache_write_tokens": 4}


# Errors after the first token.


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_inside_a_stream(kind: str) -> None:
    encoder, error = Encoder(HEAD, asked()), GatewayError(kind, "What went wrong")
    data = encoder.encode(Text(0, "Hel")) + encoder.encode(ToolCall(0, 0, "c", "f", "{"))
    response = listen(data + encoder.encode_failure(error))
    assert response["id"] == HEAD.id
    assert [item["type"] for item in response["output"]] == ["message"], "half a call is none"
    if KINDS[kind].error_type == "context_length_exceeded":
        assert response["incomplete_details"] == {"reason": "max_output_tokens"}
        assert (response["usage"]["cost"], response["usage"]["total_tokens"]) == (0, 0)
        return
    assert response["status"] == "failed"
    assert response["error"]["message"] == "What went wrong"
    assert response["error_type"] == KINDS[kind].error_type


def test_an_error_before_anything_was_said() -> None:
    """The head is out, and comments were sent."""
    data = Encoder(HEAD, asked()).encode_failure(GatewayError("provider_cut", "x"))
    assert kinds(data) == ["created", "in_progress", "failed"]
    for event in events_of(data):
        fits(event)


# A provider that speaks Responses.


def frame(**said: Any) -> Verbatim:
    events = (Finished(0, "stop", None),) if said["type"] == "response.completed" else ()
    return Verbatim(said["type"], json.dumps(said).encode(), said, events)


def carried(*frames: Verbatim, then: tuple[Event, ...] = ()) -> list[Json]:
    encoder = Encoder(HEAD, asked())
    data = b"".join(map(encoder.encode, (*frames, *then))) + encoder.encode_end(BILL)
    return events_of(data, named=True)


CREATED = frame(
    type="response.created",
    response={"id": "resp_1", "model": "gpt-9", "temperature": 0.5, "output": []},
    sequence_number=0,
)
ADDED = frame(
    type="response.output_item.added",
    output_index=0,
    item={"id": "msg_1", "type": "message", "status": "in_progress", "content": []},
    sequence_number=1,
)
PART = frame(
    type="response.content_part.added",
    output_index=0,
    item_id="msg_1",
    content_index=0,
    part={"type": "output_text", "text": "", "annotations": []},
    sequence_number=2,
)
DELTA = frame(
    type="response.output_text.delta",
    output_index=0,
    item_id="msg_1",
    content_index=0,
    delta="Hi",
    sequence_number=3,
)


def test_an_answer_is_cut_where_the_money_ends() -> None:
    events = carried(CREATED, ADDED, PART, DELTA, then=(Finished(0, "length", None),))
    assert [event["type"] for event in events[4:]] == [
        "response.output_text.done", "response.content_part.done", "response.output_item.done",
        "response.incomplete",
    ]  # fmt: skip
    assert [event["sequence_number"] for event in events] == list(range(8))
    response = events[-1]["response"]
    assert (response["id"], response["model"], response["temperature"]) == (HEAD.id, "a/b", 0.5)
    assert response["output"] == [events[-2]["item"]]
    assert events[-2]["item"]["status"] == "incomplete"
    assert events[-2]["item"]["content"][0]["text"] == "Hi"
    assert response["usage"] == USAGE


def test_a_stream_that_ended_early_is_told_whole_as_such() -> None:
    ended = Verbatim(
        "response.incomplete",
        b"{}",
        {"type": "response.incomplete"},
        (Finished(0, "length", None),),
    )
    whole = encode_answer((CREATED, ADDED, PART, DELTA, ended), HEAD, asked(), BILL)
    response = json.loads(whole.body)
    assert response["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}


def test_an_end_of_ours_is_told_instead_of_the_providers_own() -> None:
    """The provider had ended, but what it said was not paid for and is dropped: its last event,
    which repeats all of it, must not be told either.
    """
    whole = {"id": "resp_1", "model": "gpt-9", "output": [{"type": "message", "content": "Hi all"}]}
    done = frame(type="response.completed", response=whole, sequence_number=9)
    events = carried(CREATED, ADDED, PART, DELTA, then=(done, Finished(0, "length", None)))
    assert [event["sequence_number"] for event in events] == list(range(8))
    response = events[-1]["response"]
    assert (events[-1]["type"], response["output"]) == ("response.incomplete", [events[-2]["item"]])
    assert "all" not in json.dumps(events)


def test_the_providers_numbers_go_on_from_ours() -> None:
    response = {"id": "resp_1", "model": "gpt-9"}
    done = frame(type="response.completed", response=response, sequence_number=4)
    odd = Verbatim("keepalive", b'{"type":"keepalive"}', {"type": "keepalive"}, ())
    encoder = Encoder(HEAD, asked())
    first = encoder.encode(Echo({})) + encoder.encode(CREATED) + encoder.encode(odd)
    rest = b"".join(map(encoder.encode, (ADDED, PART, DELTA, done))) + encoder.encode_end(BILL)
    events = events_of(first.partition(b"\n\n")[2] + rest, named=True)
    numbers = [one.get("sequence_number") for one in events]
    assert numbers == [1, None, 2, 3, 4, 5]


def test_the_end_waits_for_the_bill_with_all_that_follows() -> None:
    response = {"id": "resp_1", "model": "gpt-9", "usage": {"input_tokens": 1, "more": 2}}
    done = frame(type="response.completed", response=response, sequence_number=4)
    odd = Verbatim("keepalive", b'{"type":"keepalive"}', {"type": "keepalive"}, ())
    encoder = Encoder(HEAD, asked())
    assert encoder.encode(done) + encoder.encode(odd) == b""
    last, after = events_of(encoder.encode_end(BILL), named=True)
    assert after == {"type": "keepalive"}
    assert last["response"] == {"id": HEAD.id, "model": "a/b"} | {
        "usage": USAGE | {"input_tokens": 1, "more": 2}
    }


def test_a_carried_answer_that_fails() -> None:
    encoder = Encoder(HEAD, asked())
    data = b"".join(map(encoder.encode, (CREATED, ADDED, PART, DELTA)))
    data += encoder.encode_failure(GatewayError("provider_cut", "x"))
    last = events_of(data, named=True)[-1]
    assert (last["type"], last["sequence_number"]) == ("response.failed", 4)
    assert last["response"]["temperature"] == 0.5


def test_a_carried_event_of_two_lines_without_a_name() -> None:
    said = {"type": "x"}
    encoder = Encoder(HEAD, asked())
    assert encoder.encode(Verbatim("message", b'{"type":\n"x"}', said, ())) == (
        b'data: {"type":\ndata: "x"}\n\n'
    )


def test_a_whole_answer_for_a_stream() -> None:
    whole = Verbatim(None, b"{}", {}, (Text(0, "a"), STOP))
    assert listen(stream(whole))["output"][0]["content"][0]["text"] == "a"


def test_what_can_not_be_written() -> None:
    deep: Any = {}
    for _ in range(300):
        deep = {"a": deep}
    with pytest.raises(GatewayError, match="can not be written"):
        stream(Echo(deep))


# Whatever comes.

TEXTS = st.text(max_size=3)
DETAILS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(("reasoning.text", "reasoning.summary", "reasoning.encrypted")),
        "format": st.sampled_from(("anthropic-claude-v1", "openai-responses-v1", "unknown", None)),
        "index": st.integers(0, 2),
    },
    optional={
        "text": TEXTS, "summary": TEXTS, "data": st.just("d"), "signature": st.just("s"),
        "id": st.sampled_from(("rs_1", "rs_2")),
    },
)  # fmt: skip
EVENTS = st.one_of(
    st.builds(Text, st.just(0), TEXTS),
    st.builds(Refusal, st.just(0), TEXTS),
    st.builds(Reasoning, st.just(0), TEXTS, st.lists(DETAILS, max_size=2).map(tuple)),
    st.builds(
        ToolCall, st.just(0), st.integers(0, 2), st.none(), st.sampled_from(("f", "free")), TEXTS
    ),
    st.just(Attachments(0, "annotations", ({"type": "file_citation", "file_citation": {"a": 1}},))),
    st.just(Attachments(0, "images", ({"image_url": {"url": "data:image/png;base64,AA"}},))),
)


@given(events=st.lists(EVENTS, max_size=12), reason=st.sampled_from(("stop", "length")))
def test_whatever_comes_is_told_in_order(events: list[Event], reason: str) -> None:
    ask = asked(tools=[{"type": "custom", "name": "free"}])
    response = told(*events, Finished(0, reason, None), ask=ask)
    parts = [part for item in response["output"] for part in item.get("content", ())]
    text = "".join(part["text"] for part in parts if part["type"] == "output_text")
    assert text == "".join(event.text for event in events if isinstance(event, Text))


def recorded() -> list[Row]:
    """Recordings of good answers in every format."""
    return [row for row in index() if row["api"] in DIALECTS and row["status"] == 200]


def meant(events: list[Event]) -> Json:
    """What events say, however they are cut."""
    said: Json = {"text": "", "refusal": "", "thought": "", "calls": {}, "finish": None}
    for event in events:
        match event:
            case Text():
                said["text"] += event.text
            case Audio():
                said["text"] += event.audio.get("transcript") or ""
            case Refusal():
                said["refusal"] += event.text
            case Reasoning():
                said["thought"] += event.text
            case ToolCall():
                call = said["calls"].setdefault(event.index, ["", ""])
                call[0] += event.name or ""
                call[1] += event.arguments
            case Finished():
                said["finish"] = said["finish"] or event.reason
    said["calls"] = [[name, arguments or "{}"] for name, arguments in said["calls"].values()]
    return said


def test_every_recorded_answer_means_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """In order, parsed by OpenAI's types, and read back by the decoder for providers."""
    count: Counter[str] = Counter()
    for row in recorded():
        recording = load(row)
        dialect, quirks = dialect_of(recording), Quirks()
        if row["kind"] == "json":
            try:
                events = dialect.decode_answer(recording.body, quirks)
            except GatewayError:
                continue
        else:
            events = list(dialect.decoder(quirks).feed(recording.body))
        choices = {getattr(event, "choice", 0) for event in events}
        if choices != {0} or any(isinstance(event, Failed) for event in events):
            continue
        data = stream(*events)
        # Work of OpenAI's own tools is told as OpenAI does, which is not always as its types say.
        for event in events_of(data) if row["api"] != "responses" else ():
            fits(event)
        listen(data)
        again, before = meant(list(decoder(quirks).feed(data))), meant(events)
        assert again["text"] == before["text"], row["name"]
        assert again["refusal"] == before["refusal"]
        assert again["thought"] == before["thought"] or not before["thought"], row["name"]
        assert [name for name, _ in again["calls"]] == [name for name, _ in before["calls"]]
        if before["finish"] in ("stop", "tool_calls"):
            assert again["calls"] == before["calls"], row["name"]
            assert again["finish"] in ("stop", "tool_calls")
        count[DIALECTS[row["api"]]] += 1
    with capsys.disabled():
        print(f"\n{sum(count.values())} recorded answers told in Responses: {dict(count)}")
    assert all(count[dialect] > 20 for dialect in DIALECTS.values())
