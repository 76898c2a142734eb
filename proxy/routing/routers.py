"""Names that leave the choice of the model to the gateway: `openrouter/auto`, `openrouter/free`.

`openrouter/auto` is the best buy for the request, as `picks` reckons it; `openrouter/free` a random
one of the models that can do it and cost nothing. Variants behind such a name are its choices'. A
model of such a name that some provider really has is that model, and not ours to choose.
"""

from collections.abc import Callable, Iterable
from typing import Final

from msgspec.structs import replace

from proxy.errors import GatewayError
from proxy.routing.catalogue import Catalogue, shown
from proxy.routing.health import Pool
from proxy.routing.names import FREE, SORTS, UNBUILT, split
from proxy.routing.picks import HOUSE, costless, ranked
from proxy.wire.request import Ask

CHOICES_MAX: Final = 3
"""How many models take a router's place: the second and third answer where the first fails."""

_AUTO: Final = f"{HOUSE}auto"
_RANDOM: Final = f"{HOUSE}free"
_OTHERS: Final = frozenset(
    f"{HOUSE}{name}"
    for name in ("auto-beta", "pareto-code", "bodybuilder", "fusion", "fusion-flash")
)
BUILT: Final = (_AUTO, _RANDOM)
"""The routers that there are."""

_ROUTERS: Final = _OTHERS.union(BUILT)
_NOBODY: Final = "No models match your request and model restrictions"


def routed(
    ask: Ask,
    catalogue: Catalogue,
    *,
    pool: Pool,
    now: float,
    rng: Callable[[], float],
    priced_only: bool = False,
) -> tuple[Ask, str | None]:
    """`ask` with the models that a router chose in its place, best first, and why, in words, None
    where it found none; the same object and None where no name is a router's. `now`, `rng` and
    `priced_only` are as `plan` has them.

    Raises GatewayError: `no_endpoint` where no model fits and no other is named; `not_supported`
    for OpenRouter's other routers.
    """
    for name in ask.models:
        if name.startswith(HOUSE):
            break
    else:
        return ask, None
    names: list[str] = []
    why: list[str] = []
    for name in ask.models:
        base, variants = split(name)
        if base not in _ROUTERS or base in catalogue.models or name in catalogue.models:
            names.append(name)
            continue
        _check(name, base, variants)
        if base == _RANDOM:
            picks = costless(ask, catalogue, pool=pool, now=now, priced_only=priced_only)
            first = int(rng() * len(picks))
            picks = picks[first:] + picks[:first]
            variants = (FREE, *variants)
            if picks:
                why.append(f"drawn among {len(picks)} that can do it and cost nothing")
        else:
            free = FREE in variants
            picks = ranked(ask, catalogue, pool=pool, now=now, free=free, priced_only=priced_only)
            why += (f"{pick.model.id}: {pick.words}" for pick in picks[:CHOICES_MAX])
        names += [_varied(pick.model.id, variants) for pick in picks[:CHOICES_MAX]]
    if not names:
        raise GatewayError("no_endpoint", _NOBODY)
    chosen = tuple(dict.fromkeys(names))
    if chosen == ask.models:
        return ask, None
    return replace(ask, models=chosen), "; ".join(dict.fromkeys(why)) or None


def _varied(id_: str, variants: Iterable[str]) -> str:
    return ":".join((id_, *(word for word in variants if not id_.endswith(f":{word}"))))


def _check(name: str, base: str, variants: Iterable[str]) -> None:
    if base in _OTHERS:
        raise GatewayError("not_supported", f"{shown(name)}: {base} is not supported yet")
    for word in variants:
        if word in UNBUILT:
            raise GatewayError("not_supported", f"{shown(name)}: `:{word}` is not supported yet")
        if word != FREE and word not in SORTS:
            raise GatewayError("no_endpoint", f"No endpoints found for {shown(name)}.")
