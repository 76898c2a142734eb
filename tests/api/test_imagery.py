"""The catalogue of models that make images."""

from decimal import Decimal
from typing import Any

import httpx
import pytest
from openrouter.components import ImageModelEndpointsResponse, ImageModelsListResponse
from starlette.applications import Starlette

from proxy.api.imagery import pricing_rows, routes
from proxy.errors import GatewayError
from proxy.money import Pricing
from proxy.providers import known
from proxy.routing.catalogue import Catalogue, Endpoint, Model
from proxy.routing.waits import Timeouts
from proxy.wire.request import Task


def endpoint(slug: str, model: str, *tasks: Task, pricing: Pricing | None = None) -> Endpoint:
    return Endpoint(
        provider=known()[slug], model=model, context_length=None, max_completion_tokens=None,
        quantization="unknown", supported_parameters=None, pricing=pricing, timeouts=Timeouts(),
        tasks=frozenset(tasks), tag=slug,
    )  # fmt: skip


def model(id: str, *endpoints: Endpoint) -> Model:
    return Model(
        id=id, name=id, created=None, description=None, context_length=None,
        input_modalities=("text", "image"), output_modalities=("image",), endpoints=endpoints,
    )  # fmt: skip


CATALOGUE = Catalogue((
    model(
        "test/two",
        endpoint("google-ai-studio", "imagen-4.0-fast", "image"),
        endpoint("openai", "gpt-image-2", "image", "chat"),
        endpoint("together", "flux", "image"),
        endpoint("xai", "grok", "chat"),
    ),
    model("test/chat", endpoint("openai", "gpt-4o", "chat")),
))  # fmt: skip


async def get(path: str) -> Any:
    app = Starlette(routes=routes(lambda: CATALOGUE))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://weir") as client:
        return (await client.get(path)).json()


async def test_the_list() -> None:
    said = await get("/images/models")
    ImageModelsListResponse.model_validate(said)
    (row,) = said["data"]
    assert row["id"] == "test/two"
    assert row["supports_streaming"]
    assert row["endpoints"] == "/api/v1/images/models/test/two/endpoints"
    known = row["supported_parameters"]
    assert known["n"] == {"type": "range", "min": 1, "max": 10}
    assert known["resolution"]["values"] == ["512", "1K", "2K", "4K"]
    assert len(set(known["aspect_ratio"]["values"])) == len(known["aspect_ratio"]["values"]) == 21
    assert known["seed"] == {"type": "boolean"}


async def test_the_endpoints_of_a_model() -> None:
    said = await get("/images/models/test/two/endpoints")
    ImageModelEndpointsResponse.model_validate(said)
    assert [row["provider_slug"] for row in said["endpoints"]] == [
        "google-ai-studio",
        "openai",
        "together",
    ]
    assert [row["supports_streaming"] for row in said["endpoints"]] == [False, True, False]


@pytest.mark.parametrize("slug", ["test/chat", "test/none"])
async def test_a_model_that_makes_none(slug: str) -> None:
    with pytest.raises(GatewayError) as told:
        await get(f"/images/models/{slug}/endpoints")
    assert told.value.status == 404


def test_prices() -> None:
    assert pricing_rows(None) == []
    assert pricing_rows(Pricing(prompt=Decimal(0), completion=Decimal(0))) == []
    token = Pricing(prompt=Decimal("0.000005"), completion=Decimal("0.00004"))
    assert pricing_rows(token) == [
        {"billable": "output_image", "unit": "token", "cost_usd": 0.00004},
        {"billable": "input_text", "unit": "token", "cost_usd": 0.000005},
    ]
    both = Pricing(
        prompt=Decimal(0), completion=Decimal("1e-6"), image_output=Decimal("3e-5"),
        image_token=Decimal("1e-5"), output_image=Decimal("0.04"),
    )  # fmt: skip
    assert pricing_rows(both) == [
        {"billable": "output_image", "unit": "image", "cost_usd": 0.04},
        {"billable": "output_image", "unit": "token", "cost_usd": 3e-5},
        {"billable": "input_image", "unit": "token", "cost_usd": 1e-5},
    ]
