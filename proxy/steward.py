"""What a supervisor keeps for its workers: the limits that it lends them, and what the dead leave.

Each bucket is the supervisor's and exists once, whoever asks for a part of it. A worker tells who
it is in the ledger; when it ends, what it still has leased goes back at once. Were that to fail,
other workers notice by its silence.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

from proxy.accounts.bucket import moment
from proxy.accounts.lending import Lender
from proxy.accounts.limits import Book
from proxy.crew import Crew
from proxy.office import OWNER, RECALL
from proxy.stores.limits import CHANNEL, Lending
from proxy.stores.periods import DAY_S
from proxy.stores.schema import StoreUnavailable
from proxy.stores.writer import Writer

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def keeping(crew: Crew, store_url: str, *, wall: Callable[[], float]) -> AsyncIterator[None]:
    """Answers the workers of `crew`, and opens the store before any of them does.

    Raises StoreError where there can be none.
    """
    writer = await asyncio.to_thread(Writer.open, store_url)
    try:
        day = int(wall() // DAY_S)
        used = await writer.call(lambda store: store.ledger.free_today(day))
        steward = _Steward(crew, writer, wall)
        steward.book.load_days(used, moment(asyncio.get_running_loop().time(), wall()))
        try:
            yield
        finally:
            await steward.close()
    finally:
        await writer.close()


class _Steward:
    def __init__(self, crew: Crew, writer: Writer, wall: Callable[[], float]) -> None:
        self._crew = crew
        self._writer = writer
        self._wall = wall
        self._joined: set[int] = set()
        self._owners: dict[int, list[str]] = {}
        self._burials: set[asyncio.Task[None]] = set()
        self.book = Book()
        clock = asyncio.get_running_loop().time
        self._lending = Lending(Lender(self.book), notify=self._recall, clock=clock, wall=wall)
        crew.handlers[CHANNEL] = self._lend
        crew.handlers[OWNER] = self._meet
        crew.on_death = self._mourn

    def _lend(self, number: int, payload: Any) -> Any:
        if number not in self._joined:
            self._joined.add(number)
            self._lending.join(str(number))
        return self._lending.handle(str(number), payload)

    def _recall(self, name: str, payload: Any) -> None:
        worker = self._crew.workers.get(int(name))
        if worker is not None:
            worker.channel.notify(RECALL, payload)

    def _meet(self, number: int, owner: str) -> None:
        self._owners.setdefault(number, []).append(owner)

    def _mourn(self, number: int) -> None:
        if number in self._joined:
            self._joined.remove(number)
            self._lending.drop(str(number))
        for owner in self._owners.pop(number, ()):
            task = asyncio.create_task(self._bury(owner))
            self._burials.add(task)
            task.add_done_callback(self._burials.discard)

    async def _bury(self, owner: str) -> None:
        at = self._wall()
        try:
            await self._writer.call(lambda store: store.ledger.close_owner(owner, at=at))
        except StoreUnavailable as error:
            log.warning("leases of a dead worker stay for a while: %s", error)

    async def close(self) -> None:
        """Returns when all that the workers left is back."""
        await asyncio.gather(*self._burials)
