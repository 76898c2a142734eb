"""Running things for tests: providers and gateways on loopback ports of this process, or as one.

Everything here is real: sockets, the store on disk, the configuration as text. What is started is
stopped again, and a test that leaves something open fails.
"""

import asyncio
import contextlib
import functools
import itertools
import os
import random
import re
import secrets
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import hypercorn.asyncio
import hypercorn.config
import uvicorn
from starlette.types import ASGIApp

from proxy import gateway, hosting
from proxy.accounts.keys import mint
from proxy.app import refuse
from proxy.gateway import Gateway
from proxy.money import NANO_PER_USD
from proxy.serving.listener import listen
from proxy.stores.sql import SqlStore
from proxy.upstream.fake import Fake, Scenario, fake, load_scenario

FREE_PORTS = range(16_000, 32_000)
"""The system gives them to nobody by itself, neither to who listens nor to who connects."""

FIRST_LISTS_S = 20.0

SERVERS = ("weir", "weir with hypercorn", "hypercorn", "uvicorn")
"""Weir's own start, with its own HTTP/1.1 and with Hypercorn's, and the two others as they are."""


class Running(NamedTuple):
    """A gateway that serves. `base_url` ends with `/api/v1`; `gateway` is in this process."""

    url: str
    key: str
    gateway: Gateway

    @property
    def base_url(self) -> str:
        return f"{self.url}/api/v1"


@functools.cache
def _ports() -> Iterator[int]:
    """Those of this process, which shares them with nobody else of its test run, in an order that
    is its own: between here and there nobody takes one that was given out.
    """
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    mine = list(FREE_PORTS[number::count])
    random.SystemRandom().shuffle(mine)
    return itertools.cycle(mine)


def free_port() -> int:
    """A port nobody listens on, whatever other tests do at the same time."""
    while True:
        port = next(_ports())
        with contextlib.suppress(OSError), socket.socket() as sock:
            sock.bind(("127.0.0.1", port))
            return port


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, server: str = "weir", bind: str = "") -> AsyncIterator[str]:
    """`app` on a port of loopback, by one of `SERVERS`; gives its URL, or `unix:/path`."""
    runs: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
        "weir": _by_weir,
        "weir with hypercorn": functools.partial(_by_weir, http1="hypercorn"),
        "hypercorn": _by_hypercorn,
        "uvicorn": _by_uvicorn,
    }
    stop = asyncio.Event()
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(runs[server](app, bind or f"127.0.0.1:{free_port()}", stop, ready))
    try:
        await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)  # type: ignore[type-var]
        if task.done():
            task.result()
        yield await ready
    finally:
        stop.set()
        await task


async def _by_weir(
    app: ASGIApp,
    bind: str,
    stop: asyncio.Event,
    ready: asyncio.Future[str],
    http1: str = "weir",
) -> None:
    async def stopping() -> None:
        await stop.wait()

    await listen(
        app,
        bind=[bind],
        stopping=stopping,
        on_listening=lambda urls: ready.set_result(urls[0]),
        refuse=refuse,
        http1=http1,
    )


async def _by_hypercorn(
    app: Any, bind: str, stop: asyncio.Event, ready: asyncio.Future[str]
) -> None:
    config = hypercorn.config.Config()
    config.bind = [bind]
    config.errorlog = None
    config.graceful_timeout = 1.0

    async def stopping() -> None:
        ready.set_result(f"http://{bind}")
        await stop.wait()

    await hypercorn.asyncio.serve(app, config, shutdown_trigger=stopping)


async def _by_uvicorn(
    app: ASGIApp, bind: str, stop: asyncio.Event, ready: asyncio.Future[str]
) -> None:
    host, _, port = bind.rpartition(":")
    config = uvicorn.Config(
        app, host=host, port=int(port), log_level="critical", lifespan="on", ws="none",
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    # Its handlers would take the signals of the test run.
    server.capture_signals = contextlib.nullcontext  # type: ignore[assignment, method-assign]
    task = asyncio.create_task(server.serve())
    await eventually(lambda: server.started or task.done(), within_s=10)
    if task.done():
        task.result()
    ready.set_result(f"http://{bind}")
    await stop.wait()
    server.should_exit = True
    await task


@contextlib.asynccontextmanager
async def provider(
    scenario: Scenario | str | None = None, server: str = "weir"
) -> AsyncIterator[tuple[Fake, str]]:
    """A simulated provider, and its base URL (with `/v1`)."""
    script = load_scenario(scenario) if isinstance(scenario, str) else scenario
    app = fake(script)
    async with serving(app, server) as url:
        yield app, f"{url}/v1"


def config_text(
    folder: Path, *providers: str, more: str = "", server: str = "", enforce: bool = True
) -> str:
    """A configuration with one provider `p0`, `p1`, … for each base URL, in that order. Without
    `enforce` models may also be had that have no price.
    """
    rows = "".join(
        f'[[providers]]\nslug = "p{number}"\nname = "P{number}"\nbase_url = "{url}"\n'
        f'api_key = "provider-key-{number}"\nauthor = "test"\n\n'
        for number, url in enumerate(providers)
    )
    said = f'[store]\nurl = "sqlite:///{folder}/weir.db"\n[server]\n{server}\n'
    said += "" if enforce else "[credits]\nenforce = false\n"
    return f"{said}{more}\n{rows}"


PRICING = '{ prompt = "0.000001", completion = "0.000002" }'
DEARER = '{ prompt = "0.1", completion = "0.2" }'
TIMES_DEARER = 100_000
"""So much that an endpoint of `PRICING` is asked first, but for once in 10**10 times."""


def model_text(id: str, *endpoints: tuple[str, str], pricing: str = "", waits: str = "") -> str:
    """A configured model with an endpoint for each (provider slug, the provider's name for it).
    All have `pricing`; without it the first is cheap, and asked first, the others are dear. `waits`
    are the timeouts of the first.
    """
    rows = "".join(
        f'[[models.endpoints]]\nprovider = "{slug}"\nmodel = "{model}"\n'
        f"pricing = {pricing or (DEARER if number else PRICING)}\n"
        f"timeouts = {{ {'' if number else waits} }}\n"
        for number, (slug, model) in enumerate(endpoints)
    )
    return f'[[models]]\nid = "{id}"\ncontext_length = 32768\n{rows}\n'


def mint_key(store_path: Path, name: str = "test", *, usd: int = 10_000_000, **more: Any) -> str:
    """A key in the store at that path, as `weir keys create` makes it, and credit to spend."""
    secret, key = mint(name, token_hex=secrets.token_hex, now=time.time(), **more)
    store = SqlStore.open(f"sqlite:///{store_path}")
    try:
        store.add_key(key)
        if usd:
            amount_nano = usd * NANO_PER_USD
            store.ledger.grant(key.account, amount_nano, id=secrets.token_hex(8), at=time.time())
    finally:
        store.close()
    return secret


@functools.cache
def _first_key() -> tuple[str, bytes]:
    """A key, and the file of a store that has it: to copy it is quicker than to make one anew."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weir.db"
        return mint_key(path), path.read_bytes()


@contextlib.asynccontextmanager
async def weir(
    folder: Path, text: str, server: str = "weir", bind: str = ""
) -> AsyncIterator[Running]:
    """A gateway in this process, of the configuration `text` whose store is `folder/weir.db`."""
    file = folder / "config.toml"
    file.write_text(text)
    store = folder / "weir.db"
    if store.exists():
        secret = mint_key(store, secrets.token_hex(4))
    else:
        secret, made = _first_key()
        store.write_bytes(made)
    hosted = hosting.Hosted(hosting.load(file, {}), lambda: hosting.load(file, {}))
    async with contextlib.AsyncExitStack() as stack:
        # A busy machine may need longer for the first lists of models than a start waits for them.
        with mock.patch.object(gateway, "FIRST_LISTS_S", FIRST_LISTS_S):
            url = await stack.enter_async_context(serving(hosted, server, bind))
        assert hosted.gateway is not None
        yield Running(url, secret, hosted.gateway)


class Process(NamedTuple):
    """A `weir` command as a process of its own; `lines` is its log on standard error so far."""

    process: asyncio.subprocess.Process
    url: str
    lines: list[str]

    @property
    def traces(self) -> str:
        """What it wrote from the first traceback on; nothing where there is none."""
        first = next((n for n, line in enumerate(self.lines) if "Traceback" in line), None)
        return "" if first is None else "".join(self.lines[first:])

    @property
    def rss_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


@contextlib.asynccontextmanager
async def process(*arguments: str, cwd: Path, **environ: str) -> AsyncIterator[Process]:
    """`python -m proxy` with these arguments, once it listens; it is killed if it does not end."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "proxy", *arguments,
        cwd=cwd, env=kept | environ, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    lines: list[str] = []
    listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    reading = asyncio.create_task(_read(started, lines, listening))
    try:
        async with asyncio.timeout(30):
            url = await listening
        yield Process(started, url, lines)
    finally:
        if started.returncode is None:
            started.send_signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(started.wait(), 10)
        if started.returncode is None:
            started.kill()
        await started.wait()
        await reading


async def _read(
    started: asyncio.subprocess.Process, lines: list[str], listening: asyncio.Future[str]
) -> None:
    assert started.stderr is not None
    async for raw in started.stderr:
        line = raw.decode()
        lines.append(line)
        if (found := re.search(r"listens on (\S+)", line)) and not listening.done():
            listening.set_result(found[1])
    if not listening.done():
        listening.set_exception(RuntimeError("it did not start: " + "".join(lines)))


async def eventually(
    condition: Callable[[], Any] | Callable[[], Awaitable[Any]], within_s: float = 20.0
) -> None:
    """Returns as soon as `condition` holds; fails when it did not in that time, which is more than
    a busy machine needs for anything.
    """
    deadline = time.monotonic() + within_s
    while True:  # a condition of another process or library has no event to wait for
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return
        assert time.monotonic() < deadline, "it did not come to pass in time"
        await asyncio.sleep(0.01)
