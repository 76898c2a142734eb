"""What is kept of an endpoint by the minute: its speed, and how often it was up."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.routing.history import (
    DAY_MINUTES,
    FRESH_S,
    KEPT_MINUTES,
    MINUTE_S,
    PERCENTILES,
    History,
)

START = 50_000 * MINUTE_S


def minute(history: History, at: int, good: int, bad: int = 0) -> None:
    """What ended in the minute `at` after the start."""
    now = START + at * MINUTE_S
    for number in range(good + bad):
        history.ended(now + number % 60, good=number < good)


def test_nothing_is_known_of_who_was_not_asked() -> None:
    history = History()
    assert history.speed(START) is None
    assert history.usual(START) is None
    assert history.speed_of(START, KEPT_MINUTES) is None
    assert [history.uptime(START, minutes) for minutes in (5, 30, DAY_MINUTES)] == [None] * 3


@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=200), st.sampled_from(PERCENTILES))
def test_a_percentile_of_latency_is_what_so_many_keep(values: list[float], share: float) -> None:
    history = History()
    for value in values:
        history.answered(START, value, value)
    found = history.speed(START)
    assert found is not None
    kept = found.latency_at(share) * 1.03
    assert sum(value <= kept for value in values) >= share * len(values)
    reached = found.throughput_at(share) / 1.03
    assert sum(value >= reached for value in values) >= share * len(values) - 1e-9
    assert list(found.latency_s) == sorted(found.latency_s)
    assert list(found.throughput_tps) == sorted(found.throughput_tps, reverse=True)


def test_percentiles_are_those_of_a_plain_sort_to_a_twentieth() -> None:
    rng, history = Random(4), History()
    values = [rng.lognormvariate(0, 1) for _ in range(5000)]
    for value in values:
        history.answered(START, value, 1 / value)
    found = history.speed_of(START, 1)
    assert found is not None
    values.sort()
    for share in PERCENTILES:
        exact = values[int(share * len(values)) - 1]
        assert found.latency_at(share) == pytest.approx(exact, rel=0.05)
        assert found.throughput_at(share) == pytest.approx(1 / exact, rel=0.05)


def test_an_answer_too_short_to_tell_has_a_latency_and_no_throughput() -> None:
    history = History()
    history.answered(START, 0.0, None)
    found = history.speed(START)
    assert found is not None
    assert found.latency_at(0.5) == pytest.approx(0, abs=1e-5)
    assert (found.throughput_tps, found.throughput_at(0.5)) == ((), float("inf"))


def test_speed_is_that_of_five_minutes_and_the_usual_that_of_thirty_where_nothing_came() -> None:
    history = History()
    history.answered(START, 1.0, 10.0)
    for minutes, known, usual in ((0, True, True), (4, True, True), (5, False, True)):
        now = START + minutes * MINUTE_S + FRESH_S
        assert (history.speed(now) is not None, history.usual(now) is not None) == (known, usual)
    now = START + 29 * MINUTE_S
    assert history.usual(now) is not None
    history.answered(now, 5.0, 2.0)
    lately = history.usual(now + FRESH_S)
    assert lately is not None
    assert lately.latency_at(0.5) == pytest.approx(5.0, rel=0.05)  # what is new outweighs all else
    assert history.usual(START + 70 * MINUTE_S) is None


def test_percentiles_are_reckoned_anew_once_a_second() -> None:
    history = History()
    assert history.speed(START) is None
    history.answered(START, 1.0, 10.0)
    assert history.speed(START + 0.5) is None
    found = history.speed(START + FRESH_S)
    assert found is not None
    assert history.speed(START + 1.5) is found
    assert history.speed_of(START + 1.5, 5) == found


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        ([(10, 0)], 1.0),
        ([(8, 2)], 1.0),  # four fifths are good enough
        ([(7, 3)], 0.0),
        ([(10, 0), (0, 10)], 0.5),
        ([(100, 0), (3, 7), (9, 1), (9, 1)], 0.75),
        ([(10, 0), (0, 9)], 1.0),  # a minute with few attempts says nothing
        ([(6, 3)], 6 / 9),  # unless there is no other
        ([(1, 0), (0, 1), (1, 0), (1, 0)], 0.75),
    ],
)
def test_uptime_is_the_share_of_minutes_with_ten_attempts_in_which_four_fifths_went_well(
    minutes: list[tuple[int, int]], expected: float
) -> None:
    history = History()
    for at, (good, bad) in enumerate(minutes):
        minute(history, at, good, bad)
    now = START + (len(minutes) - 1) * MINUTE_S + 59
    for span in (5, 30, DAY_MINUTES):
        assert history.uptime(now, span) == pytest.approx(expected)


@given(
    st.lists(st.sampled_from("gb "), min_size=1, max_size=DAY_MINUTES + 60),
    st.integers(KEPT_MINUTES + 1, DAY_MINUTES),
    st.integers(0, DAY_MINUTES),
)
def test_uptime_of_so_many_minutes_is_that_of_these_alone(
    words: list[str], minutes: int, start: int
) -> None:
    history = History()
    for at, word in enumerate(words):
        if word != " ":
            minute(history, start + at, *((10, 0) if word == "g" else (0, 10)))
    counted = words[-minutes:]
    good, bad = counted.count("g"), counted.count("b")
    expected = good / (good + bad) if good + bad else None
    now = START + (start + len(words) - 1) * MINUTE_S
    assert history.uptime(now, minutes) == expected


def test_uptime_of_a_day_remembers_a_day_and_that_of_five_minutes_five() -> None:
    history = History()
    minute(history, 0, 0, 10)
    for at in range(1, 100):
        minute(history, at, 10)
    now = START + 99 * MINUTE_S
    assert history.uptime(now, 5) == 1.0
    assert history.uptime(now, 30) == 1.0
    assert history.uptime(now, DAY_MINUTES) == pytest.approx(99 / 100)
    later = START + (DAY_MINUTES - 1) * MINUTE_S
    assert history.uptime(later, DAY_MINUTES) == pytest.approx(99 / 100)
    assert history.uptime(later + MINUTE_S, DAY_MINUTES) == 1.0
    assert history.uptime(later + 99 * MINUTE_S, DAY_MINUTES) == 1.0
    assert history.uptime(later + 100 * MINUTE_S, DAY_MINUTES) is None


@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.integers(0, 12), st.integers(0, 12), st.booleans()),
        min_size=1,
        max_size=30,
    )
)
def test_uptime_of_a_day_is_what_counting_minutes_gives(
    steps: list[tuple[int, int, int, bool]],
) -> None:
    history, seen, at = History(), dict[int, tuple[int, int]](), 0
    for gap, good, bad, asked in steps:
        at += gap
        minute(history, at, good, bad)
        before = seen.get(at, (0, 0))
        seen[at] = before[0] + good, before[1] + bad
        if asked:
            history.uptime(START + at * MINUTE_S, DAY_MINUTES)  # to ask changes nothing
    told = [
        good >= 0.8 * (good + bad)
        for one, (good, bad) in seen.items()
        if one > at - DAY_MINUTES and good + bad >= 10
    ]
    found = history.uptime(START + at * MINUTE_S, DAY_MINUTES)
    if told:
        assert found == pytest.approx(sum(told) / len(told))
    lately = [pair for one, pair in seen.items() if one > at - KEPT_MINUTES]
    total = sum(map(sum, lately))
    if not told:
        share = sum(good for good, _ in lately) / total if total else None
        assert found == (None if share is None else pytest.approx(share))


def test_a_clock_that_starts_at_nought_is_as_good_as_any() -> None:
    history = History()
    for number in range(20):
        history.ended(float(number), good=True)
    assert history.uptime(30.0, DAY_MINUTES) == 1.0
