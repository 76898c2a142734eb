"""By what rule and figures endpoints are put in order, in words for people (`weir why`)."""

from collections.abc import Iterator
from typing import Final

from proxy.routing.health import EndpointId, Pool
from proxy.routing.names import SORTS, Named
from proxy.routing.quality import CALLS_MIN
from proxy.wire.preferences import Preferences, Sort
from proxy.wire.request import Speed

DEFAULT: Final = "steady ones first, one of them drawn by its price, the others by price"
"""The order where nobody asks for another."""

_MEDIAN: Final = 0.5

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


class Measures:
    """What was measured of endpoints, as far as an order with these wishes goes by it. `tooled`
    says that quality comes before price where no `sort` is wished; `now` is of the pool's clock.
    """

    def __init__(self, wished: Preferences, pool: Pool, now: float, *, tooled: bool) -> None:
        self._wished = wished
        self._pool = pool
        self._now = now
        self._quality = wished.sort == "exacto" or (tooled and wished.sort is None)

    def of(self, id: EndpointId, *, slow: bool, worse: bool) -> str | None:
        """In words; None where nothing is known that counts. `slow` says that it is slower than is
        preferred, `worse` that it is deranked.
        """
        words = [*self._sorted(id), *self._preferred(id)]
        if slow:
            words.append("slower than preferred")
        if worse:
            words.append("far worse than the others")
        return ", ".join(words) or None

    def _sorted(self, id: EndpointId) -> Iterator[str]:
        sort, usual = self._wished.sort, self._pool.usual(id, self._now)
        if self._quality:
            share, count = self._pool.calls(id, self._now)
            if count >= CALLS_MIN:
                yield f"{share:.0%} of its answers with sound tool calls"
        elif sort not in ("throughput", "latency"):
            return
        if sort == "latency":
            yield "not measured yet" if usual is None else _latency(usual.latency_at(_MEDIAN))
        elif usual is not None and usual.throughput_tps:
            yield _throughput(usual.throughput_at(_MEDIAN))
        elif sort == "throughput":
            yield "not measured yet"

    def _preferred(self, id: EndpointId) -> Iterator[str]:
        """Of the last five minutes."""
        wished = self._wished
        if not (wished.throughput or wished.latency):
            return
        speed = self._pool.speed(id, self._now)
        if speed is None:
            yield "not measured lately"
            return
        for at, _ in wished.throughput if speed.throughput_tps else ():
            yield f"{_throughput(speed.throughput_at(at))} in {at:.0%} of its answers"
        for at, _ in wished.latency:
            yield f"{_latency(speed.latency_at(at))} in {at:.0%} of its answers"


def _throughput(tps: float) -> str:
    return f"{tps:.0f} tokens/s"


def _latency(s: float) -> str:
    return f"{s:.2g} s to the first token" if s < 10 else f"{s:.0f} s to the first token"
