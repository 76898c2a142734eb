"""One visit to one target: warmed up, then every load in turn; and what it showed."""

import os
import time
from collections import Counter
from collections.abc import Sequence

import msgspec

from bench import machine
from bench.load import ask_for
from bench.loads import LOADS, Size, memory
from bench.target import Asking, Target


class Visit(msgspec.Struct):
    """What one visit showed. `measures` are named with their units; those of a relay's own process
    are missing for a target without one. `faults` are answers that did not count, by what was wrong
    with them; every load ends at its first. `unfinished` ones were only too slow.
    """

    round: int
    target: str
    measures: dict[str, float]
    answers: int
    events: int
    faults: dict[str, int]
    unfinished: int = 0


async def visit(
    number: int, name: str, target: Target, *, size: Size, loads: Sequence[str]
) -> Visit:
    """Puts on `target` each of `loads` that is for it, one after the other."""
    measures: dict[str, float] = memory(target, "start")
    await _warm_up(target, size)
    began_s, others_s = time.monotonic(), _others_s()
    faults: Counter[str] = Counter()
    answers = events = unfinished = 0
    for load in loads:
        if not LOADS[load].fits(target):
            continue
        tally = await LOADS[load].run(target, size, measures)
        answers, events = answers + tally.answers, events + tally.events
        unfinished += tally.unfinished
        faults.update({f"{load}: {fault}": count for fault, count in tally.faults.items()})
    measures |= memory(target, "after")
    measures["others_cores"] = (_others_s() - others_s) / (time.monotonic() - began_s)
    rounded = {key: round(value, 3) for key, value in measures.items()}
    return Visit(number, name, rounded, answers, events, dict(faults), unfinished)


async def _warm_up(target: Target, size: Size) -> None:
    for events in (0, 10):
        asking = Asking(target, events)
        await ask_for(asking, seconds=size.seconds / 4, connections=2, answers_max=200)


def _others_s() -> float:
    """What the machine worked for programs that are not of the bench."""
    return machine.busy_s() - machine.cpu_s(os.getpid())
