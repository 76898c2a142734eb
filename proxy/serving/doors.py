"""Where connections come in: accepting, the choice of who speaks with them, and closing.

HTTP/1.1 is ours (`proxy.serving.http1`); Hypercorn speaks HTTP/2, and HTTP/1.1 too where it is told
to. Accepting is ours for both: stock Hypercorn cuts every stream three seconds after SIGTERM.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Sequence
from typing import Any

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config

from proxy.serving.hall import Hall
from proxy.serving.http1 import Connection
from proxy.serving.sockets import BACKLOG, reset
from proxy.serving.stock import Application, Reader

log = logging.getLogger(__name__)

CLOSE_S = 3.0
AT_ONCE = 64  # connections accepted in one turn of the loop by who is alone
REST_S = 1.0  # after it could not accept
HANDSHAKE_S = 30.0


class Doors:
    """Where connections come in, and all that came in and did not end yet."""

    def __init__(self) -> None:
        self._context = WorkerContext(None)
        self._connections: set[asyncio.Task[None]] = set()  # Hypercorn's
        self._hall: Hall  # with ours
        self._config: Config
        self._ours: bool
        self._shared: bool
        self._tls: ssl.SSLContext | None
        self._welcomes: set[asyncio.Task[None]] = set()  # of who came in and has no protocol yet
        self._listening: list[socket.socket] = []
        self._rests: set[asyncio.TimerHandle] = set()

    def open(
        self,
        config: Config,
        listening: Sequence[socket.socket],
        hall: Hall,
        *,
        ours: bool,
        shared: bool,
    ) -> None:
        """Begins to accept on bound sockets, which others accept on too where they are `shared`;
        `ours` says whose HTTP/1.1 it is.
        """
        self._hall, self._config = hall, config
        self._ours, self._shared = ours, shared
        self._tls = config.create_ssl_context() if config.ssl_enabled else None
        self._listening = [*listening]
        loop = asyncio.get_running_loop()
        for sock in listening:
            sock.setblocking(False)
            loop.add_reader(sock, self._accept, loop, sock, 1 if shared else AT_ONCE)

    def _accept(self, loop: asyncio.AbstractEventLoop, door: socket.socket, count: int) -> None:
        """Lets in who waits. Where workers share a door, each takes one in a turn of its loop: of a
        crowd each gets its part, and who is busy gets less.
        """
        for _ in range(count):
            try:
                sock, _ = door.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # too many files are open, or there is no memory
                log.error("can not accept connections: %s", error.strerror)
                loop.remove_reader(door)
                rest = loop.call_later(REST_S, self._accept_again, loop, door, count)
                self._rests.add(rest)
                return
            sock.setblocking(False)
            task = loop.create_task(self._welcome(loop, sock))
            self._welcomes.add(task)
            task.add_done_callback(self._welcomes.discard)

    def _accept_again(
        self, loop: asyncio.AbstractEventLoop, door: socket.socket, count: int
    ) -> None:
        self._rests = {one for one in self._rests if one.when() > loop.time()}
        loop.add_reader(door, self._accept, loop, door, count)

    async def _welcome(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        """Gives a connection who speaks its protocol; with TLS its handshake tells which it is."""
        handshake_s = HANDSHAKE_S if self._tls is not None else None
        try:
            await loop.connect_accepted_socket(
                lambda: _Entrance(self), sock, ssl=self._tls, ssl_handshake_timeout=handshake_s
            )
        except OSError:  # it is gone, or its handshake failed
            sock.close()

    def greet(self, transport: Any) -> None:
        """A connection was made: whoever speaks its protocol takes it over."""
        tls = transport.get_extra_info("ssl_object")
        http2 = tls is not None and tls.selected_alpn_protocol() == "h2"
        one = (
            Connection(self._hall)
            if self._ours and not http2
            else asyncio.StreamReaderProtocol(
                Reader(), self._taken, loop=asyncio.get_running_loop()
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
        wrapped: Any = Application(hall.app, abort=lambda: reset(writer.transport))
        with contextlib.suppress(ConnectionError):
            await TCPServer(wrapped, loop, self._config, self._context, hall.state, reader, writer)

    def close(self) -> None:
        """Accepts nothing more. Nobody is refused who waits to be accepted: others may do that on
        the same sockets, else it is done now.
        """
        loop = asyncio.get_running_loop()
        for sock in self._listening:
            loop.remove_reader(sock)
            if not self._shared:
                self._accept(loop, sock, BACKLOG)
            sock.close()
        for rest in self._rests:
            rest.cancel()
        self._listening, self._rests = [], set()

    async def empty(self) -> None:
        """Returns when every connection has ended by itself; to be called after `close`."""
        while self._welcomes:
            await asyncio.wait(list(self._welcomes))
        while self._connections:
            await asyncio.wait(list(self._connections))
        await self._hall.emptied()

    async def end(self) -> None:
        """Closes, ends idle connections, and others after their answer or `CLOSE_S`."""
        await self._context.terminated.set()  # answers under way are the last
        self._hall.end()
        self.close()
        await self._finished()
        for task in self._welcomes | self._connections:
            task.cancel()
        self._hall.cut()
        await self._finished()
        self._hall.close()

    async def _finished(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self.empty()


class _Entrance(asyncio.Protocol):
    """A connection until its protocol is known."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._doors.greet(transport)
