"""Fields for one provider alone: `provider.options`, by its slug.

They are spread into the body that this provider is sent, whatever dialect it speaks, and win over
what stands there already (OpenRouter's own words: "spread into the upstream request body").
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec

from proxy.dialects.asking import Encoded, encode_json
from proxy.dialects.hosted import HOSTED_FIELDS
from proxy.errors import GatewayError
from proxy.wire.preferences import options_in

Options = Mapping[str, dict[str, Any]]

TIERS: Final = frozenset(("service_tier", "serviceTier"))
"""What a dearer tier is asked for by."""

PINNED: Final = TIERS | HOSTED_FIELDS | {
    # Who answers, and how the answer is read.
    "model", "models", "fallbacks", "provider", "preset", "stream", "stream_options", "background",
    "store", "encoding_format", "embedding_types", "anthropic_version", "anthropic_beta",
    # What is asked.
    "messages", "prompt", "suffix", "system", "instructions", "input", "inputs", "texts", "images",
    "contents", "content", "requests", "system_instruction", "systemInstruction", "query",
    "documents", "previous_response_id", "conversation", "cachedContent", "cached_content",
    "data_sources",
    # How much of it is made, and at what price.
    "n", "best_of", "echo", "top_n", "max_tokens", "max_completion_tokens", "max_output_tokens",
    "max_new_tokens", "generationConfig", "generation_config", "inferenceConfig", "speed",
    "performanceConfig", "additionalModelRequestFields", "modalities", "audio", "plugins",
    "toolConfig", "tool_config",
}  # fmt: skip
"""What may not come by way of options: the gateway reads it, counts on it, or pays by it."""

_SHOWN_CHARS: Final = 80


def check_options(options: Options, pinned: Collection[str] = PINNED) -> None:
    """Raises GatewayError `invalid_request` where they have a name of `pinned`."""
    for slug, said in options.items():
        for name in said:
            if name in pinned:
                where = f"provider.options.{ascii(slug[:_SHOWN_CHARS])[1:-1]}.{name}"
                raise GatewayError("invalid_request", f"{where}: can not be said by options")


def options_of(provider: Mapping[str, Any] | None) -> Options:
    """What a request has for single providers, by slug in lower case; `provider` was checked.

    Raises GatewayError `invalid_request` for what may not come this way.
    """
    options = options_in(provider)
    if not options:
        return {}
    check_options(options)
    return {slug.lower(): said for slug, said in options.items()}


def options_bytes(options: Options) -> int:
    """How large they are: a provider may read them, and count it."""
    return len(encode_json(dict(options))) if options else 0


def spread(encoded: Encoded, own: Mapping[str, Any]) -> Encoded:
    """The request with the options of its provider. The rest of the body is copied unread."""
    body = msgspec.json.decode(encoded.body, type=dict[str, msgspec.Raw])
    body |= {name: msgspec.Raw(encode_json(value)) for name, value in own.items()}
    return encoded._replace(body=msgspec.json.encode(body))
