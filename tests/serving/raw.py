"""Bytes to and from a server, without a client in between that would mend them."""

import asyncio
import re
from typing import NamedTuple

TIMEOUT_S = 8.0


class Said(NamedTuple):
    """What came back: the statuses of all answers in it, and whether the server closed."""

    raw: bytes
    closed: bool

    @property
    def statuses(self) -> list[int]:
        return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3})", self.raw)]


async def say(url: str, *pieces: bytes, pause_s: float = 0.0, wait_s: float = TIMEOUT_S) -> Said:
    """Writes `pieces` with pauses, and reads until the server closes or says nothing more."""
    reader, writer = await connect(url)
    reading = asyncio.create_task(_read(reader, wait_s))
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            if reading.done():
                break
            if pause_s:
                await asyncio.sleep(pause_s)
    except ConnectionError:
        pass
    said = await reading
    writer.transport.abort()
    return said


async def connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if url.startswith("unix:"):
        return await asyncio.open_unix_connection(url.removeprefix("unix:"))
    host, _, port = url.removeprefix("http://").rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def _read(reader: asyncio.StreamReader, wait_s: float) -> Said:
    raw = bytearray()
    try:
        async with asyncio.timeout(wait_s):
            while data := await reader.read(65536):
                raw += data
    except TimeoutError:
        return Said(bytes(raw), closed=False)
    except ConnectionError:
        pass
    return Said(bytes(raw), closed=True)


def request(
    target: str = "/health",
    *headers: str,
    method: str = "GET",
    body: bytes = b"",
    version: str = "1.1",
) -> bytes:
    """A request as it stands; only `Host` is added where none is given."""
    named = any(header.lower().startswith("host") for header in headers)
    lines = [f"{method} {target} HTTP/{version}", *([] if named else ["Host: weir"]), *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
