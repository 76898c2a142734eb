"""Answers of Gemini as events, and their way back as history."""

import contextlib
import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.asking import Target
from proxy.dialects.chat.request import decode_request
from proxy.dialects.chat.stream import encode_answer
from proxy.dialects.gemini.content import UNSIGNED
from proxy.dialects.gemini.events import REASONS, decode_answer, decoder
from proxy.dialects.gemini.request import encode_request, encode_vertex_request
from proxy.errors import GatewayError
from proxy.providers import Provider, Quirks
from proxy.wire.events import (
    Attachments,
    Audio,
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
from proxy.wire.request import Head
from tests.accepted.gemini import gemini_accepts
from tests.plain import ASK, BILL
from tests.recordings import Recording, Row, load
from tests.truths.chat import chats
from tests.truths.chat import events as frames

Json = dict[str, Any]

QUIRKS = Quirks()
HEAD = Head(id="gen-1-test", created=1, model="google/x", provider="Google")


def answer(*parts: Json, reason: str | None = "STOP", **more: Any) -> list[Event]:
    """The events of a whole answer, without those of its start and end."""
    candidate = {"content": {"parts": list(parts), "role": "model"}, "finishReason": reason}
    body = {"candidates": [candidate | more], "responseId": "r"}
    started, *events, ended = decode_answer(json.dumps(body).encode(), QUIRKS)
    assert (started, ended) == (Started("r"), Ended())
    return events


def stream(*chunks: Json) -> list[Event]:
    data = b"".join(b"data: %s\r\n\r\n" % json.dumps(chunk).encode() for chunk in chunks)
    sliced = decoder(QUIRKS)
    events = [e for at in range(0, len(data), 7) for e in sliced.feed(data[at : at + 7])]
    return [*events, *sliced.end()]


def chunk(*parts: Json, **more: Any) -> Json:
    return {"candidates": [{"content": {"parts": list(parts), "role": "model"}} | more]}


@pytest.mark.parametrize(
    ("usage", "tier"),
    [
        ({"serviceTier": "priority"}, "priority"), ({"serviceTier": "flex"}, "flex"),
        ({"trafficType": "ON_DEMAND"}, "default"), ({"trafficType": "ON_DEMAND_FLEX"}, "flex"),
        ({"trafficType": "ON_DEMAND_PRIORITY"}, "priority"),
        ({"trafficType": "PROVISIONED_THROUGHPUT"}, "provisioned"), ({}, None),
    ],
)  # fmt: skip
def test_the_tier_that_was_served(usage: Json, tier: str | None) -> None:
    """Google's words for the ordinary one are OpenRouter's `default`; some tell it at the end."""
    early = stream(chunk({"text": "a"}) | {"usageMetadata": usage}, chunk({"text": "b"}))
    late = stream(chunk({"text": "a"}), chunk({"text": "b"}) | {"usageMetadata": usage})
    assert [one for one in early if isinstance(one, Started)] == [Started(None, None, tier)]
    known = [Started(None, None, tier)] if tier else []
    assert [one for one in late if isinstance(one, Started)] == [Started(), *known]


def test_a_stream() -> None:
    usage = {"promptTokenCount": 3, "serviceTier": "standard"}
    assert stream(
        chunk({"text": "Hm", "thought": True}) | {"responseId": "r", "usageMetadata": usage},
        chunk({"text": "Hi"}) | {"usageMetadata": usage},
        chunk({"text": ""}, finishReason="STOP")
        | {"usageMetadata": usage | {"candidatesTokenCount": 2}},
    ) == [
        Started("r", None, "default"),
        Reasoning(0, "Hm", (detail("text", text="Hm"),)),
        UsageReport(Usage(prompt_tokens=3)),
        Text(0, "Hi"),
        Finished(0, "stop", "STOP"),
        UsageReport(Usage(prompt_tokens=3, completion_tokens=2)),
    ]


def detail(type_: str, **more: Any) -> Json:
    return {"type": f"reasoning.{type_}", **more, "format": "google-gemini-v1", "index": 0}


def test_signatures_say_where_they_stood() -> None:
    png = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    events = answer(
        {"text": "Hm", "thought": True, "thoughtSignature": "a"},
        {"text": "Hi", "thoughtSignature": "b"},
        png,
        png | {"thoughtSignature": "c"},
        {"functionCall": {"name": "f", "id": "i"}, "thoughtSignature": "d"},
        {"text": "", "thoughtSignature": "e"},
        {"text": "", "thought": True},
    )
    marks = [one for event in events if isinstance(event, Reasoning) for one in event.details]
    assert marks == [
        detail("text", text="Hm"),
        detail("text", signature="a"),
        detail("encrypted", data="b"),
        detail("encrypted", data="c") | {"index": 3},
        detail("encrypted", data="d", id="i"),
        detail("encrypted", data="e") | {"index": 1},
    ]
    assert list(marks[4]) == ["type", "data", "format", "id", "index"], "as OpenRouter has them"
    assert events[-1] == Finished(0, "tool_calls", "STOP")


def test_images_and_audio() -> None:
    assert answer(
        {"inlineData": {"data": "AAAA"}},
        {"inlineData": {"mimeType": "audio/L16;rate=24000", "data": "BBBB"}},
        {"inlineData": {"mimeType": "image/png"}},
        {"odd": 1},
    ) == [
        Attachments(
            0,
            "images",
            ({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},),
        ),
        Audio(0, {"data": "BBBB"}),
        Finished(0, "stop", "STOP"),
    ]


def test_calls_without_ids() -> None:
    one, two, end = answer({"functionCall": {"name": "f"}}, {"functionCall": {"name": "f"}})
    assert isinstance(one, ToolCall)
    assert isinstance(two, ToolCall)
    assert (one.index, two.index, one.arguments) == (0, 1, "{}")
    assert one.id != two.id
    assert end == Finished(0, "tool_calls", "STOP")
    nameless = answer({"functionCall": {}, "thoughtSignature": "x"})
    assert nameless == [Finished(0, "stop", "STOP")]


def test_a_call_that_is_not_complete_at_the_end() -> None:
    events = answer({"functionCall": {"name": "f", "willContinue": True}}, reason="MAX_TOKENS")
    assert [event.arguments for event in events if isinstance(event, ToolCall)] == ["", "{}"]
    assert events[-1] == Finished(0, "length", "MAX_TOKENS")


def test_what_google_ran_itself() -> None:
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}
    events = answer(code, {"codeExecutionResult": {"outcome": "OUTCOME_OK"}}, code)
    told = [event.details[0]["result"] for event in events if isinstance(event, Reasoning)]
    assert told == ['{"outcome":"OUTCOME_OK"}', ""]
    assert answer({"toolResponse": {}}) == [Finished(0, "stop", "STOP")]


@pytest.mark.parametrize("native", [*REASONS, None, "SOMETHING_NEW"])
def test_every_reason(native: str | None) -> None:
    *_, last = answer({"text": "a"}, reason=native, finishMessage="Broken.")
    wanted = REASONS.get(native or "STOP", "stop")
    if wanted == "error":
        assert last == Failed(None, "Broken.", native, "Broken.")
    else:
        assert last == Finished(0, wanted, native)


def test_an_error_without_words() -> None:
    *_, last = answer(reason="OTHER")
    assert isinstance(last, Failed)
    assert "OTHER" in last.message


def test_candidates_without_content() -> None:
    body = b'{"candidates":[{"content":{},"finishReason":"SAFETY"},{"index":1,"content":3}]}'
    assert decode_answer(body, QUIRKS)[1:-1] == [
        Finished(0, "content_filter", "SAFETY"),
        Finished(1, "stop", None),
    ]


def test_several_candidates() -> None:
    events = stream(
        {"candidates": [{"content": {"parts": [{"text": "a"}]}},
                        {"index": 1, "content": {"parts": [{"text": "b"}]}}]},
        {"candidates": [{"index": 1, "finishReason": "STOP"}]},
        {"candidates": [{"index": True, "finishReason": "STOP"}]},
        {"candidates": [{"finishReason": "STOP"}]},
    )  # fmt: skip
    assert events[1:] == [
        Text(0, "a"), Text(1, "b"), Finished(1, "stop", "STOP"), Finished(0, "stop", "STOP"),
    ]  # fmt: skip


def test_a_prompt_that_was_blocked() -> None:
    feedback = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}
    assert stream(feedback, feedback)[1:] == [Finished(0, "content_filter", "PROHIBITED_CONTENT")]
    late = stream(chunk({"text": "a"}), feedback)
    assert late[1:] == [Text(0, "a"), Finished(0, "content_filter", "PROHIBITED_CONTENT")]
    assert decode_answer(json.dumps(feedback).encode(), QUIRKS)[1] == Finished(
        0, "content_filter", "PROHIBITED_CONTENT"
    )


@pytest.mark.parametrize("body", [b"{}", b"[]", b"no", b'{"candidates":[],"promptFeedback":{}}'])
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        decode_answer(body, QUIRKS)
    assert caught.value.kind == "provider_malformed"


def test_an_error_inside_a_stream() -> None:
    error = {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}
    *_, last = stream(chunk({"text": "a"}), {"error": error})
    assert isinstance(last, Failed)
    assert (last.status, last.message, last.code) == (503, error["message"], "UNAVAILABLE")
    assert json.loads(last.raw) == error
    *_, last = stream({"error": "odd"})
    assert isinstance(last, Failed)
    assert (last.message, last.code) == ("odd", None)
    assert stream(chunk({"text": "a"}) | {"error": None})[1] == Text(0, "a")


def test_likelihoods_go_with_their_text() -> None:
    chosen = {"chosenCandidates": [{"token": "a", "logProbability": -1}]}
    said = {
        "content": [{"token": "a", "logprob": -1, "bytes": [97], "top_logprobs": []}],
        "refusal": None,
    }
    call = {"functionCall": {"name": "f", "id": "i"}}
    assert answer({"text": "a"}, call, logprobsResult=chosen)[0] == Text(0, "a", said)
    assert answer(call, logprobsResult=chosen)[1] == Text(0, "", said)
    assert answer({"text": "a"}, logprobsResult={})[0] == Text(0, "a")


def test_sources_come_before_the_finish() -> None:
    web = {"groundingChunks": [{"web": {"uri": "https://a.test"}}]}
    support = {"segment": {"endIndex": 4}, "groundingChunkIndices": [0]}
    events = stream(
        chunk({"text": "Zoë"}, groundingMetadata=web),
        chunk({"text": "!"}, groundingMetadata={"groundingSupports": [support]}),
        chunk(finishReason="STOP", citationMetadata={"citations": [{}]}),
    )
    assert isinstance(events[-2], Attachments)
    assert events[-2].items[0]["url_citation"]["end_index"] == 3
    assert answer({"text": "a"}, groundingMetadata={"webSearchQueries": []})[1:] == [
        Finished(0, "stop", "STOP")
    ]


ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.floats()
    | st.sampled_from(["", "a", "STOP"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["id", "name", "text", "args", "uri", "web"]), inner)
    ),
    max_leaves=4,
)


def either(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An object with some of these fields, each of which may be anything at all."""
    return ODD | st.fixed_dictionaries({}, optional={k: v | ODD for k, v in fields.items()})


def several(one: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(one, max_size=3)


CALLED = either(
    name=st.just("f"),
    willContinue=st.booleans(),
    partialArgs=several(
        either(jsonPath=st.sampled_from(["$.a", "$.a[0].b"]), stringValue=st.just("x"))
    ),
)
PART = either(
    text=st.just("a"),
    thought=st.just(True),
    thoughtSignature=st.just("c2ln"),
    functionCall=CALLED,
    inlineData=either(mimeType=st.just("audio/L16"), data=st.just("AAAA")),
    executableCode=ODD,
    codeExecutionResult=ODD,
    toolCall=either(toolType=st.just("X"), id=st.just("q")),
    toolResponse=either(id=st.just("q"), response=ODD),
)
SUPPORT = either(
    segment=either(startIndex=st.integers(), endIndex=st.integers(), text=st.just("a")),
    groundingChunkIndices=several(st.integers(-1, 2)),
)
CANDIDATE = either(
    index=st.integers(-1, 2),
    content=either(parts=several(PART)),
    finishReason=st.sampled_from(["STOP", "OTHER"]),
    finishMessage=ODD,
    groundingMetadata=either(
        groundingChunks=several(either(web=either(uri=st.just("https://a.test")))),
        groundingSupports=several(SUPPORT),
    ),
    citationMetadata=either(citations=several(either(uri=st.just("https://a.test")))),
    logprobsResult=either(chosenCandidates=several(ODD), topCandidates=several(ODD)),
)
CHUNK = either(
    candidates=several(CANDIDATE),
    promptFeedback=either(blockReason=st.just("OTHER")),
    usageMetadata=either(promptTokenCount=st.just(3), promptTokensDetails=several(ODD)),
    responseId=st.just("r"),
    error=ODD,
)


@given(st.lists(CHUNK.filter(lambda one: isinstance(one, dict)), max_size=4))
def test_whatever_a_provider_sends_is_read_or_refused(chunks: list[Json]) -> None:
    with contextlib.suppress(GatewayError):
        encode_answer(stream(*chunks), HEAD, ASK, BILL)
    for one in chunks:
        with contextlib.suppress(GatewayError):
            decode_answer(json.dumps(one).encode(), QUIRKS)


# Recordings: an answer goes out to a caller, comes back as history, and is what Gemini said.

MERGED = "rig--gemini-reasoning-tool-roundtrip-streaming--1-6ae1be"
"""Its signature stands amidst the text, which a chat message has as one."""


def recorded(provider: str) -> list[Row]:
    """The answers of one provider that ended well."""
    rows = [row for row in chats(provider, "generateContent") if row["status"] == 200]
    return [row for row in rows if "UNEXPECTED_TOOL_CALL" not in row["finish"]]


def decoded(recording: Recording) -> list[Event]:
    if recording.row["kind"] != "sse":
        return decode_answer(recording.body, QUIRKS)
    reading = decoder(QUIRKS)
    return [*reading.feed(recording.body), *reading.end()]


def parts_said(recording: Recording, *, ids: bool) -> list[Json]:
    """The parts of the recorded answer that are to come back: thoughts and sound do not."""
    streamed = recording.row["kind"] == "sse"
    chunks = [json.loads(d) for d in (frames(recording.body) if streamed else [recording.body])]
    candidates = [one for chunk in chunks for one in chunk.get("candidates", [])]
    parts = [part for one in candidates for part in one["content"].get("parts", [])]
    kept: list[Json] = []
    for part in parts:
        if part.get("thought") or (part.get("text") == "" and "thoughtSignature" not in part):
            continue
        if part.get("inlineData", {}).get("mimeType", "").startswith("audio/"):
            continue
        if "functionCall" in part:
            call = {"args": {}} | part["functionCall"]
            part = part | {"functionCall": {k: v for k, v in call.items() if ids or k != "id"}}
        if kept and kept[-1].keys() == part.keys() == {"text"}:
            kept[-1] = {"text": kept[-1]["text"] + part["text"]}
        else:
            kept.append(part)
    return kept


def sent_back(events: Iterable[Event], model: str, *, vertex: bool) -> Json:
    """The request that follows on the answer, with a result for each call."""
    told = json.loads(encode_answer(events, HEAD, ASK, BILL).body)["choices"][0]["message"]
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": "ok"}
        for call in told.get("tool_calls", [])
    ]
    user = {"role": "user", "content": "Hi"}
    body = {"model": "google/x", "messages": [user, told, *results, user]}
    ask = decode_request(json.dumps(body).encode())
    provider = Provider(slug="google", name="Google", base_url="https://google.test")
    encode = encode_vertex_request if vertex else encode_request
    said: Json = json.loads(encode(ask, Target(provider, model)).body)
    gemini_accepts(said)
    return said


@pytest.mark.wire
@pytest.mark.parametrize("provider", ["google", "google-vertex"])
def test_an_answer_comes_back_as_it_was(provider: str) -> None:
    rows = recorded(provider)
    assert len(rows) > 10
    for row in rows:
        check_return(row)


def check_return(row: Row) -> None:
    recording = load(row)
    whole = json.loads(frames(recording.body)[0]) if row["kind"] == "sse" else None
    version = (whole or json.loads(recording.body)).get("modelVersion") or row["model"]
    vertex = row["provider"] == "google-vertex"
    newer = version.startswith("gemini-3")
    events = decoded(recording)
    turns = sent_back(events, version, vertex=vertex)["contents"]
    wanted = parts_said(recording, ids=newer and not vertex)
    got = turns[1]["parts"] if turns[1:] and turns[1]["role"] == "model" else []
    calls = [event for event in events if isinstance(event, ToolCall) and event.name]
    if any(event.name and not event.arguments for event in calls):
        check_calls(got, events)  # they came in pieces
    elif row["name"] == MERGED:
        assert [part["text"] for part in got] == ["".join(part["text"] for part in wanted)]
    else:
        first = next((part for part in wanted if "functionCall" in part), {})
        if newer and first:
            first.setdefault("thoughtSignature", UNSIGNED)
        assert got == wanted, row["name"]


def check_calls(parts: list[Json], events: list[Event]) -> None:
    said: dict[int, str] = {}
    for event in events:
        if isinstance(event, ToolCall):
            said[event.index] = said.get(event.index, "") + event.arguments
    calls = [part["functionCall"]["args"] for part in parts if "functionCall" in part]
    assert calls == [json.loads(arguments) for arguments in said.values()]
    assert len(calls) > 1


@pytest.mark.parametrize(
    ("model", "queries", "searches"),
    [
        ("gemini-2.5-flash", ["a", "b"], 1),
        ("gemini-2.5-flash", [""], 0),
        ("gemini-3.5-flash", ["a", "b", "", "a"], 2),
        ("gemini-3-pro-preview", ["a", 3, None, []], 1),
        (None, ["a", "b"], 1),
        ("gemini-3.5-flash", "ab", 0),
        ("gemini-3.5-flash", None, 0),
    ],
)
def test_searches_are_counted_as_google_sells_them(
    model: str | None, queries: Any, searches: int
) -> None:
    counts = {"promptTokenCount": 1, "candidatesTokenCount": 2}
    grounding = {"webSearchQueries": queries}
    known = {"modelVersion": model} if model else {}
    first = chunk({"text": "a"}) | {"usageMetadata": counts} | known
    last = chunk(finishReason="STOP", groundingMetadata=grounding) | {"usageMetadata": counts}
    reports = [one for one in stream(first, last) if isinstance(one, UsageReport)]
    assert len(reports) == (2 if searches else 1)
    assert reports[-1].usage == Usage(prompt_tokens=1, completion_tokens=2, web_searches=searches)
