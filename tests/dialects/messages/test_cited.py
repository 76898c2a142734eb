"""Annotations are Anthropic's citations again, as far as it has words for them."""

from typing import Any

import pytest

from proxy.dialects.messages.cited import citation

Json = dict[str, Any]
SPAN = {"start_index": 1, "end_index": 5}
PAGE = {"type": "page_location", "cited_text": "w", "document_index": 0, "start_page_number": 1}


@pytest.mark.parametrize(
    ("annotation", "told"),
    [
        (
            {"type": "url_citation", "url_citation": {"url": "u", "title": "T", **SPAN}},
            {
                "type": "web_search_result_location",
                "url": "u",
                "title": "T",
                "cited_text": "",
                "encrypted_index": "",
            },
        ),
        ({"type": "file_citation", "file_citation": {**PAGE, **SPAN}}, PAGE),
        ({"type": "file_citation", "file_citation": {"file_id": "f"}}, None),
        ({"type": "url_citation", "url_citation": {"url": ""}}, None),
        ({}, None),
    ],
)
def test_citations(annotation: Json, told: Json | None) -> None:
    assert citation(annotation) == told
