"""OpenRouter's annotations and images as Responses tells them; the inverse of `items`."""

from typing import Any

from proxy.dialects.parts import media_of
from proxy.dialects.values import mapping, string

Json = dict[str, Any]


def annotation(cited: Json, offset: int) -> Json | None:
    """An annotation of an `output_text`; None for what is none. `offset` is how much of the text
    stood before this part. A document that is no file of OpenAI's has its place for an id.
    """
    type_ = cited.get("type")
    own = mapping(cited.get(type_)) if isinstance(type_, str) else {}
    start, end = (_place(own.get(name), offset) for name in ("start_index", "end_index"))
    others = {name: own[name] for name in own if name not in ("start_index", "end_index", "type")}
    if type_ == "url_citation" and (url := string(own.get("url"))):
        title = string(own.get("title")) or url
        span = {"start_index": start, "end_index": end}
        return {"type": type_, **others, "url": url, "title": title, **span}
    if type_ != "file_citation" or not own:
        return None
    file_id = string(own.get("file_id")) or f"document_{own.get('document_index', 0)}"
    title = string(own.get("document_title")) or string(own.get("title")) or file_id
    told = others | {"file_id": file_id, "filename": string(own.get("filename")) or title}
    if "container_id" in own:
        span = {"start_index": start, "end_index": end}
        return {"type": "container_file_citation", **told, **span}
    return {"type": type_, **told, "index": start}


def picture(image: Json, id_: str) -> Json | None:
    """An image as the item of a finished generation; None for what is none."""
    media = media_of({**image, "type": "image_url"})
    if media is None:
        return None
    item = {"id": id_, "type": "image_generation_call", "status": "completed"}
    item["result"] = media.data or media.url or ""
    if media.mime is not None:
        item["output_format"] = media.mime.removeprefix("image/")
    return item


def _place(index: object, offset: int) -> int:
    return max(0, index - offset) if isinstance(index, int) else 0
