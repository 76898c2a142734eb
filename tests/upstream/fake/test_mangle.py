"""Streams as they are paced, framed and broken, event by event."""

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from random import Random
from typing import Any

import orjson
import pytest

from proxy.upstream.fake.ask import decode_ask
from proxy.upstream.fake.mangle import (
    ERROR_EVENT,
    EVENT_FAULTS,
    FOREVER,
    FRAME_FAULTS,
    Cut,
    Scene,
    Step,
    Wait,
    endless,
    framed,
    keep_alives,
    paced,
    payload,
    plain_frame,
)
from proxy.upstream.fake.reply import Event, Reply
from proxy.upstream.fake.scenario import Answer, Rule
from proxy.wire.frames import Splitter

TOOL = {"type": "function", "function": {"name": "add"}}


def scene(rule: Rule, **body: Any) -> Scene:
    asked = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": [TOOL]} | body
    ask = decode_ask(json.dumps(asked).encode())
    return Scene(rule, Reply(ask, Answer(tokens=4), Random(1), 0), Random(2))


def mangled(fault: str, *, events: int = 2, **body: Any) -> list[Event | Step]:
    """The first steps of a faulty stream; whole ones here have 7 or 8 events."""
    here = scene(Rule(fault=fault, events=events, delay_s=2.5), **body)
    return list(islice(EVENT_FAULTS[fault](here.reply.events(), here), 12))


def healthy(**body: Any) -> list[Event]:
    return list(scene(Rule(), **body).reply.events())


def kinds(steps: Iterable[Event | Step]) -> list[Any]:
    return [step.kind if isinstance(step, Event) else step for step in steps]


USAGE: dict[str, Any] = {"stream_options": {"include_usage": True}}
START = ["opening", "token"]
TOKENS = ["opening", *["token"] * 4]


@pytest.mark.parametrize(
    ("fault", "left"),
    [
        ("stall", [*START, FOREVER]),
        ("cut", [*START, Cut.NOW]),
        ("early-end", START),
        ("no-finish", [*TOKENS, "usage", "done"]),
        ("no-done", [*TOKENS, "finish", "usage"]),
        ("done-only", ["done"]),
        ("no-content", ["opening", "finish", "usage", "done"]),
        ("after-done", [*TOKENS, "finish", "usage", "done", "token"]),
        ("error-first", ["token"]),
        ("error-event", [*START, "finish", "done"]),
        ("usage-missing", [*TOKENS, "finish", "done"]),
        ("usage-twice", [*TOKENS, "finish", "usage", "usage", "done"]),
        ("usage-cumulative", [*TOKENS, "finish", "usage", "done"]),
    ],
)
def test_events_that_are_left(fault: str, left: list[Any]) -> None:
    assert kinds(mangled(fault, **USAGE)) == left


def test_a_fault_strikes_after_the_events_it_was_told() -> None:
    assert mangled("cut", events=0) == [Cut.NOW]
    assert mangled("cut", events=99)[:-1] == healthy()


def test_errors_are_the_providers_own() -> None:
    assert mangled("error-first") == [Event("token", ERROR_EVENT)]
    named = mangled("error-named")[-1]
    assert isinstance(named, bytes)
    (frame,) = Splitter().feed(named)
    assert frame.name == "error"
    assert json.loads(frame.data)["error"]["status_code"] == 400


@pytest.mark.parametrize("fault", ["bad-json", "bad-utf8"])
def test_one_event_is_broken_and_the_rest_is_whole(fault: str) -> None:
    steps = mangled(fault)
    before, broken, after = steps[:2], steps[2], steps[3:]
    whole = healthy()
    assert [*before, *after] == [*whole[:2], *whole[3:]]
    assert isinstance(broken, bytes)
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(broken[6:])
    assert broken.endswith(b"\n\n")
    assert mangled(fault, events=99) == whole


def test_a_truncated_event_ends_in_its_middle() -> None:
    half = mangled("truncated")[-1]
    assert isinstance(half, bytes)
    assert plain_frame(payload(healthy()[2])).startswith(half)
    assert mangled("truncated", events=99) == healthy()


def test_binary_and_garbage() -> None:
    noise = mangled("binary")[-1]
    assert isinstance(noise, bytes)
    assert len(noise) == 1024
    steps = mangled("garbage-lines")
    assert all(isinstance(step, bytes) for step in steps[::2])
    assert kinds(steps[1::2])[:5] == TOKENS


def test_wrong_json_and_null_choices() -> None:
    assert kinds(mangled("wrong-json")) == [b'data: ["weir"]\n\n', "done"]
    events = [step for step in mangled("null-choices") if isinstance(step, Event)]
    assert [event.data["choices"] for event in events if event.data] == [None] * 6


@pytest.mark.parametrize("model", ["m", "reason"])
def test_usage_grows_or_is_gone(model: str) -> None:
    body = USAGE | {"model": model, "max_tokens": 4}
    grown = [s.data for s in mangled("usage-cumulative", **body) if isinstance(s, Event) and s.data]
    counts = [data["usage"]["completion_tokens"] for data in grown]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 4)
    gone = [step.data for step in mangled("usage-missing", **body) if isinstance(step, Event)]
    assert not any("usage" in (data or {}) for data in gone)
    twice = [step for step in mangled("usage-twice", **body) if isinstance(step, Event)]
    assert sum(bool((event.data or {}).get("usage")) for event in twice) == 2


def test_no_content_hides_calls_too() -> None:
    events = mangled("no-content", tool_choice="required")
    assert kinds(events) == ["opening", "finish", "done"]
    assert b'tool_calls":' not in b"".join(payload(e) for e in events if isinstance(e, Event))


def test_slow_first_token_keeps_alive() -> None:
    steps = mangled("slow-first-token")
    alive = b": keep-alive\n\n"
    assert steps[:6] == [alive, Wait(1.0), alive, Wait(1.0), alive, Wait(0.5)]
    assert kinds(steps[6:8]) == START
    assert list(keep_alives(0, b"\n")) == []


def test_endless_and_bom() -> None:
    steps = mangled("endless")
    assert isinstance(steps[0], Event)
    assert steps[1] == b'data: {"id":"'
    assert steps[2] == steps[11] == b"a" * 65536
    assert list(islice(endless(b"x"), 2)) == [b"x", b"a" * 65536]
    assert mangled("bom")[0] == b"\xef\xbb\xbf"


def frames(steps: Iterator[Step]) -> list[bytes]:
    splitter = Splitter()
    found = splitter.feed(b"".join(step for step in steps if isinstance(step, bytes)))
    return [frame.data for frame in [*found, *splitter.end()]]


@pytest.mark.parametrize("fault", [*FRAME_FAULTS, "garbage-lines", "bom"])
def test_odd_framing_loses_nothing(fault: str) -> None:
    here = scene(Rule(fault=fault))
    whole = [payload(event) for event in healthy()]
    events: Iterator[Event | Step] = here.reply.events()
    if fault in EVENT_FAULTS:
        events = EVENT_FAULTS[fault](here.reply.events(), here)
    steps = list(framed(events, FRAME_FAULTS.get(fault, plain_frame)))
    assert b"".join(step for step in steps if isinstance(step, bytes)) != b"".join(
        plain_frame(data) for data in whole
    )
    assert [json.loads(data) for data in frames(iter(steps))[:-1]] == [
        json.loads(data) for data in whole[:-1]
    ]
    assert frames(iter(steps))[-1] == b"[DONE]"


def test_pace() -> None:
    flow = Answer(first_token_s=0.5, tokens_per_s=4)
    steps = list(paced(iter(healthy()), flow))
    assert kinds(steps) == [
        "opening", Wait(0.5), "token", *[Wait(0.25), "token"] * 3, "finish", "done"
    ]  # fmt: skip
    assert list(paced(iter(healthy()), Answer())) == healthy()
    assert list(paced(iter([b"raw", FOREVER]), flow)) == [b"raw", FOREVER]
