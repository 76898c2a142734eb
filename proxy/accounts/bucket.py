"""The three things a limit can be: a rate per minute, so many at once, or so many per UTC day.

Each meter answers at a `Moment` and keeps no clock. Rates live on the monotonic clock; only days
look at the calendar. All arithmetic is in integers: a rate's level is counted in parts of which
`MINUTE_NS` make one unit, so that each nanosecond adds exactly `limit` of them.
"""

from typing import Final, TypeAlias

import msgspec

MINUTE_NS: Final = 60 * 10**9
DAY_MS: Final = 86_400_000
NS_PER_MS: Final = 10**6
SLOT_WAIT_NS: Final = 10**9
"""When a slot will be free nobody knows; a second is what callers are told to wait."""


class Moment(msgspec.Struct, frozen=True, gc=False):
    """An instant on both clocks: monotonic nanoseconds, and milliseconds since 1970."""

    now_ns: int
    wall_ms: int


def moment(now_s: float, wall_s: float) -> Moment:
    """The Moment of a monotonic and a calendar clock in seconds."""
    return Moment(int(now_s * 1e9), int(wall_s * 1e3))


class Bucket:
    """A token bucket: holds `limit`, begins full, gains `limit` per minute.

    An amount above the limit is let through when the bucket is full, and leaves a debt that the
    refill pays: it could never pass otherwise, and over time the rate still holds. What is lent
    counts as still in the bucket, which fills up to the limit less that: else a bucket that filled
    up meanwhile and what was lent could be spent together, which is more than it holds. `limit` is
    at least 1. `take` and `give` are of every request, and do in one go what `_refill` and `_cap`
    say.
    """

    __slots__ = ("_at_ns", "_lent", "_level", "limit")

    def __init__(self, limit: int, at: Moment) -> None:
        self.limit = limit
        self._level = limit * MINUTE_NS
        self._lent = 0
        self._at_ns = at.now_ns

    def resize(self, limit: int, at: Moment) -> None:
        """What is left, or owed, stays the same share of the limit."""
        self._refill(at)
        self._level = self._level * limit // self.limit
        self.limit = limit
        self._cap()

    def left(self, at: Moment) -> int:
        """How many whole units could be taken; never below zero."""
        self._refill(at)
        return max(0, self._level // MINUTE_NS)

    def wait_ns(self, amount: int, at: Moment) -> int:
        """How long until `amount` can be taken if nobody else takes; 0 when it can be now."""
        if self._level >= amount * MINUTE_NS:  # which a refill would only add to
            return 0
        self._refill(at)
        missing = self._needed(amount) - self._level
        return max(0, -(-missing // self.limit))

    def take(self, amount: int, at: Moment) -> bool:
        """Take all of `amount`, or nothing."""
        now_ns, level = at.now_ns, self._level
        if now_ns > self._at_ns:
            level += (now_ns - self._at_ns) * self.limit
            most = (self.limit - self._lent) * MINUTE_NS
            if level > most:
                level = most
            self._at_ns, self._level = now_ns, level
        wanted = amount * MINUTE_NS
        if level < wanted and level < self._needed(amount):
            return False
        self._level = level - wanted
        return True

    def give(self, amount: int, at: Moment) -> None:
        """Get back what was taken and not used; below zero, take what is used already, whatever is
        left.
        """
        now_ns, level = at.now_ns, self._level
        most = (self.limit - self._lent) * MINUTE_NS
        if now_ns > self._at_ns:
            level += (now_ns - self._at_ns) * self.limit
            if level > most:  # first, or the refill of the time before would pay for what is owed
                level = most
            self._at_ns = now_ns
        level += amount * MINUTE_NS
        self._level = most if level > most else level

    def lend(self, amount: int, at: Moment) -> None:
        """Take `amount`, at most `left`, which may lie unused for a while."""
        self.give(-amount, at)
        self._lent += amount

    def unlend(self, amount: int, at: Moment) -> None:
        """So much that was lent lies nowhere any more; what was not used of it is to be given."""
        self._refill(at)
        self._lent -= amount

    def idle(self, at: Moment) -> bool:
        """Whether a new meter would say the same, so that this one need not be kept."""
        self._refill(at)
        return self._level == self.limit * MINUTE_NS

    def _needed(self, amount: int) -> int:
        return min(amount, self.limit) * MINUTE_NS

    def _refill(self, at: Moment) -> None:
        now_ns = at.now_ns
        passed_ns = now_ns - self._at_ns
        if passed_ns > 0:
            self._at_ns = now_ns
            self._level += passed_ns * self.limit
            self._cap()

    def _cap(self) -> None:
        most = (self.limit - self._lent) * MINUTE_NS
        if self._level > most:
            self._level = most


class Slots:
    """So many at once. What is lent is simply taken."""

    __slots__ = ("_held", "limit")

    def __init__(self, limit: int, at: Moment) -> None:
        self.limit = limit
        self._held = 0

    def resize(self, limit: int, at: Moment) -> None:
        """Where more are held than the new limit allows, none is free until enough were given."""
        self.limit = limit

    def left(self, at: Moment) -> int:
        return max(0, self.limit - self._held)

    def wait_ns(self, amount: int, at: Moment) -> int:
        return 0 if self._held + amount <= self.limit else SLOT_WAIT_NS

    def take(self, amount: int, at: Moment) -> bool:
        if self._held + amount > self.limit:
            return False
        self._held += amount
        return True

    def give(self, amount: int, at: Moment) -> None:
        self._held -= amount

    def lend(self, amount: int, at: Moment) -> None:
        self._held += amount

    def unlend(self, amount: int, at: Moment) -> None:
        """Slots are held until they are given."""

    def idle(self, at: Moment) -> bool:
        return self._held == 0


class Daily:
    """So many per UTC day. What was taken stays taken until 00:00 UTC.

    A calendar that jumps back gives no second quota: the count goes on until the calendar passes
    the latest day it showed. A jump that was far ahead by mistake shall not block a caller for its
    length: after 24 h of the monotonic clock an earlier day counts as a new one.
    """

    def __init__(self, limit: int, at: Moment) -> None:
        self.limit = limit
        self._used = 0
        self._day = at.wall_ms // DAY_MS
        self._since_ns = at.now_ns

    def resize(self, limit: int, at: Moment) -> None:
        """What was used today is used of the new limit."""
        self.limit = limit

    def left(self, at: Moment) -> int:
        self._turn(at)
        return max(0, self.limit - self._used)

    def wait_ns(self, amount: int, at: Moment) -> int:
        self._turn(at)
        if self._used + amount <= self.limit:
            return 0
        wait_ms = (self._day + 1) * DAY_MS - at.wall_ms
        if wait_ms <= DAY_MS:
            return wait_ms * NS_PER_MS
        return self._since_ns + DAY_MS * NS_PER_MS - at.now_ns

    def take(self, amount: int, at: Moment) -> bool:
        self._turn(at)
        if self._used + amount > self.limit:
            return False
        self._used += amount
        return True

    def give(self, amount: int, at: Moment) -> None:
        """Get back what was taken at the same moment."""
        self._used -= amount

    def idle(self, at: Moment) -> bool:
        """Only when both clocks say that the day is over: a jump forth and back clears nothing."""
        over = at.wall_ms // DAY_MS > self._day
        return over and at.now_ns - self._since_ns >= DAY_MS * NS_PER_MS

    def _turn(self, at: Moment) -> None:
        day = at.wall_ms // DAY_MS
        passed_ns = at.now_ns - self._since_ns
        if day > self._day or (day < self._day and passed_ns >= DAY_MS * NS_PER_MS):
            self._used, self._day, self._since_ns = 0, day, at.now_ns


Meter: TypeAlias = Bucket | Slots | Daily
