"""Processes of the bench: begun on given cores, waited for, and stopped whatever happens."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from bench.machine import pinned

ROOT = Path(__file__).parent.parent
START_S = 60.0  # LiteLLM takes ten
STOP_S = 15.0


class NotRunning(Exception):
    """A process did not start or did not stay; its text says what it wrote."""


@contextlib.asynccontextmanager
async def upstream(core: int) -> AsyncIterator[int]:
    """The upstream on that core; gives its port."""
    with pinned({core}):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.upstream", cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
    assert process.stdout is not None
    async with stopping(process):
        line = await asyncio.wait_for(process.stdout.readline(), START_S)
        if not line.strip():
            raise NotRunning("the upstream did not start")
        yield int(line)


@contextlib.asynccontextmanager
async def running(
    command: Sequence[str],
    *,
    folder: Path,
    cores: set[int],
    environ: Mapping[str, str],
    port: Callable[[], int],
) -> AsyncIterator[asyncio.subprocess.Process]:
    """That command, once something listens on its `port`; stopped at the end. What it says goes
    into a file of `folder`. Raises NotRunning, also where it did not stay to the end.
    """
    said = folder / "said"
    with said.open("wb") as file:
        with pinned(cores):
            process = await asyncio.create_subprocess_exec(
                *command, cwd=ROOT, env={**clean_environ(), **environ}, stdout=file, stderr=file
            )
        async with stopping(process):
            await _listening(process, port, said)
            yield process
            if process.returncode is not None:
                raise NotRunning(f"{command[0]} ended by itself: {_tail(said)}")


@contextlib.asynccontextmanager
async def stopping(process: asyncio.subprocess.Process) -> AsyncIterator[None]:
    """Ends the process at the end, by force if it does not go."""
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), STOP_S)
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _listening(
    process: asyncio.subprocess.Process, port: Callable[[], int], said: Path
) -> None:
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + START_S
    while loop.time() < deadline_s and process.returncode is None:
        with contextlib.suppress(OSError, ValueError):
            _, writer = await asyncio.open_connection("127.0.0.1", port())
            writer.close()
            return
        await asyncio.sleep(0.02)  # another program's start has no event to wait for
    raise NotRunning(f"it did not start: {_tail(said)}")


def _tail(said: Path) -> str:
    return said.read_text(errors="replace")[-2000:]


def clean_environ() -> dict[str, str]:
    """This environment without what would change a configuration."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.endswith("_API_KEY") and not name.startswith("WEIR_")
    }


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
