"""Figures forget at the promised pace, and percentiles are never too short."""

from math import ceil, exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.routing.figures import Fading, Mean, Spread


def test_a_sum_fades_by_e_in_its_window() -> None:
    fading = Fading(30.0)
    fading.add(100.0, 2.0)
    assert fading.sum(100.0) == 2.0
    assert fading.sum(99.0) == 2.0  # a clock of another core may be a moment behind
    assert fading.sum(130.0) == pytest.approx(2.0 * exp(-1.0))
    fading.add(130.0)
    assert fading.sum(130.0) == pytest.approx(1.0 + 2.0 * exp(-1.0))


def test_a_mean_follows_the_latest() -> None:
    mean = Mean(10.0)
    assert (mean.value(0.0), mean.count(0.0)) == (0.0, 0.0)
    assert mean.add(0.0, 1.0) == 1.0
    assert mean.add(0.0, 3.0) == 2.0
    assert (mean.value(0.0), mean.count(0.0)) == (2.0, 2.0)
    mean.add(100.0, 9.0)
    assert mean.value(100.0) == pytest.approx(9.0, abs=0.01)
    assert mean.value(1e6) == 0.0  # all forgotten


@given(st.lists(st.tuples(st.floats(-1.0, 30.0), st.floats(0.0, 9.0)), max_size=30))
def test_a_mean_is_a_sum_by_a_count(story: list[tuple[float, float]]) -> None:
    mean, count, total, now = Mean(10.0), Fading(10.0), Fading(10.0), 0.0
    for later_s, value in story:
        now += later_s
        assert mean.add(now, value) == mean.value(now)
        count.add(now)
        total.add(now, value)
        for at in (now, now - 1.0, now + 7.0):
            assert mean.count(at) == count.sum(at)
            assert mean.value(at) == total.sum(at) / count.sum(at)


@given(
    st.lists(st.floats(0.0, 600.0), min_size=1, max_size=60),
    st.sampled_from([0.1, 0.5, 0.95, 0.99, 1.0]),
)
def test_a_percentile_is_a_fifth_too_long_at_most(durations: list[float], share: float) -> None:
    spread = Spread(10**9)  # forgets nothing
    for duration in durations:
        spread.add(duration)
    ranked, rank = sorted(durations), max(1, ceil(len(durations) * share - 1e-6))
    least_s, most_s = ranked[rank - 1], ranked[min(rank, len(ranked) - 1)]  # the later weighs more
    assert least_s * 0.999 <= spread.percentile_s(share) <= max(most_s, 0.005) * 1.201
    assert spread.samples == len(durations)


def test_percentiles_of_nothing_and_of_what_is_beyond_measure() -> None:
    spread = Spread(500)
    assert spread.percentile_s(0.5) == 0.0
    spread.add(1e9)
    assert 600.0 < spread.percentile_s(0.5) < 1000.0


def test_percentiles_of_a_hundred() -> None:
    spread = Spread(10**9)
    for hundredth in range(1, 101):
        spread.add(hundredth / 100)
    assert 0.5 <= spread.percentile_s(0.5) <= 0.6
    assert 0.95 <= spread.percentile_s(0.95) <= 1.14


def test_it_changes_its_mind_by_count() -> None:
    spread = Spread(500)
    for _ in range(20_000):  # far beyond where the weights are scaled down
        spread.add(0.1)
    assert spread.percentile_s(0.99) < 0.13
    for _ in range(4):
        spread.add(9.0)
    assert spread.percentile_s(0.99) < 0.13
    for _ in range(3):
        spread.add(9.0)
    assert spread.percentile_s(0.99) >= 9.0
