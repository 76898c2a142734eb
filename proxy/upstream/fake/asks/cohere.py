"""Requests to Cohere's v2 chat, refused in its own words where it would refuse them."""

from collections.abc import Iterator
from itertools import takewhile
from typing import Any

from proxy.upstream.fake.ask import (
    Ask,
    Function,
    JSONObject,
    Refused,
    Request,
    child,
    count_of,
    decode_object,
    rows,
    strings,
)
from proxy.upstream.fake.seals import Seal

_ROLES = ("user", "assistant", "system", "tool")


def decode_v2(request: Request, seal: Seal) -> Ask:
    """What `request` asks. Raises Refused in Cohere's words; nothing is signed here."""
    body = decode_object(request.body, "invalid request: could not parse the body as JSON")
    model = body.get("model")
    if not isinstance(model, str):
        raise Refused("invalid request: model is required")
    messages = rows(body.get("messages"))
    if not messages:
        raise Refused("invalid request: list of messages must not be empty")
    _check(messages)
    structured, schema = _wanted_format(child(body, "response_format"))
    results = list(takewhile(lambda message: message["role"] == "tool", reversed(messages)))
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
