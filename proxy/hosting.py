"""Running a gateway: under any ASGI server, or by Weir's own start with its signals.

SIGTERM and SIGINT drain (a second one hurries), SIGHUP and a change of the file reload.
"""

import asyncio
import logging
import os
import signal
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path

from starlette.types import Receive, Scope, Send

from proxy.config import Config, decode
from proxy.gateway import Gateway, Reread
from proxy.serving.listener import listen
from proxy.settings import ConfigError, Tls

log = logging.getLogger(__name__)

WATCH_S = 1.0


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
    try:  # some editors begin UTF-8 with a mark, which TOML knows nothing of
        text = path.read_text(encoding="utf-8-sig") if path else ""
    except OSError as error:
        raise ConfigError("$", f"can not read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError("$", f"{path} is not UTF-8") from None

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

    def __init__(self, config: Config, reread: Reread) -> None:
        self._config = config
        self._reread = reread
        self.gateway: Gateway | None = None
        self.failure: Exception | None = None  # why it did not start

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            assert self.gateway is not None, "the server did not run the lifespan"
            await self.gateway.app(scope, receive, send)
            return
        await receive()
        try:
            self.gateway = await Gateway.open(self._config, self._reread)
        except Exception as error:
            self.failure = error
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        try:
            await receive()
        finally:  # a server that can not bind its address cancels us instead
            await self.gateway.close()
        await send({"type": "lifespan.shutdown.complete"})


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
    loop = asyncio.get_running_loop()
    hurry, reload = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: (hurry if stop.is_set() else stop).set())
    loop.add_signal_handler(signal.SIGHUP, reload.set)

    async def stopping() -> None:
        gateway = hosted.gateway
        assert gateway is not None
        watching = [asyncio.create_task(_reloading(gateway, reload))]
        if watched is not None:
            watching.append(asyncio.create_task(_watching(watched, reload)))
        try:
            await stop.wait()
            log.info("draining", extra={"under_way": gateway.app.under_way})
            await gateway.drain(hurry)
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    tls = config.server.tls
    try:
        await listen(
            hosted,
            bind=config.server.bind,
            stopping=stopping,
            certificate=tls.certificate if tls else None,
            key=tls.key if tls else None,
            on_listening=on_listening,
        )
    except Exception:
        if hosted.failure is not None:  # says more than the server's word for it
            raise hosted.failure from None
        raise


async def _reloading(gateway: Gateway, reload: asyncio.Event) -> None:
    while True:
        await reload.wait()
        reload.clear()
        await gateway.reload()


async def _watching(path: Path, reload: asyncio.Event) -> None:
    """Rings when the file is another one than before; editors replace it, so it may be missing."""
    before = _seen(path)
    while True:
        await asyncio.sleep(WATCH_S)
        now = _seen(path)
        if now is not None and now != before:
            before = now
            reload.set()


def _seen(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
