"""Bytes becoming events, or the error that they amount to."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from proxy.dialects import OUTBOUND
from proxy.errors import GatewayError
from proxy.pipeline import reading as module
from proxy.pipeline.reading import Reading
from proxy.upstream.signing import Signing
from proxy.wire.events import Ended, Event, Failed, Sound, Text
from tests.stage import GOOD, JSON, SSE, endpoint, whole

SECRET = "sk-provider-secret-key"


def _reading(headers: dict[str, str] = SSE, status: int = 200) -> Reading:
    signing = Signing({"p0": [SECRET]}, {"p0": "http://secret.host/v1"})
    reading = Reading(endpoint("p0").provider, signing, OUTBOUND["openai"])
    reading.head(status, headers)
    return reading


def _texts(events: Any) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


def _all(reading: Reading, *pieces: bytes) -> list[Event]:
    events: list[Event] = []
    for piece in pieces:
        events += reading.feed(piece)
    return [*events, *reading.end(broken=False)]


@pytest.mark.parametrize(
    ("headers", "pieces", "text"),
    [
        (SSE, [GOOD], "hello world"),
        (SSE, [GOOD[:50], GOOD[50:]], "hello world"),
        (JSON, [whole("hi")[:9], whole("hi")[9:]], "hi"),
        ({"Content-Type": "application/vnd.api+json; x=y"}, [whole("hi")], "hi"),
        ({}, [GOOD], "hello world"),
        ({"Content-Type": "text/plain"}, [b" \n", whole("hi")], "hi"),
        ({"Content-Encoding": "Identity"}, [GOOD], "hello world"),
    ],
)
def test_the_form_is_what_the_head_or_the_first_byte_says(
    headers: dict[str, str], pieces: list[bytes], text: str
) -> None:
    reading = _reading(headers)
    assert _texts(_all(reading, *pieces)) == text
    assert reading.data_bytes == sum(map(len, pieces))


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/html"},
        {"Content-Type": "application/xhtml+xml"},
        {"Content-Type": "text/event-stream", "Content-Encoding": "gzip"},
    ],
)
def test_a_form_that_is_none(headers: dict[str, str]) -> None:
    with pytest.raises(GatewayError, match="provider's answer is"):
        _reading(headers)


def test_a_broken_body_is_no_answer() -> None:
    reading = _reading(JSON)
    reading.feed(whole())
    assert list(reading.end(broken=True)) == []


@pytest.mark.parametrize("broken", [False, True])
def test_a_refusal_is_what_its_status_says(broken: bool) -> None:
    reading = _reading({"Content-Type": "text/html", "Retry-After": "7"}, 429)
    body = {"error": {"message": f"slow down, {SECRET} at secret.host"}}
    assert list(reading.feed(orjson.dumps(body))) == []
    with pytest.raises(GatewayError) as caught:
        reading.end(broken=broken)
    assert (caught.value.kind, caught.value.headers) == (
        "provider_rate_limited",
        {"Retry-After": "7"},
    )
    assert SECRET not in str(caught.value)
    assert "secret.host" not in str(caught.value)


def test_bodies_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_BYTES_MAX", 10)
    monkeypatch.setattr(module, "ERROR_BYTES_MAX", 10)
    reading = _reading(JSON)
    reading.feed(b"1234567890")
    with pytest.raises(GatewayError, match="too large"):
        reading.feed(b"1")
    refused = _reading(JSON, 500)
    refused.feed(b"1234567890")
    assert list(refused.feed(b"1" * 100)) == []


def test_an_error_inside_of_an_answer_keeps_our_secrets() -> None:
    failed = Failed(status=503, message=f"{SECRET} is tired", code=None, raw="")
    error = _reading().failure(failed)
    assert error.kind == "provider_overloaded"
    assert SECRET not in error.message


class Raw:
    """Sound as it comes, and what its end makes of it."""

    def __init__(self, quirks: Any) -> None:
        del quirks

    def feed(self, data: bytes) -> Iterator[Event]:
        yield Sound(0, data)

    def end(self) -> Iterator[Event]:
        yield Ended()


def _sounding(headers: dict[str, str], status: int = 200) -> Reading:
    speaks = OUTBOUND["openai"]._replace(raw=Raw)
    reading = Reading(endpoint("p0").provider, Signing({}), speaks)
    reading.head(status, headers)
    return reading


def test_what_is_neither_json_nor_events_is_taken_as_it_comes() -> None:
    sound = {"Content-Type": "audio/mpeg"}
    assert _all(_sounding(sound), b"\xff", b"{") == [Sound(0, b"\xff"), Sound(0, b"{"), Ended()]
    assert _texts(_all(_sounding(SSE), GOOD)) == "hello world"
    assert _texts(_all(_sounding(JSON), whole("hi"))) == "hi"
    with pytest.raises(GatewayError, match="is a web page"):
        _sounding({"Content-Type": "text/html"})
    with pytest.raises(GatewayError, match="compressed"):
        _sounding(sound | {"Content-Encoding": "gzip"})


def test_sound_that_broke_off_has_no_end() -> None:
    reading = _sounding({"Content-Type": "audio/mpeg"})
    assert list(reading.feed(b"\xff")) == [Sound(0, b"\xff")]
    assert list(reading.end(broken=True)) == []


def test_a_refusal_is_no_sound() -> None:
    reading = _sounding({"Content-Type": "audio/mpeg"}, 500)
    assert list(reading.feed(b"\xff")) == []
    with pytest.raises(GatewayError) as caught:
        reading.end(broken=False)
    assert caught.value.kind == "provider_unavailable"


def test_who_was_never_asked_has_said_nothing() -> None:
    reading = Reading(endpoint("p0").provider, Signing({}))
    assert list(reading.end(broken=False)) == []
