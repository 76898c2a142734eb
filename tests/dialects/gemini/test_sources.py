"""Grounding and citations as annotations."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.gemini.sources import SOURCES_MAX, annotations

Json = dict[str, Any]

WEB = {"web": {"uri": "https://a.test", "title": "A"}}
BARE = {"web": {"uri": "https://b.test"}}


def cited(url: str, title: str, start: int, end: int) -> Json:
    place = {"url": url, "title": title, "start_index": start, "end_index": end}
    return {"type": "url_citation", "url_citation": place}


def grounded(text: str, *segments: Any, chunks: tuple[Any, ...] = (WEB, BARE)) -> list[Json]:
    supports = [{"segment": segment, "groundingChunkIndices": [0]} for segment in segments]
    return list(
        annotations(text, {"groundingChunks": list(chunks), "groundingSupports": supports}, {})
    )


def test_bytes_become_characters() -> None:
    assert grounded("Zoë ist 😀 da", {"startIndex": 4, "endIndex": 13}, chunks=(WEB,)) == [
        cited("https://a.test", "A", 3, 9)
    ]


@given(st.text(), st.data())
def test_any_segment_is_found(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    before, within = (len(one.encode()) for one in (text[:start], text[start:end]))
    (one,) = grounded(text, {"startIndex": before, "endIndex": before + within}, chunks=(WEB,))
    place = one["url_citation"]
    assert (place["start_index"], place["end_index"]) == (start, end)


def test_the_words_decide_where_the_counts_are_off() -> None:
    segment = {"startIndex": 1, "endIndex": 3, "text": "bc"}
    assert grounded("ä bc", segment, chunks=(WEB,)) == [cited("https://a.test", "A", 2, 4)]
    lost = {"startIndex": 1, "endIndex": 3, "text": "zz"}
    assert grounded("abc", lost, chunks=(WEB,)) == [cited("https://a.test", "A", 1, 3)]


def test_places_that_are_none() -> None:
    for segment in (None, {}, {"startIndex": "1"}, {"startIndex": -4, "endIndex": -2}):
        assert grounded("abc", segment, chunks=(WEB,)) == [cited("https://a.test", "A", 0, 0)]
    assert grounded("abc", {"startIndex": 9, "endIndex": 2}, chunks=(WEB,)) == [
        cited("https://a.test", "A", 3, 3)
    ]


def test_every_source_of_a_segment() -> None:
    support = {"segment": {"endIndex": 1}, "groundingChunkIndices": [1, 0, 9, -1, "x", 0]}
    said = annotations("a", {"groundingChunks": [WEB, BARE], "groundingSupports": [support]}, {})
    assert said == (
        cited("https://b.test", "https://b.test", 0, 1),
        cited("https://a.test", "A", 0, 1),
    )
    odd = {"groundingChunks": [WEB], "groundingSupports": [{"groundingChunkIndices": 3}]}
    assert annotations("a", odd, {}) == ()


def test_sources_without_segments() -> None:
    chunks = [WEB, {"maps": {"uri": "https://m.test", "title": "M"}}, {}, {"web": {"uri": "x:y"}}]
    assert annotations("a", {"groundingChunks": chunks}, {}) == (
        cited("https://a.test", "A", 0, 0),
        cited("https://m.test", "M", 0, 0),
    )


def test_documents() -> None:
    page = {"retrievedContext": {"uri": "https://d.test", "title": "D", "text": "words"}}
    stored = {"retrievedContext": {"uri": "gs://b/d", "text": "words"}}
    support = {"segment": {"endIndex": 1}, "groundingChunkIndices": [0, 1]}
    grounding = {"groundingChunks": [page, stored], "groundingSupports": [support]}
    assert annotations("a", grounding, {}) == (
        cited("https://d.test", "D", 0, 1),
        {
            "type": "file_citation",
            "file_citation": {"uri": "gs://b/d", "text": "words", "start_index": 0, "end_index": 1},
        },
    )


def test_what_the_model_knew_by_heart() -> None:
    told = {"startIndex": 1, "endIndex": 2, "uri": "https://c.test", "title": "C"}
    for key in ("citations", "citationSources"):
        said = annotations("abc", {}, {key: [told, {}, told]})
        assert said == (cited("https://c.test", "C", 1, 2),)


def test_there_is_an_end_to_them() -> None:
    chunks = [{"web": {"uri": f"https://{number}.test"}} for number in range(SOURCES_MAX + 5)]
    assert len(annotations("", {"groundingChunks": chunks}, {})) == SOURCES_MAX
