"""Aliases among the models: only what all their models can do is promised."""

from typing import Any

import pytest
from openrouter import components, operations

from proxy.aliases import Alias, Arm
from proxy.api.rows import model_row
from proxy.api.standins import arms, meant, standin, standins
from proxy.errors import GatewayError
from proxy.money import FREE
from proxy.routing.catalogue import Catalogue
from tests.asgi import call
from tests.wares import app_of, endpoint, model


def alias(id: str, **split: float) -> Alias:
    return Alias(id=id, split=tuple(Arm(model=f"acme/{m}", weight=w) for m, w in split.items()))


ONE = model(
    "acme/one",
    endpoint(supported_parameters=("tools", "seed")),
    endpoint(tag="acme/two", supported_parameters=("top_k",)),
    context_length=8_000,
    distillable=True,
)
TWO = model(
    "acme/two",
    endpoint(model="small", supported_parameters=("seed", "top_k", "stop"), pricing=None),
    context_length=None,
    input_modalities=("text",),
    distillable=True,
)
CATALOGUE = Catalogue(
    (ONE, TWO),
    (
        alias("team/chat", one=3, two=1, none=1),
        alias("team/gone", none=1),
        alias("team/one", one=1),
    ),
)


def test_an_alias_promises_what_all_its_models_can_do() -> None:
    first, second = standins(CATALOGUE)
    assert (first.id, second.id) == ("team/chat", "team/one")
    row = model_row(first)
    components.Model.model_validate(row)
    assert row["supported_parameters"] == ["seed", "top_k"]
    assert row["pricing"] == {"prompt": "-1", "completion": "-1"}
    assert (row["context_length"], row["architecture"]["modality"]) == (8_000, "text->text")
    assert row["description"].endswith(": acme/one (3), acme/two (1), acme/none (1).")
    assert (first.distillable, second.input_modalities) == (True, ("text", "image"))


def test_arms_that_lead_nowhere_are_left_out() -> None:
    assert arms(CATALOGUE.aliases["team/chat"], CATALOGUE) == [ONE, TWO]
    assert arms(CATALOGUE.aliases["team/gone"], CATALOGUE) == []
    assert standin(CATALOGUE.aliases["team/gone"], CATALOGUE) is None


def test_variants_of_one_model_are_one_model() -> None:
    both = alias("team/both", **{"one": 1, "one:nitro": 1})
    assert arms(both, Catalogue((ONE,))) == [ONE]


MIXED = model("acme/mixed", endpoint(tag="dear"), endpoint(tag="gratis", pricing=FREE))


def test_an_arm_is_narrowed_by_its_variants() -> None:
    catalogue = Catalogue((MIXED,), (alias("team/free", **{"mixed:free": 1}),))
    found = meant("team/free:nitro", catalogue)
    assert (found.id, [one.tag for one in found.endpoints]) == ("team/free", ["gratis"])
    dear = Catalogue((ONE,), (alias("team/free", **{"one:free": 1}),))
    assert list(standins(dear)) == []


def test_an_arm_may_be_a_router() -> None:
    split = (Arm(model="openrouter/auto:floor", weight=1), Arm(model="acme/two", weight=1))
    both = Alias(id="team/auto", split=split)
    catalogue = Catalogue((ONE, TWO), (both,))
    assert [one.id for one in arms(both, catalogue)] == ["openrouter/auto", "acme/two"]
    assert meant("team/auto", catalogue).input_modalities == ("text",)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("team/gone", "model_unknown"),
        ("team/chat:free", "model_unknown"),
        ("acme/one:free", "no_endpoint"),
        ("openrouter/free", "model_unknown"),
    ],
)
def test_a_name_without_a_model_is_refused(name: str, kind: str) -> None:
    with pytest.raises(GatewayError) as caught:
        meant(name, CATALOGUE)
    assert caught.value.kind == kind


async def get(path: str, query: str = "", *, enforce: bool = False) -> Any:
    app = app_of(ONE, TWO, aliases=tuple(CATALOGUE.aliases.values()), enforce=enforce)
    return (await call(app, "GET", f"/api/v1{path}", query=query)).json


async def test_aliases_are_listed_behind_the_models() -> None:
    ids = ["acme/one", "acme/two", "team/chat", "team/one"]
    assert [row["id"] for row in (await get("/models"))["data"]] == ids
    assert (await get("/models/count"))["data"]["count"] == 4
    assert [row["id"] for row in (await get("/models", "max_price=9"))["data"]] == ["acme/one"]
    found = await get("/models", "supported_parameters=top_k,seed")
    assert [row["id"] for row in found["data"]] == ["acme/two", "team/chat"]


@pytest.mark.parametrize(
    ("enforce", "ids"),
    [
        (False, ["acme/one", "acme/two", "team/chat", "team/one"]),
        (True, ["acme/one", "team/chat", "team/one"]),
    ],
)
async def test_a_user_has_the_aliases_of_the_models_it_has(enforce: bool, ids: list[str]) -> None:
    found = await get("/models/user", enforce=enforce)
    assert [row["id"] for row in found["data"]] == ids


async def test_an_alias_has_the_endpoints_of_its_models() -> None:
    one = await get("/model/team/chat")
    assert components.ModelResponse.model_validate(one).data.id == "team/chat"
    body = await get("/models/team/chat/endpoints")
    found = operations.ListEndpointsResponse.model_validate(body).data
    assert found.id == "team/chat"
    assert [(row.model_id, row.tag) for row in found.endpoints] == [
        ("acme/one", "acme"), ("acme/one", "acme/two"), ("acme/two", "acme"),
    ]  # fmt: skip
    assert found.endpoints[0].pricing.prompt == "0.000003"
