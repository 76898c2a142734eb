"""Attachments in every form that clients give them, brought into one."""

import base64
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.attached import mend, mend_steps
from proxy.dialects.chat.request import decode_request
from proxy.dialects.parts import media_of
from proxy.errors import GatewayError

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n123").decode()
JPEG = base64.b64encode(b"\xff\xd8\xff\xe0aa").decode()
GIF = base64.b64encode(b"GIF89aaaa").decode()
WEBP = base64.b64encode(b"RIFF1234WEBPVP8 ").decode()
PDF = base64.b64encode(b"%PDF-1.7").decode()


def mended(part: dict[str, Any]) -> dict[str, Any]:
    user = {"role": "user", "content": [part]}
    messages: list[dict[str, Any]] = [{"role": "system", "content": "x"}, user]
    mend([*messages, {"role": "assistant"}])
    return part


def image(url: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def url_of(written: str) -> Any:
    return mended(image(written))["image_url"]["url"]


def fault(part: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(GatewayError) as caught:
        mended(part)
    return caught.value.kind, caught.value.message


@pytest.mark.parametrize(
    "written",
    [
        "https://h.test/a.png",
        "gs://bucket/a",
        "file-abc123",
        "",
        f"data:image/png;base64,{PNG}",
        "data:image/svg+xml;base64,PHN2Zy8+",
        "data:application/octet-stream;base64,AAAA",
        "data:;base64,AAAA",
    ],
)
def test_what_is_plain_stays(written: str) -> None:
    assert url_of(written) is written


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        (f"DATA:Image/PNG;charset=x; BASE64,{PNG}", f"data:image/png;base64,{PNG}"),
        (f"data:image/jpeg;base64,{PNG}", f"data:image/png;base64,{PNG}"),
        (f"data:image/jpg;base64,{JPEG}", f"data:image/jpeg;base64,{JPEG}"),
        ("data:image/jpg;base64,AAAA", "data:image/jpeg;base64,AAAA"),
        (f"data:;base64,{GIF}", f"data:image/gif;base64,{GIF}"),
        (f"data:image/png;base64,{WEBP}", f"data:image/webp;base64,{WEBP}"),
        (f"data:image/png;base64,{PNG[:6]}\r\n {PNG[6:]}\n", f"data:image/png;base64,{PNG}"),
        (f"data:image/png;base64,\n{PNG}", f"data:image/png;base64,{PNG}"),
        (f"data:image/png;base64,{PNG}==", f"data:image/png;base64,{PNG}"),
        ("data:image/x;base64,_-8", "data:image/x;base64,/+8="),
        ("data:image/x;base64,AA", "data:image/x;base64,AA=="),
        ("data:image/x;base64,AA=", "data:image/x;base64,AA=="),
        ("data:image/x;base64,AA%3D%3D", "data:image/x;base64,AA=="),
        ("data:image/svg+xml,%3Csvg/%3E", "data:image/svg+xml;base64,PHN2Zy8+"),
        (PNG, f"data:image/png;base64,{PNG}"),
        (JPEG, f"data:image/jpeg;base64,{JPEG}"),
    ],
)
def test_what_is_not_is_made_so(written: str, plain: str) -> None:
    assert url_of(written) == plain
    assert url_of(plain) is plain


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("data:image/png", "a data URL is data:MIME;base64,DATA"),
        ("data:" + "x" * 600 + ",AAAA", "a data URL is data:MIME;base64,DATA"),
        ("data:image/png;base64,", "there is no data in it"),
        ("data:image/png;base64,\n ", "there is no data in it"),
        ("data:image/png,", "there is no data in it"),
        ("data:image/png;base64,A", "the data is not base64"),
        ("data:image/png;base64,AA=A", "the data is not base64"),
        ("data:image/png;base64,AAA\u00e4", "the data is not base64"),
        ("data:image/png;base64,<html>", "the data is not base64"),
        ("data:image/png;base64,https://h.test/a.png", "the data is not base64"),
    ],
)
def test_what_is_no_data_is_refused_by_name(written: str, reason: str) -> None:
    message = f"messages[1].content[0].image_url.url: {reason}"
    assert fault(image(written)) == ("invalid_image", message)
    assert fault({"type": "image_url", "image_url": written}) == ("invalid_image", message)
    named = f"messages[1].content[0].file.file_data: {reason}"
    assert fault({"type": "file", "file": {"file_data": written}}) == ("invalid_request", named)


def test_other_kinds_and_forms() -> None:
    assert mended({"type": "image_url", "image_url": PNG})["image_url"].startswith("data:image/png")
    film = {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AA"}}
    assert mended(film)["video_url"]["url"] == "data:video/mp4;base64,AA=="
    paper = mended({"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}})
    assert paper["file"]["file_data"] == f"data:application/pdf;base64,{PDF}"
    paper = mended({"type": "file", "file": {"file_data": "data:;base64,AA==", "filename": "a.md"}})
    assert paper["file"]["file_data"] == "data:text/markdown;base64,AA=="
    sound = mended({"type": "input_audio", "input_audio": {"data": "A A", "format": "wav"}})
    assert sound["input_audio"] == {"data": "AA==", "format": "wav"}
    sound = mended({"type": "input_audio", "input_audio": {"data": "data:audio/wav;base64,AA"}})
    assert sound["input_audio"]["data"] == "data:audio/wav;base64,AA=="
    broken = {"type": "input_audio", "input_audio": {"data": "!", "format": "wav"}}
    assert fault(broken)[1] == "messages[1].content[0].input_audio.data: the data is not base64"


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": "data:"},
        {"type": "unknown", "unknown": "data:"},
        {"type": "image_url"},
        {"type": "image_url", "image_url": None},
        {"type": "image_url", "image_url": 7},
        {"type": "image_url", "image_url": {"url": 7}},
        {"type": "file", "file": {"file_id": "x"}},
        {"type": "file", "file": {"file_id": "x", "file_data": ""}},
    ],
)
def test_the_rest_is_left_alone(part: dict[str, Any]) -> None:
    before = repr(part)
    assert repr(mended(part)) == before


def test_every_request_goes_through_it() -> None:
    def decode(url: str) -> Any:
        content = [{"type": "text", "text": "see"}, image(url)]
        messages = [{"role": "user", "content": content}]
        return decode_request(orjson.dumps({"model": "m", "messages": messages}))

    ask = decode(f"data:image/jpeg;base64,{PNG}\n")
    assert ask.body["messages"][0]["content"][1] == image(f"data:image/png;base64,{PNG}")
    assert ask.text_bytes == decode(f"data:image/png;base64,{PNG[:12] * 9}").text_bytes + len("\\")
    with pytest.raises(GatewayError, match="not base64") as caught:
        decode("data:image/png;base64,!")
    assert (caught.value.kind, caught.value.status) == ("invalid_image", 400)


@given(st.binary(min_size=1), st.sampled_from(["", "\n", " "]), st.booleans(), st.booleans())
def test_bytes_survive(data: bytes, blank: str, urls: bool, padded: bool) -> None:
    coded = (base64.urlsafe_b64encode if urls else base64.b64encode)(data).decode()
    coded = blank.join(coded if padded else coded.rstrip("="))
    media = media_of(mended(image(f"data:image/x;base64,{coded}")))
    assert media is not None
    assert media.data is not None
    assert base64.b64decode(media.data, validate=True) == data


@pytest.mark.parametrize(("size", "steps"), [(3, 1), (190_000, 1), (400_000, 4)])
def test_a_large_attachment_is_looked_through_in_steps(size: int, steps: int) -> None:
    data = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(size)).decode()
    url = f"data:image/png;base64,{data}"
    part = image(url)
    done = sum(1 for _ in mend_steps([{"role": "user", "content": [part]}]))
    assert done == steps
    assert part["image_url"]["url"] is url
    broken = image(f"data:image/png;base64,{data[:-8]}\n{data[-8:]}")
    assert mended(broken)["image_url"]["url"] == url
