"""What Cohere lists under `GET /v1/models`, in the words of every other list.

Each row names the endpoints that a model can be called by and its features; those that can be asked
for nothing that is served here and those that are deprecated are left out.
"""

from typing import Any, Final

import orjson

from proxy.dialects import listing
from proxy.dialects.values import objects
from proxy.errors import GatewayError
from proxy.wire.listing import Listing

MODELS_PATH: Final = "/v1/models?page_size=1000"

_ENDPOINTS: Final = {
    "chat": "text",
    "embed": "embeddings",
    "rerank": "rerank",
    "transcriptions": "transcription",
}
"""What a model puts out, by what it can be called by."""

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
    """The models that are of use here, in the order of `body`.

    Raises GatewayError `provider_malformed` where it is no list of models at all.
    """
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise GatewayError("provider_malformed", "the list of models is not JSON") from None
    models = said.get("models") if isinstance(said, dict) else None
    if not isinstance(models, list):
        raise GatewayError("provider_malformed", "the answer has no list of models")
    live = [model for model in objects(models) if model.get("is_deprecated") is not True]
    rows = [_row(model, outputs) for model in live if (outputs := _outputs(model))]
    return listing.decode_listing(orjson.dumps({"data": rows}))


def _outputs(model: dict[str, Any]) -> list[str]:
    endpoints = model.get("endpoints")
    if not isinstance(endpoints, list):
        return ["text"]
    return [output for name, output in _ENDPOINTS.items() if name in endpoints][:1]


def _row(model: dict[str, Any], outputs: list[str]) -> dict[str, Any]:
    row = {
        "id": model.get("name"),
        "context_length": model.get("context_length"),
        "output_modalities": outputs,
    }
    if outputs != ["text"]:
        return row
    features = model.get("features")
    if not isinstance(features, list):
        return row
    more = [name for key in _FEATURES if key in features for name in _FEATURES[key]]
    return row | {
        "input_modalities": ["text", "image"] if "vision" in features else ["text"],
        "supported_parameters": [*_ALWAYS, *more],
    }
