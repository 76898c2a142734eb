"""`python -m bench`: measures direct, nginx, Weir and other gateways in turn and prints tables.

One relay process on one core; the upstream and the callers share another. Everything is on
loopback, begun here, bounded in count and time, and stopped at the end. Exits with 1 where an
answer failed.
"""

import asyncio
import gc
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Coroutine
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec
import uvloop

from bench import aims, machine, report
from bench.loads import LOADS, Size
from bench.processes import NotRunning, upstream
from bench.targets import KINDS, USUAL, place, target
from bench.visits import Visit, visit

_RESULTS = Path(__file__).parent / "results"
_TWO = "weir-x2"
_SHORT = Size(0.5, 20, many=40, crowd=60, rest_s=0.5)

Names = Callable[[click.Context, click.Option, str | None], list[str] | None]


class Plan(NamedTuple):
    """What is measured, how often, and how."""

    names: list[str]
    loads: list[str]
    rounds: int
    size: Size
    peers: Path | None

    def loads_of(self, name: str) -> list[str]:
        """Two workers are only looked at for how much more they do."""
        return ["json"] if name == _TWO else self.loads


def _one_of(known: Collection[str]) -> Names:
    def chosen(_context: click.Context, _option: click.Option, text: str | None) -> Any:
        if text is None:
            return None
        names = list(dict.fromkeys(name.strip() for name in text.split(",")))
        if unknown := set(names) - set(known):
            raise click.BadParameter(f"{sorted(unknown)} is none of {', '.join(known)}")
        return names

    return chosen


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--rounds", type=click.IntRange(1, 100), default=4, help="Visits to each.")
@click.option("--seconds", type=click.FloatRange(0.5, 120), default=5.0, help="Of each load.")
@click.option("--streams", type=click.IntRange(1, 5000), default=100, help="At once.")
@click.option("--crowd", type=click.IntRange(1, 50_000), default=9000, help="Slow streams.")
@click.option("--only", callback=_one_of(KINDS), help=f"What is measured, of {', '.join(KINDS)}.")
@click.option("--loads", callback=_one_of(LOADS), help=f"And how, of {', '.join(LOADS)}.")
@click.option("--full", is_flag=True, help="All loads, those that take minutes too.")
@click.option("--peers", type=click.Path(path_type=Path), help="Where bench.peers put them.")
@click.option("--short", is_flag=True, help="Only see whether it works: under a minute.")
@click.option("--results", type=click.Path(path_type=Path), default=_RESULTS, help="For raw rows.")
def main(
    rounds: int,
    seconds: float,
    streams: int,
    crowd: int,
    only: list[str] | None,
    loads: list[str] | None,
    full: bool,
    peers: Path | None,
    short: bool,
    results: Path,
) -> None:
    """Print what a relay costs, next to nginx and to none."""
    usual = [name for name, load in LOADS.items() if load.usual or full]
    chosen = [name for name in LOADS if name in (loads or usual)]
    size = _SHORT if short else Size(seconds, streams, crowd=crowd)
    names = _measurable(only or [*USUAL, *([_TWO] if full else [])], peers)
    if not names:
        sys.exit(1)
    plan = Plan(names, chosen, 1 if short else rounds, size, peers)
    about, cores = machine.description(), machine.cores()
    began = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    machine.raise_files()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        visits = _or_exit(runner, _measure(plan, cores))
    click.echo(report.table(visits, size))
    click.echo(f"\n{plan.rounds} rounds of {size.seconds:g} s a load: median (least–most). {about}")  # noqa: RUF001
    if cores[0] == cores[1]:
        click.echo("There is one core only, for all processes: the numbers mean little.")
    if "weir" in names:
        click.echo(f"\n{aims.table(visits)}")
    results.mkdir(parents=True, exist_ok=True)
    file = results / f"{began}.json"
    raw = {"machine": about, "rounds": plan.rounds, "size": size, "visits": visits}
    file.write_bytes(msgspec.json.format(msgspec.json.encode(raw)))
    click.echo(f"raw rows: {os.path.relpath(file)}", err=True)
    for line in report.faults(visits):
        click.echo(line, err=True)
    sys.exit(1 if report.faults(visits) else 0)


def _measurable(names: list[str], peers: Path | None) -> list[str]:
    """Those that are installed; one line for each of the others."""
    left = []
    for name in names:
        lacking = KINDS[name].lacking(peers)
        if name == _TWO and machine.two_cores() is None:
            cores = len(os.sched_getaffinity(0))
            lacking = f"not measurable: {cores} cores, and it takes four"
        if lacking is None:
            left.append(name)
        else:
            click.echo(f"{name} is left out: {lacking}", err=True)
    return left


def _or_exit(runner: asyncio.Runner, work: Coroutine[Any, Any, list[Visit]]) -> list[Visit]:
    try:
        return runner.run(work)
    except (NotRunning, OSError) as error:
        click.echo(f"bench: {error}", err=True)
        sys.exit(1)
    except asyncio.CancelledError:
        sys.exit(128 + signal.SIGTERM)


async def _measure(plan: Plan, cores: tuple[int, int]) -> list[Visit]:
    """All rounds; who begins changes with the round, so that none always follows the same."""
    relay, other = cores
    two, names = machine.two_cores(), plan.names
    task = asyncio.current_task()
    assert task is not None
    # What was begun is stopped on SIGTERM as well as on Ctrl-C.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    os.sched_setaffinity(0, {other})
    gc.freeze()
    visits = []
    async with upstream(other) as port:
        for number in range(plan.rounds):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                click.echo(f"round {number + 1} of {plan.rounds}: {name} …", err=True)
                own = two if name == _TWO and two else {relay}
                with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
                    where = place(Path(folder), port, plan.peers)
                    async with target(name, where, own) as relayed:
                        loads = plan.loads_of(name)
                        visits.append(
                            await visit(number, name, relayed, size=plan.size, loads=loads)
                        )
    return sorted(visits, key=lambda one: (one.round, names.index(one.target)))


if __name__ == "__main__":
    main()
