"""`weir why` says of every wish what it did, in words that a user understands."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from proxy.money import Pricing
from proxy.providers import Provider
from proxy.routing.assembly import EndpointRow, ModelRow, build
from proxy.routing.health import Outcome, Pool, Ticket
from proxy.routing.plan import plan
from proxy.routing.waits import Timeouts
from proxy.routing.wording import DEFAULT
from proxy.why import told as why
from proxy.wire import preferences
from proxy.wire.record import Generation
from proxy.wire.request import Ask

PROVIDERS = [
    Provider(slug="azure", name="Azure", base_url="https://a.example/", retains_prompts_days=30),
    Provider(
        slug="house", name="House", base_url="https://h.example/",
        retains_prompts_days=0, trains_on_data=False,
    ),
]  # fmt: skip


def row(provider: str, usd: int, **more: Any) -> EndpointRow:
    """An endpoint that costs so much for a million tokens each way."""
    price = Decimal(usd) / 10**6
    pricing = Pricing(prompt=price, completion=price)
    return EndpointRow(provider=provider, model="m", pricing=pricing, **more)


FLEX = row("azure", 4, tier="flex")
HOUSE = build(
    providers=PROVIDERS,
    listings={},
    configured=[
        ModelRow(
            id="acme/large",
            input_modalities=("text", "image"),
            output_modalities=("text",),
            distillable=True,
            endpoints=(
                row("azure", 12, max_completion_tokens=1000, supported_parameters=("seed",)),
                row("house", 9, quantization="fp8"),
            ),
        ),
        ModelRow(id="acme/small", endpoints=(row("house", 0),)),
        ModelRow(id="acme/tiered", endpoints=(row("azure", 9), FLEX)),
    ],
    timeouts=Timeouts(),
    price_of=lambda provider, model: None,
)


def said(
    provider: dict[str, Any] | None = None,
    *models: str,
    pool: Pool | None = None,
    priced_only: bool = False,
    **asked: Any,
) -> Iterator[str]:
    """The lines about candidates, their columns one blank apart."""
    names = models or ("acme/large",)
    ask = Ask(models=names, body={}, preferences=preferences.decode(provider), **asked)
    made = plan(ask, HOUSE, pool=pool or Pool(), now=0.0, rng=lambda: 0.0, priced_only=priced_only)
    told = Generation(id="g", created_at=0.0, model="acme/large", candidates=made.candidates)
    lines = why(told, as_json=False).split("\ncandidates")[1].split("\n\n")[0]
    return (" ".join(line.split()) for line in lines.splitlines()[1:])


@pytest.mark.parametrize(
    ("provider", "line"),
    [
        ({"only": ["house"]}, "azure/m well not tried: is not among provider.only"),
        ({"ignore": ["azure"]}, "azure/m well not tried: is among provider.ignore"),
        (
            {"order": ["house"], "allow_fallbacks": False},
            "azure/m well not tried: is not in provider.order, and provider.allow_fallbacks is"
            " false",
        ),
        (
            {"max_price": {"prompt": 10}},
            "azure/m well not tried: costs 12 USD a million prompt tokens, above"
            " provider.max_price.prompt 10",
        ),
        ({"zdr": True}, "azure/m well not tried: keeps prompts 30 days, and provider.zdr is true"),
        (
            {"data_collection": "deny"},
            "azure/m well not tried: does not say if it trains on prompts, and"
            " provider.data_collection is deny",
        ),
        (
            {"quantizations": ["fp8"]},
            "azure/m well not tried: has quantization unknown, which is not in"
            " provider.quantizations",
        ),
    ],
)  # fmt: skip
def test_an_exclusion_is_told_with_the_wish_and_with_what_is_so(
    provider: dict[str, Any], line: str
) -> None:
    order, _, first, second = said(provider)
    assert first == "1 house/m well 18 USD"
    assert second == f"2 {line}"
    assert order.startswith("order: ")


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"required": frozenset({"tools"})}, "does not support tools"),
        ({"soft": frozenset({"tools"})}, "does not support tools, as others do"),
        ({"max_tokens": 2000}, "answers with 1000 tokens at most, and max_tokens is 2000"),
    ],
)
def test_what_a_request_needs_is_told_the_same_way(asked: dict[str, Any], line: str) -> None:
    *_, last = said(**asked)
    assert last.startswith("2 azure/m well ")
    assert last.endswith(f" not tried: {line}")


def test_tiers_are_told() -> None:
    *_, last = said(None, "acme/tiered")
    assert (
        last == "2 azure/flex/m well not tried: is for service_tier flex, which was not asked for"
    )
    order, _, first, last = said(None, "acme/tiered", tier="flex")
    assert order == "order: by price (service_tier flex)"
    assert first == "1 azure/flex/m well 8 USD"
    assert last == "2 azure/m well not tried: is no flex endpoint, which others are"


def test_the_free_variant_is_told() -> None:
    *_, first, last = said(None, "acme/small", "acme/large:free")
    assert first == "1 house/m well 0 USD"
    assert last == "2 azure/m well not tried: costs something, and the model's name ends in :free"


@pytest.mark.parametrize(
    ("provider", "model", "asked", "order"),
    [
        (None, "acme/large", {}, DEFAULT),
        ({"sort": "price"}, "acme/large", {}, "by price (provider.sort)"),
        (
            None, "acme/large:nitro", {},
            "by tokens a second, who was not measured yet last (the model's name ends in :nitro)",
        ),
        ({"order": ["azure"]}, "acme/large", {},
         "those in provider.order first, then the others by price, steady ones first"),
        (
            {"preferred_max_latency": 2}, "acme/large", {},
            f"{DEFAULT}; who is slower goes last (provider.preferred_max_latency)",
        ),
        (
            None, "acme/large", {"tier": "priority"},
            "priority endpoints first, then by tokens a second, who was not measured yet last"
            " (service_tier priority)",
        ),
        (
            {"allow_fallbacks": False}, "acme/large", {},
            f"{DEFAULT}; only the first of them (provider.allow_fallbacks)",
        ),
    ],
)  # fmt: skip
def test_the_order_is_told_with_what_asked_for_it(
    provider: dict[str, Any] | None, model: str, asked: dict[str, Any], order: str
) -> None:
    assert next(said(provider, model, **asked)) == f"order: {order}"


def test_how_an_endpoint_was_doing_is_told() -> None:
    pool = Pool()
    ticket = pool.begin(("house", "m"), 0.0, retry=False, last=False)
    assert isinstance(ticket, Ticket)
    pool.end(ticket, Outcome.FAILED, 0.0)
    *_, first, second = said(pool=pool)
    assert (first, second) == ("1 azure/m well 24 USD", "2 house/m shaky 18 USD")
