"""Our own HTTP/1.1 without a socket: what is written is kept, and slices arrive as they are cut."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterable
from typing import Any

from starlette.types import Receive, Scope, Send

from proxy.app import refuse
from proxy.serving.hall import Hall
from proxy.serving.http1 import Connection


class Pipe(asyncio.Transport):
    """The transport of one connection; its caller reads all, and at once."""

    def __init__(self, hall: Hall, **info: Any) -> None:
        super().__init__({"peername": ("10.0.0.1", 50000), "sockname": ("10.0.0.2", 80), **info})
        self.written: list[bytes] = []
        self.reading = True
        self.ended = False  # our side was shut down
        self.aborted = False
        self.unsent = False  # something is not taken by the caller
        self.unsent_bytes = 0
        self._closing = False
        self._lost = False
        self.connection = Connection(hall)
        self.connection.connection_made(self)

    @property
    def is_read(self) -> bool:
        """Whether what the caller says is taken from it."""
        return self.reading

    @property
    def said(self) -> bytes:
        return b"".join(self.written)

    async def hear(self, *pieces: bytes) -> None:
        """The pieces arrive, and everything happens that they cause."""
        for piece in pieces:
            if not self._closing:
                self.connection.data_received(piece)
            await asyncio.sleep(0)
        await settle()

    def hang_up(self) -> None:
        self.connection.eof_received()
        self.close()

    def write(self, data: Any) -> None:
        assert not self._closing, "it is closed"
        self.written.append(bytes(data))

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.limits = (high, low)

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def can_write_eof(self) -> bool:
        return self.get_extra_info("sslcontext") is None

    def write_eof(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True
        if not self._lost and (self.aborted or not self.unsent):
            self._lost = True
            asyncio.get_running_loop().call_soon(self.connection.connection_lost, None)

    def abort(self) -> None:
        self.aborted = True
        self.close()


async def settle() -> None:
    """Lets everything happen that needs no time."""
    for _ in range(20):
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def hall(app: Any, keep_alive_s: float = 5.0) -> AsyncIterator[Hall]:
    """A hall for `Pipe`s; at the end nothing is left in it."""
    one = Hall(app, state={"a": 1}, refuse=refuse, keep_alive_s=keep_alive_s)
    try:
        yield one
    finally:
        one.end()
        one.cut()
        one.close()
        await asyncio.wait_for(one.emptied(), 20)
        assert (one.blocked, one._idle, one._leaving) == ({}, {}, {})


class Heard:
    """An application that keeps what it is asked, and answers with the request's body."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        self.scopes.append(scope)
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more = message["more_body"]
        self.bodies.append(body)
        told = scope["raw_path"] + b" " + body
        headers = [(b"content-length", str(len(told)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": told})

    @property
    def asked(self) -> list[tuple[Any, ...]]:
        """What was asked, without what differs from request to request."""
        heads = [
            (scope["method"], scope["raw_path"], scope["query_string"], tuple(scope["headers"]))
            for scope in self.scopes
        ]
        return list(zip(heads, self.bodies, strict=True))


async def live(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def cut(raw: bytes, at: Iterable[int]) -> list[bytes]:
    """`raw` in pieces that end at those places."""
    places = [0, *sorted({place % len(raw) for place in at} - {0}), len(raw)]
    return [raw[begin:end] for begin, end in itertools.pairwise(places)]
