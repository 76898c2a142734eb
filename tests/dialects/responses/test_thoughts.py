"""Reasoning of every format becomes items, and the items the same reasoning."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.responses.asked import decode_request
from proxy.dialects.responses.items import OPENAI
from proxy.dialects.responses.sealing import grow
from proxy.dialects.responses.telling import Teller
from proxy.dialects.responses.thoughts import tell
from proxy.wire.events import Reasoning
from tests.order import Json
from tests.truths.responses import XAI

CLAUDE, GEMINI = "anthropic-claude-v1", "google-gemini-v1"


def items(*details: Json, text: str = "") -> list[Json]:
    teller = Teller("gen-1-abc")
    for detail in details:
        tell(Reasoning(0, "", (detail,)), teller)
    if text:
        tell(Reasoning(0, text, ()), teller)
    teller.close()
    assert all(item.done for item in teller.record.items.values())
    return teller.record.output("completed")


def back(items_: list[Json]) -> list[Json]:
    """The details that the next turn brings."""
    said = {"role": "assistant", "content": "a"}
    request = {"model": "a/b", "input": [{"role": "user", "content": "b"}, *items_, said]}
    found = decode_request(json.dumps(request).encode()).body["messages"][1]
    details: list[Json] = found.get("reasoning_details", [])
    return details


def text(said: str | None = None, **more: Any) -> Json:
    told = {} if said is None else {"text": said}
    return {"type": "reasoning.text", **told, "format": CLAUDE, "index": 0} | more


def encrypted(data: str, **more: Any) -> Json:
    return {"type": "reasoning.encrypted", "data": data, "format": OPENAI} | more


def summary(said: str, **more: Any) -> Json:
    return {"type": "reasoning.summary", "summary": said, "format": OPENAI} | more


def test_plain_text() -> None:
    (item,) = items(text=" hm")
    assert item == {
        "id": "rs_tmp_abc0",
        "type": "reasoning",
        "status": "completed",
        "summary": [],
        "format": "unknown",
        "content": [{"type": "reasoning_text", "text": " hm"}],
    }


def test_a_text_that_is_in_no_detail() -> None:
    teller = Teller("gen-1-abc")
    tell(Reasoning(0, "hm", (encrypted("x", format=GEMINI),)), teller)
    plain, sealed = teller.record.output("completed")
    assert plain["content"][0]["text"] == "hm"
    assert back([sealed]) == [encrypted("x", format=GEMINI)]


def test_openais_own_item() -> None:
    (item,) = items(summary("a", index=0), summary("b", index=1), encrypted("gA", index=2))
    assert item["summary"] == [
        {"type": "summary_text", "text": "a"},
        {"type": "summary_text", "text": "b"},
    ]
    assert (item["encrypted_content"], item["format"]) == ("gA", OPENAI)


def test_its_id_is_kept() -> None:
    """What was read before its id was known is an item beside it."""
    first, second = items(summary("a", index=0), encrypted("gA", id="rs_9", index=1))
    assert first["summary"] == [{"type": "summary_text", "text": "a"}]
    assert (second["id"], second["encrypted_content"]) == ("rs_9", "gA")
    (item,) = items(text("a", format=XAI, id="rs_9"), encrypted("b", format=XAI, id="rs_9"))
    assert (item["id"], item["encrypted_content"], item["format"]) == ("rs_9", "b", XAI)


def test_work_of_a_providers_own_tools() -> None:
    call = {
        "type": "reasoning.server_tool_call", "tool_name": "web_search", "arguments": "{}",
        "result": "{}", "tool_call_id": "ws_1", "format": OPENAI, "index": 0,
    }  # fmt: skip
    assert items(call) == [{"type": "web_search_call", "id": "ws_1", "status": "completed"}]
    assert items(call | {"tool_call_id": None})[0]["id"] == "call_tmp_abc0"
    assert items(call | {"tool_name": "image_generation"}) == [], "the image is told by itself"
    (sealed,) = items(call | {"format": CLAUDE})
    assert back([sealed]) == [call | {"format": CLAUDE}]


@pytest.mark.parametrize(
    "details",
    [
        [text("a"), text("b"), text(signature="s")],
        [text("a", format=None), text(signature="s")],  # Bedrock names the format at the end
        [
            text("a"),
            text(signature="s"),
            encrypted("r", format=CLAUDE, index=1),
            text("b", index=2),
        ],
        [text("a"), text(signature="s"), text("b", index=1), text(signature="t", index=1)],
        [encrypted("x", format=GEMINI, id="tool_f_1", index=0)],
        [text(signature="s")],
        [{"type": "reasoning.other", "format": CLAUDE, "odd": {"a": [1]}, "index": 4}],
    ],
)
def test_what_must_be_seen_again_comes_back_unchanged(details: list[Json]) -> None:
    """Even by a client that keeps OpenAI's fields only."""
    told: list[Json] = []
    for detail in details:
        grow(told, {name: said for name, said in detail.items() if said is not None})
    sent = items(*details)
    assert back(sent) == told
    kept = ("type", "id", "summary", "encrypted_content")
    bare = [{name: item[name] for name in kept if name in item} for item in sent]
    assert back(bare) == [one for one in told if one.keys() - {"type", "text", "format", "index"}]


PIECES = st.lists(st.text(max_size=3), max_size=3)


@given(st.lists(st.tuples(PIECES, st.text(min_size=1, max_size=3)), max_size=4))
def test_any_signed_thoughts_come_back(thoughts: list[tuple[list[str], str]]) -> None:
    details, told = [], list[Json]()
    for index, (pieces, signature) in enumerate(thoughts):
        details += [text(piece, index=index) for piece in pieces]
        details.append(text(signature=signature, index=index))
    for detail in details:
        grow(told, detail)
    assert back(items(*details)) == told
