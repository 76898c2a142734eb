"""The one thread that speaks with the database for a running gateway, and its two queues.

    event loop                                  thread
    submit(row)  ──►  rows, without waiting ──►  commits them in groups
    call(fn)     ──►  calls, awaited        ──►  fn(store), between two groups

A row alone waits `GATHER_S` for company; a call, or the end, does not wait and ends the waiting of
rows. While the database is locked or full, rows stay here, up to `ROWS_MAX`, and are tried again
with growing pauses. A row that the database can not hold at all is dropped alone, so that it can
not hold up the others. Rows are appended to a deque and a dict, each of which is safe to share
between two threads operation by operation: the loop never waits for a lock.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeVar

from proxy.stores.schema import StoreUnavailable
from proxy.stores.sql import SqlStore
from proxy.wire.record import Generation

T = TypeVar("T")

GATHER_S: Final = 0.02  # a commit costs a sync of the disk, whether it holds one row or a hundred
BATCH_ROWS_MAX: Final = 500  # some 10 ms of work: no call waits longer than this behind rows
ROWS_MAX: Final = 100_000  # about 150 MB, and some minutes of a busy gateway without its database
RETRY_S_MAX: Final = 0.5
CLOSE_S_MAX: Final = 10.0
# Another process may hold the write lock. Waiting for it longer would keep calls from being
# answered, and a revoked key alive.
BUSY_TIMEOUT_MS: Final = 250

log = logging.getLogger(__name__)


class _Call(NamedTuple):
    fn: Callable[[SqlStore], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


class Writer:
    """Owns `store` from now on, and closes it. All methods belong to one event loop."""

    def __init__(self, store: SqlStore, *, rows_max: int = ROWS_MAX) -> None:
        self._store = store
        self._rows_max = rows_max
        self._rows: deque[Generation] = deque()
        self._calls: deque[_Call] = deque()
        self._pending: dict[str, Generation] = {}
        self._singly = 0  # so many rows are committed one by one, to find the unfit one
        self._wake = threading.Event()
        self._urgent = threading.Event()
        self._give_up_at: float | None = None  # set once, by `close`; time.monotonic
        self.healthy = True
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="weir-store", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, url: str) -> "Writer":
        """A writer for the store at `url`; raises what `SqlStore.open` raises."""
        return cls(SqlStore.open(url, busy_timeout_ms=BUSY_TIMEOUT_MS))

    @property
    def pending(self) -> int:
        """The number of rows that are not committed yet."""
        return len(self._pending)

    def submit(self, row: Generation) -> None:
        """Keep `row`, soon. Where too many are waiting it is dropped, and counted."""
        if row.id in self._pending:
            return
        if self._give_up_at is not None or len(self._pending) >= self._rows_max:
            self.dropped += 1
            return
        self._pending[row.id] = row
        self._rows.append(row)
        self._wake.set()

    def pending_generation(self, id: str) -> Generation | None:
        """The row `id`, as long as the store does not have it."""
        return self._pending.get(id)

    async def call(self, fn: Callable[[SqlStore], T]) -> T:
        """What `fn` returns or raises when the thread calls it.

        It sees the rows submitted before it, unless they are more than a group or the database
        refuses them. It runs also when its caller is cancelled. Raises StoreUnavailable once the
        writer is closed.
        """
        if self._give_up_at is not None:
            raise StoreUnavailable("The store is closed.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._calls.append(_Call(fn, loop, future))
        self._urgent.set()
        self._wake.set()
        return await future

    async def close(self, *, timeout_s: float = CLOSE_S_MAX) -> None:
        """Commit what is pending, answer all calls, close the store.

        Where the database refuses for `timeout_s`, what is left is dropped, and the log says so.
        """
        if self._give_up_at is None:
            self._give_up_at = time.monotonic() + timeout_s
            self._urgent.set()
            self._wake.set()
        # The thread may be in its last pause or its last commit when the time is over.
        await asyncio.to_thread(self._thread.join, timeout_s + 1.0)

    # All below runs in the thread.

    def _run(self) -> None:
        try:
            self._serve()
        finally:
            self.healthy = False
            self._store.close()
            for call in self._calls:
                _deliver(call, None, StoreUnavailable("The store is closed."))
            if self._pending:
                self.dropped += len(self._pending)
                log.error("store closed, generation records lost: %d", len(self._pending))

    def _serve(self) -> None:
        pause_s = GATHER_S
        while self._give_up_at is None or self._unfinished(self._give_up_at):
            self._wake.wait()
            self._urgent.wait(pause_s)
            # Cleared before the queues are read: what comes later sets them again.
            self._wake.clear()
            self._urgent.clear()
            pause_s = self._commit(pause_s)
            self._answer()
            if self._rows:
                self._wake.set()

    def _unfinished(self, give_up_at: float) -> bool:
        """Whether the end must wait: there is something to do, and time to do it."""
        return bool(self._rows or self._calls) and time.monotonic() < give_up_at

    def _commit(self, pause_s: float) -> float:
        """Commit one group of rows; returns the pause before the next one."""
        batch = self._take()
        if not batch:
            return GATHER_S
        try:
            self._store.add_generations(batch)
        except StoreUnavailable as error:
            self._rows.extendleft(reversed(batch))
            self._turn(healthy=False, why=str(error))
            return min(2 * max(pause_s, GATHER_S), RETRY_S_MAX)
        except Exception as error:
            if len(batch) > 1:
                self._rows.extendleft(reversed(batch))
                self._singly = len(batch)
                return 0.0
            self.dropped += 1
            # Only the error's class: its text may hold what a caller sent.
            log.error("generation record unfit for the store: %s", type(error).__name__)
        for row in batch:
            self._pending.pop(row.id, None)
        self._turn(healthy=True, why="")
        return 0.0 if self._singly or len(self._rows) >= BATCH_ROWS_MAX else GATHER_S

    def _take(self) -> list[Generation]:
        count_max = 1 if self._singly else BATCH_ROWS_MAX
        self._singly = max(0, self._singly - 1)
        return [self._rows.popleft() for _ in range(min(len(self._rows), count_max))]

    def _turn(self, *, healthy: bool, why: str) -> None:
        if healthy and not self.healthy:
            log.warning("store takes records again")
        elif self.healthy and not healthy:
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
    # A loop that is closed has nobody left who waits.
    with suppress(RuntimeError):
        call.loop.call_soon_threadsafe(_settle, call.future, result, error)


def _settle(future: asyncio.Future[Any], result: object, error: Exception | None) -> None:
    if future.done():  # its caller was cancelled
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
