"""By what rule endpoints are put in order, in words for people (`weir why`)."""

from collections.abc import Iterator
from typing import Final

from proxy.routing.names import SORTS, Named
from proxy.wire.preferences import Preferences, Sort
from proxy.wire.request import Speed

DEFAULT: Final = "steady ones first, one of them drawn by its price, the others by price"
"""The order where nobody asks for another."""

_BY: Final[dict[Sort, str]] = {
    "price": "by price",
    "throughput": "by tokens a second, who was not measured yet last",
    "latency": "by time to the first token, who was not measured yet last",
    "exacto": "by how well they call tools",
}


def rule(
    named: Named, wished: Preferences, tier: Speed | None, *, sort: Sort | None, tooled: bool
) -> str | None:
    """The rule of those of the model `named`: `sort` is what holds of all that ask for one, and
    `tooled` that the request has tools. None for the default order.
    """
    order = "; ".join(_order(named, wished, tier, sort=sort, tooled=tooled)) or DEFAULT
    words = "; ".join((order, *_besides(wished)))
    return None if words == DEFAULT else words


def _order(
    named: Named, wished: Preferences, tier: Speed | None, *, sort: Sort | None, tooled: bool
) -> Iterator[str]:
    if wished.order:
        rest = wished.allow_fallbacks and sort is None
        others = ", then the others by price, steady ones first" if rest else ""
        yield f"those in provider.order first{others}"
    if sort is not None:
        first = f"{tier} endpoints first, then " if tier in ("priority", "ultrafast") else ""
        yield f"{first}{_BY[sort]} ({_source(named, wished, tier)})"
    elif tooled:
        yield f"{_BY['exacto']}, then by price (the request has tools)"


def _besides(wished: Preferences) -> Iterator[str]:
    """What holds in whatever order."""
    if wished.partition == "none":
        yield "all models together (provider.sort.partition)"
    if wished.throughput:
        yield "who is slower goes last (provider.preferred_min_throughput)"
    if wished.latency:
        yield "who is slower goes last (provider.preferred_max_latency)"
    if not wished.allow_fallbacks and not wished.order:
        yield "only the first of them (provider.allow_fallbacks)"


def _source(named: Named, wished: Preferences, tier: Speed | None) -> str:
    if wished.sort is not None:
        return "provider.sort"
    variants = (one for one in reversed(named.variants) if one in SORTS)
    return next((f"the model's name ends in :{one}" for one in variants), f"service_tier {tier}")
