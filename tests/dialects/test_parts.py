"""Content parts and tool calls, read for other dialects."""

from typing import Any

import pytest

from proxy.dialects.parts import Media, arguments_of, media_of, mime_of, parts_of, text_in

PNG = "data:image/png;base64,iVBORw0KGgo="

MEDIA: list[tuple[dict[str, Any], Media | None]] = [
    ({"type": "text", "text": "hi"}, None),
    ({"type": "image_url", "image_url": {"url": PNG}}, Media("image", "image/png", "iVBORw0KGgo=")),
    ({"type": "image_url", "image_url": PNG}, Media("image", "image/png", "iVBORw0KGgo=")),
    (
        {"type": "image_url", "image_url": {"url": "https://x.test/a.JPG?s=1"}},
        Media("image", "image/jpeg", url="https://x.test/a.JPG?s=1"),
    ),
    ({"type": "image_url", "image_url": {}}, None),
    ({"type": "image_url", "image_url": {"url": "data:image/png,raw"}}, None),
    (
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
        Media("audio", "audio/mpeg", "AAAA"),
    ),
    (
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "pcm16"}},
        Media("audio", "audio/pcm16", "AAAA"),
    ),
    ({"type": "input_audio", "input_audio": {"format": "mp3"}}, None),
    (
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "https://x.test/a"}},
        Media("file", "application/pdf", url="https://x.test/a", name="a.pdf"),
    ),
    (
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0="}},
        Media("file", "application/pdf", "JVBERi0="),
    ),
    ({"type": "file", "file": {"file_id": "file-1"}}, Media("file", None, id="file-1")),
    ({"type": "file", "file": {}}, None),
    (
        {"type": "video_url", "video_url": {"url": "https://x.test/v.mp4"}},
        Media("video", "video/mp4", url="https://x.test/v.mp4"),
    ),
]


@pytest.mark.parametrize(("part", "media"), MEDIA, ids=str)
def test_attachments(part: dict[str, Any], media: Media | None) -> None:
    assert media_of(part) == media


def test_content() -> None:
    assert parts_of("hi") == [{"type": "text", "text": "hi"}]
    assert parts_of("") == parts_of(None) == []
    assert parts_of([{"type": "text", "text": "a"}, 5]) == [{"type": "text", "text": "a"}]
    assert (
        text_in([{"type": "text", "text": "a"}, {"type": "x"}, {"type": "text", "text": "b"}])
        == "ab"
    )


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ('{"a":1}', {"a": 1}), ("", {}), (None, {}), ("[1]", {}), ('{"a":', {}),
        ({"a": 1}, {"a": 1}),
    ],
)  # fmt: skip
def test_arguments_of_a_call(arguments: object, value: object) -> None:
    assert arguments_of({"function": {"name": "f", "arguments": arguments}}) == value


def test_what_a_name_says_of_a_file() -> None:
    assert mime_of("a.b.webp") == "image/webp"
    assert mime_of("README") is None
