"""`python -m bench.instructions`: how many instructions a request and an event take.

A count, not a time: a busy machine does not change it. A gateway on stage (see `stage`) is started
under valgrind and warmed up; then it is forked for each kind of request, and each child serves a
few. What a child has counted beyond one that serves none belongs to its requests. The figures are
compared with those in `instructions.json`, which are of one version of Python and one machine
architecture each: 5 % more fails, and where there are none they are only printed.
"""

import asyncio
import gc
import json
import os
import platform
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, NamedTuple

import click

from bench.canned import MODEL, OTHER
from bench.processes import ROOT, clean_environ
from bench.stage import Stage, stage
from bench.wires import StillLoop
from proxy import logs

FIGURES: Final = Path(__file__).with_suffix(".json")
MARGIN: Final = 0.05
WARM: Final = 25  # requests of each kind before anything is counted: caches fill, Python adapts
REQUESTS: Final = 25  # of each kind: one group of rows
EVENTS: Final = 100
TIMEOUT_S: Final = 300.0
_REFS: Final = re.compile(r"I\s+refs: +([\d,]+)")


class Kind(NamedTuple):
    """What is asked."""

    name: str
    events: int
    model: str = MODEL


JSON: Final = Kind("request", 0)
ONE: Final = Kind("stream of one event", 1)
MANY: Final = Kind("stream", 1 + EVENTS)
ONE_OTHER: Final = Kind("translated stream of one event", 1, OTHER)
MANY_OTHER: Final = Kind("translated stream", 1 + EVENTS, OTHER)
KINDS: Final = (JSON, ONE, MANY, ONE_OTHER, MANY_OTHER)


# Under valgrind.


def drive() -> None:
    """Prints the process ids of the child that serves nothing, and of one for each kind."""
    with (
        tempfile.TemporaryDirectory(prefix="weir-bench-") as folder,
        asyncio.Runner(loop_factory=StillLoop) as runner,
    ):
        curtain = AsyncExitStack()
        stand = runner.run(curtain.enter_async_context(stage(Path(folder))))
        for kind in KINDS:
            runner.run(_serve(stand, kind, WARM))
        gc.collect()
        gc.freeze()
        print(*[_fork(runner, stand, kind) for kind in (None, *KINDS)], flush=True)
        runner.run(curtain.aclose())


def _fork(runner: asyncio.Runner, stand: Stage, kind: Kind | None) -> int:
    """A child that serves `kind` and ends; its process id, once it has."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            runner.run(_serve(stand, kind or KINDS[0], REQUESTS if kind else 0))
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit(f"{kind.name if kind else 'nothing'}: status {status}")
    return child


async def _serve(stand: Stage, kind: Kind, times: int) -> None:
    request = stand.request(kind.events, kind.model)
    for _ in range(times):
        await stand.ask(request)


# Beside it.


def count(valgrind: str) -> dict[str, int]:
    """Instructions by what they are for: a request, a stream of one event, a further event."""
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
        command = [valgrind, "--tool=cachegrind", "--cache-sim=no",
                   "--cachegrind-out-file=/dev/null", f"--log-file={folder}/%p",
                   sys.executable, "-m", "bench.instructions", "--drive"]  # fmt: skip
        environ = {**clean_environ(), "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        ended = subprocess.run(
            command,
            cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=TIMEOUT_S,
        )  # fmt: skip
        if ended.returncode != 0:
            raise click.ClickException(f"under valgrind: {ended.stderr[-2000:]}")
        pids = ended.stdout.split()[-1 - len(KINDS) :]
        nothing, *totals = [_refs((Path(folder) / pid).read_text()) for pid in pids]
    each = {kind: (total - nothing) / REQUESTS for kind, total in zip(KINDS, totals, strict=True)}
    figures = {
        "request": each[JSON],
        "stream": each[ONE],
        "event": (each[MANY] - each[ONE]) / EVENTS,
        "translated stream": each[ONE_OTHER],
        "translated event": (each[MANY_OTHER] - each[ONE_OTHER]) / EVENTS,
    }
    return {name: round(figure) for name, figure in figures.items()}


def _refs(said: str) -> int:
    found = _REFS.search(said)
    if found is None:
        raise click.ClickException(f"valgrind said nothing of instructions: {said[-500:]}")
    return int(found[1].replace(",", ""))


def key() -> str:
    """For whom a figure holds."""
    return f"{platform.python_version()} {platform.machine()}"


def worse(figures: dict[str, int], known: dict[str, int]) -> list[str]:
    """One line for each figure that is above what is known of it by more than the margin."""
    return [
        f"{name}: {figures[name]:,} instructions, {figures[name] / known[name] - 1:+.1%}"
        for name in known
        if name in figures and figures[name] > known[name] * (1 + MARGIN)
    ]


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--write", is_flag=True, help=f"Keep the figures in {FIGURES.name}.")
@click.option("--drive", "driven", is_flag=True, hidden=True)
def main(write: bool, driven: bool) -> None:
    """Count instructions per request and per event, and compare them with what is known."""
    if driven:
        logs.setup("INFO")  # a line for each request is part of its cost
        gc.disable()
        random.seed(1)
        drive()
        return
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        click.echo("not counted: valgrind is not installed (Debian: valgrind)", err=True)
        return
    began_s = time.monotonic()
    figures = count(valgrind)
    kept: dict[str, dict[str, int]] = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    known = kept.get(key(), {})
    for name, figure in figures.items():
        before = f", {figure / known[name] - 1:+.1%}" if name in known else ""
        click.echo(f"{name}: {figure:,} instructions{before}")
    click.echo(f"{key()}, {time.monotonic() - began_s:.0f} s", err=True)
    if write:
        kept[key()] = figures
        FIGURES.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n")
    elif not known:
        click.echo("not compared: this Python and machine have no figures yet", err=True)
    elif found := worse(figures, known):
        click.echo(f"more than {MARGIN:.0%} above {FIGURES.name}:\n" + "\n".join(found), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
