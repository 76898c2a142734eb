"""In which order endpoints are tried where the caller says so, or has tools that they are to call.

Contract, section 4: tools (item 3), `sort` (4), `order` and `allow_fallbacks` (5), the preferred
speed (8), service tiers (12). `sort` and `order` leave nothing to chance and nothing to condition:
who is shut or paused keeps its place, and is passed over when its turn comes (`pipeline.visits`).
Where neither is said the order is the default one (`ranking`) among those of the same quality.

What was measured is looked at once a second and not for every request. Who was not seen yet comes
after all who were: it is asked where they fail, or by callers who do not sort.
"""

from collections.abc import Callable, Sequence
from itertools import compress
from math import inf
from typing import Final

from msgspec.structs import replace

from proxy.routing.filters import names_of
from proxy.routing.health import EndpointId, Pool
from proxy.routing.quality import DERANKED, grades
from proxy.routing.ranking import Entry, Field, Plan, planned
from proxy.routing.wording import Measures
from proxy.wire.preferences import Preferences
from proxy.wire.request import Tier

PLANS_MAX: Final = 64
"""Of one request's wishes so many orders are kept made: few of all there could be ever occur."""

_MEDIAN: Final = 0.5
_BY: Final = "allow_fallbacks"
_NO_FALLBACK: Final = "would be a fallback, and provider.allow_fallbacks is false"
_SERVING: Final = frozenset(("well", "shaky", "recovering"))

Order = tuple[int, ...]
"""Places of entries, the first to be tried first."""


class Wished:
    """Entries to be put in order for every request with the same wishes, at least one. `ranks` are
    the service tiers that come before the ordinary one, the first of them first; `tooled` says that
    quality comes before price where no `sort` is wished.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        wished: Preferences,
        ranks: Sequence[Tier] = (),
        *,
        tooled: bool = False,
    ) -> None:
        self.size = len(entries)
        self._entries = entries
        self._wished = wished
        self._ranks = [_rank(entry, ranks) for entry in entries]
        self._tooled = tooled
        self._ids = tuple(entry.id for entry in entries)
        self._places = {id(entry.pair[1]): place for place, entry in enumerate(entries)}
        self._listed = _listed(entries, wished.order)
        self._rest: Order = tuple(
            place
            for place in range(len(entries))
            if place not in self._listed and (wished.allow_fallbacks or not wished.order)
        )
        self._seen: object = None  # the pool's stamp of what follows
        self._strict: Order | None = None
        self._marks: Order = ()  # grades of `_rest`
        self._fields: Sequence[Field] = ()
        self._slow: frozenset[int] = frozenset()
        self._good = self.size
        self._plans: dict[Order, Plan] = {}

    def order(self, pool: Pool, now: float, rng: Callable[[], float]) -> Plan:
        """As `Field.order`."""
        stamp = pool.stamp(now)
        if stamp is not self._seen:
            self._look(pool, now)
            self._seen = stamp
        order = self._strict
        if order is None:
            chance = _least if self._wished.order else rng
            drawn = [field.order(pool, now, chance) for field in self._fields]
            if len(drawn) == 1 and not (self._listed or self._slow):
                return drawn[0]
            rest = [self._places[id(one)] for row in drawn for _, one in row.attempts]
            order = self._last_slow((*self._listed, *rest))
        if not pool.calm(self._ids, now):
            ids = self._ids
            words = [(self._entries[one], pool.look(ids[one], now)[0]) for one in order]
            return planned(words, self._good)
        known = self._plans.get(order)
        if known is None:
            if len(self._plans) >= PLANS_MAX:
                self._plans.clear()
            words = [(self._entries[one], "well") for one in order]
            known = self._plans[order] = planned(words, self._good)
        return known

    def _look(self, pool: Pool, now: float) -> None:
        """What lasts until the next look."""
        wished = self._wished
        if wished.throughput or wished.latency:
            ids = enumerate(self._ids)
            self._slow = frozenset(place for place, id in ids if slow(id, wished, pool, now))
        by = _VALUES.get(wished.sort or "")
        if by is not None or not self._rest:
            values = by(self._entries, pool, now) if by is not None else ()
            rest = sorted(self._rest, key=lambda one: self._key(one, values))
            self._strict = self._last_slow((*self._listed, *rest))
            exacto = wished.sort == "exacto"
            marks = tuple(-int(values[one]) for one in self._rest) if exacto else ()
        else:
            entries = [self._entries[place] for place in self._rest]
            marks = grades(entries, pool, now) if self._tooled else (0,) * len(entries)
            if marks != self._marks:
                self._marks, self._fields = marks, _fields(entries, marks)
        last = self._slow.union(compress(self._rest, (mark == DERANKED for mark in marks)))
        good = self.size - len(last) or self.size
        if good != self._good:
            self._good = good
            self._plans.clear()
        self._tell(last - self._slow, pool, now)

    def _tell(self, worse: frozenset[int], pool: Pool, now: float) -> None:
        """Lets the record say what the order goes by."""
        words = Measures(self._wished, pool, now, tooled=self._tooled)
        slow = self._slow
        news = [
            entry.measure(words.of(entry.id, slow=place in slow, worse=place in worse))
            for place, entry in enumerate(self._entries)
        ]
        if any(news):
            self._plans.clear()
            if self._fields:
                self._fields = _fields([self._entries[one] for one in self._rest], self._marks)

    def _key(self, place: int, values: Sequence[float]) -> tuple[int, float, float]:
        return self._ranks[place], values[place], self._entries[place].price

    def _last_slow(self, order: Order) -> Order:
        """Who is slower than is preferred goes to the end; who was not seen yet is no slower."""
        late = self._slow
        return tuple(sorted(order, key=late.__contains__)) if late else order


def alone(plan: Plan, *, together: bool) -> Plan:
    """`plan` without fallbacks: of each model, or of all `together`, only the first that is in
    service, or the first where none is. The others are told as excluded.
    """
    heads: dict[str, int] = {}
    told = plan.candidates
    for place, (model, _) in enumerate(plan.attempts):
        of = "" if together else model.id
        best = heads.setdefault(of, place)
        if told[best].standing not in _SERVING and told[place].standing in _SERVING:
            heads[of] = place
    kept, places = tuple(heads.values()), range(len(plan.attempts))
    return Plan(
        tuple(plan.attempts[place] for place in kept),
        (
            *(told[place] for place in kept),
            *(replace(told[at], excluded=_NO_FALLBACK, by=_BY) for at in places if at not in kept),
            *told[len(places) :],
        ),
    )


def _least() -> float:
    """No chance: the cheapest is the first."""
    return 0.0


def _rank(entry: Entry, ranks: Sequence[Tier]) -> int:
    tier = entry.pair[1].tier
    return ranks.index(tier) if tier in ranks else len(ranks)


def _listed(entries: Sequence[Entry], names: Sequence[str]) -> Order:
    """The places of those that are named, in the order of their names, then of their prices."""
    ranks = {name: rank for rank, name in enumerate(names)}
    found: list[tuple[int, float, int]] = []
    for place, entry in enumerate(entries):
        own = [ranks[name] for name in names_of(entry.pair[1]) if name in ranks]
        if own:
            found.append((min(own), entry.price, place))
    return tuple(place for _, _, place in sorted(found))


def _fields(entries: Sequence[Entry], marks: Sequence[int]) -> Sequence[Field]:
    """A field of each mark, the greatest first."""
    return [
        Field([entry for entry, one in zip(entries, marks, strict=True) if one == mark])
        for mark in sorted(set(marks), reverse=True)
    ]


def slow(id: EndpointId, wished: Preferences, pool: Pool, now: float) -> bool:
    """Whether it is slower than is preferred, in the last five minutes."""
    speed = pool.speed(id, now)
    if speed is None:
        return False
    return any(speed.latency_at(at) > most for at, most in wished.latency) or any(
        speed.throughput_at(at) < least for at, least in wished.throughput
    )


def _price(entries: Sequence[Entry], _: Pool, __: float) -> list[float]:
    return [entry.price for entry in entries]


def _latency(entries: Sequence[Entry], pool: Pool, now: float) -> list[float]:
    speeds = [pool.usual(entry.id, now) for entry in entries]
    return [inf if one is None else one.latency_at(_MEDIAN) for one in speeds]


def _throughput(entries: Sequence[Entry], pool: Pool, now: float) -> list[float]:
    speeds = [pool.usual(entry.id, now) for entry in entries]
    return [
        -one.throughput_at(_MEDIAN) if one is not None and one.throughput_tps else inf
        for one in speeds
    ]


def _quality(entries: Sequence[Entry], pool: Pool, now: float) -> list[float]:
    return [-float(grade) for grade in grades(entries, pool, now)]


_VALUES: Final[dict[str, Callable[[Sequence[Entry], Pool, float], list[float]]]] = {
    "price": _price,
    "latency": _latency,
    "throughput": _throughput,
    "exacto": _quality,
}
"""What each sort compares, the least first; the price decides among equals."""
