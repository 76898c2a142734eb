"""How the pipeline takes from limits: from this process's book, or from what a supervisor lends."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import msgspec

from proxy.accounts.bucket import Moment, moment
from proxy.accounts.lending import Borrower, Lender, Message
from proxy.accounts.limits import Book, Claim, Taken
from proxy.errors import GatewayError

ASK_S: Final = 2.0
RECALL_S: Final = 0.25  # as long as a request waits for money that others must return first
RECALL_POLL_S: Final = 0.01
RETRY_S: Final = 0.1
TICK_S: Final = 0.5  # parts are unused for a second, and a tick at most, before they go back

CHANNEL: Final = "limits"
"""The name under which `LentLimiter` asks and `Lending.handle` answers."""

Clock: TypeAlias = Callable[[], float]
Request: TypeAlias = Callable[[str, Any], Awaitable[Any]]

T = TypeVar("T")

log = logging.getLogger(__name__)


class Limiter(Protocol):
    """Limits as a request meets them. What was taken must be finished on every way out."""

    def take(self, claims: Sequence[Claim]) -> Taken | None:
        """Take all claims at once, or None where they must be asked for.

        Raises GatewayError `rate_limited` where that is known.
        """

    async def ask(self, claims: Sequence[Claim]) -> Taken:
        """Take all claims. When the caller is cancelled, what comes for it goes back.

        Raises GatewayError `rate_limited`, or `store_unavailable` when nobody answers.
        """

    def finish(self, taken: Taken, *, tokens: int) -> None:
        """The request has ended and used `tokens`. Only the first call does anything."""


class LocalLimiter:
    """One process: the book is here. `clock` is monotonic, `wall` the calendar's; seconds."""

    def __init__(self, book: Book, *, clock: Clock, wall: Clock) -> None:
        self._book = book
        self._clock = clock
        self._wall = wall

    def take(self, claims: Sequence[Claim]) -> Taken:
        """Never None: all there is to know is known here."""
        return self._book.take(claims, moment(self._clock(), self._wall()))

    async def ask(self, claims: Sequence[Claim]) -> Taken:
        return self.take(claims)

    def finish(self, taken: Taken, *, tokens: int) -> None:
        self._book.finish(taken, tokens=tokens, at=moment(self._clock(), self._wall()))


class LentLimiter:
    """A worker among several. `request(CHANNEL, payload)` brings the supervisor's answer, or raises
    OSError (TimeoutError is one) where none came; the same message is sent again then, and applied
    once.

    When the supervisor does not answer, a worker goes on with the parts it was lent and refuses the
    rest with 503, after `ASK_S` and then at once until it answers again: each worker would else
    give a share of its own, and a limit would not be one. An answer that comes late goes back, as
    it does for a caller that has gone; that the request was made counts all the same, in requests
    per minute and per day.
    """

    def __init__(self, borrower: Borrower, request: Request, *, clock: Clock, wall: Clock) -> None:
        self._borrower = borrower
        self._request = request
        self._clock = clock
        self._wall = wall
        self._tasks: set[asyncio.Task[Any]] = set()
        self._returning: asyncio.Task[None] | None = None
        self._tick: asyncio.TimerHandle | None = None
        self._silent = False  # the supervisor, while it owes us an answer

    def take(self, claims: Sequence[Claim]) -> Taken | None:
        return self._borrower.take(claims, self._at())

    async def ask(self, claims: Sequence[Claim]) -> Taken:
        if self._silent:
            raise _unchecked()
        # In a task of its own, which outlives its caller: the answer may hold what must go back.
        asking = self._spawn(self._ask(claims))
        try:
            await asyncio.wait((asking,), timeout=ASK_S)
        except asyncio.CancelledError:
            asking.add_done_callback(self._unwanted)
            raise
        if asking.done():
            return asking.result()
        asking.add_done_callback(self._unwanted)
        self._silent = True
        log.error("The supervisor does not answer: limits can not be checked.")
        raise _unchecked()

    def finish(self, taken: Taken, *, tokens: int) -> None:
        self._borrower.finish(taken, tokens=tokens)
        self._return()

    def recall(self, payload: Any) -> None:
        """The supervisor asks for parts: what `Lending` gave to `notify`."""
        self._borrower.recall(msgspec.convert(payload, list[str]))
        self._return()

    async def close(self) -> None:
        """Return what is left, if the supervisor takes it within `ASK_S`, and ask no more."""
        self._borrower.return_all()
        self._return()
        if self._returning is not None:
            await asyncio.wait((self._returning,), timeout=ASK_S)
        if self._tick is not None:
            self._tick.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, claims: Sequence[Claim]) -> Taken:
        give_up_at = self._clock() + RECALL_S
        while True:
            message = self._borrower.ask(claims, last=self._clock() >= give_up_at)
            taken = self._borrower.absorb(message, await self._send(message), self._at())
            self._watch()
            if taken is not None:
                return taken
            await asyncio.sleep(RECALL_POLL_S)

    async def _send(self, message: Message) -> Any:
        payload = msgspec.to_builtins(message)
        while True:
            try:
                reply = await self._request(CHANNEL, payload)
            except OSError:
                await asyncio.sleep(RETRY_S)
            else:
                self._silent = False
                return reply

    def _unwanted(self, asking: asyncio.Task[Taken]) -> None:
        self._silent = False
        if not asking.cancelled() and asking.exception() is None:
            self.finish(asking.result(), tokens=0)

    def _return(self) -> None:
        """Send what is to be returned. While one such message is under way, more gathers."""
        if self._returning is None and (message := self._borrower.outbox()):
            self._returning = self._spawn(self._send_returns(message))

    async def _send_returns(self, message: Message | None) -> None:
        try:
            while message is not None:
                self._borrower.absorb(message, await self._send(message), self._at())
                message = self._borrower.outbox()
        except GatewayError:
            log.exception("The supervisor knows this worker no more.")
        finally:
            self._returning = None

    def _watch(self) -> None:
        if self._tick is None and self._borrower.lent:
            self._tick = asyncio.get_running_loop().call_later(TICK_S, self._return_idle)

    def _return_idle(self) -> None:
        self._tick = None
        self._borrower.return_idle(self._at())
        self._return()
        self._watch()

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _at(self) -> Moment:
        return moment(self._clock(), self._wall())


def _unchecked() -> GatewayError:
    return GatewayError(
        "store_unavailable", "The limits can not be checked.", headers={"Retry-After": "1"}
    )


class Lending:
    """The supervisor's side: a Lender with clocks and a way to speak first. `notify(worker,
    payload)` sends to a worker's `LentLimiter.recall`; it may fail silently, since workers return
    what they do not use anyway.
    """

    def __init__(
        self,
        lender: Lender,
        *,
        notify: Callable[[str, Any], None],
        clock: Clock,
        wall: Clock,
    ) -> None:
        self._lender = lender
        self._notify = notify
        self._clock = clock
        self._wall = wall

    def join(self, worker: str) -> None:
        """A worker begins; its name was never used before."""
        self._lender.join(worker)

    def drop(self, worker: str) -> None:
        """A worker has ended, in peace or not."""
        self._lender.drop(worker, self._at())

    def handle(self, worker: str, payload: Any) -> Any:
        """The answer to what `worker` asks on `CHANNEL`."""
        reply = self._lender.handle(worker, payload, self._at())
        for other, recall in self._lender.recalls():
            self._notify(other, recall)
        return reply

    def _at(self) -> Moment:
        return moment(self._clock(), self._wall())
