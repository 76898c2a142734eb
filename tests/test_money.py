"""Charges are exact, rounded up once, and never negative, whatever a provider counts."""

from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import money
from proxy.money import FREE, NANO_PER_USD, PriceOverride, Pricing, cost_of, tariff_of, to_usd
from proxy.wire.events import Usage

PRICES = st.decimals(0, "0.01", places=12)
OPTIONAL = st.none() | PRICES
TOKENS = st.integers(0, 10**9)
UNITS = st.integers(0, 10**9)
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
    image_token=OPTIONAL,
    video_token=OPTIONAL,
    audio=OPTIONAL,
    audio_output=OPTIONAL,
    image_output=OPTIONAL,
    internal_reasoning=OPTIONAL,
    input_cache_read=OPTIONAL,
    input_cache_write=OPTIONAL,
    input_cache_write_1h=OPTIONAL,
    output_image=OPTIONAL,
    search_unit=OPTIONAL,
    character=OPTIONAL,
    audio_second=OPTIONAL,
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
    prompt_image_tokens=TOKENS,
    reasoning_tokens=TOKENS,
    completion_audio_tokens=TOKENS,
    completion_image_tokens=TOKENS,
    images=UNITS,
    search_units=UNITS,
    characters=UNITS,
    audio_ms=UNITS,
)
MARGINS = st.builds(lambda above, below: (above, below), st.integers(0, 100), st.integers(1, 100))


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
    count = usage.prompt_tokens + usage.completion_tokens + usage.images + usage.search_units
    count += usage.characters + ceil(Fraction(usage.audio_ms, 1000))
    assert cost.total_nano <= ceil(Fraction(dearest) * (count + 1) * NANO_PER_USD)


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


@given(USAGES, PRICINGS, UNITS)
def test_more_of_anything_never_costs_less(usage: Usage, pricing: Pricing, more: int) -> None:
    for name in ("images", "search_units", "characters", "audio_ms"):
        larger = msgspec.structs.replace(usage, **{name: getattr(usage, name) + more})
        assert cost_of(larger, pricing).total_nano >= cost_of(usage, pricing).total_nano


@given(UNITS, UNITS, UNITS, UNITS, st.tuples(PRICES, PRICES, PRICES, PRICES))
def test_units_are_exact_too(
    images: int, units: int, characters: int, audio_ms: int, prices: tuple[Decimal, ...]
) -> None:
    image, unit, character, second = prices
    pricing = Pricing(
        prompt=Decimal(0),
        completion=Decimal(0),
        output_image=image,
        search_unit=unit,
        character=character,
        audio_second=second,
    )
    usage = Usage(images=images, search_units=units, characters=characters, audio_ms=audio_ms)
    cost = cost_of(usage, pricing)
    heard = Fraction(unit) * units + Fraction(character) * characters
    heard += Fraction(second) * audio_ms / 1000
    exact = heard + Fraction(image) * images
    assert cost.total_nano == ceil(exact * NANO_PER_USD)
    assert cost.prompt_nano == ceil(heard * NANO_PER_USD)
    assert cost.completion_nano == ceil(Fraction(image) * images * NANO_PER_USD)
    free = not (images * image or units * unit or characters * character or audio_ms * second)
    assert (cost.total_nano == 0) == free


def within(most: Usage) -> st.SearchStrategy[Usage]:
    """Any usage of which no count is above that of `most`; its other parts are of any size."""
    bounded = {
        name: st.integers(0, getattr(most, name))
        for name in ("prompt_tokens", "completion_tokens", *KINDS, *UNIT_NAMES)
    }
    parts = {
        name: TOKENS
        for name in Usage.__struct_fields__
        if name.endswith("_tokens") and name not in bounded
    }
    return st.builds(Usage, **bounded, **parts)


KINDS = ("prompt_audio_tokens", "prompt_image_tokens", "prompt_video_tokens")
UNIT_NAMES = ("images", "search_units", "characters", "audio_ms")


@given(st.data(), USAGES, PRICINGS, MARGINS)
def test_what_is_held_covers_all_that_can_be_charged(
    data: st.DataObject, most: Usage, pricing: Pricing, margin: tuple[int, int]
) -> None:
    usage = data.draw(within(most))
    held = tariff_of(pricing).most_nano(most, margin)
    assert cost_of(usage, pricing, margin).charge_nano <= held


@given(USAGES, PRICINGS)
def test_without_units_the_most_is_that_of_the_tokens(most: Usage, pricing: Pricing) -> None:
    tariff = tariff_of(pricing)
    text = Usage(prompt_tokens=most.prompt_tokens, completion_tokens=most.completion_tokens)
    bound_nano = tariff.bound_nano(most.prompt_tokens, most.completion_tokens)
    for name in KINDS:
        seen = msgspec.structs.replace(text, **{name: 1})
        assert tariff.most_nano(text) <= tariff.most_nano(seen) == bound_nano
    assert tariff.most_nano(most) >= tariff.most_nano(text)


def test_a_text_is_not_held_for_as_a_video() -> None:
    prices = {"prompt": "0.2", "completion": "0", "video_token": "12", "input_cache_write": "0.3"}
    tariff = tariff_of(msgspec.convert(prices, Pricing))
    assert tariff.most_nano(Usage(prompt_tokens=10)) == 3 * NANO_PER_USD
    assert tariff.most_nano(Usage(prompt_tokens=10, prompt_video_tokens=4)) == 120 * NANO_PER_USD


@pytest.mark.parametrize(
    "key", ["output_image", "search_unit", "character", "audio_second", "web_search"]
)
def test_what_costs_by_the_unit_is_not_free(key: str) -> None:
    dear = msgspec.structs.replace(FREE, **{key: Decimal("1e-12")})
    assert not tariff_of(dear).free
    assert tariff_of(msgspec.structs.replace(FREE, **{key: Decimal(0)})).free
    assert tariff_of(FREE).free


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
    "videos": (nano("1", **COUNTS, prompt_video_tokens=10, more={"video_token": "3"}), 120_000),
    "images in": (nano("1", **COUNTS, prompt_image_tokens=10, more={"image_token": "3"}), 120_000),
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
    "an image made": (nano("1", "1", images=2, more={"output_image": "40000"}), 80_000_000),
    "images made beside the tokens they are": (
        nano("0", "1", **COUNTS, images=1, completion_image_tokens=50,
             more={"output_image": "10", "image_output": "3"}),
        210_000,
    ),
    "a search unit": (nano("1", search_units=3, more={"search_unit": "2000"}), 6_000_000),
    "characters": (nano("1", characters=7, more={"character": "15"}), 105_000),
    "seconds of audio": (nano("1", audio_ms=1500, more={"audio_second": "100"}), 150_000),
    "a part of a second is a part of its price, rounded up": (
        nano("1", audio_ms=1, more={"audio_second": "0.0015"}), 1
    ),
    "units that have no price": (
        nano("1", images=9, search_units=9, characters=9, audio_ms=9), 0
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


@given(UNITS, PRICES, USAGES, PRICINGS)
def test_searches_are_charged_and_held_for(
    searches: int, price: Decimal, usage: Usage, pricing: Pricing
) -> None:
    priced = msgspec.structs.replace(pricing, web_search=price)
    searched = msgspec.structs.replace(usage, web_searches=searches)
    before, after = (cost_of(one, priced).total_nano for one in (usage, searched))
    exact = Fraction(price) * searches * NANO_PER_USD
    assert abs(after - before - exact) < 1
    tokens = usage.prompt_tokens, usage.completion_tokens
    tariff = tariff_of(priced)
    plain, held = tariff.bound_nano(*tokens), tariff.bound_nano(*tokens, searches=searches)
    assert abs(held - plain - exact) < 1
    left = tariff.tokens_within(held, tokens[0], (0, 1), searches=searches)
    assert left == 0 or tariff.bound_nano(tokens[0], left, searches=searches) <= held


def test_tariffs_are_made_once_and_not_kept_for_ever() -> None:
    assert tariff_of(FREE) is tariff_of(FREE)
    for number in range(5000):
        pricing = Pricing(prompt=Decimal(number), completion=Decimal(0))
        assert tariff_of(pricing).bound_nano(1, 0) == number * NANO_PER_USD
    assert len(money._tariffs) <= 4096
