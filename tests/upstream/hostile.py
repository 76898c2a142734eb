"""Servers that are written out byte by byte, and a sink that keeps what it is told."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from proxy.errors import GatewayError
from proxy.upstream.client import Client
from proxy.upstream.session import AiohttpTransport
from proxy.upstream.transport import Call

Http = AiohttpTransport | Client
Handler = Callable[["Connection"], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


class Connection:
    """One connection as its server sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def hear(self) -> bytes:
        """One request, head and body."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        size = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                size = int(line.partition(b":")[2])
        return head + await self.reader.readexactly(size)

    def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)

    def say_chunk(self, data: bytes) -> None:
        self.say(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Returns when the other side closed."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass


class Told:
    """A sink that keeps what it is told."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self.body = bytearray()
        self.error: GatewayError | None = None
        self.calls: list[str] = []
        self.headed = asyncio.Event()
        self.ended = asyncio.Event()

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        self.calls.append("head")
        self.status, self.headers = status, headers
        self.headed.set()

    def data(self, data: bytes) -> None:
        self.calls.append("data")
        self.body += data

    def end(self, error: GatewayError | None) -> None:
        self.calls.append("end")
        self.error = error
        self.ended.set()

    async def end_of_it(self) -> "Told":
        await asyncio.wait_for(self.ended.wait(), 20)
        return self


@contextlib.asynccontextmanager
async def server(
    handler: Handler, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[str]:
    running: set[asyncio.Task[None]] = set()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await handler(Connection(reader, writer))
        writer.close()

    listening = await asyncio.start_server(accepted, host, 0, ssl=tls)
    port = listening.sockets[0].getsockname()[1]
    try:
        yield f"http{'s' if tls else ''}://{host}:{port}/v1/chat/completions"
    finally:
        listening.close()
        if running:
            _, late = await asyncio.wait(running, timeout=2)
            assert not late, "a connection was left open"


def call(url: str, body: bytes | None = b"{}", connect_s: float = 2.0, **headers: str) -> Call:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Call(url, {"Accept-Encoding": "identity", **named}, body, connect_s)


async def ask(transport: Http, url: str, body: bytes | None = b"{}") -> Told:
    told = Told()
    transport.send(call(url, body), told)
    await told.end_of_it()
    await asyncio.sleep(0)  # the task that told it ends a moment later
    return told
