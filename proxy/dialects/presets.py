"""Presets in a request: which one it names, and what becomes of it with what that one says.

A preset is kept in the words of a chat. Merging is shallow, and the request wins: a field that it
has is taken as it is, only tools of both are offered. Contract, section 4.15.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec

from proxy.dialects.asking import encode_json
from proxy.dialects.chat.fields import check_ranges, decode_fields, wished
from proxy.dialects.tiers import tier_of
from proxy.dialects.values import mapping, objects, string
from proxy.errors import GatewayError
from proxy.wire.presets import Draft

Json = dict[str, Any]

CONFIG_BYTES_MAX: Final = 64 * 1024
"""Of what a preset says: all of them are kept in memory."""

CACHING: Final = ("cache_enabled", "cache_ttl_seconds")
"""What a preset says of caching answers; no request has fields for it."""

_CACHE_HEADER: Final = b"x-openrouter-cache"

_MARK: Final = "@preset/"

_KEPT: Final = (
    "model", "models", "route", "provider", "plugins", "transforms", "temperature", "top_p",
    "top_k", "top_a", "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty",
    "seed", "stop", "logit_bias", "logprobs", "top_logprobs", "max_tokens",
    "max_completion_tokens", "response_format", "structured_outputs", "tools", "tool_choice",
    "parallel_tool_calls", "reasoning", "reasoning_effort", "include_reasoning", "verbosity",
    "modalities", "image_config", "web_search_options", "service_tier", "cache_control",
    "prompt_cache_options", "max_tool_calls", "stop_server_tools_when", *CACHING,
)  # fmt: skip
"""What a preset can say, of the fields of a chat; the others belong to one request."""

_ALIKE: Final = (
    frozenset(("max_tokens", "max_completion_tokens")),
    frozenset(("reasoning", "reasoning_effort", "include_reasoning")),
    frozenset(("tool_choice", "function_call")),
    frozenset(("service_tier", "speed")),
    frozenset(("models", "fallbacks")),
)
"""Fields that say the same: a request that has one of them has said it."""

_OTHERWISE: Final = ("max_completion_tokens", "logprobs", "top_logprobs")
"""What a text completion says otherwise than a chat."""

_NAMED_TOOLS: Final = ("openrouter:advisor", "openrouter:subagent")
_FUNCTIONS: Final = (None, "function", "custom")
_SYSTEM: Final = ("system", "developer")


class Named(NamedTuple):
    """The preset that a request names, and its own model, if it names one."""

    slug: str
    model: str | None


class _Caching(msgspec.Struct):
    cache_enabled: bool | None = None
    cache_ttl_seconds: int | None = None


def named(fields: Json) -> Named | None:
    """The preset that a request names: in `model`, alone or behind a model, or in `preset`.

    Raises GatewayError `invalid_request` for two of them, for one that is no name, and for one in
    `models`.
    """
    slug, model = fields.get("preset"), fields.get("model")
    if slug is not None and (not isinstance(slug, str) or not slug):
        raise GatewayError("invalid_request", "preset: expected the name of a preset")
    others = fields.get("models")
    for number, other in enumerate(others if isinstance(others, list) else ()):
        if isinstance(other, str) and _MARK in other:
            raise GatewayError("invalid_request", f"models[{number}]: must not be a preset")
    if isinstance(model, str) and _MARK in model:
        model, _, within = model.partition(_MARK)
        if not within:
            raise GatewayError("invalid_request", "model: expected the name of a preset")
        if slug not in (None, within):
            raise GatewayError("invalid_request", "preset: another one than that of model")
        slug = within
    return None if slug is None else Named(slug, model or None)


def without(fields: Json, found: Named) -> Json:
    """A request that names a preset no more, and its own model alone."""
    rest = {name: value for name, value in fields.items() if name not in ("model", "preset")}
    return rest if found.model is None else rest | {"model": found.model}


def refuse_caching(config: Json, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Raises GatewayError `not_supported` where answers are to be cached; a request that will not
    have it by its header goes before its preset (contract, 4.23).
    """
    said = [value for name, value in headers if name.lower() == _CACHE_HEADER]
    if config.get("cache_enabled") and not any(v.strip().lower() == b"false" for v in said):
        raise GatewayError("not_supported", "preset.cache_enabled: not supported yet")


def merged(fields: Json, config: Json) -> Json:
    """The request with all that it leaves open of what its preset says; null leaves it open. Both
    are in the same words.
    """
    said = {name for name, value in fields.items() if value is not None}
    for alike in _ALIKE:
        if said & alike:
            said |= alike
    if fields.get("logprobs") is False:
        said.add("top_logprobs")  # which providers refuse beside it
    whole = fields | {name: value for name, value in config.items() if name not in said}
    if "tools" in said and isinstance(fields["tools"], list):
        whole["tools"] = united(fields["tools"], objects(config.get("tools")))
    return whole


def united(tools: list[Any], more: list[Json]) -> list[Any]:
    """`tools`, and those of `more` that are none of them."""
    known = {identity(tool) for tool in objects(tools)}
    return [*tools, *(tool for tool in more if identity(tool) not in known)]


def identity(tool: Json) -> tuple[str, str]:
    """What makes it the same tool, in the words of any format: a function's name, the name of an
    advisor or a subagent beside its type, else its type.
    """
    type_, said = tool.get("type"), mapping(tool.get("function"))
    if type_ in _FUNCTIONS:
        return "function", str(tool.get("name") if "name" in tool else said.get("name"))
    if type_ in _NAMED_TOOLS:
        own = string(mapping(tool.get("parameters")).get("name")) or string(tool.get("name"))
        return type_, (own or "").strip()
    return str(type_), ""


def in_chat(fields: Json, config: Json, system: str | None) -> Json:
    """A chat with its preset. The system prompt comes first, unless the chat begins with one."""
    whole = merged(fields, config)
    messages = whole.get("messages")
    if messages is None and isinstance(prompt := whole.get("prompt"), str):
        messages = [{"role": "user", "content": prompt}]
    if system is not None and isinstance(messages, list) and not begins_with_system(messages):
        whole["messages"] = [{"role": "system", "content": system}, *messages]
    return whole


def in_completion(fields: Json, config: Json, system: str | None) -> Json:
    """A text completion with its preset, which has no place for a system prompt or for tools.

    Raises GatewayError `not_supported` for one that has these.
    """
    what = "system_prompt" if system is not None else "tools" if config.get("tools") else None
    if what is not None:
        raise GatewayError("not_supported", f"preset.{what}: not supported by text completions")
    told = {name: value for name, value in config.items() if name not in _OTHERWISE}
    if most := config.get("max_completion_tokens") or config.get("max_tokens"):
        told["max_tokens"] = most
    if config.get("logprobs"):
        told["logprobs"] = config.get("top_logprobs") or 0
    return merged(fields, told)


def begins_with_system(messages: list[Any]) -> bool:
    """Whether a conversation has a system prompt of its own."""
    return bool(messages) and mapping(messages[0]).get("role") in _SYSTEM


def draft_of_chat(fields: Json) -> Draft:
    """What a preset keeps of a chat. Raises GatewayError `invalid_request`, naming the field."""
    told = []
    for message in objects(fields.get("messages")):
        if message.get("role") not in _SYSTEM:
            break
        told.append(text_of(message.get("content")))
    return drafted(fields, "\n\n".join(filter(None, told)))


def text_of(content: object) -> str | None:
    """The text of a message, or of the blocks or parts that it is made of."""
    if isinstance(content, str):
        return content
    texts = (string(part.get("text")) for part in objects(content))
    return "\n\n".join(filter(None, texts))


def drafted(fields: Json, system: str | None) -> Draft:
    """A preset of the fields of a chat that it can say, each checked as in a request.

    Raises GatewayError `invalid_request`, which names the field.
    """
    config = {name: fields[name] for name in _KEPT if fields.get(name) is not None}
    names = [config.get("model"), *(config["models"] if _is_list(config, "models") else ())]
    if any(isinstance(name, str) and _MARK in name for name in names):
        raise GatewayError("invalid_request", "model: a preset can not name a preset")
    known = decode_fields(config)
    check_ranges(known)
    wished(known.provider, known.route)
    tier_of(known.service_tier)
    try:
        msgspec.convert(config, _Caching)
    except msgspec.ValidationError:
        text = "cache_enabled, cache_ttl_seconds: expected true or false, and a whole number"
        raise GatewayError("invalid_request", text) from None
    draft = Draft(config=encode_json(config), system_prompt=system or None)
    if draft.size_bytes > CONFIG_BYTES_MAX:
        text = f"A preset can have at most {CONFIG_BYTES_MAX} bytes."
        raise GatewayError("invalid_request", text)
    return draft


def _is_list(config: Json, name: str) -> bool:
    return isinstance(config.get(name), list)
