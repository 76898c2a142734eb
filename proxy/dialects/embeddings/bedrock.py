"""Embeddings on Bedrock: `POST /model/{id}/invoke`, whose bodies are each model's own.

Source: "Amazon Titan Embeddings" and "Cohere Embed models" in Bedrock's user guide. Titan takes one
input at a time. Cohere's answers count no tokens.
"""

from typing import Any

from proxy.dialects.asking import Encoded, Target, encode_json, inexpressible
from proxy.dialects.counts import usable
from proxy.dialects.embeddings import cohere, inputs
from proxy.dialects.embeddings.vectors import vector
from proxy.dialects.parts import media_of, text_in
from proxy.dialects.reading import parse
from proxy.providers import Quirks
from proxy.wire.events import Event, Usage
from proxy.wire.request import Ask


def path(target: Target, stream: bool) -> str:
    """Where a model is asked in its own words."""
    return f"/model/{target.path_name}/invoke"


def encode_request(ask: Ask, target: Target) -> Encoded:
    """The request as the model takes it.

    Raises GatewayError `provider_unfit` for several inputs where it takes one, for tokens, and for
    media that it does not take.
    """
    if "cohere.embed" in target.model:
        body = cohere.parameters(ask, target)
    elif "titan-embed-image" in target.model:
        body = _pictured(inputs.alone(inputs.messages(ask, target), target), ask, target)
    else:
        body = {"inputText": inputs.alone(inputs.texts(ask, target), target)}
        if "dimensions" in ask.body and "-v2" in target.model:  # the first has but one length
            body["dimensions"] = ask.body["dimensions"]
    return Encoded(encode_json(body))


def _pictured(message: dict[str, Any], ask: Ask, target: Target) -> dict[str, Any]:
    """A text and an image together."""
    body: dict[str, Any] = {}
    if text := text_in(message["content"]):
        body["inputText"] = text
    parts = message["content"] if isinstance(message["content"], list) else []
    media = [found for part in parts if (found := media_of(part)) is not None]
    if media:
        image = inputs.alone(media, target)
        if image.kind != "image" or image.data is None:
            raise inexpressible(target.provider, "media other than images to embed")
        body["inputImage"] = image.data
    if "dimensions" in ask.body:
        body["embeddingConfig"] = {"outputEmbeddingLength": ask.body["dimensions"]}
    return body


def decode_answer(body: bytes, quirks: Quirks) -> list[Event]:
    """The vectors, and what they cost where that is said.

    Raises GatewayError `provider_malformed` where there are none.
    """
    said = parse(body)
    if "embeddings" in said:
        return cohere.decode_answer(body, quirks)
    found = [(0, vector(said.get("embedding"), quirks))]
    tokens = usable(said.get("inputTextTokenCount"))
    return inputs.answer(found, None if tokens is None else Usage(prompt_tokens=tokens))
