"""The credit that this process may spend without asking: leases in the store, holds in memory.

`hold` is dictionary and integer work. Only where the lease runs short is the store asked, one call
at a time for each pot. Where the pot runs dry, other processes are asked for what they have and do
not need; they look every `RECALL_POLL_S`, who is alone every `ALONE_POLL_S`. Who waits is refused
once nobody has the money.

Every process shows life by a number that it raises (`accounts/pulse.py`), and returns the leases of
those that do not. One that was only asleep is fenced: its leases are gone, what it still settles is
taken from what is available, and it begins anew.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

from proxy.accounts.ledger import Fenced, Lease, Pot, Short, Vault
from proxy.accounts.pulse import Pulses
from proxy.accounts.purse import Hold, Purse, open_hold
from proxy.stores.schema import StoreUnavailable

T = TypeVar("T")
_Work: TypeAlias = Callable[[], Awaitable[None]]

WAIT_S: Final = 0.25  # of a request for other processes to give back what they do not need
LATE_S: Final = 1.0  # the same while one of them that lives has not answered yet
BUSY_S: Final = 2.0  # for a store that others write to
WAIT_POLL_S: Final = 0.01
DRY_S: Final = 0.05  # so long a refusal holds for those who ask for as much
RECALL_POLL_S: Final = 0.05
ALONE_POLL_S: Final = 0.25  # somebody new, who is not known before the next beat, waits `LATE_S`
BEAT_S: Final = 2.0
IDLE_S: Final = 60.0
CHUNK_NANO: Final = 1_000_000_000  # 1 USD: an ordinary lease lasts for many requests
CHUNK_HOLDS: Final = 64

log = logging.getLogger(__name__)


class _Account(Purse):
    """A purse of `owner`, and the line of those who wait for it. `users` are those whose holds may
    still take from it.
    """

    __slots__ = ("dry_at", "dry_left_nano", "dry_nano", "known", "lock", "owner", "users")

    def __init__(self, pot: Pot, owner: str, now: float) -> None:
        super().__init__(pot)
        self.owner = owner
        self.touched_at = now
        self.users = 0
        self.lock = asyncio.Lock()
        self.dry_at = float("-inf")
        self.dry_nano = self.dry_left_nano = 0
        self.known = False  # what the store has settled of an earlier purse of this owner


class Treasury:
    """The purses of one process. `new_owner` names it anew each time it begins; `wall` is the
    calendar's clock, for the rows.
    """

    def __init__(
        self,
        call: Callable[[Callable[[Vault], Any]], Awaitable[Any]],
        *,
        new_owner: Callable[[], str],
        clock: Callable[[], float],
        wall: Callable[[], float],
        idle_s: float = IDLE_S,
    ) -> None:
        self._call = call
        self._idle_s = idle_s
        self._new_owner = new_owner
        self._clock = clock
        self._wall = wall
        self._purses: dict[str, _Account] = {}
        self._pulses = Pulses()
        self._tasks: list[asyncio.Task[None]] = []
        self._beginning = asyncio.Lock()
        self._poll_s = RECALL_POLL_S
        self.owner = ""

    async def open(self) -> None:
        """Begin; raises StoreUnavailable."""
        await self._begin()
        rounds = (lambda: BEAT_S, self.beat), (lambda: self._poll_s, self.answer_recalls)
        self._tasks = [asyncio.create_task(self._every(*each)) for each in rounds]

    async def _begin(self) -> None:
        owner, at = self._new_owner(), self._wall()
        self._purses = {}  # nothing is granted from leases that are gone
        opening = partial(self._call, lambda vault: vault.open_owner(owner, at=at))
        await self._patiently(self._clock(), opening)
        self.owner, self._purses = owner, {}

    async def close(self) -> None:
        """Return all leases. Every settlement must have been handed to the store before."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        owner, at = self.owner, self._wall()
        if owner:
            try:
                await self._call(lambda vault: vault.close_owner(owner, at=at))
            except StoreUnavailable as error:
                log.warning("leases stay until others take them back: %s", error)

    @property
    def held_nano(self) -> int:
        """The sum of all holds, for metrics; a hold in two purses counts twice."""
        return sum(purse.held_nano for purse in self._purses.values())

    # Holds.

    def hold(self, pots: Sequence[Pot], amount_nano: int) -> Hold | None:
        """A hold in each of `pots`; None where one of the leases runs short."""
        purses = []
        for pot in pots:
            purse = self._purses.get(pot.name)
            if purse is None:
                return None
            purses.append(purse)
        return open_hold(self.owner, purses, amount_nano)

    async def wait_hold(self, pots: Sequence[Pot], amount_nano: int) -> Hold:
        """The same, after asking for more. Raises Short, StoreUnavailable."""
        hold = Hold(self.owner, [self._purse(pot) for pot in pots])
        if await self._cover(hold, amount_nano):
            return hold
        # Fenced meanwhile: once more as the new owner.
        hold = Hold(self.owner, [self._purse(pot) for pot in pots])
        if await self._cover(hold, amount_nano):
            return hold
        raise StoreUnavailable("The ledger took this process for dead twice.")

    async def wait_grow(self, hold: Hold, more_nano: int) -> bool:
        """Grow `hold`, asking for more if need be; whether it did. Raises StoreUnavailable."""
        try:
            return await self._cover(hold, more_nano)
        except Short:
            return False

    async def _cover(self, hold: Hold, more_nano: int) -> bool:
        """Grow `hold` by `more_nano`; False where its owner is no more, or it ended meanwhile."""
        used = [purse for purse in hold.purses if isinstance(purse, _Account)]
        for purse in used:
            purse.users += 1
        try:
            return await self._take(hold, more_nano)
        finally:
            for purse in used:
                purse.users -= 1

    async def _take(self, hold: Hold, more_nano: int) -> bool:
        began_at = self._clock()
        while not hold.grow(more_nano):
            short = next((one for one in hold.purses if one.free_nano < more_nano), None)
            if hold.owner != self.owner or not hold.open or short is None:
                return False
            assert isinstance(short, _Account)
            async with short.lock:
                try:
                    await self._refill(short, more_nano, began_at)
                except Fenced:
                    await self._fenced(hold.owner)
                    return False
                # Nothing was awaited since the lease grew: nobody else can have taken it.
                if hold.grow(more_nano):
                    return True
        return True

    async def _refill(self, purse: _Account, need_nano: int, began_at: float) -> None:
        """Make `need_nano` free in `purse`, whose lock is held. Raises Short."""
        if purse.free_nano >= need_nano:
            return
        if purse.dry_at >= min(began_at, self._clock() - DRY_S) and need_nano >= purse.dry_nano:
            raise Short(purse.pot, purse.dry_left_nano)
        recalled = False
        while True:
            lease = await self._patiently(began_at, lambda: self._resize(purse, need_nano))
            if purse.free_nano >= need_nano:
                return
            waited_s = self._clock() - began_at
            patience_s = LATE_S if lease.awaited else WAIT_S
            if recalled and (not lease.awaited or waited_s > patience_s):
                break
            if not recalled:
                recalled = True
                if not await self._patiently(began_at, lambda: self._recall(purse)):
                    break
            await asyncio.sleep(WAIT_POLL_S)
        purse.dry_at, purse.dry_nano = self._clock(), need_nano
        purse.dry_left_nano = lease.available_nano
        raise Short(purse.pot, lease.available_nano)

    async def _patiently(self, began_at: float, work: Callable[[], Awaitable[T]]) -> T:
        """What the store answers; while it is busy it is asked again. Raises StoreUnavailable."""
        while True:
            try:
                return await work()
            except StoreUnavailable:
                if self._clock() - began_at > BUSY_S:
                    raise
            await asyncio.sleep(WAIT_POLL_S)

    async def _recall(self, purse: _Account) -> int:
        owner, name = purse.owner, purse.pot.name
        count: int = await self._call(lambda vault: vault.recall(owner, name))
        return count

    async def _resize(self, purse: _Account, need_nano: int) -> Lease:
        """Ask the store for a lease that has `need_nano` free, and some more.

        What is free is out of reach meanwhile: it may be what is given back.
        """
        owner, pot, at = purse.owner, purse.pot, self._wall()
        if not purse.known:  # what an earlier purse of this owner spent must never look free
            nothing = {"keep_nano": 0, "least_nano": 0, "want_nano": 0}
            before = await self._call(lambda vault: vault.resize(owner, pot, **nothing, at=at))
            purse.amount_nano = purse.spent_nano = before.settled_nano
            purse.known = True
        bound = purse.bound_nano
        purse.amount_nano = min(purse.amount_nano, bound)
        more = max(CHUNK_NANO, CHUNK_HOLDS * need_nano) if need_nano else 0
        least = bound + need_nano
        wish = {"keep_nano": bound, "least_nano": least, "want_nano": least + more}
        lease: Lease = await self._call(lambda vault: vault.resize(owner, pot, **wish, at=at))
        purse.amount_nano = lease.amount_nano
        purse.touched_at = self._clock()
        return lease

    def _purse(self, pot: Pot) -> _Account:
        purse = self._purses.get(pot.name)
        if purse is None:
            purse = self._purses[pot.name] = _Account(pot, self.owner, self._clock())
        return purse

    # What goes on beside the requests.

    async def _every(self, pause_s: Callable[[], float], work: _Work) -> None:
        while True:
            await asyncio.sleep(pause_s())
            owner = self.owner
            try:
                with suppress(StoreUnavailable):  # whoever writes there says so
                    try:
                        await work()
                    except Fenced:
                        await self._fenced(owner)
            except Exception:  # who stops to beat is taken for dead
                log.exception("internal error")

    async def beat(self) -> None:
        """Show life, return what is idle, and take back what the dead had."""
        owner = self.owner
        beats: dict[str, int] = await self._call(lambda vault: vault.beat(owner))
        self._poll_s = RECALL_POLL_S if len(beats) > 1 else ALONE_POLL_S
        for other in self._pulses.dead(beats):
            if other != owner:
                with suppress(StoreUnavailable):  # it is tried again at the next look
                    await self.bury(other)
        idle_since = self._clock() - self._idle_s
        for name, purse in list(self._purses.items()):
            if purse.touched_at < idle_since and not (purse.held_nano or purse.users):
                lease = await self._give_back(purse)
                settled = purse.amount_nano == lease.settled_nano == purse.spent_nano
                if settled and not (purse.held_nano or purse.users):
                    self._purses.pop(name, None)

    async def bury(self, owner: str) -> None:
        """Take back what a dead process had leased."""
        at = self._wall()
        await self._call(lambda vault: vault.close_owner(owner, at=at))
        log.warning("leases of a dead process returned", extra={"owner": owner})

    async def answer_recalls(self) -> None:
        """Give back what others ask for and nobody here needs."""
        if not any(purse.amount_nano > purse.spent_nano for purse in self._purses.values()):
            return
        owner = self.owner
        names: list[str] = await self._call(lambda vault: vault.recalled(owner))
        for name in names:
            purse = self._purses.get(name)
            if purse is not None and not purse.lock.locked():  # its holder answers by asking
                await self._give_back(purse)

    async def _give_back(self, purse: _Account) -> Lease:
        async with purse.lock:
            return await self._resize(purse, 0)

    async def _fenced(self, owner: str) -> None:
        """Others took this process for dead: begin anew, once. Holds of before end as they can."""
        async with self._beginning:
            if owner == self.owner:
                log.error("taken for dead while it lived; beginning anew", extra={"owner": owner})
                await self._begin()
