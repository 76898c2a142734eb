"""Requests with tools go where tools are called well, and by price where that is all the same."""

from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.routing.health import Pool
from proxy.routing.quality import DERANKED, grades
from proxy.routing.ranking import Entry
from tests.sellers import NOW, Fair, answered, seller, sold

TOOLS = frozenset(("tools",))
CHEAP, FAIR, DEAR = seller("cheap", 1), seller("fair", 2), seller("dear", 4)


def calls(pool: Pool, name: str, good: int, bad: int, model: str = "m", now: float = NOW) -> None:
    for number in range(good + bad):
        pool.called((name, model), now, sound=number < good)


def fair(**sound: tuple[int, int]) -> Fair:
    """Three sellers, as quick as each other; `sound` is how many calls went well, and ill."""
    found = Fair(sold("a/m", CHEAP, FAIR, DEAR))
    for one in (CHEAP, FAIR, DEAR):
        answered(found.pool, one)
    for name, (good, bad) in sound.items():
        calls(found.pool, name, good, bad)
    return found


def orders(found: Fair, *names: str, **asked: Any) -> Counter[str]:
    chance = Random(11).random
    return Counter(found.tags(*names, chance=chance, **asked) for _ in range(300))


BAD_CHEAP = {"cheap": (70, 30), "fair": (99, 1), "dear": (98, 2)}


def test_tools_go_by_quality_and_who_is_two_sigmas_below_the_baseline_comes_last() -> None:
    found = orders(fair(**BAD_CHEAP), soft=TOOLS)
    assert set(found) == {"fair dear cheap", "dear fair cheap"}
    assert found["fair dear cheap"] > found["dear fair cheap"]  # among equals by price


def test_the_record_tells_how_tools_were_called() -> None:
    told = {one.provider: one.measured for one in fair(**BAD_CHEAP).plan(soft=TOOLS).candidates}
    assert told == {
        "cheap": "70% of its answers with sound tool calls, 50 tokens/s, far worse than the others",
        "fair": "99% of its answers with sound tool calls, 50 tokens/s",
        "dear": "98% of its answers with sound tool calls, 50 tokens/s",
    }
    news = fair(fair=(4, 0))
    assert news.plan(soft=TOOLS).candidates[0].measured == "50 tokens/s", "four answers say nothing"
    calls(news.pool, "cheap", 20, 0)
    first = news.plan(soft=TOOLS, now=NOW + 1).candidates[0]
    assert first.measured == "100% of its answers with sound tool calls, 50 tokens/s"


def test_requests_without_tools_go_by_price_whatever_the_quality() -> None:
    assert orders(fair(**BAD_CHEAP)).most_common(1)[0][0] == "cheap fair dear"


@pytest.mark.parametrize(
    ("names", "provider", "expected"),
    [
        (["a/m"], {"sort": "price"}, "cheap fair dear"),
        (["a/m:floor"], {}, "cheap fair dear"),
        (["a/m"], {"sort": "latency"}, "cheap fair dear"),
        (["a/m"], {"sort": "throughput"}, "cheap fair dear"),
        (["a/m:nitro"], {}, "cheap fair dear"),
        (["a/m"], {"order": ["cheap"]}, "cheap fair dear"),
    ],
)
def test_an_explicit_sort_wins_over_the_order_by_quality(
    names: list[str], provider: dict[str, Any], expected: str
) -> None:
    assert orders(fair(**BAD_CHEAP), *names, provider=provider, soft=TOOLS) == {expected: 300}


@pytest.mark.parametrize(
    ("names", "provider"), [(["a/m"], {"sort": "exacto"}), (["a/m:exacto"], {})]
)
def test_exacto_asks_for_the_order_by_quality_without_tools_and_without_chance(
    names: list[str], provider: dict[str, Any]
) -> None:
    assert orders(fair(**BAD_CHEAP), *names, provider=provider) == {"fair dear cheap": 300}


def test_tools_are_balanced_by_price_where_nothing_was_measured() -> None:
    found = orders(Fair(sold("a/m", CHEAP, FAIR, DEAR)), soft=TOOLS)
    assert found == orders(Fair(sold("a/m", CHEAP, FAIR, DEAR)))
    assert len(found) > 1


def graded(found: Fair, now: float = NOW) -> dict[str, int]:
    model = found.catalogue.models["a/m"]
    entries = [Entry(model, one) for one in model.endpoints]
    marks = grades(entries, found.pool, now)
    return {entry.pair[1].tag: mark for entry, mark in zip(entries, marks, strict=True)}


@pytest.mark.parametrize(
    ("sound", "expected"),
    [
        ({}, (0, 0, 0)),
        ({"cheap": (0, 9)}, (0, 0, 0)),  # too few to tell
        ({"cheap": (0, 50)}, (0, 0, 0)),  # nobody to compare it with
        ({"cheap": (50, 0), "fair": (48, 2)}, (0, 0, 0)),  # that is chance
        ({"cheap": (500, 500), "fair": (990, 10)}, (DERANKED, 0, 0)),
        ({"cheap": (0, 50), "fair": (50, 0), "dear": (50, 0)}, (DERANKED, 0, 0)),
        ({"cheap": (92, 8), "fair": (99, 1)}, (-1, 0, 0)),
        ({"cheap": (92, 8), "fair": (99, 1), "dear": (91, 9)}, (0, 2, 0)),
    ],
)
def test_grades_are_whole_sigmas_of_sound_calls(
    sound: dict[str, tuple[int, int]], expected: tuple[int, int, int]
) -> None:
    found = graded(fair(**sound))
    assert (found["cheap"], found["fair"], found["dear"]) == expected


@pytest.mark.parametrize(
    ("speeds", "expected"),
    [
        ({"cheap": 50}, (0, 0, 0)),
        ({"cheap": 50, "fair": 45}, (0, 0, 0)),
        ({"cheap": 100, "fair": 70}, (0, -1, 0)),
        ({"cheap": 100, "fair": 40}, (0, DERANKED, 0)),
        ({"cheap": 40, "fair": 45, "dear": 90}, (0, 0, 2)),
        ({"cheap": 20, "fair": 100, "dear": 100}, (DERANKED, 0, 0)),
    ],
)
def test_grades_are_whole_sigmas_of_throughput(
    speeds: dict[str, float], expected: tuple[int, int, int]
) -> None:
    found = Fair(sold("a/m", CHEAP, FAIR, DEAR))
    for one in (CHEAP, FAIR, DEAR):
        if one.tag in speeds:
            answered(found.pool, one, tps=speeds[one.tag])
    marks = graded(found)
    assert (marks["cheap"], marks["fair"], marks["dear"]) == expected


def test_the_operators_figure_tells_models_apart() -> None:
    first = sold("a/weak", seller("one", 1, model="1"), quality=0.4)
    second = sold("a/strong", seller("two", 2, model="2"), quality=0.8)
    found, sort = Fair(first, second), {"by": "exacto", "partition": "none"}
    assert found.tags("a/weak", "a/strong", provider={"sort": sort}) == "two one"
    assert found.tags("a/weak", "a/strong", provider={"sort": "exacto"}) == "one two"


def test_quality_is_forgotten() -> None:
    found = fair(**BAD_CHEAP)
    assert graded(found)["cheap"] == DERANKED
    assert graded(found, NOW + 20_000) == {"cheap": 0, "fair": 0, "dear": 0}


def test_nothing_is_known_of_who_was_never_asked() -> None:
    pool = Pool()
    pool.called(("x", "m"), NOW, sound=False)
    assert pool.calls(("x", "m"), NOW) == (0.0, 0.0)


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 200), st.integers(0, 200), st.floats(0.5, 500)),
        min_size=1,
        max_size=6,
    )
)
def test_who_is_better_in_all_is_never_graded_worse(rows: list[tuple[int, int, float]]) -> None:
    sellers = [seller(f"p{number}") for number in range(len(rows))]
    found = Fair(sold("a/m", *sellers))
    for one, (good, bad, tps) in zip(sellers, rows, strict=True):
        answered(found.pool, one, tps=tps)
        calls(found.pool, one.tag, good, bad)
    marks = list(graded(found).values())
    assert any(mark > DERANKED for mark in marks) or len(rows) > 1
    best = max(range(len(rows)), key=lambda at: rows[at][2])
    least_bad = min(good + bad for good, bad, _ in rows) < 10  # that signal says nothing
    if least_bad and all(good + bad < 10 for good, bad, _ in rows):
        assert marks[best] == max(marks)
