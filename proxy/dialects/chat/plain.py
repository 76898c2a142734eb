"""Requests that need no second look: known fields of the usual types, text, functions as tools.

Nearly all requests are such. They are read in one pass over what was decoded; whatever else stands
in one, right or wrong, is for the whole check of `request`, whose result for these is the same.
"""

from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from proxy.dialects.chat.fields import (
    CHOICES_MAX,
    HARMLESS,
    NUCLEUS_MAX,
    OWN_FIELDS,
    SOFT,
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
_Range = tuple[tuple[type, ...], float, float]

BETAS_HEADER: Final = b"x-anthropic-beta"

PLAIN_PER_STEP: Final = 512

_NONE: Final[frozenset[str]] = frozenset()
_NUMBER: Final = (int, float)
_SPEAKERS: Final = ("user", "assistant", "system")
_WIDE: Final = 2**53  # up to which every number is what it was written as


class _Never:
    """The type of what is never plain."""


def _rules() -> tuple[dict[str, type], dict[str, _Range]]:
    """The types with which the fields that are acted on are plain, null never being it, and the
    ranges of those that are numbers.
    """
    acted_on = {*Fields.__struct_fields__, *OWN_FIELDS, *HARMLESS, *HOSTED_FIELDS, *SOFT}
    kinds: dict[str, type] = dict.fromkeys(acted_on, _Never)
    for kind, names in (
        (str, ("model", "user", "stop", "tool_choice", "verbosity", "prompt_cache_key")),
        (bool, ("stream", "parallel_tool_calls", "logprobs")),
        (dict, ("stream_options", "usage")),
        (list, ("messages", "tools")),
    ):
        kinds |= dict.fromkeys(names, kind)
    wide = "top_a", "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty"
    numbers: dict[str, _Range] = dict.fromkeys(wide, (_NUMBER, -_WIDE, _WIDE))
    numbers |= {
        "temperature": (_NUMBER, 0, TEMPERATURE_MAX),
        "top_p": (_NUMBER, 0, NUCLEUS_MAX),
        "top_k": ((int,), -_WIDE, _WIDE),
        "seed": ((int,), -_WIDE, _WIDE),
        "n": ((int,), 1, CHOICES_MAX),
        "max_tokens": ((int,), 1, TOKENS_LIMIT_MAX),
        "max_completion_tokens": ((int,), 1, TOKENS_LIMIT_MAX),
        "top_logprobs": ((int,), 0, TOP_LOGPROBS_MAX),
    }
    return {name: kind for name, kind in kinds.items() if name not in numbers}, numbers


_KINDS, _NUMBERS = _rules()
_HEADERS: Final = frozenset((*UNBUILT_HEADERS, *TELLING_HEADERS, BETAS_HEADER))


class _Function(msgspec.Struct):
    type: Literal["function"]  # the caller's own to run, beyond doubt


class _Text(msgspec.Struct):
    type: Literal["text"]
    text: str


class _Message(msgspec.Struct):
    """A message in today's words, of the right types, and without attachments."""

    role: Literal["user", "assistant", "system", "tool", "developer"]
    content: str | list[_Text] | None = None
    name: str | None = None
    tool_calls: list[_Object] | None = None
    tool_call_id: str | None = None
    function_call: UnsetType = UNSET


def plain_ask(fields: _Object, size_bytes: int, headers: Headers) -> Ask | None:
    """What a caller asks for; None where the whole check has to say. Changes nothing."""
    messages = fields.get("messages")
    bare = _are_bare(messages) if messages else None
    return None if bare is None else _ask(fields, size_bytes, headers, bare=bare)


def plain_steps(fields: _Object, size_bytes: int, headers: Headers) -> Steps[Ask | None]:
    """The same in steps of so many messages."""
    messages, bare = fields.get("messages"), True
    if type(messages) is not list or not messages:
        return None
    for start in range(0, len(messages), PLAIN_PER_STEP):
        yield
        found = _are_bare(messages[start : start + PLAIN_PER_STEP])
        if found is None:
            return None
        bare = bare and found
    return _ask(fields, size_bytes, headers, bare=bare)


def _are_bare(messages: Any) -> bool | None:
    """Whether all of `messages` are bare (`Ask.bare`); None where one is not even plain."""
    try:
        for message in messages:
            text = message["content"]
            short = type(text) is str and text and len(message) == 2
            if not short or message["role"] not in _SPEAKERS:
                break
        else:
            return True
    except (KeyError, TypeError):
        pass  # which says less than what follows
    try:
        msgspec.convert(messages, list[_Message])
    except msgspec.ValidationError:
        return None
    return False


def _ask(fields: _Object, size_bytes: int, headers: Headers, *, bare: bool) -> Ask | None:
    """The same of a request whose messages are plain."""
    for header in headers:
        if header[0] in _HEADERS:
            return None
    body = {"messages": fields["messages"]}
    for name, value in fields.items():
        if name in _KINDS:
            if type(value) is not _KINDS[name]:
                return None
            if name in OWN_FIELDS:
                continue
        elif name in _NUMBERS:
            kinds, low, high = _NUMBERS[name]
            if type(value) not in kinds or not low <= value <= high:
                return None
        body[name] = value
    model = fields.get("model")
    if not model or ("tools" in body and not _are_functions(body["tools"])):
        return None
    return Ask(
        models=(model,),
        body=body,
        stream=fields.get("stream", False),
        choices=body.get("n", 1),
        max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
        text_bytes=size_bytes,
        bare=bare,
        soft=SOFT.intersection(body) if "tools" in body or "verbosity" in body else _NONE,
    )


def _are_functions(tools: list[Any]) -> bool:
    """Whether there are tools, and each is the caller's own."""
    try:
        msgspec.convert(tools, list[_Function])
    except msgspec.ValidationError:
        return False
    return bool(tools)
