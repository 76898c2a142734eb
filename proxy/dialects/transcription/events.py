"""Transcripts out of providers of dialect `openai`: JSON, or events as the text is heard.

Sources: OpenAI's "Create transcription" and its streaming events, Groq's and Mistral's API
references. Providers that know no stream answer with JSON all the same.
"""

from typing import Any, Final

from msgspec.structs import replace

from proxy.dialects.audio import decode_usage, milliseconds
from proxy.dialects.chat.errors import failure
from proxy.dialects.reading import Decoder, parse
from proxy.dialects.values import string
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

_NOT_SAID: Final = frozenset(("usage", "x_groq", "model", "id", "request_id", "inference_status"))
"""Of an answer: what is the gateway's to tell, or nobody's."""


def decode_answer(body: bytes, quirks: Quirks) -> list[Event]:
    """The events of a whole answer. Raises GatewayError `provider_malformed`."""
    said = parse(body)
    if (failed := failure(said)) is not None:
        return [failed]
    if not isinstance(said.get("text"), str):
        raise GatewayError("provider_malformed", "The answer has no text.")
    transcript = {name: value for name, value in said.items() if name not in _NOT_SAID}
    # Nothing was heard: an answer without content, as in a stream.
    events: list[Event] = [Produced(0, transcript)] if said["text"] else []
    return [*events, *_usage(said), Finished(0, "stop", None), Ended()]


def decoder(quirks: Quirks) -> Decoder:
    """A stream of events."""
    reading = _Reading()
    return Decoder(lambda name, said, events: reading.read(said, events))


class _Reading:
    """A text that comes in pieces; the last event has all of it once more."""

    def __init__(self) -> None:
        self._begun = False

    def read(self, said: dict[str, Any], events: list[Event]) -> None:
        failed, kind = failure(said), string(said.get("type")) or ""
        if failed is not None:
            events.append(failed)
        elif kind.endswith("text.delta"):
            self._say(said.get("delta") or said.get("text"), events)
        elif kind.endswith("done"):
            if not self._begun:
                self._say(said.get("text"), events)
            events += [*_usage(said), Finished(0, "stop", None), Ended()]
        elif kind.endswith("error"):
            events.append(Failed(None, string(said.get("message")) or "An error.", None, ""))

    def _say(self, text: object, events: list[Event]) -> None:
        if isinstance(text, str) and text:
            self._begun = True
            events.append(Text(0, text))


def _usage(said: dict[str, Any]) -> list[Event]:
    usage, lasts_ms = decode_usage(said.get("usage")), milliseconds(said.get("duration"))
    if usage is None and not lasts_ms:
        return []
    usage = usage or Usage()
    return [UsageReport(usage if usage.audio_ms else replace(usage, audio_ms=lasts_ms))]
