"""The store's thread as a process sees it, over a disk with moods: slow, refusing, or forgetful.

It has the face of `stores.writer.Writer`. Every transaction waits a while, happens at one moment,
and waits again until its answer is there; a process that is killed before the moment has lost it,
one that is killed after it has done it without knowing. By the seed a transaction is refused, or
done and its answer lost: what must be kept is then done once more, what was called is told.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from enum import Enum
from random import Random
from typing import Any, Final, NamedTuple, TypeVar

from proxy.accounts.ledger import Settlement
from proxy.simulation.loop import Life
from proxy.stores.schema import StoreUnavailable
from proxy.wire.record import Generation

T = TypeVar("T")

GATHER_S: Final = 0.02
BATCH_MAX: Final = 20
RETRY_S_MAX: Final = 0.5


CALM_S: Final = 0.002  # half a transaction of a disk that is well


class Fate(Enum):
    """What becomes of a transaction."""

    DONE = "done"
    REFUSED = "refused"
    UNTOLD = "untold"  # done, and the answer is lost


class Weather:
    """How the disk is, for all processes: `refused` and `untold` are shares of transactions,
    `storms` spans of the loop's time in which all are refused.
    """

    def __init__(
        self,
        rng: Random,
        *,
        slow_s: float = CALM_S,
        refused: float = 0.0,
        untold: float = 0.0,
        storms: tuple[tuple[float, float], ...] = (),
    ) -> None:
        self._rng = rng
        self._slow_s = slow_s
        self._refused = refused
        self._untold = untold
        self._storms = storms

    def wait_s(self) -> float:
        """How long a half of the next transaction takes; a few take very long."""
        return self._rng.expovariate(1) * self._slow_s * (50 if self._rng.random() < 0.02 else 1)

    def clear(self) -> None:
        """From now on all is well, and no transaction takes as long as a process may to end."""
        self._refused = self._untold = 0.0
        self._slow_s = min(self._slow_s, CALM_S)
        self._storms = ()

    def fate(self, now: float) -> Fate:
        """What becomes of a transaction that happens now."""
        if any(begin <= now < end for begin, end in self._storms):
            return Fate.REFUSED
        draw = self._rng.random()
        if draw < self._refused:
            return Fate.REFUSED
        return Fate.UNTOLD if draw < self._refused + self._untold else Fate.DONE


class _Call(NamedTuple):
    fn: Callable[[Any], Any]
    future: asyncio.Future[Any]


class Disk:
    """A process's way to the `vault` that all share. `thread` is the life of the store's thread,
    `noted` is called with a word for the trace at the moment of each transaction.
    """

    def __init__(
        self, vault: Any, *, thread: Life, weather: Weather, noted: Callable[[str], None]
    ) -> None:
        self._vault = vault
        self._weather = weather
        self._noted = noted
        self._thread = thread
        self._clock = asyncio.get_running_loop().time
        self._rows: deque[Settlement] = deque()
        self._notes: dict[str, Settlement] = {}
        self._calls: deque[_Call] = deque()
        self._pending: dict[str, tuple[Settlement, asyncio.Future[None]]] = {}
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()
        self.healthy = True
        self.dropped = 0
        thread.run(self._serve())

    @property
    def pending(self) -> int:
        """How many settlements are not known to be kept."""
        return len(self._pending)

    def submit(self, settlement: Settlement) -> None:
        """Keep it, soon."""
        self._keep(settlement)
        self._wake.set()

    def settle(self, settlement: Settlement) -> asyncio.Future[None]:
        """Keep it at once; done when it is durable."""
        future = self._keep(settlement)
        self._urgent.set()
        self._wake.set()
        return future

    def _keep(self, settlement: Settlement) -> asyncio.Future[None]:
        id = settlement.generation.id
        known = self._pending.get(id)
        if known is not None:
            return known[1]
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending[id] = settlement, future
        self._notes.pop(id, None)
        self._rows.append(settlement)
        return future

    def checkpoint(self, settlement: Settlement) -> None:
        """Note what it would be charged now; nobody waits for it."""
        if settlement.generation.id not in self._pending:
            self._notes[settlement.generation.id] = settlement
            self._wake.set()

    def pending_generation(self, id: str) -> Generation | None:
        """A row that is not known to be kept."""
        known = self._pending.get(id)
        return None if known is None else known[0].generation

    async def call(self, fn: Callable[[Any], T]) -> T:
        """What `fn` returns or raises; StoreUnavailable where it may or may not have happened."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._calls.append(_Call(fn, future))
        self._urgent.set()
        self._wake.set()
        return await future

    async def drain(self) -> None:
        """Until all that was handed in is kept."""
        await asyncio.gather(*(future for _, future in self._pending.values()))

    async def _serve(self) -> None:
        pause_s = GATHER_S
        while True:
            await self._wake.wait()
            if not self._urgent.is_set():
                await asyncio.sleep(pause_s)
            self._wake.clear()
            self._urgent.clear()
            pause_s = await self._commit(pause_s)
            await self._note()
            await self._answer()
            if self._rows:
                self._wake.set()
                await asyncio.sleep(0)

    async def _commit(self, pause_s: float) -> float:
        """One group of settlements; the pause before the next."""
        batch = [self._rows.popleft() for _ in range(min(len(self._rows), BATCH_MAX))]
        if not batch:
            return GATHER_S
        try:
            await self._transact("settle", lambda vault: vault.settle(batch))
        except StoreUnavailable:
            self._rows.extendleft(reversed(batch))
            self.healthy = False
            return min(2 * pause_s, RETRY_S_MAX)
        self.healthy = True
        for one in batch:
            _, future = self._pending.pop(one.generation.id)
            if not future.done():
                future.set_result(None)
        return GATHER_S

    async def _note(self) -> None:
        notes, self._notes = self._notes, {}
        kept = [one for id, one in notes.items() if id not in self._pending]
        if kept:
            try:
                await self._transact("checkpoint", lambda vault: vault.checkpoint(kept))
            except StoreUnavailable:
                self._notes = notes | self._notes

    async def _answer(self) -> None:
        for _ in range(len(self._calls)):
            call = self._calls.popleft()
            try:
                result = await self._transact("call", call.fn)
            except Exception as error:
                if not call.future.done():
                    call.future.set_exception(error)
            else:
                if not call.future.done():
                    call.future.set_result(result)

    async def _transact(self, word: str, fn: Callable[[Any], T]) -> T:
        await asyncio.sleep(self._weather.wait_s())
        fate = self._weather.fate(self._clock())
        if fate is Fate.REFUSED:
            self._noted(f"{self._thread.name} {word} refused")
            raise StoreUnavailable("The disk refuses.")
        try:
            result = fn(self._vault)
        finally:
            self._noted(f"{self._thread.name} {word} {fate.value}")
        await asyncio.sleep(self._weather.wait_s())
        if fate is Fate.UNTOLD:
            raise StoreUnavailable("The answer is lost.")
        return result
