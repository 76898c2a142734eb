"""`python -m bench`: measures direct, nginx and Weir in turn and prints a table.

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
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click
import msgspec
import uvloop

from bench import machine, report
from bench.targets import NAMES, NotRunning, missing, target, upstream
from bench.visits import Load, Visit, visit

_RESULTS = Path(__file__).parent / "results"


def _names(_context: click.Context, _option: click.Parameter, text: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    if unknown := set(names) - set(NAMES):
        raise click.BadParameter(f"{sorted(unknown)} is none of {', '.join(NAMES)}")
    return names


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--rounds", type=click.IntRange(1, 100), default=4, help="Visits to each.")
@click.option("--seconds", type=click.FloatRange(0.5, 120), default=5.0, help="Of each load.")
@click.option("--streams", type=click.IntRange(1, 5000), default=100, help="At once.")
@click.option("--only", callback=_names, default=",".join(NAMES), help="What is measured.")
@click.option("--short", is_flag=True, help="Only see whether it works: under a minute.")
@click.option("--results", type=click.Path(path_type=Path), default=_RESULTS, help="For raw rows.")
def main(
    rounds: int, seconds: float, streams: int, only: list[str], short: bool, results: Path
) -> None:
    """Print what a relay costs, next to nginx and to none."""
    if short:
        rounds, seconds, streams = 1, 0.5, 20
    for name in [name for name in only if missing(name)]:
        click.echo(f"{name} is left out: it is not installed (Debian: nginx-light)", err=True)
        only.remove(name)
    if not only:
        sys.exit(1)
    load = Load(seconds, streams)
    cores = machine.cores()
    about = machine.description()
    began = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        visits = _or_exit(runner, _measure(only, rounds, load, cores))
    click.echo(report.table(visits, load))
    click.echo(f"\n{rounds} rounds of {seconds:g} s a load: median (least–most). {about}")  # noqa: RUF001
    if cores[0] == cores[1]:
        click.echo("There is one core only, for all processes: the numbers mean little.")
    results.mkdir(parents=True, exist_ok=True)
    file = results / f"{began}.json"
    raw = {"machine": about, "rounds": rounds, "load": load, "visits": visits}
    file.write_bytes(msgspec.json.format(msgspec.json.encode(raw)))
    click.echo(f"raw rows: {os.path.relpath(file)}", err=True)
    for line in report.faults(visits):
        click.echo(line, err=True)
    sys.exit(1 if report.faults(visits) else 0)


def _or_exit(runner: asyncio.Runner, work: Coroutine[Any, Any, list[Visit]]) -> list[Visit]:
    try:
        return runner.run(work)
    except (NotRunning, OSError) as error:
        click.echo(f"bench: {error}", err=True)
        sys.exit(1)
    except asyncio.CancelledError:
        sys.exit(128 + signal.SIGTERM)


async def _measure(
    names: list[str], rounds: int, load: Load, cores: tuple[int, int]
) -> list[Visit]:
    """All rounds; who begins changes with the round, so that none always follows the same."""
    relay, other = cores
    task = asyncio.current_task()
    assert task is not None
    # What was begun is stopped on SIGTERM as well as on Ctrl-C.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    os.sched_setaffinity(0, {other})
    gc.freeze()
    visits = []
    async with upstream(other) as port:
        for number in range(rounds):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                click.echo(f"round {number + 1} of {rounds}: {name} …", err=True)
                with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
                    async with target(name, port, Path(folder), relay) as relayed:
                        visits.append(await visit(number, name, relayed, load))
    return sorted(visits, key=lambda one: (one.round, names.index(one.target)))


if __name__ == "__main__":
    main()
