"""What is written down of a request, and the end of what it holds: notes while it runs, one bill.

Whatever the way out of the story, hold and limits end exactly once, and what is owed is fixed then.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from proxy.accounts.keys import Key
from proxy.accounts.ledger import Settlement
from proxy.errors import GatewayError
from proxy.pipeline.admit import Gate
from proxy.pipeline.exchange import Exchange
from proxy.pipeline.notes import log_refusal
from proxy.pipeline.settle import outlook, settle
from proxy.wire.record import Try

DURABLE_S: Final = 5.0  # for a charge to be written, before the caller is told that it was not
CHECKPOINT_S: Final = 1.0
NOTES_S: Final = 0.2  # between two looks at what is to be noted: each may cost a sync of the disk
NOTES_MAX: Final = 200  # in one look, some milliseconds of the loop; with more streams all wait

log = logging.getLogger(__name__)


class Books(Protocol):
    """What a flow is given to know callers by and to leave its traces in; none of it waits.
    `settled` is `finished` with a future that is done once the charge is durable. `noted` is what a
    running request would be charged if the process died.
    """

    def key(self, hash: str) -> Key | None: ...

    def tried(self, note: Try) -> None: ...

    def noted(self, settlement: Settlement) -> None: ...

    def finished(self, settlement: Settlement) -> None: ...

    def settled(self, settlement: Settlement) -> asyncio.Future[None]: ...

    def refused(self, kind: str) -> None: ...


class Till:
    """Writes into `books`, and gives back through `gate`. `clock` is the loop's."""

    def __init__(self, books: Books, gate: Gate, clock: Callable[[], float]) -> None:
        self._books = books
        self._gate = gate
        self._clock = clock
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._look: asyncio.TimerHandle | None = None
        self._running: dict[Exchange, float] = {}  # when each is to be noted, the first first
        self._round: asyncio.TimerHandle | None = None

    def note_later(self, exchange: Exchange) -> None:
        """About every second of a stream, what it has cost so far: its process may die."""
        if exchange.hold is not None and exchange.ask is not None and exchange.ask.stream:
            self._running[exchange] = self._clock() + CHECKPOINT_S
            if self._round is None:
                loop = asyncio.get_running_loop()
                self._round = loop.call_later(CHECKPOINT_S, self._note_due, loop)

    def _note_due(self, loop: asyncio.AbstractEventLoop) -> None:
        """One timer for all: what is noted together is written together."""
        now, running = self._clock(), self._running
        for _ in range(min(NOTES_MAX, len(running))):
            exchange, due_at = next(iter(running.items()))
            if due_at > now + NOTES_S / 2:  # timers may come a little early
                break
            del running[exchange]
            try:
                noted = outlook(exchange, now=now)
                if noted is not None:
                    exchange.noted = True
                    self._books.noted(noted)
                running[exchange] = now + CHECKPOINT_S
            except Exception:  # of one request, which must not keep the others from being noted
                log.exception("internal error", extra={"generation": exchange.id})
        self._round = None
        if running:
            wait_s = max(NOTES_S, next(iter(running.values())) - now)
            self._round = loop.call_later(wait_s, self._note_due, loop)

    async def withdraw(self, exchange: Exchange) -> None:
        """Who is told of an error is not charged, even if the process dies at once."""
        if exchange.noted and not exchange.settled:
            with suppress(Exception):
                await self._in_time(self._books.settled(self._end(exchange)))

    async def settle(self, exchange: Exchange) -> None:
        """Settles, and waits until a charge to somebody's credit is durable. Raises GatewayError
        `store_unavailable` where it takes too long: it is written all the same, as soon as the
        store takes it.
        """
        settlement = self._end(exchange)
        if not (settlement.charge_nano and settlement.pots):
            self._books.finished(settlement)
            return
        try:
            await self._in_time(self._books.settled(settlement))
        except Exception:
            raise GatewayError("store_unavailable", "The charge could not be written.") from None

    def _in_time(self, durable: asyncio.Future[None]) -> asyncio.Future[None]:
        """`durable`, which fails after `DURABLE_S`: one timer looks at all there are."""
        waiting = self._waiting
        while waiting and waiting[0][1].done():
            waiting.popleft()
        waiting.append((self._clock() + DURABLE_S, durable))
        if self._look is None:
            self._look = durable.get_loop().call_later(DURABLE_S, self._look_late)
        return durable

    def _look_late(self) -> None:
        self._look, now = None, self._clock()
        while self._waiting and (self._waiting[0][1].done() or self._waiting[0][0] <= now):
            late = self._waiting.popleft()[1]
            if not late.done():
                late.set_exception(TimeoutError())
        if self._waiting:
            at, first = self._waiting[0]
            self._look = first.get_loop().call_later(at - now, self._look_late)

    def finish(self, exchange: Exchange) -> None:
        """What is left to do on any way out; what was never admitted is counted, and has no row."""
        if exchange.admitted and not exchange.settled:
            self._books.finished(self._end(exchange))
        elif not exchange.admitted:
            if exchange.hold is not None:
                exchange.hold.void()
            self._gate.leave(exchange, None)
            if exchange.error is not None:
                self._books.refused(exchange.error.kind)
                log_refusal(exchange.error, exchange.key)

    def _end(self, exchange: Exchange) -> Settlement:
        """Fixes what is owed and ends hold and limits: exactly once, and without waiting."""
        self._running.pop(exchange, None)
        settlement = settle(exchange, now=self._clock(), owner=self._gate.owner)
        self._gate.leave(exchange, exchange.usage)
        return settlement
