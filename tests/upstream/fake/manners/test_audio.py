"""Speech piece by piece, and transcriptions in every format."""

import io
import wave
from base64 import b64decode

import pytest

from proxy.upstream.fake.mangle import Cut
from proxy.upstream.fake.media import sounds
from proxy.upstream.fake.scenario import Answer, Rule
from tests.upstream.fake.speaking import body_of
from tests.upstream.fake.tasking import WAV, form, headed, lines, perform, post, whole

SPEECH, HEARD = "/v1/audio/speech", "/v1/audio/transcriptions"
SAYING = {"model": "m", "input": "one two three", "voice": "x"}
FOUR = Answer(tokens=4)


@pytest.mark.parametrize(
    ("wanted", "content_type"),
    [
        ("mp3", b"audio/mpeg"),
        ("wav", b"audio/wav"),
        ("pcm", b"audio/pcm"),
        ("opus", b"audio/opus"),
        ("aac", b"audio/aac"),
        ("flac", b"audio/flac"),
    ],
)
def test_speech(wanted: str, content_type: bytes) -> None:
    head, data = headed(post(SPEECH, SAYING | {"response_format": wanted}))
    assert dict(head.headers)[b"content-type"] == content_type
    assert data == b"".join(sounds(3, wanted))


def test_a_wav_can_be_played() -> None:
    _, data = headed(post(SPEECH, SAYING | {"response_format": "wav"}))
    with wave.open(io.BytesIO(data)) as opened:
        assert opened.getnframes() == 3 * 5760


def test_speech_in_events() -> None:
    told = post(SPEECH, SAYING | {"stream_format": "sse", "response_format": "pcm"})
    assert dict(headed(told)[0].headers)[b"content-type"].startswith(b"text/event-stream")
    *deltas, done = lines(told)
    assert [b64decode(delta["audio"]) for delta in deltas] == sounds(3, "pcm")
    assert done["usage"] == {"input_tokens": 3, "output_tokens": 15, "total_tokens": 18}
    assert len(lines(told, Rule(fault="no-finish"))) == 3
    assert lines(told, Rule(fault="null-choices"))[0]["audio"] is None


def test_faults_of_a_sound() -> None:
    saying = post(SPEECH, SAYING | {"response_format": "pcm"})
    pieces = sounds(3, "pcm")
    cut = perform(saying, Rule(fault="cut", events=2))
    assert (body_of(cut), cut[-1]) == (b"".join(pieces[:2]), Cut.NOW)
    assert body_of(perform(saying, Rule(fault="null-choices"))) == b""
    error = body_of(perform(saying, Rule(fault="error-event", events=1)))
    assert error.startswith(pieces[0] + b'{"error":')


def test_what_whisper_hears() -> None:
    fields = {"model": "whisper-1"}
    said = whole(form(HEARD, fields, {"file": WAV}), answer=FOUR)
    usage = {"type": "duration", "seconds": 2}
    assert said == {"text": "Water meets the weir", "usage": usage}
    verbose = fields | {"response_format": "verbose_json"}
    segments = whole(form(HEARD, verbose, {"file": WAV}), answer=FOUR)
    assert (segments["duration"], segments["segments"][0]["end"]) == (1.2, 1.2)
    assert "words" not in segments
    words = verbose | {"timestamp_granularities[]": ["word"]}
    timed = whole(form(HEARD, words, {"file": WAV}), answer=FOUR)
    assert timed["words"][1] == {"word": "meets", "start": 0.24, "end": 0.48}
    assert "segments" not in timed


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ("text", "Water meets the weir\n"),
        ("srt", "1\n00:00:00,000 --> 00:00:01,200\nWater meets the weir\n\n"),
        ("vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:01.200\nWater meets the weir\n\n"),
    ],
)
def test_plain_texts(wanted: str, text: str) -> None:
    heard = form(HEARD, {"model": "whisper-1", "response_format": wanted}, {"file": WAV})
    head, data = headed(heard)
    assert dict(head.headers)[b"content-type"] == b"text/plain; charset=utf-8"
    assert data.decode() == text
    assert body_of(perform(heard, Rule(fault="error-first"))).startswith(b'{"error"')


def test_what_newer_models_hear() -> None:
    fields = {"model": "gpt-4o-transcribe", "prompt": "a b"}
    said = whole(form(HEARD, fields, {"file": WAV}), answer=FOUR)
    assert said["usage"] == {
        "type": "tokens",
        "total_tokens": 18,
        "input_tokens": 14,
        "input_token_details": {"text_tokens": 2, "audio_tokens": 12},
        "output_tokens": 4,
    }
    stream = form(HEARD, fields | {"stream": "true"}, {"file": WAV})
    *deltas, done = lines(stream, answer=FOUR)
    assert "".join(delta["delta"] for delta in deltas) == done["text"] == said["text"]
    assert done["usage"] == said["usage"]
    assert len(lines(stream, Rule(fault="no-finish"), FOUR)) == 4
