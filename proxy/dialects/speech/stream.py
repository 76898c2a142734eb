"""Speech, the answer to callers: the sound as it comes, or OpenAI's events with it.

Bytes can not tell of an error: an answer that began is broken off. Their end is only told when the
request is settled.
"""

import base64
from collections.abc import Iterable
from typing import Any

from proxy.dialects.asking import Encoded
from proxy.dialects.audio import tokens_of
from proxy.dialects.forms import Bill
from proxy.dialects.speech.request import MEDIA_TYPES
from proxy.dialects.speech.wave import Bared
from proxy.dialects.values import json_text
from proxy.errors import GatewayError
from proxy.wire.events import Event, Sound
from proxy.wire.request import Ask, Head


def media_type(ask: Ask) -> str:
    """The type of the answer."""
    return "text/event-stream" if _by_events(ask) else MEDIA_TYPES[ask.body["response_format"]]


def _by_events(ask: Ask) -> bool:
    return ask.body.get("stream_format") == "sse"


class Encoder:
    """One answer. Who asked for bare samples is sent no head of a WAV."""

    def __init__(self, head: Head, ask: Ask) -> None:
        del head
        self._by_events = _by_events(ask)
        self._bared = Bared() if ask.body["response_format"] == "pcm" else None

    def encode(self, event: Event) -> bytes:
        """Raises GatewayError `provider_malformed` for what is not the sound asked for."""
        if not isinstance(event, Sound):
            return b""
        return self._say(event.data if self._bared is None else self._bared.feed(event.data))

    def encode_end(self, bill: Bill) -> bytes:
        """What was held; as events, the usage."""
        held = b"" if self._bared is None else self._say(self._bared.end())
        if not self._by_events:
            return held
        return held + _event({"type": "speech.audio.done", "usage": tokens_of(bill)})

    def encode_failure(self, error: GatewayError, routing: dict[str, Any] | None = None) -> bytes:
        """Nothing: it shows in the end that is missing."""
        return b""

    def _say(self, data: bytes) -> bytes:
        if not self._by_events or not data:
            return data
        return _event({"type": "speech.audio.delta", "audio": base64.b64encode(data).decode()})


def encode_answer(events: Iterable[Event], head: Head, ask: Ask, bill: Bill) -> Encoded:
    """The same in one piece."""
    encoder = Encoder(head, ask)
    return Encoded(b"".join(map(encoder.encode, events)) + encoder.encode_end(bill))


def _event(said: dict[str, Any]) -> bytes:
    return b"data: " + json_text(said).encode() + b"\n\n"
