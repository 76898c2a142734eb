"""Attachments as Bedrock takes them: bytes as base64 with the name of a format, or an object in S3.

Formats are those of the Converse API ("ImageBlock", "DocumentBlock", "VideoBlock", "AudioBlock");
which of them a model reads is its own affair.
"""

import re
from typing import Any, Final

from proxy.dialects.asking import inexpressible
from proxy.dialects.parts import Media, media_of
from proxy.providers import Provider

_OFFICE = "application/vnd.openxmlformats-officedocument"
_IMAGES: Final = {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg",
                  "image/gif": "gif", "image/webp": "webp"}  # fmt: skip
_DOCUMENTS: Final = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    f"{_OFFICE}.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    f"{_OFFICE}.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
_VIDEOS: Final = {
    "video/x-matroska": "mkv", "video/quicktime": "mov", "video/mp4": "mp4", "video/webm": "webm",
    "video/x-flv": "flv", "video/mpeg": "mpeg", "video/x-ms-wmv": "wmv", "video/3gpp": "three_gp",
}  # fmt: skip
_AUDIO: Final = {
    "audio/mpeg": "mp3", "audio/mp3": "mp3", "audio/opus": "opus", "audio/wav": "wav",
    "audio/x-wav": "wav", "audio/aac": "aac", "audio/flac": "flac", "audio/mp4": "mp4",
    "audio/m4a": "m4a", "audio/ogg": "ogg", "audio/webm": "webm", "audio/pcm": "pcm",
}  # fmt: skip
_KINDS: Final = (
    ("image", _IMAGES), ("document", _DOCUMENTS), ("video", _VIDEOS), ("audio", _AUDIO)
)  # fmt: skip
_SUFFIXES: Final = {
    suffix: found
    for kind, formats in _KINDS
    for suffix in formats.values()
    for found in ((kind, suffix),)
} | {"jpg": ("image", "jpeg"), "mpg": ("video", "mpg"), "3gp": ("video", "three_gp")}
_PLAIN = re.compile(r"text/.*|application/(?:json|xml|yaml|x-yaml|javascript|toml)")
_S3 = re.compile(r"s3://[a-z0-9][.a-z0-9-]{1,61}[a-z0-9](?:/.*)?")
_NAME_CHARS_MAX = 200


class Names:
    """The names of a request's documents: of its alphabet, and none of them twice."""

    def __init__(self) -> None:
        self._used: dict[str, int] = {}

    def of(self, name: str | None) -> str:
        stem = (name or "").rpartition("/")[2]
        stem = stem.rpartition(".")[0] or stem
        plain = re.sub(r"[^A-Za-z0-9\s()\[\]-]+", "-", stem)
        plain = " ".join(plain.split())[: _NAME_CHARS_MAX - 10].strip("- ") or "Document"
        unique, number = plain, self._used.get(plain, 0)
        while unique in self._used:
            number += 1
            unique = f"{plain} {number}"
        self._used[unique] = 1
        self._used[plain] = max(1, number)  # from there on the next one is sought
        return unique


def attachment(part: dict[str, Any], names: Names, provider: Provider) -> dict[str, Any]:
    """The content block of an attachment.

    Raises GatewayError `provider_unfit` for what is none, or none that Converse has a format for.
    """
    media = media_of(part)
    if media is None:
        raise inexpressible(provider, "content of that type, or without data")
    source, found = _source(media, provider), _format(media)
    if found is None:
        raise inexpressible(provider, f"a {media.kind} of that format")
    kind, format_ = found
    block: dict[str, Any] = {"format": format_}
    if kind == "document":
        block["name"] = names.of(media.name or media.url)
    return {kind: block | {"source": source}}


def _format(media: Media) -> tuple[str, str] | None:
    mime = media.mime or ""
    for kind, formats in _KINDS:
        if mime in formats:
            return kind, formats[mime]
    if media.kind == "file" and _PLAIN.fullmatch(mime):
        return "document", "txt"
    name = (media.name or media.url or "").lower()
    return _SUFFIXES.get(name.rpartition(".")[2])


def _source(media: Media, provider: Provider) -> dict[str, Any]:
    if media.data:
        return {"bytes": media.data}
    if media.url and _S3.fullmatch(media.url):
        return {"s3Location": {"uri": media.url}}
    what = "attachments by their address" if media.url else "attachments without data"
    raise inexpressible(provider, what)
