"""A plan is the endpoints of the models asked for, in order, none of them twice."""

import pytest

from proxy.errors import GatewayError
from proxy.providers import Provider
from proxy.routing.catalogue import EndpointRow, ModelRow, Timeouts, build
from proxy.routing.plan import plan

ONE, TWO = (
    Provider(slug=slug, name=slug, base_url=f"https://{slug}.example") for slug in ("one", "two")
)


def row(id_: str, *endpoints: str) -> ModelRow:
    said = (endpoint.split() for endpoint in endpoints)
    return ModelRow(
        id=id_, endpoints=tuple(EndpointRow(provider=slug, model=name) for slug, name in said)
    )


CATALOGUE = build(
    providers=[ONE, TWO],
    listings={},
    configured=[
        row("a/main", "two m", "one m"),
        row("a/spare", "one s"),
        row("a/alias", "one m", "one s"),
        row("a/empty"),
        row("b/void"),
        row("b/main", "one x"),
    ],
    timeouts=Timeouts(),
    price_of=lambda provider, model: None,
)


def tried(*names: str) -> list[str]:
    attempts = plan(names, CATALOGUE).attempts
    return [f"{model.id} {endpoint.tag} {endpoint.model}" for model, endpoint in attempts]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a/main"], ["a/main two m", "a/main one m"]),
        (["a/main", "a/spare"], ["a/main two m", "a/main one m", "a/spare one s"]),
        (["a/spare", "a/main"], ["a/spare one s", "a/main two m", "a/main one m"]),
        (["a/spare", "a/spare", "spare"], ["a/spare one s"]),
        (["a/main", "a/alias"], ["a/main two m", "a/main one m", "a/alias one s"]),
        (["a/empty", "a/spare"], ["a/spare one s"]),
    ],
)
def test_the_order(names: list[str], expected: list[str]) -> None:
    assert tried(*names) == expected


@pytest.mark.parametrize(
    ("names", "kind", "message"),
    [
        ([], "invalid_request", "No models provided"),
        (["nope"], "model_unknown", "nope is not a valid model ID"),
        (["a/main", "nope"], "model_unknown", "nope is not a valid model ID"),
        (["main"], "model_ambiguous", "main may be any of these models: a/main, b/main"),
        (["a/empty"], "no_provider", "No provider serves a/empty"),
        (["a/empty", "b/void", "void"], "no_provider", "No provider serves a/empty, b/void"),
    ],
)
def test_what_can_not_be_planned(names: list[str], kind: str, message: str) -> None:
    with pytest.raises(GatewayError) as caught:
        plan(names, CATALOGUE)
    assert (caught.value.kind, caught.value.message) == (kind, message)
