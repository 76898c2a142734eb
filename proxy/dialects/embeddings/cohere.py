"""Embeddings of Cohere: `POST /v2/embed`, and its models on Bedrock, whose answers are the same.

Source: "Embed API (v2)" in Cohere's reference, "Cohere Embed models" in Bedrock's user guide, and
recorded traffic.
"""

from typing import Any, Final

from proxy.dialects.asking import Encoded, Target, encode_json, inexpressible
from proxy.dialects.counts import count, usable
from proxy.dialects.embeddings import inputs
from proxy.dialects.embeddings.vectors import vector
from proxy.dialects.parts import media_of
from proxy.dialects.reading import parse
from proxy.dialects.values import mapping, string
from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.events import Event, Usage
from proxy.wire.request import Ask

_KINDS: Final = inputs.sides("search_query", "search_document")
_OWN: Final = ("truncate", "max_tokens", "priority")


def path(target: Target, stream: bool) -> str:
    """Where it is asked."""
    return "/v2/embed"


def encode_request(ask: Ask, target: Target) -> Encoded:
    """The request as Cohere takes it.

    Raises GatewayError `provider_unfit` for tokens, and for media that are no images.
    """
    return Encoded(encode_json({"model": target.model} | parameters(ask, target)))


def parameters(ask: Ask, target: Target) -> dict[str, Any]:
    """The request but for the model's name. A kind of input is required: one that is not said is
    taken for a document.
    """
    said = ask.body
    body: dict[str, Any] = {
        "input_type": inputs.purpose(ask, _KINDS, "search_document"),
        "embedding_types": ["float"],
    }
    if "messages" in said:
        body["inputs"] = [
            {"content": [_part(part, target) for part in message["content"]]}
            for message in said["messages"]
        ]
    else:
        body["texts"] = inputs.texts(ask, target)
    if "dimensions" in said:
        body["output_dimension"] = said["dimensions"]
    return body | {name: said[name] for name in _OWN if name in said}


def _part(part: dict[str, Any], target: Target) -> dict[str, Any]:
    media = media_of(part)
    if media is None:
        return part
    if media.kind != "image" or media.data is None:
        raise inexpressible(target.provider, "media other than images to embed")
    url = f"data:{media.mime};base64,{media.data}"
    return {"type": "image_url", "image_url": {"url": url}}


def decode_answer(body: bytes, quirks: Quirks) -> list[Event]:
    """The vectors, and what they cost.

    Raises GatewayError `provider_malformed` where there are none.
    """
    said = parse(body)
    told = said.get("embeddings")
    if isinstance(told, dict):  # by the type of their numbers, of which one was asked for
        told = next((one for one in told.values() if one), None)
    if not isinstance(told, list) or not told:
        raise GatewayError("provider_malformed", "The provider's answer has no vector.")
    found = [(index, vector(one, quirks)) for index, one in enumerate(told)]
    billed = mapping(mapping(said.get("meta")).get("billed_units"))
    text, image = (usable(billed.get(f"{name}_tokens")) for name in ("input", "image"))
    usage = None
    if text is not None or image is not None:
        pictured = count(image)
        usage = Usage(prompt_tokens=count(text) + pictured, prompt_image_tokens=pictured)
    return inputs.answer(found, usage, id=string(said.get("id")))
