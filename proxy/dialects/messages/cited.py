"""OpenRouter's annotations as Anthropic cites: the inverse of what `events.py` makes of it."""

from typing import Final

from proxy.dialects.messages.blocks import Block
from proxy.dialects.values import mapping, string

_LOCATIONS: Final = "_location"
"""How the types of Anthropic's citations end."""

_SPAN: Final = ("start_index", "end_index")
"""Where the words stand that cite, which Anthropic tells by the block."""


def citation(annotation: Block) -> Block | None:
    """One citation; None where Anthropic has no words for it."""
    cited = mapping(annotation.get("url_citation"))
    if url := string(cited.get("url")):
        return {
            "type": "web_search_result_location",
            "url": url,
            "title": cited.get("title"),
            "cited_text": cited.get("content") or "",
            "encrypted_index": "",
        }
    cited = mapping(annotation.get("file_citation"))
    if not str(cited.get("type")).endswith(_LOCATIONS):
        return None
    return {name: value for name, value in cited.items() if name not in _SPAN}
