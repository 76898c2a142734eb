"""What a caller's name for a model means: the model, and what its variants wish.

A variant is a suffix: `:nitro` and its like change how endpoints are chosen, `:free` narrows them,
others name models of their own. They can be combined (contract, section 4, item 11).
"""

from collections.abc import Iterable, Mapping
from itertools import permutations
from typing import Final, NamedTuple

from proxy.errors import GatewayError
from proxy.routing.catalogue import Catalogue, Model, shown
from proxy.routing.latest import latest
from proxy.wire.preferences import Sort
from proxy.wire.request import Tier

FREE: Final = "free"

SORTS: Final[Mapping[str, Sort]] = {
    "nitro": "throughput",
    "floor": "price",
    "exacto": "exacto",
}
"""By what a variant sorts, where the request itself says nothing of it."""

ADMITS: Final[Mapping[str, Tier]] = {"nitro": "priority", "floor": "flex"}
"""The service tier whose endpoints a variant opens."""

_OWN: Final = ("extended", "thinking")
_STATIC: Final = (FREE, *_OWN)
UNBUILT: Final = ("online", "batch")
"""Variants of OpenRouter that are not built."""

VARIANTS_MAX: Final = 16
"""Words at a name's end that are looked at, twice as many as there are: a name may be as long as a
request.
"""

_WORDS: Final = frozenset((FREE, *SORTS, *_OWN, *UNBUILT))


def free_elsewhere(model: Model, catalogue: Catalogue) -> bool:
    """Whether another model has the name by which what costs nothing of `model` would be meant."""
    return f"{model.id}:{FREE}" in catalogue.models


class Named(NamedTuple):
    """A model and the variants that its name asks for, each once."""

    model: Model
    variants: tuple[str, ...] = ()

    @property
    def sort(self) -> Sort | None:
        """The order that its variants ask for: the last word holds."""
        return next((SORTS[one] for one in reversed(self.variants) if one in SORTS), None)

    @property
    def tiers(self) -> frozenset[Tier]:
        """The service tiers that its variants open."""
        return frozenset(ADMITS[one] for one in self.variants if one in ADMITS)

    @property
    def free(self) -> bool:
        """Whether only what costs nothing is meant."""
        return FREE in self.variants


def resolve(name: str, catalogue: Catalogue) -> Named:
    """The model of `name`, which may have variants behind it, in any order.

    A model whose own name ends like a variant is itself, before anything else. `:free`, `:extended`
    and `:thinking` are models of their own where the catalogue has such; else `:free` is what costs
    nothing of the model without it. What is no variant is part of the name (`llama3:8b`).
    `~author/family-latest` is the newest of that family (`latest`), unless some provider has a
    model of that very name.

    Raises GatewayError: `model_unknown`, `model_ambiguous`; `no_endpoint` where a model has no such
    variant; `not_supported` for a variant that is not built.
    """
    base, words = split(name)
    model, rest = None, words
    for length in range(len(words), -1, -1):
        if model := _found(":".join((base, *words[:length])), catalogue):
            rest = words[length:]
            break
    if unbuilt := next((word for word in rest if word in UNBUILT), None):
        raise GatewayError("not_supported", f"{shown(name)}: `:{unbuilt}` is not supported yet")
    own = [word for word in rest if word in _STATIC]
    for length in range(len(own), 0, -1):
        for chosen in permutations(own, length):
            id_ = ":".join((base if model is None else model.id, *chosen))
            if found := catalogue.models.get(id_):
                return _named(name, found, [word for word in rest if word not in chosen])
    if model is None:
        raise GatewayError("model_unknown", f"{shown(name)} is not a valid model ID")
    return _named(name, model, rest)


def _named(name: str, model: Model, rest: Iterable[str]) -> Named:
    if any(word in _OWN for word in rest):
        raise GatewayError("no_endpoint", f"No endpoints found for {shown(name)}.")
    return Named(model, tuple(rest))


def _found(name: str, catalogue: Catalogue) -> Model | None:
    """The model of a name as it stands. Raises GatewayError `model_ambiguous`."""
    try:
        return catalogue.find(name)
    except GatewayError as error:
        if error.kind != "model_unknown":
            raise
    return latest(name, catalogue) if name.startswith("~") else None


def split(name: str) -> tuple[str, tuple[str, ...]]:
    """The name without the variants at its end, and these, each once: where it is last."""
    words: list[str] = []
    for _ in range(VARIANTS_MAX):
        base, colon, last = name.rpartition(":")
        if not colon or last not in _WORDS:
            break
        if last not in words:
            words.insert(0, last)
        name = base
    return name, tuple(words)
