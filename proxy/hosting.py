"""Running a gateway: under any ASGI server, or by Weir's own start with its signals.

SIGTERM and SIGINT drain (a second one hurries), SIGHUP and a change of the file reload.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
import ssl
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from starlette.types import Receive, Scope, Send

from proxy.app import refuse
from proxy.config import Config, decode
from proxy.gateway import Gateway, Reread
from proxy.serving.channel import Channel
from proxy.serving.doors import Doors
from proxy.serving.listener import listen
from proxy.settings import ConfigError, Tls

log = logging.getLogger(__name__)

WATCH_S = 1.0
GC_ALLOCATIONS = 10_000
"""So many containers more than before make Python look for cycles; its own 700 are few streams."""


def locate(path: str | None, environ: Mapping[str, str]) -> Path | None:
    """The configuration file: the one named, else `$WEIR_CONFIG`, else `./config.toml` if there is
    one; None for the built-in defaults.
    """
    named = path or environ.get("WEIR_CONFIG")
    if named:
        return Path(named)
    usual = Path("config.toml")
    return usual if usual.is_file() else None


def load(
    path: Path | None,
    environ: Mapping[str, str],
    *,
    bind: tuple[str, ...] = (),
    workers: int | None = None,
) -> Config:
    """The configuration in that file; raises ConfigError, also for a file that can not be read."""
    return parse(read(path), environ, bind=bind, workers=workers)


def read(path: Path | None) -> str:
    """The text of that file, none for no file; raises ConfigError."""
    try:  # some editors begin UTF-8 with a mark, which TOML knows nothing of
        return path.read_text(encoding="utf-8-sig") if path else ""
    except OSError as error:
        raise ConfigError("$", f"can not read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError("$", f"{path} is not UTF-8") from None


def parse(
    text: str, environ: Mapping[str, str], *, bind: tuple[str, ...], workers: int | None
) -> Config:
    """The configuration that `text` describes, with the files that it names; raises ConfigError."""

    def read_file(name: str) -> str:
        return Path(name).read_text(encoding="utf-8")

    config = decode(text, environ=environ, read_file=read_file, bind=bind, workers=workers)
    if config.server.tls:
        _check_pair(config.server.tls)
    return config


def _check_pair(tls: Tls) -> None:
    """Refuse what no server could use, before anything is started with it."""

    def no_password() -> str:
        raise ConfigError("$.server.tls.key", "is encrypted, and Weir has no password for it")

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            tls.certificate, tls.key, password=no_password
        )
    except ssl.SSLError as error:
        reason = "certificate and key do not belong together"
        if error.reason != "KEY_VALUES_MISMATCH":
            what = error.reason or "one is broken, or given as the other"
            reason = f"certificate and key can not be used: {what}"
        raise ConfigError("$.server.tls", reason) from None


def create() -> "Hosted":
    """An application for other servers: `uvicorn --factory proxy.hosting:create`. Addresses, TLS
    and signals are then theirs.
    """
    path = locate(None, os.environ)
    return Hosted(load(path, os.environ), lambda: load(path, os.environ))


class Hosted:
    """The gateway as an ASGI application for any server: lifespan opens and closes it."""

    def __init__(self, config: Config, reread: Reread, channel: Channel | None = None) -> None:
        self._config = config
        self._reread = reread
        self._channel = channel
        self.gateway: Gateway | None = None
        self.guard: Any = None  # whom our own server asks instead, once it has started
        self.failure: Exception | None = None  # why it did not start

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            assert self.gateway is not None, "the server did not run the lifespan"
            await self.gateway.app(scope, receive, send)
            return
        await receive()
        try:
            self.gateway = await Gateway.open(self._config, self._reread, channel=self._channel)
        except Exception as error:
            self.failure = error
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        self.guard = self.gateway.app
        await send({"type": "lifespan.startup.complete"})
        try:
            await receive()
        finally:  # a server that can not bind its address cancels us instead
            await self.gateway.close()
        await send({"type": "lifespan.shutdown.complete"})


class Orders:
    """What a gateway is told while it runs, by signals or by its supervisor."""

    def __init__(self, stop: asyncio.Event | None = None) -> None:
        self.stop = stop or asyncio.Event()  # drain
        self.hurry = asyncio.Event()
        self.retire = asyncio.Event()  # leave the work to others
        self.reload = asyncio.Event()
        self.restart = asyncio.Event()

    def heed_signals(self) -> None:
        """SIGTERM and SIGINT, the second time too, SIGHUP and SIGUSR2, on the running loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(
                number, lambda: (self.hurry if self.stop.is_set() else self.stop).set()
            )
        loop.add_signal_handler(signal.SIGHUP, self.reload.set)
        loop.add_signal_handler(signal.SIGUSR2, self.restart.set)


async def serve(
    hosted: Hosted,
    config: Config,
    *,
    watched: Path | None,
    on_listening: Callable[[list[str]], None],
    stop: asyncio.Event,
) -> None:
    """Weir's own start; returns after the drain that begins when `stop` is set, by us at SIGTERM.

    Raises OSError where an address can not be bound, and what `Gateway.open` raises.
    """
    orders = Orders(stop)
    orders.heed_signals()

    async def reload() -> None:
        assert hosted.gateway is not None
        await hosted.gateway.reload()

    async def restart() -> None:
        log.warning("a rolling restart needs several workers")

    beside = [
        lambda: on_each(orders.reload, reload),
        lambda: on_each(orders.restart, restart),
        lambda: watch(watched, orders.reload),
    ]
    await host(
        hosted,
        config,
        bind=config.server.bind,
        orders=orders,
        doors=Doors(),
        on_listening=on_listening,
        beside=beside,
    )


async def host(
    hosted: Hosted,
    config: Config,
    *,
    bind: Sequence[str | socket.socket],
    orders: Orders,
    doors: Doors,
    on_listening: Callable[[list[str]], None],
    beside: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
) -> None:
    """Serves on `bind` until `orders` end it; `beside` runs meanwhile. Raises what `serve` does."""

    async def stopping() -> None:
        assert hosted.gateway is not None
        tasks = [asyncio.create_task(work()) for work in beside]
        try:
            await _until_done(hosted.gateway, doors, orders)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    tls = config.server.tls
    try:
        await listen(
            hosted,
            bind=bind,
            stopping=stopping,
            certificate=tls.certificate if tls else None,
            key=tls.key if tls else None,
            on_listening=on_listening,
            doors=doors,
            refuse=refuse,
            http1=config.server.http1,
        )
    except Exception:
        if hosted.failure is not None:  # says more than the server's word for it
            raise hosted.failure from None
        raise


def settle() -> None:
    """Takes what a start made out of the sight of garbage collections, of which one over all of it
    would stop every stream for 50 ms, and begins them. For a process of our own, once it is ready.
    """
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, *gc.get_threshold()[1:])
    gc.enable()


async def _until_done(gateway: Gateway, doors: Doors, orders: Orders) -> None:
    await first(orders.stop.wait(), orders.retire.wait())
    if not orders.stop.is_set():
        log.info("retiring", extra={"under_way": gateway.app.under_way})
        gateway.app.closing = True
        doors.close()
        retired = await first(
            doors.empty(), orders.stop.wait(), timeout_s=gateway.config.timeouts.drain_s
        )
        if not retired:
            orders.hurry.set()
    log.info("draining", extra={"under_way": gateway.app.under_way})
    await gateway.drain(orders.hurry)


async def first(*waits: Coroutine[Any, Any, Any], timeout_s: float | None = None) -> bool:
    """Returns as soon as one of them has, or with False after `timeout_s`; the others end."""
    tasks = [asyncio.ensure_future(one) for one in waits]
    try:
        done, _ = await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def on_each(event: asyncio.Event, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Works each time the event is set, once for several times meanwhile."""
    while True:
        await event.wait()
        event.clear()
        await work()


async def watch(path: Path | None, changed: asyncio.Event) -> None:
    """Rings when the file is another one than before; editors replace it, so it may be missing."""
    if path is None:
        return
    before = _seen(path)
    while True:
        await asyncio.sleep(WATCH_S)
        now = _seen(path)
        if now is not None and now != before:
            before = now
            changed.set()


def _seen(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
