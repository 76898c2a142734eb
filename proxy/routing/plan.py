"""What is tried for a request, and in which order: its model's endpoints, then its fallbacks'."""

from collections.abc import Callable, Collection, Iterator
from typing import Final, NamedTuple

from msgspec.structs import replace

from proxy.errors import GatewayError
from proxy.routing.availability import Nobody, nobody
from proxy.routing.catalogue import Catalogue, Endpoint
from proxy.routing.filters import Choice, Reason, Wish, excluded, lacking
from proxy.routing.health import EndpointId, Pool
from proxy.routing.names import Named, resolve
from proxy.routing.ranking import Entry, Field, Plan
from proxy.routing.room import BYTES_PER_TOKEN_MAX, Room, fitted, room_of
from proxy.routing.sorting import PLANS_MAX, Wished, alone
from proxy.routing.wording import rule
from proxy.wire.preferences import Preferences, Sort
from proxy.wire.record import Candidate
from proxy.wire.request import Ask, Speed, Tier

__all__ = ["Plan", "plan"]

NAMES_KEPT_MAX: Final = 4
"""Of a request that names more models it is not kept who may be tried: each such may be as large as
the catalogue, and there are endlessly many."""

_ENTRY_BYTES: Final = 800  # an endpoint that was judged, and what the record tells of it
_PLACE_BYTES: Final = 24  # one in a plan that is kept

_OPENS: Final[dict[Speed | None, tuple[Tier, ...]]] = {
    None: (),
    "default": (),
    "flex": ("flex",),
    "priority": ("priority",),
    "ultrafast": ("ultrafast", "priority"),
}
"""The service tiers that each wish opens beside the ordinary one, best first (contract, 4.12)."""

_SORTS: Final[dict[Speed | None, Sort]] = {
    "flex": "price",
    "priority": "throughput",
    "ultrafast": "throughput",
}
"""How endpoints are sorted for the sake of a tier."""


class _Sifted(NamedTuple):
    """The models of a request, the endpoints that may be tried, in groups of which one follows the
    other, and those that may not. `told` is what the record says of the latter while they are well,
    `choice` what is wished of the first model, `room` what any of the endpoints has; `nobody` is
    told where none is left.
    """

    choice: Choice
    room: Room
    nobody: Nobody | None
    fields: tuple[Field | Wished, ...]
    excluded: tuple[Entry, ...]
    ids: tuple[EndpointId, ...]
    told: tuple[Candidate, ...]


def plan(
    ask: Ask,
    catalogue: Catalogue,
    *,
    pool: Pool,
    now: float,
    rng: Callable[[], float],
    priced_only: bool = False,
    tools: Callable[[Endpoint], Collection[str]] | None = None,
) -> Plan:
    """The endpoints of the first of the models that `ask` names, as `pool`, their prices and its
    own wishes rank them, then those of the next. `now` is seconds of the pool's clock, `rng`
    uniform in [0, 1); `priced_only` leaves out what has no price, because somebody's credits are to
    pay for it. `tools` are those that the provider of an endpoint would run, which need prices as
    well; None where it is asked for none, and runs what its model runs unasked.

    Raises GatewayError: `invalid_request` without names, and where nobody shares what is kept in
    the operator's own account; what `names.resolve` raises for any of the names; what
    `availability.nobody` gives where no endpoint is left; what `room.fitted` raises.
    """
    ran = None
    if tools is not None and priced_only:
        models = [resolve(name, catalogue).model for name in ask.models]
        ran = tuple(frozenset(tools(one)) for model in models for one in model.endpoints)
    wish = (
        ask.models, ask.task, ask.required, priced_only, ran, ask.names, ask.preferences, ask.soft,
        ask.tier, ask.inputs, ask.outputs,
    )  # fmt: skip
    sifted: _Sifted | None = catalogue.sifted.get(wish)
    if sifted is None:
        sifted = _sift(Wish(*wish), catalogue)
        if len(ask.models) <= NAMES_KEPT_MAX:
            catalogue.sifted.keep(wish, sifted, _size_bytes(Wish(*wish), sifted))
    fields = sifted.fields
    if not fields:
        assert sifted.nobody is not None
        raise sifted.nobody.error()
    ordered = fields[0].order(pool, now, rng)
    if len(fields) > 1 or sifted.excluded:
        ordered = _joined(ordered, sifted, pool, now, rng)
    room, answer = sifted.room, ask.max_tokens or 0
    if answer > room.answer or ask.text_bytes // BYTES_PER_TOKEN_MAX + answer > room.context:
        ordered = fitted(ordered, ask, sifted.choice, catalogue)
    wished = ask.preferences
    if not (wished.allow_fallbacks or wished.order):
        return alone(ordered, together=wished.partition == "none")
    return ordered


def _joined(
    ordered: Plan, sifted: _Sifted, pool: Pool, now: float, rng: Callable[[], float]
) -> Plan:
    """The plan of the first group, those of the others, and who may not be tried."""
    attempts, candidates = ordered.attempts, ordered.candidates
    for field in sifted.fields[1:]:
        more = field.order(pool, now, rng)
        attempts, candidates = attempts + more.attempts, candidates + more.candidates
    if sifted.excluded:
        candidates += _told(sifted, pool, now)
    return Plan(attempts, candidates, ordered.good)


def _told(sifted: _Sifted, pool: Pool, now: float) -> tuple[Candidate, ...]:
    if pool.calm(sifted.ids, now):
        return sifted.told
    return tuple(one.candidate(pool.look(one.id, now)[0]) for one in sifted.excluded)


def _size_bytes(wish: Wish, sifted: _Sifted) -> int:
    """About how much memory it takes, with all plans that are ever kept of it: no more than there
    are endpoints to be the first, or orders that are wished.
    """
    sizes = [field.size for field in sifted.fields]
    places = sum(size * (size + PLANS_MAX) for size in sizes)
    entries = sum(sizes) + len(sifted.excluded)
    return wish.size_bytes + _ENTRY_BYTES * entries + _PLACE_BYTES * places


class _Group(NamedTuple):
    """Endpoints that are put in order together, and how."""

    entries: list[Entry]
    wished: Preferences
    ranks: tuple[Tier, ...]
    tooled: bool


def _sift(wish: Wish, catalogue: Catalogue) -> _Sifted:
    """Who may be tried, and who may not. Raises GatewayError where a name is no model's."""
    if not wish.names:
        raise GatewayError("invalid_request", "No models provided")
    named = [resolve(name, catalogue) for name in wish.names]
    tools = iter(wish.tools or ())
    seen: set[EndpointId] = set()
    groups: list[_Group] = []
    out: dict[EndpointId, Entry] = {}
    for one in named:
        fit: list[Entry] = []
        for entry in _judged(one, wish, tools):
            if entry.id in seen:
                continue
            if entry.excluded is not None:
                out.setdefault(entry.id, entry)  # another name of its model may open it
                continue
            seen.add(entry.id)
            out.pop(entry.id, None)
            fit.append(entry)
        if fit:
            groups.append(_group(one, wish, fit))
    if wish.preferences.partition == "none" and len(groups) > 1:
        first = groups[0]
        groups = [first._replace(entries=[entry for group in groups for entry in group.entries])]
    choice, none, unfit = _choice(named[0], wish), None, tuple(out.values())
    if not groups:
        models = list({one.model.id: one.model for one in named}.values())
        none = nobody(models, unfit, choice, catalogue)
    endpoints = [entry.pair[1] for group in groups for entry in group.entries]
    room = room_of(endpoints if wish.task == "chat" else ())
    told = tuple(entry.candidate("well") for entry in unfit)
    ids = tuple(entry.id for entry in unfit)
    return _Sifted(choice, room, none, tuple(map(_field, groups)), unfit, ids, told)


def _judged(named: Named, wish: Wish, tools: Iterator[frozenset[str]]) -> list[Entry]:
    """The endpoints of a model, each with why it may not be tried, if it may not."""
    model, choice = named.model, _choice(named, wish)
    entries = [
        Entry(model, endpoint, excluded(model, endpoint, choice, next(tools, None)))
        for endpoint in model.endpoints
    ]
    # Where nobody has all of them, a request is worth less without its tools than without a form.
    for name in sorted(wish.soft - wish.required, key=lambda name: (name != "tools", name)):
        able = {entry.id for entry in entries if not lacking(entry.pair[1], (name,))}
        _prefer(entries, able, _unsupported(name))
    if wish.tier == "flex":
        _prefer(entries, {entry.id for entry in entries if entry.pair[1].tier == "flex"}, _UNFLEX)
    return entries


def _choice(named: Named, wish: Wish) -> Choice:
    """What is wished of the endpoints of a model, by the request and by its own name."""
    opened = () if wish.tier == "default" or wish.preferences.order else named.tiers
    return Choice(wish, frozenset((*_OPENS[wish.tier], *opened)), named.free)


_UNFLEX: Final = Reason("service_tier", "is no flex endpoint, which others are")


def _unsupported(name: str) -> Reason:
    return Reason("parameters", f"does not support {name}, as others do", name)


def _prefer(entries: list[Entry], good: Collection[EndpointId], why: Reason) -> None:
    """Excludes those that are not `good`, where others are."""
    left = [entry for entry in entries if entry.excluded is None]
    bad = [entry for entry in left if entry.id not in good]
    if len(bad) < len(left):
        for entry in bad:
            entries[entries.index(entry)] = Entry(*entry.pair, why)


def _group(named: Named, wish: Wish, entries: list[Entry]) -> _Group:
    wished, tier = wish.preferences, wish.tier
    sort = wished.sort or named.sort or _SORTS.get(tier)
    tooled = "tools" in wish.soft and not wished.order
    words = rule(named, wished, tier, sort=sort, tooled=tooled)
    for entry in entries:
        entry.rule = words
    if sort != wished.sort:
        wished = replace(wished, sort=sort)
    return _Group(entries, wished, _OPENS[tier], tooled)


def _field(group: _Group) -> Field | Wished:
    wished = group.wished
    orders = wished.sort or wished.order or wished.throughput or wished.latency
    if orders or (group.tooled and len(group.entries) > 1):
        return Wished(group.entries, wished, group.ranks, tooled=group.tooled)
    return Field(group.entries)
