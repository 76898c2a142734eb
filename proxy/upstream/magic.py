"""What a file is, told by its first bytes where its sender does not say or says it wrongly."""

import re
from typing import Final

_AT_ONCE: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"\x00\x00\x01\xba", "video/mpeg"),
    (b"\x00\x00\x01\xb3", "video/mpeg"),
)
_RIFF: Final = {b"WAVE": "audio/wav", b"WEBP": "image/webp", b"AVI ": "video/x-msvideo"}
_BRANDS: Final = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"qt  ": "video/quicktime",
}
_VAGUE: Final = frozenset(
    (
        "",
        "application/octet-stream",
        "binary/octet-stream",
        "application/binary",
        "application/x-download",
        "application/force-download",
    )
)
_MIME: Final = re.compile(r"[a-z0-9!#$&^_.+-]{1,80}/[a-z0-9!#$&^_.+-]{1,80}")  # RFC 6838, 4.2
_PDF_WITHIN_BYTES: Final = 1024  # readers take as much before the mark
_TEXT_BYTES: Final = 1024


def sniff(data: bytes) -> str | None:
    """The MIME type that the first bytes of `data` tell; None where they tell none."""
    for mark, mime in _AT_ONCE:
        if data.startswith(mark):
            return mime
    if data[:4] == b"RIFF":
        return _RIFF.get(data[8:12])
    if data[:4] == b"FORM" and data[8:12] in (b"AIFF", b"AIFC"):
        return "audio/aiff"
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], "video/mp4")
    if data[:1] == b"\xff" and len(data) > 1 and data[1] & 0xE0 == 0xE0:
        return "audio/aac" if data[1] & 0x06 == 0 else "audio/mpeg"
    return "application/pdf" if b"%PDF-" in data[:_PDF_WITHIN_BYTES] else None


def mime_of(said: str | None, data: bytes) -> str | None:
    """What `data` is, by the `Content-Type` it came with and by its first bytes: of images and
    PDFs the bytes are right, of sound and film the header, as one container may hold either.
    """
    told = (said or "").partition(";")[0].strip().lower()
    found = sniff(data)
    if found is None and (told in _VAGUE or not _MIME.fullmatch(told)):
        return "text/plain" if _is_text(data) else None
    if found is None:
        return told
    main = told.partition("/")[0]
    film = found.partition("/")[0] in ("audio", "video")
    return told if film and main in ("audio", "video") else found


def _is_text(data: bytes) -> bool:
    head = data[:_TEXT_BYTES]
    try:
        head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # else a character is cut
            return False
    return bool(head) and b"\0" not in head
