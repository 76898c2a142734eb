"""Canonical events become Anthropic's, in legal order, however they interleave."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.dialects.forms import Bill
from proxy.dialects.messages.answer import encode_answer, folded
from proxy.dialects.messages.asked import decode_request
from proxy.dialects.messages.blocks import FORMAT
from proxy.dialects.messages.stream import ORDER, Encoder
from proxy.wire.events import (
    Attachments,
    Event,
    Finished,
    Reasoning,
    Refusal,
    Started,
    Text,
    ToolCall,
    Usage,
    UsageReport,
)
from proxy.wire.request import Ask
from tests.anthropics import ADDED, BILL, HEAD, Json, frames, put_together
from tests.plain import ASK, HIDING

DIRECT = {"caller": {"type": "direct"}}
THOUGHT = {"type": "reasoning.text", "format": FORMAT, "index": 0}


def streamed(*events: Event, ask: Ask = ASK, bill: Bill = BILL) -> list[Json]:
    """The events that a caller gets, all of them in order and as Anthropic's SDK wants them."""
    encoder = Encoder(HEAD, ask)
    body = b"".join(map(encoder.encode, events)) + encoder.encode_end(bill)
    told = [json.loads(data) for _, data in frames(body)]
    state, index = "", -1
    for (name, _), one in zip(frames(body), told, strict=True):
        assert name == one["type"]
        state = ORDER[state, name]
        index += name == "content_block_start"
        assert one.get("index", index) == index
    assert state == "over"
    message = put_together(body, strict=True)
    named = {"id": HEAD.id, "model": HEAD.model, "provider": HEAD.provider}
    assert message.items() >= named.items()
    whole = json.loads(encode_answer(events, HEAD, ask, bill).body)
    assert whole == folded(told)
    for theirs, ours in zip(message["content"], whole["content"], strict=True):
        assert theirs.items() >= ours.items()
    return told


def content(*events: Event, ask: Ask = ASK) -> list[Json]:
    blocks: list[Json] = folded(streamed(*events, Finished(0, "stop", None), ask=ask))["content"]
    return blocks


PIECES = st.one_of(
    st.builds(Text, st.just(0), st.text(max_size=3)),
    st.builds(Refusal, st.just(0), st.text(max_size=3)),
    st.builds(Reasoning, st.just(0), st.text(max_size=3)),
    st.builds(
        lambda index, text, signature: Reasoning(
            0, text, ({**THOUGHT, "index": index, "text": text, "signature": signature},)
        ),
        st.integers(0, 2),
        st.text(max_size=3),
        st.sampled_from((None, "sig")),
    ),
    st.just(Reasoning(0, "", ({"type": "reasoning.encrypted", "data": "d", "format": FORMAT},))),
    st.just(Attachments(0, "annotations", ({"url_citation": {"url": "http://a.test"}},))),
    st.just(Attachments(0, "images", ({"image_url": {"url": "data:,"}},))),
    st.integers(0, 3),
)


@given(pieces=st.lists(PIECES, max_size=25), data=st.data())
def test_whatever_interleaves_comes_in_order(
    pieces: list[Event | int], data: st.DataObject
) -> None:
    arguments = [json.dumps({"n": n, "deep": [{"a": "}"}]}) for n in range(4)]
    left, events = dict(enumerate(arguments)), list[Event]()
    begun = dict.fromkeys(piece for piece in pieces if isinstance(piece, int))
    for place, piece in enumerate([*pieces, *begun]):
        if not isinstance(piece, int):
            events.append(piece)
            continue
        first = piece not in pieces[:place]
        size = data.draw(st.integers(0, 9)) if place < len(pieces) else 999
        said, left[piece] = left[piece][:size], left[piece][size:]
        id_, name = (f"id{piece}", f"f{piece}") if first else (None, None)
        events.append(ToolCall(0, piece, id_, name, said))
    blocks = content(*events)
    calls = [block for block in blocks if block["type"] == "tool_use"]
    assert {call["id"]: call["input"] for call in calls} == {
        f"id{n}": json.loads(arguments[n]) for n in begun
    }
    texts = [one.text for one in events if isinstance(one, Text)]
    texts += [one.text for one in events if isinstance(one, Refusal)]
    assert "".join(b["text"] for b in blocks if b["type"] == "text") == "".join(texts)
    thoughts = [one.text for one in events if isinstance(one, Reasoning)]
    assert "".join(b.get("thinking", "") for b in blocks) == "".join(thoughts)


def encrypted(**more: Any) -> Json:
    return {"type": "reasoning.encrypted", "data": "d", **more}


def test_each_kind_of_block() -> None:
    use = {
        "type": "reasoning.server_tool_call",
        "tool_name": "web_search",
        "arguments": '{"query":"x"}',
        "result": '{"type":"web_search_tool_result","tool_use_id":"s","content":[]}',
        "tool_call_id": "s",
        "format": FORMAT,
        "index": 2,
    }
    paused = use | {"tool_call_id": "m", "result": "", "server_name": "mcp", "arguments": ""}
    cited = {"url": "http://a.test", "title": "A", "content": "words", "start_index": 0}
    place = {"type": "char_location", "cited_text": "w", "document_index": 0, "start_index": 0}
    place |= {"document_title": None, "start_char_index": 1, "end_char_index": 2, "file_id": None}
    assert content(
        Started("up", prompt=Usage(prompt_tokens=9)),
        Started("again"),
        Reasoning(0, "Hm", ({**THOUGHT, "text": "H"}, {**THOUGHT, "text": "m"})),
        Reasoning(0, "", ({**THOUGHT, "signature": "sig"},)),
        Reasoning(0, "", ({**THOUGHT, "signature": "shown to nobody", "index": 1},)),
        Reasoning(0, "", (encrypted(format=FORMAT),)),
        Reasoning(0, "", (use,)),
        Reasoning(0, "", (paused,)),
        Attachments(0, "annotations", ({"url_citation": {"url": "http://no.text"}},)),
        Text(0, "Two "),
        Text(0, "words"),
        Attachments(0, "annotations", ({"url_citation": cited}, {"file_citation": place})),
        Attachments(0, "annotations", ({"file_citation": {"file_id": "no place"}},)),
        ToolCall(0, 0, None, None, '{"a":1}'),
        ToolCall(0, 1, "id", "f", ""),
        ToolCall(0, 0, None, None, " "),
        UsageReport(Usage()),
    ) == [
        {"type": "thinking", "thinking": "Hm", "signature": "sig"},
        {"type": "thinking", "thinking": "", "signature": "shown to nobody"},
        {"type": "redacted_thinking", "data": "d"},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
        {
            "type": "mcp_tool_use",
            "id": "m",
            "name": "web_search",
            "input": {},
            "server_name": "mcp",
        },
        {
            "type": "text",
            "text": "Two words",
            "citations": [
                {
                    "type": "web_search_result_location",
                    "url": "http://a.test",
                    "title": "A",
                    "cited_text": "words",
                    "encrypted_index": "",
                },
                {name: place[name] for name in place if name != "start_index"},
            ],
        },
        {"type": "tool_use", "id": "call_0_0", "name": "", "input": {"a": 1}, **DIRECT},
        {"type": "tool_use", "id": "id", "name": "f", "input": {}, **DIRECT},
    ]


OTHERS: list[list[Json]] = [
    [{"type": "reasoning.text", "text": "Hm", "format": "unknown", "index": 0}],
    [{"type": "reasoning.summary", "summary": "Hm", "format": "openai-responses-v1", "index": 0}],
    [encrypted(format="openai-responses-v1", id="rs_1", index=0)],
    [encrypted(format="google-gemini-v1", id="call", index=0)],
    [{"type": "reasoning.text", "text": "Hm", "signature": "s", "format": "google-gemini-v1"}],
    [{"type": "reasoning.server_tool_call", "tool_name": "search", "format": "unknown"}],
]


@pytest.mark.parametrize("details", OTHERS, ids=lambda details: details[0]["type"])
def test_thoughts_of_others_come_back_unchanged(details: list[Json]) -> None:
    text = "".join(one.get("text") or one.get("summary") or "" for one in details)
    blocks = content(Reasoning(0, text, tuple(details)), Text(0, "x"))
    assert "".join(block.get("thinking", "") for block in blocks) == text
    body = {"model": "a/b", "messages": [{"role": "assistant", "content": blocks}]}
    (answer,) = decode_request(json.dumps(body).encode()).body["messages"]
    assert answer["reasoning_details"] == details
    assert answer.get("reasoning", "") == text


def test_a_seal_behind_a_text_is_told_where_a_call_follows() -> None:
    """Coding agents take the last block for the answer, and Gemini signs a text when it is over."""
    said = Text(0, "x"), Reasoning(0, "", (encrypted(format="google-gemini-v1"),))
    assert [block["type"] for block in content(*said)] == ["text"]
    blocks = content(*said, Text(0, "y"), ToolCall(0, 0, "a", "f", "{}"))
    assert [block["type"] for block in blocks] == ["text", "redacted_thinking", "tool_use"]


def test_pieces_of_a_thought_are_one() -> None:
    plain = {"type": "reasoning.text", "index": 0}
    (thought,) = content(
        *(Reasoning(0, one, ({**plain, "text": one},)) for one in ("a", "b")),
        Reasoning(0, "", ({**THOUGHT, "signature": "Claude's, as Bedrock tells it"},)),
    )
    assert thought == {
        "type": "thinking",
        "thinking": "ab",
        "signature": "Claude's, as Bedrock tells it",
    }


def test_hidden_thoughts_are_there_to_be_sent_back() -> None:
    assert content(
        Reasoning(0, "secret"),
        Reasoning(0, "s", ({**THOUGHT, "text": "s", "signature": "sig"},)),
        Text(0, "x"),
        ask=HIDING,
    ) == [
        {"type": "thinking", "thinking": "", "signature": "sig"},
        {"type": "text", "text": "x", "citations": None},
    ]


@pytest.mark.parametrize(
    ("events", "stop"),
    [
        ([Finished(0, "stop", "stop")], "end_turn"),
        ([Finished(0, "length", "MAX_TOKENS")], "max_tokens"),
        ([Finished(0, "length", "model_context_window_exceeded")], "model_context_window_exceeded"),
        ([Finished(0, "tool_calls", None)], "tool_use"),
        ([Finished(0, "content_filter", None)], "refusal"),
        ([Finished(0, "stop", "stop_sequence")], "stop_sequence"),
        ([Finished(0, "stop", "pause_turn")], "pause_turn"),
        ([Finished(0, "stop", "compaction")], "compaction"),
        ([Finished(0, "error", None)], "end_turn"),
        ([ToolCall(0, 0, "a", "f", "{}"), Finished(0, "stop", None)], "tool_use"),
        ([ToolCall(0, 0, "a", "f", "{}"), Finished(0, "tool_calls", "end_turn")], "tool_use"),
        ([ToolCall(0, 0, "a", "f", "{"), Finished(0, "length", "max_tokens")], "max_tokens"),
        ([Refusal(0, "No."), Finished(0, "stop", None)], "refusal"),
        ([Text(0, "x")], "end_turn"),
    ],
)
def test_stop_reasons(events: list[Event], stop: str) -> None:
    assert streamed(*events)[-2]["delta"]["stop_reason"] == stop


@pytest.mark.parametrize(("native", "said"), [("refusal", []), ("completed", ["No."])])
def test_a_refusal_is_explained(native: str, said: list[str]) -> None:
    told = streamed(Refusal(0, "N"), Refusal(0, "o."), Finished(0, "content_filter", native))
    details = {"type": "refusal", "category": None, "explanation": "No."}
    assert told[-2]["delta"]["stop_details"] == details
    assert [block["text"] for block in folded(told)["content"]] == said


def test_the_beginning_tells_of_the_prompt() -> None:
    prompt = Usage(prompt_tokens=100, cached_tokens=30)
    begin, *_ = streamed(Started(None, service_tier="default", prompt=prompt), Text(0, "x"))
    told = {"input_tokens": 70, "output_tokens": 0, "service_tier": "standard"}
    assert begin["message"]["usage"].items() >= told.items()


def test_the_end_tells_which_tier_was_served() -> None:
    late = Started(None, service_tier="priority")
    begin, *_, delta, _ = streamed(Started(None), Text(0, "x"), late, Started(None))
    assert begin["message"]["usage"]["service_tier"] is None
    assert delta["usage"]["service_tier"] == "priority"


def test_the_end_tells_what_it_cost_and_how_it_was_routed() -> None:
    *_, delta, stop = streamed(Text(0, "x"), bill=replace(BILL, routing={"attempt": 1}))
    assert delta["usage"].items() >= {"input_tokens": 70, "output_tokens": 7, **ADDED}.items()
    assert stop == {"type": "message_stop", "openrouter_metadata": {"attempt": 1}}


def test_a_long_call_does_not_cost_more_looks_than_it_may() -> None:
    pieces = [ToolCall(0, 0, None, None, f',"{number}":{{}}') for number in range(300)]
    first, second = ToolCall(0, 0, "a", "f", '{"a":{}'), ToolCall(0, 1, "b", "f", "{}")
    blocks = content(first, second, *pieces, ToolCall(0, 0, None, None, "}"))
    assert [(block["id"], len(block["input"])) for block in blocks] == [("a", 301), ("b", 0)]
