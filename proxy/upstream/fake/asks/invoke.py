"""Requests to Bedrock's models as they are, each in its maker's own form."""

import re

from proxy.upstream.fake.ask import (
    Ask,
    JSONObject,
    Refused,
    Request,
    child,
    count_of,
    decode_object,
    strings,
)
from proxy.upstream.fake.asks.cohere import embedding_ask, ranking_ask

_SIZES = (256, 384, 512, 1024)


def decode_invoke(request: Request) -> Ask:
    """What `request` asks, told by the keys it has: Titan's embeddings, Cohere's, or documents to
    rank. Raises Refused in Bedrock's words.
    """
    body = decode_object(request.body, "Malformed input request, please reformat your input.")
    path = re.search(r"/model/(.+)/invoke$", request.path)
    model = path[1] if path else ""
    if "documents" in body:
        return ranking_ask(model, body | {"form": "ranking"})
    if {"texts", "images", "inputs"} & body.keys():
        if not isinstance(body.get("input_type"), str):
            raise Refused("Malformed input request: #: required key [input_type] not found")
        return embedding_ask(model, body | {"form": "cohere"})
    if {"inputText", "inputImage"} & body.keys():
        return _titan(model, body)
    raise Refused("Malformed input request: #: required key [inputText] not found")


def _titan(model: str, body: JSONObject) -> Ask:
    wanted = child(body, "embeddingConfig").get("outputEmbeddingLength")
    size = body.get("dimensions", _SIZES[-1] if wanted is None else wanted)
    if count_of(size) not in _SIZES:
        raise Refused(f"Malformed input request: #/dimensions: {size} is not a valid enum value")
    texts, images = strings(body.get("inputText")), strings(body.get("inputImage"))
    if not texts and not images:
        raise Refused("Malformed input request: expected minLength: 1, actual: 0")
    more = {"form": "titan", "dimensions": size, "inputs": [*texts, *images]}
    pictures = ("image",) * len(images)
    return Ask(model=model, task="embeddings", body=body | more, texts=texts, attachments=pictures)
