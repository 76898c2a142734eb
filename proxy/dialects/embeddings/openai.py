"""Embeddings of providers that speak as OpenAI does: `POST /embeddings`.

Sources: the references of OpenAI, Voyage AI, Mistral, NVIDIA NIM and Perplexity, and recorded
traffic. How they differ stands in their rows.
"""

from typing import Any

from proxy.dialects.asking import Encoded, Target, encode_json, inexpressible
from proxy.dialects.chat.errors import failure
from proxy.dialects.counts import usable
from proxy.dialects.embeddings import inputs
from proxy.dialects.embeddings.vectors import vector
from proxy.dialects.reading import parse
from proxy.dialects.values import mapping, objects, string
from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.events import Event, Usage
from proxy.wire.request import Ask


def path(target: Target, stream: bool) -> str:
    """Where it is asked."""
    return target.provider.quirks.embeddings_path


def encode_request(ask: Ask, target: Target) -> Encoded:
    """The request as this provider takes it.

    Raises GatewayError `provider_unfit` for media where it takes none.
    """
    quirks = target.provider.quirks
    body: dict[str, Any] = {"model": target.model} | ask.body
    messages = body.pop("messages", None)
    if messages is not None:
        if not quirks.embeds_media:
            raise inexpressible(target.provider, "images, sound or files to embed")
        body["input"] = [{"content": message["content"]} for message in messages]
    if body.get("encoding_format") != "base64" or not quirks.base64_vectors:
        body.pop("encoding_format", None)
    if "dimensions" in body:
        body[quirks.dimensions] = body.pop("dimensions")
    kind = None
    if quirks.input_types is not None:
        kind = inputs.purpose(ask, quirks.input_types, quirks.input_type)
    body.pop("input_type", None)
    if kind is not None:
        body["input_type"] = kind
    for name in quirks.omits:
        body.pop(name, None)
    return Encoded(encode_json(body))


def decode_answer(body: bytes, quirks: Quirks) -> list[Event]:
    """The vectors, and what they cost.

    Raises GatewayError `provider_malformed` where there is none, or one that is no vector.
    """
    said = parse(body)
    if failed := failure(said):
        return [failed]
    data = objects(said.get("data"))
    if not data:
        raise GatewayError("provider_malformed", "The provider's answer has no vector.")
    found = []
    for number, one in enumerate(data):
        index = usable(one.get("index"))
        place = number if index is None else index
        found.append((place, vector(one.get("embedding"), quirks)))
    return inputs.answer(found, decode_usage(said.get("usage")), id=string(said.get("id")))


def decode_usage(said: object) -> Usage | None:
    """What was counted; None where nothing was."""
    usage = mapping(said)
    counted = (usable(usage.get(name)) for name in ("prompt_tokens", "total_tokens"))
    prompt = next((count for count in counted if count is not None), None)
    return None if prompt is None else Usage(prompt_tokens=prompt)
