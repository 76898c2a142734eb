"""Bedrock's list of models: `GET /foundation-models` of its control plane, as rows.

Models that only inference profiles reach are listed by the profile of the region's part of the
world. Source: "ListFoundationModels" in the API reference of Amazon Bedrock.
"""

import re
from typing import Any, Final

import orjson

from proxy.dialects.listing import ROWS_MAX, name_in
from proxy.dialects.values import objects, string
from proxy.errors import GatewayError
from proxy.wire.listing import Listing

_REGION = re.compile(r"arn:[\w-]+:bedrock:((us-gov|us|eu|ap)?[a-z0-9-]*):")
_WORLD: Final = {"us": "us", "us-gov": "us-gov", "eu": "eu", "ap": "apac"}
_MODALITIES: Final = {"TEXT": "text", "IMAGE": "image", "VIDEO": "video", "SPEECH": "audio",
                      "AUDIO": "audio", "EMBEDDING": "embeddings"}  # fmt: skip
_RERANKS: Final = re.compile(r"(?:amazon|cohere)\.rerank-")
_EMBEDS: Final = re.compile(r"amazon\.titan-embed-|cohere\.embed-")
"""The families whose bodies are known; rankings are text in this list."""


def decode_listing(body: bytes) -> tuple[Listing, ...]:
    """The models that chat and stream, embed, rank or draw, and can be asked without capacity of
    one's own, in the order of `body`, each name once.

    Raises GatewayError of kind `provider_malformed` where it is no list of models at all.
    """
    try:
        decoded = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise GatewayError("provider_malformed", "the list of models is not JSON") from None
    raws = decoded.get("modelSummaries") if isinstance(decoded, dict) else None
    if not isinstance(raws, list):
        raise GatewayError("provider_malformed", "the answer has no list of models")
    rows: dict[str, Listing] = {}
    for raw in objects(raws[:ROWS_MAX]):
        if (row := _row(raw)) is not None:
            rows.setdefault(row.model, row)
    return tuple(rows.values())


def _row(raw: dict[str, Any]) -> Listing | None:
    model = _model(raw)
    outputs = _modalities(raw.get("outputModalities"))
    lifecycle = raw.get("modelLifecycle")
    active = not isinstance(lifecycle, dict) or lifecycle.get("status", "ACTIVE") == "ACTIVE"
    if model is None or not active:
        return None
    outputs = _served(model, outputs, raw.get("responseStreamingSupported") is True)
    if not outputs:
        return None
    return Listing(
        model=model,
        name=name_in(raw.get("modelName")),
        input_modalities=_modalities(raw.get("inputModalities")) or None,
        output_modalities=outputs,
    )


def _served(model: str, outputs: tuple[str, ...], streams: bool) -> tuple[str, ...]:
    """What it puts out as this house calls it; nothing where it can not be asked for it."""
    if _RERANKS.search(model):
        return ("rerank",)
    if outputs == ("embeddings",):
        return outputs if _EMBEDS.search(model) else ()
    return outputs if outputs == ("image",) or (outputs == ("text",) and streams) else ()


def _model(raw: dict[str, Any]) -> str | None:
    """What it is asked for by; None where it can not be."""
    own, ways = name_in(raw.get("modelId")), raw.get("inferenceTypesSupported")
    ways = ways if isinstance(ways, list) else []
    if own is None or "ON_DEMAND" in ways:
        return own
    if "INFERENCE_PROFILE" not in ways:
        return None
    found = _REGION.match(string(raw.get("modelArn")) or "")
    return f"{_WORLD.get(found[2] if found else '', 'global')}.{own}"


def _modalities(said: object) -> tuple[str, ...]:
    words = said if isinstance(said, list) else []
    known = (_MODALITIES.get(word) for word in words if isinstance(word, str))
    return tuple(dict.fromkeys(word for word in known if word))
