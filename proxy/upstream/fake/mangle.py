"""What the simulated provider can do to a stream: pace it, frame it, break it, cut it off.

Everything here is a generator of steps, and only `fake` waits or sends: an event becomes bytes as
late as possible, so that a fault may change what it says, how it is framed, or where it is cut.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import islice, repeat
from math import inf
from random import Random
from types import MappingProxyType
from typing import Final, NamedTuple

import orjson

from proxy.upstream.fake.manner import Event, Manner
from proxy.upstream.fake.reply import Reply
from proxy.upstream.fake.scenario import Answer, Rule


@dataclass(frozen=True, slots=True)
class Head:
    """Send the head of the response."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]


class Wait(NamedTuple):
    """Send nothing for this long; `inf` until the caller hangs up."""

    seconds: float


class Cut(Enum):
    """Reset the connection."""

    NOW = "now"


Step = Head | Wait | Cut | bytes
FOREVER: Final = Wait(inf)
KEEP_ALIVE_S = 1.0


@dataclass(frozen=True, slots=True)
class Scene:
    """All that a fault may look at."""

    rule: Rule
    manner: Manner
    reply: Reply
    rng: Random

    def frame(self, event: Event) -> bytes:
        """`event` as a healthy provider writes it."""
        return self.manner.frame(event.name, self.manner.payload(event))


Mangled = Iterator[Event | Step]

NO_OBJECT: Final = b'["weir"]'


def paced(events: Mangled, answer: Answer) -> Mangled:
    """`events` with the waits of `answer` before the tokens."""
    pause = Wait(1 / answer.tokens_per_s if answer.tokens_per_s else 0)
    due = Wait(answer.first_token_s)
    for event in events:
        if isinstance(event, Event) and event.kind == "token":
            if due.seconds:
                yield due
            due = pause
        yield event


def framed(events: Mangled, scene: Scene) -> Iterator[Step]:
    """`events` as bytes, with the odd line ends and fields that the rule asks for."""
    odd = FRAME_FAULTS.get(scene.rule.fault or "") if not scene.manner.binary else None
    for event in events:
        if not isinstance(event, Event):
            yield event
        elif odd:
            yield odd(scene.frame(event))
        else:
            yield scene.frame(event)


def keep_alives(delay_s: float, mark: bytes) -> Iterator[Step]:
    """`mark` about once a second until `delay_s` is over; DeepSeek does so while it is busy."""
    while delay_s > 0:
        if mark:
            yield mark
        yield Wait(min(KEEP_ALIVE_S, delay_s))
        delay_s -= KEEP_ALIVE_S


def endless(opening: bytes) -> Iterator[bytes]:
    """`opening` and then the inside of a string that never ends."""
    yield opening
    yield from repeat(b"a" * 65536)


# Faults of events: what is sent after `rule.events` healthy ones, or instead of some of them.

_Change = Callable[[Iterator[Event], Scene], Mangled]


def _slow_first_token(events: Iterator[Event], scene: Scene) -> Mangled:
    yield from keep_alives(scene.rule.delay_s, scene.manner.keep_alive)
    yield from events


def _then(*steps: Step) -> _Change:
    """`rule.events` events, then only `steps`."""

    def mangled(events: Iterator[Event], scene: Scene) -> Mangled:
        yield from islice(events, scene.rule.events)
        yield from steps

    return mangled


def _then_fails(failing: Callable[[Manner], tuple[Event, ...]]) -> _Change:
    """`rule.events` events, then an error."""

    def mangled(events: Iterator[Event], scene: Scene) -> Mangled:
        yield from islice(events, scene.rule.events)
        yield from failing(scene.manner)

    return mangled


def _instead(change: Callable[[Event, Scene], bytes]) -> _Change:
    """`rule.events` events, one that is changed, and all the others."""

    def mangled(events: Iterator[Event], scene: Scene) -> Mangled:
        yield from islice(events, scene.rule.events)
        yield from (change(event, scene) for event in islice(events, 1))
        yield from events

    return mangled


def _bad_utf8(event: Event, scene: Scene) -> bytes:
    return scene.manner.frame(event.name, no_utf8(scene.manner.payload(event)))


def no_utf8(data: bytes) -> bytes:
    """`data` with a byte in its first string value that no UTF-8 has; spaces do not matter."""
    for opening in (b'":"', b'": "'):
        if opening in data:
            return data.replace(opening, opening + b"\xff", 1)
    return data + b"\xff"


def _edited(
    edit: Callable[[Manner], Callable[[dict[str, object]], dict[str, object] | None]],
) -> _Change:
    """Every event as `edit` leaves it, those without data untouched."""

    def mangled(events: Iterator[Event], scene: Scene) -> Mangled:
        change = edit(scene.manner)
        for event in events:
            data = event.data if event.data is None else change(event.data)
            if event.data is None or data is not None:
                yield event._replace(data=data)

    return mangled


def _truncated(events: Iterator[Event], scene: Scene) -> Mangled:
    yield from islice(events, scene.rule.events)
    for event in islice(events, 1):
        half = scene.frame(event)
        yield half[: len(half) // 2]


def _only(*kinds: str) -> _Change:
    return lambda events, scene: (event for event in events if event.kind in kinds)


def _after_done(events: Iterator[Event], scene: Scene) -> Mangled:
    last = None
    for event in events:
        last = event if event.kind == "token" else last
        yield event
    yield from (event for event in (last,) if event)


def _wrong_json(events: Iterator[Event], scene: Scene) -> Mangled:
    yield scene.manner.frame(next(events).name, NO_OBJECT)
    yield from (event for event in events if event.kind == "done")


def _binary(events: Iterator[Event], scene: Scene) -> Mangled:
    yield from islice(events, scene.rule.events)
    yield scene.rng.randbytes(1024)


def _garbage_lines(events: Iterator[Event], scene: Scene) -> Mangled:
    for event in events:
        if not scene.manner.binary:
            yield b"garbage\nx-upstream: 1\n"
        yield event


def _usage_missing(events: Iterator[Event], scene: Scene) -> Mangled:
    for event in events:
        if event.kind != "usage":
            data = event.data
            yield event if data is None else event._replace(data=scene.manner.uncounted(data))


def _usage_twice(events: Iterator[Event], scene: Scene) -> Mangled:
    for event in events:
        yield event
        if event.kind != "opening" and event.data and scene.manner.counted(event.data):
            yield scene.manner.recounted(event)


def _endless(events: Iterator[Event], scene: Scene) -> Mangled:
    yield from islice(events, 1)
    yield from endless(scene.manner.endless())


def _bom(events: Iterator[Event], scene: Scene) -> Mangled:
    if not scene.manner.binary:
        yield b"\xef\xbb\xbf"
    yield from events


def _no_last_blank(events: Iterator[Event], scene: Scene) -> Mangled:
    last = next(events)
    for event in events:
        yield last
        last = event
    frame = scene.frame(last)
    yield frame.rstrip(b"\r\n") if not scene.manner.binary else frame


EVENT_FAULTS: Final[Mapping[str, _Change]] = MappingProxyType(
    {
        "slow-first-token": _slow_first_token,
        "stall": _then(FOREVER),
        "cut": _then(Cut.NOW),
        "truncated": _truncated,
        "early-end": _then(),
        "no-finish": _edited(lambda manner: manner.unfinished),
        "no-done": _only("opening", "frame", "token", "finish", "usage"),
        "done-only": _only("done"),
        "null-choices": _edited(lambda manner: manner.nulled),
        "after-done": _after_done,
        "wrong-json": _wrong_json,
        "error-first": lambda events, scene: iter(scene.manner.error_events()[:1]),
        "error-event": _then_fails(lambda manner: manner.error_events()),
        "error-named": _then_fails(lambda manner: manner.error_named()),
        "bad-json": _instead(
            lambda event, scene: scene.manner.broken(event.name, scene.manner.payload(event))
        ),
        "bad-utf8": _instead(_bad_utf8),
        "binary": _binary,
        "garbage-lines": _garbage_lines,
        "usage-missing": _usage_missing,
        "usage-twice": _usage_twice,
        "usage-cumulative": lambda events, scene: (
            scene.manner.growing(event, scene.reply) for event in events
        ),
        "bom": _bom,
        "no-last-blank": _no_last_blank,
        "endless": _endless,
    }
)


def _multi_line(frame: bytes) -> bytes:
    """The data indented, so that it has a line for each value."""
    opening, mark, data = frame.partition(b"data: ")
    if not data.startswith(b"{"):
        return frame
    lines = orjson.dumps(orjson.loads(data), option=orjson.OPT_INDENT_2).splitlines()
    return opening + b"".join(mark + line + b"\n" for line in lines) + b"\n"


FRAME_FAULTS: Final[Mapping[str, Callable[[bytes], bytes]]] = MappingProxyType(
    {
        "crlf": lambda frame: frame.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"),
        "cr": lambda frame: frame.replace(b"\r\n", b"\n").replace(b"\n", b"\r"),
        "comments": lambda frame: b": keep-alive\n\n" * 20 + frame,
        "multi-line": _multi_line,
        "no-space": lambda frame: frame.replace(b"event: ", b"event:", 1).replace(
            b"data: ", b"data:", 1
        ),
        "fields": lambda frame: b"id: 7\nevent: message\nretry: 100\n" + frame,
    }
)
