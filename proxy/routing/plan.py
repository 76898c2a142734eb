"""What is tried for a request, and in which order: its model's endpoints, then its fallbacks'."""

from collections.abc import Callable, Sequence

import msgspec

from proxy.errors import GatewayError
from proxy.routing.catalogue import Catalogue, Endpoint, Model
from proxy.routing.health import Pool
from proxy.routing.ranking import rank
from proxy.wire.record import Candidate

_NO_PRICE = "has no price, and credits can only pay for what has one"


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
) -> Plan:
    """The endpoints of the first of `names` as `pool` and their prices rank them, then those of
    the next. `now` is seconds of the pool's clock, `rng` uniform in [0, 1); `priced_only` leaves
    out what has no price, because somebody's credits are to pay for it.

    Raises GatewayError: `invalid_request` without names, `model_unknown` or `model_ambiguous` for
    any of them, `no_provider` where nobody serves any of them, `no_price` where only endpoints
    without a price do and those do not count.
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
            if priced_only and endpoint.pricing is None:
                word = pool.look(id, now)[0]
                excluded.append(_candidate(endpoint, word, None, excluded=_NO_PRICE))
            else:
                usable.append(endpoint)
        for endpoint, word, price_nano in rank(usable, pool=pool, now=now, rng=rng):
            attempts.append((model, endpoint))
            candidates.append(_candidate(endpoint, word, price_nano))
    if not attempts:
        wanted = ", ".join(model.id for model in models)
        if excluded:
            raise GatewayError(
                "no_price", f"No price is configured for {wanted}: credits can not pay for it"
            )
        raise GatewayError("no_provider", f"No provider serves {wanted}")
    return Plan(tuple(attempts), (*candidates, *excluded))


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
