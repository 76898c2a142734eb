"""One visit to one target: warmed up, then every load in turn, then a rest; and what it showed."""

import asyncio
import os
import time
from collections import Counter
from functools import partial

import msgspec

from bench import machine
from bench.load import STUCK_S, Asking, Client, Tally, ask_for, connect, over
from bench.targets import Target

EVENTS_PER_S = 50.0  # of one stream: about what a fast model says
BURST_EVENTS = 200
CALLERS = 16
FIRSTS = 300
RAMP_S = 1.0  # streams begin spread over this, so that they do not all speak at once
REST_S = 2.0  # from the last answer to the last look at memory, at most
_MB = 1e6


class Load(msgspec.Struct, frozen=True):
    """How much: `seconds` for each load, `streams` at once."""

    seconds: float
    streams: int


class Visit(msgspec.Struct):
    """What one visit showed. `measures` are named with their units; those of a relay's own process
    are missing for a target without one. `faults` are answers that did not count, by what was wrong
    with them; every load ends at its first.
    """

    round: int
    target: str
    measures: dict[str, float]
    answers: int
    events: int
    faults: dict[str, int]


async def visit(number: int, name: str, target: Target, load: Load) -> Visit:
    """Puts every load on `target`, one after the other."""
    await _warm_up(target, load)
    began_s, others_s = time.monotonic(), _others_s()
    measures: dict[str, float] = _memory(target, "start")
    tallies = [
        await _singly(target, load, measures),
        await _whole(target, load, measures),
        await _burst(target, load, measures),
        await _streams(target, load, measures),
    ]
    await asyncio.sleep(min(REST_S, load.seconds))
    measures |= _memory(target, "after")
    measures["others_cores"] = (_others_s() - others_s) / (time.monotonic() - began_s)
    faults: Counter[str] = Counter()
    for tally in tallies:
        faults.update(tally.faults)
    return Visit(
        number,
        name,
        {key: round(value, 3) for key, value in measures.items()},
        answers=sum(tally.answers for tally in tallies),
        events=sum(tally.events for tally in tallies),
        faults=dict(faults),
    )


async def _warm_up(target: Target, load: Load) -> None:
    for events in (0, 10):
        asking = Asking(target.port, target.key, events)
        await ask_for(asking, seconds=load.seconds / 4, connections=2, answers_max=200)


async def _singly(target: Target, load: Load, measures: dict[str, float]) -> Tally:
    """One stream after the other, nothing else going on: the wait for the first content."""
    asking = Asking(target.port, target.key, 1)
    tally = await ask_for(asking, seconds=load.seconds, connections=1, answers_max=FIRSTS)
    measures["first_p50_us"] = percentile(tally.first_ns, 50) / 1e3
    measures["first_p99_us"] = percentile(tally.first_ns, 99) / 1e3
    return tally


async def _whole(target: Target, load: Load, measures: dict[str, float]) -> Tally:
    """Answers that are not streamed, as fast as they come."""
    asking = Asking(target.port, target.key)
    before_s = _cpu_s(target)
    tally = await _flat_out(asking, load)
    _per(measures, "json_cpu_us", _cpu_s(target) - before_s, tally.answers, target)
    measures["json_per_s"] = tally.answers / load.seconds
    measures["json_p50_us"] = percentile(tally.took_ns, 50) / 1e3
    measures["json_p99_us"] = percentile(tally.took_ns, 99) / 1e3
    return tally


async def _burst(target: Target, load: Load, measures: dict[str, float]) -> Tally:
    """Streams whose events all come in one write, as fast as they come."""
    asking = Asking(target.port, target.key, BURST_EVENTS)
    before_s = _cpu_s(target)
    tally = await _flat_out(asking, load)
    _per(measures, "burst_cpu_us", _cpu_s(target) - before_s, tally.answers, target)
    measures["burst_per_s"] = tally.answers / load.seconds
    return tally


async def _flat_out(asking: Asking, load: Load) -> Tally:
    return await ask_for(
        asking, seconds=load.seconds, connections=CALLERS, answers_max=int(load.seconds * 100_000)
    )


async def _streams(target: Target, load: Load, measures: dict[str, float]) -> Tally:
    """Many streams at a steady rate; CPU and events are counted while all of them run."""
    events = int((2 * RAMP_S + load.seconds) * EVENTS_PER_S)
    asking = Asking(target.port, target.key, events, EVENTS_PER_S)
    tally, clients = Tally(), list[Client]()
    for _ in range(load.streams):
        one = partial(next, iter([asking.answer(tally)]), None)
        clients.append(await connect(asking, tally, one))
        await asyncio.sleep(RAMP_S / load.streams)
    before_s, before = _cpu_s(target), _arrived(clients, tally)
    await asyncio.sleep(load.seconds)
    spent_s, arrived = _cpu_s(target) - before_s, _arrived(clients, tally) - before
    measures |= _memory(target, "streams")
    await over(clients, asyncio.get_running_loop().time() + 2 * RAMP_S + STUCK_S)
    _per(measures, "event_cpu_us", spent_s, arrived, target)
    measures["events_per_s"] = arrived / load.seconds
    measures["event_p50_us"] = percentile(tally.delays_ns, 50) / 1e3
    measures["event_p99_us"] = percentile(tally.delays_ns, 99) / 1e3
    return tally


def _arrived(clients: list[Client], tally: Tally) -> int:
    return sum(client.events for client in clients) + tally.events


def _others_s() -> float:
    """What the machine worked for programs that are not of the bench."""
    return machine.busy_s() - machine.cpu_s(os.getpid())


def _cpu_s(target: Target) -> float:
    return 0.0 if target.pid is None else machine.cpu_s(target.pid)


def _per(measures: dict[str, float], name: str, spent_s: float, count: int, target: Target) -> None:
    if target.pid is not None and count:
        measures[name] = spent_s / count * 1e6


def _memory(target: Target, when: str) -> dict[str, float]:
    if target.pid is None:
        return {}
    return {
        f"rss_{when}_mb": machine.rss_bytes(target.pid) / _MB,
        f"files_{when}": machine.open_files(target.pid),
    }


def percentile(values: list[int], percent: int) -> float:
    """The nearest-rank percentile; 0 of nothing."""
    ordered = sorted(values)
    return float(ordered[(len(ordered) * percent - 1) // 100]) if ordered else 0.0
