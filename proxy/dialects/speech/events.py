"""Speech out of providers of dialect `openai`: bytes, events with bytes in them, or JSON.

Sources: OpenAI's "Create speech" and its streaming events; Mistral's API reference for a whole
answer (`audio_data`) and its events.
"""

import base64
import binascii
import contextlib
import re
from collections.abc import Iterator
from typing import Any, Final

import orjson
from msgspec.structs import replace

from proxy.dialects.audio import decode_usage
from proxy.dialects.chat.errors import failure
from proxy.dialects.reading import Decoder, parse
from proxy.dialects.values import string
from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.events import Ended, Event, Failed, Finished, Sound, Usage, UsageReport

_TELLING_BYTES: Final = 64
"""Of an answer, before it is believed: no sound that anybody hears is shorter."""


_PAGE: Final = re.compile(rb"(?i)\s*(?:<!doctype|<html|<\?xml)")
_OBJECT: Final = re.compile(rb'\s*\{\s*"')
_UNWRITTEN: Final = re.compile(rb"[\x00-\x08\x0e-\x1f]")
"""What is in any sound before long, and in no text."""


class Bytes:
    """An answer that is its sound and nothing else; that it ended tells that it is whole."""

    def __init__(self, quirks: Quirks) -> None:
        del quirks
        self._first: bytes | None = b""

    def feed(self, data: bytes) -> Iterator[Event]:
        """The piece. Raises GatewayError `provider_malformed` for a page or an error in its place,
        however it was labelled.
        """
        if self._first is not None:
            self._first += data
            if len(self._first) < _TELLING_BYTES:
                return
            data = self._begin(self._first)
        yield Sound(0, data)

    def end(self) -> Iterator[Event]:
        """The end mark that the bytes have not."""
        if self._first:
            with contextlib.suppress(orjson.JSONDecodeError):
                orjson.loads(self._first)
                raise _no_sound()
            yield Sound(0, self._begin(self._first))
        yield Ended()

    def _begin(self, data: bytes) -> bytes:
        self._first = None
        if _PAGE.match(data) or (_OBJECT.match(data) and not _UNWRITTEN.search(data)):
            raise _no_sound()
        return data


def _no_sound() -> GatewayError:
    return GatewayError("provider_malformed", "The answer is no sound.")


def decoder(quirks: Quirks) -> Decoder:
    """A stream of events."""
    return Decoder(lambda name, said, events: _read(said, events))


def decode_answer(body: bytes, quirks: Quirks) -> list[Event]:
    """The events of an answer in JSON. Raises GatewayError `provider_malformed`."""
    said = parse(body)
    failed = failure(said)
    if failed is not None:
        return [failed]
    sound, usage = _sound(said), _usage(said)
    if not sound.data:
        raise _no_sound()
    return [sound, *usage, Finished(0, "stop", None), Ended()]


def _read(said: dict[str, Any], events: list[Event]) -> None:
    failed = failure(said)
    kind = string(said.get("type")) or ""
    if failed is not None:
        events.append(failed)
    elif kind.endswith("delta"):
        events.append(_sound(said))
    elif kind.endswith("done"):
        events += [*_usage(said), Ended()]
    elif kind.endswith("error"):
        events.append(Failed(None, string(said.get("message")) or "An error.", None, ""))


def _usage(said: dict[str, Any]) -> list[Event]:
    usage = decode_usage(said.get("usage"))
    return [] if usage is None else [UsageReport(sounding(usage))]


def sounding(usage: Usage) -> Usage:
    """`usage` of a model that puts out nothing but sound."""
    return replace(usage, completion_audio_tokens=usage.completion_tokens, audio_ms=0)


def _sound(said: dict[str, Any]) -> Sound:
    return sound(string(said.get("audio")) or string(said.get("audio_data")) or "")


def sound(data: str) -> Sound:
    """The recording in base64. Raises GatewayError `provider_malformed`."""
    try:
        return Sound(0, base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError):
        raise GatewayError("provider_malformed", "The sound is not base64.") from None
