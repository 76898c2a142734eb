"""Streams for callers: partial images, finished ones, and errors in their place."""

from typing import Any

import orjson
from openrouter.components import ImageStreamingResponse

from proxy.dialects.forms import Bill
from proxy.dialects.images.stream import Encoder
from proxy.errors import GatewayError
from proxy.wire.events import Attachments, Ended, Finished, Produced, Started, Usage
from proxy.wire.request import Ask, Head

HEAD = Head(id="gen-1", created=1_750_000_000, model="test/image", provider="P0")
IMAGES = tuple(
    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
    for data in ("AAAA", "BBBB")
)
BILL = Bill(Usage(images=2), None, {"strategy": "x"})


def encoder(**body: Any) -> Encoder:
    return Encoder(HEAD, Ask(models=("m",), body=body, task="image"))


def read(data: bytes) -> list[dict[str, Any]]:
    *frames, end, nothing = data.split(b"\n\n")
    assert (end, nothing) == (b"data: [DONE]", b"")
    rows = [orjson.loads(frame.removeprefix(b"data: ")) for frame in frames]
    for row in rows:
        ImageStreamingResponse.model_validate({"data": row})
    return rows


def test_images_come_one_by_one_and_the_last_has_the_bill() -> None:
    one = encoder()
    data = one.encode(Started())
    data += one.encode(Produced(0, {"b64_json": "CCCC", "partial_image_index": 0, "created_at": 7}))
    data += one.encode(Attachments(0, "images", IMAGES[:1]))
    data += one.encode(Attachments(0, "images", IMAGES[1:]))
    data += one.encode(Attachments(0, "annotations", ({},)))
    data += one.encode(Finished(0, "stop", None)) + one.encode(Ended())
    partial, first, last = read(data + one.encode_end(BILL))
    assert partial == {
        "type": "image_generation.partial_image", "partial_image_index": 0, "b64_json": "CCCC",
        "created": HEAD.created, "created_at": 7,
    }  # fmt: skip
    assert (first["type"], first["b64_json"]) == ("image_generation.completed", "AAAA")
    assert "usage" not in first
    assert (last["b64_json"], last["usage"]["cost"]) == ("BBBB", 0)
    assert last["openrouter_metadata"] == {"strategy": "x"}
    assert last["created"] == last["created_at"] == HEAD.created


def test_an_edit_is_called_one() -> None:
    one = encoder(edit=True, as_url=True)
    one.encode(Attachments(0, "images", IMAGES[:1]))
    data = one.encode_end(Bill(Usage()))
    row = orjson.loads(data.partition(b"\n\n")[0].removeprefix(b"data: "))
    assert row["type"] == "image_edit.completed"
    assert row["url"].startswith("data:image/png")
    assert "openrouter_metadata" not in row


def test_an_error_ends_a_stream() -> None:
    error = GatewayError("provider_cut", "It broke.", metadata={"provider_code": "oops"})
    (row,) = read(encoder().encode_failure(error))
    assert row["type"] == "error"
    assert row["error"] == {
        "message": "It broke.", "code": "oops", "type": "provider_unavailable", "param": None,
        "status": 502,
        "metadata": {"provider_code": "oops", "error_type": "provider_unavailable"},
    }  # fmt: skip
    (row,) = read(encoder().encode_failure(GatewayError("draining", "Closing.")))
    assert row["error"]["code"] == "provider_unavailable"
    told = {"code": "temporarily_unavailable"}
    error = GatewayError("provider_timeout", "late", availability=told)
    assert read(encoder().encode_failure(error))[0]["error"]["availability"] == told


def test_an_answer_without_an_image_is_only_its_end() -> None:
    assert read(encoder().encode_end(BILL)) == []
