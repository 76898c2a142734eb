"""What messages are made of: OpenRouter's content parts and tool calls, read for other dialects."""

import re
from hashlib import sha256
from typing import Any, Literal, NamedTuple

import orjson

from proxy.dialects.values import mapping

Kind = Literal["image", "file", "audio", "video"]

_DATA_URL = re.compile(r"(?is)data:([^;,]*)((?:;[^;,]*)*?)(;base64)?,(.*)")
_MIMES = {
    "gif": "image/gif", "jpeg": "image/jpeg", "jpg": "image/jpeg", "png": "image/png",
    "webp": "image/webp", "pdf": "application/pdf", "txt": "text/plain", "md": "text/markdown",
    "csv": "text/csv", "html": "text/html", "docx":
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "xlsx":
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "wav": "audio/wav",
    "mp3": "audio/mpeg", "mpga": "audio/mpeg", "flac": "audio/flac", "ogg": "audio/ogg",
    "opus": "audio/ogg", "m4a": "audio/mp4", "aac": "audio/aac", "aiff": "audio/aiff",
    "webm": "video/webm", "mp4": "video/mp4", "mov": "video/quicktime", "mpeg": "video/mpeg",
}  # fmt: skip


class Media(NamedTuple):
    """An attachment: its bytes as base64 in `data`, or the `url` they are to be fetched from, or
    the `id` of a file that the provider has. `mime` may be unknown for a URL.
    """

    kind: Kind
    mime: str | None
    data: str | None = None
    url: str | None = None
    id: str | None = None
    name: str | None = None


def parts_of(content: object) -> list[dict[str, Any]]:
    """A message's content as parts; none where it has none."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []


def text_in(content: object) -> str:
    """All text of a message's content."""
    texts = (part.get("text") for part in parts_of(content))
    return "".join(text for text in texts if isinstance(text, str))


def media_of(part: dict[str, Any]) -> Media | None:
    """The attachment in a content part; None where it is text, or nothing that is known."""
    match part.get("type"):
        case "image_url":
            return _located("image", _url(part.get("image_url")))
        case "video_url" | "input_video":
            return _located("video", _url(part.get("video_url")))
        case "input_audio":
            return _audio(mapping(part.get("input_audio")))
        case "file":
            return _file(mapping(part.get("file")))
    return None


def arguments_of(call: dict[str, Any]) -> dict[str, Any]:
    """A tool call's arguments as an object; empty where they are none: a model was cut off, or
    called without any.
    """
    said = mapping(call.get("function")).get("arguments")
    if isinstance(said, dict):
        return said
    try:
        value = orjson.loads(said) if isinstance(said, str) else None
    except orjson.JSONDecodeError:
        return {}
    return mapping(value)


def short_id(id_: str, chars_max: int) -> str:
    """A call's id in a length that a provider takes: those of other providers may be of any. One
    that is too long is always replaced by the same, of 37 characters.
    """
    if len(id_) <= chars_max:
        return id_
    return f"call_{sha256(id_.encode(errors='replace')).hexdigest()[:32]}"


def mime_of(name: str) -> str | None:
    """What a file of that name, or at that URL, most likely is."""
    path = name.partition("?")[0].partition("#")[0]
    return _MIMES.get(path.rpartition(".")[2].lower())


def _audio(said: dict[str, Any]) -> Media | None:
    data, format_ = said.get("data"), said.get("format")
    if not isinstance(data, str):
        return None
    found = _located("audio", data) if data.startswith("data:") else None
    mime = mime_of(f".{format_}") or f"audio/{format_}"
    return found or Media("audio", mime, data=data, name=None)


def _file(said: dict[str, Any]) -> Media | None:
    name = said.get("filename")
    name = name if isinstance(name, str) and name else None
    if isinstance(id_ := said.get("file_id"), str) and not said.get("file_data"):
        return Media("file", name and mime_of(name), id=id_, name=name)
    data = said.get("file_data")
    found = _located("file", data) if isinstance(data, str) else None
    if found is None:
        return None
    return found._replace(name=name, mime=found.mime or (name and mime_of(name)) or None)


def _located(kind: Kind, url: str | None) -> Media | None:
    if url is None:
        return None
    if url[:5].lower() != "data:":
        return Media(kind, mime_of(url), url=url)
    found = _DATA_URL.fullmatch(url)
    if found is None or found[3] is None:
        return None
    return Media(kind, found[1].lower() or None, data=found[4])


def _url(said: object) -> str | None:
    url = said.get("url") if isinstance(said, dict) else said
    return url if isinstance(url, str) and url else None
