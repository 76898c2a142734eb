"""What Cohere lists under `GET /v1/models`, in the words of every other list.

Each row names the endpoints that a model can be called by and its features; those that do not chat
and those that are deprecated are left out.
"""

from typing import Any, Final

import orjson

from proxy.dialects import listing
from proxy.dialects.values import objects
from proxy.errors import GatewayError
from proxy.wire.listing import Listing

MODELS_PATH: Final = "/v1/models?page_size=1000&endpoint=chat"

_ALWAYS: Final = (
    "temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "max_tokens",
    "max_completion_tokens", "seed", "stop",
)  # fmt: skip
_FEATURES: Final = {
    "tools": ("tools",),
    "tool_choice": ("tool_choice",),
    "json_mode": ("response_format",),
    "json_schema": ("structured_outputs",),
    "reasoning": ("reasoning", "include_reasoning", "reasoning_effort"),
    "logprobs": ("logprobs",),
}
"""Cohere's features in OpenRouter's names of parameters."""


def decode_listing(body: bytes) -> tuple[Listing, ...]:
    """The models that chat, in the order of `body`.

    Raises GatewayError `provider_malformed` where it is no list of models at all.
    """
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise GatewayError("provider_malformed", "the list of models is not JSON") from None
    models = said.get("models") if isinstance(said, dict) else None
    if not isinstance(models, list):
        raise GatewayError("provider_malformed", "the answer has no list of models")
    rows = [_row(model) for model in objects(models) if _chats(model)]
    return listing.decode_listing(orjson.dumps({"data": rows}))


def _chats(model: dict[str, Any]) -> bool:
    endpoints = model.get("endpoints")
    chats = not isinstance(endpoints, list) or "chat" in endpoints
    return chats and model.get("is_deprecated") is not True


def _row(model: dict[str, Any]) -> dict[str, Any]:
    row = {"id": model.get("name"), "context_length": model.get("context_length")}
    features = model.get("features")
    if not isinstance(features, list):
        return row | {"output_modalities": ["text"]}
    more = [name for key in _FEATURES if key in features for name in _FEATURES[key]]
    return row | {
        "input_modalities": ["text", "image"] if "vision" in features else ["text"],
        "output_modalities": ["text"],
        "supported_parameters": [*_ALWAYS, *more],
    }
