"""The books of a running gateway: who may call, what they spent, and every trace a request leaves.

The story of a request is given this as `pipeline.till.Books`, the account's routes ask it, and it
alone speaks with the store's writer for both.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from proxy.accounts.bucket import moment
from proxy.accounts.keys import Key
from proxy.accounts.ledger import Balance, Settlement
from proxy.accounts.lending import Borrower
from proxy.accounts.limits import FREE_UNLOCK_NANO, Book, Rules
from proxy.api import account
from proxy.journal import Journal
from proxy.metrics import Metrics
from proxy.pipeline.admit import Gate
from proxy.serving.channel import Channel
from proxy.stores.feedback import Feedback
from proxy.stores.limits import ASK_S, LentLimiter, LocalLimiter
from proxy.stores.memory import Keyring
from proxy.stores.periods import DAY_S, Periods
from proxy.stores.presets import SqlPresets
from proxy.stores.treasury import Treasury
from proxy.stores.writer import Writer
from proxy.wire.presets import Draft, Preset
from proxy.wire.record import Generation, Try

WRITTEN_S: Final = 10.0

OWNER: Final = "owner"
"""The notice by which a worker tells its supervisor who it is in the ledger."""

RECALL: Final = "limits.recall"
"""The notice by which the supervisor asks for lent limits."""

log = logging.getLogger(__name__)


class Office:
    """Made by `open`, ended by `close`. With `channel` this is one of several workers, and limits
    are lent by their supervisor.
    """

    def __init__(
        self,
        writer: Writer,
        *,
        wall: Callable[[], float],
        new_id: Callable[[], str],
        rules: Callable[[], Rules],
        channel: Channel | None,
    ) -> None:
        self._writer = writer
        self._keyring = Keyring()
        self.key = self._keyring.find  # as of a quarter of a second ago
        self.preset = self._keyring.preset  # likewise
        self._rules = rules
        self._channel = channel
        self._new_id = new_id
        self._wall = wall
        clock = asyncio.get_running_loop().time
        self._journal = Journal(asyncio.get_running_loop())
        self.metrics = Metrics()
        self.treasury = Treasury(
            lambda work: writer.call(lambda store: work(store.ledger)),
            new_owner=self._new_owner,
            clock=clock,
            wall=wall,
        )
        self._book = Book()
        self.limiter: LocalLimiter | LentLimiter
        if channel is None:
            self.limiter = LocalLimiter(self._book, clock=clock, wall=wall)
        else:
            lent = LentLimiter(Borrower(), self._ask, clock=clock, wall=wall)
            channel.handlers[RECALL] = lent.recall
            self.limiter = lent
        self.gate = Gate(
            self.treasury,
            self.limiter,
            bought=self._keyring.granted,
            clock=clock,
            stuck=writer.stuck,
        )

    async def open(self) -> None:
        """Reads what must be known and begins as an owner of the ledger.

        Raises StoreError.
        """
        await self._keyring.start(self._writer)
        await self.treasury.open()
        now = self._wall()
        if self._channel is None:
            used = await self._writer.call(lambda store: store.ledger.free_today(_day(now)))
            self._book.load_days(used, moment(asyncio.get_running_loop().time(), now))

    def _new_owner(self) -> str:
        """The supervisor hears of it first: it is who takes back the leases of a dead worker."""
        owner = self._new_id()
        if self._channel is not None:
            self._channel.notify(OWNER, owner)
        return owner

    async def _ask(self, name: str, payload: Any) -> Any:
        assert self._channel is not None
        return await self._channel.request(name, payload, timeout_s=ASK_S)

    async def close(self) -> None:
        """Returns all leases and lent limits, and writes what is still to be written."""
        await self._keyring.stop()
        if isinstance(self.limiter, LentLimiter):
            await self.limiter.close()
        if await self._written():  # else what is left is worth more than the leases
            await self.treasury.close()
        await self._writer.close()

    async def _written(self) -> bool:
        """Whether every settlement is durable; waits for it, for a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(WRITTEN_S):
                while self._writer.pending:  # noqa: ASYNC110  rows leave in groups
                    await asyncio.sleep(0.01)
        return not self._writer.pending

    @property
    def healthy(self) -> bool:
        """Whether the store can be written and read."""
        return self._writer.healthy and self._keyring.healthy

    def gauges(self) -> dict[str, float]:
        """The store's own figures for `/metrics`."""
        return {
            "weir_store_pending_rows": self._writer.pending,
            "weir_store_dropped_rows_total": self._writer.dropped,
            "weir_store_healthy": float(self._writer.healthy),
            "weir_held_usd": self.treasury.held_nano / 1e9,
        }

    # What the story of a request is given.

    def tried(self, note: Try) -> None:
        """Counts one call to a provider."""
        self.metrics.attempts[note.provider, note.error or "ok"] += 1

    def noted(self, settlement: Settlement) -> None:
        """Keeps what a running request would be charged if this process died."""
        self._writer.checkpoint(settlement)

    def finished(self, settlement: Settlement) -> None:
        """Keeps, counts and logs one finished request, soon."""
        self._writer.submit(settlement)
        self._over(settlement.generation)

    def settled(self, settlement: Settlement) -> asyncio.Future[None]:
        """The same; the future is done once it is durable."""
        self._over(settlement.generation)
        return self._writer.settle(settlement)

    def _over(self, row: Generation) -> None:
        self.metrics.record(row)
        key = self.key(row.key_hash) if row.key_hash else None
        self._journal.tell(row, key.label if key else None)

    def refused(self, kind: str) -> None:
        """Counts a request that never became a generation."""
        self.metrics.refusals[kind] += 1

    # What the account's routes ask.

    async def spent(self, key: Key | None, since: Periods) -> account.Spent:
        """What the key spent, ever and in each period."""
        if key is None:
            return account.Spent(0, 0, 0, 0)
        used = await self._writer.call(
            lambda store: store.key_usage(
                key.hash, day_start=since.day, week_start=since.week, month_start=since.month
            )
        )
        return account.Spent(used.total_nano, used.daily_nano, used.weekly_nano, used.monthly_nano)

    async def balance(self, name: str) -> Balance:
        """How the account stands."""
        return await self._writer.call(lambda store: store.ledger.balance(name))

    async def free(self, balance: Balance) -> account.Free:
        """The account's quota of requests to free models, and what it used today."""
        rules = self._rules()
        bought = balance.granted_nano >= FREE_UNLOCK_NANO
        limit = rules.free_requests_per_day
        if bought:
            limit = rules.free_requests_per_day_with_credit
        today = _day(self._wall())
        used = await self._writer.call(lambda store: store.ledger.free_today(today))
        return account.Free(limit, used.get(balance.account, 0))

    async def find(self, id_: str, key: Key | None) -> Generation | None:
        """The record of a generation that this key, or its account, made."""
        key_hash = key.hash if key else None
        row = self._writer.pending_generation(id_)
        if row is not None and (key is None or row.account == key.account):
            return row
        return await self._writer.call(lambda store: store.generation(id_, key_hash=key_hash))

    async def presets(self, ask: Callable[[SqlPresets], Any]) -> Any:
        """What `ask` is told by the presets that are kept."""
        return await self._writer.call(lambda store: ask(store.presets))

    async def preset_added(
        self, account: str, slug: str, draft: Draft, *, creator: str, now: float
    ) -> Preset:
        """Keeps a new version of a preset, and goes by it. Raises StoreError."""
        made = await self._writer.call(
            lambda store: store.presets.add(account, slug, draft, creator=creator, now=now)
        )
        await self._keyring.refresh(self._writer)
        return made

    async def remark(self, said: Feedback) -> None:
        """Keeps what was said of an answer."""
        await self._writer.call(lambda store: store.put_feedback(said))


def _day(now: float) -> int:
    return int(now // DAY_S)
