"""The routers among the models: all is promised that some model of their choice can do."""

from typing import Any

import pytest
from msgspec.structs import replace
from openrouter import components, operations

from proxy.aliases import Alias, Arm
from proxy.api.routers import routers
from proxy.money import FREE
from proxy.routing.catalogue import Catalogue, Model
from tests.asgi import call
from tests.wares import ACME, app_of, embedder, endpoint, model

OTHER = replace(ACME, slug="other", name="Other", retains_prompts_days=0)
LARGE = model(
    "acme/large",
    endpoint(),
    endpoint(tag="acme/flex", tier="flex", supported_parameters=("seed",), context_length=None),
    endpoint(provider=OTHER, tag="other/fp8", supported_parameters=None, pricing=None),
)
GRATIS = model(
    "acme/gratis:free",
    endpoint(model="gratis", pricing=FREE, supported_parameters=("top_k",)),
    context_length=64_000,
    input_modalities=("text", "audio"),
)
MODELS = (LARGE, GRATIS, embedder())


def test_the_routers_promise_what_some_model_can_do() -> None:
    catalogue = Catalogue(MODELS)
    auto, free = routers(catalogue)
    assert routers(catalogue) == (auto, free)
    assert (auto.id, free.id) == ("openrouter/auto", "openrouter/free")
    assert (auto.context_length, free.context_length) == (64_000, 64_000)
    assert auto.input_modalities == ("text", "image", "audio")
    assert free.input_modalities == ("text", "audio")
    first, second = auto.endpoints
    assert (first.provider, first.tag, first.tier, first.pricing) == (ACME, "acme", None, None)
    assert set(first.supported_parameters or ()) == {"tools", "temperature", "top_k"}
    assert first.context_length == 32_768
    assert (second.provider, second.tag) == (OTHER, "other")
    (gratis,) = free.endpoints
    assert (gratis.pricing, gratis.supported_parameters) == (FREE, ("top_k",))


@pytest.mark.parametrize(
    ("models", "ids"),
    [
        ((), []),
        ((embedder(),), []),
        ((model("acme/flex", endpoint(tag="acme/flex", tier="flex")),), []),
        ((model(),), ["openrouter/auto"]),
        ((model("openrouter/auto"), model("~acme/large-latest")), []),
        ((model("openrouter/auto"), GRATIS), ["openrouter/free"]),
    ],
)
def test_a_router_without_a_choice_is_not_there(models: tuple[Model, ...], ids: list[str]) -> None:
    assert [router.id for router in routers(Catalogue(models))] == ids


def test_an_alias_takes_the_place_of_a_router() -> None:
    alias = Alias(id="openrouter/auto", split=(Arm(model="acme/large", weight=1),))
    assert [one.id for one in routers(Catalogue((LARGE, GRATIS), (alias,)))] == ["openrouter/free"]


async def get(path: str, query: str = "", *, status: int = 200, **more: Any) -> Any:
    answer = await call(app_of(*MODELS, **more), "GET", f"/api/v1{path}", query=query)
    assert answer.status == status
    return answer.json


async def test_a_list_has_models_and_no_routers() -> None:
    for path in ("/models", "/models/user"):
        assert [row["id"] for row in (await get(path))["data"]] == [
            "acme/large",
            "acme/gratis:free",
        ]


@pytest.mark.parametrize(
    ("name", "price", "tags"),
    [
        ("openrouter/auto", "-1", ["acme", "other"]),
        ("openrouter/auto:nitro", "-1", ["acme", "other"]),
        ("openrouter/free", "0", ["acme"]),
        ("openrouter/free:exacto:floor", "0", ["acme"]),
    ],
)
async def test_a_router_has_a_page_of_its_own(name: str, price: str, tags: list[str]) -> None:
    row = components.ModelResponse.model_validate(await get(f"/model/{name}")).data
    assert (row.id, row.pricing.prompt) == (name.partition(":")[0], price)
    assert row.architecture.tokenizer == "Router"
    body = await get(f"/models/{name}/endpoints")
    found = operations.ListEndpointsResponse.model_validate(body).data
    assert [one.tag for one in found.endpoints] == tags


@pytest.mark.parametrize("name", ["openrouter/fusion", "openrouter/auto:thinking", "openrouter/x"])
async def test_a_router_that_is_not_built_is_not_found(name: str) -> None:
    await get(f"/model/{name}", status=404)
