"""Rows of models, endpoints and providers: what the official SDK insists on, and odd values."""

from decimal import Decimal
from typing import Any

import orjson
import pytest
from msgspec.structs import replace
from openrouter import components, operations

from proxy.api.rows import (
    Rows,
    architecture,
    endpoint_row,
    model_endpoints,
    model_row,
    pricing_row,
    provider_row,
)
from proxy.money import FREE, PriceOverride, Pricing
from proxy.providers import known
from proxy.routing.catalogue import Catalogue, Model
from proxy.wire.listing import PARAMETERS
from tests.asgi import call
from tests.wares import ACME, NOWHERE, PRICES, SEVERAL, UNSAID, app_of, endpoint, model


@pytest.mark.parametrize("one", [model(), UNSAID, NOWHERE, SEVERAL], ids=lambda one: one.id)
async def test_the_official_sdk_reads_every_answer(one: Model) -> None:
    app = app_of(one)
    body = (await call(app, "GET", "/api/v1/models")).json
    listed = components.ModelsListResponse.model_validate(body)
    assert [row.id for row in listed.data] == [one.id]
    assert listed.total_count == 1
    assert set(body["data"][0]) >= required(components.Model)

    path = body["data"][0]["links"]["details"]
    found = (await call(app, "GET", path)).json
    parsed = operations.ListEndpointsResponse.model_validate(found).data
    assert parsed.id == one.id
    assert [row.tag for row in parsed.endpoints] == [row.tag for row in one.endpoints]
    for row in found["data"]["endpoints"]:
        assert set(row) >= required(components.PublicEndpoint)


def test_a_modality_goes_as_openrouters() -> None:
    """Recorded of GPT-4.1 mini, whose inputs are an image, text and a file, in that order."""
    one = model(input_modalities=("image", "text", "file", "smell"), output_modalities=("text",))
    assert architecture(one)["modality"] == "text+image+file+smell->text"


def test_a_row_is_made_once_for_a_catalogue() -> None:
    one = model()
    first, second = Catalogue([one]), Catalogue([replace(one, name="Other")])
    rows = Rows()
    made = rows.of(first)(one)
    assert orjson.loads(orjson.dumps(made)) == model_row(one)
    assert rows.of(first)(one) is made
    other = second.models[one.id]
    assert orjson.loads(orjson.dumps(rows.of(second)(other))) == model_row(other)
    narrowed = replace(one, endpoints=())
    assert rows.of(first)(narrowed) == model_row(narrowed)


def required(component: Any) -> set[str]:
    """The fields without which the SDK refuses an answer."""
    return {name for name, field in component.model_fields.items() if field.is_required()}


async def test_a_model_says_what_is_known_of_it() -> None:
    (row,) = (await call(app_of(model()), "GET", "/v1/models")).json["data"]
    assert row["id"] == row["canonical_slug"] == "acme/large"
    assert (row["name"], row["created"]) == ("Acme Large", 1_700_000_000)
    assert (row["description"], row["context_length"]) == ("Speaks.", 32_768)
    assert row["architecture"]["modality"] == "text+image->text"
    assert row["architecture"]["input_modalities"] == ["text", "image"]
    assert row["pricing"] == {"prompt": "0.000003", "completion": "0.000015"}
    assert row["top_provider"]["max_completion_tokens"] == 4096
    assert row["supported_parameters"] == ["temperature", "tools"]


async def test_a_price_that_must_be_wished_for_is_not_the_models() -> None:
    """A request that names no service tier would pay ten times what the list said."""
    flex = endpoint(tag="acme/flex", tier="flex", pricing=FREE, max_completion_tokens=1)
    both = model("acme/both", flex, endpoint(), endpoint(tag="acme/two", pricing=FREE))
    app = app_of(both, model("acme/flex", flex))
    rows = (await call(app, "GET", "/v1/models")).json["data"]
    assert [row["pricing"]["prompt"] for row in rows] == ["0.000003", "0"]
    assert [row["top_provider"]["max_completion_tokens"] for row in rows] == [4096, 1]
    cheap = await call(app, "GET", "/v1/models", query="max_price=1")
    assert [row["id"] for row in cheap.json["data"]] == ["acme/flex"]
    sorted_ = await call(app, "GET", "/v1/models", query="sort=pricing-high-to-low")
    assert sorted_.json["data"][0]["id"] == "acme/both"


async def test_what_nobody_says_is_null_or_empty() -> None:
    (row,) = (await call(app_of(UNSAID), "GET", "/v1/models")).json["data"]
    assert (row["created"], row["description"], row["context_length"]) == (0, "", None)
    assert row["pricing"] == {"prompt": "-1", "completion": "-1"}
    assert row["supported_parameters"] == sorted(PARAMETERS)


async def test_a_model_has_the_parameters_of_all_its_endpoints() -> None:
    app = app_of(SEVERAL)
    (row,) = (await call(app, "GET", "/v1/models")).json["data"]
    assert row["supported_parameters"] == ["seed", "temperature", "tools"]
    answer = await call(app, "GET", "/v1/models/acme/several/endpoints")
    first, second = answer.json["data"]["endpoints"]
    assert first["supports_tool_choice"] == {
        "auto": True, "none": True, "required": False, "function": False
    }  # fmt: skip
    assert not any(second["supports_tool_choice"].values())
    assert (second["name"], second["provider_name"]) == ("Other | acme/several", "Other")


async def test_an_endpoint_that_does_not_say_is_taken_to_support_tools() -> None:
    answer = await call(app_of(UNSAID), "GET", "/v1/models/acme/unsaid/endpoints")
    (row,) = answer.json["data"]["endpoints"]
    assert all(row["supports_tool_choice"].values())
    assert (row["context_length"], row["quantization"]) == (0, "unknown")
    assert row["supported_parameters"] == sorted(PARAMETERS)


async def test_an_endpoint_may_support_nothing() -> None:
    app = app_of(model("acme/bare", endpoint(supported_parameters=())), NOWHERE)
    for row in (await call(app, "GET", "/v1/models")).json["data"]:
        assert row["supported_parameters"] == []
    answer = await call(app, "GET", "/v1/models/acme/bare/endpoints")
    (row,) = answer.json["data"]["endpoints"]
    assert row["supported_parameters"] == []
    assert not any(row["supports_tool_choice"].values())


@pytest.mark.parametrize(
    ("pricing", "row"),
    [
        (None, {"prompt": "-1", "completion": "-1"}),
        (FREE, {"prompt": "0", "completion": "0"}),
        (
            Pricing(prompt=Decimal("1E-7"), completion=Decimal("2.50"), request=Decimal("0.010")),
            {"prompt": "0.0000001", "completion": "2.5", "request": "0.01"},
        ),
        (
            Pricing(prompt=Decimal(100), completion=Decimal("0E+3"), image=Decimal("0.0")),
            {"prompt": "100", "completion": "0"},
        ),
        (
            replace(
                PRICES,
                overrides=(PriceOverride(min_prompt_tokens=200_000, prompt=Decimal("0.000006")),),
            ),
            {
                "prompt": "0.000003",
                "completion": "0.000015",
                "overrides": [{"min_prompt_tokens": 200_000, "prompt": "0.000006"}],
            },
        ),
    ],
)
def test_prices_are_plain_decimal_strings(pricing: Pricing | None, row: dict[str, Any]) -> None:
    assert pricing_row(pricing) == row
    assert components.PublicPricing.model_validate(row).prompt == row["prompt"]


def test_a_tier_is_told_by_its_tag_and_its_field() -> None:
    row = endpoint_row(model(), endpoint(tag="acme/flex", tier="flex"))
    assert (row["tag"], row["service_tier"]) == ("acme/flex", "flex")
    parsed = components.PublicEndpoint.model_validate(row)
    assert parsed.service_tier == "flex"


@pytest.mark.parametrize(
    ("caches", "pricing", "told"),
    [
        (True, replace(PRICES, input_cache_read=Decimal("0.000001")), True),
        (True, PRICES, False),
        (True, None, False),
        (False, replace(PRICES, input_cache_read=Decimal("0.000001")), False),
    ],
)
def test_who_caches_unasked_has_a_price_for_it(
    caches: bool, pricing: Pricing | None, told: bool
) -> None:
    provider = replace(ACME, caches_unasked=caches)
    row = endpoint_row(model(), endpoint(provider=provider, pricing=pricing))
    assert row["supports_implicit_caching"] is told


def test_providers_say_their_policies() -> None:
    policies = replace(
        ACME, trains_on_data=False, retains_prompts_days=0, headquarters="FR",
        datacenters=("FR", "DE"), status_page_url="https://status.acme.example",
    )  # fmt: skip
    row = provider_row(policies)
    parsed = operations.ListProvidersData.model_validate(row)
    assert (parsed.headquarters, parsed.datacenters) == ("FR", ["FR", "DE"])
    assert parsed.status_page_url == policies.status_page_url
    assert (row["trains_on_data"], row["retains_prompts_days"]) == (False, 0)


def test_a_policy_that_nobody_states_is_null() -> None:
    row = provider_row(ACME)
    assert row == {"name": "Acme AI", "slug": "acme"} | dict.fromkeys(row.keys() - {"name", "slug"})


@pytest.mark.parametrize("slug", known())
def test_the_official_sdk_reads_every_known_provider(slug: str) -> None:
    row = provider_row(known()[slug])
    assert set(row) >= required(operations.ListProvidersData)
    assert operations.ListProvidersData.model_validate(row).slug == slug


def test_without_figures_all_endpoints_are_rows() -> None:
    rows = model_endpoints(SEVERAL)["endpoints"]
    assert [row["provider_name"] for row in rows] == ["Acme AI", "Other"]
    assert all(row["uptime_last_1d"] is None for row in rows)
