"""Where an answer of Cohere's comes from: its citations as OpenRouter's annotations.

A source with an address is cited as a page of the web is. Every other one is a document of the
caller's or a tool's result, and is cited as a file, in Cohere's own fields.
"""

from typing import Any

from proxy.dialects.values import objects, string


def annotations(citation: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """One citation, which may name several sources; none where it says nothing."""
    if not citation:
        return ()
    sources = objects(citation.get("sources"))
    pages = [source for source in sources if _url(_body(source))]
    start, end = _place(citation.get("start")), _place(citation.get("end"))
    items = [_page(_body(source), start, end) for source in pages]
    files = [source for source in sources if source not in pages]
    if files or not pages:
        own = citation | {"sources": files, "start_index": start, "end_index": end}
        items.append({"type": "file_citation", "file_citation": own})
    return tuple(items)


def _page(body: dict[str, Any], start: int, end: int) -> dict[str, Any]:
    url = _url(body)
    cited = {
        "url": url,
        "title": string(body.get("title")) or url,
        "start_index": start,
        "end_index": end,
    }
    texts = (string(body.get(name)) for name in ("text", "snippet", "content"))
    if content := next(filter(None, texts), None):
        cited["content"] = content
    return {"type": "url_citation", "url_citation": cited}


def _body(source: dict[str, Any]) -> dict[str, Any]:
    body = source.get("document") or source.get("tool_output")
    return body if isinstance(body, dict) else {}


def _url(body: dict[str, Any]) -> str | None:
    url = string(body.get("url"))
    return url if url and url.startswith(("https://", "http://")) else None


def _place(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
