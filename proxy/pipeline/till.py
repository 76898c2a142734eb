"""What is written down of a request, and the end of what it holds: notes while it runs, one bill.

Whatever the way out of the story, hold and limits end exactly once, and what is owed is fixed then.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from proxy.accounts.keys import Key
from proxy.accounts.ledger import Settlement
from proxy.errors import GatewayError
from proxy.pipeline.admit import Gate
from proxy.pipeline.exchange import Exchange
from proxy.pipeline.notes import log_refusal, log_request
from proxy.pipeline.settle import outlook, settle
from proxy.wire.record import Try

DURABLE_S: Final = 5.0  # for a charge to be written, before the caller is told that it was not
CHECKPOINT_S: Final = 1.0


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

    def note_later(self, exchange: Exchange) -> None:
        """Every second of a stream, what it has cost so far: its process may die."""
        if exchange.hold is not None and exchange.ask is not None and exchange.ask.stream:
            loop = asyncio.get_running_loop()
            exchange.timer = loop.call_later(CHECKPOINT_S, self._note, exchange)

    def _note(self, exchange: Exchange) -> None:
        noted = outlook(exchange, now=self._clock())
        if noted is not None:
            exchange.noted = True
            self._books.noted(noted)
        self.note_later(exchange)

    async def withdraw(self, exchange: Exchange) -> None:
        """Who is told of an error is not charged, even if the process dies at once."""
        if exchange.noted and not exchange.settled:
            durable = self._books.settled(self._end(exchange))
            await asyncio.wait([durable], timeout=DURABLE_S)

    async def settle(self, exchange: Exchange) -> None:
        """Settles, and waits until a charge to somebody's credit is durable. Raises GatewayError
        `store_unavailable` where it takes too long: it is written all the same, as soon as the
        store takes it.
        """
        settlement = self._end(exchange)
        if not (settlement.charge_nano and settlement.pots):
            self._books.finished(settlement)
            return
        durable = self._books.settled(settlement)
        await asyncio.wait([durable], timeout=DURABLE_S)
        if not durable.done() or durable.exception() is not None:
            raise GatewayError("store_unavailable", "The charge could not be written.")

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
        if exchange.timer is not None:
            exchange.timer.cancel()
        settlement = settle(exchange, now=self._clock(), owner=self._gate.owner)
        self._gate.leave(exchange, exchange.usage)
        log_request(settlement.generation, exchange.key)
        return settlement
