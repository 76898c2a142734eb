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

from proxy.upstream.fake import shapes
from proxy.upstream.fake.reply import Event, Reply
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
    reply: Reply
    rng: Random


Mangled = Iterator[Event | Step]

ERROR_EVENT: Final = shapes.error("The server had an error while processing", None, "server_error")
NO_OBJECT: Final = b'["weir"]'
_GROQ_ERROR: Final = shapes.encode(
    {
        "error": {
            "message": "Tool choice is required, but model did not call a tool",
            "type": "invalid_request_error",
            "code": "tool_use_failed",
            "failed_generation": "",
            "status_code": 400,
        }
    }
)


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


def framed(events: Mangled, frame: Callable[[bytes], bytes]) -> Iterator[Step]:
    """`events` as bytes."""
    for event in events:
        yield frame(payload(event)) if isinstance(event, Event) else event


def payload(event: Event) -> bytes:
    """The data of `event`."""
    return b"[DONE]" if event.data is None else shapes.encode(event.data)


def plain_frame(data: bytes) -> bytes:
    """An event as OpenAI writes it."""
    return b"data: " + data + b"\n\n"


def keep_alives(delay_s: float, mark: bytes) -> Iterator[Step]:
    """`mark` about once a second until `delay_s` is over; DeepSeek does so while it is busy."""
    while delay_s > 0:
        yield mark
        yield Wait(min(KEEP_ALIVE_S, delay_s))
        delay_s -= KEEP_ALIVE_S


def endless(opening: bytes) -> Iterator[bytes]:
    """`opening` and then the inside of a string that never ends."""
    yield opening
    yield from repeat(b"a" * 65536)


# Faults of events: what is sent after `rule.events` healthy ones, or instead of some of them.


def _slow_first_token(events: Iterator[Event], scene: Scene) -> Mangled:
    yield from keep_alives(scene.rule.delay_s, b": keep-alive\n\n")
    yield from events


def _then(*steps: Event | Step) -> Callable[[Iterator[Event], Scene], Mangled]:
    """`rule.events` events, then only `steps`."""

    def mangled(events: Iterator[Event], scene: Scene) -> Mangled:
        yield from islice(events, scene.rule.events)
        yield from steps

    return mangled


def _instead(change: Callable[[bytes], bytes]) -> Callable[[Iterator[Event], Scene], Mangled]:
    """`rule.events` events, one that is changed, and all the others."""

    def mangled(events: Iterator[Event], scene: Scene) -> Mangled:
        yield from islice(events, scene.rule.events)
        yield from (change(plain_frame(payload(event))) for event in islice(events, 1))
        yield from events

    return mangled


def _without(*kinds: str) -> Callable[[Iterator[Event], Scene], Mangled]:
    def mangled(events: Iterator[Event], scene: Scene) -> Mangled:
        return (event for event in events if event.kind not in kinds)

    return mangled


def _truncated(events: Iterator[Event], scene: Scene) -> Mangled:
    yield from islice(events, scene.rule.events)
    for event in islice(events, 1):
        half = plain_frame(payload(event))
        yield half[: len(half) // 2]


def _no_content(events: Iterator[Event], scene: Scene) -> Mangled:
    opening = scene.reply.manner.opening(0, calls=0, first_call=None)
    for event in events:
        if event.kind == "opening":
            yield Event("opening", opening)
        elif event.kind != "token":
            yield event


def _null_choices(events: Iterator[Event], scene: Scene) -> Mangled:
    for event in events:
        yield event if event.data is None else Event(event.kind, event.data | {"choices": None})


def _after_done(events: Iterator[Event], scene: Scene) -> Mangled:
    yield from events
    yield Event("token", scene.reply.manner.text(0, " And more."))


def _binary(events: Iterator[Event], scene: Scene) -> Mangled:
    yield from islice(events, scene.rule.events)
    yield scene.rng.randbytes(1024)


def _garbage_lines(events: Iterator[Event], scene: Scene) -> Mangled:
    for event in events:
        yield b"garbage\nx-upstream: 1\n"
        yield event


def _usage_missing(events: Iterator[Event], scene: Scene) -> Mangled:
    for event in events:
        data = {key: value for key, value in (event.data or {}).items() if key != "usage"}
        if event.kind != "usage":
            yield Event(event.kind, data or None)


def _usage_twice(events: Iterator[Event], scene: Scene) -> Mangled:
    for event in events:
        yield event
        if event.data is not None and event.data.get("usage"):
            yield Event("usage", event.data | {"choices": []})


def _usage_cumulative(events: Iterator[Event], scene: Scene) -> Mangled:
    reply = scene.reply
    for event in events:
        usage = {"usage": reply.manner.usage(reply.count)}
        yield event if event.data is None else Event(event.kind, event.data | usage)


def _endless(events: Iterator[Event], scene: Scene) -> Mangled:
    yield from islice(events, 1)
    yield from endless(b'data: {"id":"')


def _bom(events: Iterator[Event], scene: Scene) -> Mangled:
    yield b"\xef\xbb\xbf"
    yield from events


def _no_last_blank(data: bytes) -> bytes:
    frame = plain_frame(data)
    return frame.rstrip(b"\n") if data == b"[DONE]" else frame


EVENT_FAULTS: Final[Mapping[str, Callable[[Iterator[Event], Scene], Mangled]]] = MappingProxyType(
    {
        "slow-first-token": _slow_first_token,
        "stall": _then(FOREVER),
        "cut": _then(Cut.NOW),
        "truncated": _truncated,
        "early-end": _then(),
        "no-finish": _without("finish"),
        "no-done": _without("done"),
        "done-only": _without("opening", "token", "finish", "usage"),
        "no-content": _no_content,
        "null-choices": _null_choices,
        "after-done": _after_done,
        "wrong-json": lambda events, scene: iter([plain_frame(NO_OBJECT), Event("done", None)]),
        "error-first": lambda events, scene: iter([Event("token", ERROR_EVENT)]),
        "error-event": _then(Event("finish", ERROR_EVENT), Event("done", None)),
        "error-named": _then(b"event: error\n" + plain_frame(_GROQ_ERROR)),
        "bad-json": _instead(lambda frame: frame[:-3] + b"\n\n"),
        "bad-utf8": _instead(lambda frame: frame.replace(b'"id":"', b'"id":"\xff', 1)),
        "binary": _binary,
        "garbage-lines": _garbage_lines,
        "usage-missing": _usage_missing,
        "usage-twice": _usage_twice,
        "usage-cumulative": _usage_cumulative,
        "bom": _bom,
        "endless": _endless,
    }
)

FRAME_FAULTS: Final[Mapping[str, Callable[[bytes], bytes]]] = MappingProxyType(
    {
        "crlf": lambda data: plain_frame(data).replace(b"\n", b"\r\n"),
        "cr": lambda data: plain_frame(data).replace(b"\n", b"\r"),
        "comments": lambda data: b": keep-alive\n\n" * 20 + plain_frame(data),
        "multi-line": lambda data: plain_frame(data.replace(b',"object"', b',\ndata: "object"', 1)),
        "no-space": lambda data: b"data:" + data + b"\n\n",
        "fields": lambda data: b"id: 7\nevent: message\nretry: 100\n" + plain_frame(data),
        "no-last-blank": _no_last_blank,
    }
)
