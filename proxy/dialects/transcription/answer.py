"""A transcript as its caller asked for it: OpenRouter's JSON, a plain text, subtitles, or events.

Subtitles are written here, out of the segments that a provider tells: SubRip has no standard, and
WebVTT's is the W3C's.
"""

from collections.abc import Iterable
from typing import Any, Final

from proxy.dialects.asking import Encoded
from proxy.dialects.audio import milliseconds, tokens_of
from proxy.dialects.chat.errors import envelope
from proxy.dialects.forms import Bill
from proxy.dialects.transcription.request import PLAIN
from proxy.dialects.values import json_text, objects, string
from proxy.errors import GatewayError
from proxy.wire.events import Event, Produced, Text
from proxy.wire.request import Ask, Head

Json = dict[str, Any]

_HOURS_99_MS: Final = 99 * 3_600_000


def media_type(ask: Ask) -> str:
    """The type of the answer."""
    if ask.stream:
        return "text/event-stream"
    return "text/plain; charset=utf-8" if _wish(ask) in PLAIN else "application/json"


def encode_answer(events: Iterable[Event], head: Head, ask: Ask, bill: Bill) -> Encoded:
    """The transcript and its usage. Raises GatewayError `provider_malformed` for what is no JSON
    on this side.
    """
    said: Json = {"text": ""}
    for event in events:
        match event:
            case Produced():
                said = event.value
            case Text():  # a stream that nobody asked for
                said["text"] += event.text
    wish = _wish(ask)
    if wish in PLAIN:
        return Encoded(_plain(said, wish, bill).encode())
    told = _verbose(said, bill) if wish == "verbose_json" else said
    told = told | {"usage": _usage(bill)}
    if bill.routing is not None:
        told["openrouter_metadata"] = bill.routing
    return Encoded(json_text(told).encode())


def _wish(ask: Ask) -> str:
    wish: str = ask.body["response_format"]
    return wish


def _usage(bill: Bill) -> Json:
    seconds = bill.usage.audio_ms / 1000
    counted = tokens_of(bill)
    if not counted["total_tokens"]:
        return {"type": "duration", "seconds": seconds, **counted}
    heard = bill.usage.prompt_audio_tokens
    details = {"audio_tokens": heard, "text_tokens": counted["input_tokens"] - heard}
    return {"type": "tokens", "seconds": seconds, **counted, "input_token_details": details}


def _verbose(said: Json, bill: Bill) -> Json:
    """With all that clients count on, whatever the provider told."""
    told: Json = {"task": "transcribe", "duration": bill.usage.audio_ms / 1000} | said
    if "segments" in said:
        segments = objects(said["segments"])
        told["segments"] = [{"id": number} | one for number, one in enumerate(segments)]
    return told


def _plain(said: Json, wish: str, bill: Bill) -> str:
    text: str = said["text"]
    if wish == "text":
        return f"{text}\n"
    cues = objects(said.get("segments")) or [
        {"start": 0.0, "end": bill.usage.audio_ms / 1000, "text": text}
    ]
    mark = "," if wish == "srt" else "."
    blocks: list[str] = [] if wish == "srt" else ["WEBVTT\n"]
    for number, cue in enumerate(cues, 1):
        span = f"{_clock(cue.get('start'), mark)} --> {_clock(cue.get('end'), mark)}"
        line = " ".join((string(cue.get("text")) or "").split())
        blocks.append(f"{number}\n{span}\n{line}\n" if wish == "srt" else f"{span}\n{line}\n")
    return "\n".join(blocks)


def _clock(seconds: object, mark: str) -> str:
    total_ms = min(milliseconds(seconds), _HOURS_99_MS)
    minutes, rest_ms = divmod(total_ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest_ms // 1000:02}{mark}{rest_ms % 1000:03}"


class Encoder:
    """A transcript as OpenAI's events."""

    def __init__(self, head: Head, ask: Ask) -> None:
        del head, ask
        self._text: list[str] = []

    def encode(self, event: Event) -> bytes:
        """A piece of the text."""
        match event:
            case Text():
                return self._say(event.text)
            case Produced():
                return self._say(event.value["text"])
        return b""

    def _say(self, text: str) -> bytes:
        self._text.append(text)
        return _event({"type": "transcript.text.delta", "delta": text})

    def encode_end(self, bill: Bill) -> bytes:
        """All of it once more, with its usage."""
        said = {"type": "transcript.text.done", "text": "".join(self._text), "usage": _usage(bill)}
        return _event(said)

    def encode_failure(self, error: GatewayError, routing: dict[str, Any] | None = None) -> bytes:
        """OpenRouter's error inside of a stream."""
        return _event({"type": "error"} | envelope(error, routing))


def _event(said: Json) -> bytes:
    return b"data: " + json_text(said).encode() + b"\n\n"
