"""Responses, the request of a caller: brought into the form of a chat, and kept in its own.

The chat is what providers of other formats are sent, `Ask.native` is for those of Responses; what
is the gateway's own is in neither. Contract, section 3: nothing is stored, so what refers to
something stored is refused. Source: OpenRouter's ResponsesRequest, OpenAI's API reference.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from msgspec.structs import replace

from proxy.dialects.bodies import decode_object
from proxy.dialects.chat.request import ask_steps as chat_steps
from proxy.dialects.counts import usable
from proxy.dialects.forms import Headers
from proxy.dialects.hosted import hosted_in
from proxy.dialects.responses.recall import Recall, refuse
from proxy.dialects.responses.tools import decode_tools, refuse_unbuilt
from proxy.dialects.values import mapping, objects
from proxy.errors import GatewayError
from proxy.wire.request import Ask
from proxy.wire.slices import Steps, at_once

Json = dict[str, Any]

_TYPES: Final[dict[str, tuple[type, str]]] = {
    "instructions": (str, "a string"),
    "tools": (list, "a list"),
    "text": (dict, "an object"),
    "reasoning": (dict, "an object"),
    "include": (list, "a list"),
    "background": (bool, "true or false"),
    "store": (bool, "true or false"),
    "truncation": (str, "a string"),
    "stream_options": (dict, "an object"),
}
"""Fields that a chat does not have, or not so; the others are checked as its own."""

_STORED: Final = ("previous_response_id", "conversation", "prompt")
_OWN: Final = frozenset((
    "model", "models", "route", "provider", "plugins", "preset", "transforms", "usage",
    "session_id", "trace", "debug", "stop_server_tools_when", "stream", "stream_options",
    "store", "background", *_STORED,
))  # fmt: skip
"""What the gateway reads, or writes anew, and never passes on."""

_CHANGED: Final = frozenset((
    "input", "instructions", "max_output_tokens", "tools", "tool_choice", "text", "reasoning",
    "include", "truncation", "store", "background", "background_options", "stream_options",
    "access_programs", "client_metadata", "context_management", "image", "moderation", "messages",
    "n", *_STORED,
))  # fmt: skip
"""What a chat says otherwise, or not at all."""

_MODALITIES: Final = ("text", "image")
_PLACE: Final = re.compile(r"^messages\[(\d+)\]")
_WITHIN: Final = re.compile(r"^(response_format|verbosity)\b")
_NAMES: Final = {"response_format": "text.format", "verbosity": "text.verbosity"}


def decode_request(body: bytes, headers: Headers = ()) -> Ask:
    """What the caller asks for. `headers` are those of its request, names in lower case.

    Raises GatewayError `invalid_request`, `invalid_image` or `not_supported`, each naming the
    field.
    """
    return at_once(ask_steps(decode_object(body), len(body), headers))


def ask_steps(said: Json, size_bytes: int, headers: Headers = ()) -> Steps[Ask]:
    """The same of a request that was decoded, in steps; its body had `size_bytes`."""
    fields = {name: value for name, value in said.items() if value is not None}
    _check(fields)
    recall = Recall()
    if instructions := fields.get("instructions"):
        recall.messages.append({"role": "system", "content": instructions})
        recall.places.append(-1)
    yield from recall.read(_input(fields))
    if not recall.messages:
        raise refuse("input", "must not be empty")
    chat = {name: value for name, value in fields.items() if name not in _CHANGED}
    try:
        chat |= _chat(fields) | {"messages": recall.messages}
        ask = yield from chat_steps(chat, size_bytes, headers)
    except GatewayError as error:
        raise _named(error, recall.places) from None
    yield
    native = {name: value for name, value in fields.items() if name not in _OWN}
    hosted = hosted_in(fields | {"tools": list(_tools(fields))})
    return replace(
        ask,
        words="responses",
        native=native,
        hosted=hosted.tools,
        searches=_fewer(hosted.searches, usable(fields.get("max_tool_calls"))),
        names=hosted.named,
    )


def _tools(fields: Json) -> Iterator[Json]:
    """All tools: a search for them, as an item, may have brought more."""
    for one in (fields, *objects(fields.get("input"))):
        yield from objects(one.get("tools"))


def _fewer(one: int | None, other: int | None) -> int | None:
    return min((limit for limit in (one, other) if limit is not None), default=None)


def _check(fields: Json) -> None:
    """Raises GatewayError for fields of a wrong type, and for what would need a store."""
    for name, (type_, words) in _TYPES.items():
        if name in fields and not isinstance(fields[name], type_):
            raise refuse(name, f"expected {words}")
    refuse_unbuilt(fields)
    if fields.get("store"):
        raise refuse("store", "must be false, as nothing is stored here")
    if fields.get("background"):
        raise refuse("background", "must be false, as nothing is stored here")
    for name in _STORED:
        if name in fields:
            raise refuse(name, "must be null, as nothing is stored here; send the whole input")
    limit = fields.get("max_output_tokens", 1)
    limit = int(limit) if isinstance(limit, float) and limit.is_integer() else limit
    if type(limit) is not int or not 1 <= limit <= 2**31:
        raise refuse("max_output_tokens", "expected a whole number, 1 or more")
    if fields.get("truncation", "disabled") not in ("auto", "disabled"):
        raise refuse("truncation", "must be auto or disabled")
    modalities = fields.get("modalities", [])
    if not isinstance(modalities, list) or any(one not in _MODALITIES for one in modalities):
        raise refuse("modalities", "expected a list of text and image")


def _input(fields: Json) -> str | list[Any]:
    said = fields.get("input")
    if said is None:
        raise refuse("input", "required")
    if not isinstance(said, str | list):
        raise refuse("input", "expected a string or a list")
    if not said:
        raise refuse("input", "must not be empty")
    return said


def _chat(fields: Json) -> Json:
    """What a chat says in its own way."""
    chat = decode_tools(fields)
    if "max_output_tokens" in fields:
        chat["max_tokens"] = int(fields["max_output_tokens"])
    text = mapping(fields.get("text"))
    if (format_ := _format(text.get("format"))) is not None:
        chat["response_format"] = format_
    if text.get("verbosity") is not None:
        chat["verbosity"] = text["verbosity"]
    if reasoning := _reasoning(mapping(fields.get("reasoning"))):
        chat["reasoning"] = reasoning
    if "message.output_text.logprobs" in fields.get("include", ()) or fields.get("top_logprobs"):
        chat["logprobs"] = True
    return chat


def _reasoning(said: Json) -> Json:
    wish = {name: value for name, value in said.items() if value is not None}
    if (summary := wish.pop("generate_summary", None)) is not None:  # its name in early 2025
        wish.setdefault("summary", summary)
    return wish


def _format(said: Any) -> Any:
    match said:
        case {"type": "json_schema", **schema}:
            told = {name: value for name, value in schema.items() if value is not None}
            return {"type": "json_schema", "json_schema": told}
        case {"type": "text"}:
            return None
    return said


def _named(error: GatewayError, places: list[int]) -> GatewayError:
    """The error with the caller's own name for what it is about."""

    def item(found: re.Match[str]) -> str:
        return f"input[{places[int(found[1])]}]"

    message = _PLACE.sub(item, error.message)
    message = _WITHIN.sub(lambda found: _NAMES[found[0]], message)
    return GatewayError(error.kind, message, status=error.status, metadata=error.metadata)
