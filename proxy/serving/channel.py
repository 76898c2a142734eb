"""What two processes of one gateway say to each other, over the two ends of a pair of sockets.

A frame is its length in four bytes, then msgpack: requests, which are answered, and notices, which
are not. Either side may begin. Both sides are the same program of the same user, so a frame that
can not be read is a fault, and ends the channel.
"""

import asyncio
import inspect
import itertools
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import msgspec

log = logging.getLogger(__name__)

FRAME_BYTES_MAX: Final = 64 * 1024 * 1024
UNREAD_BYTES_MAX: Final = 2 * FRAME_BYTES_MAX
"""What may wait for a peer that does not read: it is then given up, as one that has died."""

_PREFIX_BYTES: Final = 4
_CLOSE_S: Final = 2.0  # for the last words to be taken

Handler = Callable[[Any], Any]
"""Takes a payload; gives the reply's, or an awaitable of it. A handler that is no coroutine runs at
once and in order, the others side by side.
"""


class Refused(Exception):
    """The peer's handler raised, or the peer has none of that name; the text says which."""


class _Frame(msgspec.Struct, array_like=True, frozen=True):
    """A request has a number and a name, its reply that number, a notice has only a name."""

    number: int = 0
    name: str = ""
    payload: Any = None
    error: str | None = None


class Channel(asyncio.Protocol):
    """One end. `handlers` are by name, and may be added at any time."""

    def __init__(self, handlers: dict[str, Handler]) -> None:
        self.handlers = handlers
        self.closed = asyncio.Event()  # set once, also when the peer has died
        self._transport: asyncio.Transport
        self._writable = asyncio.Event()
        self._writable.set()
        self._buffer = bytearray()
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._handling: set[asyncio.Task[None]] = set()
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(_Frame)

    @classmethod
    async def open(cls, sock: socket.socket, handlers: dict[str, Handler]) -> "Channel":
        """A channel over `sock`, one end of `socket.socketpair()`, which it owns from now on."""
        loop = asyncio.get_running_loop()
        _, channel = await loop.create_unix_connection(lambda: cls(handlers), sock=sock)
        return channel

    async def request(self, name: str, payload: object = None, *, timeout_s: float) -> Any:
        """The reply of the peer's handler `name`, as plain lists, dicts, texts and numbers.

        Raises ConnectionError where the channel is closed or closes meanwhile, TimeoutError, and
        Refused. Raises TypeError, before anything is sent, for what msgpack can not hold.
        """
        number = next(self._numbers)
        frame = self._encoded(_Frame(number, name, payload))
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(timeout_s):
            await self._writable.wait()
            self._asked[number] = reply
            try:
                if not self._write(frame):
                    raise ConnectionError("the channel is closed")
                return await reply
            finally:
                del self._asked[number]

    def notify(self, name: str, payload: object = None) -> None:
        """Tells the peer, without waiting; what a closed channel is told is lost."""
        self._write(self._encoded(_Frame(0, name, payload)))

    async def close(self) -> None:
        """Lets the peer have what it was told, as long as it takes it, and ends."""
        self._transport.close()
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self.closed.wait()
        except TimeoutError:
            self._transport.abort()
            await self.closed.wait()

    def _encoded(self, frame: _Frame) -> bytes:
        body = self._encoder.encode(frame)
        if len(body) > FRAME_BYTES_MAX:
            raise ValueError(f"{frame.name}: {len(body)} bytes are too many for one frame")
        return len(body).to_bytes(_PREFIX_BYTES, "big") + body

    def _write(self, frame: bytes) -> bool:
        """Whether the channel took it."""
        if self._transport.is_closing():
            return False
        if self._transport.get_write_buffer_size() + len(frame) > UNREAD_BYTES_MAX:
            log.error("the peer does not read, its channel is closed")
            self._transport.abort()
            return False
        self._transport.write(frame)
        return True

    # The protocol's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is of no such class

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        self._writable.set()  # who waited to write finds it closed
        for reply in self._asked.values():
            if not reply.done():
                reply.set_exception(ConnectionError("the channel was closed"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        start = 0
        while len(self._buffer) - start >= _PREFIX_BYTES:
            body = start + _PREFIX_BYTES
            size = int.from_bytes(self._buffer[start:body], "big")
            if size > FRAME_BYTES_MAX:
                self._broken(f"a frame of {size} bytes")
                return
            if len(self._buffer) < body + size:
                break
            try:
                frame = self._decoder.decode(self._buffer[body : body + size])
            except msgspec.DecodeError as error:
                self._broken(str(error))
                return
            start = body + size
            self._take(frame)
        del self._buffer[:start]

    def _broken(self, why: str) -> None:
        log.error("a frame could not be read, the channel is closed", extra={"reason": why})
        self._buffer.clear()
        self._transport.abort()

    def _take(self, frame: _Frame) -> None:
        if frame.name:
            self._handle(frame)
            return
        reply = self._asked.get(frame.number)
        if reply is None or reply.done():  # who asked no longer waits
            return
        if frame.error is None:
            reply.set_result(frame.payload)
        else:
            reply.set_exception(Refused(frame.error))

    def _handle(self, frame: _Frame) -> None:
        handler = self.handlers.get(frame.name)
        if handler is None:
            self._answer(frame, error=f"nothing is called {frame.name!r}")
            return
        try:
            result = handler(frame.payload)
            if not inspect.isawaitable(result):
                self._answer(frame, result)
                return
        except Exception as error:
            self._failed(frame, error)
            return
        task = asyncio.ensure_future(self._wait_for(frame, result))
        self._handling.add(task)
        task.add_done_callback(self._handling.discard)

    async def _wait_for(self, frame: _Frame, result: Awaitable[Any]) -> None:
        try:
            self._answer(frame, await result)
        except Exception as error:
            self._failed(frame, error)

    def _failed(self, frame: _Frame, error: Exception) -> None:
        log.error("a handler failed", extra={"handler": frame.name}, exc_info=error)
        self._answer(frame, error=f"{frame.name}: {type(error).__name__}: {error}")

    def _answer(self, frame: _Frame, payload: object = None, error: str | None = None) -> None:
        if frame.number:
            self._write(self._encoded(_Frame(frame.number, "", payload, error)))
