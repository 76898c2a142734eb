"""In which order the endpoints of one model are tried, as OpenRouter orders them by default.

Steady ones come first, and among these chance decides by 1/price²: an endpoint at a third of the
price is asked nine times as often. Only the first is drawn; the rest follow as fallbacks, cheapest
first, then the shaky, the full, the paused and the shut. What costs nothing shares the choice
equally before what has a price, and what has none comes last. An endpoint in slow start counts as
steady with the probability that its ramp has reached. One that is due for its probe goes before all
others, or nobody would ever find out that it is back; of several only one, so that no request pays
for two.
"""

from bisect import bisect
from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import accumulate
from typing import Final, NamedTuple

from proxy.routing.catalogue import Endpoint
from proxy.routing.health import Look, Pool

_PER_MILLION_NANO: Final = Decimal(10**15)  # of dollars per token
_PER_UNITS_NANO: Final = (
    ("output_image", Decimal(10**12)),
    ("search_unit", Decimal(10**12)),
    ("character", Decimal(10**15)),
    ("audio_second", Decimal(10**13)),
)
"""The same for as many of other units as are about as much: what is sold by them is compared so."""

_PROBE, _STEADY, _SHAKY, _FULL, _LIMITED, _OUT = range(6)
_TIERS: Final = {
    "well": _STEADY,
    "shaky": _SHAKY,
    "recovering": _SHAKY,
    "limited": _LIMITED,
    "probing": _OUT,
    "out": _OUT,
}
_UNPRICED: Final = float("inf")

_Key = tuple[int, float, float]
"""Tier, order within it, price."""


class Ranked(NamedTuple):
    """An endpoint in its place. `word` is that of `health.Standing`, `price_nano` what a million
    prompt tokens and a million completion tokens cost there together, or as much of other units,
    None where nobody knows.
    """

    endpoint: Endpoint
    word: str
    price_nano: int | None


def rank(
    endpoints: Iterable[Endpoint], *, pool: Pool, now: float, rng: Callable[[], float]
) -> list[Ranked]:
    """The endpoints of a model, the one to try first at the head; `rng` is uniform in [0, 1)."""
    rows: list[tuple[_Key, float, Ranked]] = []
    probing = False
    for endpoint in endpoints:
        look = pool.look((endpoint.provider.slug, endpoint.model), now)
        price = _price_nano(endpoint)
        tier, order = _place(look, rng)
        weight = look[1] if tier == _SHAKY else 1.0
        if tier == _PROBE:
            tier, probing = (_OUT if probing else _PROBE), True
        key = (tier, order, _UNPRICED if price is None else price)
        rows.append((key, weight, Ranked(endpoint, look[0], price)))
    if len(rows) > 1:
        rows.sort(key=_key)  # it keeps the configured order of equals
        _draw(rows, 1 if probing else 0, rng)
    return [ranked for _, _, ranked in rows]


def _key(row: tuple[_Key, float, Ranked]) -> _Key:
    return row[0]


def _price_nano(endpoint: Endpoint) -> int | None:
    pricing = endpoint.pricing
    if pricing is None:
        return None
    nano = (pricing.prompt + pricing.completion) * _PER_MILLION_NANO
    for name, scale in _PER_UNITS_NANO:
        price = getattr(pricing, name)
        if price:
            nano += price * scale
    return int(nano)


def _place(look: Look, rng: Callable[[], float]) -> tuple[int, float]:
    word, weight, load = look
    tier = _TIERS[word]
    if tier == _OUT:  # in panic the least bad is tried first
        return (_PROBE if word == "probing" and weight > 0.0 else _OUT), -weight
    if load >= 1.0 and tier < _FULL:
        return _FULL, load
    if word == "recovering" and rng() < weight:
        return _STEADY, 0.0
    return tier, 0.0


def _draw(rows: list[tuple[_Key, float, Ranked]], at: int, rng: Callable[[], float]) -> None:
    """Moves one of the best to the head: `at`, and those after it of its tier and price class."""
    tier, _, least = rows[at][0] if at < len(rows) else (_OUT, 0.0, 0.0)
    if tier > _SHAKY:
        return
    pulls: list[float] = []
    for key, weight, _ in rows[at:]:
        price = key[2]
        alike = price == least or 0.0 < least < price < _UNPRICED
        if key[0] != tier or not alike:
            break
        pulls.append(weight if price == least else weight * (least / price) ** 2)
    reached = list(accumulate(pulls))
    drawn = bisect(reached, rng() * reached[-1], hi=len(reached) - 1)
    rows.insert(at, rows.pop(at + drawn))
