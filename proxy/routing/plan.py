"""In which order endpoints are tried: those of the model asked for, then of its fallbacks."""

from collections.abc import Sequence

import msgspec

from proxy.errors import GatewayError
from proxy.routing.catalogue import Catalogue, Endpoint, Model


class Plan(msgspec.Struct, frozen=True):
    """What may be tried, the best first; no endpoint stands in it twice."""

    attempts: tuple[tuple[Model, Endpoint], ...]


def plan(names: Sequence[str], catalogue: Catalogue) -> Plan:
    """The endpoints of the first of `names` in their order, then those of the next.

    Raises GatewayError: `invalid_request` without names, `model_unknown` or `model_ambiguous` for
    any of them, `no_provider` where nobody serves any of them.
    """
    if not names:
        raise GatewayError("invalid_request", "No models provided")
    models = [catalogue.find(name) for name in names]
    attempts: dict[tuple[str, str], tuple[Model, Endpoint]] = {}
    for model in models:
        for endpoint in model.endpoints:
            attempts.setdefault((endpoint.tag, endpoint.model), (model, endpoint))
    if not attempts:
        wanted = ", ".join(dict.fromkeys(model.id for model in models))
        raise GatewayError("no_provider", f"No provider serves {wanted}")
    return Plan(tuple(attempts.values()))
