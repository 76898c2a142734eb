"""In which order models are listed: OpenRouter's `sort` of `GET /models`.

What is not known of a model comes last, and models that are alike stay in the order they were in.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final, NamedTuple

from proxy.api.live import Live
from proxy.api.rows import first_of
from proxy.errors import GatewayError
from proxy.routing.catalogue import Model, shown
from proxy.wire.slices import Steps

# fmt: off
UNRANKED: Final = frozenset({
    "most-popular", "top-weekly", "intelligence-high-to-low", "coding-high-to-low",
    "agentic-high-to-low", "design-arena-elo-high-to-low",
})
# fmt: on
"""Orders of which nothing is known here."""

MODELS_PER_STEP: Final = 16
"""Of a list that is looked through: how fast a busy endpoint is takes up to 0.2 ms to tell."""

_MILLION: Final = 10**6


def price(model: Model, part: str) -> Decimal | None:
    """What its row shows, in USD per million tokens."""
    first = first_of(model)
    pricing = None if first is None else first.pricing
    return None if pricing is None else getattr(pricing, part) * _MILLION


class _Order(NamedTuple):
    """By what a list is sorted, None where it is not known; `falling` has the greatest first."""

    key: Callable[[Model, Live], float | None]
    falling: bool


def _cost(model: Model, _: Live) -> float | None:
    """The average of the prices of what goes in and what comes out."""
    prices = [price(model, "prompt"), price(model, "completion")]
    known = [float(one) for one in prices if one is not None]
    return sum(known) / len(known) if known else None


def _latency(model: Model, live: Live) -> float | None:
    """The median of its quickest endpoint."""
    speeds = filter(None, map(live.lately, model.endpoints))
    return min((one.latency_at(0.5) for one in speeds), default=None)


def _throughput(model: Model, live: Live) -> float | None:
    speeds = filter(None, map(live.lately, model.endpoints))
    return max((one.throughput_at(0.5) for one in speeds if one.throughput_tps), default=None)


_ORDERS: Final[Mapping[str, _Order]] = {
    "newest": _Order(lambda model, _: model.created, falling=True),
    "pricing-low-to-high": _Order(_cost, falling=False),
    "pricing-high-to-low": _Order(_cost, falling=True),
    "context-high-to-low": _Order(lambda model, _: model.context_length, falling=True),
    "throughput-high-to-low": _Order(_throughput, falling=True),
    "latency-low-to-high": _Order(_latency, falling=False),
}


def ordered(models: list[Model], by: str, live: Live) -> Steps[list[Model]]:
    """The models by what `sort` names, in steps. Raises GatewayError: `not_supported` for an order
    of which nothing is known here, `invalid_request` for any other name.
    """
    if by in UNRANKED:
        raise GatewayError("not_supported", f"sort: {by} is not supported yet")
    order = _ORDERS.get(by)
    if order is None:
        names = ", ".join(_ORDERS)
        raise GatewayError("invalid_request", f"sort: {shown(by)} is no order; there are {names}")
    keys = []
    for number, model in enumerate(models):
        if number % MODELS_PER_STEP == 0:
            yield
        keys.append((model, order.key(model, live)))
    known = [(model, key) for model, key in keys if key is not None]
    known.sort(key=lambda pair: pair[1], reverse=order.falling)
    return [model for model, _ in known] + [model for model, key in keys if key is None]
