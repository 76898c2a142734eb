"""A transcript in each of the forms that callers can ask for."""

import base64
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from proxy.dialects.forms import Bill
from proxy.dialects.transcription.answer import Encoder, encode_answer, media_type
from proxy.dialects.transcription.request import decode_request
from proxy.errors import GatewayError
from proxy.wire.events import Ended, Event, Finished, Produced, Text, Usage
from proxy.wire.request import Ask, Head

HEAD = Head(id="gen-1", created=1, model="a/stt", provider="Acme")
SECONDS = Bill(Usage(audio_ms=3500))
TOKENS = Bill(Usage(prompt_tokens=30, prompt_audio_tokens=28, completion_tokens=4, audio_ms=3500))
SEGMENTS = [
    {"start": 0, "end": 1.25, "text": " Hello\n there. "},
    {"start": 3661.5, "end": 1e9, "text": None},
]


def asked(**more: Any) -> Ask:
    audio = {"data": base64.b64encode(bytes(100)).decode(), "format": "wav"}
    return decode_request(orjson.dumps({"model": "a/stt", "input_audio": audio} | more))


def whole(said: dict[str, Any], wish: str, bill: Bill = SECONDS) -> bytes:
    events: list[Event] = [Produced(0, said), Finished(0, "stop", None), Ended()]
    return encode_answer(events, HEAD, asked(response_format=wish), bill).body


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({}, "application/json"),
        ({"response_format": "verbose_json"}, "application/json"),
        ({"response_format": "srt"}, "text/plain; charset=utf-8"),
        ({"stream": True}, "text/event-stream"),
    ],
)
def test_types(more: dict[str, Any], kind: str) -> None:
    assert media_type(asked(**more)) == kind


def test_json() -> None:
    usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0, "cost": 0}
    assert orjson.loads(whole({"text": "Hello"}, "json")) == {
        "text": "Hello",
        "usage": {"type": "duration", "seconds": 3.5} | usage,
    }
    assert orjson.loads(whole({"text": "Hello"}, "json", TOKENS))["usage"] == {
        "type": "tokens",
        "seconds": 3.5,
        "input_tokens": 30,
        "output_tokens": 4,
        "total_tokens": 34,
        "cost": 0,
        "input_token_details": {"audio_tokens": 28, "text_tokens": 2},
    }
    pieces = encode_answer([Text(0, "Hel"), Text(0, "lo")], HEAD, asked(), SECONDS).body
    assert orjson.loads(pieces)["text"] == "Hello"
    empty = encode_answer([], HEAD, asked(), SECONDS).body
    assert orjson.loads(empty)["text"] == ""


def test_how_it_was_routed() -> None:
    bill = replace(SECONDS, routing={"attempt": 1})
    assert orjson.loads(whole({"text": "Hello"}, "json", bill))["openrouter_metadata"] == {
        "attempt": 1
    }


def test_verbose_json_has_what_clients_count_on() -> None:
    told = orjson.loads(
        whole({"text": "Hi", "segments": SEGMENTS, "language": "en"}, "verbose_json")
    )
    assert (told["task"], told["duration"], told["language"]) == ("transcribe", 3.5, "en")
    assert [segment["id"] for segment in told["segments"]] == [0, 1]
    own = {"text": "Hi", "task": "translate", "duration": 3, "segments": [{"id": 7}]}
    told = orjson.loads(whole(own, "verbose_json"))
    assert (told["task"], told["duration"], told["segments"]) == ("translate", 3, [{"id": 7}])
    assert "segments" not in orjson.loads(whole({"text": "Hi"}, "verbose_json"))


def test_texts_and_subtitles() -> None:
    said = {"text": "Hello there.", "segments": SEGMENTS}
    assert whole(said, "text") == b"Hello there.\n"
    assert whole(said, "srt").decode() == (
        "1\n00:00:00,000 --> 00:00:01,250\nHello there.\n\n2\n01:01:01,500 --> 00:00:00,000\n\n"
    )
    assert whole({"text": "Hello"}, "vtt").decode() == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:03.500\nHello\n"
    )


@pytest.mark.parametrize(
    "events", [[Text(0, "Hel"), Text(0, "lo")], [Produced(0, {"text": "Hello"})]]
)
def test_a_stream(events: list[Event]) -> None:
    encoder = Encoder(HEAD, asked(stream=True))
    said = b"".join(map(encoder.encode, [*events, Finished(0, "stop", None)]))
    said += encoder.encode_end(TOKENS)
    *deltas, done = [orjson.loads(line[6:]) for line in said.decode().split("\n\n") if line]
    assert {delta["type"] for delta in deltas} == {"transcript.text.delta"}
    assert "".join(delta["delta"] for delta in deltas) == "Hello" == done["text"]
    assert done["type"] == "transcript.text.done"
    assert done["usage"]["total_tokens"] == 34


def test_a_stream_that_fails() -> None:
    encoder = Encoder(HEAD, asked(stream=True))
    error = GatewayError("provider_cut", "The provider broke off its answer.")
    told = orjson.loads(encoder.encode_failure(error).removeprefix(b"data: "))
    assert (told["type"], told["error"]["code"]) == ("error", 502)
