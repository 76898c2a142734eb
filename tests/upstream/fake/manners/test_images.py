"""Pictures: their formats, what they count, and the events that show them half done."""

from base64 import b64decode
from typing import Any

import pytest

from proxy.upstream.fake.scenario import Rule
from tests.upstream.fake.tasking import form, lines, post, whole

PATH, EDITS = "/v1/images/generations", "/v1/images/edits"
BODY: dict[str, Any] = {"model": "gpt-image", "prompt": "a weir"}


def test_a_picture() -> None:
    said = whole(post(PATH, BODY | {"n": 2, "size": "auto", "quality": "low"}))
    assert [list(row) for row in said["data"]] == [["b64_json"], ["b64_json"]]
    assert said["data"][0] != said["data"][1]
    assert (said["size"], said["quality"], said["background"]) == ("1024x1024", "low", "opaque")
    assert said["usage"] == {
        "input_tokens": 2,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": 2},
        "output_tokens": 544,
        "output_tokens_details": {"image_tokens": 544, "text_tokens": 0},
        "total_tokens": 546,
    }


@pytest.mark.parametrize(
    ("output_format", "opening"), [("png", b"\x89PNG"), ("jpeg", b"\xff\xd8"), ("webp", b"RIFF")]
)
def test_formats(output_format: str, opening: bytes) -> None:
    more = {"output_format": output_format, "background": "transparent"}
    said = whole(post(PATH, BODY | more))
    assert b64decode(said["data"][0]["b64_json"]).startswith(opening)
    assert (said["output_format"], said["background"]) == (output_format, "transparent")


def test_addresses() -> None:
    older = whole(post(PATH, BODY | {"model": "dall-e-3"}))
    assert list(older) == ["created", "data"]
    assert list(older["data"][0]) == ["revised_prompt", "url"]
    packed = whole(post(PATH, BODY | {"model": "dall-e-3", "response_format": "b64_json"}))
    assert b64decode(packed["data"][0]["b64_json"]).startswith(b"\x89PNG")
    other = whole(post(PATH, BODY | {"model": "grok", "response_format": "url"}))
    assert list(other["data"][0]) == ["url"]
    assert other["usage"]["output_tokens"] == 1056


def test_events() -> None:
    events = lines(post(PATH, BODY | {"stream": True, "partial_images": 2}))
    kinds = ["partial_image", "partial_image", "completed"]
    assert [e["type"] for e in events] == [f"image_generation.{kind}" for kind in kinds]
    assert [e.get("partial_image_index") for e in events] == [0, 1, None]
    assert events[-1]["usage"]["output_tokens"] == 1056
    assert events[-1]["b64_json"] == whole(post(PATH, BODY))["data"][0]["b64_json"]
    fields = {"model": "gpt-image", "prompt": "a", "stream": "true", "partial_images": "1"}
    edits = lines(form(EDITS, fields, {"image": b"x"}))
    assert [e["type"] for e in edits] == ["image_edit.partial_image", "image_edit.completed"]


def test_errors_inside_a_stream() -> None:
    stream = post(PATH, BODY | {"stream": True, "partial_images": 2})
    _, error = lines(stream, Rule(fault="error-event", events=1))
    assert (error["type"], error["error"]["type"]) == ("error", "server_error")
    kinds = [e["type"] for e in lines(stream, Rule(fault="no-finish"))]
    assert kinds == ["image_generation.partial_image"] * 2
    assert lines(stream, Rule(fault="null-choices"))[0]["b64_json"] is None
