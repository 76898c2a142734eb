"""Requests that need no second look: known fields of the usual types, text, functions as tools.

Nearly all requests are such. They are read in one pass over what was decoded; whatever else stands
in one, right or wrong, is for the whole check of `request`, whose result for these is the same.
"""

from typing import Any, Final

from proxy.dialects.chat.fields import (
    CHOICES_MAX,
    HARMLESS,
    NUCLEUS_MAX,
    OWN_FIELDS,
    TELLING_HEADERS,
    TEMPERATURE_MAX,
    TOKENS_LIMIT_MAX,
    TOP_LOGPROBS_MAX,
    UNBUILT_HEADERS,
    Fields,
)
from proxy.dialects.forms import Headers
from proxy.dialects.hosted import HOSTED_FIELDS
from proxy.wire.request import Ask
from proxy.wire.slices import Steps

_Object = dict[str, Any]
_Rule = tuple[tuple[type, ...], float | None, float | None]

BETAS_HEADER: Final = b"x-anthropic-beta"

PLAIN_PER_STEP: Final = 512

_SPEAKERS: Final = ("user", "assistant", "system")
_ROLES: Final = (*_SPEAKERS, "tool", "developer")
_NUMBER: Final = (int, float)
_WIDE: Final = 2**53  # up to which every number is what it was written as


def _rules() -> dict[str, _Rule]:
    """For each field that is acted on: the types with which it is plain, and the least and greatest
    number. Without a type it never is.
    """
    never: _Rule = ((), None, None)
    acted_on = {*Fields.__struct_fields__, *OWN_FIELDS, *HARMLESS, *HOSTED_FIELDS, "service_tier"}
    rules = dict.fromkeys(acted_on, never)
    for kind, names in (
        (str, ("model", "user", "stop", "tool_choice", "verbosity", "prompt_cache_key")),
        (bool, ("stream", "parallel_tool_calls", "logprobs")),
        (dict, ("stream_options", "usage")),
        (list, ("messages", "tools")),
    ):
        rules |= dict.fromkeys(names, ((kind,), None, None))
    for name in ("top_a", "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty"):
        rules[name] = _NUMBER, -_WIDE, _WIDE
    rules |= {
        "temperature": (_NUMBER, 0, TEMPERATURE_MAX),
        "top_p": (_NUMBER, 0, NUCLEUS_MAX),
        "top_k": ((int,), -_WIDE, _WIDE),
        "seed": ((int,), -_WIDE, _WIDE),
        "n": ((int,), 1, CHOICES_MAX),
        "max_tokens": ((int,), 1, TOKENS_LIMIT_MAX),
        "max_completion_tokens": ((int,), 1, TOKENS_LIMIT_MAX),
        "top_logprobs": ((int,), 0, TOP_LOGPROBS_MAX),
    }
    return rules


_RULES: Final = _rules()
_HEADERS: Final = frozenset((*UNBUILT_HEADERS, *TELLING_HEADERS, BETAS_HEADER))


def plain_ask(fields: _Object, size_bytes: int, headers: Headers) -> Ask | None:
    """What a caller asks for; None where the whole check has to say. Changes nothing."""
    body = _body(fields, headers)
    bare = None if body is None else _are_bare(body["messages"])
    return None if body is None or bare is None else _ask(fields, body, size_bytes, bare=bare)


def plain_steps(fields: _Object, size_bytes: int, headers: Headers) -> Steps[Ask | None]:
    """The same in steps of so many messages."""
    body = _body(fields, headers)
    if body is None:
        return None
    messages, bare = body["messages"], True
    for start in range(0, len(messages), PLAIN_PER_STEP):
        yield
        found = _are_bare(messages[start : start + PLAIN_PER_STEP])
        if found is None:
            return None
        bare = bare and found
    return _ask(fields, body, size_bytes, bare=bare)


def _body(fields: _Object, headers: Headers) -> _Object | None:
    """What travels on, where all beside the messages is plain; else None."""
    for header in headers:
        if header[0] in _HEADERS:
            return None
    messages = fields.get("messages")
    if not messages or not fields.get("model"):
        return None
    body: _Object = {"messages": messages}
    for name, value in fields.items():
        rule = _RULES.get(name)
        if rule is not None:
            kinds, low, high = rule
            if type(value) not in kinds:
                return None
            if low is not None and high is not None and not low <= value <= high:
                return None
        if name not in OWN_FIELDS:
            body[name] = value
    if "tools" in fields and not all(map(_is_function, fields["tools"])):
        return None
    return body


def _are_bare(messages: list[Any]) -> bool | None:
    """Whether all of `messages` are bare (`Ask.bare`); None where one is not even plain."""
    bare = True
    for message in messages:
        if type(message) is not dict:
            return None
        text = message.get("content")
        short = type(text) is str and len(message) == 2 and text
        if short and message.get("role") in _SPEAKERS:
            continue
        if not _is_known(message):
            return None
        bare = False
    return bare


def _ask(fields: _Object, body: _Object, size_bytes: int, *, bare: bool) -> Ask:
    return Ask(
        models=(fields["model"],),
        body=body,
        stream=fields.get("stream", False),
        choices=fields.get("n", 1),
        max_tokens=fields.get("max_completion_tokens") or fields.get("max_tokens"),
        text_bytes=size_bytes,
        bare=bare,
    )


def _is_function(tool: object) -> bool:
    """Whether it is one that the caller runs, beyond doubt."""
    return type(tool) is dict and tool.get("type") == "function"


def _is_text(part: object) -> bool:
    return type(part) is dict and part.get("type") == "text" and type(part.get("text")) is str


def _is_known(message: _Object) -> bool:
    """Whether it is in today's words, of the right types, and has no attachments."""
    if message.get("role") not in _ROLES:
        return False
    for name, value in message.items():
        match name:
            case "content":
                if type(value) is list:
                    if not all(map(_is_text, value)):
                        return False
                elif value is not None and type(value) is not str:
                    return False
            case "tool_calls":
                if value is not None and not (
                    type(value) is list and all(type(call) is dict for call in value)
                ):
                    return False
            case "name" | "tool_call_id":
                if value is not None and type(value) is not str:
                    return False
            case "function_call":
                return False
    return True
