"""10,000 requests through failing, slow and dear endpoints, on a virtual clock: who gets them."""

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from functools import partial
from itertools import pairwise

import pytest
from msgspec.structs import replace

from proxy.routing.catalogue import Endpoint
from tests.market import Deal, Manner, Market
from tests.sellers import seller, sold
from tests.stage import snapshot

REQUESTS = 10_000
GAP_S = 0.1
START = 1000.0
OUTAGE = (START + 300, START + 420)
SLOWNESS = (START + 300, START + 500)
THREADS = 40
TOOLS = frozenset(("tools",))
PREFERRED = {"preferred_max_latency": {"p90": 2.0}}


def caching(endpoint: Endpoint) -> Endpoint:
    assert endpoint.pricing is not None
    read = endpoint.pricing.prompt / Decimal(10)
    return replace(endpoint, pricing=replace(endpoint.pricing, input_cache_read=read))


def during(span: tuple[float, float], now: float) -> bool:
    return span[0] <= now < span[1]


@pytest.fixture(scope="module")
def market() -> Market:
    """By turns: plain requests, such as mind latency or have tools, and turns of conversations."""
    found = Market(
        snapshot(
            # The first fails for two minutes, the second ever and again.
            sold("m/shop", seller("a", 1), seller("b", 2), seller("c", 3)),
            # The cheap one becomes slow for a while.
            sold("m/pace", seller("lazy", 1), seller("brisk", 3)),
            # The cheap one often calls tools that do not exist.
            sold("m/tool", seller("sloppy", 1), seller("exact", 2), seller("neat", 6)),
            # They keep prompts, and the first fails for two minutes.
            sold("m/talk", caching(seller("one", 1)), caching(seller("two", 1.2))),
        ),
        {
            "a": Manner(fails=lambda now: float(during(OUTAGE, now))),
            "b": Manner(fails=lambda now: 0.9),
            "c": Manner(latency_s=lambda now: 0.3),
            "lazy": Manner(latency_s=lambda now: 8.0 if during(SLOWNESS, now) else 0.5),
            "brisk": Manner(),
            "sloppy": Manner(sound=0.6),
            "exact": Manner(sound=0.99),
            "neat": Manner(sound=0.99),
            "one": Manner(fails=lambda now: float(during(OUTAGE, now))),
            "two": Manner(),
        },
    )

    def ask(number: int) -> None:
        match number % 5:
            case 0:
                found.ask("plain", "m/shop")
            case 1:
                found.ask("paced", "m/pace", PREFERRED)
            case 2:
                found.ask("tooled", "m/tool", soft=TOOLS)
            case 3:
                found.ask("untooled", "m/tool")
            case _:
                found.ask("talk", "m/talk", thread=number // 5 % THREADS)

    for number in range(REQUESTS):
        found.at(START + number * GAP_S, partial(ask, number))
    found.run()
    assert len(found.deals) == REQUESTS
    return found


def deals(market: Market, kind: str, since_s: float = 0.0, until_s: float = 1e9) -> list[Deal]:
    return [
        one for one in market.deals
        if one.kind == kind and since_s <= one.at - START < until_s
    ]  # fmt: skip


def share(rows: Iterable[str], which: str) -> float:
    counted = Counter(rows)
    return counted[which] / counted.total()


def test_every_request_is_answered_though_sellers_fail(market: Market) -> None:
    assert [one.kind for one in market.deals if one.by is None] == []


def test_of_steady_ones_at_a_third_of_the_price_is_asked_nine_times_as_often(
    market: Market,
) -> None:
    rows = [one.first for one in (*deals(market, "plain", 60, 300), *deals(market, "plain", 600))]
    counted = Counter(one for one in rows if one in "ac")
    assert share(counted.elements(), "a") == pytest.approx(0.9, abs=0.035)


def test_who_had_outages_is_the_last_fallback(market: Market) -> None:
    rows = deals(market, "plain", 60, 300)
    usual = [" ".join(one.planned) for one in rows if one.first == "a"]
    assert len(usual) > 0.8 * len(rows)
    assert share(usual, "a c b") > 0.9


def test_an_outage_costs_few_requests_a_failure_and_the_others_get_them(market: Market) -> None:
    rows = deals(market, "plain", 305, 415)
    assert share([one.by or "" for one in rows], "a") == 0
    assert share([one.first for one in rows], "a") < 0.1  # probes
    assert sum("a" in one.asked for one in rows) <= 12


def test_who_is_back_is_found_out_and_ramped_up(market: Market) -> None:
    assert share([one.by or "" for one in deals(market, "plain", 420, 455)], "a") > 0.02
    ramp = share([one.by or "" for one in deals(market, "plain", 440, 465)], "a")
    back = share([one.by or "" for one in deals(market, "plain", 500)], "a")
    assert ramp < back
    assert back > 0.75


def test_who_is_slower_than_is_preferred_is_asked_last_while_it_is_seen_to_be(
    market: Market,
) -> None:
    before = share([one.first for one in deals(market, "paced", 30, 300)], "lazy")
    meanwhile = deals(market, "paced", 420, 600)
    after = share([one.first for one in deals(market, "paced", 700)], "lazy")
    assert before == pytest.approx(0.9, abs=0.05)
    assert share([one.first for one in meanwhile], "lazy") == 0
    assert {one.planned[-1] for one in meanwhile} == {"lazy"}  # never excluded
    assert after == pytest.approx(0.9, abs=0.05)  # five minutes later it is asked again


def test_tools_go_to_those_who_call_them_well_and_the_rest_by_price(market: Market) -> None:
    tooled = [one.first for one in deals(market, "tooled", 60)]
    assert share(tooled, "sloppy") == 0
    assert share(tooled, "exact") == pytest.approx(0.9, abs=0.05)
    untooled = [one.first for one in deals(market, "untooled", 60)]
    assert share(untooled, "sloppy") > 0.7


def hit_rate(rows: list[Deal]) -> float:
    """Of the prompts that some seller has in its cache."""
    turns = Counter[int]()
    hits = total = 0
    for one in rows:
        assert one.thread is not None
        turns[one.thread] += 1
        if turns[one.thread] > 1:
            total += 1
            hits += one.cached_tokens > 0
    return hits / total


def test_conversations_stay_where_their_prompts_are_cached(market: Market) -> None:
    assert hit_rate(deals(market, "talk", 60, 300)) > 0.95
    assert hit_rate(deals(market, "talk", 500)) > 0.95


def test_conversations_move_once_in_an_outage_and_stay_where_they_are_warm_then(
    market: Market,
) -> None:
    for thread in range(THREADS):
        row = [one.by for one in deals(market, "talk", 60) if one.thread == thread]
        moves = sum(one != other for one, other in pairwise(row))
        assert moves <= 3
    before = {one.thread: one.by for one in deals(market, "talk", 250, 300)}
    assert set(before.values()) == {"one", "two"}  # chance led them there once
    last = {one.thread: one.by for one in deals(market, "talk", 800)}
    moved = [one for one, by in before.items() if by == "one"]
    assert share([last[one] or "" for one in moved], "two") > 0.9
    assert all(last[one] == "two" for one, by in before.items() if by == "two")
