"""One row of a provider's own list of models, in one vocabulary for all providers."""

from typing import Final, Literal, get_args

import msgspec

from proxy.money import Pricing

Parameter = Literal[
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "top_a",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "max_tokens",
    "max_completion_tokens",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "prediction",
    "seed",
    "response_format",
    "structured_outputs",
    "stop",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "include_reasoning",
    "reasoning",
    "reasoning_effort",
    "web_search_options",
    "verbosity",
]
"""OpenRouter's names for what an endpoint supports (its OpenAPI schema, `Parameter`)."""

PARAMETERS: Final[tuple[str, ...]] = get_args(Parameter)


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
