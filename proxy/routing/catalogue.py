"""Which models there are and who serves them.

A catalogue is never changed once it is built (`assembly`), so a request keeps the models and prices
it began with. Looking a model up is a few dictionary reads.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from proxy.aliases import Alias
from proxy.errors import GatewayError
from proxy.money import Pricing
from proxy.providers import Provider
from proxy.routing.kept import Kept
from proxy.routing.waits import Timeouts
from proxy.wire.request import TALK, Task, Tier

_NAME_CHARS_MAX: Final = 200
_CANDIDATES_MAX: Final = 20
SIFTED_BYTES_MAX: Final = 32 * 1024 * 1024
"""Some 1,400 kinds of requests for a model with eight endpoints."""

ROUTES_BYTES_MAX: Final = 16 * 1024 * 1024
"""Some 40 kinds of requests to choose among a thousand models."""


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
    tag: str
    """What requests, the endpoint list and the pool call it: OpenRouter's `tag`, the provider's
    slug and what tells it from others there."""

    tier: Tier | None = None


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
    distillable: bool | None = None
    takes: frozenset[str] | None = None
    """What goes in, where that is known and no guess."""

    makes: frozenset[str] | None = None
    """What comes out, where that is known and no guess."""

    quality: float | None = None
    """The operator's figure of how good it is, 0 to 100."""

    def sibling(self, of: Endpoint, tier: str | None) -> Endpoint | None:
        """The same offer at another service tier, where it has a row."""
        tag = of.tag.removesuffix(f"/{of.tier}") if of.tier else of.tag
        wanted = tag if tier is None else f"{tag}/{tier}"
        offers = (one for one in self.endpoints if one.model == of.model)
        return next((one for one in offers if one.tag == wanted), None)

    @property
    def native_names(self) -> tuple[str, ...]:
        """What its providers call it, each name once."""
        return tuple(dict.fromkeys(endpoint.model for endpoint in self.endpoints))


class Catalogue:
    """All models by slug, the configured ones first, then in the order of discovery, and the
    aliases that stand for some of them.
    """

    def __init__(self, models: Iterable[Model], aliases: Iterable[Alias] = ()) -> None:
        self.models: Mapping[str, Model] = {model.id: model for model in models}
        self.aliases: Mapping[str, Alias] = {alias.id: alias for alias in aliases}
        # What `plan` found of it, which is true as long as it is.
        self.sifted = Kept(SIFTED_BYTES_MAX)
        self.terms: dict[int, Any] = {}  # the same of `pipeline.bounds`
        self.families: dict[str, Any] = {}  # the same of `latest`, by author
        self.routes = Kept(ROUTES_BYTES_MAX)  # the same of `picks`
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
            raise GatewayError("model_unknown", f"{shown(name)} is not a valid model ID")
        if len(ids) > 1:
            candidates = ids[:_CANDIDATES_MAX]
            raise GatewayError(
                "model_ambiguous",
                f"{shown(name)} may be any of these models: {', '.join(candidates)}",
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


def shown(name: str) -> str:
    """A name as it can stand in a message: short, printable ASCII."""
    cut = name[:_NAME_CHARS_MAX]
    if cut.isascii() and cut.isprintable():
        return cut
    return cut.encode("unicode_escape").decode("ascii")
