"""AI Studio's list of models."""

import json
from typing import Any

import pytest

from proxy.dialects.gemini.listing import decode_listing
from proxy.errors import GatewayError
from proxy.wire.listing import Listing

ROW = {
    "name": "models/gemini-2.5-flash",
    "version": "001",
    "displayName": "Gemini 2.5 Flash",
    "description": "Fast.",
    "inputTokenLimit": 1_048_576,
    "outputTokenLimit": 65_536,
    "supportedGenerationMethods": ["generateContent", "countTokens"],
}


def asked(name: str, *methods: str) -> dict[str, Any]:
    return {"name": f"models/{name}", "supportedGenerationMethods": methods}


def test_models_that_are_served() -> None:
    others = (
        asked("gemini-embedding-2", "embedContent", "countTokens"),
        asked("imagen-4", "predict"),
        asked("veo-3", "predictLongRunning"),
        asked("lyria", "predict"),
    )
    bare: dict[str, Any] = {"name": "tuned", "supportedGenerationMethods": ["generateContent"]}
    bare |= {"inputTokenLimit": 0, "outputTokenLimit": True}
    odd = [3, {}, {"name": "models/"}, {"name": "models/x"}]
    body = json.dumps({"models": [ROW, ROW | {"description": "again"}, *others, bare, *odd]})
    assert decode_listing(body.encode()) == (
        Listing(
            model="gemini-2.5-flash",
            name="Gemini 2.5 Flash",
            description="Fast.",
            context_length=1_048_576,
            max_completion_tokens=65_536,
        ),
        Listing(model="gemini-embedding-2", output_modalities=("embeddings",)),
        Listing(model="imagen-4", output_modalities=("image",)),
        Listing(model="tuned"),
    )


def test_an_account_without_models() -> None:
    assert decode_listing(b"{}") == ()


@pytest.mark.parametrize("body", [b"no", b"[]", b'{"models": 3}'])
def test_what_is_no_list(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        decode_listing(body)
    assert caught.value.kind == "provider_malformed"
