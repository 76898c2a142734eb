"""A name means a model and what its variants wish, in whatever order they stand."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import GatewayError
from proxy.money import FREE as NOTHING
from proxy.money import Pricing
from proxy.providers import Provider
from proxy.routing.catalogue import Catalogue, Endpoint, Model
from proxy.routing.names import VARIANTS_MAX, resolve, split
from tests import wares

ONE = Provider(slug="one", name="One", base_url="https://one.example")


def endpoint(name: str, pricing: Pricing | None = None) -> Endpoint:
    return wares.endpoint(provider=ONE, model=name, pricing=pricing, tag=ONE.slug)


def model(id_: str, *natives: str) -> Model:
    endpoints = tuple(endpoint(name, NOTHING) for name in natives or (id_,))
    return wares.model(id_, name=id_, endpoints=endpoints)


CATALOGUE = Catalogue(
    [
        model("x/plain"),
        model("x/both"),
        model("x/both:free"),
        model("x/long"),
        model("x/long:extended"),
        model("x/deep"),
        model("x/deep:thinking"),
        model("x/deep:thinking:free"),
        model("x/lone:free"),
        model("x/tools:exacto"),
        model("anthropic/claude-2.1", "anthropic.claude-v2:1"),
        model("meta-llama/llama-3-8b", "llama3:8b"),
        model("one/odd", "odd:thinking"),
        model("a/twin"),
        model("b/twin"),
        model("anthropic/claude-sonnet-4.5"),
        model("~google/gemini-pro-latest"),
        model("google/gemini-3-pro"),
    ]
)


@pytest.mark.parametrize(
    ("name", "id_", "variants"),
    [
        ("x/plain", "x/plain", ()),
        ("plain", "x/plain", ()),
        ("x/plain:nitro", "x/plain", ("nitro",)),
        ("plain:floor", "x/plain", ("floor",)),
        ("x/plain:exacto", "x/plain", ("exacto",)),
        ("x/plain:free", "x/plain", ("free",)),
        ("x/plain:free:free:free", "x/plain", ("free",)),
        ("x/plain:nitro:floor:nitro", "x/plain", ("floor", "nitro")),
        ("x/both:free", "x/both:free", ()),
        ("both:free", "x/both:free", ()),
        ("x/both:free:nitro", "x/both:free", ("nitro",)),
        ("x/both:nitro:free", "x/both:free", ("nitro",)),
        ("both:nitro:free", "x/both:free", ("nitro",)),
        ("x/long:extended", "x/long:extended", ()),
        ("x/long:floor:extended", "x/long:extended", ("floor",)),
        ("x/long:free:extended", "x/long:extended", ("free",)),
        ("x/deep:thinking", "x/deep:thinking", ()),
        ("x/deep:free:thinking", "x/deep:thinking:free", ()),
        ("x/lone:free", "x/lone:free", ()),
        ("x/lone:nitro:free", "x/lone:free", ("nitro",)),
        ("x/tools:exacto", "x/tools:exacto", ()),
        ("x/tools:exacto:floor", "x/tools:exacto", ("floor",)),
        ("anthropic.claude-v2:1", "anthropic/claude-2.1", ()),
        ("anthropic.claude-v2:1:floor", "anthropic/claude-2.1", ("floor",)),
        ("llama3:8b", "meta-llama/llama-3-8b", ()),
        ("llama3:8b:free:nitro", "meta-llama/llama-3-8b", ("free", "nitro")),
        ("odd:thinking", "one/odd", ()),
        ("odd:thinking:nitro", "one/odd", ("nitro",)),
        ("~anthropic/claude-sonnet-latest", "anthropic/claude-sonnet-4.5", ()),
        ("~anthropic/claude-sonnet-latest:floor", "anthropic/claude-sonnet-4.5", ("floor",)),
        ("~google/gemini-pro-latest", "~google/gemini-pro-latest", ()),
    ],
)
def test_what_a_name_means(name: str, id_: str, variants: tuple[str, ...]) -> None:
    named = resolve(name, CATALOGUE)
    assert (named.model.id, named.variants) == (id_, variants)


@pytest.mark.parametrize("words", list(permutations(("free", "nitro", "exacto"))))
def test_variants_are_combined_in_any_order(words: tuple[str, ...]) -> None:
    named = resolve(":".join(("x/both", *words)), CATALOGUE)
    assert named.model.id == "x/both:free"
    assert named.variants == tuple(word for word in words if word != "free")
    assert named.sort == {"nitro": "throughput", "exacto": "exacto"}[named.variants[-1]]


@pytest.mark.parametrize(
    ("name", "sort", "tiers", "free"),
    [
        ("x/plain", None, set(), False),
        ("x/plain:nitro", "throughput", {"priority"}, False),
        ("x/plain:floor", "price", {"flex"}, False),
        ("x/plain:exacto", "exacto", set(), False),
        ("x/plain:free", None, set(), True),
        ("x/plain:free:floor", "price", {"flex"}, True),
        ("x/plain:floor:nitro", "throughput", {"priority", "flex"}, False),
        ("x/plain:nitro:floor:nitro", "throughput", {"priority", "flex"}, False),
        ("x/both:free", None, set(), False),
    ],
)
def test_what_the_variants_of_a_name_wish(
    name: str, sort: str | None, tiers: set[str], free: bool
) -> None:
    named = resolve(name, CATALOGUE)
    assert named.sort == sort
    assert set(named.tiers) == tiers
    assert named.free is free


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("x/plain:thinking", "no_endpoint", "No endpoints found for x/plain:thinking."),
        ("x/plain:extended", "no_endpoint", "No endpoints found for x/plain:extended."),
        ("x/long:thinking:extended", "no_endpoint", None),
        ("x/plain:nitro:thinking:free", "no_endpoint", None),
        (
            "x/plain:online",
            "not_supported",
            "x/plain:online: `:online` is not supported yet",
        ),
        ("x/plain:free:online", "not_supported", None),
        ("x/plain:online:free", "not_supported", None),
        ("x/both:batch", "not_supported", "x/both:batch: `:batch` is not supported yet"),
        ("x/plain:beta", "model_unknown", "x/plain:beta is not a valid model ID"),
        ("x/plain:beta:nitro", "model_unknown", "x/plain:beta:nitro is not a valid model ID"),
        ("x/plain:NITRO", "model_unknown", None),
        ("x/plain:", "model_unknown", None),
        (":free", "model_unknown", None),
        ("", "model_unknown", None),
        ("y/none:free", "model_unknown", "y/none:free is not a valid model ID"),
        ("twin", "model_ambiguous", None),
        ("twin:free", "model_ambiguous", None),
        ("~anthropic/claude-poet-latest", "model_unknown", None),
        ("~anthropic/claude-sonnet-latest:thinking", "no_endpoint", None),
    ],
)
def test_what_is_no_name_is_said(name: str, kind: str, message: str | None) -> None:
    with pytest.raises(GatewayError) as caught:
        resolve(name, CATALOGUE)
    assert caught.value.kind == kind
    assert message is None or caught.value.message == message


def test_no_more_variants_are_looked_at_than_anybody_would_name() -> None:
    assert split("x/plain" + ":free" * VARIANTS_MAX) == ("x/plain", ("free",))
    name = "x/plain" + ":free" * 100_000
    assert split(name) == (name.removesuffix(":free" * VARIANTS_MAX), ("free",))
    with pytest.raises(GatewayError, match="is not a valid model ID") as caught:
        resolve(name, CATALOGUE)
    assert len(caught.value.message) < 300


PARTS = st.sampled_from(
    [
        *("x/plain", "both", "twin", "llama3", "8b", "~x", "~anthropic/claude-sonnet-latest", ""),
        *("free", "nitro", "floor", "exacto", "extended", "thinking", "online", "batch", "beta"),
    ]
)


@given(st.lists(PARTS, max_size=12).map(":".join) | st.text(alphabet=":/~-afx5", max_size=20))
def test_a_name_is_a_model_or_an_error_for_its_caller(name: str) -> None:
    named, status = None, 200
    try:
        named = resolve(name, CATALOGUE)
    except GatewayError as error:
        status = error.status
    assert status in (200, 400, 404)
    if named is not None:
        assert named.model.id in CATALOGUE.models
        assert len(set(named.variants)) == len(named.variants)
