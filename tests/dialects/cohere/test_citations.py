"""Where an answer comes from is told as OpenRouter tells it."""

from typing import Any

import pytest

from proxy.dialects.cohere.citations import annotations

Json = dict[str, Any]

PAGE = {
    "type": "document",
    "id": "d1",
    "document": {"url": "https://x.org/", "title": "X", "snippet": "of X"},
}
BARE = {"type": "tool", "id": "t:0", "tool_output": {"url": "http://y.org/"}}
FILE = {"type": "document", "id": "d2", "document": {"title": "a.txt"}}
PLACES = {"start_index": 2, "end_index": 5}


def cited(*sources: object) -> tuple[Json, ...]:
    return annotations({"start": 2, "end": 5, "text": "abc", "sources": list(sources)})


def test_a_source_with_an_address_is_a_page() -> None:
    page = {"url": "https://x.org/", "title": "X", **PLACES, "content": "of X"}
    bare = {"url": "http://y.org/", "title": "http://y.org/", **PLACES}
    assert cited(PAGE, BARE) == (
        {"type": "url_citation", "url_citation": page},
        {"type": "url_citation", "url_citation": bare},
    )


@pytest.mark.parametrize("url", ["file:///etc/passwd", "", None, 7])
def test_every_other_source_is_a_file_in_cohere_s_own_fields(url: object) -> None:
    source = FILE | {"document": {"url": url}}
    own = {"start": 2, "end": 5, "text": "abc", "sources": [source], **PLACES}
    assert cited(source) == ({"type": "file_citation", "file_citation": own},)


def test_sources_of_both_kinds_are_told_apart() -> None:
    page, file = cited(FILE, PAGE)
    assert page["type"] == "url_citation"
    assert file["file_citation"]["sources"] == [FILE]


def test_a_citation_without_sources_is_kept() -> None:
    (one,) = annotations({"text": "abc", "start": -1, "end": True})
    assert one["file_citation"] == {
        "text": "abc", "start": -1, "end": True, "sources": [], "start_index": 0, "end_index": 0,
    }  # fmt: skip
    assert annotations({}) == ()
