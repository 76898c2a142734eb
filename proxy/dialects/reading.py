"""Bytes of an answer as JSON objects, and a stream of such objects as events.

What every dialect over server-sent events shares: frames that do not depend on the slicing, an end
mark after which nothing counts, and the mending of characters that providers cut in two.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson

from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.events import Ended, Event, Verbatim
from proxy.wire.frames import Frame, FrameTooLong, Splitter

Read = Callable[[str, dict[str, Any], list[Event]], None]
"""Appends the events of one frame: its name (`message` where it has none) and its object."""

_ENDED = Ended()
_HALVES_MAX = 128  # more than an answer's choices can each have one waiting
_ESCAPE = re.compile(
    rb"(?s)\\(?:u[dD][89abAB]\w\w\\u[dD][c-fC-F]\w\w|(?P<half>u[dD][89a-fA-F]\w\w)|.)"
)


class Decoder:
    """A stream of one provider. The events do not depend on how the bytes were sliced; `[DONE]`, or
    an `Ended` of `read`, ends it.

    Raises GatewayError `provider_malformed` for what is no event stream.
    """

    __slots__ = ("_ended", "_halves", "_read", "_splitter", "_verbatim")

    def __init__(self, read: Read) -> None:
        self._read = read
        self._splitter = Splitter()
        self._halves: list[bytes] = []
        self._ended = False
        self._verbatim = False

    def feed(self, data: bytes) -> Iterable[Event]:
        """The events that `data` completes; a fault is raised when those before it are taken."""
        try:
            frames = self._splitter.feed(data)
        except FrameTooLong as error:
            fault = GatewayError("provider_malformed", "An event of the answer is too long.")
            return broken_off(self._decode(error.frames), fault)
        return self._decode(frames)

    def end(self) -> Iterator[Event]:
        """What stood in the last lines when the bytes ended, if it was whole."""
        # Half an event is no event; whether the answer was whole shows without it.
        with contextlib.suppress(GatewayError):
            yield from self._decode(self._splitter.end())

    def _decode(self, frames: list[Frame]) -> Iterable[Event]:
        told: list[Event] = []
        for name, data in frames:
            if self._ended:
                break
            if not data.startswith(b"{"):
                bare = data.strip()
                if bare == b"[DONE]":
                    self._ended = True
                    told.append(_ENDED)
                if not bare or self._ended:
                    continue
            before = len(told)
            try:
                said = parse(data, self._halves)
                self._read(name, said, told)
            except GatewayError as fault:
                return broken_off(told[:before], fault)
            for event in told[before:]:
                if type(event) is Ended:
                    self._ended = True
            if self._verbatim:
                told[before:] = [Verbatim(name, data, said, tuple(told[before:]))]
        return told

    def keep(self) -> "Decoder":
        """Keeps every frame as it came, beside what it means: events are `Verbatim` from now on."""
        self._verbatim = True
        return self


def broken_off(events: Iterable[Event], fault: GatewayError) -> Iterator[Event]:
    """What came before a fault, and then the fault."""
    yield from events
    raise fault


class NoStream:
    """The decoder of what comes whole only."""

    def __init__(self, quirks: Quirks) -> None:
        del quirks

    def feed(self, data: bytes) -> Iterator[Event]:
        """Raises GatewayError `provider_malformed`, unless `data` is blank."""
        if data.strip():
            raise GatewayError("provider_malformed", "The answer is not JSON.")
        return iter(())

    def end(self) -> Iterator[Event]:
        """Nothing."""
        return iter(())


def verbatim_stream(
    decoder: Callable[[Quirks], Decoder],
) -> Callable[[Quirks], Decoder]:
    """`decoder`, its events as they came (`Outbound.same`)."""
    return lambda quirks: decoder(quirks).keep()


def verbatim_answer(
    decode_answer: Callable[[bytes, Quirks], list[Event]],
) -> Callable[[bytes, Quirks], list[Event]]:
    """The same for an answer that comes whole."""

    def decode(body: bytes, quirks: Quirks) -> list[Event]:
        return [Verbatim(None, body, parse(body), tuple(decode_answer(body, quirks)))]

    return decode


def parse(data: bytes, halves: list[bytes] | None = None) -> dict[str, Any]:
    """The object in `data`. `halves` are first halves of characters that earlier events ended with,
    in their order: providers that count UTF-16 units cut surrogate pairs in two.

    Raises GatewayError `provider_malformed`.
    """
    halves = [] if halves is None else halves
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            value = orjson.loads(_ESCAPE.sub(lambda found: _paired(found, halves), data))
        except orjson.JSONDecodeError:
            raise GatewayError("provider_malformed", "The answer is not valid JSON.") from None
    if not isinstance(value, dict):
        raise GatewayError("provider_malformed", "The answer is not a JSON object.")
    return value


def _paired(escape: re.Match[bytes], halves: list[bytes]) -> bytes:
    """An escape as it may stand in JSON: the first half of a pair waits at the end of a text for
    the second, which begins the next; any other half is no character.
    """
    half, text = escape["half"], escape.string
    if half is None:
        return escape[0]
    first = half[2:3] in b"89abAB"
    if first and text[escape.end() : escape.end() + 1] == b'"' and len(halves) < _HALVES_MAX:
        halves.append(escape[0])
        return b""
    if not first and halves and text[escape.start() - 1 : escape.start()] == b'"':
        return halves.pop(0) + escape[0]
    return rb"\ufffd"
