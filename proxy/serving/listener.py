"""Weir's own start: sockets, connections, and an orderly end.

HTTP/1.1 is ours (`proxy.serving.http1`); Hypercorn gives HTTP/2, the context of TLS and lifespan,
and HTTP/1.1 too where it is told to. Sockets, accepting connections, draining and what an
application may do to its connection are ours: stock Hypercorn cuts every stream three seconds
after SIGTERM, and has no way to reset the connection of a caller that stopped reading.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from weakref import WeakSet

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from hypercorn.asyncio.lifespan import Lifespan
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from starlette.types import ASGIApp

from proxy.serving.guard import ABORT
from proxy.serving.hall import Hall, Refuse, plainly
from proxy.serving.http1 import Connection
from proxy.serving.sockets import BACKLOG, bound, reset, urls

KEEP_ALIVE_S = 5.0  # also the bound on a request's head
CLOSE_S = 3.0
TURNS = 3  # of the loop, from accepting a connection to telling its protocol
HANDSHAKE_S = 30.0


async def listen(
    app: ASGIApp,
    *,
    bind: Sequence[str | socket.socket],
    stopping: Callable[[], Awaitable[None]],
    certificate: str | None = None,
    key: str | None = None,
    on_listening: Callable[[list[str]], None] = lambda _: None,
    doors: "Doors | None" = None,
    refuse: Refuse = plainly,
    http1: str = "weir",
) -> None:
    """Serves `app` on every address of `bind` until `stopping` returns, which is awaited with the
    doors still open: a drain answers `/ready` meanwhile. `on_listening` is told the URLs.

    An address may be a socket that is already bound (`bound`), and shared with other processes.
    `doors`, if given, can be closed earlier. `refuse` renders what is said to a request that the
    application must not see. `http1` is whose HTTP/1.1 it is, `weir` or `hypercorn`, which then
    also takes HTTP/2 without TLS. Raises OSError where an address can not be bound.
    """
    config = _config(certificate, key)
    wrapped: Any = _Application(app, abort=None)
    loop = asyncio.get_running_loop()
    state: dict[str, Any] = {}
    lifespan = Lifespan(wrapped, config, loop, state)
    lifespan_task = loop.create_task(lifespan.handle_lifespan())
    try:
        await lifespan.wait_for_startup()
        if lifespan_task.done():
            lifespan_task.result()
        shared = [one for one in bind if isinstance(one, socket.socket)]
        with bound([one for one in bind if isinstance(one, str)]) as ours:
            served = doors or Doors()
            hall = Hall(app, state=state, refuse=refuse, keep_alive_s=KEEP_ALIVE_S)
            await served.open(config, [*ours, *shared], hall, ours=http1 == "weir")
            try:
                on_listening(urls([*ours, *shared], secure=config.ssl_enabled))
                await stopping()
            finally:
                await served.end()
        await lifespan.wait_for_shutdown()
    finally:
        lifespan_task.cancel()
        await asyncio.gather(lifespan_task, return_exceptions=True)


class Doors:
    """Where connections come in, and all that came in and did not end yet."""

    def __init__(self) -> None:
        self._context = WorkerContext(None)
        self._connections: set[asyncio.Task[None]] = set()  # Hypercorn's
        self._hall: Hall  # with ours
        self._config: Config
        self._greeting: WeakSet[asyncio.Protocol] = WeakSet()
        self._greeted = asyncio.Event()
        self._listening: Sequence[socket.socket] = ()
        self._servers: list[asyncio.Server] = []

    async def open(
        self, config: Config, listening: Sequence[socket.socket], hall: Hall, *, ours: bool
    ) -> None:
        """Begins to accept on bound sockets, which it owns from now on."""
        self._hall, self._config = hall, config
        loop = asyncio.get_running_loop()

        def protocol() -> asyncio.Protocol:
            coming = _Entrance(self, ours=ours)
            self._greeting.add(coming)
            return coming

        tls = config.create_ssl_context() if config.ssl_enabled else None
        handshake_s = HANDSHAKE_S if tls else None
        self._listening = listening
        for sock in listening:
            server = await loop.create_server(
                protocol, sock=sock, ssl=tls, backlog=BACKLOG, ssl_handshake_timeout=handshake_s
            )
            self._servers.append(server)

    def greet(self, entrance: "_Entrance", transport: Any, *, ours: bool) -> None:
        """A connection was made: whoever speaks its protocol takes it over."""
        self._greeting.discard(entrance)
        self._greeted.set()
        one = (
            Connection(self._hall)
            if ours
            else asyncio.StreamReaderProtocol(
                _Reader(), self._taken, loop=asyncio.get_running_loop()
            )
        )
        transport.set_protocol(one)
        one.connection_made(transport)

    def _taken(self, reader: Any, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._by_hypercorn(reader, writer))
        reader.on_lost = task.cancel
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _by_hypercorn(self, reader: Any, writer: asyncio.StreamWriter) -> None:
        hall, loop = self._hall, asyncio.get_running_loop()
        wrapped: Any = _Application(hall.app, abort=lambda: reset(writer.transport))
        with contextlib.suppress(ConnectionError):
            await TCPServer(wrapped, loop, self._config, self._context, hall.state, reader, writer)

    async def close(self) -> None:
        """Accepts nothing more. Where others accept on the same sockets, nobody is refused: who
        waits to be accepted waits for them.
        """
        # A connection that asyncio accepts in the turn in which its server closes is never closed:
        # first nothing more is accepted, then what was is let in.
        loop = asyncio.get_running_loop()
        for sock in self._listening:
            loop.remove_reader(sock.fileno())
        for _ in range(TURNS):
            await asyncio.sleep(0)
        for server in self._servers:
            server.close()
        self._listening, self._servers = (), []

    async def empty(self) -> None:
        """Returns when every connection has ended by itself; to be called after `close`."""
        with contextlib.suppress(TimeoutError):  # nobody tells of a handshake that failed
            async with asyncio.timeout(HANDSHAKE_S):
                while self._greeting:
                    self._greeted.clear()
                    await self._greeted.wait()
        while self._connections:
            await asyncio.wait(list(self._connections))
        await self._hall.emptied()

    async def end(self) -> None:
        """Closes, ends idle connections, and others after their answer or `CLOSE_S`."""
        await self._context.terminated.set()  # answers under way are the last
        self._hall.end()
        await self.close()
        await self._finished()
        for task in self._connections:
            task.cancel()
        self._hall.cut()
        await self._finished()
        self._hall.close()

    async def _finished(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                if self._connections:
                    await asyncio.wait(list(self._connections))
                await self._hall.emptied()


class _Entrance(asyncio.Protocol):
    """A connection until its protocol is known, which with TLS is after the handshake."""

    def __init__(self, doors: Doors, *, ours: bool) -> None:
        self._doors = doors
        self._ours = ours

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        tls = transport.get_extra_info("ssl_object")
        http2 = tls is not None and tls.selected_alpn_protocol() == "h2"
        self._doors.greet(self, transport, ours=self._ours and not http2)


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
        if scope.get("http_version") != "2":
            await self._app(scope, receive, send)
            return
        unended = False

        async def watched(message: Any) -> None:
            nonlocal unended
            await send(message)
            unended = message["type"] == "http.response.start" or message.get("more_body", False)

        await self._app(scope, receive, watched)
        if unended:
            await _break_off(send)


async def _break_off(send: Any) -> None:
    """Resets the stream of an answer without end. With HTTP/1.1 its connection is closed then; over
    HTTP/2 Hypercorn says nothing, and the client would wait for ever.
    """
    stream = send.__self__  # both are Hypercorn's own, an HTTPStream and its H2Protocol
    protocol = stream.send.__self__
    with contextlib.suppress(ProtocolError):  # the client was faster
        protocol.connection.reset_stream(stream.stream_id, ErrorCodes.INTERNAL_ERROR)
        await protocol._window_updated(stream.stream_id)  # what waits to be sent is dropped
    await protocol._flush()


def _config(certificate: str | None, key: str | None) -> Config:
    config = Config()
    config.certfile, config.keyfile = certificate, key
    config.keep_alive_timeout = KEEP_ALIVE_S
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    return config
