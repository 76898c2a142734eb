"""Meters: exact to the nanosecond, never more than they hold, and deaf to a calendar that jumps."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.accounts.bucket import (
    DAY_MS,
    MINUTE_NS,
    SLOT_WAIT_NS,
    Bucket,
    Daily,
    Moment,
    Slots,
    moment,
)

S = 10**9
DAY_NS = DAY_MS * 10**6
NOON_MS = 20_000 * DAY_MS + DAY_MS // 2


def at(now_ns: int, wall_ms: int = NOON_MS) -> Moment:
    return Moment(now_ns, wall_ms)


def test_a_moment_is_made_of_seconds() -> None:
    assert moment(1.5, 2.25) == Moment(1_500_000_000, 2250)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["take", "give", "force", "lend", "unlend"]),
        st.integers(0, 40),
        st.one_of(st.just(0), st.integers(0, 3 * S), st.integers(0, 3 * MINUTE_NS)),
    ),
    max_size=60,
)


class Model:
    """A bucket in rational numbers."""

    def __init__(self, limit: int) -> None:
        self.limit, self.level, self.lent = limit, Fraction(limit), 0

    def pass_ns(self, ns: int) -> None:
        self.level = min(
            Fraction(self.limit - self.lent), self.level + Fraction(ns, MINUTE_NS) * self.limit
        )


@given(st.integers(1, 30), STEPS)
def test_a_bucket_is_exact(limit: int, steps: list[tuple[str, int, int]]) -> None:
    bucket, model, now_ns = Bucket(limit, at(7)), Model(limit), 7
    for verb, amount, passed_ns in steps:
        now_ns += passed_ns
        model.pass_ns(passed_ns)
        here = at(now_ns)
        if verb == "take":
            granted = model.level >= min(amount, limit)
            assert (bucket.wait_ns(amount, here) == 0) == granted
            assert bucket.take(amount, here) == granted
            model.level -= amount if granted else 0
        elif verb == "give":
            bucket.give(amount, here)
            model.level = min(Fraction(limit - model.lent), model.level + amount)
        elif verb == "force":
            bucket.give(-amount, here)
            model.level -= amount
        elif verb == "lend":
            amount = min(amount, bucket.left(here))
            bucket.lend(amount, here)
            model.level, model.lent = model.level - amount, model.lent + amount
        else:
            amount = min(amount, model.lent)
            bucket.unlend(amount, here)
            model.lent -= amount
        assert bucket.left(here) == max(0, model.level // 1)
        assert bucket.idle(here) == (model.level == limit)


@given(
    st.integers(1, 50),
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, MINUTE_NS)), min_size=1, max_size=40),
)
def test_no_window_of_time_lets_more_through(limit: int, calls: list[tuple[int, int]]) -> None:
    bucket, now_ns = Bucket(limit, at(0)), 0
    granted: list[tuple[int, int]] = []
    for wish, passed_ns in calls:
        now_ns += passed_ns
        amount = min(wish, limit)
        if bucket.take(amount, at(now_ns)):
            granted.append((now_ns, amount))
    for first, (begin_ns, _) in enumerate(granted):
        for last in range(first, len(granted)):
            total = sum(amount for _, amount in granted[first : last + 1])
            assert (total - limit) * MINUTE_NS <= limit * (granted[last][0] - begin_ns)


@given(st.integers(1, 100), st.integers(1, 100), st.integers(0, 100), st.integers(0, 2 * MINUTE_NS))
def test_a_settled_estimate_leaves_what_the_truth_would(
    limit: int, estimate: int, used: int, passed_ns: int
) -> None:
    estimated, truthful = Bucket(limit, at(0)), Bucket(limit, at(0))
    assert estimated.take(estimate, at(0))
    truthful.give(-used, at(0))
    later = at(passed_ns)
    if used <= estimate:
        estimated.give(estimate - used, later)
        assert estimated.left(later) == truthful.left(later)
    else:  # what was used beyond it is only known later, and paid for later
        estimated.give(estimate - used, later)
        assert estimated.left(later) <= truthful.left(later)


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.integers(1, 2 * 10**6))
def test_the_wait_is_the_least_that_is_enough(limit: int, spent: int, amount: int) -> None:
    bucket = Bucket(limit, at(0))
    bucket.give(-spent, at(0))
    wait_ns = bucket.wait_ns(amount, at(0))
    if wait_ns:
        assert not bucket.take(amount, at(wait_ns - 1))
    assert bucket.take(amount, at(wait_ns))


def test_more_than_the_limit_passes_only_when_full_and_leaves_a_debt() -> None:
    bucket = Bucket(60, at(0))
    assert bucket.take(1, at(0))
    assert not bucket.take(90, at(0))
    assert bucket.take(90, at(S))  # full again
    assert bucket.left(at(S)) == 0
    assert bucket.wait_ns(1, at(S)) == 31 * S
    assert bucket.wait_ns(0, at(S)) == 30 * S  # who owes takes nothing, not even nothing
    assert bucket.take(1, at(32 * S))


def test_a_clock_that_stands_or_goes_back_refills_nothing() -> None:
    bucket = Bucket(60, at(100 * S))
    assert bucket.take(60, at(100 * S))
    assert bucket.left(at(40 * S)) == 0
    assert bucket.left(at(100 * S)) == 0
    assert bucket.left(at(101 * S)) == 1


@pytest.mark.parametrize(
    ("limit", "spent", "new", "left"),
    [(100, 40, 50, 30), (100, 40, 200, 120), (10, 10, 1000, 0), (3, 1, 2, 1), (7, 0, 9, 9)],
)
def test_a_new_limit_keeps_the_share_that_is_left(
    limit: int, spent: int, new: int, left: int
) -> None:
    bucket = Bucket(limit, at(0))
    assert bucket.take(spent, at(0))
    bucket.resize(new, at(0))
    assert bucket.limit == new
    assert bucket.left(at(0)) == left
    assert bucket.idle(at(MINUTE_NS))


def test_what_is_lent_takes_room_also_in_a_smaller_bucket() -> None:
    bucket = Bucket(100, at(0))
    bucket.lend(40, at(0))
    bucket.resize(50, at(0))
    assert bucket.left(at(MINUTE_NS)) == 10
    bucket.unlend(40, at(MINUTE_NS))
    bucket.give(40, at(MINUTE_NS))
    assert bucket.left(at(MINUTE_NS)) == 50


def test_slots_are_held_until_given() -> None:
    slots = Slots(2, at(0))
    assert slots.take(1, at(0))
    slots.lend(1, at(0))
    assert not slots.take(1, at(0))
    assert slots.wait_ns(1, at(0)) == SLOT_WAIT_NS
    slots.unlend(1, at(0))
    assert slots.left(at(0)) == 0
    slots.give(1, at(0))
    assert slots.left(at(0)) == 1
    assert slots.wait_ns(1, at(0)) == 0
    slots.give(-2, at(0))
    slots.resize(1, at(0))
    assert slots.left(at(0)) == 0
    assert not slots.idle(at(0))
    slots.give(3, at(0))
    assert slots.idle(at(0))


def test_a_day_ends_at_midnight_utc() -> None:
    daily = Daily(2, at(0))
    assert daily.left(at(0)) == 2
    assert daily.wait_ns(2, at(0)) == 0
    assert daily.take(2, at(0))
    assert not daily.take(1, at(0))
    assert daily.wait_ns(1, at(0)) == DAY_NS // 2
    assert daily.left(at(0, NOON_MS + DAY_MS // 2 - 1)) == 0
    assert daily.left(at(0, NOON_MS + DAY_MS // 2)) == 2
    daily.resize(5, at(0))
    assert daily.left(at(0)) == 5
    daily.resize(1, at(0))
    assert daily.left(at(0)) == 1


@given(st.lists(st.integers(-500 * DAY_MS, 500 * DAY_MS), max_size=30))
def test_a_calendar_that_jumps_gives_a_quota_per_new_day_at_most(jumps: list[int]) -> None:
    daily, used, latest = Daily(3, at(0)), 0, NOON_MS // DAY_MS
    new_days = 1
    for jump_ms in jumps:
        here = at(S, NOON_MS + jump_ms)
        if here.wall_ms // DAY_MS > latest:
            latest, new_days = here.wall_ms // DAY_MS, new_days + 1
        while daily.take(1, here):
            used += 1
        assert 0 < daily.wait_ns(1, here) <= DAY_NS
    assert used <= 3 * new_days


def test_a_calendar_set_right_blocks_nobody_for_longer_than_a_day() -> None:
    daily = Daily(1, at(0))
    assert daily.take(1, at(0, NOON_MS + 400 * DAY_MS))
    assert not daily.take(1, at(5 * S))
    assert daily.wait_ns(1, at(5 * S)) == DAY_NS - 5 * S
    assert daily.take(1, at(DAY_NS))
    assert not daily.take(1, at(DAY_NS))


def test_a_day_is_dropped_only_when_both_clocks_say_so() -> None:
    daily = Daily(1, at(0))
    assert not daily.idle(at(0))
    assert not daily.idle(at(DAY_NS))
    assert not daily.idle(at(S, NOON_MS + DAY_MS))
    assert daily.idle(at(DAY_NS, NOON_MS + DAY_MS))
