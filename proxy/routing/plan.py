"""What is tried for a request, and in which order: its model's endpoints, then its fallbacks'."""

from collections.abc import Callable, Collection, Sequence

import msgspec

from proxy.errors import GatewayError
from proxy.routing.catalogue import Catalogue, Endpoint, Model
from proxy.routing.health import Pool
from proxy.routing.kinds import PATHS
from proxy.routing.ranking import rank
from proxy.wire.record import Candidate
from proxy.wire.request import WEB_SEARCH, Task

_NO_PRICE = "has no price, and credits can only pay for what has one"

_KEPT = "does not share what the operator keeps there: "
_LACKS = "does not support "
_UNFIT = "is not for requests of the kind "


class Plan(msgspec.Struct, frozen=True):
    """What may be tried, the best first; no endpoint stands in it twice. `candidates` tell the
    record of every endpoint that was looked at: those of `attempts` in the same order, then those
    that are excluded, with the reason.
    """

    attempts: tuple[tuple[Model, Endpoint], ...]
    candidates: tuple[Candidate, ...] = ()


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
    tools: Callable[[Endpoint], Collection[str]] = lambda _: (),
    kept: str | None = None,
) -> Plan:
    """The endpoints of the first of `names` as `pool` and their prices rank them, then those of
    the next. `now` is seconds of the pool's clock, `rng` uniform in [0, 1); `priced_only` leaves
    out what has no price, because somebody's credits are to pay for it; `required` are parameters
    that an endpoint must support, `task` is what it must be able to do. `tools` are those that the
    provider of an endpoint would run, which need prices as well, `kept` is the field that names
    what is kept in the operator's own account there.

    Raises GatewayError: `invalid_request` without names, and where nobody shares what is `kept`,
    `model_unknown` or `model_ambiguous` for
    any of them, `no_provider` where nobody serves any of them, `no_price` where only endpoints
    without a price do and those do not count, `no_endpoint` where nobody supports what is required,
    `wrong_endpoint` where nobody can do the task.
    """
    if not names:
        raise GatewayError("invalid_request", "No models provided")
    models = list({(model := catalogue.find(name)).id: model for name in names}.values())
    seen: set[tuple[str, str]] = set()
    attempts: list[tuple[Model, Endpoint]] = []
    candidates: list[Candidate] = []
    excluded: list[Candidate] = []
    for model in models:
        usable: list[Endpoint] = []
        for endpoint in model.endpoints:
            id = (endpoint.tag, endpoint.model)
            if id in seen:
                continue
            seen.add(id)
            why = _unfit(endpoint, task, kept)
            if why is None and priced_only:
                why = _unpriced(endpoint, tools(endpoint))
            why = why or _lacking(endpoint, required)
            if why is None:
                usable.append(endpoint)
            else:
                word = pool.look(id, now)[0]
                excluded.append(_candidate(endpoint, word, None, excluded=why))
        for endpoint, word, price_nano in rank(usable, pool=pool, now=now, rng=rng):
            attempts.append((model, endpoint))
            candidates.append(_candidate(endpoint, word, price_nano))
    if not attempts:
        raise _nobody(models, excluded)
    return Plan(tuple(attempts), (*candidates, *excluded))


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


def _nobody(models: Sequence[Model], excluded: Sequence[Candidate]) -> GatewayError:
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


def _candidate(
    endpoint: Endpoint, word: str, price_nano: int | None, *, excluded: str | None = None
) -> Candidate:
    return Candidate(
        provider=endpoint.tag,
        model=endpoint.model,
        standing=word,
        price_nano=price_nano,
        excluded=excluded,
    )
