"""Anthropic's Messages, the request of a caller: what it asks for, in OpenRouter's form.

The fields are checked by their names here; then they become those of a chat, which is checked like
every other. A provider that speaks Anthropic's own words is sent the request in them (`native.py`).
Contract: OpenRouter's MessagesRequest, "Create a message" in its API reference.
"""

import re
from collections.abc import Iterable
from hashlib import sha256
from typing import Any, Final, Literal

import msgspec
from msgspec.structs import replace

from proxy.dialects.bodies import decode_object
from proxy.dialects.chat.fields import fitted
from proxy.dialects.chat.request import ask_steps as chat_steps
from proxy.dialects.messages.blocks import THOUGHTS, Block
from proxy.dialects.messages.native import native_of
from proxy.dialects.messages.recall import Recall
from proxy.dialects.messages.seals import is_sealed
from proxy.dialects.values import mapping, objects
from proxy.errors import GatewayError
from proxy.wire.events import Usage
from proxy.wire.request import Ask
from proxy.wire.slices import Steps, at_once

FALLBACKS_MAX: Final = 3  # of OpenRouter's `fallbacks`
USER_CHARS_MAX: Final = 64
"""Of `user` at OpenAI, which refuses a longer one; coding agents send ids of twice that."""

_CLAUDES: Final = ("mcp_servers", "container", "inference_geo")
"""Of Anthropic's own fields, those whose silence would be a lie."""

_CLAUDES_TOOL: Final = re.compile(r"[a-z_]{1,64}_\d{8}|mcp_toolset")

_AS_THEY_ARE: Final = (
    "model", "max_tokens", "temperature", "top_p", "top_k", "stream", "provider", "plugins",
    "session_id", "trace", "route", "preset", "transforms", "debug", "stop_server_tools_when",
    "cache_control", *_CLAUDES,
)  # fmt: skip
"""Fields that a chat has by the same name."""

_ID: Final = re.compile(r"[a-zA-Z0-9_-]+")
_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}
_TIERS: Final = {"standard_only": "default"}


class _Block(msgspec.Struct):
    type: str
    text: str | None = None


class _Text(msgspec.Struct):
    type: Literal["text"]
    text: str


class _Message(msgspec.Struct):
    role: Literal["user", "assistant", "system"]
    content: str | list[_Block]


class _Tool(msgspec.Struct):
    name: str | None = None
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None


class _Choice(msgspec.Struct):
    type: Literal["auto", "any", "none", "tool"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _Thinking(msgspec.Struct):
    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: int | None = None
    display: str | None = None


class _Format(msgspec.Struct):
    type: Literal["json_schema"]
    schema: dict[str, Any]


class _Output(msgspec.Struct):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: _Format | None = None


class _Metadata(msgspec.Struct):
    user_id: str | None = None


class _Fallback(msgspec.Struct, forbid_unknown_fields=True):
    model: str


class Fields(msgspec.Struct):
    """The known fields, for their types alone; those of a chat are checked as such later."""

    messages: list[_Message] | None = None
    model: str | None = None
    models: list[str] | None = None
    fallbacks: list[_Fallback] | None = None
    max_tokens: int | None = None
    system: str | list[_Text] | None = None
    tools: list[_Tool] | None = None
    tool_choice: _Choice | None = None
    thinking: _Thinking | None = None
    output_config: _Output | None = None
    output_format: _Format | None = None
    stop_sequences: list[str] | None = None
    metadata: _Metadata | None = None
    user: str | None = None
    service_tier: str | None = None
    speed: Literal["fast", "standard"] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stream: bool | None = None


def decode_request(body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> Ask:
    """What the caller asks for. `headers` are those of its request, names in lower case.

    Raises GatewayError `invalid_request`, `invalid_image` or `not_supported`, each naming the
    field.
    """
    return at_once(ask_steps(decode_object(body), len(body), headers))


def ask_steps(
    fields: dict[str, Any], size_bytes: int, headers: Iterable[tuple[bytes, bytes]] = ()
) -> Steps[Ask]:
    """The same of a request that was decoded, in steps; its body had `size_bytes`."""
    known = fitted(fields, Fields)
    yield
    recall = Recall()
    chat = yield from _chat(fields, known, recall)
    try:
        ask = yield from chat_steps(chat, size_bytes, _renamed(headers))
    except GatewayError as error:
        raise recall.told(error) from None
    if known.stop_sequences:
        ask.body["stop"] = known.stop_sequences
    yield
    # What is of another's is a 400 at Anthropic; as much as it can be told, `turns.py` tells it.
    borrowed = _borrowed(fields)
    yield
    native = None if borrowed else native_of(fields, known.user)
    return replace(ask, words="messages", native=native)


def decode_count(body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> Ask:
    """The prompt whose tokens the caller wants counted: Anthropic's `/v1/messages/count_tokens`.

    Raises GatewayError as `decode_request`.
    """
    return at_once(count_steps(decode_object(body), len(body), headers))


def count_steps(
    fields: dict[str, Any], size_bytes: int, headers: Iterable[tuple[bytes, bytes]] = ()
) -> Steps[Ask]:
    """The same of a request that was decoded, in steps."""
    ask = yield from ask_steps(fields, size_bytes, headers)
    return replace(ask, task="count", stream=False, most=Usage(), hosted=frozenset(), options={})


def claudes_own(ask: Ask) -> str | None:
    """What a caller of this format asks for that nobody else has words for, and whose silence would
    be a lie; None where it is nothing.
    """
    for name in _CLAUDES:
        if ask.body.get(name):
            return f"`{name}`"
    types = (str(tool.get("type")) for tool in objects(ask.body.get("tools")))
    own = next((type_ for type_ in types if _CLAUDES_TOOL.fullmatch(type_)), None)
    return None if own is None else f"a tool of type {own}"


def chat_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of the chat that says the same. Raises GatewayError `invalid_request`."""
    return at_once(_chat(fields, fitted(fields, Fields), Recall()))


def _renamed(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Anthropic's SDKs name their betas without the prefix that OpenRouter has for all others."""
    own = b"anthropic-beta"
    return [(b"x-" + own if name == own else name, value) for name, value in headers]


def _chat(fields: dict[str, Any], known: Fields, recall: Recall) -> Steps[dict[str, Any]]:
    """The fields of the chat that says the same."""
    chat = {name: fields[name] for name in _AS_THEY_ARE if fields.get(name) is not None}
    if models := _models(known):
        chat["models"] = models
    chat["messages"] = yield from recall.messages(fields)
    if tools := [_tool(number, tool) for number, tool in enumerate(objects(fields.get("tools")))]:
        chat["tools"] = tools
    if known.tool_choice is not None:
        chat |= _choice(known.tool_choice)
    if reasoning := _reasoning(known):
        chat["reasoning"] = reasoning
    output = mapping(fields.get("output_config")).get("format") or fields.get("output_format")
    if isinstance(output, dict):
        named = {"name": "answer", "schema": output["schema"], "strict": True}
        chat["response_format"] = {"type": "json_schema", "json_schema": named}
    if user := known.user or (known.metadata and known.metadata.user_id):
        long = len(user) > USER_CHARS_MAX
        chat["user"] = sha256(user.encode(errors="replace")).hexdigest() if long else user
    if tier := known.service_tier:
        chat["service_tier"] = _TIERS.get(tier, tier)
    if known.speed is not None:
        chat["speed"] = known.speed
    return chat


def _models(known: Fields) -> list[str]:
    """Those to try after the first. Raises GatewayError `invalid_request`."""
    fallbacks = known.fallbacks or []
    if fallbacks and known.models is not None:
        raise GatewayError("invalid_request", "fallbacks: can not be combined with models")
    if len(fallbacks) > FALLBACKS_MAX:
        raise GatewayError("invalid_request", f"fallbacks: at most {FALLBACKS_MAX} models")
    return [*(known.models or ()), *(one.model for one in fallbacks)]


def _tool(number: int, tool: Block) -> Block:
    """A function; what is of Anthropic's own stays as it is. Raises GatewayError
    `invalid_request`.
    """
    if tool.get("type") not in (None, "custom"):
        return tool
    for name in ("name", "input_schema"):
        if tool.get(name) is None:
            raise GatewayError("invalid_request", f"tools[{number}].{name}: required")
    function = {"name": tool["name"], "parameters": tool["input_schema"]}
    for name in ("description", "strict"):
        if tool.get(name) is not None:
            function[name] = tool[name]
    chat: Block = {"type": "function", "function": function}
    if isinstance(mark := tool.get("cache_control"), dict):
        chat["cache_control"] = mark
    return chat


def _choice(choice: _Choice) -> dict[str, Any]:
    """Which tools to call. Raises GatewayError `invalid_request`."""
    chat: dict[str, Any] = {"parallel_tool_calls": False}
    if not choice.disable_parallel_tool_use:
        chat = {}
    if choice.type != "tool":
        return chat | {"tool_choice": _CHOICES[choice.type]}
    if choice.name is None:
        raise GatewayError("invalid_request", "tool_choice.name: required")
    return chat | {"tool_choice": {"type": "function", "function": {"name": choice.name}}}


def _reasoning(known: Fields) -> dict[str, Any]:
    """What is wished of the thinking. Raises GatewayError `invalid_request`.

    An effort without a word of thinking is one of thinking all the same: the newest models always
    think, and others know no effort of anything else.
    """
    thinking, output = known.thinking, known.output_config
    if thinking is not None and thinking.type == "disabled":
        return {"effort": "none"}
    wish: dict[str, Any] = {}
    if thinking is not None and thinking.type == "enabled":
        if thinking.budget_tokens is None:
            raise GatewayError("invalid_request", "thinking.budget_tokens: required")
        wish["max_tokens"] = thinking.budget_tokens
    elif output is not None and output.effort is not None:
        wish["effort"] = output.effort
    elif thinking is not None:
        wish["enabled"] = True
    if thinking is not None and thinking.display == "omitted":
        wish["exclude"] = True
    return wish


def _borrowed(fields: dict[str, Any]) -> bool:
    """Whether the conversation has what a provider with other words made: a thought, or the id of a
    call that Anthropic does not take.
    """
    blocks = [block for message in fields["messages"] for block in objects(message["content"])]
    return any(
        is_sealed(block.get("signature") or block.get("data"))
        if block["type"] in THOUGHTS
        else block["type"] == "tool_use" and not _ID.fullmatch(str(block.get("id")))
        for block in blocks
    )
