"""The order of a list: each of OpenRouter's, and what is not known last."""

from typing import get_args

import pytest
from msgspec.structs import replace
from openrouter.operations import GetModelsSort

from proxy.api.live import Live
from proxy.api.orders import UNRANKED, ordered
from proxy.errors import GatewayError
from proxy.money import FREE
from proxy.routing.catalogue import Model
from proxy.routing.health import Outcome, Pool, Ticket
from proxy.wire.slices import at_once
from tests.wares import endpoint, model, priced, untried


def fast() -> Live:
    """Figures: x answers quickly and slowly, y the other way round; z was too short to tell."""
    pool = Pool()
    seen = {"x1": (0.1, 20), "x2": (3.0, 200), "y": (0.5, 100), "z": (0.3, 1)}
    for tag, (latency_s, tokens) in seen.items():
        ticket = pool.begin((tag, "large"), 60.0, retry=False, last=True)
        assert isinstance(ticket, Ticket)
        pool.content(ticket, 60.0 + latency_s)
        pool.end(ticket, Outcome.GOOD, 61.0 + latency_s, tokens=tokens)
    return Live(pool, lambda: 65.0)


def one(name: str, *tags: str) -> Model:
    return model(f"acme/{name}", *(endpoint(tag=tag) for tag in tags))


PRICED = [
    model("acme/dear", endpoint(pricing=priced("10", "30"))),
    model("acme/unknown", endpoint(pricing=None)),
    model("acme/cheap", endpoint(pricing=priced("3", "1"))),
    model("acme/fair", endpoint(pricing=priced("1", "3.5")), endpoint(pricing=FREE)),
    model("acme/same", endpoint(pricing=priced("2", "2"))),
    replace(model("acme/nowhere"), endpoints=()),
    model("acme/free", endpoint(pricing=FREE)),
]
MEASURED = [one("w", "w"), one("x", "x1", "x2"), one("y", "y"), one("z", "z"), one("v")]
DATED = [
    model("acme/old", created=1, context_length=None),
    model("acme/none", created=None, context_length=10),
    model("acme/new", created=3, context_length=30),
    model("acme/alike", created=3, context_length=30),
    model("acme/zero", created=0, context_length=20),
]


@pytest.mark.parametrize(
    ("by", "models", "names"),
    [
        ("pricing-low-to-high", PRICED, "free cheap same fair dear unknown nowhere"),
        ("pricing-high-to-low", PRICED, "dear fair cheap same free unknown nowhere"),
        ("throughput-high-to-low", MEASURED, "x y w z v"),
        ("latency-low-to-high", MEASURED, "x z y w v"),
        ("newest", DATED, "new alike old zero none"),
        ("context-high-to-low", DATED, "new alike zero none old"),
    ],
)
def test_an_order_puts_what_it_does_not_know_last(by: str, models: list[Model], names: str) -> None:
    found = [row.id.removeprefix("acme/") for row in at_once(ordered(models, by, fast()))]
    assert found == names.split()


@pytest.mark.parametrize("by", sorted(UNRANKED))
def test_an_order_of_which_nothing_is_known_is_refused(by: str) -> None:
    with pytest.raises(GatewayError, match=f"^sort: {by} is not supported yet$") as caught:
        at_once(ordered([], by, untried()))
    assert caught.value.status == 400


@pytest.mark.parametrize("by", ["", "price", "NEWEST", "\x1b[31m", "x" * 5000])
def test_an_order_that_is_none_is_refused(by: str) -> None:
    with pytest.raises(GatewayError, match="is no order; there are newest, ") as caught:
        at_once(ordered([], by, untried()))
    assert caught.value.kind == "invalid_request"
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 500


def test_every_order_of_the_official_sdk_is_known() -> None:
    for by in get_args(get_args(GetModelsSort)[0]):
        if by not in UNRANKED:
            assert at_once(ordered([], by, untried())) == []
