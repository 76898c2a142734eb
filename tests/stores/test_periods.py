"""Days, weeks and months as the calendar has them, in UTC and nowhere else."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.stores.periods import DAY_S, end_of, periods, start_of

MOMENTS = st.floats(0, 4_000_000_000)
RESETS = st.sampled_from(["daily", "weekly", "monthly"])


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@given(MOMENTS)
def test_periods_begin_where_the_calendar_says(now: float) -> None:
    moment = datetime.fromtimestamp(now, UTC)
    since = periods(now)
    day, week, month = (datetime.fromtimestamp(start, UTC) for start in since)
    assert all(start <= now for start in since)
    for start in (day, week, month):
        assert (start.hour, start.minute, start.second, start.microsecond) == (0, 0, 0, 0)
    assert day.date() == moment.date()
    assert week.weekday() == 0
    assert moment - week < timedelta(days=7)
    assert (month.year, month.month, month.day) == (moment.year, moment.month, 1)


@given(MOMENTS, RESETS)
def test_a_period_ends_where_the_next_one_begins(now: float, reset: str) -> None:
    start, end = start_of(reset, now), end_of(reset, now)
    assert end is not None
    assert start <= now < end
    assert start_of(reset, end) == end
    assert start_of(reset, end - 1) == start == start_of(reset, start)
    assert (end - start) % DAY_S == 0


@pytest.mark.parametrize(
    ("reset", "now", "start", "end"),
    [
        ("monthly", "2024-02-29T23:59:59.999", "2024-02-01", "2024-03-01"),
        ("monthly", "2023-02-28T12:00", "2023-02-01", "2023-03-01"),
        ("monthly", "2000-02-29T00:00", "2000-02-01", "2000-03-01"),
        ("monthly", "2026-12-31T23:59", "2026-12-01", "2027-01-01"),
        ("monthly", "2026-01-31T00:00", "2026-01-01", "2026-02-01"),
        ("weekly", "2024-03-03T23:59", "2024-02-26", "2024-03-04"),  # a Sunday, over a leap day
        ("weekly", "2026-11-23T00:00", "2026-11-23", "2026-11-30"),  # a Monday
        ("weekly", "2027-01-01T08:00", "2026-12-28", "2027-01-04"),
        ("daily", "2024-02-29T12:00", "2024-02-29", "2024-03-01"),
        ("daily", "2026-03-29T02:30", "2026-03-29", "2026-03-30"),  # Europe's clocks go forward
        ("daily", "2026-10-25T02:30", "2026-10-25", "2026-10-26"),  # and back
    ],
)
def test_the_calendar_has_its_corners(reset: str, now: str, start: str, end: str) -> None:
    assert start_of(reset, at(now)) == at(start)
    assert end_of(reset, at(now)) == at(end)


def test_the_local_clock_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    for zone in ("Pacific/Kiritimati", "America/New_York"):
        monkeypatch.setenv("TZ", zone)
        assert start_of("daily", at("2026-11-01T03:00")) == at("2026-11-01")


def test_what_is_never_reset_began_with_time_and_has_no_end() -> None:
    assert start_of(None, 1e9) == 0
    assert end_of(None, 1e9) is None


def test_no_other_period_exists() -> None:
    for of in (start_of, end_of):
        with pytest.raises(KeyError):
            of("hourly", 0.0)
