"""The catalogue: listings, prices and configuration made one.

`build` is run when one of its sources changes.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import msgspec

from proxy.aliases import Alias
from proxy.money import FREE, Pricing
from proxy.providers import Provider
from proxy.routing.catalogue import Catalogue, Endpoint, Model
from proxy.routing.kinds import inputs_of, modalities_of, outputs_of, tasks_for
from proxy.routing.slugs import may_reason, slug_of
from proxy.routing.waits import Timeouts, TimeoutsRow, Waits
from proxy.wire.listing import PARAMETERS, Listing
from proxy.wire.request import TALK, WEB_SEARCH, Task, Tier

_OUTPUTS: Final = ("text",)

PriceOf = Callable[[Provider, str], Pricing | None]
Expresses = Callable[[Provider, str], Collection[str] | None]
Does = Callable[[Provider], Collection[Task]]


class EndpointRow(msgspec.Struct, frozen=True, kw_only=True):
    """What the configuration says of a model at one provider, named by its slug. `variant` tells
    apart what it offers more than once, by region or build; `tier` is the service tier it is asked
    for there.
    """

    provider: str
    model: str
    variant: str | None = None
    tier: Tier | None = None
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
    distillable: bool | None = None
    quality: float | None = None
    endpoints: tuple[EndpointRow, ...] = ()


def build(
    *,
    providers: Sequence[Provider],
    listings: Mapping[str, Sequence[Listing]],
    configured: Sequence[ModelRow],
    aliases: Sequence[Alias] = (),
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
    return Catalogue(models, aliases)


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
    known = row.output_modalities or first("output_modalities")
    outputs = known or _outputs(endpoints)
    inputs = row.input_modalities or first("input_modalities")
    return Model(
        id=row.id,
        name=row.name or first("name") or row.id,
        created=first("created"),
        description=first("description"),
        context_length=row.context_length or max(lengths, default=None),
        input_modalities=inputs or inputs_of(outputs),
        output_modalities=outputs,
        endpoints=tuple(endpoints),
        distillable=row.distillable,
        quality=row.quality,
        takes=frozenset(inputs) if inputs else None,
        makes=frozenset(known) if known else None,
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
        tag="/".join(filter(None, (provider.slug, said.variant, said.tier))),
        tier=said.tier,
    )


def _supported(
    said: tuple[str, ...] | None, sayable: Collection[str] | None
) -> tuple[str, ...] | None:
    """What an endpoint supports, as far as it can be told of it."""
    if sayable is None:
        return said
    return tuple(name for name in (PARAMETERS if said is None else said) if name in sayable)
