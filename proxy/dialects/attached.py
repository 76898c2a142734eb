"""Attachments as callers write them, mended so that every provider can read them, or refused.

Clients break the lines of base64, use the alphabet of URLs, leave the padding out, name a PNG a
JPEG or send the bytes bare. Some providers take that and others answer with a 400 that nobody
understands; here all of it becomes one plain form, and what is no data at all is refused by name.
"""

import base64
import re
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from proxy.dialects.parts import mime_of
from proxy.errors import GatewayError
from proxy.wire.slices import Steps, at_once

_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BLANKS: Final = b" \t\r\n\f\v"
_OF_URLS: Final = bytes.maketrans(b"-_", b"+/")
_PADDINGS: Final = (b"", b"=", b"==")
_CHECKED_CHARS: Final = 256 * 1024  # of base64, in one step
_HEAD: Final = re.compile(r"(?is)data:([^,]{0,512}),")
_JPG: Final = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}
_FIELDS: Final = {
    "image_url": "image_url.url",
    "video_url": "video_url.url",
    "file": "file.file_data",
    "input_audio": "input_audio.data",
}


def field_of(message: int, place: int, part: dict[str, Any]) -> str:
    """The name of an attachment for its caller: `messages[2].content[1].image_url.url`."""
    kind = part["type"]
    return f"messages[{message}].content[{place}].{_FIELDS.get(kind, kind)}"


def mend(messages: list[dict[str, Any]]) -> None:
    """Writes the data in all attachments anew where it is not in its plain form.

    Raises GatewayError `invalid_image` for an image, `invalid_request` for any other attachment,
    whose data is none; each names the field.
    """
    at_once(mend_steps(messages))


def mend_steps(messages: list[dict[str, Any]]) -> Steps[None]:
    """The same, a step for each."""
    for number, message in enumerate(messages):
        content = message.get("content")
        for place, part in enumerate(content if isinstance(content, list) else ()):
            said = part.get(part["type"])
            if part["type"] in _FIELDS and said is not None:
                yield
                try:
                    yield from _mend(part, said)
                except ValueError as error:
                    kind = "invalid_image" if part["type"] == "image_url" else "invalid_request"
                    raise GatewayError(kind, f"{field_of(number, place, part)}: {error}") from None


def _mend(part: dict[str, Any], said: object) -> Steps[None]:
    kind = part["type"]
    if isinstance(said, str):
        part[kind] = yield from _plain(said, None)
    elif isinstance(said, dict):
        key = {"file": "file_data", "input_audio": "data"}.get(kind, "url")
        value, name = said.get(key), said.get("filename")
        if not isinstance(value, str) or (kind == "file" and not value):
            return
        if kind == "input_audio" and value[:5].lower() != "data:":
            said[key] = yield from _coded(value)
        else:
            mime = mime_of(name) if isinstance(name, str) else None
            said[key] = yield from _plain(value, mime)


def _plain(url: str, mime: str | None) -> Steps[str]:
    """A data URL in its plain form; any other URL as it is."""
    if url[:5].lower() != "data:":
        found = _told(url)
        return f"data:{found};base64,{(yield from _coded(url))}" if found else url
    head = _HEAD.match(url)
    if head is None:
        raise ValueError("a data URL is data:MIME;base64,DATA")
    said, *marks = head[1].split(";")
    written = url[head.end() :]
    if any(mark.strip().lower() == "base64" for mark in marks):
        data = yield from _coded(written)
    else:
        data = base64.b64encode(unquote_to_bytes(written)).decode()
    if not data:
        raise ValueError("there is no data in it")
    said = said.strip().lower()
    start = f"data:{_told(data) or _JPG.get(said, said) or mime or ''};base64,"
    return url if data is written and url.startswith(start) else start + data


def _coded(data: str) -> Steps[str]:
    """Base64 in its plain form: the same object, where it is that already, as is most."""
    strange = b""
    for start in range(0, len(data), _CHECKED_CHARS):
        if len(data) > _CHECKED_CHARS:
            yield
        strange += _bytes_of(data[start : start + _CHECKED_CHARS]).translate(None, _ALPHABET)
    if strange in _PADDINGS and len(data) % 4 == 0 and data.endswith(strange.decode()):
        return data
    raw = _bytes_of(data)
    if b"%" in strange:
        raw = unquote_to_bytes(raw)
    raw = raw.translate(_OF_URLS, _BLANKS).rstrip(b"=")
    if raw.translate(None, _ALPHABET) or len(raw) % 4 == 1:
        raise ValueError("the data is not base64")
    return (raw + b"=" * (-len(raw) % 4)).decode()


def _bytes_of(data: str) -> bytes:
    try:
        return data.encode("ascii")
    except UnicodeEncodeError:
        raise ValueError("the data is not base64") from None


def _told(data: str) -> str | None:
    """The MIME type that base64 begins with, where that is beyond doubt."""
    if data.startswith("iVBORw0KGgo"):
        return "image/png"
    if data.startswith("/9j/"):
        return "image/jpeg"
    if data.startswith(("R0lGODlh", "R0lGODdh")):
        return "image/gif"
    if data.startswith("UklGR") and data[12:16] == "RUJQ":
        return "image/webp"
    return "application/pdf" if data.startswith("JVBERi0") else None
