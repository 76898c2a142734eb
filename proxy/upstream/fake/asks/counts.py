"""Requests to count the tokens of a request, in Anthropic's and in Bedrock's form."""

import re
from base64 import b64decode
from binascii import Error
from dataclasses import replace
from typing import Final

import orjson

from proxy.upstream.fake.ask import Ask, JSONObject, Refused, Request, child, decode_object, names
from proxy.upstream.fake.asks.anthropic import decode_messages
from proxy.upstream.fake.asks.bedrock import decode_converse
from proxy.upstream.fake.seals import Seal

_ANSWERING: Final = names("max_tokens stream stop_sequences temperature top_k top_p metadata")
_TOKENS_MAX = 1_000_000_000  # of an answer that will not be given
_NO_JSON = "The request body is not valid JSON"


def decode_messages_count(request: Request, seal: Seal) -> Ask:
    """What a request to count asks. Raises Refused in Anthropic's words."""
    body = decode_object(request.body, _NO_JSON)
    for key in body:
        if key in _ANSWERING:
            raise Refused(f"{key}: Extra inputs are not permitted")
    path = request.path
    if path.endswith("/count-tokens:rawPredict"):
        model = body.pop("model", None)
        if not isinstance(model, str):
            raise Refused("model: Field required")
        path = path.replace("/count-tokens:", f"/{model}:")
    return _counting(request._replace(path=path), body, seal)


def _counting(request: Request, body: JSONObject, seal: Seal) -> Ask:
    whole = orjson.dumps(body | {"max_tokens": _TOKENS_MAX})
    ask = decode_messages(request._replace(body=whole), seal)
    return replace(ask, task="count", stream=False, marks=())


def decode_converse_count(request: Request, seal: Seal) -> Ask:
    """What a request to count asks: one for Converse, or one of Anthropic's, is inside it."""
    given = child(decode_object(request.body, _NO_JSON), "input")
    path = re.search(r"/model/(.+)/count-tokens$", request.path)
    model = path[1] if path else ""
    if "converse" in given:
        inner = orjson.dumps(given["converse"])
        asked = request._replace(path=f"/model/{model}/converse", body=inner)
        return replace(decode_converse(asked, seal), task="count", marks=())
    if "invokeModel" not in given:
        raise Refused("The provided request is not valid: input is required.")
    try:
        inner = b64decode(str(child(given, "invokeModel").get("body")), validate=True)
    except (Error, ValueError):
        raise Refused("The provided request is not valid: body is not base64.") from None
    headers = {"anthropic-version": "bedrock"}
    body = decode_object(inner, _NO_JSON) | {"model": model}
    return _counting(request._replace(path="/messages", headers=headers), body, seal)
