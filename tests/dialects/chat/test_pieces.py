"""Pieces of an answer become one message, whatever way they were cut."""

from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.chat.pieces import Message, call_piece, joined, plain_detail, to_json
from proxy.errors import GatewayError
from proxy.wire.events import (
    Attachments,
    Audio,
    Event,
    Finished,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)

Json = dict[str, Any]


def message(*events: Event, hide_reasoning: bool = False) -> Json:
    built = Message(hide_reasoning)
    for event in events:
        built.add(event)
    told: Json = built.render(0)["message"]
    return told


def test_a_call_has_an_id_where_it_begins() -> None:
    assert call_piece(ToolCall(1, 2, None, "f", "{")) == {
        "index": 2, "id": "call_1_2", "type": "function",
        "function": {"name": "f", "arguments": "{"},
    }  # fmt: skip
    assert call_piece(ToolCall(0, 0, None, None, "}")) == {
        "index": 0, "function": {"arguments": "}"},
    }  # fmt: skip
    assert call_piece(ToolCall(0, 0, "c", "run", "ls", custom=True)) == {
        "index": 0, "id": "c", "type": "custom", "custom": {"name": "run", "input": "ls"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("known", "piece", "both"),
    [
        (None, {"a": 1}, {"a": 1}),
        ({"content": [1]}, {"content": [2]}, {"content": [1, 2]}),
        ({"data": "a", "id": "x"}, {"data": "b", "id": "y"}, {"data": "ab", "id": "y"}),
        ({"id": "x"}, {"id": None}, {"id": "x"}),
        ({}, {"id": None}, {"id": None}),
    ],
)
def test_joined(known: Json | None, piece: Json, both: Json) -> None:
    assert joined(known, piece) == both


def test_images_and_citations_and_sound() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    cited = {"type": "url_citation", "url_citation": {"url": "https://a.test"}}
    told = message(
        Text(0, "see"),
        Attachments(0, "images", (image,)),
        Attachments(0, "annotations", (cited,)),
        Attachments(0, "images", (image,)),
        Audio(0, {"id": "a", "data": "QQ", "transcript": "o"}),
        Audio(0, {"data": "==", "transcript": "h", "expires_at": 7}),
    )
    assert (told["images"], told["annotations"]) == ([image, image], [cited])
    assert told["audio"] == {"id": "a", "data": "QQ==", "transcript": "oh", "expires_at": 7}


def test_hidden_reasoning_leaves_no_trace() -> None:
    events = (Reasoning(0, "hm"), Text(0, "a"))
    assert message(*events)["reasoning_details"] == [plain_detail("hm")]
    assert message(*events, hide_reasoning=True).keys() == {"role", "content", "refusal"}


def test_a_message_without_an_end() -> None:
    built = Message(hide_reasoning=False)
    built.add(Refusal(0, "no"))
    assert built.render(3) == {
        "index": 3, "logprobs": None, "finish_reason": None, "native_finish_reason": None,
        "message": {"role": "assistant", "content": None, "refusal": "no", "reasoning": None},
    }  # fmt: skip
    built.add(Finished(0, "stop", "eos"))
    assert (built.render(3)["finish_reason"], built.render(3)["native_finish_reason"]) == (
        "stop", "eos",
    )  # fmt: skip


def test_what_is_too_deep_is_no_answer() -> None:
    deep: Json = {}
    for _ in range(300):
        deep = {"a": deep}
    with pytest.raises(GatewayError) as caught:
        to_json(deep)
    assert caught.value.kind == "provider_malformed"
    assert orjson.loads(to_json({"a": 1})) == {"a": 1}


@given(st.text(max_size=20), st.lists(st.integers(0, 20), max_size=4))
def test_the_cuts_do_not_matter(text: str, cuts: list[int]) -> None:
    bounds = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    pieces = [text[low:high] for low, high in pairwise(bounds)]
    whole = message(Reasoning(0, text), Text(0, text), ToolCall(0, 0, "c", "f", text))
    cut = message(
        *(Reasoning(0, piece, ({"type": "reasoning.text", "text": piece, "index": 0},))
          for piece in pieces),
        *(Text(0, piece) for piece in pieces),
        ToolCall(0, 0, "c", "f", ""),
        *(ToolCall(0, 0, None, None, piece) for piece in pieces),
    )  # fmt: skip
    for name in ("content", "tool_calls"):
        assert cut[name] == whole[name]
    assert (cut["reasoning"] or "") == text
    assert "".join(one["text"] for one in cut.get("reasoning_details", ())) == text
