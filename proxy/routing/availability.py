"""What a caller is told where nobody can answer: in words, and as an object for programs.

Contract, section 2.4, "Availability object". Whoever was excluded for several reasons at several
endpoints reads of the last hurdle: the endpoints that stand before it passed all the others.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from proxy.errors import GatewayError
from proxy.routing.catalogue import Catalogue, Endpoint, Model, shown
from proxy.routing.filters import Choice, Reason, excluded
from proxy.routing.kinds import PATHS
from proxy.routing.names import free_elsewhere
from proxy.routing.ranking import Entry
from proxy.wire.request import Task

DOCS: Final = "docs/errors.md#availability"
FALLBACKS_MAX: Final = 3
"""How many other models are named that could answer."""

_LOOKED_MAX: Final = 100
"""Among how many models these are looked for."""

_DETAILS_MAX: Final = 5
"""Of how many endpoints it is said what excluded them."""

CODES: Final[Mapping[str, str]] = {
    "model_unknown": "model_not_found",
    "wrong_endpoint": "wrong_endpoint",
    "no_endpoint": "no_endpoints",
    "no_provider": "temporarily_unavailable",
    "draining": "temporarily_unavailable",
    "provider_lacks_model": "model_unavailable_upstream",
    "provider_rate_limited": "capacity_exhausted",
    "provider_credential": "temporarily_unavailable",
    "provider_unavailable": "temporarily_unavailable",
    "provider_unreachable": "temporarily_unavailable",
    "provider_malformed": "temporarily_unavailable",
    "provider_cut": "temporarily_unavailable",
    "provider_empty": "temporarily_unavailable",
    "provider_overloaded": "temporarily_unavailable",
    "provider_timeout": "temporarily_unavailable",
}
"""The code of each kind of error that is about who could answer."""

_RETRYABLE: Final = frozenset(("capacity_exhausted", "temporarily_unavailable"))
_PRIVACY: Final = frozenset(("data_policy:zdr", "data_policy:training"))
_CONSTRAINTS: Final = frozenset((
    "allowed_providers", "context_length", "distillable", "ignored_providers", "max_price",
    "quantization", "require_parameters",
))  # fmt: skip

_HURDLES: Final = (
    "task", "input_modality", "output_modality", "allowed_providers", "ignored_providers",
    "service_tier", "variant:free", "data_policy:zdr", "data_policy:training", "distillable",
    "quantization", "max_price", "price", "kept", "require_parameters", "context_length",
)  # fmt: skip
"""What excludes endpoints, the last first to be told."""

_ABLE_TO: Final = {
    "tools": "tool use",
    "tool_choice": "the provided 'tool_choice' value",
}
"""What OpenRouter calls parameters in its message."""


def availability(
    code: str,
    names: Iterable[str],
    *,
    providers: Iterable[str] = (),
    retry_after_s: int | None = None,
    **more: Any,
) -> dict[str, Any]:
    """The object; `names` are the models asked for, `providers` the slugs of those it concerns.
    What of `more` is empty is left out.
    """
    told: dict[str, Any] = {
        "code": code,
        "retryable": code in _RETRYABLE,
        "requested_models": [shown(name) for name in names],
        "docs_url": DOCS,
    }
    found = {"affected_providers": list(dict.fromkeys(providers)), **more}
    told |= {name: value for name, value in found.items() if value}
    return told if retry_after_s is None else told | {"retry_after": retry_after_s}


def explain(error: GatewayError, names: Iterable[str], providers: Iterable[str]) -> None:
    """Puts the object beside an error that is about who could answer: `names` were asked for, in
    the caller's own words, `providers` are the slugs of those that were tried.
    """
    if error.availability is not None:
        own = [shown(name) for name in names]
        error.availability = {**error.availability, "requested_models": own}
    elif (code := CODES.get(error.kind)) is not None:
        said = error.headers.get("Retry-After", "")
        wait_s = int(said) if said.isdecimal() else None
        error.availability = availability(code, names, providers=providers, retry_after_s=wait_s)


class Nobody(NamedTuple):
    """That no endpoint is left for a kind of request."""

    kind: str
    message: str
    availability: Mapping[str, Any] | None = None

    def error(self) -> GatewayError:
        """To be raised; a new one each time, for every request adds to its own."""
        return GatewayError(self.kind, self.message, availability=self.availability)


def nobody(
    models: Sequence[Model], unfit: Sequence[Entry], choice: Choice, catalogue: Catalogue
) -> Nobody:
    """What is told of a request for `models` whose endpoints are all `unfit`; `choice` is what it
    wishes of the first of them.
    """
    names = choice.wish.names
    wanted = ", ".join(shown(name) for name in names)
    pairs = [(one.pair[1], one.excluded) for one in unfit if one.excluded is not None]
    # What is for a tier that nobody asked for is no news beside what is for everybody.
    pairs = [pair for pair in pairs if pair[1].by != "service_tier"] or pairs
    if not pairs:
        named = ", ".join(model.id for model in models)
        told = availability("temporarily_unavailable", names)
        return Nobody("no_provider", f"No provider serves {named}", told)
    by = max((reason.by for _, reason in pairs), key=_HURDLES.index)
    if by == "task":
        where = ", ".join(f"{model.id} {_asked_at(model)}" for model in models)
        told = availability("wrong_endpoint", names, providers=_slugs(pairs))
        return Nobody("wrong_endpoint", f"Not a path for this model: {where}", told)
    last = [(endpoint, reason) for endpoint, reason in pairs if reason.by == by]
    reason = last[0][1]
    if by == "kept":
        message = f"{reason.detail}: names what is the operator's own, which is not for callers"
        return Nobody("invalid_request", f"{message} here")
    if by == "price":
        tools = [one.detail for _, one in last]
        what = f"{tools[0]} at {wanted}" if all(tools) else wanted
        message = f"No price is configured for {what}: credits can not pay for it"
        return Nobody("no_price", message)
    told = availability(
        _code({reason.by for _, reason in pairs}),
        names,
        providers=_slugs(pairs),
        excluded_by=list(dict.fromkeys(reason.by for _, reason in pairs)),
        constraint=_constraint(last),
        fallback_models=others(models, choice, catalogue),
    )
    return Nobody("no_endpoint", _message(by, last, wanted, choice), told)


def _slugs(pairs: Iterable[tuple[Endpoint, Reason]]) -> Iterator[str]:
    return (endpoint.provider.slug for endpoint, _ in pairs)


def _code(found: Collection[str]) -> str:
    if found == {"variant:free"}:
        return "free_variant_ended"
    if not _CONSTRAINTS.isdisjoint(found):
        return "constraint_filtered"
    return "no_endpoints" if _PRIVACY.isdisjoint(found) else "privacy_restricted"


def _constraint(pairs: Sequence[tuple[Endpoint, Reason]]) -> dict[str, str] | None:
    """The field that left nobody, and what it has against each."""
    field = pairs[0][1].field
    said = [f"{one.tag} {reason.words}" for one, reason in pairs if reason.field == field]
    more = f"; {len(said) - _DETAILS_MAX} more" if len(said) > _DETAILS_MAX else ""
    return {"field": field, "detail": "; ".join(said[:_DETAILS_MAX]) + more} if field else None


def _message(by: str, pairs: Sequence[tuple[Endpoint, Reason]], wanted: str, choice: Choice) -> str:
    """OpenRouter's own words where they are known, for clients that match on them."""
    reason, wished = pairs[0][1], choice.wish.preferences
    serving = ", ".join(dict.fromkeys(endpoint.tag for endpoint, _ in pairs))
    found = "No endpoints found"
    if by == "allowed_providers":
        permitted = ", ".join(map(shown, wished.only or wished.order))
        return (
            "No allowed providers are available for the selected model. "
            f"Providers serving {wanted}: {serving}, but your request's {reason.field} preference "
            f"permits only: {permitted}."
        )
    if by == "require_parameters":
        names = {reason.detail for _, reason in pairs}
        if len(names) == 1 and (what := _ABLE_TO.get(reason.detail)):
            return f"{found} that support {what}."
        return f"{found} that can handle the requested parameters."
    return {
        "input_modality": f"{found} that support {reason.detail} input.",
        "output_modality": f"{found} that support the requested output modalities: "
        f"{', '.join(sorted(choice.wish.outputs))}",
        "ignored_providers": "All providers have been ignored. "
        f"Providers serving {wanted}: {serving}.",
        "data_policy:zdr": f"{found} matching your data policy (Zero data retention).",
        "data_policy:training": f"{found} matching your data policy (Paid model training).",
        "distillable": f"{found} for {wanted} that allow distillation of their text.",
        "quantization": f"{found} for {wanted} with one of the quantizations: "
        f"{', '.join(sorted(wished.quantizations))}.",
        "max_price": f"{found} for {wanted} within your request's {reason.field}.",
    }.get(by, f"{found} for {wanted}.")


def others(
    models: Sequence[Model],
    choice: Choice,
    catalogue: Catalogue,
    fits: Callable[[Endpoint], bool] = lambda _: True,
) -> list[str]:
    """Models that could answer instead, those of the same author first: they put out the same, and
    an endpoint of theirs has all that is wished, and `fits`. A few are enough, and of a catalogue
    without any not all of it is looked at.
    """
    if choice.wish.tools is not None:
        return []  # nobody knows yet which tools their providers would run
    asked, first = {model.id for model in models}, models[0]
    author = first.id.partition("/")[0] + "/"
    made = set(first.output_modalities)
    ranked = sorted(catalogue.models.values(), key=lambda model: not model.id.startswith(author))
    likely = (
        model
        for model in ranked
        if model.id not in asked
        and made.issubset(model.output_modalities)
        and not (choice.free and free_elsewhere(model, catalogue))
    )
    able = (
        model.id if model.id.endswith(":free") or not choice.free else f"{model.id}:free"
        for model in islice(likely, _LOOKED_MAX)
        if any(fits(one) and not excluded(model, one, choice, None) for one in model.endpoints)
    )
    return list(islice(able, FALLBACKS_MAX))


def _asked_at(model: Model) -> str:
    """Where its endpoints can be asked, for people."""
    tasks = frozenset[Task]().union(*(endpoint.tasks for endpoint in model.endpoints))
    paths = [f"/api/v1{path}" for task, path in PATHS.items() if task in tasks]
    return f"is asked at {' or '.join(paths)}" if paths else "can not be asked here at all"
