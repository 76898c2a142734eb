"""What is tried for a request, and in which order: its model's endpoints, then its fallbacks'."""

from collections.abc import Callable, Collection, Sequence

import msgspec

from proxy.errors import GatewayError
from proxy.routing.catalogue import Catalogue, Endpoint, Model
from proxy.routing.health import Pool
from proxy.routing.kinds import PATHS
from proxy.routing.ranking import rank
from proxy.wire.record import Candidate
from proxy.wire.request import Task

_NO_PRICE = "has no price, and credits can only pay for what has one"

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
) -> Plan:
    """The endpoints of the first of `names` as `pool` and their prices rank them, then those of
    the next. `now` is seconds of the pool's clock, `rng` uniform in [0, 1); `priced_only` leaves
    out what has no price, because somebody's credits are to pay for it; `required` are parameters
    that an endpoint must support, `task` is what it must be able to do.

    Raises GatewayError: `invalid_request` without names, `model_unknown` or `model_ambiguous` for
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
            why = _excluded(endpoint, priced_only, required, task)
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


def _excluded(
    endpoint: Endpoint, priced_only: bool, required: Collection[str], task: Task
) -> str | None:
    """Why an endpoint can not be asked, if it can not."""
    if task not in endpoint.tasks:
        return f"{_UNFIT}{task}"
    if priced_only and endpoint.pricing is None:
        return _NO_PRICE
    supported = endpoint.supported_parameters
    lacking = [] if supported is None else sorted(set(required).difference(supported))
    return f"{_LACKS}{', '.join(lacking)}" if lacking else None


def _nobody(models: Sequence[Model], excluded: Sequence[Candidate]) -> GatewayError:
    wanted = ", ".join(model.id for model in models)
    if excluded and all((one.excluded or "").startswith(_UNFIT) for one in excluded):
        message = ", ".join(f"{model.id} {_asked_at(model)}" for model in models)
        return GatewayError("wrong_endpoint", f"Not a path for this model: {message}")
    if any((one.excluded or "").startswith(_LACKS) for one in excluded):
        return GatewayError(
            "no_endpoint", "No endpoints found that can handle the requested parameters."
        )
    if excluded:
        message = f"No price is configured for {wanted}: credits can not pay for it"
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
