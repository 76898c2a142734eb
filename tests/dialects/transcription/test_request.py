"""The request for a transcription: JSON or a form in, a form out."""

import base64
from typing import Any

import orjson
import pytest

from proxy.dialects.asking import Target
from proxy.dialects.multipart import Field, decode_form, encode_form
from proxy.dialects.transcription.request import (
    FILE_BYTES_MAX,
    decode_request,
    encode_request,
)
from proxy.errors import GatewayError
from proxy.providers import Provider, Quirks
from proxy.wire.request import Ask

SOUND = bytes(8000)
PLAIN = Quirks()


def of_json(**more: Any) -> Ask:
    audio = {"data": base64.b64encode(SOUND).decode(), "format": "wav"}
    return decode_request(orjson.dumps({"model": "a/stt", "input_audio": audio} | more))


def of_form(*fields: tuple[str, str], file: Field | None = None) -> Ask:
    file = file or Field("file", SOUND, "My secret talk.mp3", "audio/mpeg")
    parts = [Field("model", b"a/stt"), *(Field(name, text.encode()) for name, text in fields)]
    body, kind = encode_form([*parts, file])
    return decode_request(body, [(b"content-type", kind.encode())])


def sent(ask: Ask, quirks: Quirks = PLAIN) -> list[Field]:
    provider = Provider(slug="acme", name="Acme", base_url="http://a", quirks=quirks)
    encoded = encode_request(ask, Target(provider, "whisper-1"))
    return decode_form(encoded.body, encoded.headers["Content-Type"])


def pairs(ask: Ask, quirks: Quirks = PLAIN) -> list[tuple[str, str]]:
    return [(field.name, field.text) for field in sent(ask, quirks) if field.filename is None]


def test_what_is_asked_for() -> None:
    ask = of_json(prompt="Weirs", language="en", session_id="s")
    assert (ask.models, ask.task, ask.stream, ask.session_id) == (
        ("a/stt",), "transcription", False, "s",
    )  # fmt: skip
    assert (ask.audio_prompt, ask.text_bytes) == (1, 5)
    assert ask.most is not None
    assert ask.likely is not None
    assert ask.likely.audio_ms == 2000
    assert ask.most.audio_ms == 9000
    assert ask.likely.prompt_tokens == 20 + 1
    assert ask.likely.prompt_audio_tokens == 20
    assert ask.most.prompt_tokens > ask.likely.prompt_tokens
    assert ask.most.completion_tokens > ask.likely.completion_tokens


def test_who_asks_is_told_of_the_routing() -> None:
    body = orjson.dumps({"model": "a/stt", "input_audio": {"data": "AAAA", "format": "wav"}})
    assert not decode_request(body).told
    assert decode_request(body, [(b"x-openrouter-metadata", b"enabled")]).told


def test_json_becomes_a_form() -> None:
    ask = of_json(temperature=0, language="en", timestamp_granularities=["word", "segment"])
    assert pairs(ask) == [
        ("temperature", "0"),
        ("language", "en"),
        ("timestamp_granularities[]", "word"),
        ("timestamp_granularities[]", "segment"),
        ("response_format", "json"),
        ("model", "whisper-1"),
    ]
    file = sent(ask)[-1]
    assert file == Field("file", SOUND, "audio.wav", "audio/wav")
    assert ("timestamp_granularities", "word") in pairs(ask, Quirks(list_brackets=False))


def test_a_form_becomes_a_form() -> None:
    options = '{"options": {"acme": {"diarize": true, "model": "dear"}, "bolt": {"x": 1}}}'
    ask = of_form(
        ("prompt", "Weirs"),
        ("temperature", "0.5"),
        ("stream", "True"),
        ("include[]", "logprobs"),
        ("timestamp_granularities[][]", "word"),
        ("keyterms", "lock"),
        ("chunking_strategy[type]", "server_vad"),
        ("provider", options),
    )
    assert ask.stream
    assert pairs(ask) == [
        ("diarize", "true"),
        ("model", "whisper-1"),
        ("prompt", "Weirs"),
        ("temperature", "0.5"),
        ("include[]", "logprobs"),
        ("timestamp_granularities[]", "word"),
        ("keyterms[]", "lock"),
        ("chunking_strategy[type]", "server_vad"),
        ("response_format", "json"),
        ("stream", "true"),
    ]
    # What a recording is called is nobody's business.
    assert sent(ask)[-1] == Field("file", SOUND, "audio.mp3", "audio/mpeg")


@pytest.mark.parametrize(
    ("wish", "asked"),
    [("text", "json"), ("srt", "verbose_json"), ("vtt", "verbose_json"), ("json", "json"),
     ("verbose_json", "verbose_json"), ("diarized_json", "diarized_json")],
)  # fmt: skip
def test_formats(wish: str, asked: str) -> None:
    assert ("response_format", asked) in pairs(of_form(("response_format", wish)))


def test_one_request_is_always_the_same_bytes() -> None:
    ask, provider = of_json(), Provider(slug="acme", name="Acme", base_url="http://a")
    target = Target(provider, "m")
    assert encode_request(ask, target) == encode_request(ask, target)


@pytest.mark.parametrize(
    ("filename", "mime", "expected"),
    [
        ("a.WAV", None, ("audio.wav", "audio/wav")),
        ("a.m4a", "x/y", ("audio.m4a", "audio/mp4")),
        ("talk", "audio/x-flac", ("audio.flac", "audio/flac")),
        ("blob", "audio/webm", ("audio.webm", "audio/webm")),
        (None, "audio/ogg", ("audio.ogg", "audio/ogg")),
        ("a.not an ending", "audio/mpeg", ("audio.mpeg", "audio/mpeg")),
    ],
)
def test_kinds_of_files(filename: str | None, mime: str | None, expected: tuple[str, str]) -> None:
    told = sent(of_form(file=Field("file", SOUND, filename, mime)))[-1]
    assert (told.filename, told.mime) == expected


FORMS = [
    ((("", "x"),), "no usable name"),
    ((('a"b', "x"),), "no usable name"),
    ((("temperature", "warm"),), "temperature: expected a number"),
    ((("stream", "maybe"),), "stream: expected true"),
    ((("provider", "[]"),), "provider: expected an object"),
    ((("provider", '{"zdr": 1}'),), "provider.zdr"),
    ((("source_url", "http://a"),), "source_url: not supported"),
    ((("include", "a"), ("include[]", "b")), "include: once a list"),
    ((("timestamp_granularities[]", "hour"),), "timestamp_granularities"),
    ((("response_format", "pdf"),), "response_format: none"),
    ((("stream", "1"), ("response_format", "srt")), "response_format: a stream"),
]


@pytest.mark.parametrize(("fields", "said"), FORMS)
def test_forms_that_are_refused(fields: tuple[tuple[str, str], ...], said: str) -> None:
    with pytest.raises(GatewayError, match=said):
        of_form(*fields)


@pytest.mark.parametrize(
    ("file", "kind", "said"),
    [
        (Field("file", b"", "a.wav"), "invalid_request", "file: required"),
        (Field("other", b"x"), "invalid_request", "file: required"),
        (Field("file", b"x", "talk", None), "invalid_request", "neither its name"),
        (Field("file", b"x", "", "application/octet-stream"), "invalid_request", "neither"),
        (Field("file", bytes(FILE_BYTES_MAX + 1), "a.wav"), "body_too_large", "file: larger"),
    ],
)
def test_files_that_are_refused(file: Field, kind: str, said: str) -> None:
    with pytest.raises(GatewayError, match=said) as refused:
        of_form(file=file)
    assert refused.value.kind == kind


@pytest.mark.parametrize(
    ("audio", "said"),
    [
        (None, "input_audio: required"),
        ({"url": "http://a"}, "input_audio.url: not supported"),
        ({"format": "wav"}, "input_audio.data: required"),
        ({"data": 1, "format": "wav"}, "input_audio.data: required"),
        ({"data": "AAAA"}, "input_audio.format"),
        ({"data": "AAAA", "format": "a/b"}, "input_audio.format"),
        ({"data": "%", "format": "wav"}, "not valid base64"),
    ],
)
def test_json_that_is_refused(audio: object, said: str) -> None:
    with pytest.raises(GatewayError, match=said):
        of_json(input_audio=audio)


def test_a_data_url_is_taken() -> None:
    ask = of_json(input_audio={"data": "data:audio/wav;base64,AAAA", "format": "WAV"})
    assert sent(ask)[-1] == Field("file", bytes(3), "audio.wav", "audio/wav")
