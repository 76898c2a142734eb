"""Speech as callers get it: bytes, or events with them."""

import base64
from typing import Any

import orjson
import pytest

from proxy.dialects.forms import Bill
from proxy.dialects.speech.request import MEDIA_TYPES, decode_request
from proxy.dialects.speech.stream import Encoder, encode_answer, media_type
from proxy.dialects.speech.wave import head
from proxy.errors import GatewayError
from proxy.wire.events import Event, Finished, Sound, Text, Usage
from proxy.wire.request import Ask, Head

HEAD = Head(id="gen-1", created=1, model="a/tts", provider="Acme")
BILL = Bill(Usage(prompt_tokens=3, completion_tokens=50))
SOUND = bytes(range(100, 140))
EVENTS: list[Event] = [Text(0, "no"), Sound(0, SOUND[:20]), Sound(0, SOUND[20:])]
END = Finished(0, "stop", None)


def asked(**more: Any) -> Ask:
    return decode_request(orjson.dumps({"model": "a/tts", "input": "Hello", **more}))


@pytest.mark.parametrize(("wish", "kind"), MEDIA_TYPES.items())
def test_bytes(wish: str, kind: str) -> None:
    ask = asked(response_format=wish)
    assert media_type(ask) == kind
    answer = encode_answer([*EVENTS, END], HEAD, ask, BILL)
    assert answer.body == SOUND


def test_samples_are_bare() -> None:
    events = [Sound(0, head(24_000)), *EVENTS]
    assert encode_answer(events, HEAD, asked(), BILL).body == SOUND
    wav = encode_answer(events, HEAD, asked(response_format="wav"), BILL).body
    assert wav == head(24_000) + SOUND
    short = encode_answer([Sound(0, b"R")], HEAD, asked(), BILL).body
    assert short == b"R"


@pytest.mark.parametrize("wish", ["pcm", "mp3"])
def test_events(wish: str) -> None:
    ask = asked(response_format=wish, stream_format="sse")
    assert media_type(ask) == "text/event-stream"
    told = encode_answer([*EVENTS, END], HEAD, ask, BILL).body.decode()
    *deltas, done = [orjson.loads(line[6:]) for line in told.split("\n\n") if line]
    assert {delta["type"] for delta in deltas} == {"speech.audio.delta"}
    assert b"".join(base64.b64decode(delta["audio"]) for delta in deltas) == SOUND
    usage = {"input_tokens": 3, "output_tokens": 50, "total_tokens": 53, "cost": 0}
    assert done == {"type": "speech.audio.done", "usage": usage}


def test_a_failure_has_no_bytes() -> None:
    encoder = Encoder(HEAD, asked())
    assert encoder.encode_failure(GatewayError("provider_cut", "Cut.")) == b""
