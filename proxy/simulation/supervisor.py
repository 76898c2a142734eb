"""The supervisor of simulated workers: it owns the limits, and its channel drops what it likes."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from proxy.accounts.bucket import moment
from proxy.accounts.lending import Borrower, Lender
from proxy.accounts.limits import Book, Claim, Taken
from proxy.simulation.loop import Life, Loop
from proxy.stores.limits import Lending, LentLimiter


class Supervisor:
    """Lends limits to workers. `lossy` is the share of messages, and of answers, that are lost."""

    def __init__(self, rng: Random, loop: Loop, *, wall: Callable[[], float], lossy: float) -> None:
        self._rng = rng
        self._loop = loop
        self._wall = wall
        self._lossy = lossy
        self._workers: dict[str, tuple[Life, LentLimiter]] = {}
        self.book = Book()
        self._lending = Lending(Lender(self.book), notify=self._notify, clock=loop.time, wall=wall)
        self.records = Records(loop.time)

    def join(self, name: str, life: Life) -> "Limits":
        """The limits of a worker that begins."""
        self._lending.join(name)

        async def request(channel: str, payload: Any) -> Any:
            return await self._request(name, payload)

        limiter = LentLimiter(Borrower(), request, clock=self._loop.time, wall=self._wall)
        self._workers[name] = life, limiter
        return Limits(name, limiter, self.records)

    def drop(self, name: str) -> None:
        """A worker has ended."""
        self._lending.drop(name)
        self.records.forget(name)

    def left(self, claim: Claim) -> int:
        """What the meter of `claim` has."""
        return self.book.left(claim, moment(self._loop.time(), self._wall()))

    def calm(self) -> None:
        """No message is lost any more."""
        self._lossy = 0.0

    async def _request(self, name: str, payload: Any) -> Any:
        await asyncio.sleep(self._rng.random() * 0.001)
        if self._rng.random() < self._lossy:
            raise TimeoutError
        reply = self._lending.handle(name, payload)
        await asyncio.sleep(self._rng.random() * 0.001)
        if self._rng.random() < self._lossy:
            raise TimeoutError
        return reply

    def _notify(self, worker: str, payload: Any) -> None:
        life, limiter = self._workers[worker]
        if self._rng.random() >= self._lossy:
            life.call_later(0.0, lambda: limiter.recall(payload))


class Records:
    """What was let in, as it happened: for each meter, when and how much."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.limits: dict[str, Claim] = {}
        self.let_in: dict[str, list[float]] = {}
        self.slots: Counter[tuple[str, str]] = Counter()  # in use, by worker and meter
        self.slots_most: Counter[str] = Counter()

    def take(self, worker: str, claims: Sequence[Claim]) -> None:
        """A request was let in."""
        for claim in claims:
            self.limits[claim.name] = claim
            if claim.kind == "requests":
                self.let_in.setdefault(claim.name, []).append(self._clock())
            elif claim.kind == "slots":
                self.slots[worker, claim.name] += claim.amount
                used = sum(count for (_, name), count in self.slots.items() if name == claim.name)
                self.slots_most[claim.name] = max(self.slots_most[claim.name], used)

    def finish(self, worker: str, claims: Sequence[Claim]) -> None:
        """A request has ended."""
        for claim in claims:
            if claim.kind == "slots":
                self.slots[worker, claim.name] -= claim.amount

    def forget(self, worker: str) -> None:
        """A worker has died, and its requests with it."""
        for key in [key for key in self.slots if key[0] == worker]:
            del self.slots[key]


class Limits:
    """A worker's limiter, with records of what it lets in."""

    def __init__(self, worker: str, limiter: LentLimiter, records: Records) -> None:
        self._worker = worker
        self._limiter = limiter
        self._records = records
        self.unfinished = 0

    def take(self, claims: Sequence[Claim]) -> Taken | None:
        """As a limiter's."""
        taken = self._limiter.take(claims)
        if taken is not None:
            self._note(taken)
        return taken

    async def ask(self, claims: Sequence[Claim]) -> Taken:
        """As a limiter's."""
        taken = await self._limiter.ask(claims)
        self._note(taken)
        return taken

    def _note(self, taken: Taken) -> None:
        self.unfinished += 1
        self._records.take(self._worker, taken.claims)

    def finish(self, taken: Taken, *, tokens: int) -> None:
        """As a limiter's."""
        if not taken.finished:
            self.unfinished -= 1
            self._records.finish(self._worker, taken.claims)
        self._limiter.finish(taken, tokens=tokens)

    @property
    def asking(self) -> bool:
        """Whether an answer is still to come, which may hold what nobody wants any more."""
        return bool(self._limiter._tasks)

    async def close(self) -> None:
        """As a limiter's."""
        await self._limiter.close()
