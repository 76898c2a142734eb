"""Speech by Gemini: a conversation whose answer is sound, at AI Studio and at Vertex.

Source: Google's guide "Text-to-speech generation". The sound is PCM of 16 bits and one channel,
which is handed on as a WAV.
"""

import re
from typing import Any, Final

from proxy.dialects.asking import Encoded, Target, encode_json, inexpressible
from proxy.dialects.audio import split
from proxy.dialects.gemini.events import Reader
from proxy.dialects.reading import Decoder, parse
from proxy.dialects.speech.events import sound, sounding
from proxy.dialects.speech.request import voice_name
from proxy.dialects.speech.wave import head
from proxy.dialects.values import mapping, objects, string
from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.events import (
    Audio,
    Ended,
    Event,
    Failed,
    Finished,
    Sound,
    Started,
    UsageReport,
)
from proxy.wire.request import Ask

FORMATS: Final = ("pcm", "wav")
_SAMPLES = re.compile(r"(?i)audio/(?:l16|pcm)\b(?:.*\brate=(\d{4,6}))?")
_RATE_HZ: Final = 24_000


def encode_request(ask: Ask, target: Target) -> Encoded:
    """The request as Gemini takes it; how to speak is said before what to say.

    Raises GatewayError `provider_unfit` for a format that it has not, and for a voice by example.
    """
    fields, options = split(ask, target.provider)
    if fields["response_format"] not in FORMATS:
        raise inexpressible(target.provider, f"a wish for {fields['response_format']}")
    if fields.get("input_references"):
        raise inexpressible(target.provider, "a voice by example")
    text, manner = fields["input"], fields.get("instructions")
    config: dict[str, Any] = {"responseModalities": ["AUDIO"]}
    if voice := voice_name(fields.get("voice")):
        named = {"prebuiltVoiceConfig": {"voiceName": voice}}
        config["speechConfig"] = {"voiceConfig": named}
    said = f"{manner}\n\n{text}" if manner else text
    contents = [{"role": "user", "parts": [{"text": said}]}]
    return Encoded(encode_json(options | {"contents": contents, "generationConfig": config}))


def decoder(quirks: Quirks) -> Decoder:
    """A stream of Gemini's."""
    reading = _Reading()
    return Decoder(lambda name, chunk, events: reading.read(chunk, events))


def decode_answer(body: bytes, quirks: Quirks) -> list[Event]:
    """The events of a whole answer. Raises GatewayError `provider_malformed`."""
    events: list[Event] = []
    _Reading(whole=True).read(parse(body), events)
    return [*events, Ended()]


class _Reading:
    """Gemini's events, with its sound as a stream of WAV."""

    def __init__(self, *, whole: bool = False) -> None:
        self._reader = Reader(whole=whole)
        self._begun = False

    def read(self, chunk: dict[str, Any], events: list[Event]) -> None:
        said: list[Event] = []
        self._reader.read(chunk, said)
        kinds = iter(_kinds(chunk))
        for event in said:
            match event:
                case Audio():
                    events.append(self._sound(event, next(kinds)))
                case Finished() if not self._begun:
                    events.append(_silence(event))
                case UsageReport():
                    events.append(UsageReport(sounding(event.usage)))
                case Started() | Finished() | Failed():
                    events.append(event)

    def _sound(self, event: Audio, kind: str) -> Sound:
        data = sound(event.audio["data"]).data
        begins, self._begun = not self._begun, True
        samples = _SAMPLES.match(kind)
        if samples is None and not kind.startswith(("audio/wav", "audio/x-wav")):
            raise GatewayError("provider_malformed", "The sound is neither PCM nor WAV.")
        if samples is None or not begins:
            return Sound(0, data)
        return Sound(0, head(int(samples[1] or _RATE_HZ)) + data)


def _kinds(chunk: dict[str, Any]) -> list[str]:
    """The MIME types of the recordings in a chunk, in their order."""
    parts = [
        mapping(part.get("inlineData"))
        for candidate in objects(chunk.get("candidates"))
        for part in objects(mapping(candidate.get("content")).get("parts"))
    ]
    told = (string(part.get("mimeType")) or "" for part in parts if string(part.get("data")))
    return [kind for kind in told if kind.startswith("audio/")]


def _silence(event: Finished) -> Event:
    """An answer without any sound, which is none: it was blocked, or another may do better."""
    if event.reason == "content_filter":
        said = f"The provider ended the answer with {event.native!r}."
        return Failed(400, said, "content_filter", said)
    return Ended()
