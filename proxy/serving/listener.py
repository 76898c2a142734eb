"""Weir's own start: sockets, connections, and an orderly end.

Hypercorn gives TLS, the HTTP protocols and lifespan; sockets, accepting connections, draining and
what an application may do to its connection are ours. Stock Hypercorn cuts every stream three
seconds after SIGTERM, and has no way to reset the connection of a caller that stopped reading.
"""

import asyncio
import contextlib
import errno
import logging
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from hypercorn.asyncio.lifespan import Lifespan
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from starlette.types import ASGIApp

from proxy.serving.guard import ABORT

KEEP_ALIVE_S = 5.0  # also Hypercorn's bound on a request's head
SEND_BUFFER_BYTES = 256 * 1024  # what the kernel may hold for a caller that does not read
CLOSE_S = 3.0
TURNS = 3  # of the loop, from accepting a connection to telling its protocol


async def listen(
    app: ASGIApp,
    *,
    bind: Sequence[str],
    stopping: Callable[[], Awaitable[None]],
    certificate: str | None = None,
    key: str | None = None,
    on_listening: Callable[[list[str]], None] = lambda _: None,
) -> None:
    """Serves `app` on every address of `bind` until `stopping` returns, which is awaited with the
    doors still open: a drain answers `/ready` meanwhile. `on_listening` is told the URLs.

    Raises OSError where an address can not be bound.
    """
    config = _config(bind, certificate, key)
    wrapped: Any = _Application(app, abort=None)
    loop = asyncio.get_running_loop()
    state: dict[str, Any] = {}
    lifespan = Lifespan(wrapped, config, loop, state)
    lifespan_task = loop.create_task(lifespan.handle_lifespan())
    try:
        await lifespan.wait_for_startup()
        if lifespan_task.done():
            lifespan_task.result()
        await _serve(app, config, state, stopping, on_listening)
        await lifespan.wait_for_shutdown()
    finally:
        lifespan_task.cancel()
        await asyncio.gather(lifespan_task, return_exceptions=True)


async def _serve(
    app: ASGIApp,
    config: Config,
    state: dict[str, Any],
    stopping: Callable[[], Awaitable[None]],
    on_listening: Callable[[list[str]], None],
) -> None:
    loop = asyncio.get_running_loop()
    context = WorkerContext(None)
    connections: set[asyncio.Task[None]] = set()

    def accepted(reader: _Reader, writer: asyncio.StreamWriter) -> None:
        task = loop.create_task(connection(reader, writer))
        reader.on_lost = task.cancel
        connections.add(task)
        task.add_done_callback(connections.discard)

    async def connection(reader: _Reader, writer: asyncio.StreamWriter) -> None:
        wrapped: Any = _Application(app, abort=lambda: _reset(writer))
        with contextlib.suppress(ConnectionError):
            await TCPServer(wrapped, loop, config, context, state, reader, writer)

    def protocol() -> asyncio.StreamReaderProtocol:
        told: Any = accepted  # whom it tells is declared to take any reader
        return asyncio.StreamReaderProtocol(_Reader(), told)

    tls = config.create_ssl_context() if config.ssl_enabled else None
    listening = _bound(config.bind)
    paths = [_Path(sock) for sock in listening if sock.family == socket.AF_UNIX]
    servers = [
        await loop.create_server(protocol, sock=sock, ssl=tls, backlog=2048) for sock in listening
    ]
    urls = [_url(sock, tls is not None) for sock in listening]
    try:
        on_listening(urls)
        await stopping()
    finally:
        await context.terminated.set()  # idle connections close, answers under way are the last
        # A connection that asyncio accepts in the turn in which its server closes is never closed:
        # first nothing more is accepted, then what was is let in.
        for sock in listening:
            loop.remove_reader(sock.fileno())
        for _ in range(TURNS):
            await asyncio.sleep(0)
        for server in servers:
            server.close()
        await _finished(connections)
        for task in connections:
            task.cancel()
        await _finished(connections)
        for path in paths:
            path.unlink()


def _bound(bind: Sequence[str]) -> list[socket.socket]:
    """A socket for each address; raises OSError that names the one that can not be bound."""
    bound: list[socket.socket] = []
    try:
        for address in bind:
            try:
                bound.append(_bind(address))
            except OSError as error:
                raise OSError(error.errno, f"{address}: {error.strerror}") from None
    except OSError:
        for sock in bound:
            sock.close()
        raise
    return bound


def _bind(address: str) -> socket.socket:
    name: str | tuple[str, int]
    if address.startswith("unix:"):
        family, name = socket.AF_UNIX, address.removeprefix("unix:")
        _clear(name)
    else:
        host, _, port = address.rpartition(":")
        family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
        name = (host.strip("[]"), int(port))
    sock = socket.socket(family)
    try:
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        sock.bind(name)
    except OSError:
        sock.close()
        raise
    return sock


def _clear(path: str) -> None:
    """Removes the socket that a killed process left at `path`; one that is in use stays."""
    if not stat.S_ISSOCK(_mode(path)):
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _mode(path: str) -> int:
    try:
        return os.stat(path).st_mode
    except OSError:
        return 0


class _Path:
    """Where a unix socket stands, to be removed at the end if it is still ours."""

    def __init__(self, sock: socket.socket) -> None:
        self._path: str = sock.getsockname()
        self._ours = self._seen()

    def _seen(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def unlink(self) -> None:
        if self._ours is not None and self._seen() == self._ours:
            os.unlink(self._path)


async def _finished(connections: set[asyncio.Task[None]]) -> None:
    if connections:
        await asyncio.wait(list(connections), timeout=CLOSE_S)


class _Reader(asyncio.StreamReader):
    """Calls `on_lost` when the connection ends while nobody reads it.

    Hypercorn stops reading while a pipelined request waits for its turn, or a body for the
    application, and would learn of the end only by writing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.on_lost: Callable[[], object] = lambda: None
        self._read_by_someone = False

    async def read(self, n: int = -1) -> bytes:
        self._read_by_someone = True
        try:
            return await super().read(n)
        finally:
            self._read_by_someone = False

    def feed_eof(self) -> None:
        super().feed_eof()
        self._ended()

    def set_exception(self, exc: Exception) -> None:
        super().set_exception(exc)
        self._ended()

    def _ended(self) -> None:
        if not self._read_by_someone:
            self.on_lost()


class _Application:
    """The application in the form Hypercorn's protocols call, with our scope extension."""

    def __init__(self, app: ASGIApp, abort: Callable[[], None] | None) -> None:
        self._app = app
        self._abort = abort

    async def __call__(self, scope: Any, receive: Any, send: Any, *_: Any) -> None:
        if self._abort is not None:
            scope.setdefault("extensions", {})[ABORT] = self._abort
        await self._app(scope, receive, send)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Closes with a reset, so that what the caller did not read does not linger in the kernel."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _config(bind: Sequence[str], certificate: str | None, key: str | None) -> Config:
    config = Config()
    config.bind = list(bind)
    config.certfile, config.keyfile = certificate, key
    config.keep_alive_timeout = KEEP_ALIVE_S
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    return config


def _url(sock: socket.socket, secure: bool) -> str:
    if sock.family == socket.AF_UNIX:
        return f"unix:{sock.getsockname()}"
    host, port = sock.getsockname()[:2]
    host = f"[{host}]" if sock.family == socket.AF_INET6 else host
    return f"{'https' if secure else 'http'}://{host}:{port}"
