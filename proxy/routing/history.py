"""What an endpoint's last minutes and its last day were like: speed by percentiles, and uptime.

Kept by the minute, so that a window forgets by time and costs the same whatever the traffic.
Latency is seconds to the first content of a streamed answer, throughput its tokens a second after
that. Uptime is OpenRouter's: the share of minutes with at least ten attempts in which at least
four fifths of them went well (contract, section 6); where no minute had so many, it is the share of
attempts that did.
"""

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable
from itertools import accumulate
from math import inf, log
from typing import Final, NamedTuple

MINUTE_S: Final = 60.0
DAY_MINUTES: Final = 1440
KEPT_MINUTES: Final = 30
RECENT_MINUTES: Final = 5  # by which a request's wish for speed is judged
FRESH_S: Final = 1.0  # percentiles are reckoned anew so often, and not for every plan
ATTEMPTS_MIN: Final = 10
GOOD_SHARE: Final = 0.8

PERCENTILES: Final = (0.5, 0.75, 0.9, 0.99)

NEVER: Final = -inf

_STEP: Final = log(1.05)  # a percentile is known to a twentieth of itself
_NONE, _BAD, _GOOD = range(3)


class Speed(NamedTuple):
    """Percentiles of `PERCENTILES`, in their order. Of throughput a percentile is what so many of
    the answers exceed: its 99th is that of the slowest.
    """

    latency_s: tuple[float, ...]
    throughput_tps: tuple[float, ...]

    def latency_at(self, percentile: float) -> float:
        """Seconds that `percentile`, one of `PERCENTILES`, of the answers keep."""
        return self.latency_s[PERCENTILES.index(percentile)]

    def throughput_at(self, percentile: float) -> float:
        """Tokens a second that `percentile` of the answers reach; infinite where none was long
        enough to tell.
        """
        tps = self.throughput_tps
        return tps[PERCENTILES.index(percentile)] if tps else inf


class _Minute:
    __slots__ = ("at", "good", "latency", "throughput", "total")

    def __init__(self, at: int) -> None:
        self.at = at
        self.good = self.total = 0
        self.latency: Counter[int] = Counter()
        self.throughput: Counter[int] = Counter()


class History:
    """Of one endpoint. All times are seconds of one clock that never goes back."""

    __slots__ = ("_days", "_minutes", "_since", "_speed", "_speed_at", "_usual")

    def __init__(self) -> None:
        self._minutes: deque[_Minute] = deque()  # the newest last
        self._days = bytearray(DAY_MINUTES)  # what each minute was, by its number
        self._since = 0  # the newest minute that stands there
        self._speed: Speed | None = None
        self._usual: Speed | None = None
        self._speed_at = NEVER

    def ended(self, now: float, *, good: bool) -> None:
        """An attempt is over that says something of the endpoint."""
        minute = self._minute(now)
        minute.total += 1
        minute.good += good

    def answered(self, now: float, latency_s: float, throughput_tps: float | None) -> None:
        """A streamed answer came well; None where it was too short to tell how fast it was."""
        minute = self._minute(now)
        minute.latency[_step(latency_s)] += 1
        if throughput_tps is not None:
            minute.throughput[_step(throughput_tps)] += 1

    def speed(self, now: float) -> Speed | None:
        """That of the last `RECENT_MINUTES`, as of about a second ago; None where nothing came."""
        self._refresh(now)
        return self._speed

    def usual(self, now: float) -> Speed | None:
        """The same, or that of `KEPT_MINUTES` where nothing came lately."""
        self._refresh(now)
        return self._usual

    def _refresh(self, now: float) -> None:
        if now >= self._speed_at + FRESH_S:
            self._speed_at, self._speed = now, self.speed_of(now, RECENT_MINUTES)
            self._usual = self._speed or self.speed_of(now, KEPT_MINUTES)

    def speed_of(self, now: float, minutes: int) -> Speed | None:
        """That of so many minutes, `KEPT_MINUTES` at most."""
        lately = list(self._lately(now, minutes))
        latency = _sum(one.latency for one in lately)
        if not latency:
            return None
        throughput = _sum(one.throughput for one in lately)
        return Speed(
            tuple(_percentile(latency, share) for share in PERCENTILES),
            tuple(_percentile(throughput, 1.0 - share) for share in PERCENTILES)
            if throughput
            else (),
        )

    def uptime(self, now: float, minutes: int) -> float | None:
        """The share of the last `minutes`, `DAY_MINUTES` at most, in which it worked, of 1; None
        where nobody asked.
        """
        at = int(now // MINUTE_S)
        if minutes > KEPT_MINUTES:
            self._close(at)
            first = (at - minutes + 1) % DAY_MINUTES
            spans = (self._days * 2)[first : first + minutes]
            good, bad = spans.count(_GOOD), spans.count(_BAD)
            if good + bad:
                return good / (good + bad)
        lately = list(self._lately(now, min(minutes, KEPT_MINUTES)))
        words = [_word(one) for one in lately]
        good, bad = words.count(_GOOD), words.count(_BAD)
        if good + bad:
            return good / (good + bad)
        total = sum(one.total for one in lately)
        return sum(one.good for one in lately) / total if total else None

    def _lately(self, now: float, minutes: int) -> Iterable[_Minute]:
        since = int(now // MINUTE_S) - minutes
        return (one for one in self._minutes if one.at > since)

    def _minute(self, now: float) -> _Minute:
        at = int(now // MINUTE_S)
        minutes = self._minutes
        if minutes and minutes[-1].at >= at:
            return minutes[-1]
        self._close(at)
        minutes.append(_Minute(at))
        while minutes[0].at <= at - KEPT_MINUTES:
            minutes.popleft()
        return minutes[-1]

    def _close(self, at: int) -> None:
        """Notes what the minutes before `at` were, and forgets those of a day ago."""
        words = {one.at: _word(one) for one in self._minutes}
        for minute in range(max(self._since, at - DAY_MINUTES + 1), at + 1):
            self._days[minute % DAY_MINUTES] = words.get(minute, _NONE)
        self._since = at


def _word(minute: _Minute) -> int:
    if minute.total < ATTEMPTS_MIN:
        return _NONE
    return _GOOD if minute.good >= GOOD_SHARE * minute.total else _BAD


def _step(value: float) -> int:
    return round(log(max(value, 1e-6)) / _STEP)


def _sum(counts: Iterable[Counter[int]]) -> Counter[int]:
    total: Counter[int] = Counter()
    for one in counts:
        total.update(one)
    return total


def _percentile(counts: Counter[int], share: float) -> float:
    """The value that `share` of those counted do not exceed."""
    steps = sorted(counts)
    sums = list(accumulate(counts[step] for step in steps))
    return float(1.05 ** steps[bisect_left(sums, share * sums[-1])])
