"""The routers as models: what can be said of a name that leaves the choice to us.

They stand in no list, which has what there is to choose from; who asks for one by its name is told.
Who answers in the end can do what the request needs, so all is promised that some model of the
choice can do, at each provider that has one. What `openrouter/auto` costs is known afterwards: a
price of -1.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final
from weakref import WeakKeyDictionary

from msgspec.structs import replace

from proxy.api.rows import supported
from proxy.money import FREE, tariff_of
from proxy.routing.catalogue import Catalogue, Endpoint, Model
from proxy.routing.picks import HOUSE
from proxy.routing.routers import BUILT

_MOVING: Final = "~"
_AUTO, _FREE = BUILT
_TOLD: Final = {
    _AUTO: ("Auto Router", "Leads each request to a model that suits it."),
    _FREE: ("Free Router", "Leads each request to a model that costs nothing and can do it."),
}
_made: Final[WeakKeyDictionary[Catalogue, Sequence[Model]]] = WeakKeyDictionary()


def costless(endpoint: Endpoint) -> bool:
    """Whether nothing is charged there, whatever is asked for."""
    pricing = endpoint.pricing
    if pricing is None or pricing.prompt or pricing.completion:
        return False  # as most are, of which no tariff need be made
    return tariff_of(pricing).free


def routers(catalogue: Catalogue) -> Sequence[Model]:
    """A model for each router that has a choice here, whatever service tier is asked for; made once
    for as long as the catalogue is there. A name that some model or alias has is none of ours.
    """
    if catalogue not in _made:
        _made[catalogue] = tuple(_routers(catalogue))
    return _made[catalogue]


def _routers(catalogue: Catalogue) -> Iterator[Model]:
    chosen = [
        (model, endpoint)
        for model in catalogue.models.values()
        if not model.id.startswith((HOUSE, _MOVING))
        for endpoint in model.endpoints
        if "chat" in endpoint.tasks and endpoint.tier is None
    ]
    for id, pairs in ((_AUTO, chosen), (_FREE, [one for one in chosen if costless(one[1])])):
        if pairs and id not in catalogue.models and id not in catalogue.aliases:
            yield _router(id, pairs)


def _router(id: str, pairs: Sequence[tuple[Model, Endpoint]]) -> Model:
    """With one endpoint for each provider of the choice: what any endpoint there can do."""
    models = {model.id: model for model, _ in pairs}.values()
    at: dict[str, list[Endpoint]] = {}
    for _, endpoint in pairs:
        at.setdefault(endpoint.provider.slug, []).append(endpoint)
    name, description = _TOLD[id]
    return Model(
        id=id,
        name=name,
        created=None,
        description=description,
        context_length=_longest(model.context_length for model in models),
        input_modalities=_any(model.input_modalities for model in models),
        output_modalities=_any(model.output_modalities for model in models),
        endpoints=tuple(_at_one(id, endpoints) for endpoints in at.values()),
        distillable=True if any(model.distillable for model in models) else None,
    )


def _at_one(id: str, endpoints: Sequence[Endpoint]) -> Endpoint:
    first = endpoints[0]
    return replace(
        first,
        model=id,
        tag=first.provider.slug,
        tier=None,
        context_length=_longest(one.context_length for one in endpoints),
        max_completion_tokens=_longest(one.max_completion_tokens for one in endpoints),
        quantization="unknown",
        supported_parameters=_any(dict.fromkeys(map(supported, endpoints))),
        pricing=FREE if id == _FREE else None,
    )


def _longest(lengths: Iterable[int | None]) -> int | None:
    return max((length for length in lengths if length is not None), default=None)


def _any(lists: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """What is in any of them, each once."""
    return tuple(dict.fromkeys(chain.from_iterable(lists)))
