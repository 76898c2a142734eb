"""Streams as they are paced, framed and broken, event by event, in every dialect."""

import json
import struct
import zlib
from collections.abc import Iterable
from itertools import islice
from random import Random
from typing import Any

import orjson
import pytest

from proxy.upstream.fake.mangle import (
    EVENT_FAULTS,
    FOREVER,
    FRAME_FAULTS,
    Cut,
    Mangled,
    Scene,
    Step,
    Wait,
    endless,
    framed,
    keep_alives,
    no_utf8,
    paced,
)
from proxy.upstream.fake.manner import Event
from proxy.upstream.fake.manners.chat import ERROR
from proxy.upstream.fake.scenario import Answer, Rule
from proxy.wire.frames import Splitter
from tests.upstream.fake.speaking import MANNERS, Wish, frames, reply

STREAMED = [name for name in MANNERS if not MANNERS[name].binary]


def scene(rule: Rule, dialect: str = "chat", wish: Wish = Wish()) -> Scene:  # noqa: B008
    return Scene(rule, MANNERS[dialect], reply(dialect, wish, Answer(tokens=4)), Random(2))


def mangled(
    fault: str,
    *,
    events: int = 2,
    dialect: str = "chat",
    wish: Wish = Wish(),  # noqa: B008
    most: int = 14,
) -> list[Event | Step]:
    """The first steps of a faulty stream; whole ones in chat have 7 or 8 events."""
    here = scene(Rule(fault=fault, events=events, delay_s=2.5), dialect, wish)
    return list(islice(EVENT_FAULTS[fault](here.manner.events(here.reply), here), most))


def healthy(dialect: str = "chat", wish: Wish = Wish()) -> list[Event]:  # noqa: B008
    here = scene(Rule(), dialect, wish)
    return list(here.manner.events(here.reply))


def kinds(steps: Iterable[Event | Step]) -> list[Any]:
    return [step.kind if isinstance(step, Event) else step for step in steps]


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
        ("after-done", [*TOKENS, "finish", "usage", "done", "token"]),
        ("error-first", ["finish"]),
        ("error-event", [*START, "finish", "done"]),
        ("error-named", [*START, "finish"]),
        ("usage-missing", [*TOKENS, "finish", "done"]),
        ("usage-twice", [*TOKENS, "finish", "usage", "usage", "done"]),
        ("usage-cumulative", [*TOKENS, "finish", "usage", "done"]),
    ],
)
def test_events_that_are_left(fault: str, left: list[Any]) -> None:
    assert kinds(mangled(fault)) == left


@pytest.mark.parametrize("dialect", MANNERS)
def test_a_fault_strikes_after_the_events_it_was_told(dialect: str) -> None:
    assert mangled("cut", events=0, dialect=dialect) == [Cut.NOW]
    whole = healthy(dialect)
    assert mangled("cut", events=99, dialect=dialect, most=99) == [*whole, Cut.NOW]
    assert mangled("stall", events=3, dialect=dialect) == [*whole[:3], FOREVER]
    assert mangled("truncated", events=99, dialect=dialect, most=99) == whole


def test_errors_are_the_providers_own() -> None:
    assert mangled("error-first") == [Event("finish", ERROR)]
    named = mangled("error-named")[-1]
    assert isinstance(named, Event)
    assert named.name == "error"
    assert named.data
    assert named.data["error"]["status_code"] == 400


ERRORS = {
    "azure": ("message", "server_error"),
    "anthropic": ("error", "overloaded_error"),
    "vertex-anthropic": ("error", "overloaded_error"),
    "gemini": ("message", "UNAVAILABLE"),
    "vertex-gemini": ("message", "UNAVAILABLE"),
    "cohere": ("message-end", "ERROR"),
    "bedrock": ("modelStreamErrorException", "unexpected error"),
    "responses": ("error", "server_error"),
}


@pytest.mark.parametrize("dialect", ERRORS)
def test_every_dialect_has_its_own_error_in_a_stream(dialect: str) -> None:
    here = scene(Rule(fault="error-first"), dialect)
    steps = EVENT_FAULTS["error-first"](here.manner.events(here.reply), here)
    data = b"".join(step for step in framed(steps, here) if isinstance(step, bytes))
    ((name, error),) = frames(dialect, data)
    assert name == ERRORS[dialect][0]
    assert ERRORS[dialect][1].encode() in error


@pytest.mark.parametrize(
    ("dialect", "name"), [("bedrock", "error"), ("responses", "response.failed")]
)
def test_some_have_another_error(dialect: str, name: str) -> None:
    last = mangled("error-named", dialect=dialect)[-1]
    assert isinstance(last, Event)
    assert last.name == name


def test_after_an_error_responses_failed_and_cohere_is_done() -> None:
    assert [e.name for e in mangled("error-event", dialect="responses") if isinstance(e, Event)][
        2:
    ] == ["error", "response.failed"]
    assert kinds(mangled("error-event", dialect="cohere"))[2:] == ["finish", "done"]


ENDS = {
    "anthropic": "message_stop",
    "vertex-anthropic": "message_stop",
    "cohere": "message-end",
    "bedrock": "metadata",
    "responses": "response.completed",
}


@pytest.mark.parametrize("dialect", ENDS)
def test_the_end_mark_may_be_missing_or_alone(dialect: str) -> None:
    def names(fault: str) -> list[str]:
        steps = mangled(fault, dialect=dialect, most=99)
        return [step.name for step in steps if isinstance(step, Event)]

    assert ENDS[dialect] not in names("no-done")
    assert names("done-only")[0] == ENDS[dialect]
    assert len(names("done-only")) == 1 + (dialect == "cohere")


FINISHES = (b"stop_reason", b"finish_reason", b"finishReason", b"stopReason")


@pytest.mark.parametrize("dialect", MANNERS)
def test_the_finish_reason_may_be_missing(dialect: str) -> None:
    said = [e.data for e in mangled("no-finish", dialect=dialect, most=99) if isinstance(e, Event)]
    text = orjson.dumps(said)
    for key in FINISHES:
        assert text.count(b'"' + key + b'":') == text.count(b'"' + key + b'":null')
    if dialect == "responses":
        assert said[-1]
        assert said[-1]["response"]["status"] is None


@pytest.mark.parametrize("dialect", MANNERS)
@pytest.mark.parametrize("fault", ["bad-json", "bad-utf8"])
def test_one_event_is_broken_and_the_rest_is_whole(fault: str, dialect: str) -> None:
    steps = mangled(fault, dialect=dialect, most=99)
    before, broken, after = steps[:2], steps[2], steps[3:]
    whole = healthy(dialect)
    assert [*before, *after] == [*whole[:2], *whole[3:]]
    assert isinstance(broken, bytes)
    if MANNERS[dialect].binary and fault == "bad-json":
        assert len(broken) == struct.unpack(">I", broken[:4])[0]
        with pytest.raises(AssertionError):
            list(frames(dialect, broken))
    else:
        ((_, data),) = frames(dialect, broken)
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(data)
    assert mangled(fault, events=99, dialect=dialect, most=99) == whole


@pytest.mark.parametrize(
    ("data", "broken"),
    [
        (b'{"a":1,"b":"x"}', b'{"a":1,"b":"\xffx"}'),
        (b'{"a": "x"}', b'{"a": "\xffx"}'),
        (b"{}", b"{}\xff"),
    ],
)
def test_no_utf8(data: bytes, broken: bytes) -> None:
    assert no_utf8(data) == broken


@pytest.mark.parametrize("dialect", MANNERS)
def test_a_truncated_event_ends_in_its_middle(dialect: str) -> None:
    half = mangled("truncated", dialect=dialect)[-1]
    assert isinstance(half, bytes)
    third = scene(Rule(), dialect).frame(healthy(dialect)[2])
    assert third.startswith(half)
    assert len(half) == len(third) // 2


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
    assert [event.data["choices"] for event in events if event.data] == [None] * 7


@pytest.mark.parametrize("dialect", MANNERS)
def test_null_stands_where_content_belongs(dialect: str) -> None:
    events = [e for e in mangled("null-choices", dialect=dialect) if isinstance(e, Event)]
    keys = MANNERS[dialect].contents
    found = [event.data[key] for event in events if event.data for key in keys if key in event.data]
    assert found
    assert set(found) == {None}


@pytest.mark.parametrize("model", ["m", "reason"])
def test_usage_grows(model: str) -> None:
    wish = Wish(model=model, limit=4)
    grown = [s.data for s in mangled("usage-cumulative", wish=wish) if isinstance(s, Event)]
    counts = [data["usage"]["completion_tokens"] for data in grown if data]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 4)


def counted(dialect: str, steps: list[Event | Step]) -> int:
    events = [step.data for step in steps if isinstance(step, Event) and step.data]
    text = orjson.dumps(events)
    keys = (b'"usage":{', b'"usageMetadata":{')
    return sum(text.count(key) for key in keys)


@pytest.mark.parametrize("model", ["weir/lorem", "weir/reason"])
@pytest.mark.parametrize("dialect", MANNERS)
def test_usage_is_gone_or_there_twice(dialect: str, model: str) -> None:
    wish = Wish(model=model)
    assert counted(dialect, mangled("usage-missing", dialect=dialect, wish=wish, most=99)) == 0
    once = counted(dialect, list(healthy(dialect, wish)))
    twice = counted(dialect, mangled("usage-twice", dialect=dialect, wish=wish, most=199))
    assert twice == once * 2 - (ENDS.get(dialect) == "message_stop")


def test_usage_cumulative_is_for_those_whose_events_may_have_it() -> None:
    for dialect in set(MANNERS) - {"chat", "azure"}:
        assert mangled("usage-cumulative", dialect=dialect, most=99) == healthy(dialect)


def test_slow_first_token_keeps_alive() -> None:
    steps = mangled("slow-first-token")
    alive = b": keep-alive\n\n"
    assert steps[:6] == [alive, Wait(1.0), alive, Wait(1.0), alive, Wait(0.5)]
    assert kinds(steps[6:8]) == START
    assert list(keep_alives(0, b"\n")) == []
    assert list(keep_alives(1.5, b"")) == [Wait(1.0), Wait(0.5)]
    assert mangled("slow-first-token", dialect="anthropic")[0] == (
        b'event: ping\ndata: {"type": "ping"}\n\n'
    )
    assert mangled("slow-first-token", dialect="bedrock")[0] == Wait(1.0)


LONG = b"\x7f\xff\xff\xff\x00\x00\x00\x00"


@pytest.mark.parametrize(
    ("dialect", "opening"),
    [("chat", b'data: {"id":"'), ("bedrock", LONG + struct.pack(">I", zlib.crc32(LONG)))],
)
def test_endless(dialect: str, opening: bytes) -> None:
    steps = mangled("endless", dialect=dialect)
    assert isinstance(steps[0], Event)
    assert steps[1] == opening
    assert steps[2] == steps[11] == b"a" * 65536
    assert list(islice(endless(b"x"), 2)) == [b"x", b"a" * 65536]


@pytest.mark.parametrize("fault", [*FRAME_FAULTS, "garbage-lines", "bom", "no-last-blank"])
@pytest.mark.parametrize("dialect", STREAMED)
def test_odd_framing_loses_nothing(fault: str, dialect: str) -> None:
    here = scene(Rule(fault=fault), dialect)
    whole = healthy(dialect)
    made: Mangled = here.manner.events(here.reply)
    if fault in EVENT_FAULTS:
        made = EVENT_FAULTS[fault](here.manner.events(here.reply), here)
    data = b"".join(step for step in framed(made, here) if isinstance(step, bytes))
    plain = b"".join(here.frame(event) for event in whole)
    assert (data != plain) == (fault != "crlf" or "gemini" not in dialect)
    splitter = Splitter()
    found = [*splitter.feed(data), *splitter.end()]
    assert [json.loads(f.data) for f in found if f.data != b"[DONE]"] == [
        event.data for event in whole if event.data is not None
    ]
    assert [frame.name for frame in found] == [event.name or "message" for event in whole]


@pytest.mark.parametrize("fault", [*FRAME_FAULTS, "garbage-lines", "bom", "no-last-blank"])
def test_binary_frames_have_no_lines(fault: str) -> None:
    here = scene(Rule(fault=fault), "bedrock")
    made: Mangled = here.manner.events(here.reply)
    if fault in EVENT_FAULTS:
        made = EVENT_FAULTS[fault](here.manner.events(here.reply), here)
    data = b"".join(step for step in framed(made, here) if isinstance(step, bytes))
    assert data == b"".join(here.frame(event) for event in healthy("bedrock"))


def test_pace() -> None:
    flow = Answer(first_token_s=0.5, tokens_per_s=4)
    steps = list(paced(iter(healthy()), flow))
    assert kinds(steps) == [
        "opening", Wait(0.5), "token", *[Wait(0.25), "token"] * 3, "finish", "usage", "done"
    ]  # fmt: skip
    assert list(paced(iter(healthy()), Answer())) == healthy()
    assert list(paced(iter([b"raw", FOREVER]), flow)) == [b"raw", FOREVER]
