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
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from itertools import accumulate, takewhile
from sys import maxsize
from typing import Final

import msgspec

from proxy.routing.catalogue import Endpoint, Model
from proxy.routing.filters import Reason
from proxy.routing.health import Look, Pool
from proxy.wire.record import Candidate

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

_Row = tuple[_Key, float, tuple["Entry", str]]
"""Place, weight, and whose it is with the word for its condition."""


class Entry:
    """An endpoint of a model and all that is true of it whatever its condition. `id` is the pool's,
    `price_nano` what a million prompt tokens and a million completion tokens cost there together,
    or as much of other units, None where nobody knows; `excluded` is why it is not to be tried.
    `rule` says in words how it is put in order, None where that is the default.
    """

    __slots__ = (
        "_candidates", "_measured", "excluded", "id", "pair", "price", "price_nano", "rule"
    )  # fmt: skip

    def __init__(self, model: Model, endpoint: Endpoint, excluded: Reason | None = None) -> None:
        self.pair = model, endpoint
        self.id = endpoint.tag, endpoint.model
        self.excluded = excluded
        self.rule: str | None = None
        self._measured: str | None = None
        self.price_nano = None if excluded else _price_nano(endpoint)
        self.price: float = _UNPRICED if self.price_nano is None else self.price_nano
        self._candidates: dict[str, Candidate] = {}

    def measure(self, words: str | None) -> bool:
        """Has the record tell this of its speed and quality from now on; whether it is news."""
        if words == self._measured:
            return False
        self._measured = words
        self._candidates.clear()
        return True

    def candidate(self, word: str) -> Candidate:
        """What the record tells of it where `word` is that of `health.Standing`."""
        known = self._candidates.get(word)
        if known is None:
            slug, name = self.id
            known = self._candidates[word] = Candidate(
                provider=slug,
                model=name,
                standing=word,
                price_nano=self.price_nano,
                excluded=self.excluded and self.excluded.words,
                by=self.excluded and self.excluded.by,
                rule=self.rule,
                measured=self._measured,
            )
        return known


class Plan(msgspec.Struct, frozen=True):
    """What may be tried, the best first; no endpoint stands in it twice. `candidates` tell the
    record of every endpoint that was looked at: those of `attempts` in the same order, then those
    that are excluded, with the reason. The first `good` attempts are as good and as quick as is
    wished, or none is; a warm cache is no reason to go to the others of their model before these.
    """

    attempts: tuple[tuple[Model, Endpoint], ...]
    candidates: tuple[Candidate, ...] = ()
    good: int = maxsize


class Field:
    """At least one endpoint of a model, to be put in order for every request. Where all of them are
    well, as they mostly are, there are no more plans than endpoints to draw: each is made once.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.size = len(entries)
        self._entries = entries
        self._ids = tuple(entry.id for entry in entries)
        self._by_price = sorted(entries, key=_price)  # it keeps the configured order of equals
        self._odds = _odds([(entry.price, 1.0) for entry in self._by_price])
        self._last = len(self._odds) - 1
        self._plans: list[Plan | None] = [None] * len(self._odds)

    def order(self, pool: Pool, now: float, rng: Callable[[], float]) -> Plan:
        """The one to try first at the head; `rng` is uniform in [0, 1)."""
        if not pool.calm(self._ids, now):
            return planned(_ranked(self._entries, pool, now, rng))
        last = self._last
        drawn = bisect(self._odds, rng() * self._odds[last], 0, last) if last else 0
        known = self._plans[drawn]
        if known is None:
            row = self._by_price.copy()
            row.insert(0, row.pop(drawn))
            known = self._plans[drawn] = planned([(entry, "well") for entry in row])
        return known


def _price(entry: Entry) -> float:
    return entry.price


def planned(ranked: Iterable[tuple[Entry, str]], good: int = maxsize) -> Plan:
    """The plan of entries that are in their places already, with the word for each."""
    pairs, candidates = [], []
    for entry, word in ranked:
        pairs.append(entry.pair)
        candidates.append(entry.candidate(word))
    return Plan(tuple(pairs), tuple(candidates), good)


def _ranked(
    entries: Iterable[Entry], pool: Pool, now: float, rng: Callable[[], float]
) -> list[tuple[Entry, str]]:
    rows: list[_Row] = []
    probing = False
    for entry in entries:
        look = pool.look(entry.id, now)
        tier, order = _place(look, rng)
        weight = look[1] if tier == _SHAKY else 1.0
        if tier == _PROBE:
            tier, probing = (_OUT if probing else _PROBE), True
        rows.append(((tier, order, entry.price), weight, (entry, look[0])))
    if len(rows) > 1:
        rows.sort(key=_key)  # it keeps the configured order of equals
        _draw(rows, 1 if probing else 0, rng)
    return [ranked for _, _, ranked in rows]


def _key(row: _Row) -> _Key:
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


def _draw(rows: list[_Row], at: int, rng: Callable[[], float]) -> None:
    """Moves one of the best to the head: `at`, and those after it of its tier and price class."""
    tier = rows[at][0][0]
    if tier > _SHAKY:
        return
    best = takewhile(lambda row: row[0][0] == tier, rows[at:])
    odds = _odds([(key[2], weight) for key, weight, _ in best])
    rows.insert(at, rows.pop(at + _drawn(odds, rng)))


def _odds(rows: Sequence[tuple[float, float]]) -> list[float]:
    """The weights of the first of `rows` and those after it of its price class, each added to all
    before it; rows are prices and weights, cheapest first.
    """
    least = rows[0][0]
    pulls: list[float] = []
    for price, weight in rows:
        if price != least and not 0.0 < least < price < _UNPRICED:
            break
        pulls.append(weight if price == least else weight * (least / price) ** 2)
    return list(accumulate(pulls))


def _drawn(odds: Sequence[float], rng: Callable[[], float]) -> int:
    return bisect(odds, rng() * odds[-1], hi=len(odds) - 1)
