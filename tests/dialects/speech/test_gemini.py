"""Speech by Gemini: asked as a conversation, heard as a WAV."""

import base64
from typing import Any

import orjson
import pytest

from proxy.dialects.asking import Target
from proxy.dialects.speech.gemini import decode_answer, decoder, encode_request
from proxy.dialects.speech.request import decode_request
from proxy.dialects.speech.wave import head
from proxy.errors import GatewayError
from proxy.providers import Provider, Quirks
from proxy.wire.events import (
    Ended,
    Event,
    Failed,
    Finished,
    Sound,
    Started,
    Usage,
    UsageReport,
)

QUIRKS = Quirks()
PCM = "audio/L16;codec=pcm;rate=24000"
GOOGLE = Provider(slug="google", name="Google", base_url="http://g", dialect="gemini")


def sent(**more: Any) -> dict[str, Any]:
    ask = decode_request(orjson.dumps({"model": "a/tts", "input": "Hello", **more}))
    return dict(orjson.loads(encode_request(ask, Target(GOOGLE, "gemini-tts")).body))


def chunk(*parts: dict[str, Any], reason: str | None = None, **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}}
    return {"candidates": [candidate | ({"finishReason": reason} if reason else {})], **more}


def part(data: bytes, kind: str = PCM) -> dict[str, Any]:
    return {"inlineData": {"mimeType": kind, "data": base64.b64encode(data).decode()}}


def read(*chunks: dict[str, Any]) -> list[Event]:
    stream, data = decoder(QUIRKS), b"".join(b"data: " + orjson.dumps(c) + b"\n\n" for c in chunks)
    events = [*stream.feed(data), *stream.end()]
    return [event for event in events if not isinstance(event, Started)]


def test_the_request() -> None:
    said = sent(voice={"id": "Kore"}, instructions="Calmly:", speed=2, response_format="wav")
    voice = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}}
    assert said == {
        "contents": [{"role": "user", "parts": [{"text": "Calmly:\n\nHello"}]}],
        "generationConfig": {"responseModalities": ["AUDIO"], "speechConfig": voice},
    }
    plain = sent(provider={"options": {"google": {"safetySettings": [], "contents": 1}}})
    assert plain["contents"][0]["parts"] == [{"text": "Hello"}]
    assert plain["generationConfig"] == {"responseModalities": ["AUDIO"]}
    assert plain["safetySettings"] == []


@pytest.mark.parametrize(
    "more",
    [
        {"response_format": "mp3"},
        {"input_references": [{"type": "input_audio", "input_audio": {"data": "UklG"}}]},
    ],
)
def test_what_it_has_not(more: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as refused:
        sent(**more)
    assert refused.value.kind == "provider_unfit"


def test_a_stream() -> None:
    counts = {"promptTokenCount": 3, "candidatesTokenCount": 50, "totalTokenCount": 53}
    thought = {"text": "Let me speak", "thought": True}
    events = read(
        chunk(thought, part(b"ab")),
        chunk(part(b"cd"), {"inlineData": {"mimeType": "image/png", "data": "aaaa"}}),
        chunk(reason="STOP", usageMetadata=counts),
    )
    assert events == [
        Sound(0, head(24_000) + b"ab"),
        Sound(0, b"cd"),
        Finished(0, "stop", "STOP"),
        UsageReport(Usage(prompt_tokens=3, completion_tokens=50, completion_audio_tokens=50)),
    ]


@pytest.mark.parametrize(
    ("kind", "begins"),
    [
        ("audio/L16;codec=pcm;rate=16000", head(16_000)),
        ("audio/l16", head(24_000)),
        ("audio/pcm;rate=48000", head(48_000)),
        ("audio/wav", b""),
        ("audio/x-wav", b""),
    ],
)
def test_kinds_of_sound(kind: str, begins: bytes) -> None:
    body = orjson.dumps(chunk(part(b"ab", kind), reason="STOP"))
    events = [event for event in decode_answer(body, QUIRKS) if not isinstance(event, Started)]
    assert events == [Sound(0, begins + b"ab"), Finished(0, "stop", "STOP"), Ended()]


def test_other_sound_is_none() -> None:
    with pytest.raises(GatewayError, match="neither PCM nor WAV"):
        read(chunk(part(b"ab", "audio/mpeg")))


def test_silence() -> None:
    """A text in place of sound is no answer; what was blocked is the caller's to know."""
    assert read(chunk({"text": "Hello"}, reason="STOP")) == [Ended()]
    (failed,) = read(chunk(reason="PROHIBITED_CONTENT"))
    assert isinstance(failed, Failed)
    assert failed.code == "content_filter"
    (failed,) = read({"error": {"code": 500, "message": "Broken", "status": "INTERNAL"}})
    assert isinstance(failed, Failed)
