"""A catalogue finds a model by any of its names, and says what is wrong with a name."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from proxy.errors import GatewayError
from proxy.money import FREE, Pricing
from proxy.providers import Provider
from proxy.routing.catalogue import Catalogue, Endpoint, Model, shown
from proxy.wire.request import Tier
from tests import wares

ONE = Provider(slug="one", name="One", base_url="https://one.example")
PRICE = Pricing(prompt=Decimal(1), completion=Decimal(1))


def endpoint(model: str, pricing: Pricing | None = PRICE) -> Endpoint:
    return wares.endpoint(provider=ONE, model=model, pricing=pricing, tag=ONE.slug)


def model(id_: str, *natives: str) -> Model:
    endpoints = tuple(map(endpoint, natives))
    return wares.model(id_, name=id_, endpoints=endpoints)


TWINS = Catalogue(
    [
        model("openai/gpt-4o", "gpt-4o", "openai/gpt-4o"),
        model("acme/gpt-4o", "acme/gpt-4o"),
        model("meta-llama/llama-3", "LLaMA-3"),
        model("b/solo", "b/solo"),
        model("c/both", "c/both"),
        model("d/both", "d/both"),
    ]
)


def test_a_model_is_called_what_its_providers_call_it_each_name_once() -> None:
    assert model("a/b", "x", "y", "x").native_names == ("x", "y")


def test_a_sibling_is_the_same_offer_at_another_tier() -> None:
    def tagged(tag: str, tier: Tier | None = None, model: str = "m") -> Endpoint:
        return replace(endpoint(model), tag=tag, tier=tier)

    plain, flex, eu_flex = tagged("one"), tagged("one/flex", "flex"), tagged("one/eu/flex", "flex")
    other = tagged("one/priority", "priority", "n")
    offers = replace(model("a/b"), endpoints=(plain, flex, eu_flex, other))
    assert offers.sibling(plain, "flex") is flex
    assert offers.sibling(flex, None) is plain
    assert offers.sibling(flex, "flex") is flex
    assert offers.sibling(eu_flex, None) is None
    assert offers.sibling(plain, "priority") is None


def test_models_with_an_endpoint_that_has_no_price_are_named() -> None:
    priced, free, unpriced, mixed = (endpoint("m", one) for one in (PRICE, FREE, None, None))
    models = [
        replace(model(f"a/{number}"), endpoints=endpoints)
        for number, endpoints in enumerate([(priced,), (free,), (unpriced,), (priced, mixed), ()])
    ]
    assert Catalogue(models).unpriced() == ["a/2", "a/3"]


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("openai/gpt-4o", "openai/gpt-4o"),
        ("acme/gpt-4o", "acme/gpt-4o"),
        ("gpt-4o", "openai/gpt-4o"),  # OpenAI's own name for it, though another's slug ends so
        ("LLaMA-3", "meta-llama/llama-3"),
        ("llama-3", "meta-llama/llama-3"),
        ("solo", "b/solo"),
    ],
)
def test_a_model_is_found_by_slug_then_by_its_own_name_then_without_author(
    name: str, id_: str
) -> None:
    assert TWINS.find(name).id == id_


def test_a_name_of_several_models_is_an_error_that_lists_them() -> None:
    with pytest.raises(GatewayError) as caught:
        TWINS.find("both")
    assert caught.value.kind == "model_ambiguous"
    assert caught.value.metadata == {"candidates": ["c/both", "d/both"]}
    assert caught.value.message == "both may be any of these models: c/both, d/both"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gpt-5", "gpt-5"),
        ("", ""),
        ("OpenAI/gpt-4o", "OpenAI/gpt-4o"),
        (" gpt-4o", " gpt-4o"),
        ("gpt-4o\r\nx", "gpt-4o\\r\\nx"),
        ("模型", "\\u6a21\\u578b"),
        ("\ud800", "\\ud800"),
        ("x" * 500, "x" * 200),
    ],
)
def test_an_unknown_name_is_said_in_plain_characters(name: str, said: str) -> None:
    with pytest.raises(GatewayError) as caught:
        TWINS.find(name)
    assert caught.value.kind == "model_unknown"
    assert caught.value.message == f"{said} is not a valid model ID"
    assert shown(name) == said
