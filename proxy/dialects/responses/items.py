"""Items of a Responses answer that are neither text nor calls of the caller's tools.

Here they become OpenRouter's `reasoning_details`, annotations and images, and what OpenAI must see
again on the next turn becomes an item once more.
"""

from typing import Any, Final

from proxy.dialects.values import json_text, mapping, parsed, string

OPENAI: Final = "openai-responses-v1"
"""The `format` of reasoning that OpenAI encrypted; recorded at OpenRouter. Nobody else takes it."""

_RESULTS = ("outputs", "output", "results", "result", "tools", "error")
_PLAIN = frozenset(("id", "type", "status"))
_CALLS = frozenset(
    ("code_interpreter", "file_search", "image_generation", "mcp", "shell", "tool_search",
     "web_search")
)  # fmt: skip
_OTHERS = frozenset(
    ("compaction", "mcp_list_tools", "program", "program_output", "shell_call_output",
     "tool_search_output")
)  # fmt: skip
"""Items that can be sent back, by the names that `server_call` gives them."""

_STATELESS = frozenset(("compaction", "mcp_list_tools", "program", "program_output"))


def server_call(item: dict[str, Any], format_: str, index: int) -> dict[str, Any]:
    """What a tool of the provider's own did, as a `reasoning.server_tool_call`. Arguments and
    result are JSON of the item's own fields; images are beside it (`images_of`).
    """
    fields = {name: value for name, value in item.items() if name not in _PLAIN}
    result = {name: fields.pop(name) for name in _RESULTS if name in fields}
    if item["type"] == "image_generation_call":
        result.pop("result", None)
    if isinstance(outputs := result.get("outputs"), list):
        result["outputs"] = [entry for entry in outputs if _image_url(entry) is None]
    return {
        "type": "reasoning.server_tool_call",
        "tool_name": item["type"].removesuffix("_call"),
        "arguments": json_text(fields),
        "result": json_text(result),
        "tool_call_id": item.get("id"),
        "format": format_,
        "index": index,
    }


def server_item(detail: dict[str, Any], images: list[str]) -> dict[str, Any] | None:
    """The item that `server_call` made `detail` of; None for one that can not be sent back.
    `images` are the message's as base64: each generated one takes its own from the front.
    """
    name = string(detail.get("tool_name"))
    if name not in _CALLS | _OTHERS:
        return None
    item: dict[str, Any] = {"type": f"{name}_call" if name in _CALLS else name}
    if isinstance(id_ := detail.get("tool_call_id"), str) and id_:
        item["id"] = id_
    if name not in _STATELESS:
        item["status"] = "completed"
    item |= _said(detail, "arguments") | _said(detail, "result")
    if isinstance(found := item.get("results"), list):
        item["results"] = [_without(one, "vector_store_id") for one in found]
    if name == "image_generation":
        if not images:
            return None
        # Its other fields are the answer's alone.
        item = {key: item[key] for key in ("type", "id", "status") if key in item}
        item["result"] = images.pop(0)
    return item


def images_of(item: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """The images in an item, in OpenRouter's form: generated ones, and those that code drew."""
    urls: list[str | None] = []
    data = item.get("result")
    if item.get("type") == "image_generation_call" and isinstance(data, str) and data:
        urls.append(f"data:image/{item.get('output_format') or 'png'};base64,{data}")
    outputs = item.get("outputs")
    urls += [_image_url(entry) for entry in outputs] if isinstance(outputs, list) else []
    return tuple({"type": "image_url", "image_url": {"url": url}} for url in urls if url)


def citation(annotation: dict[str, Any], offset: int) -> dict[str, Any] | None:
    """An annotation in OpenRouter's form; None for what is none. `offset` is how much text stood
    before the part that it is about.
    """
    start, end = annotation.get("start_index"), annotation.get("end_index")
    place = annotation.get("index")  # of a file: one place, not a range
    start = start if isinstance(start, int) else place if isinstance(place, int) else -offset
    end = end if isinstance(end, int) else start
    span = {"start_index": start + offset, "end_index": end + offset}
    if annotation.get("type") == "url_citation":
        url, title = annotation.get("url"), annotation.get("title")
        if not isinstance(url, str):
            return None
        cited = {"url": url, "title": title if isinstance(title, str) and title else url}
        return {"type": "url_citation", "url_citation": cited | span}
    own = {name: value for name, value in annotation.items() if name not in ("type", "index")}
    return {"type": "file_citation", "file_citation": own | span} if own else None


def _image_url(entry: object) -> str | None:
    if isinstance(entry, dict) and entry.get("type") == "image":
        url = entry.get("url")
        return url if isinstance(url, str) else None
    return None


def _without(found: Any, name: str) -> Any:
    """A result of a search as it is taken back: one field is the answer's alone."""
    return {k: v for k, v in found.items() if k != name} if isinstance(found, dict) else found


def _said(detail: dict[str, Any], name: str) -> dict[str, Any]:
    """The object in a field, which is JSON as we wrote it, or has been decoded since."""
    value = detail.get(name)
    return parsed(value) or mapping(value)
