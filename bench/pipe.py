"""`python -m bench.pipe PORT UPSTREAM`: two raw protocols that hand bytes to each other.

It reads no HTTP: what Python can do at its best, and no relay of requests can.
"""

import asyncio
import sys
from typing import cast

import uvloop


class Provider(asyncio.Protocol):
    """The way to the upstream, for one caller."""

    def __init__(self, caller: "Caller") -> None:
        self._caller = caller

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._caller.reached(cast("asyncio.Transport", transport))

    def data_received(self, data: bytes) -> None:
        self._caller.transport.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._caller.transport.close()


class Caller(asyncio.Protocol):
    """One caller's connection; what comes before the upstream is reached waits."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._early: list[bytes] = []
        self._gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        loop = asyncio.get_running_loop()
        self._way: asyncio.Transport | None = None
        self._reaching = loop.create_task(self._reach(loop))

    async def _reach(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            await loop.create_connection(lambda: Provider(self), "127.0.0.1", self._upstream)
        except OSError:
            self.transport.abort()

    def reached(self, way: asyncio.Transport) -> None:
        """The upstream takes bytes from now on."""
        self._way = way
        if self._gone:
            way.close()
        way.writelines(self._early)
        self._early.clear()

    def data_received(self, data: bytes) -> None:
        if self._way is None:
            self._early.append(data)
        else:
            self._way.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._gone = True
        if self._way is not None:
            self._way.close()


async def _serve(port: int, upstream: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Caller(upstream), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
