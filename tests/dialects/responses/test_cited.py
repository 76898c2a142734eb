"""Citations and images in the words of Responses."""

from typing import Any

import pytest

from proxy.dialects.responses.cited import annotation, picture
from proxy.dialects.responses.items import citation
from tests.order import Json


@pytest.mark.parametrize(
    "told",
    [
        {"type": "url_citation", "url": "u", "title": "t", "start_index": 3, "end_index": 5},
        {"type": "file_citation", "file_id": "f", "filename": "n", "index": 4},
        {
            "type": "container_file_citation",
            "container_id": "c",
            "file_id": "f",
            "filename": "n",
            "start_index": 1,
            "end_index": 2,
        },
    ],
)
@pytest.mark.parametrize("offset", [0, 7])
def test_openais_own_come_back(told: Json, offset: int) -> None:
    cited = citation(told, offset)
    assert cited is not None
    assert annotation(cited, offset) == told


@pytest.mark.parametrize(
    ("own", "told"),
    [
        (
            {"document_index": 2, "document_title": "A", "cited_text": "x", "start_index": 9},
            {"file_id": "document_2", "filename": "A", "index": 9, "cited_text": "x"},
        ),
        ({"title": "B", "end_index": 3}, {"file_id": "document_0", "filename": "B", "index": 0}),
        ({"text": "x"}, {"file_id": "document_0", "filename": "document_0", "index": 0}),
    ],
)
def test_documents_of_others(own: Json, told: Json) -> None:
    found = annotation({"type": "file_citation", "file_citation": own}, 0)
    assert found is not None
    assert found.items() >= ({"type": "file_citation"} | told).items()


@pytest.mark.parametrize(
    "cited",
    [
        {},
        {"type": 5},
        {"type": "url_citation"},
        {"type": "url_citation", "url_citation": {"url": ""}},
        {"type": "file_citation", "file_citation": {}},
        {"type": "other", "other": {"a": 1}},
    ],
)
def test_what_is_none(cited: Json) -> None:
    assert annotation(cited, 0) is None


def test_a_place_before_its_part() -> None:
    own: Json = {"url": "u", "start_index": 1, "end_index": "x"}
    found = annotation({"type": "url_citation", "url_citation": own}, 5)
    assert found is not None
    assert (found["title"], found["start_index"], found["end_index"]) == ("u", 0, 0)


@pytest.mark.parametrize(
    ("url", "more"),
    [
        ("data:image/webp;base64,AAAA", {"result": "AAAA", "output_format": "webp"}),
        ("https://a.test/b.png", {"result": "https://a.test/b.png", "output_format": "png"}),
        ("https://a.test/b", {"result": "https://a.test/b"}),
        (5, None),
    ],
)
def test_images(url: Any, more: Json | None) -> None:
    head = {"id": "ig_1", "type": "image_generation_call", "status": "completed"}
    told = picture({"image_url": {"url": url}}, "ig_1")
    assert told == (None if more is None else head | more)
