"""One row of a provider's own list of models, in one vocabulary for all providers."""

import msgspec

from proxy.money import Pricing


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """A model as its provider (or the price table) describes it; `None` is "does not say".

    `model` is the provider's own name for it, `created` seconds since 1970.
    """

    model: str
    name: str | None = None
    description: str | None = None
    created: int | None = None
    context_length: int | None = None
    max_completion_tokens: int | None = None
    input_modalities: tuple[str, ...] | None = None
    output_modalities: tuple[str, ...] | None = None
    supported_parameters: tuple[str, ...] | None = None
    quantization: str | None = None
    pricing: Pricing | None = None
