"""When days, weeks and months begin and end, in UTC; weeks begin on Monday.

Limits and usage are counted by these periods. UTC has no summer time, so a day is 86,400 seconds.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

DAY_S: Final = 86_400


class Periods(NamedTuple):
    """Seconds since 1970 at which day, week and month began."""

    day: int
    week: int
    month: int


def periods(now: float) -> Periods:
    """When the periods began in which `now` lies."""
    return Periods(start_of("daily", now), start_of("weekly", now), start_of("monthly", now))


def start_of(reset: str | None, now: float) -> int:
    """When the period began that a limit with this `reset` (`daily`, `weekly`, `monthly`) is
    counted in at `now`; 0, the beginning of all, for one that is never reset.
    """
    return 0 if reset is None else _start_on(reset, int(now // DAY_S))


@lru_cache(maxsize=16)
def _start_on(reset: str, day: int) -> int:
    return _seconds(_start(reset, day * DAY_S))


def end_of(reset: str | None, now: float) -> int | None:
    """When that period ends and the next one begins; None for a limit that is never reset."""
    if reset is None:
        return None
    start = _start(reset, now)
    if reset == "monthly":
        # Thirty-two days on it is the next month, whichever this one is.
        return _seconds((start + timedelta(days=32)).replace(day=1))
    return _seconds(start) + DAY_S * {"daily": 1, "weekly": 7}[reset]


def _start(reset: str, now: float) -> datetime:
    day = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    starts = {
        "daily": day,
        "weekly": day - timedelta(days=day.weekday()),
        "monthly": day.replace(day=1),
    }
    return starts[reset]


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
