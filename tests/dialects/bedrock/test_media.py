"""Attachments as content blocks."""

from typing import Any

import pytest

from proxy.dialects.bedrock.media import Names, attachment
from proxy.errors import GatewayError
from proxy.providers import Provider

PROVIDER = Provider(slug="amazon-bedrock", name="Amazon Bedrock", base_url="http://127.0.0.1:1")
DATA = "aGVsbG8="


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def video(url: str) -> dict[str, Any]:
    return {"type": "video_url", "video_url": {"url": url}}


def file(data: str, name: str | None = None) -> dict[str, Any]:
    return {"type": "file", "file": {"file_data": data, **({"filename": name} if name else {})}}


def sound(format_: str) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": DATA, "format": format_}}


def data(mime: str) -> str:
    return f"data:{mime};base64,{DATA}"


BYTES = {"bytes": DATA}
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
TABLE: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    (image(data("image/png")), "image", {"format": "png", "source": BYTES}),
    (image(data("image/jpg")), "image", {"format": "jpeg", "source": BYTES}),
    (file(data("image/webp"), "a.webp"), "image", {"format": "webp", "source": BYTES}),
    (
        image("s3://bucket/key.JPG"),
        "image",
        {"format": "jpeg", "source": {"s3Location": {"uri": "s3://bucket/key.JPG"}}},
    ),
    (
        file("s3://bucket/a/report.pdf"),
        "document",
        {
            "format": "pdf",
            "name": "report",
            "source": {"s3Location": {"uri": "s3://bucket/a/report.pdf"}},
        },
    ),
    (
        file(data("application/pdf"), "Jahr & Tag_2026.pdf"),
        "document",
        {"format": "pdf", "name": "Jahr - Tag-2026", "source": BYTES},
    ),
    (file(data(DOCX)), "document", {"format": "docx", "name": "Document", "source": BYTES}),
    (
        file(data("application/json"), "a.json"),
        "document",
        {"format": "txt", "name": "a", "source": BYTES},
    ),
    (
        file(data("application/octet-stream"), "old.xls"),
        "document",
        {"format": "xls", "name": "old", "source": BYTES},
    ),
    (video(data("video/mp4")), "video", {"format": "mp4", "source": BYTES}),
    (video(data("video/3gpp")), "video", {"format": "three_gp", "source": BYTES}),
    (sound("mp3"), "audio", {"format": "mp3", "source": BYTES}),
    (sound("wav"), "audio", {"format": "wav", "source": BYTES}),
]


@pytest.mark.parametrize(("part", "kind", "block"), TABLE, ids=str)
def test_attachments(part: dict[str, Any], kind: str, block: dict[str, Any]) -> None:
    assert attachment(part, Names(), PROVIDER) == {kind: block}


@pytest.mark.parametrize(
    "part",
    [
        {"type": "something"},
        image("data:broken"),
        image(data("image/tiff")),
        image("https://example.com/a.png"),
        image("s3://B/a.png"),
        image("data:image/png;base64,"),
        file(data("application/zip"), "a.zip"),
        {"type": "file", "file": {"file_id": "file-1"}},
    ],
    ids=str,
)
def test_what_it_has_no_words_for(part: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as error:
        attachment(part, Names(), PROVIDER)
    assert error.value.kind == "provider_unfit"


def test_names_are_unique_and_of_the_alphabet() -> None:
    names = Names()
    given = ["a.pdf", "a.txt", None, "", "x/y/a  b\t(c)[d].md", "…", ".pdf", "n" * 300]
    assert [names.of(name) for name in given] == [
        "a", "a 2", "Document", "Document 2", "a b (c)[d]", "Document 3", "pdf", "n" * 190,
    ]  # fmt: skip
