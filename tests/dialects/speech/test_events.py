"""Speech out of providers: bytes, events, or JSON."""

import base64
from typing import Any

import orjson
import pytest

from proxy.dialects.speech.events import Bytes, decode_answer, decoder
from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.events import Ended, Event, Failed, Finished, Sound, Usage, UsageReport

QUIRKS = Quirks()


def sse(*events: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in events)


def read(data: bytes) -> list[Event]:
    stream = decoder(QUIRKS)
    return [*stream.feed(data), *stream.end()]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("size", [1, 5, 100])
def test_bytes_are_handed_on(size: int) -> None:
    data, stream = bytes(range(200)), Bytes(QUIRKS)
    events: list[Event] = []
    for begin in range(0, len(data), size):
        events += stream.feed(data[begin : begin + size])
    *sounds, end = [*events, *stream.end()]
    assert b"".join(one.data for one in sounds if isinstance(one, Sound)) == data
    assert end == Ended()


def test_a_few_bytes_and_none() -> None:
    stream = Bytes(QUIRKS)
    assert [*stream.feed(b"abc"), *stream.end()] == [Sound(0, b"abc"), Ended()]
    assert list(Bytes(QUIRKS).end()) == [Ended()]


@pytest.mark.parametrize(
    "page",
    [
        b"\n<!DOCTYPE html><p>",
        b"<HTML></HTML>",
        b'<?xml version="1.0"?><Error/>' + b" " * 99,
        b'{"error": 1}',
        b'["weir"]',
        b"{}",
        b'{\n  "detail": "' + "Überlastet. ".encode() * 9 + b'"}',
    ],
)
def test_what_is_no_sound(page: bytes) -> None:
    stream = Bytes(QUIRKS)
    with pytest.raises(GatewayError, match="no sound"):
        [*stream.feed(page), *stream.end()]


def test_sound_that_begins_like_an_object() -> None:
    samples = b'{"' + bytes(range(99))
    assert list(Bytes(QUIRKS).feed(samples)) == [Sound(0, samples)]


def test_events_of_openai() -> None:
    usage = {"input_tokens": 3, "output_tokens": 50, "total_tokens": 53}
    assert read(
        sse(
            {"type": "speech.audio.delta", "audio": b64(b"one")},
            {"type": "speech.audio.delta", "audio": b64(b"two")},
            {"type": "speech.audio.done", "usage": usage},
            {"type": "speech.audio.delta", "audio": b64(b"late")},
        )
    ) == [
        Sound(0, b"one"),
        Sound(0, b"two"),
        UsageReport(Usage(prompt_tokens=3, completion_tokens=50, completion_audio_tokens=50)),
        Ended(),
    ]


def test_events_of_mistral() -> None:
    data = sse({"type": "speech.audio.delta", "audio_data": b64(b"x")}, {"type": "speech.done"})
    assert read(data) == [Sound(0, b"x"), Ended()]


def test_events_that_say_nothing_or_an_error() -> None:
    (failed,) = read(sse({"type": "started"}, {"error": {"message": "Broken", "code": 500}}))
    assert isinstance(failed, Failed)
    assert (failed.status, failed.message) == (500, "Broken")
    assert read(sse({"type": "error", "message": "Tired"})) == [Failed(None, "Tired", None, "")]
    assert read(sse({"type": "error"})) == [Failed(None, "An error.", None, "")]


def test_a_whole_answer() -> None:
    body = {"audio_data": b64(b"all"), "usage": {"prompt_tokens": 2, "completion_tokens": 9}}
    usage = Usage(prompt_tokens=2, completion_tokens=9, completion_audio_tokens=9)
    assert decode_answer(orjson.dumps(body), QUIRKS) == [
        Sound(0, b"all"),
        UsageReport(usage),
        Finished(0, "stop", None),
        Ended(),
    ]
    (failed,) = decode_answer(b'{"error": "no"}', QUIRKS)
    assert isinstance(failed, Failed)
    with pytest.raises(GatewayError, match="no sound"):
        decode_answer(b'{"detail": "Come back later"}', QUIRKS)
    with pytest.raises(GatewayError, match="not base64"):
        decode_answer(b'{"audio_data": "%%%"}', QUIRKS)
