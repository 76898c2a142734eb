"""Transcripts out of providers: JSON, and streams of OpenAI and Mistral."""

from typing import Any

import orjson
import pytest

from proxy.dialects.transcription.events import decode_answer, decoder
from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.events import (
    Ended,
    Event,
    Failed,
    Finished,
    Produced,
    Text,
    Usage,
    UsageReport,
)

QUIRKS = Quirks()
END = [Finished(0, "stop", None), Ended()]


def read(*events: dict[str, Any]) -> list[Event]:
    stream = decoder(QUIRKS)
    data = b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in events)
    return [*stream.feed(data), *stream.end()]


@pytest.mark.parametrize(
    ("more", "usage"),
    [
        ({}, None),
        ({"x_groq": {"id": "r"}}, None),
        ({"usage": {"type": "duration", "seconds": 3}}, Usage(audio_ms=3000)),
        ({"usage": {"input_tokens": 30, "output_tokens": 4}, "duration": 3.5},
         Usage(prompt_tokens=30, completion_tokens=4, audio_ms=3500)),
        ({"duration": 2}, Usage(audio_ms=2000)),
    ],
)  # fmt: skip
def test_whole_answers(more: dict[str, Any], usage: Usage | None) -> None:
    produced, *rest = decode_answer(orjson.dumps({"text": "Hi", "language": "en"} | more), QUIRKS)
    told = {"duration": more["duration"]} if "duration" in more else {}
    assert produced == Produced(0, {"text": "Hi", "language": "en"} | told)
    assert rest == [*([UsageReport(usage)] if usage else []), *END]


def test_silence_is_no_content() -> None:
    usage = UsageReport(Usage(audio_ms=1000))
    assert decode_answer(b'{"text": "", "duration": 1}', QUIRKS) == [usage, *END]


def test_what_is_no_transcript() -> None:
    (failed,) = decode_answer(b'{"error": {"message": "No"}}', QUIRKS)
    assert isinstance(failed, Failed)
    with pytest.raises(GatewayError, match="no text"):
        decode_answer(b'{"text": null}', QUIRKS)


def test_a_stream_of_openai() -> None:
    usage = {"type": "tokens", "input_tokens": 30, "output_tokens": 2, "total_tokens": 32}
    assert read(
        {"type": "transcript.text.delta", "delta": "Hel"},
        {"type": "transcript.text.delta", "delta": ""},
        {"type": "transcript.text.delta", "delta": "lo"},
        {"type": "transcript.text.done", "text": "Hello", "usage": usage},
    ) == [
        Text(0, "Hel"),
        Text(0, "lo"),
        UsageReport(Usage(prompt_tokens=30, completion_tokens=2)),
        *END,
    ]


def test_a_stream_of_mistral() -> None:
    usage = {"prompt_audio_seconds": 4, "prompt_tokens": 3, "completion_tokens": 2}
    assert read(
        {"type": "transcription.language", "audio_language": "en"},
        {"type": "transcription.text.delta", "text": "Hello"},
        {"type": "transcription.done", "text": "Hello", "usage": usage},
    ) == [
        Text(0, "Hello"),
        UsageReport(Usage(prompt_tokens=3, completion_tokens=2, audio_ms=4000)),
        *END,
    ]


def test_a_stream_that_tells_all_at_its_end() -> None:
    assert read({"type": "transcript.text.done", "text": "Hello"}) == [Text(0, "Hello"), *END]
    assert read({"type": "transcript.text.done"}) == END


def test_errors_inside() -> None:
    (failed,) = read({"error": {"message": "Broken", "code": 503}})
    assert isinstance(failed, Failed)
    assert failed.status == 503
    assert read({"type": "error", "message": "Tired"}) == [Failed(None, "Tired", None, "")]
    assert read({"type": "error"}) == [Failed(None, "An error.", None, "")]
