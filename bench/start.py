"""`python -m bench.start`: how soon a gateway is ready, and what it holds then.

A gateway is started as its user starts it, with one model, with a thousand in its configuration,
and with a thousand that a provider lists; each on a new store, and again on the store it left.
Everything is on loopback, begun here, and stopped at the end.
"""

import asyncio
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

import click
import msgspec

from bench import machine
from bench.processes import ROOT, clean_environ, free_port, stopping

MANY = 1000
POLL_S = 0.004
READY_S = 30.0
_IMPORTS = {
    "import proxy.cli": "the command line",
    "import proxy.gateway, proxy.hosting": "the gateway",
}
_HEAD = """
[server]
bind = ["127.0.0.1:{port}"]

[store]
url = "sqlite:///{folder}/weir.db"

[[providers]]
slug = "{slug}"
base_url = "http://127.0.0.1:{upstream}/v1"
api_key = "not-a-secret"
"""
_MODEL = """
[[models]]
id = "bench/model-{number}"
context_length = 32768

  [[models.endpoints]]
  provider = "{slug}"
  model = "model-{number}"
  pricing = {{ prompt = "0.{number:09}1", completion = "0.{number:09}2" }}
"""


class Start(NamedTuple):
    """One start of a gateway: seconds from its beginning to its first 200 of `/ready`, the CPU time
    that it took of them, and its resident memory then and some time later, in bytes.
    """

    ready_s: float
    cpu_s: float
    ready_bytes: int
    later_bytes: int


class Case(NamedTuple):
    """What a gateway starts with: so many models in its configuration, or in a provider's list."""

    name: str
    configured: int
    listed: int


CASES = (
    Case("1 model", 1, 0),
    Case(f"{MANY:,} configured", MANY, 0),
    Case(f"{MANY:,} listed", 0, MANY),
)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--rounds", type=click.IntRange(1, 100), default=3, help="Starts of each kind.")
@click.option("--seconds", type=click.FloatRange(0, 600), default=60.0, help="Until it is late.")
@click.option("--short", is_flag=True, help="Only see whether it works: ten seconds.")
def main(rounds: int, seconds: float, short: bool) -> None:
    """Print how long imports and starts take, and the memory of a gateway that started."""
    if short:
        rounds, seconds = 1, 0.0
    for code, what in _IMPORTS.items():
        click.echo(f"import of {what}: {1000 * median(_timed(code) for _ in range(rounds)):.0f} ms")
    click.echo(f"| | ready, ms | CPU, ms | RSS then, MB | RSS after {seconds:g} s, MB |")
    click.echo("| --- | ---: | ---: | ---: | ---: |")
    for name, starts in asyncio.run(_measure(rounds, seconds)):
        ready, cpu, then, later = (median(one) for one in zip(*starts, strict=True))
        times = f"{1000 * ready:.0f} | {1000 * cpu:.0f}"
        click.echo(f"| {name} | {times} | {then / 1e6:.1f} | {later / 1e6:.1f} |")
    click.echo(machine.description())


def _timed(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=clean_environ())
    return time.perf_counter() - began


async def _measure(rounds: int, seconds: float) -> list[tuple[str, list[Start]]]:
    rows = []
    async with _lister() as upstream:
        for case in CASES:
            new, again = [], []
            for number in range(rounds):
                # Only one waits to the end: what it holds differs by little.
                wait_s = seconds if number == 0 else 0.0
                with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
                    new.append(await _start(case, Path(folder), upstream, wait_s))
                    again.append(await _start(case, Path(folder), upstream, wait_s))
            rows += [(f"{case.name}, new store", new), (f"{case.name}, former store", again)]
    return rows


async def _start(case: Case, folder: Path, upstream: int, wait_s: float) -> Start:
    port = free_port()
    # The price table knows what OpenAI sells, and its list has nothing but names.
    slug = "openai" if case.listed else "canned"
    text = _HEAD.format(
        port=port, upstream=upstream if case.listed else 9, folder=folder, slug=slug
    )
    text += "".join(_MODEL.format(slug=slug, number=one) for one in range(case.configured))
    file = folder / "weir.toml"
    file.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "proxy", "serve", "--config", str(file)]
    began = time.perf_counter()
    with (folder / "errors").open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, env=clean_environ(), stdout=errors, stderr=errors
        )
    async with stopping(process):
        while not await _ready(port):
            if process.returncode is not None or time.perf_counter() - began > READY_S:
                raise click.ClickException((folder / "errors").read_text(errors="replace"))
            await asyncio.sleep(POLL_S)  # another program's start has no event to wait for
        ready_s, cpu_s = time.perf_counter() - began, machine.cpu_s(process.pid)
        ready_bytes = machine.rss_bytes(process.pid)
        await asyncio.sleep(wait_s)
        return Start(ready_s, cpu_s, ready_bytes, machine.rss_bytes(process.pid))


async def _ready(port: int) -> bool:
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"GET /ready HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            return (await reader.readline()).startswith(b"HTTP/1.1 200")
        finally:
            writer.close()
    return False


@contextlib.asynccontextmanager
async def _lister() -> AsyncIterator[int]:
    """A provider that has a list of models, and nothing else; gives its port."""
    names = [f"gpt-4o-{number:04}" for number in range(MANY)]
    rows = [{"id": name, "object": "model", "created": 1, "owned_by": "bench"} for name in names]
    body = msgspec.json.encode({"object": "list", "data": rows})
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    answer = head % len(body) + body

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


if __name__ == "__main__":
    main()
