"""Which models there are and who serves them: listings, prices and configuration made one.

`build` is run when one of its sources changes; what it returns is never changed, so a request keeps
the models and prices it began with. Looking a model up is a few dictionary reads.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from proxy.errors import GatewayError
from proxy.money import FREE, Pricing
from proxy.providers import Provider
from proxy.routing.kinds import inputs_of, modalities_of, outputs_of, tasks_for
from proxy.routing.slugs import may_reason, slug_of
from proxy.routing.waits import Timeouts, TimeoutsRow, Waits
from proxy.wire.listing import PARAMETERS, Listing
from proxy.wire.request import TALK, WEB_SEARCH, Task

_OUTPUTS: Final = ("text",)
_NAME_CHARS_MAX: Final = 200
_CANDIDATES_MAX: Final = 20

PriceOf = Callable[[Provider, str], Pricing | None]
Expresses = Callable[[Provider, str], Collection[str] | None]
Does = Callable[[Provider], Collection[Task]]


class EndpointRow(msgspec.Struct, frozen=True, kw_only=True):
    """What the configuration says of a model at one provider, named by its slug."""

    provider: str
    model: str
    max_completion_tokens: int | None = None
    quantization: str | None = None
    supported_parameters: tuple[str, ...] | None = None
    timeouts: TimeoutsRow = TimeoutsRow()
    pricing: Pricing | None = None


class ModelRow(msgspec.Struct, frozen=True, kw_only=True):
    """What the configuration says of a model; `None` is "not said here"."""

    id: str
    name: str | None = None
    context_length: int | None = None
    input_modalities: tuple[str, ...] | None = None
    output_modalities: tuple[str, ...] | None = None
    endpoints: tuple[EndpointRow, ...] = ()


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A model at one provider. `model` is the provider's own name for it; `None` for a limit or
    the parameters is "the provider does not say", for the price that nobody knows it.
    """

    provider: Provider
    model: str
    context_length: int | None
    max_completion_tokens: int | None
    quantization: str
    supported_parameters: tuple[str, ...] | None
    pricing: Pricing | None
    timeouts: Timeouts
    tasks: frozenset[Task] = TALK

    @property
    def tag(self) -> str:
        """What requests and the endpoint list call it: OpenRouter's `tag`."""
        return self.provider.slug


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model and its endpoints, the preferred one first. `created` is seconds since 1970."""

    id: str
    name: str
    created: int | None
    description: str | None
    context_length: int | None
    input_modalities: tuple[str, ...]
    output_modalities: tuple[str, ...]
    endpoints: tuple[Endpoint, ...]

    @property
    def native_names(self) -> tuple[str, ...]:
        """What its providers call it, each name once."""
        return tuple(dict.fromkeys(endpoint.model for endpoint in self.endpoints))


class Catalogue:
    """All models by slug, the configured ones first, then in the order of discovery."""

    def __init__(self, models: Iterable[Model]) -> None:
        self.models: Mapping[str, Model] = {model.id: model for model in models}
        self.sifted: dict[Any, Any] = {}  # what `plan` found of it, which is true as long as it is
        self.terms: dict[int, Any] = {}  # the same of `pipeline.bounds`
        self._natives: dict[str, list[str]] = {}
        self._bare: dict[str, list[str]] = {}
        for model in self.models.values():
            for name in model.native_names:
                self._natives.setdefault(name, []).append(model.id)
            self._bare.setdefault(model.id.partition("/")[2], []).append(model.id)

    def find(self, name: str) -> Model:
        """The model of that slug; else that some provider calls so; else whose slug ends so.

        Names are compared byte for byte. Raises GatewayError: `model_ambiguous` with the
        candidates where several models share the name, `model_unknown` where none has it.
        """
        if model := self.models.get(name):
            return model
        ids = self._natives.get(name) or self._bare.get(name)
        if ids is None:
            raise GatewayError("model_unknown", f"{_shown(name)} is not a valid model ID")
        if len(ids) > 1:
            candidates = ids[:_CANDIDATES_MAX]
            raise GatewayError(
                "model_ambiguous",
                f"{_shown(name)} may be any of these models: {', '.join(candidates)}",
                metadata={"candidates": candidates},
            )
        return self.models[ids[0]]

    def unpriced(self) -> list[str]:
        """The models with an endpoint that has no price, which credits can not pay for."""
        return [
            model.id
            for model in self.models.values()
            if any(endpoint.pricing is None for endpoint in model.endpoints)
        ]


def build(
    *,
    providers: Sequence[Provider],
    listings: Mapping[str, Sequence[Listing]],
    configured: Sequence[ModelRow],
    timeouts: Timeouts,
    timeouts_set: Collection[str] = (),
    price_of: PriceOf,
    expresses: Expresses = lambda _provider, _model: None,
    does: Does = lambda _provider: TALK,
) -> Catalogue:
    """The catalogue of what `providers` list and of what is `configured`.

    `listings` are by provider slug. A slug that several providers list is one model with an
    endpoint at each, in the order of `providers`. What `configured` says of a model holds; the
    endpoints it names replace all that were discovered for it and are no other model's; their
    providers are among `providers` (the configuration has checked it). `timeouts_set` names the
    waits the operator chose: only the others are longer for local providers and reasoning models.

    `expresses` gives the parameters that a provider can be told of at all, None where it is any.
    `does` gives the tasks that a provider can be asked for; what a model is for is told by what it
    puts out, and by its name. What is listed and can be asked for nothing is left out.

    Prices: configured, else the provider's own, else `price_of`, else free where local.
    """
    by_slug = {provider.slug: provider for provider in providers}
    listed, found = _discovered(providers, listings, configured)
    rows = {row.id: row for row in configured}
    waits = Waits(timeouts, frozenset(timeouts_set))
    models = []
    for id_, discovered in found.items():
        row = rows.get(id_) or ModelRow(id=id_)
        endpoints, offers = [], []
        for said in row.endpoints or discovered:
            listing = listed.get((said.provider, said.model)) or Listing(model=said.model)
            provider = by_slug[said.provider]
            endpoint = _endpoint(
                row,
                said,
                listing,
                provider,
                waits=waits,
                price_of=price_of,
                sayable=expresses(provider, said.model),
                does=does(provider),
            )
            if endpoint.tasks or row.endpoints:
                offers.append(listing)
                endpoints.append(endpoint)
        if endpoints or id_ in rows:
            models.append(_model(row, endpoints, offers))
    return Catalogue(models)


def _discovered(
    providers: Sequence[Provider],
    listings: Mapping[str, Sequence[Listing]],
    configured: Sequence[ModelRow],
) -> tuple[dict[tuple[str, str], Listing], dict[str, list[EndpointRow]]]:
    """What is listed, by provider and name, and the endpoints that makes, by model."""
    listed: dict[tuple[str, str], Listing] = {}
    found: dict[str, list[EndpointRow]] = {row.id: [] for row in configured}
    named = {(one.provider, one.model) for row in configured for one in row.endpoints}
    for provider in providers:
        for listing in listings.get(provider.slug, ()):
            if outputs_of(listing.model, listing.output_modalities):
                listed[provider.slug, listing.model] = listing
                if (provider.slug, listing.model) in named:
                    continue  # it has its model; by its own name it would be another one as well
                found.setdefault(_slug(provider, listing.model), []).append(
                    EndpointRow(
                        provider=provider.slug,
                        model=listing.model,
                        quantization=listing.quantization,
                        supported_parameters=listing.supported_parameters,
                    )
                )
    return listed, found


def _slug(provider: Provider, model: str) -> str:
    if provider.names_are_slugs and "/" in model:
        return model
    return slug_of(model, author=provider.author or provider.slug)


def _model(row: ModelRow, endpoints: list[Endpoint], offers: list[Listing]) -> Model:
    """What is true of the model itself: configured, else from the first provider that says it."""

    def first(field: str) -> Any:
        return next((said for offer in offers if (said := getattr(offer, field))), None)

    lengths = [one.context_length for one in endpoints if one.context_length is not None]
    outputs = row.output_modalities or first("output_modalities") or _outputs(endpoints)
    return Model(
        id=row.id,
        name=row.name or first("name") or row.id,
        created=first("created"),
        description=first("description"),
        context_length=row.context_length or max(lengths, default=None),
        input_modalities=(row.input_modalities or first("input_modalities") or inputs_of(outputs)),
        output_modalities=outputs,
        endpoints=tuple(endpoints),
    )


def _outputs(endpoints: Sequence[Endpoint]) -> tuple[str, ...]:
    return next((said for one in endpoints if (said := modalities_of(one.model))), _OUTPUTS)


def _endpoint(
    row: ModelRow,
    said: EndpointRow,
    listing: Listing,
    provider: Provider,
    *,
    waits: Waits,
    price_of: PriceOf,
    sayable: Collection[str] | None,
    does: Collection[Task],
) -> Endpoint:
    pricing = said.pricing or listing.pricing or price_of(provider, said.model)
    if said.supported_parameters is None:
        reasons = may_reason(row.id) or may_reason(said.model)
    else:
        reasons = "reasoning" in said.supported_parameters
    outputs = row.output_modalities or outputs_of(said.model, listing.output_modalities)
    tasks = tasks_for(said.model, outputs or _OUTPUTS).intersection(does)
    draws = "image" in tasks  # and is silent until the image is there
    search = provider.tool_prices.get(WEB_SEARCH) if "chat" in tasks else None
    if pricing is not None and pricing.web_search is None and search is not None:
        pricing = msgspec.structs.replace(pricing, web_search=search)
    return Endpoint(
        provider=provider,
        model=said.model,
        context_length=row.context_length or listing.context_length,
        max_completion_tokens=said.max_completion_tokens or listing.max_completion_tokens,
        quantization=said.quantization or "unknown",
        supported_parameters=(
            _supported(said.supported_parameters, sayable)
            if "chat" in tasks
            else said.supported_parameters or ()
        ),
        pricing=pricing or (FREE if provider.local else None),
        timeouts=waits.of(said.timeouts, local=provider.local or draws, reasons=reasons or draws),
        tasks=tasks,
    )


def _supported(
    said: tuple[str, ...] | None, sayable: Collection[str] | None
) -> tuple[str, ...] | None:
    """What an endpoint supports, as far as it can be told of it."""
    if sayable is None:
        return said
    return tuple(name for name in (PARAMETERS if said is None else said) if name in sayable)


def _shown(name: str) -> str:
    """A name as it can stand in a message: short, printable ASCII."""
    cut = name[:_NAME_CHARS_MAX]
    if cut.isascii() and cut.isprintable():
        return cut
    return cut.encode("unicode_escape").decode("ascii")
