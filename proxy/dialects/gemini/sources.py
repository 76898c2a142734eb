"""Where an answer is from: grounding and citations as OpenRouter's annotations.

Gemini counts in bytes of UTF-8, OpenRouter in characters. Its counts are off by a few at times, so
where it repeats the cited words these decide.
"""

from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, Final

from proxy.dialects.values import objects, string

Json = dict[str, Any]

SOURCES_MAX: Final = 1_000
"""Of one answer: each costs a look at its whole text."""


def annotations(text: str, grounding: Json, citations: Json) -> tuple[Json, ...]:
    """The annotations of an answer with this text: of `groundingMetadata`, which Google's own tools
    give, and of `citationMetadata`, which names what the model knew by heart.
    """
    found = chain(_grounded(text, grounding), _cited(text, citations))
    return tuple({repr(one): one for one in islice(found, SOURCES_MAX)}.values())


def _grounded(text: str, grounding: Json) -> Iterator[Json]:
    chunks = objects(grounding.get("groundingChunks"))
    supports = objects(grounding.get("groundingSupports"))
    if not supports:
        yield from (one for chunk in chunks if (one := _annotation(chunk, 0, 0)))
    for support in supports:
        segment = support.get("segment")
        start, end = _place(text, segment if isinstance(segment, dict) else {})
        indices = support.get("groundingChunkIndices")
        for index in indices if isinstance(indices, list) else ():
            known = isinstance(index, int) and 0 <= index < len(chunks)
            if known and (one := _annotation(chunks[index], start, end)):
                yield one


def _cited(text: str, citations: Json) -> Iterator[Json]:
    for citation in objects(citations.get("citations") or citations.get("citationSources")):
        url = string(citation.get("uri"))
        if url is not None:
            start, end = _place(text, citation)
            yield _url(url, string(citation.get("title")), start, end)


def _annotation(chunk: Json, start: int, end: int) -> Json | None:
    """The annotation for one source: a page of the web or of the maps, or a document."""
    kind, source = next(((k, v) for k, v in chunk.items() if isinstance(v, dict)), ("", {}))
    url = string(source.get("uri"))
    if url is not None and url.startswith(("https://", "http://")):
        return _url(url, string(source.get("title")), start, end)
    if kind != "retrievedContext":
        return None
    cited = source | {"start_index": start, "end_index": end}
    return {"type": "file_citation", "file_citation": cited}


def _url(url: str, title: str | None, start: int, end: int) -> Json:
    cited = {"url": url, "title": title or url, "start_index": start, "end_index": end}
    return {"type": "url_citation", "url_citation": cited}


def _place(text: str, segment: Json) -> tuple[int, int]:
    """Where the segment is, in characters."""
    data = text.encode("utf-8", "replace")
    first, last = (_offset(segment.get(key)) for key in ("startIndex", "endIndex"))
    start = len(data[:first].decode("utf-8", "ignore"))
    end = max(start, len(data[:last].decode("utf-8", "ignore")))
    words = string(segment.get("text"))
    if words is not None and text[start:end] != words and (found := text.find(words)) >= 0:
        return found, found + len(words)
    return start, end


def _offset(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
