"""Our own transport: a lean HTTP/1.1 client, kept-alive connections per provider.

On the usual path `send` writes to a connection that waits, and returns: no task, no await, no
timer. Only where none waits does a task connect, within the call's `connect_s`.
"""

import asyncio
import logging
from typing import Final

from proxy.errors import GatewayError
from proxy.upstream.connection import Connection
from proxy.upstream.dialing import Dialer
from proxy.upstream.origin import Address, Opening, Origin, address_of, target_of
from proxy.upstream.resolver import Resolver
from proxy.upstream.transport import Call, Sent, Sink

IDLE_S: Final = 30.0  # an idle connection older than this is more likely closed than useful
SWEEP_S: Final = 5.0
URLS_MAX: Final = 4096  # whose first lines are remembered

log = logging.getLogger(__name__)


class Client:
    """The transport. `ca_file` names certificates that are trusted besides the system's; `proxy` is
    the URL of an HTTP proxy, asked for everything that is not on this machine.
    """

    def __init__(
        self, *, ca_file: str = "", proxy: str = "", resolver: Resolver | None = None
    ) -> None:
        self._dialer = Dialer(ca_file=ca_file, proxy=proxy, resolver=resolver or Resolver())
        self._origins: dict[Address, Origin] = {}
        self._openings: dict[str, Opening] = {}
        self.calls: set[_Stream] = set()  # that have neither ended nor been cancelled
        self._sweeper: asyncio.TimerHandle | None = None

    @property
    def open_calls(self) -> int:
        """How many calls have neither ended nor been cancelled."""
        return len(self.calls)

    def send(self, call: Call, sink: Sink) -> Sent:
        """Begins `call`; `sink` is told the rest from the event loop."""
        stream = _Stream(self, call, sink)
        self.calls.add(stream)
        try:
            opening = self._openings.get(call.url) or self._learn(call.url)
            stream.head = opening.head(call)
        except ValueError:
            asyncio.get_running_loop().call_soon(stream.finish, _unreachable())
            return stream
        stream.origin = origin = opening.origin
        if origin.idle:
            stream.connection = connection = origin.idle.pop()
            connection.begin(stream)
        else:
            stream.dial()
        return stream

    def _learn(self, url: str) -> Opening:
        address, target = address_of(url), target_of(url)
        origin = self._origins.get(address)
        if origin is None:
            origin = self._origins[address] = Origin(address)
        authority, shown = address.authority, ""
        proxy = self._dialer.proxy(address)
        if proxy is not None and address.scheme == "http":
            target, shown = f"http://{authority}{target}", proxy.authorization
        rest = f"{target} HTTP/1.1\r\nHost: {authority}\r\n{shown}"
        if len(self._openings) >= URLS_MAX:
            self._openings.clear()
        opening = self._openings[url] = Opening(origin, f"GET {rest}", f"POST {rest}")
        return opening

    async def connect(self, origin: Origin) -> Connection:
        """A new connection to `origin`; raises OSError and ValueError."""
        if origin.full:
            raise OSError("too many connections")
        connection = await self._dialer.connect(origin)
        if self._sweeper is None:  # not before: it rests as soon as nothing is open
            self._sweeper = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)
        return connection

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        for origin in self._origins.values():
            origin.sweep(loop.time() - IDLE_S)
        self._sweeper = None
        if any(origin.open for origin in self._origins.values()):
            self._sweeper = loop.call_later(SWEEP_S, self._sweep)

    async def close(self) -> None:
        """Hangs up every call and closes all connections."""
        tasks = [stream.task for stream in self.calls if stream.task is not None]
        for stream in list(self.calls):
            stream.cancel()
        for origin in self._origins.values():
            for connection in list(origin.open):
                connection.drop()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._dialer.close()


class _Stream:
    """One call under way. `task` is there while it connects, `connection` afterwards."""

    __slots__ = (
        "_client",
        "_connect_s",
        "_over",
        "_paused",
        "connection",
        "head",
        "origin",
        "payload",
        "retried",
        "sink",
        "task",
    )

    def __init__(self, client: Client, call: Call, sink: Sink) -> None:
        self._client = client
        self._connect_s = call.connect_s
        self.payload = call.body
        self.sink = sink
        self.head = b""
        self.origin: Origin | None = None
        self.connection: Connection | None = None
        self.task: asyncio.Task[None] | None = None
        self.retried = False
        self._paused = False
        self._over = False

    # What its owner tells.

    def pause(self) -> None:
        self._paused = True
        if self.connection is not None:
            self.connection.pause()

    def resume(self) -> None:
        self._paused = False
        if self.connection is not None:
            self.connection.resume()

    def cancel(self) -> None:
        self._over = True
        self._client.calls.discard(self)
        connection, self.connection = self.connection, None
        if self.task is not None:
            self.task.cancel()
        if connection is not None:
            connection.leave()

    # What its connection tells.

    def finish(self, error: GatewayError | None) -> None:
        """The answer is over, one way or the other."""
        if self._over:
            return
        self._over = True
        self._client.calls.discard(self)
        self.connection = None
        try:
            self.sink.end(error)
        except Exception:  # nobody above us could do more about it
            log.exception("internal error")

    def retry(self) -> None:
        """Once more, on a new connection."""
        self.retried = True
        self.connection = None
        self.dial()

    def dial(self) -> None:
        """Connects, and sends the call then."""
        self.task = asyncio.get_running_loop().create_task(self._dial())

    async def _dial(self) -> None:
        assert self.origin is not None
        try:
            async with asyncio.timeout(self._connect_s):
                connection = await self._client.connect(self.origin)
        except TimeoutError:
            said = "The provider could not be reached in time."
            self.finish(GatewayError("provider_timeout", said))
        except (OSError, ValueError):  # their texts may hold addresses
            self.finish(_unreachable())
        except Exception:
            log.exception("internal error")
            self.finish(GatewayError("internal", "Internal Server Error"))
        else:
            self.task = None
            self.connection = connection
            connection.begin(self)
            if self._paused:
                connection.pause()


def _unreachable() -> GatewayError:
    return GatewayError("provider_unreachable", "The provider could not be reached.")
