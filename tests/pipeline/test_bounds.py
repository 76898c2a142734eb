"""How much a request may use: the bounds that holds go by."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.money import PriceOverride, Pricing, tariff_of
from proxy.pipeline.bounds import (
    SEARCHES_HELD,
    SEARCHES_MAX,
    START_TOKENS,
    TERMS_MAX,
    WHOLE_TOKENS,
    Price,
    prompt_bound,
    searches_of,
    sizes_of,
    terms_of,
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
    assert list(sizes_of(exchange.ask, terms_of(exchange))) == sizes


def test_what_a_task_uses_at_most_is_priced_with_its_units() -> None:
    most = Usage(prompt_tokens=10, completion_tokens=99, images=2)
    exchange = planned(None, most=most, text_bytes=10**6)
    assert exchange.ask is not None
    assert prompt_bound(exchange.ask) == 10
    assert exchange.plan is not None
    one, at = exchange.plan.attempts[0]
    pricing = Pricing(prompt=Decimal(1), completion=Decimal(2), output_image=Decimal(3))
    exchange.plan = Plan(((one, replace(at, pricing=pricing)),))
    assert Price(exchange, terms_of(exchange), 10).nano(5) == (10 + 2 * 5 + 2 * 3) * 10**9


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
    price = Price(exchange, terms_of(exchange), 10)
    assert price.nano(5) == 20_000_000 + found * 10_000_000
    assert price.affordable(price.nano(5)) == 5


PRICES = st.sampled_from(
    [Decimal(text) for text in ("0", "0.000001", "0.0000025", "0.00000000015", "0.00001")]
)
PRICINGS = st.builds(
    Pricing,
    prompt=PRICES,
    completion=PRICES,
    request=PRICES,
    audio=st.none() | PRICES,
    internal_reasoning=st.none() | PRICES,
    web_search=st.none() | PRICES,
    audio_second=st.none() | PRICES,
    output_image=st.none() | PRICES,
    overrides=st.lists(
        st.builds(PriceOverride, min_prompt_tokens=st.sampled_from([5, 50]), prompt=PRICES),
        max_size=2,
    ).map(tuple),
)
MARGINS = st.sampled_from([(0, 1), (1, 10), (1, 3)])
COUNTS = st.integers(0, 100)


@given(st.lists(st.none() | PRICINGS, max_size=5), MARGINS, COUNTS, COUNTS, st.booleans())
def test_who_is_never_the_dearest_need_not_be_asked(
    pricings: list[Pricing | None],
    margin: tuple[int, int],
    prompt_tokens: int,
    tokens: int,
    hosted: bool,
) -> None:
    exchange = planned(*[None] * len(pricings), hosted=frozenset(["web_search"] if hosted else ()))
    assert exchange.plan is not None
    assert exchange.ask is not None
    attempts = tuple(
        (one, replace(at, pricing=pricing))
        for (one, at), pricing in zip(exchange.plan.attempts, pricings, strict=True)
    )
    exchange.plan = Plan(attempts)
    exchange.snapshot = exchange.snapshot._replace(margin=margin)
    all_of_them = [
        (tariff_of(pricing), searches_of(exchange.ask, at, SEARCHES_HELD))
        for _, at in attempts
        if (pricing := at.pricing) is not None
    ]
    price = Price(exchange, terms_of(exchange), prompt_tokens)
    assert price.nano(tokens) == max(
        (one.bound_nano(prompt_tokens, tokens, margin, most) for one, most in all_of_them),
        default=0,
    )
    most = Usage(prompt_tokens=prompt_tokens, audio_ms=tokens, images=tokens % 7)
    exchange.ask = replace(exchange.ask, most=most)
    price = Price(exchange, terms_of(exchange), prompt_tokens)
    bound = replace(most, completion_tokens=tokens)
    assert price.nano(tokens) == max(
        (one.most_nano(bound, margin) for one, _ in all_of_them), default=0
    )


def test_terms_are_made_once_and_not_kept_for_ever() -> None:
    exchange = planned(None, None)
    assert exchange.plan is not None
    terms = terms_of(exchange)
    assert terms is terms_of(exchange)
    assert len(terms.tariffs) == 1  # two of the same price are asked as one
    pairs = exchange.plan.attempts
    for _ in range(TERMS_MAX):
        exchange.plan = Plan((*pairs,)[:1] + pairs[1:])
        assert terms_of(exchange).attempts is exchange.plan.attempts
    assert len(exchange.snapshot.catalogue.terms) <= TERMS_MAX
