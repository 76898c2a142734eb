"""How endpoints do at the moment, as the catalogue tells it.

These are the figures by which this process chooses, so they are its own: of several workers each
has seen its part of the requests.
"""

from collections.abc import Callable
from typing import Any, Final

from proxy.routing.catalogue import Endpoint, Model
from proxy.routing.health import Pool
from proxy.routing.history import KEPT_MINUTES, PERCENTILES, Speed
from proxy.routing.quality import CALLS_MIN

_NAMES: Final = tuple(f"p{round(100 * share)}" for share in PERCENTILES)
_STATUS: Final = {
    "well": 0, "recovering": 0, "shaky": -1, "limited": -2, "probing": -3, "out": -5
}  # fmt: skip
"""OpenRouter's numbers for how an endpoint stands, of which it only says that 0 is well and that a
lower one is worse."""

_MS: Final = 1000.0


class Live:
    """The figures of a pool by endpoint; `clock` is the pool's, in seconds."""

    def __init__(self, pool: Pool, clock: Callable[[], float]) -> None:
        self._pool = pool
        self._clock = clock

    def lately(self, endpoint: Endpoint) -> Speed | None:
        """How fast it was in the last minutes: what a request's wish for speed is judged by."""
        return self._pool.speed((endpoint.tag, endpoint.model), self._clock())

    def sound_calls(self, model: Model) -> float | None:
        """The share of its answers with calls of tools that had calls which can be used; None where
        there were too few of them.
        """
        now = self._clock()
        told = [self._pool.calls((one.tag, one.model), now) for one in model.endpoints]
        count = sum(count for _, count in told)
        if count < CALLS_MIN:
            return None
        return sum(share * count for share, count in told) / count

    def row(self, endpoint: Endpoint, *, speed: bool) -> dict[str, Any]:
        """The live fields of `PublicEndpoint`: uptime in percent, latency in milliseconds to the
        first token, throughput in tokens a second. Without `speed` the latter two are null, as at
        OpenRouter for who shows no key.
        """
        id, now = (endpoint.tag, endpoint.model), self._clock()
        history = self._pool.history(id)
        row: dict[str, Any] = dict(NOTHING)
        row["status"] = _STATUS[self._pool.look(id, now)[0]]
        if history is None:
            return row
        for name, minutes in (("5m", 5), ("30m", 30), ("1d", 1440)):
            share = history.uptime(now, minutes)
            row[f"uptime_last_{name}"] = None if share is None else round(100.0 * share, 3)
        found = history.speed_of(now, KEPT_MINUTES) if speed else None
        if found is not None:
            row["latency_last_30m"] = _percentiles(found.latency_s, _MS)
            row["throughput_last_30m"] = _percentiles(found.throughput_tps, 1.0)
        return row


NOTHING: Final[dict[str, Any]] = {
    "status": 0,
    "uptime_last_5m": None,
    "uptime_last_30m": None,
    "uptime_last_1d": None,
    "latency_last_30m": None,
    "throughput_last_30m": None,
}
"""The same of an endpoint of which nothing was seen."""


def _percentiles(values: tuple[float, ...], unit: float) -> dict[str, float] | None:
    return {n: round(v * unit, 3) for n, v in zip(_NAMES, values, strict=True)} if values else None
