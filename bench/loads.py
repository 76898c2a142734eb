"""What is put on a target: each load asks in its own way, and adds what it measured."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

import msgspec

from bench import machine
from bench.load import Client, Tally, ask_for, connect, judge, over
from bench.target import Asking, Target

EVENTS_PER_S = 50.0  # of one stream: about what a fast model says
FLOOD_PER_S = 200.0
BURST_EVENTS = 200
FIRST_EVENTS = 25  # half a second: streams begin and end all the time
CALLERS = 64
FIRSTS = 300
RAMP_S = 1.0  # streams begin spread over this, so that they do not all speak at once
CROWD_PER_S = 450  # streams that begin each second, where they are many
SETTLE_S = 5.0  # from the last one's beginning to the first look, where they are that many
MANY_PER_S = 10.0  # of each stream where memory is looked at
_MB = 1e6

Measures = dict[str, float]


class Size(msgspec.Struct, frozen=True):
    """How much: `seconds` for each load, `streams` at once; `many` and `crowd` are the streams of
    the loads `memory` and `crowd`, `rest_s` how long the former looks on afterwards.
    """

    seconds: float
    streams: int
    many: int = 500
    crowd: int = 9000
    rest_s: float = 60.0


class Load(NamedTuple):
    """One way to ask, whether it is for that target, and whether it is put on unasked: the others
    take minutes.
    """

    run: Callable[[Target, Size, Measures], Awaitable[Tally]]
    fits: Callable[[Target], bool] = lambda _: True
    usual: bool = True


def _own(target: Target) -> bool:
    return not target.peer


def _speaks_anthropic(target: Target) -> bool:
    return target.other is not None


async def _many(target: Target, size: Size, measures: Measures) -> Tally:
    """Memory under many streams, and some time after them."""
    asking = Asking(target, _enough(size, size.many, MANY_PER_S), MANY_PER_S)
    tally, _ = await _steadily(asking, size.many, size.seconds, measures, "many")
    await asyncio.sleep(size.rest_s)
    measures |= memory(target, "rested")
    return tally


async def _singly(target: Target, size: Size, measures: Measures) -> Tally:
    """One stream after the other, nothing else going on: the wait for the first content."""
    asking = Asking(target, 1)
    tally = await ask_for(asking, seconds=size.seconds, connections=1, answers_max=FIRSTS)
    _waits(measures, "first", tally.first_ns)
    return tally


async def _whole(target: Target, size: Size, measures: Measures) -> Tally:
    """Answers that are not streamed, as fast as they come."""
    before_s = _cpu_s(target)
    tally = await _flat_out(Asking(target), size)
    _per(measures, "json_cpu_us", _cpu_s(target) - before_s, tally.answers, target)
    measures["json_per_s"] = tally.answers / size.seconds
    _waits(measures, "json", tally.took_ns)
    return tally


async def _burst(target: Target, size: Size, measures: Measures) -> Tally:
    """Streams whose events all come in one write, as fast as they come."""
    before_s = _cpu_s(target)
    tally = await _flat_out(Asking(target, BURST_EVENTS), size)
    _per(measures, "burst_cpu_us", _cpu_s(target) - before_s, tally.answers, target)
    measures["burst_per_s"] = tally.answers / size.seconds
    return tally


async def _flat_out(asking: Asking, size: Size) -> Tally:
    most = int(size.seconds * 100_000)
    return await ask_for(asking, seconds=size.seconds, connections=CALLERS, answers_max=most)


async def _firsts(target: Target, size: Size, measures: Measures) -> Tally:
    """Many streams, each short and followed by another: the waits for a first byte among them."""
    asking = Asking(target, FIRST_EVENTS, EVENTS_PER_S)
    lasts_s = FIRST_EVENTS / EVENTS_PER_S
    tally = await ask_for(
        asking, seconds=size.seconds, connections=size.streams, answers_max=10**6, spread_s=lasts_s
    )
    _waits(measures, "byte", tally.begun_ns)
    _waits(measures, "busy_first", tally.first_ns)
    return tally


async def _at_rate(
    target: Target, size: Size, measures: Measures, *, name: str, per_s: float
) -> Tally:
    """Many streams at a steady rate."""
    asking = Asking(target, _enough(size, size.streams, per_s), per_s)
    return (await _steadily(asking, size.streams, size.seconds, measures, name))[0]


async def _translated(target: Target, size: Size, measures: Measures) -> Tally:
    """The same from a provider that speaks as Anthropic does."""
    events = _enough(size, size.streams, EVENTS_PER_S)
    asking = Asking(target, events, EVENTS_PER_S, target.other)
    return (await _steadily(asking, size.streams, size.seconds, measures, "claude"))[0]


async def _crowd(target: Target, size: Size, measures: Measures) -> Tally:
    """As many open streams as a process may have, each slow."""
    asking = Asking(target, _enough(size, size.crowd, 1.0), 1.0)
    tally, began = await _steadily(asking, size.crowd, size.seconds, measures, "crowd")
    measures["crowd_served"] = tally.answers / began
    return tally


async def _steadily(
    asking: Asking, streams: int, seconds: float, measures: Measures, name: str
) -> tuple[Tally, int]:
    """Streams that begin one after the other and then run together for `seconds`, in which events,
    their delays and CPU time are counted; how many began.
    """
    target, loop = asking.target, asyncio.get_running_loop()
    tally, clients = Tally(), list[Client]()
    began_s = loop.time()
    for number in range(streams):
        await asyncio.sleep(began_s + _ramp_s(streams) * number / streams - loop.time())
        one = partial(next, iter([judge(asking, tally)]), None)
        clients.append(await connect(asking, tally, one))
    await asyncio.sleep(_settle_s(streams))
    before_s, before, mark = _cpu_s(target), _arrived(clients, tally), len(tally.delays_ns)
    await asyncio.sleep(seconds)
    spent_s, arrived = _cpu_s(target) - before_s, _arrived(clients, tally) - before
    delays_ns = tally.delays_ns[mark:]
    measures |= memory(target, name)
    until_s = loop.time() - seconds - _settle_s(streams) + asking.events / asking.events_per_s
    await over(clients, until_s, peer=target.peer)
    _per(measures, f"{name}_cpu_us", spent_s, arrived, target)
    measures[f"{name}_per_s"] = arrived / seconds
    measures[f"{name}_share"] = arrived / (streams * asking.events_per_s * seconds)
    _waits(measures, name, delays_ns)
    return tally, streams


def _ramp_s(streams: int) -> float:
    return max(RAMP_S, streams / CROWD_PER_S)


def _settle_s(streams: int) -> float:
    return SETTLE_S if streams > CROWD_PER_S * SETTLE_S else 0.0


def _enough(size: Size, streams: int, per_s: float) -> int:
    """So many events that the first stream still runs when the last one was looked at."""
    return int((2 * _ramp_s(streams) + _settle_s(streams) + size.seconds) * per_s) + 1


LOADS: dict[str, Load] = {
    "memory": Load(_many, _own, usual=False),
    "single": Load(_singly),
    "json": Load(_whole),
    "burst": Load(_burst),
    "first": Load(_firsts),
    "events": Load(partial(_at_rate, name="event", per_s=EVENTS_PER_S)),
    "flood": Load(partial(_at_rate, name="flood", per_s=FLOOD_PER_S), _own),
    "claude": Load(_translated, _speaks_anthropic),
    "crowd": Load(_crowd, _own, usual=False),
}
"""In the order in which they are put on a target: what leaves traces comes later."""


def _arrived(clients: list[Client], tally: Tally) -> int:
    return sum(client.events for client in clients) + tally.events


def _cpu_s(target: Target) -> float:
    return 0.0 if target.pid is None else machine.cpu_s(target.pid)


def _per(measures: Measures, name: str, spent_s: float, count: int, target: Target) -> None:
    if target.pid is not None and count:
        measures[name] = spent_s / count * 1e6


def _waits(measures: Measures, name: str, waits_ns: list[int]) -> None:
    for percent in (50, 99):
        measures[f"{name}_p{percent}_us"] = percentile(waits_ns, percent) / 1e3


def memory(target: Target, when: str) -> Measures:
    """Resident memory and open files of a target, told as of `when`."""
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
