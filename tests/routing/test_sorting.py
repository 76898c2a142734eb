"""A caller's order holds: nothing is left to chance, nobody is lost, nobody comes twice."""

from collections import Counter
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import GatewayError
from proxy.routing import sorting
from proxy.routing.health import FULL, Outcome, Pool, Ticket
from proxy.routing.names import resolve
from proxy.routing.ranking import Entry
from proxy.routing.rules import Rules
from proxy.routing.sorting import Wished
from proxy.wire.preferences import Preferences
from tests.sellers import NOW, Fair, all_of, answered, failed, seller, sold, tags
from tests.stage import END, JSON, Headed, Script, asked, endpoint, model, tell

SLOW, QUICK, CHEAP, DEAR = seller("slow", 2), seller("quick", 3), seller("cheap", 1), seller("d", 9)


def fair(**more: Any) -> Fair:
    """Four sellers; of the dear one nothing was seen."""
    found = Fair(sold("a/m", SLOW, DEAR, QUICK, CHEAP), **more)
    answered(found.pool, SLOW, latency_s=4.0, tps=10.0)
    answered(found.pool, QUICK, latency_s=0.2, tps=90.0)
    answered(found.pool, CHEAP, latency_s=1.0, tps=40.0)
    return found


def orders(found: Fair, times: int = 200, **asked: Any) -> Counter[str]:
    chance = Random(3).random
    return Counter(found.tags(chance=chance, **asked) for _ in range(times))


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("price", "cheap slow quick d"),
        ("throughput", "quick cheap slow d"),
        ("latency", "quick cheap slow d"),
        ({"by": "price"}, "cheap slow quick d"),
        ({"by": "latency", "partition": "model"}, "quick cheap slow d"),
        ({"by": "throughput", "partition": "none"}, "quick cheap slow d"),
    ],
)
def test_sort_is_a_strict_order_without_load_balancing(sort: Any, expected: str) -> None:
    assert orders(fair(), provider={"sort": sort}) == {expected: 200}


def test_without_sort_and_order_load_is_balanced() -> None:
    assert len(orders(fair())) > 1


def test_order_comes_first_and_then_all_others_in_normal_order_without_load_balancing() -> None:
    found = orders(fair(), provider={"order": ["d", "nobody", "slow"]})
    assert found == {"d slow cheap quick": 200}


def test_order_comes_first_and_then_all_others_as_they_are_sorted() -> None:
    wished = {"order": ["slow"], "sort": "throughput"}
    assert orders(fair(), provider=wished) == {"slow quick cheap d": 200}


def test_those_who_follow_an_order_are_in_the_order_of_their_condition() -> None:
    found = fair()
    failed(found.pool, CHEAP)
    assert found.tags(provider={"order": ["slow"]}) == "slow quick d cheap"


def test_order_without_fallbacks_is_all_that_is_tried() -> None:
    wished = {"order": ["d", "slow"], "allow_fallbacks": False}
    assert orders(fair(), provider=wished) == {"d slow": 200}


@pytest.mark.parametrize(
    ("wished", "expected"),
    [
        ({"sort": "price"}, {"cheap"}),
        ({"sort": "latency"}, {"quick"}),
        ({"preferred_max_latency": 0.5}, {"d", "quick"}),
        ({}, {"cheap", "slow", "quick", "d"}),
    ],
)
def test_without_order_and_fallbacks_only_the_top_endpoint_is_tried(
    wished: dict[str, Any], expected: set[str]
) -> None:
    assert set(orders(fair(), 2000, provider={**wished, "allow_fallbacks": False})) == expected


def test_the_top_endpoint_is_the_first_that_is_in_service_or_the_first() -> None:
    found, wished = fair(), {"sort": "price", "allow_fallbacks": False}
    failed(found.pool, CHEAP)
    assert found.tags(provider=wished) == "slow"
    assert found.tags(provider=wished, now=NOW + 15) == "slow"  # no probe without a fallback
    for one in (SLOW, QUICK, DEAR):
        failed(found.pool, one)
    assert found.tags(provider=wished) == "cheap"


def test_fallbacks_that_are_forbidden_are_told() -> None:
    plan = fair().plan(provider={"sort": "price", "allow_fallbacks": False})
    words = "would be a fallback, and provider.allow_fallbacks is false"
    assert [(one.provider, one.excluded) for one in plan.candidates] == [
        ("cheap", None), ("slow", words), ("quick", words), ("d", words),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("throughput", "quick best"),
        ({"by": "throughput", "partition": "none"}, "best"),
        ({"by": "price", "partition": "none"}, "slow"),
    ],
)
def test_without_fallbacks_each_model_has_its_top_endpoint_unless_they_are_sorted_together(
    sort: Any, expected: str
) -> None:
    wished = {"sort": sort, "allow_fallbacks": False}
    plan = two_models().plan("a/one", "a/two", provider=wished)
    assert tags(plan) == expected
    assert [one.excluded for one in plan.candidates[: len(plan.attempts)]] == [None] * len(
        plan.attempts
    )
    assert {one.provider for one in plan.candidates} == {"slow", "quick", "best", "worst"}


def test_the_top_endpoint_is_one_that_has_room() -> None:
    small = seller("small", 1, context_length=1000, max_completion_tokens=10)
    found = Fair(sold("a/m", small, seller("large", 2)))
    wished = {"sort": "price", "allow_fallbacks": False}
    assert found.tags(provider=wished) == "small"
    assert found.tags(provider=wished, max_tokens=5000) == "large"


TAGGED = (
    seller("vertex/us-east5", 3), seller("vertex", 2), seller("vertex/flex", 1),
    seller("openai/priority", 5), seller("openai", 4), seller("deepinfra/turbo", 6),
)  # fmt: skip


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["vertex"], "vertex vertex/us-east5"),
        (["VERTEX"], "vertex vertex/us-east5"),
        (["Vertex"], "vertex vertex/us-east5"),
        (["vertex/us-east5"], "vertex/us-east5"),
        (["vertex/us-east5", "vertex"], "vertex/us-east5 vertex"),
        (["openai"], "openai"),
        (["openai/priority"], "openai/priority"),
        (["openai/priority", "openai"], "openai/priority openai"),
        (["vertex/flex", "deepinfra/turbo"], "vertex/flex deepinfra/turbo"),
        (["deepinfra"], "deepinfra/turbo"),
    ],
)
def test_a_base_slug_or_name_matches_all_but_service_tiers_and_a_tag_matches_one(
    names: list[str], expected: str
) -> None:
    found = Fair(sold("a/m", *TAGGED))
    assert found.tags(provider={"order": names, "allow_fallbacks": False}) == expected
    assert found.tags(provider={"only": names, "sort": "price"}) == " ".join(
        sorted(expected.split(), key=[one.tag for one in sorted(TAGGED, key=_usd)].index)
    )


@pytest.mark.parametrize(
    ("names", "asked", "expected"),
    [
        (["a/m:free", "a/m"], {}, "free cheap dear"),
        (["a/m:nitro", "a/m"], {}, "fast free cheap dear"),
        (["a/m", "a/m:nitro"], {}, "free cheap dear fast"),
        (["a/m:free", "a/m:nitro"], {"tier": "default"}, "free cheap dear"),
    ],
)
def test_what_one_name_of_a_model_leaves_out_another_may_open(
    names: list[str], asked: dict[str, Any], expected: str
) -> None:
    sellers = (seller("cheap", 1), seller("dear", 2), seller("free", 0), seller("fast/priority", 5))
    found = Fair(sold("a/m", *sellers))
    answered(found.pool, sellers[3], tps=90.0)
    plan = found.plan(*names, **asked)
    assert tags(plan).replace("/priority", "") == expected
    assert len(plan.candidates) == 4


def _usd(endpoint: Any) -> Any:
    return endpoint.pricing.prompt


def two_models(pool: Pool | None = None) -> Fair:
    first = sold("a/one", seller("slow", 1, model="1"), seller("quick", 4, model="1"))
    second = sold("a/two", seller("best", 2, model="2"), seller("worst", 9, model="2"))
    found = Fair(first, second, pool=pool)
    for one, tps in zip(all_of([first, second]), (20.0, 60.0, 90.0, 5.0), strict=True):
        answered(found.pool, one, tps=tps, latency_s=30.0 / tps)
    return found


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("throughput", "quick slow best worst"),
        ({"by": "throughput", "partition": "model"}, "quick slow best worst"),
        ({"by": "throughput", "partition": "none"}, "best quick slow worst"),
        ({"by": "latency", "partition": "none"}, "best quick slow worst"),
        ({"by": "price", "partition": "none"}, "slow best quick worst"),
        ({"partition": "none"}, "slow best quick worst"),
    ],
)
def test_partition_none_sorts_the_endpoints_of_all_models_together(
    sort: Any, expected: str
) -> None:
    found = two_models()
    assert found.tags("a/one", "a/two", provider={"sort": sort}) == expected


@pytest.mark.parametrize(
    ("wished", "first", "last"),
    [
        ({"preferred_min_throughput": 30}, "d quick cheap", "slow"),
        ({"preferred_min_throughput": 80}, "d quick", "slow cheap"),
        ({"preferred_min_throughput": 500}, "d", "slow quick cheap"),
        ({"preferred_max_latency": 2}, "d quick cheap", "slow"),
        ({"preferred_max_latency": {"p50": 2, "p90": 2}}, "d quick cheap", "slow"),
        ({"preferred_max_latency": {"p50": 9, "p99": 0.5}}, "d quick", "slow cheap"),
        (
            {"preferred_max_latency": 2, "preferred_min_throughput": {"p90": 80}},
            "d quick",
            "slow cheap",
        ),
    ],
)
def test_who_is_slower_than_is_preferred_goes_to_the_end_and_is_never_excluded(
    wished: dict[str, Any], first: str, last: str
) -> None:
    order = ["slow", "d", "quick", "cheap"]
    assert fair().tags(provider={**wished, "order": order}) == f"{first} {last}"
    quick, rows = len(first.split()), [one.split() for one in orders(fair(), provider=wished)]
    assert {frozenset(row[:quick]) for row in rows} == {frozenset(first.split())}
    assert {frozenset(row[quick:]) for row in rows} == {frozenset(last.split())}
    assert len(rows) > 1  # the load is shared as ever


def test_all_percentiles_of_a_preferred_speed_must_hold() -> None:
    found = Fair(sold("a/m", seller("even", 1), seller("uneven", 2)))
    even, uneven = all_of(found.catalogue.models.values())
    answered(found.pool, even, latency_s=2.0, times=10)
    answered(found.pool, uneven, latency_s=1.0, times=8)
    answered(found.pool, uneven, latency_s=9.0, times=2)
    assert found.tags(provider={"preferred_max_latency": 3.0}) == "even uneven"
    assert found.tags(provider={"preferred_max_latency": 1.5}) == "uneven even"
    both = {"p50": 1.5, "p90": 3.0}
    assert found.tags(provider={"preferred_max_latency": both}) == "even uneven"  # both fail
    assert found.tags(provider={"preferred_max_latency": {"p50": 3, "p90": 3}}) == "even uneven"


def test_a_preferred_speed_is_that_of_the_last_five_minutes() -> None:
    found = fair()
    wished = {"order": ["slow", "quick"], "preferred_max_latency": 2, "allow_fallbacks": False}
    assert found.tags(provider=wished, now=NOW) == "quick slow"
    assert found.tags(provider=wished, now=NOW + 200) == "quick slow"
    assert found.tags(provider=wished, now=NOW + 360) == "slow quick"


def test_a_preferred_speed_may_promote_a_fallback_model_with_partition_none() -> None:
    found = two_models()
    wished: dict[str, Any] = {"preferred_min_throughput": 70}
    assert found.tags("a/one", "a/two", provider=wished) == "slow quick best worst"
    wished["sort"] = {"by": None, "partition": "none"}
    assert found.tags("a/one", "a/two", provider=wished) == "best slow quick worst"


def tiered() -> Fair:
    found = Fair(
        sold(
            "a/m", seller("one", 1), seller("one/priority", 3), seller("two", 2),
            seller("two/priority", 4), seller("one/flex", 0.6), seller("two/flex", 0.5),
            seller("two/ultrafast", 9),
        )
    )  # fmt: skip
    speeds = {"one": 20.0, "two": 90.0, "one/priority": 40.0, "two/priority": 30.0}
    for one in all_of(found.catalogue.models.values()):
        answered(found.pool, one, tps=speeds.get(one.tag, 15.0))
    return found


@pytest.mark.parametrize(
    ("tier", "expected"),
    [
        (None, "one two"),
        ("default", "one two"),
        ("priority", "one/priority two/priority two one"),
        ("ultrafast", "two/ultrafast one/priority two/priority two one"),
        ("flex", "two/flex one/flex"),
    ],
)
def test_a_service_tier_comes_first_and_each_is_sorted_by_throughput_but_flex_by_price(
    tier: Any, expected: str
) -> None:
    assert tiered().tags(tier=tier) == expected


def test_flex_is_the_ordinary_tier_by_price_where_no_flex_endpoint_exists() -> None:
    found = fair()
    assert orders(found, tier="flex") == {"cheap slow quick d": 200}


@pytest.mark.parametrize(
    ("name", "tier", "expected"),
    [
        ("a/m:nitro", None, "two one/priority two/priority one"),
        ("a/m:floor", None, "two/flex one/flex one two"),
        ("a/m:nitro", "default", "two one"),
        ("a/m:floor", "default", "one two"),
    ],
)
def test_nitro_sorts_by_throughput_with_priority_and_floor_by_price_with_flex(
    name: str, tier: Any, expected: str
) -> None:
    assert tiered().tags(name, tier=tier) == expected


def test_an_order_turns_the_tiers_of_a_variant_off() -> None:
    assert tiered().tags("a/m:nitro", provider={"order": ["one"]}) == "one two"


def test_who_is_shut_paused_or_full_keeps_its_place_and_is_passed_over() -> None:
    found = fair(pool=Pool(Rules(cap_start=4)))
    pool, wished = found.pool, {"sort": "price"}
    failed(pool, CHEAP)
    paused = pool.begin(("slow", "m"), NOW, retry=False, last=False)
    assert isinstance(paused, Ticket)
    pool.end(paused, Outcome.LIMITED, NOW, retry_after_s=20)
    for _ in range(4):
        assert isinstance(pool.begin(("quick", "m"), NOW, retry=False, last=False), Ticket)
    plan = found.plan(provider=wished)
    assert tags(plan) == "cheap slow quick d"
    assert [one.standing for one in plan.candidates] == ["out", "limited", "well", "well"]
    words = [pool.begin((one.tag, "m"), NOW, retry=False, last=False) for _, one in plan.attempts]
    assert words[:3] == ["shut after failures", "asked for a pause (429)", FULL]
    assert isinstance(words[3], Ticket)
    probe = pool.begin(("cheap", "m"), NOW + 15, retry=False, last=False)
    assert isinstance(probe, Ticket)
    assert probe.probe  # it is tried again in its turn, though nobody moved it to the head


def test_what_was_measured_is_looked_at_once_a_second() -> None:
    found, wished = fair(), {"sort": "latency"}
    assert found.tags(provider=wished).startswith("quick")
    answered(found.pool, DEAR, latency_s=0.01)
    assert found.tags(provider=wished, now=NOW + 0.9).startswith("quick")
    assert found.tags(provider=wished, now=NOW + 1.0).startswith("d quick")


def test_who_has_no_known_throughput_comes_last() -> None:
    found = fair()
    begun = found.pool.begin(("d", "m"), NOW, retry=False, last=False)
    assert isinstance(begun, Ticket)
    found.pool.content(begun, NOW + 0.1)
    found.pool.end(begun, Outcome.GOOD, NOW + 0.1, tokens=1)  # too short to tell
    wished: dict[str, Any] = {"sort": "throughput"}
    assert found.tags(provider=wished, now=NOW + 2) == "quick cheap slow d"
    wished = {"order": ["d"], "preferred_min_throughput": 30}
    assert found.tags(provider=wished, now=NOW + 2).startswith("d")  # nor is it known to be slow


def test_plans_are_kept_and_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    found = fair()
    first = found.plan(provider={"sort": "price"})
    assert found.plan(provider={"sort": "price"}) is first
    monkeypatch.setattr(sorting, "PLANS_MAX", 2)
    wished = Wished(
        [Entry(found.catalogue.models["a/m"], one) for one in (SLOW, DEAR, QUICK, CHEAP)],
        Preferences(allow_fallbacks=True, latency=((0.5, 1.5),)),
        tooled=True,
    )
    chance = Random(5).random
    for second in range(60):
        now = NOW + second * 30
        answered(found.pool, SLOW, now, latency_s=second % 3, tps=1.0 + second % 5 * 40)
        wished.order(found.pool, now + 1, chance)
        assert len(wished._plans) <= 2


@st.composite
def wishes(draw: st.DrawFn) -> Preferences:
    names = st.lists(st.sampled_from(["p0", "p1", "p2/x", "p2", "p9"]), unique=True)
    bounds = st.lists(st.tuples(st.sampled_from([0.5, 0.9]), st.floats(0.1, 100)), max_size=2)
    return Preferences(
        order=tuple(draw(names)),
        allow_fallbacks=draw(st.booleans()),
        sort=draw(st.sampled_from([None, "price", "throughput", "latency", "exacto"])),
        throughput=tuple(draw(bounds)),
        latency=tuple(draw(bounds)),
    )


@given(wished=wishes(), seed=st.integers(0, 10**6), tooled=st.booleans())
def test_nobody_is_lost_nobody_comes_twice_and_chance_decides_only_where_it_may(
    wished: Preferences, seed: int, tooled: bool
) -> None:
    rng = Random(seed)
    sellers = [seller(tag, rng.choice((0, 1, 2, None))) for tag in ("p0", "p1", "p2/x", "p2/y")]
    model, pool = sold("a/m", *sellers), Pool()
    for one in sellers:
        if rng.random() < 0.6:
            answered(pool, one, latency_s=rng.random(), tps=1 + 90 * rng.random())
        if rng.random() < 0.3:
            failed(pool, one, times=rng.choice((1, 5)))
    field = Wished([Entry(model, one) for one in sellers], wished, tooled=tooled)
    found = [tags(field.order(pool, NOW + 1, rng.random)).split() for _ in range(5)]
    listed = [one.tag for one in sellers if one.tag in " ".join(wished.order).split()]
    for row in found:
        assert len(set(row)) == len(row)
        if wished.allow_fallbacks or not wished.order:
            assert len(row) == 4
        else:
            assert set(row) >= set(listed)
    if wished.sort or wished.order:
        assert all(row == found[0] for row in found)


SHOP = [
    sold("a/one", seller("p0"), seller("p0/eu", 2), seller("p1/flex", 1), seller("p1", 3)),
    sold("a/two", seller("p0", 5), seller("p2/priority", 9), seller("p2", 4)),
    sold("a/two:free", seller("p3", 0)),
]
NAMES = st.lists(
    st.sampled_from([
        "a/one", "a/one:nitro", "a/one:floor", "a/two", "a/two:free", "a/two:exacto", "one",
        "a/two:floor:nitro", "a/one:free:nitro",
    ]),
    min_size=1, max_size=5, unique=True,
)  # fmt: skip
TAGS = st.lists(st.sampled_from(["p0", "p0/eu", "p1", "p1/flex", "p2/priority", "p3", "nobody"]))


@given(
    names=NAMES,
    lists=st.fixed_dictionaries({}, optional={"order": TAGS, "only": TAGS, "ignore": TAGS}),
    sort=st.sampled_from([None, "price", "throughput", "latency", "exacto"]),
    partition=st.sampled_from(["model", "none"]),
    fallbacks=st.booleans(),
    asked=st.fixed_dictionaries(
        {},
        optional={
            "tier": st.sampled_from(["default", "flex", "priority", "ultrafast"]),
            "soft": st.just(frozenset(("tools",))),
            "max_tokens": st.sampled_from([5, 5000]),
        },
    ),
    seed=st.integers(0, 10**6),
)
def test_whatever_is_wished_each_endpoint_is_told_once_and_tried_once_at_most(
    names: list[str],
    lists: dict[str, list[str]],
    sort: str | None,
    partition: str,
    fallbacks: bool,
    asked: dict[str, Any],
    seed: int,
) -> None:
    rng, found = Random(seed), Fair(*SHOP)
    for one in all_of(SHOP):
        if rng.random() < 0.5:
            answered(found.pool, one, latency_s=rng.random(), tps=1 + 90 * rng.random())
        if rng.random() < 0.2:
            failed(found.pool, one)
    by = {"by": sort, "partition": partition}
    wished = {**lists, "sort": by, "allow_fallbacks": fallbacks, "preferred_max_latency": 0.5}
    try:
        models = [resolve(name, found.catalogue).model for name in names]
        for _ in range(2):
            made = found.plan(*names, provider=wished, chance=rng.random, **asked)
    except GatewayError as error:
        if error.kind != "no_endpoint":
            raise
        return
    tried = [(one.tag, one.model) for _, one in made.attempts]
    assert tried
    assert len(set(tried)) == len(tried)
    every = {(one.tag, one.model) for one in all_of(models)}
    assert Counter((one.provider, one.model) for one in made.candidates) == Counter(every)
    assert [(one.provider, one.model) for one in made.candidates][: len(tried)] == tried
    left_out = [one.excluded is not None for one in made.candidates]
    assert left_out == [False] * len(tried) + [True] * (len(every) - len(tried))


@pytest.mark.parametrize(
    ("wished", "asked_of"),
    [
        ({"allow_fallbacks": False}, ["p0"]),
        ({"allow_fallbacks": False, "order": ["p1"]}, ["p1"]),
        ({"allow_fallbacks": False, "order": ["p1", "p0"]}, ["p1", "p0"]),
        ({"order": ["p1"]}, ["p1", "p0"]),
        ({}, ["p0", "p1"]),
    ],
)
def test_the_providers_own_error_is_the_answer_where_no_fallback_is_left(
    wished: dict[str, Any], asked_of: list[str]
) -> None:
    error = orjson.dumps({"error": {"message": "on fire"}})
    script: Script = [(0.1, Headed(500, JSON)), (0.2, error), (0.3, END)]
    client, stage = tell(
        script,
        script,
        models=[model("test/one", endpoint("p0"), endpoint("p1"))],
        body=asked(provider=wished),
    )
    assert [one.provider for one in stage.books.tries] == asked_of
    assert client.status == 502
    assert "on fire" in str(client.error)


def measures(found: Fair, **asked: Any) -> dict[str, str | None]:
    """What the record says was measured of each, by tag."""
    return {one.provider: one.measured for one in found.plan(**asked).candidates}


def test_the_record_tells_what_an_order_goes_by() -> None:
    found = fair()  # speeds are kept in steps of some percent
    assert set(measures(found).values()) == {None}
    assert set(measures(found, provider={"sort": "price"}).values()) == {None}
    assert measures(found, provider={"sort": "throughput"}) == {
        "quick": "89 tokens/s", "cheap": "41 tokens/s", "slow": "10 tokens/s",
        "d": "not measured yet",
    }  # fmt: skip
    assert measures(found, provider={"sort": "latency"}) == {
        "quick": "0.2 s to the first token", "cheap": "1 s to the first token",
        "slow": "3.9 s to the first token", "d": "not measured yet",
    }  # fmt: skip
    wished = {"preferred_min_throughput": {"p90": 30}, "preferred_max_latency": 0.5}
    assert measures(found, provider=wished) == {
        "quick": "89 tokens/s in 90% of its answers,"
        " 0.2 s to the first token in 50% of its answers",
        "cheap": "41 tokens/s in 90% of its answers, 1 s to the first token in 50% of its answers,"
        " slower than preferred",
        "slow": "10 tokens/s in 90% of its answers, 3.9 s to the first token in 50% of its answers,"
        " slower than preferred",
        "d": "not measured lately",
    }  # fmt: skip


def test_the_record_tells_what_is_measured_now() -> None:
    found, wished = fair(), {"sort": "latency"}
    assert measures(found, provider=wished)["d"] == "not measured yet"
    answered(found.pool, DEAR, latency_s=9.0)  # its place stays the same
    assert measures(found, provider=wished, now=NOW + 1)["d"] == "9 s to the first token"
    assert found.plan(provider=wished, now=NOW + 2) is found.plan(provider=wished, now=NOW + 2)


def test_a_long_wait_is_told_in_whole_seconds() -> None:
    found = fair()
    answered(found.pool, DEAR, latency_s=150.0)
    said = measures(found, provider={"sort": "latency"})["d"]
    assert said is not None
    assert 140 < int(said.removesuffix(" s to the first token")) < 160
