"""The request for a transcription: JSON or a form from callers, a form to providers.

Contract: `createAudioTranscriptions` in OpenRouter's API description, "Create transcription" in
OpenAI's. Names of files stay here: a provider is told the kind of a recording, not what it is.
"""

import base64
import binascii
import math
import re
from contextlib import suppress
from typing import Any, Final, Literal

from proxy.dialects.asked import Common, size_bytes, unknown_bytes
from proxy.dialects.asking import Encoded, Target, encode_json
from proxy.dialects.audio import decode, split
from proxy.dialects.bodies import decode_object
from proxy.dialects.chat.fields import wants_routing
from proxy.dialects.forms import Headers
from proxy.dialects.multipart import Field, decode_form, encode_form, form_in
from proxy.dialects.transcription.length import Length
from proxy.errors import GatewayError
from proxy.wire.events import Usage
from proxy.wire.request import Ask
from proxy.wire.tokens import BYTES_PER_TOKEN

FILE_BYTES_MAX: Final = 25 * 1024 * 1024
"""Of a recording in a form (OpenAI's and OpenRouter's limit)."""

PROMPT_TOKENS_PER_SECOND_MAX: Final = 40  # Gemini's 32 are the most that is known
PROMPT_TOKENS_PER_SECOND: Final = 10  # OpenAI's, and nearly Mistral's
TEXT_TOKENS_PER_SECOND_MAX: Final = 20
TEXT_TOKENS_PER_SECOND: Final = 4
TOKENS_MORE: Final = 512

KINDS: Final = {
    "mp3": "audio/mpeg", "mpeg": "audio/mpeg", "mpga": "audio/mpeg", "m4a": "audio/mp4",
    "mp4": "audio/mp4", "oga": "audio/ogg", "opus": "audio/ogg",
}  # fmt: skip
"""MIME types of recordings, where they are not called after the ending of the file."""

PLAIN: Final = ("text", "srt", "vtt")
"""Formats that are no JSON; the gateway writes them itself."""

_UNDERLYING = {"text": "json", "srt": "verbose_json", "vtt": "verbose_json"}
_ENDING = re.compile(r"[a-z0-9]{1,8}")
_NAME = re.compile(r"[\w.-]{1,64}(?:\[\w{0,64}\]){0,4}")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}
_LISTS = frozenset(("timestamp_granularities", "models", "keyterms"))
_UNSENT = frozenset(("file", "kind", "stream_options"))


class _Fields(Common):
    language: str | None = None
    prompt: str | None = None
    temperature: float | None = None
    response_format: (
        Literal["json", "verbose_json", "diarized_json", "text", "srt", "vtt"] | None
    ) = None
    timestamp_granularities: list[Literal["word", "segment"]] | None = None


def decode_request(body: bytes, headers: Headers = ()) -> Ask:
    """What the caller asks for.

    Raises GatewayError `invalid_request`, `not_supported` or `body_too_large`, each naming the
    field.
    """
    kind = form_in(headers)
    if kind is None:
        fields = decode_object(body)
        recording, ending = _of_json(fields.pop("input_audio", None))
    else:
        fields, recording, ending = _of_form(decode_form(body, kind))
    travelling, known = decode(fields, headers, _Fields)
    wish = known.response_format or "json"
    if known.stream and wish not in ("json", "text"):
        raise GatewayError("invalid_request", "response_format: a stream has text alone")
    lasts, text_bytes = Length(recording), size_bytes(known.prompt or "")
    more = text_bytes + unknown_bytes(travelling, known)
    return Ask(
        models=known.names,
        body=travelling | {"response_format": wish, "file": recording, "kind": ending},
        stream=known.stream is True,
        session_id=known.session_id,
        preferences=known.wishes,
        audio_prompt=1,
        text_bytes=text_bytes,
        task="transcription",
        told=wants_routing(headers),
        most=Usage(
            prompt_tokens=_tokens(lasts.most_ms, PROMPT_TOKENS_PER_SECOND_MAX, more),
            prompt_audio_tokens=_tokens(lasts.most_ms, PROMPT_TOKENS_PER_SECOND_MAX),
            completion_tokens=_tokens(lasts.most_ms, TEXT_TOKENS_PER_SECOND_MAX),
            audio_ms=lasts.most_ms,
        ),
        likely=_likely(lasts, text_bytes),
    )


def _tokens(length_ms: int, per_second: int, more: int = 0) -> int:
    return length_ms * per_second // 1000 + TOKENS_MORE + more


def _likely(lasts: Length, text_bytes: int) -> Usage:
    heard = lasts.likely_ms * PROMPT_TOKENS_PER_SECOND // 1000
    return Usage(
        prompt_tokens=heard + text_bytes // BYTES_PER_TOKEN,
        prompt_audio_tokens=heard,
        completion_tokens=lasts.likely_ms * TEXT_TOKENS_PER_SECOND // 1000,
        audio_ms=lasts.likely_ms,
    )


def _of_json(said: object) -> tuple[bytes, str]:
    """A recording in base64, and its kind."""
    if not isinstance(said, dict):
        raise GatewayError("invalid_request", "input_audio: required")
    if "url" in said and "data" not in said:
        raise GatewayError("not_supported", "input_audio.url: not supported yet")
    data, ending = said.get("data"), said.get("format")
    if not isinstance(data, str) or not data:
        raise GatewayError("invalid_request", "input_audio.data: required")
    if not isinstance(ending, str) or not _ENDING.fullmatch(ending.lower()):
        raise GatewayError("invalid_request", "input_audio.format: expected a word such as wav")
    if data.startswith("data:"):
        data = data.partition(",")[2]
    try:
        return base64.b64decode(data, validate=True), ending.lower()
    except (binascii.Error, ValueError):
        raise GatewayError("invalid_request", "input_audio.data: not valid base64") from None


def _of_form(parts: list[Field]) -> tuple[dict[str, Any], bytes, str]:
    """The fields of a form as JSON has them, the recording and its kind."""
    fields: dict[str, Any] = {}
    found: Field | None = None
    for part in parts:
        if part.name == "file":
            found = part
        elif not _NAME.fullmatch(part.name):
            raise GatewayError("invalid_request", "A field of the form has no usable name.")
        elif part.name.endswith("[]") or part.name in _LISTS:
            # OpenRouter's own SDK writes the brackets twice.
            name = re.sub(r"(?:\[\])+$", "", part.name)
            listed = fields.setdefault(name, [])
            if not isinstance(listed, list):
                raise GatewayError("invalid_request", f"{name}: once a list, and once none")
            listed.append(part.text)
        else:
            fields[part.name] = _value(part)
    if "source_url" in fields:
        raise GatewayError("not_supported", "source_url: not supported yet")
    if found is None or not found.data:
        raise GatewayError("invalid_request", "file: required")
    if len(found.data) > FILE_BYTES_MAX:
        raise GatewayError("body_too_large", f"file: larger than {FILE_BYTES_MAX} bytes")
    return fields, found.data, _ending(found)


def _value(part: Field) -> Any:
    if part.name == "temperature":
        with suppress(ValueError):
            if math.isfinite(value := float(part.text)):
                return value
        raise GatewayError("invalid_request", "temperature: expected a number")
    if part.name == "stream":
        if part.text.lower() not in _FLAGS:
            raise GatewayError("invalid_request", "stream: expected true or false")
        return _FLAGS[part.text.lower()]
    if part.name in ("provider", "trace"):
        with suppress(GatewayError):
            return decode_object(part.data)
        raise GatewayError("invalid_request", f"{part.name}: expected an object in JSON")
    return part.text


def _ending(file: Field) -> str:
    """The kind of a file, by its name, else by its MIME type."""
    named = (file.filename or "").rpartition(".")[2].lower()
    if "." in (file.filename or "") and _ENDING.fullmatch(named):
        return named
    kind = (file.mime or "").partition("/")[2].removeprefix("x-")
    if kind in ("octet-stream", "") or not _ENDING.fullmatch(kind):
        raise GatewayError("invalid_request", "file: neither its name nor its type tells its kind")
    return kind


def encode_request(ask: Ask, target: Target) -> Encoded:
    """The request as a form; a recording is called after its kind alone."""
    quirks, ending = target.provider.quirks, ask.body["kind"]
    fields, options = split(ask, target.provider)
    wish = fields["response_format"]
    said = options | fields | {"response_format": _UNDERLYING.get(wish, wish)}
    said = {name: value for name, value in said.items() if name not in _UNSENT}
    said |= {"model": target.model} | ({"stream": True} if ask.stream else {})
    form: list[Field] = []
    for name, value in said.items():
        if isinstance(value, list):
            name += "[]" if quirks.list_brackets else ""
        values = value if isinstance(value, list) else [value]
        form += [Field(name, _written(one)) for one in values]
    kind = KINDS.get(ending, f"audio/{ending}")
    form.append(Field("file", ask.body["file"], f"audio.{ending}", kind))
    body, content_type = encode_form(form)
    return Encoded(body, {"Content-Type": content_type})


def _written(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else encode_json(value)
