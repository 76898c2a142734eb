"""The request for speech: from callers of OpenRouter and OpenAI, to providers of dialect `openai`.

Contract: `createAudioSpeech` in OpenRouter's API description, "Create speech" in OpenAI's.
"""

import re
from typing import Any, Final, Literal

from proxy.dialects.asked import Common, size_bytes, unknown_bytes
from proxy.dialects.asking import Encoded, Target, encode_json, inexpressible
from proxy.dialects.audio import decode, split
from proxy.dialects.bodies import decode_object
from proxy.dialects.chat.fields import wants_routing
from proxy.dialects.forms import Headers
from proxy.dialects.values import mapping, objects, string
from proxy.errors import GatewayError
from proxy.wire.events import Usage
from proxy.wire.request import Ask
from proxy.wire.tokens import likely_tokens

FORMAT: Final = "pcm"
"""What a caller gets who says no format (OpenRouter's default; OpenAI's own is mp3)."""

MEDIA_TYPES: Final = {
    "mp3": "audio/mpeg",
    "pcm": "audio/pcm",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "aac": "audio/aac",
    "opus": "audio/opus",
}

SPEED_MIN: Final = 0.1
SPEED_MAX: Final = 10.0
TOKENS_PER_BYTE_MAX: Final = 8
"""Of sound for a byte of text: at 25 tokens a second (Gemini's count) a third of a second."""

TOKENS_PER_BYTE: Final = 1.6
"""The same as it usually is: 15 characters are spoken in a second."""

PROMPT_TOKENS_MORE: Final = 64
SOUND_TOKENS_MORE: Final = 512


class _Fields(Common):
    input: str | list[Any] | None = None
    voice: str | dict[str, Any] | None = None
    response_format: Literal["mp3", "pcm", "wav", "flac", "aac", "opus"] | None = None
    speed: float | None = None
    instructions: str | None = None
    input_references: list[dict[str, Any]] | None = None
    stream_format: Literal["audio", "sse"] | None = None


def decode_request(body: bytes, headers: Headers = ()) -> Ask:
    """What the caller asks for; the answer is always streamed.

    Raises GatewayError `invalid_request` or `not_supported`, each naming the field.
    """
    travelling, known = decode(decode_object(body), headers, _Fields)
    if isinstance(known.input, list):
        raise GatewayError("not_supported", "input: turns of several speakers: not supported yet")
    if not known.input:
        raise GatewayError("invalid_request", "input: required")
    speed = 1.0 if known.speed is None else known.speed
    if not SPEED_MIN <= speed <= SPEED_MAX:
        raise GatewayError("invalid_request", f"speed: must be between {SPEED_MIN} and {SPEED_MAX}")
    said_bytes, more = size_bytes(known.input), unknown_bytes(travelling, known)
    text_bytes = said_bytes + size_bytes(known.instructions or "")
    most = int(said_bytes * TOKENS_PER_BYTE_MAX / min(speed, 1.0)) + SOUND_TOKENS_MORE
    likely = int(said_bytes * TOKENS_PER_BYTE / speed)
    return Ask(
        models=known.names,
        body=travelling | {"response_format": known.response_format or FORMAT},
        stream=True,
        session_id=known.session_id,
        preferences=known.wishes,
        text_bytes=text_bytes,
        task="speech",
        told=wants_routing(headers),
        most=Usage(
            prompt_tokens=text_bytes + more + PROMPT_TOKENS_MORE,
            completion_tokens=most,
            characters=len(known.input),
        ),
        likely=Usage(
            prompt_tokens=likely_tokens(text_bytes),
            completion_tokens=likely,
            completion_audio_tokens=likely,
            characters=len(known.input),
        ),
    )


def encode_request(ask: Ask, target: Target) -> Encoded:
    """The request as this provider takes it.

    Raises GatewayError `provider_unfit` for a format that it has not, and for a voice by example
    where it takes none.
    """
    quirks = target.provider.quirks
    fields, options = split(ask, target.provider)
    del fields["response_format"]
    fields.pop("stream_format", None)
    body = options | {"model": target.model} | fields | _format(ask, target)
    voice, sample = body.pop("voice", None), _sample(body.pop("input_references", None))
    if voice is not None:
        plain = quirks.speech_voice != "voice"  # OpenAI alone knows voices as objects
        body[quirks.speech_voice] = voice_name(voice) if plain else voice
    if sample is not None:
        if quirks.speech_sample is None:
            raise inexpressible(target.provider, "a voice by example")
        body[quirks.speech_sample] = sample
    if quirks.speech_events is not None and re.match(quirks.speech_events, target.model):
        body["stream_format"] = "sse"
    return Encoded(encode_json(body), {"Accept": "*/*"})


def voice_name(voice: object) -> str | None:
    """The name of a voice, which OpenAI's callers may say as `{id}`."""
    return string(mapping(voice).get("id")) if isinstance(voice, dict) else string(voice)


def _format(ask: Ask, target: Target) -> dict[str, Any]:
    wish, known = ask.body["response_format"], target.provider.quirks.speech_formats
    if not known:
        return {"response_format": wish}
    if wish == "pcm" and wish not in known and "wav" in known:
        wish = "wav"  # of which the encoder takes the head away
    if wish not in known:
        raise inexpressible(target.provider, f"a wish for {wish}")
    return known[wish]


def _sample(references: object) -> str | None:
    """The recording of a voice, as base64; the transcript beside it is for whoever reads it."""
    for reference in objects(references):
        data = string(mapping(reference.get("input_audio")).get("data"))
        if data is not None:
            return data.partition(",")[2] if data.startswith("data:") else data
    return None
