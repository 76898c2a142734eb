"""`python -m bench.profile`: where the time of a request and of an event goes, as text.

Weir complete is begun as for the bench, with a sampler in its process (see `sampler`), and given
JSON requests, then events, then events of a provider that speaks as Anthropic does. What it was
seen at is told by package and by function; C code counts for the Python function that called it,
and bytes on sockets for the loop. The writer's thread is told apart, by its CPU time.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Final

import click
import uvloop

from bench import machine
from bench.loads import LOADS, Size
from bench.processes import ROOT, running, upstream
from bench.relays import WEIR, weir
from bench.sampler import NEXT
from bench.target import Target
from bench.targets import place

OUT: Final = Path(__file__).with_suffix(".txt")
ROWS: Final = 40
SECTIONS: Final = {
    "json": "JSON requests, 64 callers, as fast as they come",
    "events": "events, 100 streams × 50/s",  # noqa: RUF001 - for people
    "claude": "events, 100 streams × 50/s, Anthropic to chat",  # noqa: RUF001
}


async def sampled(size: Size, cores: tuple[int, int], folder: Path) -> list[str]:
    """All sections, as text."""
    relay, other = cores
    os.sched_setaffinity(0, {other})
    file = folder / "samples.json"
    async with upstream(other) as port:
        where = place(folder, port, None)
        way = await weir(WEIR)(where)
        command = [sys.executable, "-m", "bench.sampler", str(file), *way.command[3:]]
        async with running(
            command, folder=folder, cores={relay}, environ=way.environ, port=lambda: where.port
        ) as process:
            target = way.target._replace(pid=process.pid)
            await LOADS["json"].run(target, Size(1.0, size.streams), {})
            heads = [await _section(name, target, process.pid, size) for name in SECTIONS]
            process.send_signal(NEXT)
    found = json.loads(file.read_text())[1 : 1 + len(SECTIONS)]
    return [f"{head}\n\n{told(section)}" for head, section in zip(heads, found, strict=True)]


async def _section(name: str, target: Target, pid: int, size: Size) -> str:
    os.kill(pid, NEXT)
    before = machine.threads_s(pid)
    tally = await LOADS[name].run(target, size, {})
    spent = {thread: s - before[thread] for thread, s in machine.threads_s(pid).items()}
    writer = spent["others"] / (sum(spent.values()) or 1.0)
    if tally.faults:
        raise click.ClickException(f"{name}: {dict(tally.faults)}")
    count = f"{tally.answers:,} answers, {tally.events:,} events"
    return f"{SECTIONS[name]}\n{count}; {writer:.0%} of the CPU time is the writer's thread"


def told(section: dict[str, Any]) -> str:
    """One section's looks by package, by function alone, and with all that functions call."""
    own = {(_place(file), name): count for file, name, count in section["own"]}
    within = {(_place(file), name): count for file, name, count in section["within"]}
    looks = sum(own.values()) or 1
    packages: Counter[str] = Counter()
    for (file, _), count in own.items():
        packages[_package(file)] += count
    parts = [
        ("by package", [(package, count) for package, count in packages.most_common()]),
        ("by function, alone", [(f"{file} {name}", n) for (file, name), n in _most(own)]),
        ("with what they call", [(f"{file} {name}", n) for (file, name), n in _most(within)]),
    ]
    lines = [f"{looks} looks"]
    for title, rows in parts:
        lines += ["", title, *(f"{count / looks:7.1%}  {what}" for what, count in rows[:ROWS])]
    return "\n".join(lines)


def _most(counts: dict[tuple[str, str], int]) -> list[tuple[tuple[str, str], int]]:
    return Counter(counts).most_common(ROWS)


def _place(file: str) -> str:
    """A file without what is only true of this machine."""
    if file.startswith(str(ROOT)):
        return str(Path(file).relative_to(ROOT))
    if file.endswith("asyncio/runners.py"):
        return "(the loop)"
    for mark in ("site-packages/", f"python{sys.version_info[0]}.{sys.version_info[1]}/"):
        if mark in file:
            return file.rpartition(mark)[2]
    return Path(file).name


def _package(file: str) -> str:
    """The room of Weir, or the library."""
    parts = file.split("/")
    return "/".join(parts[:2]) if parts[0] == "proxy" else parts[0]


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--seconds", type=click.FloatRange(0.2, 120), default=10.0, help="Of each section.")
@click.option("--streams", type=click.IntRange(1, 5000), default=100, help="At once.")
@click.option("--out", type=click.Path(path_type=Path), default=OUT, help="Where it is written.")
def main(seconds: float, streams: int, out: Path) -> None:
    """Write where the time of requests and events goes."""
    about = machine.description()
    with (
        tempfile.TemporaryDirectory(prefix="weir-bench-") as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        cores = machine.cores()
        sections = runner.run(sampled(Size(seconds, streams), cores, Path(folder)))
    text = f"\n\n{'=' * 72}\n".join([f"Weir complete, on {about}", *sections])
    out.write_text(text + "\n", encoding="utf-8")
    click.echo(f"written: {os.path.relpath(out)}")


if __name__ == "__main__":
    main()
