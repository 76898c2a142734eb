"""What is tried for a request, and in which order: its model's endpoints, then its fallbacks'."""

from collections.abc import Callable, Collection, Sequence
from typing import Final, NamedTuple

from proxy.errors import GatewayError
from proxy.routing.catalogue import Catalogue, Endpoint, Model
from proxy.routing.health import EndpointId, Pool
from proxy.routing.kinds import PATHS
from proxy.routing.ranking import Entry, Field, Plan
from proxy.wire.record import Candidate
from proxy.wire.request import WEB_SEARCH, Task

__all__ = ["Plan", "plan"]

SIFTED_MAX: Final = 1024
"""Of how many kinds of requests it is kept who may be tried: callers choose what they require."""

NAMES_KEPT_MAX: Final = 4
"""Of a request that names more models it is not kept: each such may be as large as the catalogue,
and there are endlessly many."""

_NO_PRICE = "has no price, and credits can only pay for what has one"

_KEPT = "does not share what the operator keeps there: "
_LACKS = "does not support "
_UNFIT = "is not for requests of the kind "


class _Wish(NamedTuple):
    """What decides who may be tried at all, whoever is well: the key of what is kept of it. `tools`
    are those that each endpoint's provider would run, where the request names any.
    """

    names: tuple[str, ...]
    task: Task
    required: frozenset[str]
    priced_only: bool
    tools: tuple[frozenset[str], ...] | None
    kept: str | None


class _Sifted(NamedTuple):
    """The models of a request, the endpoints that may be tried, by model, and those that may not.
    `told` is what the record says of the latter while they are well.
    """

    models: tuple[Model, ...]
    fields: tuple[Field, ...]
    excluded: tuple[Entry, ...]
    ids: tuple[EndpointId, ...]
    told: tuple[Candidate, ...]


def plan(
    names: Sequence[str],
    catalogue: Catalogue,
    *,
    pool: Pool,
    now: float,
    rng: Callable[[], float],
    priced_only: bool = False,
    required: Collection[str] = (),
    task: Task = "chat",
    tools: Callable[[Endpoint], Collection[str]] | None = None,
    kept: str | None = None,
) -> Plan:
    """The endpoints of the first of `names` as `pool` and their prices rank them, then those of
    the next. `now` is seconds of the pool's clock, `rng` uniform in [0, 1); `priced_only` leaves
    out what has no price, because somebody's credits are to pay for it; `required` are parameters
    that an endpoint must support, `task` is what it must be able to do. `tools` are those that the
    provider of an endpoint would run, which need prices as well; None where it is asked for none,
    and runs what its model runs unasked. `kept` is the field that names what is kept in the
    operator's own account there.

    Raises GatewayError: `invalid_request` without names, and where nobody shares what is `kept`,
    `model_unknown` or `model_ambiguous` for
    any of them, `no_provider` where nobody serves any of them, `no_price` where only endpoints
    without a price do and those do not count, `no_endpoint` where nobody supports what is required,
    `wrong_endpoint` where nobody can do the task.
    """
    ran = None
    if tools is not None and priced_only:
        models = _found(names, catalogue)
        ran = tuple(frozenset(tools(one)) for model in models for one in model.endpoints)
    wish = (tuple(names), task, frozenset(required), priced_only, ran, kept)
    sifted: _Sifted | None = catalogue.sifted.get(wish)
    if sifted is None:
        sifted = _sift(_Wish(*wish), catalogue)
        if len(names) <= NAMES_KEPT_MAX:
            if len(catalogue.sifted) >= SIFTED_MAX:
                del catalogue.sifted[next(iter(catalogue.sifted))]  # the oldest
            catalogue.sifted[wish] = sifted
    fields = sifted.fields
    if not fields:
        raise _nobody(sifted.models, sifted.excluded)
    ordered = fields[0].order(pool, now, rng)
    if len(fields) == 1 and not sifted.excluded:
        return ordered
    attempts, candidates = ordered.attempts, ordered.candidates
    for field in fields[1:]:
        more = field.order(pool, now, rng)
        attempts, candidates = attempts + more.attempts, candidates + more.candidates
    if sifted.excluded:
        candidates += _told(sifted, pool, now)
    return Plan(attempts, candidates)


def _found(names: Sequence[str], catalogue: Catalogue) -> tuple[Model, ...]:
    return tuple({(model := catalogue.find(name)).id: model for name in names}.values())


def _told(sifted: _Sifted, pool: Pool, now: float) -> tuple[Candidate, ...]:
    if pool.calm(sifted.ids, now):
        return sifted.told
    return tuple(one.candidate(pool.look(one.id, now)[0]) for one in sifted.excluded)


def _sift(wish: _Wish, catalogue: Catalogue) -> _Sifted:
    """Who may be tried, and who may not. Raises GatewayError where a name is no model's."""
    if not wish.names:
        raise GatewayError("invalid_request", "No models provided")
    models = _found(wish.names, catalogue)
    seen: set[EndpointId] = set()
    fields: list[Field] = []
    excluded: list[Entry] = []
    tools = iter(wish.tools or ())
    for model in models:
        usable: list[Entry] = []
        for endpoint in model.endpoints:
            ran = next(tools, None)
            entry = Entry(model, endpoint, _why(endpoint, wish, ran))
            if entry.id not in seen:
                seen.add(entry.id)
                (usable if entry.excluded is None else excluded).append(entry)
        if usable:
            fields.append(Field(usable))
    told = tuple(entry.candidate("well") for entry in excluded)
    ids = tuple(entry.id for entry in excluded)
    return _Sifted(models, tuple(fields), tuple(excluded), ids, told)


def _why(endpoint: Endpoint, wish: _Wish, tools: frozenset[str] | None) -> str | None:
    """Why an endpoint may not be tried, if it may not. `tools` None are those it runs unasked."""
    why = _unfit(endpoint, wish.task, wish.kept)
    if why is None and wish.priced_only:
        unasked = endpoint.provider.tools_of(endpoint.model) if tools is None else tools
        why = _unpriced(endpoint, unasked)
    return why or _lacking(endpoint, wish.required)


def _unfit(endpoint: Endpoint, task: Task, kept: str | None) -> str | None:
    """Why an endpoint is not for such a request, if it is not."""
    if task not in endpoint.tasks:
        return f"{_UNFIT}{task}"
    if kept is not None and not endpoint.provider.shares_files:
        return f"{_KEPT}{kept}"
    return None


def _lacking(endpoint: Endpoint, required: Collection[str]) -> str | None:
    """Which parameters it lacks, if any."""
    supported = endpoint.supported_parameters
    lacking = [] if supported is None else sorted(set(required).difference(supported))
    return f"{_LACKS}{', '.join(lacking)}" if lacking else None


def _unpriced(endpoint: Endpoint, tools: Collection[str]) -> str | None:
    """Why credits can not pay for it, if they can not."""
    pricing, provider = endpoint.pricing, endpoint.provider
    if pricing is None:
        return _NO_PRICE
    known = set(provider.tool_prices) - {WEB_SEARCH}
    if pricing.web_search is not None:
        known.add(WEB_SEARCH)
    lacking = () if provider.local else sorted(set(tools) - known)
    return f"{', '.join(lacking)} {_NO_PRICE}" if lacking else None


def _nobody(models: Sequence[Model], excluded: Sequence[Entry]) -> GatewayError:
    wanted = ", ".join(model.id for model in models)
    reasons = [one.excluded or "" for one in excluded]
    if excluded and all(why.startswith(_UNFIT) for why in reasons):
        message = ", ".join(f"{model.id} {_asked_at(model)}" for model in models)
        return GatewayError("wrong_endpoint", f"Not a path for this model: {message}")
    if any(why.startswith(_LACKS) for why in reasons):
        return GatewayError(
            "no_endpoint", "No endpoints found that can handle the requested parameters."
        )
    if kept := [why for why in reasons if why.startswith(_KEPT)]:
        field = kept[0].removeprefix(_KEPT)
        message = f"{field}: names what is the operator's own, which is not for callers here"
        return GatewayError("invalid_request", message)
    if excluded:
        tools = [why.removesuffix(_NO_PRICE) for why in reasons if why.endswith(_NO_PRICE)]
        what = f"{tools[0]}at {wanted}" if all(tools) else wanted
        message = f"No price is configured for {what}: credits can not pay for it"
        return GatewayError("no_price", message)
    return GatewayError("no_provider", f"No provider serves {wanted}")


def _asked_at(model: Model) -> str:
    """Where its endpoints can be asked, for people."""
    tasks = frozenset[Task]().union(*(endpoint.tasks for endpoint in model.endpoints))
    paths = [f"/api/v1{path}" for task, path in PATHS.items() if task in tasks]
    return f"is asked at {' or '.join(paths)}" if paths else "can not be asked here at all"
