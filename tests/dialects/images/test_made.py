"""The answers of providers that speak as OpenAI does, whole and streamed."""

from typing import Any

import orjson
import pytest

from proxy.dialects.images.made import Stream, decode_answer
from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.events import (
    Attachments,
    Ended,
    Event,
    Failed,
    Finished,
    Produced,
    Started,
    Usage,
    UsageReport,
)

PNG, JPEG = "iVBORw0KGgoAAAA", "/9j/AAAA"
USAGE = {
    "input_tokens": 50, "output_tokens": 272, "total_tokens": 322,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 40, "cached_tokens": 8},
}  # fmt: skip
COUNTED = Usage(
    prompt_tokens=50, completion_tokens=272, cached_tokens=8, prompt_image_tokens=40,
    completion_image_tokens=272, images=1,
)  # fmt: skip


def image(data: str, mime: str = "image/png", **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:{mime};base64,{data}"}} | more


def whole(**answer: Any) -> list[Event]:
    return decode_answer(orjson.dumps(answer), Quirks())


def test_a_whole_answer() -> None:
    events = whole(created=1, data=[{"b64_json": PNG}], usage=USAGE)
    assert events == [
        Started(), Attachments(0, "images", (image(PNG),)), UsageReport(COUNTED),
        Finished(0, "stop", None), Ended(),
    ]  # fmt: skip


def test_an_answer_without_counts_is_as_many_images_as_came() -> None:
    rows = [
        {"b64_json": JPEG, "revised_prompt": "better"},
        {"b64_json": f"data:image/jpeg;base64,{JPEG}"},
        {"b64_json": "AAAA", "mime_type": "image/avif"},
        {"url": "https://example.com/a.png"},
        {"respect_moderation": False, "url": "https://example.com/hidden.png"},
        {},
    ]
    events = whole(id="up-1", data=rows)
    assert events[0] == Started(upstream_id="up-1")
    assert events[1] == Attachments(
        0,
        "images",
        (
            image(JPEG, "image/jpeg", revised_prompt="better"),
            image(JPEG, "image/jpeg"),
            image("AAAA", "image/avif"),
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        ),
    )
    assert events[2] == UsageReport(Usage(images=4, estimated=True))


def test_images_of_gpt_image_are_never_free() -> None:
    report = whole(quality="medium", data=[{"b64_json": PNG}] * 2)[2]
    assert report == UsageReport(
        Usage(completion_tokens=3168, completion_image_tokens=3168, images=2, estimated=True)
    )
    _, last, _ = streamed(frame("completed", b64_json=PNG, quality="auto"), DONE)
    assert isinstance(last, UsageReport)
    assert last.usage.completion_tokens == 6240


@pytest.mark.parametrize(
    ("usage", "quality", "made", "estimated"),
    [
        ({"input_tokens": 5}, "low", 408, True),
        ({"input_tokens": 5, "output_tokens": 0}, "low", 408, True),
        ({"input_tokens": 5, "output_tokens": -7}, "low", 408, True),
        ({"input_tokens": 5, "output_tokens": 9}, "low", 9, False),
        ({"input_tokens": 5}, None, 0, False),  # it is not sold by them
    ],
)
def test_an_image_is_made_of_tokens(
    usage: dict[str, int], quality: str | None, made: int, estimated: bool
) -> None:
    more = {} if quality is None else {"quality": quality}
    for report in (
        whole(data=[{"b64_json": PNG}], usage=usage, **more)[2],
        streamed(frame("completed", b64_json=PNG, usage=usage, **more), DONE)[1],
    ):
        assert report == UsageReport(
            Usage(
                prompt_tokens=5,
                completion_tokens=made,
                completion_image_tokens=made,
                images=1,
                estimated=estimated,
            )
        )


def test_what_is_told_of_a_partial_image_is_plain() -> None:
    events = streamed(frame("partial_image", b64_json=PNG, size={"a": []}, quality="low"))
    assert events[1] == Produced(0, {"quality": "low", "partial_image_index": 0, "b64_json": PNG})


def test_tokens_of_text_beside_an_image_are_none_of_the_image() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 30}
    told = {"output_tokens_details": {"image_tokens": 20}}
    for said, counted in ((usage, 30), (usage | told, 20)):
        report = whole(data=[{"b64_json": PNG}], usage=said)[2]
        assert isinstance(report, UsageReport)
        assert report.usage.completion_image_tokens == counted
        assert (report.usage.prompt_tokens, report.usage.completion_tokens) == (5, 30)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"data": []}, None),
        ({}, None),
        ({"data": [{"respect_moderation": False}]}, 400),
        ({"error": {"message": "no", "code": "moderation_blocked"}}, 400),
        ({"error": {"message": "no", "code": 429}}, 429),
        ({"type": "error", "message": "no", "code": "server_error"}, None),
    ],
    ids=str,
)
def test_an_answer_without_an_image_is_a_failure(
    answer: dict[str, Any], status: int | None
) -> None:
    (failed,) = whole(**answer)
    assert isinstance(failed, Failed)
    assert failed.status == status


def frame(type_: str, **more: Any) -> bytes:
    return b"data: " + orjson.dumps({"type": f"image_generation.{type_}"} | more) + b"\n\n"


PARTIAL = frame("partial_image", b64_json=PNG, partial_image_index=1, quality="low", size="auto")
COMPLETED = frame("completed", b64_json=PNG, usage=USAGE)
DONE = b"data: [DONE]\n\n"
MADE = [Attachments(0, "images", (image(PNG),)), UsageReport(COUNTED)]
SHOWN = [
    UsageReport(
        Usage(completion_tokens=408, completion_image_tokens=408, images=1, estimated=True)
    ),
    Produced(0, {"quality": "low", "size": "auto", "partial_image_index": 1, "b64_json": PNG}),
]


def streamed(*pieces: bytes) -> list[Event]:
    stream = Stream(Quirks())
    events = [event for piece in pieces for event in stream.feed(piece)]
    return [*events, *stream.end()]


@pytest.mark.parametrize(
    ("pieces", "events"),
    [
        ([PARTIAL, COMPLETED, DONE], [*SHOWN, *MADE, Ended()]),
        ([PARTIAL, COMPLETED], [*SHOWN, *MADE, Finished(0, "stop", None), Ended()]),
        ([COMPLETED[:-2]], [*MADE, Finished(0, "stop", None), Ended()]),
        ([COMPLETED[:50], COMPLETED[50:], DONE, COMPLETED], [*MADE, Ended()]),
        ([PARTIAL], SHOWN),
        ([frame("note", b64_json=PNG), frame("text_chunk", text="<svg")], []),
    ],
    ids=range(6),
)
def test_a_stream(pieces: list[bytes], events: list[Event]) -> None:
    assert streamed(*pieces) == events


def test_names_of_frames_tell_the_type_too() -> None:
    data = orjson.dumps({"b64_json": JPEG})
    events = streamed(b"event: image_edit.completed\ndata: " + data + b"\n\n", DONE)
    assert events == [
        Attachments(0, "images", (image(JPEG, "image/jpeg"),)),
        UsageReport(Usage(images=1, estimated=True)),
        Ended(),
    ]


def test_a_partial_image_that_tells_nothing_is_of_the_dearest_kind() -> None:
    report, shown = streamed(frame("partial_image", b64_json=PNG))
    assert isinstance(report, UsageReport)
    assert report.usage.completion_tokens == 6240
    assert shown == Produced(0, {"partial_image_index": 0, "b64_json": PNG})


def test_a_stream_that_ends_without_an_image_fails() -> None:
    *_, last = streamed(PARTIAL, DONE)
    assert isinstance(last, Failed)


def test_an_error_in_a_stream_is_its_end() -> None:
    error = b"data: " + orjson.dumps({"type": "error", "error": {"message": "no"}}) + b"\n\n"
    *_, last = streamed(PARTIAL, COMPLETED, error)
    assert isinstance(last, Failed)
    assert last.message == "no"


def test_what_is_no_json_is_an_error() -> None:
    with pytest.raises(GatewayError):
        streamed(b"data: {\n\n")
