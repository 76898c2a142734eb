"""Requests to what Google offers beside chat: counts, embeddings, and `:predict` on Vertex."""

import re
from dataclasses import replace
from typing import Any

import orjson

from proxy.upstream.fake.ask import (
    Ask,
    JSONObject,
    Refused,
    Request,
    camel,
    child,
    count_of,
    decode_object,
    names,
    rows,
)
from proxy.upstream.fake.asks.gemini import decode_contents
from proxy.upstream.fake.asks.openai import FORBIDDEN
from proxy.upstream.fake.seals import Seal

_NO_JSON = "Invalid JSON payload received. Unexpected end of string."
_IMAGES = 4  # what comes where nobody says how many
_IMAGES_MAX = 4
_BATCH_MAX = 100
_EMBED = names("model content taskType title outputDimensionality embedContentConfig")


def _opened(request: Request) -> tuple[str, JSONObject]:
    path = re.search(r"/models/(.+):\w+$", request.path)
    body: JSONObject = camel(decode_object(request.body, _NO_JSON), frozenset())
    return path[1] if path else "", body


def decode_count(request: Request, seal: Seal) -> Ask:
    """What a request to count asks: the same as one for an answer, or one that has that in it."""
    body = decode_object(request.body, _NO_JSON)
    inner = body.get("generateContentRequest", body.get("generate_content_request"))
    asked = request._replace(
        path=re.sub(r":countTokens$", ":generateContent", request.path),
        body=orjson.dumps(inner) if isinstance(inner, dict) else request.body,
    )
    return replace(decode_contents(asked, seal), task="count")


def decode_embed(request: Request) -> Ask:
    """What a request for one or several embeddings asks. Raises Refused in Google's words."""
    model, body = _opened(request)
    batch = request.path.endswith(":batchEmbedContents")
    wanted = rows(body.get("requests")) if batch else [body]
    if len(wanted) > _BATCH_MAX:
        raise Refused(
            "* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch\n"
        )
    if not wanted:
        raise Refused("* BatchEmbedContentsRequest.requests: requests is not specified\n")
    for one in wanted:
        _check(one)
        if batch and one.get("model") != f"models/{model}":
            raise Refused(
                "* BatchEmbedContentsRequest.requests[0].model: unexpected model name format\n"
            )
    texts = tuple(_text(one) for one in wanted)
    parts = [part for one in wanted for part in rows(child(one, "content").get("parts"))]
    body = {"batch": batch, "dimensions": [_dimensions(one) for one in wanted]}
    attachments = tuple("image" for part in parts if "inlineData" in part or "fileData" in part)
    return Ask(model=model, task="embeddings", body=body, texts=texts, attachments=attachments)


def _check(one: JSONObject) -> None:
    for key in one:
        if key not in _EMBED:
            raise Refused(
                f'Invalid JSON payload received. Unknown name "{key}": Cannot find field.'
            )
    if not rows(child(one, "content").get("parts")):
        raise Refused("* EmbedContentRequest.content: contents is not specified\n")


def _text(one: JSONObject) -> str:
    parts = rows(child(one, "content").get("parts"))
    return "".join(str(part.get("text", child(part, "inlineData").get("data"))) for part in parts)


def _dimensions(one: JSONObject) -> int | None:
    config = child(one, "embedContentConfig")
    return count_of(one.get("outputDimensionality", config.get("outputDimensionality")))


def decode_predict(request: Request) -> Ask:
    """What a request to predict asks: embeddings of a content, or pictures of a prompt."""
    model, body = _opened(request)
    instances, parameters = rows(body.get("instances")), child(body, "parameters")
    if not instances:
        raise Refused("Empty instances.")
    if all(isinstance(one.get("content"), str) for one in instances):
        return Ask(
            model=model,
            task="embeddings",
            body={"dimensions": count_of(parameters.get("outputDimensionality"))},
            texts=tuple(one["content"] for one in instances),
        )
    prompt: Any = instances[0].get("prompt")
    if not isinstance(prompt, str) or not prompt:
        raise Refused("Text prompt is required.")
    count = count_of(parameters.get("sampleCount", _IMAGES)) or 0
    if not 1 <= count <= _IMAGES_MAX:
        raise Refused("The number of images to generate must be between 1 and 4.")
    barred = FORBIDDEN in prompt.lower()
    body = {"n": count, "barred": barred, "output": child(parameters, "outputOptions")}
    return Ask(model=model, task="image", body=body, texts=(prompt,), said=prompt)
