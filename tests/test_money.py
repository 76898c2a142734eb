"""Charges are exact, rounded up once, and never negative, whatever a provider counts."""

from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.money import FREE, NANO_PER_USD, PriceOverride, Pricing, cost_of, to_usd
from proxy.wire.events import Usage

PRICES = st.decimals(0, "0.01", places=12)
OPTIONAL = st.none() | PRICES
TOKENS = st.integers(0, 10**9)
OVERRIDES = st.lists(
    st.builds(
        PriceOverride,
        min_prompt_tokens=TOKENS,
        prompt=OPTIONAL,
        completion=OPTIONAL,
        input_cache_read=OPTIONAL,
        input_cache_write=OPTIONAL,
        input_cache_write_1h=OPTIONAL,
    ),
    max_size=3,
).map(tuple)
PRICINGS = st.builds(
    Pricing,
    prompt=PRICES,
    completion=PRICES,
    request=PRICES,
    image=OPTIONAL,
    audio=OPTIONAL,
    audio_output=OPTIONAL,
    image_output=OPTIONAL,
    internal_reasoning=OPTIONAL,
    input_cache_read=OPTIONAL,
    input_cache_write=OPTIONAL,
    input_cache_write_1h=OPTIONAL,
    overrides=OVERRIDES,
)
USAGES = st.builds(
    Usage,
    prompt_tokens=TOKENS,
    completion_tokens=TOKENS,
    cached_tokens=TOKENS,
    cache_write_tokens=TOKENS,
    cache_write_1h_tokens=TOKENS,
    prompt_audio_tokens=TOKENS,
    prompt_video_tokens=TOKENS,
    reasoning_tokens=TOKENS,
    completion_audio_tokens=TOKENS,
    completion_image_tokens=TOKENS,
)


def nano(
    prompt: str, completion: str = "0", *, more: dict[str, str] | None = None, **usage: Any
) -> int:
    """The total for these counts; prices are in USD per million tokens."""
    told = {"prompt": prompt, "completion": completion, **(more or {})}
    prices: dict[str, Any] = {key: Decimal(usd) / 1_000_000 for key, usd in told.items()}
    return cost_of(Usage(**usage), Pricing(**prices)).total_nano


@given(USAGES, PRICINGS)
def test_never_negative_and_at_most_by_the_dearest_price(usage: Usage, pricing: Pricing) -> None:
    cost = cost_of(usage, pricing)
    assert min(cost.total_nano, cost.prompt_nano, cost.completion_nano) >= 0
    priced = (pricing, *pricing.overrides)
    named = [getattr(one, key) for one in priced for key in one.__struct_fields__]
    dearest = max(price for price in named if isinstance(price, Decimal))
    tokens = usage.prompt_tokens + usage.completion_tokens
    assert cost.total_nano <= ceil(Fraction(dearest) * (tokens + 1) * NANO_PER_USD)


@given(USAGES, PRICINGS)
def test_one_rounding_upwards(usage: Usage, pricing: Pricing) -> None:
    cost = cost_of(usage, pricing)
    parts = cost.prompt_nano + cost.completion_nano + ceil(pricing.request * NANO_PER_USD)
    assert parts - 2 <= cost.total_nano <= parts


@given(TOKENS, TOKENS, PRICES, PRICES, PRICES)
def test_exact_decimals(
    sent: int, answered: int, prompt: Decimal, completion: Decimal, request: Decimal
) -> None:
    pricing = Pricing(prompt=prompt, completion=completion, request=request)
    cost = cost_of(Usage(prompt_tokens=sent, completion_tokens=answered), pricing)
    exact = Fraction(prompt) * sent + Fraction(completion) * answered + Fraction(request)
    assert cost.total_nano == ceil(exact * NANO_PER_USD)
    assert cost.prompt_nano == ceil(Fraction(prompt) * sent * NANO_PER_USD)
    assert cost.completion_nano == ceil(Fraction(completion) * answered * NANO_PER_USD)


@given(USAGES, PRICINGS, TOKENS)
def test_more_tokens_never_cost_less(usage: Usage, pricing: Pricing, more: int) -> None:
    plain = msgspec.structs.replace(pricing, overrides=())
    longer = msgspec.structs.replace(usage, completion_tokens=usage.completion_tokens + more)
    assert cost_of(longer, plain).total_nano >= cost_of(usage, plain).total_nano


@given(USAGES)
def test_free_is_free(usage: Usage) -> None:
    assert cost_of(usage, FREE).total_nano == 0


COUNTS: dict[str, Any] = {"prompt_tokens": 100, "completion_tokens": 100}
TABLE: dict[str, tuple[int, int]] = {
    "a tenth of a nano-dollar is one": (nano("0.0001", prompt_tokens=1), 1),
    "nothing is nothing": (nano("5", "5"), 0),
    "prompt and completion": (nano("1", "2", **COUNTS), 300_000),
    "cached as prompt where unpriced": (nano("1", **COUNTS, cached_tokens=40), 100_000),
    "cached by its own price": (
        nano("1", **COUNTS, cached_tokens=40, more={"input_cache_read": "0.1"}), 64_000
    ),
    "cached for nothing": (
        nano("1", **COUNTS, cached_tokens=40, more={"input_cache_read": "0"}), 60_000
    ),
    "written by its own price": (
        nano("1", **COUNTS, cache_write_tokens=40, more={"input_cache_write": "1.25"}), 110_000
    ),
    "written for an hour by its own price": (
        nano(
            "1", **COUNTS, cache_write_tokens=40, cache_write_1h_tokens=10,
            more={"input_cache_write": "1.25", "input_cache_write_1h": "2"},
        ),
        117_500,
    ),
    "written for an hour as written where unpriced": (
        nano(
            "1", **COUNTS, cache_write_tokens=40, cache_write_1h_tokens=10,
            more={"input_cache_write": "1.25"},
        ),
        110_000,
    ),
    "no more written for an hour than written": (
        nano(
            "1", **COUNTS, cache_write_tokens=40, cache_write_1h_tokens=90,
            more={"input_cache_write_1h": "2"},
        ),
        140_000,
    ),
    "audio in": (nano("1", **COUNTS, prompt_audio_tokens=10, more={"audio": "10"}), 190_000),
    "reasoning as completion where unpriced": (
        nano("0", "1", **COUNTS, reasoning_tokens=90), 100_000
    ),
    "reasoning by its own price": (
        nano("0", "1", **COUNTS, reasoning_tokens=90, more={"internal_reasoning": "2"}), 190_000
    ),
    "audio out": (
        nano("0", "1", **COUNTS, completion_audio_tokens=10, more={"audio_output": "5"}), 140_000
    ),
    "images out": (
        nano("0", "1", **COUNTS, completion_image_tokens=10, more={"image_output": "5"}), 140_000
    ),
    "a part greater than the whole": (
        nano("1", **COUNTS, cached_tokens=900, more={"input_cache_read": "0.1"}), 10_000
    ),
    "parts that are more than the whole together": (
        nano(
            "1", **COUNTS, cached_tokens=80, cache_write_tokens=80,
            more={"input_cache_read": "0.1", "input_cache_write": "2"},
        ),
        48_000,
    ),
    "per request": (nano("0", more={"request": "1000000"}), NANO_PER_USD),
}  # fmt: skip


@pytest.mark.parametrize(("total", "expected"), TABLE.values(), ids=TABLE)
def test_totals(total: int, expected: int) -> None:
    assert total == expected


@pytest.mark.parametrize(("tokens", "expected"), [(99, 99), (100, 100), (101, 202), (201, 603)])
def test_overrides_hold_above_their_bound(tokens: int, expected: int) -> None:
    pricing = Pricing(
        prompt=Decimal("1e-9"),
        completion=Decimal(0),
        overrides=(
            PriceOverride(min_prompt_tokens=100, prompt=Decimal("2e-9")),
            PriceOverride(min_prompt_tokens=200, prompt=Decimal("3e-9")),
        ),
    )
    assert cost_of(Usage(prompt_tokens=tokens), pricing).total_nano == expected


def test_an_override_changes_only_what_it_names() -> None:
    one = Decimal("1e-9")
    pricing = Pricing(
        prompt=one,
        completion=one,
        input_cache_read=one,
        input_cache_write=one,
        overrides=(
            PriceOverride(min_prompt_tokens=0, completion=7 * one, input_cache_read=3 * one),
            PriceOverride(min_prompt_tokens=0, input_cache_write=5 * one),
        ),
    )
    usage = Usage(prompt_tokens=30, cached_tokens=10, cache_write_tokens=10, completion_tokens=10)
    cost = cost_of(usage, pricing)
    assert (cost.prompt_nano, cost.completion_nano) == (10 + 30 + 50, 70)


@given(st.integers(0, 2**50))
def test_dollars_keep_every_nano(count: int) -> None:
    assert round(Decimal(to_usd(count)) * NANO_PER_USD) == count


BAD_PRICES = [{"prompt": "1"}, {"prompt": "x", "completion": "1"}, {"prompts": "1"}]


@pytest.mark.parametrize("told", BAD_PRICES)
def test_prices_are_checked(told: dict[str, str]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(told, Pricing)
