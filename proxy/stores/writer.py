"""The one thread that speaks with the database for a running gateway, and its queues.

    event loop                                       thread
    settle(settlement)      ──►  one queue, FIFO ──►  commits them in groups, then one call back
    submit(settlement)      ──►                       to the loop for all futures of a group
    checkpoint(settlement)  ──►  the last of each ──►  noted after the group
    call(fn)                ──►  calls, awaited   ──►  fn(store), between two groups

What is submitted waits `GATHER_S` for company. Where somebody waits for a settlement or a call, or
at the end, nothing waits: what arrives during one commit is the next group, which gathers for
`CROWD_S` only where the last one was a crowd. While the database is locked or full, settlements
stay here, up to `ROWS_MAX`, and are tried again with growing pauses. A settlement that the database
can not hold at all fails alone, so that it can not hold up the others.
Queues are deques and dicts, whose operations are safe between threads: the loop waits for no lock.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeVar

from proxy.accounts.ledger import Settlement
from proxy.stores.alarm import Alarm
from proxy.stores.schema import StoreUnavailable
from proxy.stores.sql import SqlStore
from proxy.wire.record import Generation

T = TypeVar("T")

GATHER_S: Final = 0.02  # a commit costs a sync of the disk, whether it holds one row or a hundred
CROWD_S: Final = 0.001
CROWD_ROWS: Final = 4
BATCH_ROWS_MAX: Final = 500  # some 10 ms of work: no call waits longer than this behind rows
ROWS_MAX: Final = 100_000  # about 150 MB, and some minutes of a busy gateway without its database
RETRY_S_MAX: Final = 0.5
CLOSE_S_MAX: Final = 10.0
STUCK_S: Final = 5.0
BUSY_TIMEOUT_MS: Final = 250  # of other writers; calls wait meanwhile, and a revoked key lives

log = logging.getLogger(__name__)


class _Call(NamedTuple):
    fn: Callable[[SqlStore], Any]
    future: asyncio.Future[Any]


class Writer:
    """Owns `store` from now on, and closes it. All methods belong to one event loop."""

    def __init__(self, store: SqlStore, *, rows_max: int = ROWS_MAX) -> None:
        self._store = store
        self._rows_max = rows_max
        self._rows: deque[Settlement] = deque()
        self._notes: dict[str, Settlement] = {}
        self._calls: deque[_Call] = deque()
        # Both belong to the loop: what is durable leaves them by the one call back of its group.
        self._pending: dict[str, Settlement] = {}
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._singly = 0  # so many rows are committed one by one, to find the unfit one
        self._alarm = Alarm()
        self._crowd = 0  # rows of the last group
        self._give_up_at: float | None = None  # set once, by `close`; time.monotonic
        self.healthy = True
        self._failing_since = 0.0  # time.monotonic, while it is not
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="weir-store", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, url: str) -> "Writer":
        """A writer for the store at `url`; raises what `SqlStore.open` raises."""
        return cls(SqlStore.open(url, busy_timeout_ms=BUSY_TIMEOUT_MS))

    @property
    def pending(self) -> int:
        """How many settlements are not known to be durable."""
        return len(self._pending)

    def stuck(self) -> bool:
        """Whether the store has refused for so long that no new charge should be run up."""
        return not self.healthy and time.monotonic() - self._failing_since > STUCK_S

    def submit(self, settlement: Settlement) -> None:
        """Keep it, soon. Where too many are waiting it is dropped, and counted."""
        if self._enqueue(settlement):
            self._alarm.ring()

    def settle(self, settlement: Settlement) -> asyncio.Future[None]:
        """Keep it at once; the future is done when it is durable. It fails with StoreUnavailable
        where too many are waiting or the writer closes first, else with what the store said.
        """
        future: asyncio.Future[None] = (self._loop or asyncio.get_running_loop()).create_future()
        if not self._enqueue(settlement):
            future.set_exception(StoreUnavailable("The store takes no more settlements."))
            return future
        self._waiting.setdefault(settlement.generation.id, []).append(future)
        if not self.healthy:
            self._alarm.ring()  # it waits like all others
        elif not self._alarm.urgent:
            self._alarm.hurry()
        return future

    def _enqueue(self, settlement: Settlement) -> bool:
        """Queue it unless it is queued already; whether it is."""
        id = settlement.generation.id
        if id in self._pending:
            return True
        if self._give_up_at is not None or len(self._pending) >= self._rows_max:
            self.dropped += 1
            return False
        self._loop = self._loop or asyncio.get_running_loop()
        self._pending[id] = settlement
        self._rows.append(settlement)
        self._notes.pop(id, None)
        return True

    def checkpoint(self, settlement: Settlement) -> None:
        """Note what a running generation would be charged now; the last one counts. One that is too
        many is left out: it serves only where this process dies.
        """
        id = settlement.generation.id
        full = len(self._notes) >= self._rows_max and id not in self._notes
        if id not in self._pending and self._give_up_at is None and not full:
            self._notes[id] = settlement
            self._alarm.ring()

    def pending_generation(self, id: str) -> Generation | None:
        """The row `id`, as long as the store is not known to have it."""
        settlement = self._pending.get(id)
        return None if settlement is None else settlement.generation

    async def call(self, fn: Callable[[SqlStore], T]) -> T:
        """What `fn` returns or raises when the thread calls it.

        It sees the settlements queued before it, unless they are more than a group or the database
        refuses them. It runs also when its caller is cancelled. Raises StoreUnavailable once the
        writer is closed.
        """
        if self._give_up_at is not None:
            raise StoreUnavailable("The store is closed.")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._calls.append(_Call(fn, future))
        self._alarm.hurry()
        return await future

    async def close(self, *, timeout_s: float = CLOSE_S_MAX) -> None:
        """Commit what is pending, answer all calls, close the store.

        Where the database refuses for `timeout_s`, what is left is dropped, and the log says so.
        """
        if self._give_up_at is None:
            self._give_up_at = time.monotonic() + timeout_s
            self._alarm.hurry()
        # The thread may be in its last pause or its last commit when the time is over.
        await asyncio.to_thread(self._thread.join, timeout_s + 1.0)

    def _done(self, batch: Sequence[Settlement], error: Exception | None) -> None:
        """Called back by the thread: the end of `batch`."""
        for settlement in batch:
            self._pending.pop(id := settlement.generation.id, None)
            for future in self._waiting.pop(id, ()):
                if error is not None or future.done():
                    _settle(future, None, error)
                else:
                    future.set_result(None)

    # All below runs in the thread.

    def _run(self) -> None:
        try:
            self._serve()
        finally:
            self.healthy, self._give_up_at = False, 0.0  # nobody is to wait for it any more
            self._store.close()
            closed = StoreUnavailable("The store is closed.")
            for call in self._calls:
                _deliver(call, None, closed)
            if self._rows:
                self.dropped += len(self._rows)
                log.error("store closed, settlements lost: %d", len(self._rows))
                self._tell(list(self._rows), closed)

    def _serve(self) -> None:
        pause_s = GATHER_S
        while self._give_up_at is None or self._unfinished(self._give_up_at):
            self._alarm.rest(pause_s, self._has_rows)
            if self._crowd >= CROWD_ROWS and self._give_up_at is None:
                time.sleep(CROWD_S)
            pause_s = self._commit(pause_s)
            self._answer()

    def _has_rows(self) -> bool:
        return bool(self._rows or self._notes)

    def _unfinished(self, give_up_at: float) -> bool:
        """Whether the end must wait: there is something to do, and time to do it."""
        return bool(self._rows or self._calls) and time.monotonic() < give_up_at

    def _commit(self, pause_s: float) -> float:
        """Commit one group of settlements and the checkpoints; the pause before the next group."""
        batch, notes = self._take(), self._take_notes()
        self._crowd = len(batch)
        if not batch and not notes:
            return GATHER_S
        try:
            self._keep(batch)
            self._note(notes)
        except StoreUnavailable as error:
            for note in notes:  # written twice is written once, and a newer one stays
                self._notes.setdefault(note.generation.id, note)
            self._turn(healthy=False, why=str(error))
            return min(2 * max(pause_s, GATHER_S), RETRY_S_MAX)
        self._turn(healthy=True, why="")
        return 0.0 if self._singly or len(self._rows) >= BATCH_ROWS_MAX else GATHER_S

    def _take(self) -> list[Settlement]:
        count_max = 1 if self._singly else BATCH_ROWS_MAX
        self._singly = max(0, self._singly - 1)
        return [self._rows.popleft() for _ in range(min(len(self._rows), count_max))]

    def _take_notes(self) -> list[Settlement]:
        notes: list[Settlement] = []
        with suppress(KeyError):  # none is left: the loop took one away
            while self._notes and len(notes) < BATCH_ROWS_MAX:
                notes += (self._notes.popitem()[1],)
        return notes

    def _keep(self, batch: list[Settlement]) -> None:
        unfit: Exception | None = None
        try:
            self._store.ledger.settle(batch)
        except StoreUnavailable:
            self._rows.extendleft(reversed(batch))
            raise
        except Exception as error:
            if len(batch) > 1:
                self._rows.extendleft(reversed(batch))
                self._singly = len(batch)
                return
            unfit = error
            self.dropped += 1
            # Only the error's class: its text may hold what a caller sent.
            log.error("settlement unfit for the store: %s", type(error).__name__)
        self._tell(batch, unfit)

    def _note(self, notes: list[Settlement]) -> None:
        try:
            self._store.ledger.checkpoint(notes)
        except Exception as error:
            if isinstance(error, StoreUnavailable):
                raise
            for note in notes if len(notes) > 1 else ():
                self._note([note])
            if len(notes) == 1:
                log.error("checkpoint unfit for the store: %s", type(error).__name__)

    def _tell(self, batch: Sequence[Settlement], error: Exception | None) -> None:
        if batch and self._loop is not None:
            with suppress(RuntimeError):  # a loop that is closed has nobody left who waits
                self._loop.call_soon_threadsafe(self._done, batch, error)

    def _turn(self, *, healthy: bool, why: str) -> None:
        if healthy and not self.healthy:
            log.warning("store takes records again")
        elif self.healthy and not healthy:
            self._failing_since = time.monotonic()
            log.warning("store refuses records: %s", why)
        self.healthy = healthy

    def _answer(self) -> None:
        """Run the calls there are; those that come meanwhile let a group of rows go first."""
        for _ in range(len(self._calls)):
            call = self._calls.popleft()
            try:
                result = call.fn(self._store)
            except Exception as error:
                _deliver(call, None, error)
            else:
                _deliver(call, result, None)


def _deliver(call: _Call, result: object, error: Exception | None) -> None:
    with suppress(RuntimeError):  # as above
        call.future.get_loop().call_soon_threadsafe(_settle, call.future, result, error)


def _settle(future: asyncio.Future[Any], result: object, error: Exception | None) -> None:
    if future.done():  # its caller was cancelled
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
