"""The price table in OpenRouter's terms: exact, per token, and only for models under their name."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from genai_prices import Usage, calc_price, data_snapshot
from genai_prices.types import (
    ClauseEquals,
    ClauseStartsWith,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
)

from proxy.money import PriceOverride, Pricing
from proxy.providers import known
from proxy.routing.kinds import modalities_of
from proxy.upstream import prices
from proxy.upstream.prices import described, price_of, rows
from proxy.wire.listing import Listing

NOW = datetime(2026, 11, 1, tzinfo=UTC)
PRICED = [row.prices for row in known().values() if row.prices]


def model(id_: str, **fields: Any) -> ModelInfo:
    defaults: dict[str, Any] = {
        "match": ClauseEquals(id_),
        "name": id_.upper(),
        "context_window": 1000,
        "prices": flat(),
    }
    return ModelInfo(id=id_, **{**defaults, **fields})


def flat(**more: Decimal | TieredPrices) -> ModelPrice:
    prices: dict[str, Decimal | TieredPrices] = {
        "input_mtok": Decimal(1),
        "output_mtok": Decimal(2),
    }
    return ModelPrice(**{**prices, **more})


def units(**more: Decimal) -> Pricing:
    """What costs nothing but these."""
    prices: dict[str, Any] = {"prompt": Decimal(0), "completion": Decimal(0), **more}
    return Pricing(**prices)


def tiered(base: str, **tiers: str) -> TieredPrices:
    return TieredPrices(
        base=Decimal(base),
        tiers=[Tier(start=int(at[1:]), price=Decimal(to)) for at, to in tiers.items()],
    )


@pytest.fixture
def table() -> Iterator[list[ModelInfo]]:
    """The models of a provider `here`, in place of the package's own data."""
    models: list[ModelInfo] = []
    here = Provider(id="here", name="Here", api_pattern="x", models=models)
    snapshot = data_snapshot.DataSnapshot(providers=[here], from_auto_update=False)
    data_snapshot.set_custom_snapshot(snapshot)
    prices._find.cache_clear()
    yield models
    data_snapshot.set_custom_snapshot(None)
    prices._find.cache_clear()


def test_rows_are_those_described_well_enough(table: list[ModelInfo]) -> None:
    table += [
        model("good", description="Fine."),
        model("nameless", name=None),
        model("boundless", context_window=None),
        model("old", deprecated=True),
        model("text-embedding-9", context_window=None, prices=ModelPrice(input_mtok=Decimal(1))),
        model("heard", prices=ModelPrice(input_audio_hours=Decimal(36))),
        model("said", prices=ModelPrice(input_mchars=Decimal(15))),
        model("moderation-9", context_window=None),
        model("unsold", prices=ModelPrice(audio_hours=Decimal(1))),
        model("half", prices=ModelPrice(input_mtok=Decimal(1))),
        model("matcher", match=ClauseStartsWith("accounts/matcher")),
        model("shadowed", match=ClauseStartsWith("good")),
    ]
    pricing = Pricing(prompt=Decimal("0.000001"), completion=Decimal("0.000002"))
    assert rows("here", now=NOW) == (
        Listing(
            model="good",
            name="GOOD",
            description="Fine.",
            context_length=1000,
            pricing=pricing,
        ),
        Listing(
            model="text-embedding-9",
            name="TEXT-EMBEDDING-9",
            pricing=Pricing(prompt=Decimal("0.000001"), completion=Decimal(0)),
        ),
        Listing(
            model="heard",
            name="HEARD",
            context_length=1000,
            output_modalities=("transcription",),
            pricing=units(audio_second=Decimal("0.01")),
        ),
        Listing(
            model="said",
            name="SAID",
            context_length=1000,
            output_modalities=("speech",),
            pricing=units(character=Decimal("0.000015")),
        ),
    )


@pytest.mark.parametrize(
    ("name", "prices", "pricing"),
    [
        ("bge-m3", {"input_mtok": 1}, {"prompt": Decimal("0.000001")}),
        ("rerank-9", {"input_mtok": 1}, {"prompt": Decimal("0.000001")}),
        ("chat", {"input_mtok": 1}, None),
        ("tts-1", {"input_mtok": 1}, None),
        ("whisper-1", {"input_audio_hours": Decimal("0.111")}, {"audio_second": "0.000030833334"}),
        ("live-1", {"audio_hours": 1}, None),
        ("hears", {"input_mtok": 1, "input_audio_hours": 1}, None),
        ("ocr", {"input_document_kpages": 1}, None),
    ],
)
def test_what_is_sold_by_other_units(
    name: str, prices: dict[str, Any], pricing: dict[str, Any] | None, table: list[ModelInfo]
) -> None:
    sold = {unit: Decimal(price) for unit, price in prices.items()}
    table.append(model(name, prices=ModelPrice(**sold)))
    wanted = pricing and units(**{unit: Decimal(price) for unit, price in pricing.items()})
    assert price_of("here", name, now=NOW) == wanted


def test_every_price_has_openrouters_name_and_unit(table: list[ModelInfo]) -> None:
    table.append(
        model(
            "all",
            prices=flat(
                cache_read_mtok=Decimal("0.1"),
                cache_write_mtok=Decimal("1.25"),
                cache_write_1h_mtok=Decimal(2),
                input_audio_mtok=Decimal(3),
                input_image_mtok=Decimal(8),
                output_audio_mtok=Decimal(4),
                output_image_mtok=Decimal(5),
                output_reasoning_mtok=Decimal(6),
                requests_kcount=Decimal(7),
                web_searches_kcount=Decimal(8),
            ),
        )
    )
    assert price_of("here", "all", now=NOW) == Pricing(
        prompt=Decimal("0.000001"),
        completion=Decimal("0.000002"),
        input_cache_read=Decimal("0.0000001"),
        input_cache_write=Decimal("0.00000125"),
        input_cache_write_1h=Decimal("0.000002"),
        audio=Decimal("0.000003"),
        image_token=Decimal("0.000008"),
        audio_output=Decimal("0.000004"),
        image_output=Decimal("0.000005"),
        internal_reasoning=Decimal("0.000006"),
        request=Decimal("0.007"),
        web_search=Decimal("0.008"),
    )


def test_tiers_become_overrides_from_the_shortest_prompt_up(table: list[ModelInfo]) -> None:
    table.append(
        model(
            "long",
            prices=flat(
                input_mtok=tiered("1", _200000="2", _100000="1.5"),
                output_mtok=tiered("2", _200000="3"),
                input_audio_mtok=tiered("1", _300000="9"),
            ),
        )
    )
    found = price_of("here", "long", now=NOW)
    assert found is not None
    assert (found.prompt, found.completion) == (Decimal("0.000001"), Decimal("0.000002"))
    assert found.overrides[:2] == (
        PriceOverride(min_prompt_tokens=100_000, prompt=Decimal("0.0000015")),
        PriceOverride(
            min_prompt_tokens=200_000, prompt=Decimal("0.000002"), completion=Decimal("0.000003")
        ),
    )


def test_a_price_is_that_of_the_moment(table: list[ModelInfo]) -> None:
    cheaper = ConditionalPrice(
        constraint=StartDateConstraint(start_date=NOW.date()),
        prices=flat(input_mtok=Decimal("0.5")),
    )
    table.append(model("m", prices=[ConditionalPrice(prices=flat()), cheaper]))
    before = price_of("here", "m", now=datetime(2026, 10, 1, tzinfo=UTC))
    after = price_of("here", "m", now=NOW)
    assert before is not None
    assert after is not None
    assert (before.prompt, after.prompt) == (Decimal("0.000001"), Decimal("0.0000005"))


def test_a_model_is_found_by_the_tables_own_rules(table: list[ModelInfo]) -> None:
    table.append(model("m", match=ClauseStartsWith("m-")))
    assert price_of("here", "M-2026-01-01", now=NOW) is not None
    assert price_of("here", "n", now=NOW) is None
    assert price_of("elsewhere", "m-1", now=NOW) is None
    assert rows("elsewhere", now=NOW) == ()


def test_a_listing_gets_the_context_length_that_its_provider_leaves_out(
    table: list[ModelInfo],
) -> None:
    table += [model("m"), model("boundless", context_window=None)]
    assert described(Listing(model="m"), "here") == Listing(model="m", context_length=1000)
    for known_or_not in (
        Listing(model="m", context_length=5),
        Listing(model="n"),
        Listing(model="boundless"),
    ):
        assert described(known_or_not, "here") == known_or_not


@pytest.mark.parametrize("price_id", PRICED)
def test_the_tables_own_rows(price_id: str) -> None:
    found = rows(price_id, now=NOW)
    assert found or price_id == "fireworks"  # its ids are not the names it serves models under
    assert len({row.model for row in found}) == len(found)
    for row in found:
        assert row.context_length or modalities_of(row.model) not in (("text",), ())
        assert row.pricing == price_of(price_id, row.model, now=NOW)


def test_charges_are_those_that_the_package_itself_computes() -> None:
    usage = Usage(input_tokens=1000, output_tokens=100)
    for row in rows("openai", now=NOW):
        theirs = calc_price(usage, row.model, provider_id="openai", genai_request_timestamp=NOW)
        assert row.pricing is not None
        ours = 1000 * row.pricing.prompt + 100 * row.pricing.completion
        assert ours == theirs.input_price + theirs.output_price


def test_the_package_is_imported_only_when_it_is_asked() -> None:
    code = "import sys, proxy.upstream.prices; sys.exit('genai_prices' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
