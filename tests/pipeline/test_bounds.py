"""How much a request may use: the bounds that holds go by."""

from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.money import Pricing
from proxy.pipeline.bounds import (
    SEARCHES_HELD,
    SEARCHES_MAX,
    START_TOKENS,
    WHOLE_TOKENS,
    Price,
    prompt_bound,
    searches_of,
    sizes_of,
    wide_bound,
)
from proxy.pipeline.exchange import Exchange
from proxy.routing.plan import Plan
from proxy.wire.events import Usage
from proxy.wire.request import Ask
from proxy.wire.tokens import TOKENS_PER_MEDIUM_MAX
from tests.stage import WALL, endpoint, model, snapshot


def planned(*context_lengths: int | None, **ask: Any) -> Exchange:
    made = Exchange(id="gen", created_at=WALL, started_at=0.0, snapshot=snapshot())
    told: dict[str, Any] = {"body": {}} | ask
    made.ask = Ask(models=("test/one",), **told)
    endpoints = [replace(endpoint(), context_length=length) for length in context_lengths]
    one = model("test/one", *endpoints)
    made.plan = Plan(tuple((one, at) for at in endpoints))
    return made


@pytest.mark.parametrize(
    ("lengths", "wide", "tokens"),
    [
        ((None,), 500_000, 504_196),
        ((200_000,), 500_000, 200_000),
        ((200_000, 1_000_000), 500_000, 504_196),
        ((200_000, None), 2_000_000, 2_000_000),
        ((1000,), 500_000, 4196),  # a bound is never below what it was without
        ((200_000,), 3000, 7196),
    ],
)
def test_files_may_be_the_whole_context(
    lengths: tuple[int | None, ...], wide: int, tokens: int
) -> None:
    exchange = planned(*lengths, text_bytes=100, media_prompt=1, wide_prompt=wide)
    assert exchange.ask is not None
    assert prompt_bound(exchange.ask) == 100 + TOKENS_PER_MEDIUM_MAX
    assert wide_bound(exchange, exchange.ask) == tokens


@pytest.mark.parametrize(
    ("ask", "sizes"),
    [
        ({"max_tokens": 7, "choices": 3}, [21]),
        ({"stream": True}, [START_TOKENS]),
        ({"stream": True, "choices": 2}, [2 * START_TOKENS]),
        ({}, [WHOLE_TOKENS, START_TOKENS]),
        ({"most": Usage(completion_tokens=5), "max_tokens": 9}, [5]),
    ],
)
def test_how_many_tokens_are_held(ask: dict[str, Any], sizes: list[int]) -> None:
    exchange = planned(None, **ask)
    assert exchange.ask is not None
    assert sizes_of(exchange, exchange.ask) == sizes


def test_what_a_task_uses_at_most_is_priced_with_its_units() -> None:
    most = Usage(prompt_tokens=10, completion_tokens=99, images=2)
    exchange = planned(None, most=most, text_bytes=10**6)
    assert exchange.ask is not None
    assert prompt_bound(exchange.ask) == 10
    assert exchange.plan is not None
    one, at = exchange.plan.attempts[0]
    pricing = Pricing(prompt=Decimal(1), completion=Decimal(2), output_image=Decimal(3))
    exchange.plan = Plan(((one, replace(at, pricing=pricing)),))
    assert Price(exchange, 10).nano(5) == (10 + 2 * 5 + 2 * 3) * 10**9


@pytest.mark.parametrize(
    ("asked", "searches", "choices", "found"),
    [
        (False, None, 1, 0),
        (True, None, 1, 10),
        (True, None, 3, 30),
        (True, None, 64, 100),
        (True, 3, 5, 3),
        (True, 0, 1, 0),
        (True, 10**6, 1, 100),
    ],
)
def test_searches_are_bounded(asked: bool, searches: int | None, choices: int, found: int) -> None:
    tools = frozenset(("web_search",) if asked else ("mcp",))
    exchange = planned(None, hosted=tools, searches=searches, choices=choices)
    assert exchange.ask is not None
    at = endpoint()
    assert searches_of(exchange.ask, at, SEARCHES_HELD) == found
    assert found <= searches_of(exchange.ask, at, SEARCHES_MAX) <= SEARCHES_MAX
    assert at.pricing is not None
    priced = replace(at, pricing=replace(at.pricing, web_search=Decimal("0.01")))
    exchange.plan = Plan(((model("test/one", priced), priced),))
    price = Price(exchange, 10)
    assert price.nano(5) == 20_000_000 + found * 10_000_000
    assert price.affordable(price.nano(5)) == 5
