"""What files are, told by their first bytes."""

import pytest

from proxy.upstream.magic import mime_of, sniff

PNG = b"\x89PNG\r\n\x1a\n"
MP4 = b"\0\0\0\x20ftypisom"
FILES = {
    PNG: "image/png",
    b"\xff\xd8\xff\xe0": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"RIFF\0\0\0\0WEBPVP8 ": "image/webp",
    b"RIFF\0\0\0\0WAVEfmt ": "audio/wav",
    b"RIFF\0\0\0\0AVI LIST": "video/x-msvideo",
    b"%PDF-1.7\n": "application/pdf",
    b"\n\n%PDF-1.4\n": "application/pdf",
    b"ID3\x04": "audio/mpeg",
    b"\xff\xfb\x90\x00": "audio/mpeg",
    b"\xff\xf1\x50\x80": "audio/aac",
    b"fLaC\0": "audio/flac",
    b"OggS\0": "audio/ogg",
    b"FORM\0\0\0\0AIFF": "audio/aiff",
    MP4: "video/mp4",
    b"\0\0\0\x20ftypM4A ": "audio/mp4",
    b"\0\0\0\x20ftypavif": "image/avif",
    b"\0\0\0\x20ftypqt  ": "video/quicktime",
    b"\x1aE\xdf\xa3": "video/webm",
}


@pytest.mark.parametrize(("data", "mime"), FILES.items())
def test_the_first_bytes_tell(data: bytes, mime: str) -> None:
    assert sniff(data) == mime


@pytest.mark.parametrize("data", [b"", b"\xff", b"RIFF", b"RIFF\0\0\0\0FOUR", b"FORM", b"hello"])
def test_some_bytes_tell_nothing(data: bytes) -> None:
    assert sniff(data) is None


@pytest.mark.parametrize(
    ("said", "data", "mime"),
    [
        ("image/png", PNG, "image/png"),
        ("image/jpeg", PNG, "image/png"),
        ("text/html", PNG, "image/png"),
        (None, PNG, "image/png"),
        ("application/octet-stream", b"%PDF-1.7", "application/pdf"),
        ("IMAGE/SVG+XML; charset=utf-8", b"<svg/>", "image/svg+xml"),
        ("text/html; charset=utf-8", b"<html>", "text/html"),
        ("audio/mp4", MP4, "audio/mp4"),
        ("video/webm", b"\x1aE\xdf\xa3", "video/webm"),
        ("image/png", MP4, "video/mp4"),
        ("binary/octet-stream", "straße".encode(), "text/plain"),
        (None, b"x" * 1023 + "ß".encode(), "text/plain"),
        ('image/png,x"', b"hello", "text/plain"),
        ("image", b"\x80\x81\x82\x83\x84", None),
        ("", b"\x80\x81\x82\x83\x84", None),
        ("", b"a\0b", None),
        ("", b"", None),
    ],
)
def test_bytes_and_header_together(said: str | None, data: bytes, mime: str | None) -> None:
    assert mime_of(said, data) == mime
