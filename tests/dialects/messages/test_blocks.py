"""Parts and earlier reasoning as content blocks."""

import base64
import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.messages.blocks import (
    FORMAT,
    blocks_of,
    replayed,
    result_block,
    text_blocks,
)
from proxy.errors import GatewayError
from proxy.providers import Provider

PROVIDER = Provider(slug="anthropic", name="Anthropic", base_url="https://anthropic.invalid")
MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
PNG = "data:image/png;base64,iVBORw0KGgo="
IMAGE = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
}


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def file(**said: Any) -> dict[str, Any]:
    return {"type": "file", "file": said}


def document(source: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "document", "source": source, **more}


def data_url(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}
TEXT = {"type": "text", "media_type": "text/plain", "data": "a,b\né"}


@pytest.mark.parametrize(
    ("part", "block"),
    [
        ({"type": "text", "text": "hi"}, {"type": "text", "text": "hi"}),
        (
            {"type": "text", "text": "hi", "cache_control": HOUR},
            {"type": "text", "text": "hi", "cache_control": HOUR},
        ),
        (
            {"type": "text", "text": "hi", "prompt_cache_breakpoint": {"mode": "explicit"}},
            {"type": "text", "text": "hi", "cache_control": MARK},
        ),
        ({"type": "refusal", "refusal": "no"}, {"type": "text", "text": "no"}),
        (image(PNG), IMAGE),
        ({**image(PNG), "cache_control": MARK}, {**IMAGE, "cache_control": MARK}),
        (file(file_data=PNG), IMAGE),
        (
            image(data_url("image/jpg", b"x")),
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/jpeg", "data": "eA=="},
            },
        ),
        (
            image("https://example.com/a.svg"),
            {"type": "image", "source": {"type": "url", "url": "https://example.com/a.svg"}},
        ),
        (
            file(file_id="file_1", filename="a.png"),
            {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        ),
        (
            file(file_id="file_1", filename="a.pdf"),
            document({"type": "file", "file_id": "file_1"}, title="a.pdf"),
        ),
        (
            file(filename="a.pdf", file_data=data_url("application/pdf", b"%PDF")),
            document(PDF, title="a.pdf"),
        ),
        (
            file(file_data="https://example.com/a.pdf"),
            document({"type": "url", "url": "https://example.com/a.pdf"}),
        ),
        (
            file(file_data="https://example.com/paper"),
            document({"type": "url", "url": "https://example.com/paper"}),
        ),
        (
            file(filename="a.csv", file_data=data_url("text/csv", "a,b\né".encode())),
            document(TEXT, title="a.csv"),
        ),
        (document(TEXT, citations={"enabled": True}), document(TEXT, citations={"enabled": True})),
    ],
)
def test_a_part(part: Any, block: Any) -> None:
    before = copy.deepcopy(part)
    assert blocks_of([part], PROVIDER) == [block]
    assert part == before


@pytest.mark.parametrize("content", [None, "", " \n", [], [{"type": "text", "text": " "}], 5])
def test_what_says_nothing_is_left_out(content: Any) -> None:
    assert blocks_of(content, PROVIDER) == text_blocks(content) == []


@pytest.mark.parametrize(
    "part",
    [
        image(data_url("image/tiff", b"x")),
        image(data_url("", b"x")),
        file(filename="a.docx", file_data="data:;base64,eA=="),
        file(file_data="https://example.com/a.csv"),
        file(file_data=data_url("text/plain", b"x").rstrip("=")),
        {"type": "input_audio", "input_audio": {"data": "eA==", "format": "wav"}},
        {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}},
        {"type": "image_url"},
        {"type": "hologram"},
    ],
)
def test_what_has_no_words(part: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        blocks_of([part], PROVIDER)
    assert caught.value.kind == "provider_unfit"


@pytest.mark.parametrize(
    ("message", "more"),
    [
        ({"content": "4"}, {"content": "4"}),
        ({"content": " "}, {}),
        ({"content": None}, {}),
        ({"content": "4", "cache_control": MARK}, {"content": "4", "cache_control": MARK}),
        (
            {"content": [{"type": "text", "text": "4", "cache_control": HOUR}, image(PNG)]},
            {"content": [{"type": "text", "text": "4"}, IMAGE], "cache_control": HOUR},
        ),
    ],
)
def test_a_result(message: Any, more: Any) -> None:
    wanted = {"type": "tool_result", "tool_use_id": "t", **more}
    assert result_block("t", message, PROVIDER) == wanted


@pytest.mark.parametrize(
    "part", [{"type": "text", "text": "hi"}, image(PNG)], ids=["text", "image"]
)
def test_a_mark_for_caches_may_be_said_in_either_words(part: dict[str, Any]) -> None:
    in_openais = blocks_of([{**part, "prompt_cache_breakpoint": {"mode": "explicit"}}], PROVIDER)
    assert in_openais == blocks_of([{**part, "cache_control": MARK}], PROVIDER)
    assert in_openais[0]["cache_control"] == MARK


def thought(text: str | None = None, signature: str | None = None, **more: Any) -> dict[str, Any]:
    told = {"text": text, "signature": signature}
    said = {key: value for key, value in told.items() if value is not None}
    return {"type": "reasoning.text", **said, "format": FORMAT, "index": 0, **more}


def thinking(text: str, signature: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": text, "signature": signature}


USE = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "x"}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []}
SEARCH = {
    "type": "reasoning.server_tool_call",
    "tool_name": "web_search",
    "arguments": '{"query":"x"}',
    "result": json.dumps(FOUND),
    "tool_call_id": "s1",
    "format": FORMAT,
    "index": 1,
}
HIDDEN = {"type": "reasoning.encrypted", "data": "xyz", "format": FORMAT, "index": 1}
GONE = {"type": "redacted_thinking", "data": "xyz"}


@pytest.mark.parametrize(
    ("details", "blocks"),
    [
        (None, []),
        ([None, 5, {}], []),
        ([thought("a", "s")], [thinking("a", "s")]),
        ([thought("a"), thought("b"), thought(None, "s")], [thinking("ab", "s")]),
        ([thought("a", "s"), thought("b", "t")], [thinking("a", "s"), thinking("b", "t")]),
        ([thought(None, "s")], [thinking("", "s")]),
        ([thought("a")], []),
        ([thought("a"), thought("b", "t", index=1)], [thinking("b", "t")]),
        ([thought("a"), HIDDEN, thought(None, "s")], [GONE, thinking("", "s")]),
        ([HIDDEN, thought("a", "s", index=2)], [GONE, thinking("a", "s")]),
        ([{**HIDDEN, "data": ""}], []),
        ([{**HIDDEN, "type": 7}], []),
        ([{**HIDDEN, "data": 7}, thought("a", index=2) | {"signature": 7}], []),
        ([thought(None, "s") | {"text": ["a"]}], [thinking("", "s")]),
        ([{**HIDDEN, "type": "reasoning.summary"}], []),
        ([thought("a", "s", format=None)], [thinking("a", "s")]),
        ([thought("a", "s", format="unknown")], []),
        ([{**HIDDEN, "format": "openai-responses-v1"}], []),
        ([{**HIDDEN, "format": None}], []),
        ([SEARCH, thought("a", "s", index=2)], [USE, FOUND, thinking("a", "s")]),
        ([{**SEARCH, "result": ""}], [USE]),
        ([{**SEARCH, "arguments": "{"}], []),
        ([{**SEARCH, "arguments": "[]"}], []),
        ([{**SEARCH, "tool_name": None}], []),
        ([{**SEARCH, "tool_call_id": None}], []),
        (
            [{**SEARCH, "caller": {"type": "direct"}}],
            [{**USE, "caller": {"type": "direct"}}, FOUND],
        ),
        (
            [{**SEARCH, "server_name": "maps"}],
            [{**USE, "type": "mcp_tool_use", "server_name": "maps"}, FOUND],
        ),
    ],
)
def test_reasoning_that_was_sent_back(details: Any, blocks: Any) -> None:
    assert replayed(details) == blocks


@given(st.lists(st.tuples(st.text(min_size=1), st.integers(1, 4)), max_size=4))
def test_thoughts_come_back_however_they_were_cut(thoughts: list[tuple[str, int]]) -> None:
    details, wanted = [], []
    for index, (text, size) in enumerate(thoughts):
        cuts = range(0, len(text), size)
        details += [thought(text[at : at + size], index=index) for at in cuts]
        details.append(thought(None, f"s{index}", index=index))
        wanted.append(thinking(text, f"s{index}"))
    assert replayed(details) == wanted
