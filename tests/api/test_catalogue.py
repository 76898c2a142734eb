"""The catalogue's routes: what the official SDK insists on, pages, and odd names."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from openrouter import components, operations
from starlette.types import ASGIApp

from proxy.api import catalogue
from proxy.api.catalogue import UNBUILT_FILTERS, list_models, pricing_row
from proxy.app import App
from proxy.errors import GatewayError
from proxy.money import FREE, PriceOverride, Pricing
from proxy.providers import Provider, known
from proxy.routing.catalogue import Catalogue, Endpoint, Model
from proxy.routing.waits import Timeouts
from proxy.wire.listing import PARAMETERS
from proxy.wire.request import Task
from tests.asgi import call

ACME = Provider(slug="acme", name="Acme AI", base_url="http://127.0.0.1:1/v1")
PRICES = Pricing(prompt=Decimal("0.000003"), completion=Decimal("0.000015"))
WAITS = Timeouts(
    connect_s=5, first_byte_s=30, first_token_s=60, between_chunks_s=30, answer_s=600
)  # fmt: skip


def endpoint(**more: Any) -> Endpoint:
    usual: dict[str, Any] = {
        "provider": ACME,
        "model": "large",
        "context_length": 32_768,
        "max_completion_tokens": 4096,
        "quantization": "fp8",
        "supported_parameters": ("tools", "temperature"),
        "pricing": PRICES,
        "timeouts": WAITS,
    }
    return Endpoint(**usual | more)


def model(id_: str = "acme/large", *endpoints: Endpoint, **more: Any) -> Model:
    usual: dict[str, Any] = {
        "id": id_,
        "name": "Acme Large",
        "created": 1_700_000_000,
        "description": "Speaks.",
        "context_length": 32_768,
        "input_modalities": ("text", "image"),
        "output_modalities": ("text",),
        "endpoints": endpoints or (endpoint(),),
    }
    return Model(**usual | more)


UNSAID = model(
    "acme/unsaid",
    endpoint(
        context_length=None,
        max_completion_tokens=None,
        quantization="unknown",
        supported_parameters=None,
        pricing=None,
    ),
    created=None,
    description=None,
    context_length=None,
)
NOWHERE = replace(model("acme/nowhere"), endpoints=())
SEVERAL = model(
    "acme/several",
    endpoint(),
    endpoint(provider=replace(ACME, slug="other", name="Other"), supported_parameters=("seed",)),
)


async def _no_metrics() -> bytes:
    return b""


def app_of(*models: Model, providers: tuple[Provider, ...] = (ACME,)) -> ASGIApp:
    return App(
        inference={},
        routes=catalogue.routes(lambda: Catalogue(models), lambda: providers),
        health=lambda: (200, {}),
        ready=lambda: (200, {}),
        metrics=_no_metrics,
    )


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


@pytest.mark.parametrize(
    "slug",
    ["acme/large:free", "acme/org/model", "acme/a/b/c:thinking", "acme/\u00e4", "a/endpoints"],
)
async def test_slugs_may_have_colons_and_slashes(slug: str) -> None:
    app = app_of(model(slug), model())
    answer = await call(app, "GET", f"/api/v1/models/{slug}/endpoints")
    assert answer.status == 200
    assert answer.json["data"]["id"] == slug


@pytest.mark.parametrize(
    "path",
    [
        "/models/acme/none/endpoints",
        "/models/acme/endpoints",
        "/models/acme//endpoints",
        "/models/acme/large",
        "/models/acme/large/endpoints/",
        "/models/\x1b[31m/\u2028/endpoints",
        f"/models/acme/{'x' * 5000}/endpoints",
        "/models/",
        "/providers/acme",
    ],
)
async def test_what_is_not_there_is_a_404(path: str) -> None:
    answer = await call(app_of(model()), "GET", f"/api/v1{path}")
    assert answer.status == 404
    assert answer.error["metadata"]["error_type"] == "not_found"
    assert answer.error["message"].isprintable()
    assert len(answer.error["message"]) < 1000


async def test_models_are_counted() -> None:
    answer = await call(app_of(model(), UNSAID), "GET", "/v1/models/count")
    assert components.ModelsCountResponse.model_validate(answer.json).data.count == 2


async def test_providers_say_their_policies() -> None:
    providers = (ACME, *known().values())
    body = (await call(app_of(providers=providers), "GET", "/v1/providers")).json
    parsed = operations.ListProvidersResponse.model_validate(body).data
    assert [row.slug for row in parsed] == [provider.slug for provider in providers]
    assert [row.name for row in parsed] == [provider.name for provider in providers]
    assert set(body["data"][0]) >= required(operations.ListProvidersData)
    assert body["data"][0]["datacenters"] is None
    for row, provider in zip(parsed, providers, strict=True):
        assert row.privacy_policy_url == provider.privacy_policy_url


@given(st.integers(0, 30), st.integers(1, 12), st.integers(0, 31))
def test_pages_are_the_list(total: int, limit: int, offset: int) -> None:
    whole = Catalogue(model(f"acme/m{number}") for number in range(total))
    query: dict[str, str] | None = {"offset": str(offset), "limit": str(limit)}
    found: list[str] = []
    while query is not None:
        page = list_models(whole, query)
        assert page["total_count"] == total
        assert len(page["data"]) <= limit
        found += [row["id"] for row in page["data"]]
        following = page["links"]["next"]
        pairs = following.partition("?")[2].split("&") if following else None
        query = dict(pair.split("=") for pair in pairs) if pairs else None
    assert found == list(whole.models)[offset:]


def test_without_a_page_all_models_come() -> None:
    whole = Catalogue(model(f"acme/m{number}") for number in range(700))
    assert len(list_models(whole, {})["data"]) == 700
    page = list_models(whole, {"offset": "0"})
    assert len(page["data"]) == 500
    assert page["links"]["next"] == "/api/v1/models?offset=500&limit=500"
    assert len(list_models(whole, {"limit": "1000"})["data"]) == 700


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("limit", value) for value in ("0", "1001", "", "x", "-1", "1.5", "\u0663", "9" * 5000)),
        *(("offset", value) for value in ("-1", "10000000000", " 1", "1\n", "+1", "0x1")),
    ],
)
def test_a_page_that_is_none_is_refused(name: str, value: str) -> None:
    with pytest.raises(GatewayError, match=f"^{name}: must be a whole number from") as caught:
        list_models(Catalogue(()), {name: value})
    assert caught.value.status == 400


@pytest.mark.parametrize("name", sorted(UNBUILT_FILTERS))
async def test_a_filter_that_is_not_built_is_refused(name: str) -> None:
    for path in ("/api/v1/models", "/v1/models/count"):
        answer = await call(app_of(model()), "GET", path, query=f"{name}=x")
        assert answer.status == 400
        assert answer.error["message"] == f"{name}: not supported yet"


def embedder(id_: str = "acme/embed") -> Model:
    tasks: frozenset[Task] = frozenset(("embeddings",))
    vectors = endpoint(model="embed", tasks=tasks, supported_parameters=())
    return model(id_, vectors, input_modalities=("text",), output_modalities=("embeddings",))


SPEAKS = model("acme/draws", output_modalities=("text", "image"))


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        (None, ["acme/large", "acme/draws"]),
        ("", ["acme/large", "acme/draws"]),
        ("text", ["acme/large", "acme/draws"]),
        ("embeddings", ["acme/embed"]),
        ("image,embeddings", ["acme/embed", "acme/draws"]),
        ("video", []),
        ("all", ["acme/large", "acme/embed", "acme/draws"]),
    ],
)
async def test_models_by_what_they_put_out(value: str | None, ids: list[str]) -> None:
    app = app_of(model(), embedder(), SPEAKS)
    query = "" if value is None else f"output_modalities={value}"
    body = (await call(app, "GET", "/v1/models", query=query)).json
    assert [row["id"] for row in body["data"]] == ids
    assert body["total_count"] == len(ids)
    count = (await call(app, "GET", "/v1/models/count", query=query)).json["data"]["count"]
    assert count == len(ids)


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/count"])
async def test_what_no_model_puts_out_is_refused(path: str) -> None:
    answer = await call(app_of(model()), "GET", path, query="output_modalities=text,smell")
    assert answer.status == 400
    assert answer.error["message"].startswith("output_modalities: must be all, or of text, ")


def test_pages_of_other_models() -> None:
    whole = Catalogue([*(embedder(f"acme/e{n}") for n in range(3)), model()])
    page = list_models(whole, {"limit": "2", "output_modalities": "embeddings"})
    wanted = "/api/v1/models?offset=2&limit=2&output_modalities=embeddings"
    assert page["links"]["next"] == wanted
    assert page["total_count"] == 3


async def test_models_that_embed_have_a_list_of_their_own() -> None:
    app = app_of(model(), *(embedder(f"acme/e{n}") for n in range(3)))
    body = (await call(app, "GET", "/api/v1/embeddings/models")).json
    listed = components.ModelsListResponse.model_validate(body)
    assert [row.id for row in listed.data] == ["acme/e0", "acme/e1", "acme/e2"]
    (row, *_) = body["data"]
    assert row["architecture"]["modality"] == "text->embeddings"
    assert row["supported_parameters"] == []
    assert row["pricing"] == {"prompt": "0.000003", "completion": "0.000015"}
    page = await call(app, "GET", "/api/v1/embeddings/models", query="limit=1&offset=1")
    assert [row["id"] for row in page.json["data"]] == ["acme/e1"]
    assert page.json["links"]["next"] == "/api/v1/embeddings/models?offset=2&limit=1"
    answer = await call(app, "GET", "/api/v1/embeddings/models", query="q=x")
    assert answer.error["message"] == "q: not supported yet"


async def test_what_no_filter_is_called_is_left_alone() -> None:
    answer = await call(app_of(model()), "GET", "/api/v1/models", query="utm_source=x&a=%ff&b")
    assert answer.status == 200
