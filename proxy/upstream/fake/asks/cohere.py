"""Requests to Cohere's v2, refused in its own words where it would refuse them."""

from collections.abc import Iterator
from itertools import dropwhile, takewhile
from typing import Any, Final

from proxy.upstream.fake.ask import (
    Ask,
    Function,
    JSONObject,
    Refused,
    Request,
    child,
    count_of,
    decode_object,
    names,
    rows,
    strings,
)
from proxy.upstream.fake.asks.chat import is_shown
from proxy.upstream.fake.seals import Seal

_ROLES = ("user", "assistant", "system", "tool")
_INPUT_TYPES: Final = names("search_document search_query classification clustering image")
_EMBEDDING_TYPES: Final = names("float int8 uint8 binary ubinary base64")
_INPUTS_MAX = 96


def decode_v2(request: Request, seal: Seal) -> Ask:
    """What `request` asks. Raises Refused in Cohere's words; nothing is signed here."""
    body = _named(request)
    model = str(body["model"])
    messages = rows(body.get("messages"))
    if not messages:
        raise Refused("invalid request: list of messages must not be empty")
    _check(messages)
    structured, schema = _wanted_format(child(body, "response_format"))
    rest = dropwhile(is_shown, reversed(messages))
    results = list(takewhile(lambda message: message["role"] == "tool", rest))
    thinking = child(body, "thinking").get("type")
    return Ask(
        model=model,
        body=body,
        stream=body.get("stream") is True,
        tokens_max=count_of(body.get("max_tokens")),
        texts=tuple(_text(message) for message in messages),
        said=next((_text(m) for m in reversed(messages) if m["role"] == "user"), ""),
        results="; ".join(_text(result) for result in reversed(results)) if results else None,
        attachments=tuple(_attachments(messages)),
        functions=tuple(_functions(body.get("tools"))),
        choice=str(body.get("tool_choice", "auto")).lower(),
        stop=strings(body.get("stop_sequences")),
        structured=structured,
        schema=schema,
        thinks="reason" in model and thinking != "disabled",
    )


def _check(messages: list[JSONObject]) -> None:
    calls: set[str] = set()
    for message in messages:
        if message.get("role") not in _ROLES:
            raise Refused(f"invalid request: message role {message.get('role')!r} is not supported")
        calls |= {str(call.get("id")) for call in rows(message.get("tool_calls"))}
        if message["role"] == "tool" and message.get("tool_call_id") not in calls:
            raise Refused("invalid request: tool message must follow the tool call it answers")
        if message["role"] == "user" and not _text(message) and not list(_attachments([message])):
            raise Refused(
                "invalid request: message must be at least 1 token long or tool results must be"
                " specified."
            )


def _text(message: JSONObject) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    texts = []
    for part in rows(content):
        data = child(child(part, "document"), "data") or part
        texts.append(str(data.get("text", data.get("content", ""))))
    return "".join(texts)


def _attachments(messages: list[JSONObject]) -> Iterator[str]:
    for message in messages:
        for part in rows(message.get("content")):
            if part.get("type") == "image_url":
                yield "image"


def _functions(tools: Any) -> Iterator[Function]:
    for tool in rows(tools):
        function = child(tool, "function")
        if not isinstance(function.get("name"), str):
            raise Refused("invalid request: all elements in tools must have a name.")
        yield Function(function["name"], function.get("parameters"))


def _wanted_format(wanted: JSONObject) -> tuple[bool, Any]:
    if wanted.get("type") != "json_object":
        return False, None
    return True, wanted.get("json_schema") or wanted.get("schema")


def decode_embed(request: Request) -> Ask:
    """What a request for embeddings asks. Raises Refused in Cohere's words."""
    body = _named(request)
    if body.get("input_type") not in _INPUT_TYPES:
        raise Refused("invalid request: valid input_type must be provided with the provided model")
    return embedding_ask(str(body["model"]), body)


def embedding_ask(model: str, body: JSONObject) -> Ask:
    """The same of a body whose model is known, as it is on Bedrock."""
    texts, images = strings(body.get("texts")), strings(body.get("images"))
    inputs = [*texts, *images]
    for given in rows(body.get("inputs")):
        content = rows(given.get("content"))
        said = _text(given)
        images += tuple(_attachments([given]))
        texts += strings(said)
        inputs.append(said + "".join(str(p.get("image_url")) for p in content if "image_url" in p))
    if not inputs:
        raise Refused("invalid request: at least one of texts, images or inputs must be provided")
    if len(inputs) > _INPUTS_MAX:
        raise Refused(
            "invalid request: total number of texts must be at most 96 - received"
            f" {len(inputs)}. Try using the embed jobs endpoint."
        )
    types = strings(body.get("embedding_types")) or ("float",)
    if unknown := set(types) - _EMBEDDING_TYPES:
        raise Refused(f"invalid request: {unknown.pop()} is not a valid embedding type")
    return Ask(
        model=model,
        task="embeddings",
        body=body | {"inputs": inputs, "types": types},
        texts=texts,
        attachments=("image",) * len(images),
    )


def decode_ranking(request: Request) -> Ask:
    """What a request to rank documents asks: the query is the first text, they are the others."""
    body = _named(request)
    return ranking_ask(str(body["model"]), body)


def ranking_ask(model: str, body: JSONObject) -> Ask:
    """The same of a body whose model is known, as it is on Bedrock."""
    query, documents = body.get("query"), body.get("documents")
    if not isinstance(query, str) or not query:
        raise Refused("invalid request: query must not be empty")
    if not isinstance(documents, list) or not documents:
        raise Refused("invalid request: list of documents must not be empty")
    if not all(isinstance(document, str) for document in documents):
        raise Refused(
            "invalid type: parameter documents is of type object but should be of type string"
        )
    return Ask(model=model, task="rerank", body=body, texts=(query, *documents))


def _named(request: Request) -> JSONObject:
    body = decode_object(request.body, "invalid request: could not parse the body as JSON")
    if not isinstance(body.get("model"), str):
        raise Refused("invalid request: model is required")
    return body
