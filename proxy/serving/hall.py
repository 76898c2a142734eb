"""What all connections of our own HTTP/1.1 share: the application, the clock, and the end.

One timer looks after all of them. Connections that wait for a request stand in a row, the one that
waits longest first, so that a look costs as much as there is to do and not as there are.
"""

import asyncio
from collections.abc import Callable
from email.utils import formatdate
from typing import Any, Final

from starlette.types import ASGIApp, Scope

from proxy.errors import GatewayError
from proxy.serving.cycle import Cycle
from proxy.serving.guard import Guard, Headers
from proxy.serving.line import Guarding, Line

TICK_S: Final = 0.25

Refuse = Callable[[GatewayError], tuple[Headers, bytes]]


class _Unguarded:
    client_stall_s = 30.0
    ending = False


def plainly(error: GatewayError) -> tuple[Headers, bytes]:
    """An error as text, for an application that says nothing of how it wants them."""
    headers = [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    body = error.message.encode()
    length = str(len(body)).encode()
    return [*headers, (b"content-type", b"text/plain"), (b"content-length", length)], body


class Hall:
    """The connections of one server. `refuse` renders an error as (headers, body). An application
    that is no `Guard` may name the one that stands in it as `guard`, which is asked instead.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        state: dict[str, Any],
        refuse: Refuse,
        keep_alive_s: float,
    ) -> None:
        self.app = app
        self.state = state
        self.refuse = refuse
        self.answer = app
        self.guard: Guarding = _Unguarded()
        self.ending = False
        self.connections: set[Line] = set()
        self.cycles: set[Cycle] = set()  # whose task is not done
        self._counting: Guard | None = (
            app if isinstance(app, Guard) else getattr(app, "guard", None)
        )
        if self._counting is not None:  # what it does for our connections needs no coroutine
            self.answer = self._counting.app
            self.guard = self._counting
        self.blocked: dict[Line, float] = {}  # do not read, since then
        self._idle: dict[Line, float] = {}  # wait for a request, since then
        self._leaving: dict[Line, float] = {}  # may still speak, until then
        self._keep_alive_s = keep_alive_s
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._look()

    def _look(self) -> None:
        self.now = self._loop.time()
        self.date = f"date: {formatdate(usegmt=True)}\r\n".encode()
        self._timer = self._loop.call_later(TICK_S, self._look)
        since = self.now - self._keep_alive_s
        while self._idle:
            connection, began = next(iter(self._idle.items()))
            if began > since:
                break
            connection.close()
        since = self.now - self.guard.client_stall_s
        for connection in [one for one, began in self.blocked.items() if began <= since]:
            if connection.stalls():
                connection.reset()
            else:
                self.blocked[connection] = self.now
        for connection in [one for one, until in self._leaving.items() if until <= self.now]:
            connection.reset()

    def close(self) -> None:
        """Ends what has not ended, and looks after nothing any more."""
        self._timer.cancel()
        for connection in list(self.connections):
            connection.reset()

    def enter(self, connection: Line) -> None:
        """A connection was made."""
        self.connections.add(connection)
        self.wait(connection)
        if self.ending:
            connection.end()

    def begin(self, cycle: Cycle, scope: Scope) -> None:
        """Has the application answer a request, in a task of its own."""
        self.cycles.add(cycle)
        if self._counting is not None:
            self._counting.under_way += 1
        cycle.task = self._loop.create_task(cycle.run(self, scope))

    # What connections say.

    def wait(self, connection: Line) -> None:
        """It waits for a request, from now on."""
        self._idle.pop(connection, None)
        self._idle[connection] = self.now

    def heard(self, connection: Line) -> None:
        """It waits no more."""
        self._idle.pop(connection, None)

    def linger(self, connection: Line, wait_s: float) -> None:
        """It is closed, as soon as the caller closes it or after that time."""
        self._idle.pop(connection, None)
        self._leaving[connection] = self.now + wait_s

    def left(self, connection: Line) -> None:
        """It is no more."""
        self.connections.discard(connection)
        self._idle.pop(connection, None)
        self._leaving.pop(connection, None)
        self.blocked.pop(connection, None)
        self._changed.set()

    def done(self, cycle: Cycle) -> None:
        """Its task is done."""
        self.cycles.discard(cycle)
        if self._counting is not None:
            self._counting.under_way -= 1
            if not self._counting.under_way:
                self._counting.idle.set()
        if not self.cycles:
            self._changed.set()

    # The end.

    def end(self) -> None:
        """Closes connections that wait for a request, and the others after their answer."""
        self.ending = True
        for connection in list(self.connections):
            connection.end()

    def cut(self) -> None:
        """Ends all that is left, as far as the callers read."""
        for cycle in self.cycles:
            if cycle.task is not None:  # a turn later: one that never began would not end, either
                self._loop.call_soon(cycle.task.cancel)
        for connection in list(self.connections):
            connection.close()

    async def emptied(self) -> None:
        """Returns when all connections and all their requests have ended."""
        while self.connections or self.cycles:
            self._changed.clear()
            await self._changed.wait()
