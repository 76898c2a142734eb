"""Aliases as models of the list: what can be said of a name that stands for several models.

A request to it may be led to any of them, so that only what all can do is promised. What it costs
is known afterwards, which is said as OpenRouter says it of its routers: a price of -1.
"""

from collections.abc import Callable, Iterable, Iterator

from msgspec.structs import replace

from proxy.aliases import Alias
from proxy.api.routers import costless, routers
from proxy.api.rows import supported
from proxy.errors import GatewayError
from proxy.routing.catalogue import Catalogue, Endpoint, Model, shown
from proxy.routing.names import SORTS, resolve, split
from proxy.routing.routers import BUILT


def standins(catalogue: Catalogue) -> Iterator[Model]:
    """A model for each alias that leads anywhere."""
    for alias in catalogue.aliases.values():
        if model := standin(alias, catalogue):
            yield model


def standin(alias: Alias, catalogue: Catalogue) -> Model | None:
    """The alias as a model, whose endpoints are those of all its arms, without a price; None where
    no arm leads to a model.
    """
    models = arms(alias, catalogue)
    if not models:
        return None
    abilities = _common(_abilities(model) for model in models)
    lengths = [one.context_length for one in models if one.context_length is not None]
    shares = ", ".join(f"{arm.model} ({arm.weight:g})" for arm in alias.split)
    return Model(
        id=alias.id,
        name=alias.id,
        created=None,
        description=f"Stands for these models, by weight: {shares}.",
        context_length=min(lengths, default=None),
        input_modalities=_common(model.input_modalities for model in models),
        output_modalities=_common(model.output_modalities for model in models),
        endpoints=tuple(
            replace(one, pricing=None, supported_parameters=_common([abilities, supported(one)]))
            for model in models
            for one in model.endpoints
        ),
        distillable=True if all(model.distillable for model in models) else None,
    )


def arms(alias: Alias, catalogue: Catalogue) -> list[Model]:
    """The models that its arms lead to, each once; an arm that leads nowhere yet has none."""
    found: dict[str, Model] = {}
    for arm in alias.split:
        try:
            model = _one(arm.model, catalogue)
        except GatewayError:
            continue
        found[model.id] = model
    return list(found.values())


def meant(name: str, catalogue: Catalogue) -> Model:
    """The model, alias or router of that name, with the endpoints that its variants leave. Those
    that only sort are nothing to an alias or a router.

    Raises GatewayError as `resolve` does.
    """
    alias = catalogue.aliases.get(_unsorted(name))
    found = None if alias is None else standin(alias, catalogue)
    return found or _one(name, catalogue)


def _one(name: str, catalogue: Catalogue) -> Model:
    """The same of what is no alias."""
    base = _unsorted(name)
    of_ours = routers(catalogue) if base in BUILT else ()
    if router := next((one for one in of_ours if one.id == base), None):
        return router
    found = resolve(name, catalogue)
    if not found.free:
        return found.model
    free = narrowed(found.model, costless)
    if free is None:
        raise GatewayError("no_endpoint", f"No endpoints found for {shown(name)}.")
    return replace(free, id=f"{free.id}:free")


def _unsorted(name: str) -> str:
    base, variants = split(name)
    return base if SORTS.keys() >= set(variants) else name


def narrowed(model: Model, keep: Callable[[Endpoint], bool]) -> Model | None:
    """The model with those of its endpoints; None where none is left."""
    endpoints = tuple(filter(keep, model.endpoints))
    if not endpoints:
        return None
    return model if len(endpoints) == len(model.endpoints) else replace(model, endpoints=endpoints)


def _abilities(model: Model) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for one in model.endpoints for name in supported(one)))


def _common(lists: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """What is in all of them, in the order of the first."""
    first, *others = lists
    return tuple(name for name in first if all(name in other for other in others))
