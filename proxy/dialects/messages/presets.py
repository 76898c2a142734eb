"""Presets in the words of Anthropic's Messages.

What a preset says and this format has no words for (penalties, a seed, any JSON, ...) is left out,
as a provider of Messages would refuse it.
"""

from typing import Any, Final

from proxy.dialects.messages.asked import chat_fields
from proxy.dialects.presets import CACHING, begins_with_system, drafted, merged, text_of
from proxy.dialects.values import mapping, objects
from proxy.wire.presets import Draft

Json = dict[str, Any]

_SAME: Final = (
    "model", "models", "route", "provider", "plugins", "transforms", "temperature", "top_p",
    "top_k", "service_tier", "cache_control", "stop_server_tools_when",
)  # fmt: skip
_CHOICES: Final = {"auto": "auto", "required": "any", "none": "none"}
_EFFORTS: Final = {"minimal": "low"}
_NOBODY: Final = [{"role": "user", "content": "."}]


def in_messages(fields: Json, config: Json, system: str | None) -> Json:
    """A request with its preset. The system prompt is the preset's where it has none itself, nor
    begins with one.
    """
    told = _unsaid(_told(config), fields)
    whole = merged(fields, told)
    if isinstance(fields.get("output_config"), dict):
        whole["output_config"] = told.get("output_config", {})
    said = whole.get("messages")
    own = whole.get("system") or (isinstance(said, list) and begins_with_system(said))
    if system is not None and not own:
        whole["system"] = system
    return whole


def draft_of_messages(fields: Json) -> Draft:
    """What a preset keeps of such a request. Raises GatewayError `invalid_request`, naming the
    field.
    """
    chat = chat_fields(fields | {"messages": _NOBODY})
    chat |= {name: fields[name] for name in CACHING if name in fields}
    chat["stop"] = fields.get("stop_sequences")
    return drafted(chat, text_of(fields.get("system")))


def _unsaid(told: Json, fields: Json) -> Json:
    """What `told` adds to a request. How hard to think and the form of the answer are two wishes:
    a request with one of them leaves the other open, though both stand in `output_config`.
    """
    own = mapping(fields.get("output_config"))
    rest = dict(told)
    output = rest.pop("output_config", {})
    if fields.get("thinking") is not None or own.get("effort") is not None:
        rest.pop("thinking", None)
        output.pop("effort", None)
    if fields.get("output_format") is not None:
        output.pop("format", None)
    output |= {name: value for name, value in own.items() if value is not None}
    return rest | ({"output_config": output} if output else {})


def _told(config: Json) -> Json:
    told: Json = {name: config[name] for name in _SAME if name in config}
    if most := config.get("max_completion_tokens") or config.get("max_tokens"):
        told["max_tokens"] = most
    if stop := config.get("stop"):
        told["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if tools := objects(config.get("tools")):
        told["tools"] = [_tool(tool) for tool in tools]
    if choice := _choice(config):
        told["tool_choice"] = choice
    return told | _thought(config)


def _tool(tool: Json) -> Json:
    if tool.get("type") != "function":
        return tool
    function = mapping(tool.get("function"))
    told = {name: value for name, value in function.items() if name != "parameters"}
    mark = {name: tool[name] for name in ("cache_control",) if name in tool}
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    return {**told, "input_schema": schema, **mark}


def _choice(config: Json) -> Json | None:
    """Which tools to call; how many at once can not be said without that."""
    choice, alone = config.get("tool_choice"), config.get("parallel_tool_calls") is False
    if choice is None and not (alone and config.get("tools")):
        return None
    name = mapping(mapping(choice).get("function")).get("name")
    told: Json = {"type": "tool", "name": name}
    if name is None:
        told = {"type": _CHOICES.get(choice if isinstance(choice, str) else "auto", "auto")}
    if alone and told["type"] != "none":
        told["disable_parallel_tool_use"] = True
    return told


def _thought(config: Json) -> Json:
    """How to think, how hard, and in which form to answer."""
    wish = mapping(config.get("reasoning"))
    effort = wish.get("effort") or config.get("reasoning_effort")
    told, output = Json(), Json()
    if effort == "none" or wish.get("enabled") is False:
        told["thinking"] = {"type": "disabled"}
    elif budget := wish.get("max_tokens"):
        told["thinking"] = {"type": "enabled", "budget_tokens": budget}
    elif effort is not None or wish.get("enabled"):
        told["thinking"] = {"type": "adaptive"}
        if effort is not None:
            output["effort"] = _EFFORTS.get(effort, effort)
    if wish.get("exclude") and told.get("thinking", {}).get("type") in ("enabled", "adaptive"):
        told["thinking"]["display"] = "omitted"
    schema = mapping(mapping(config.get("response_format")).get("json_schema")).get("schema")
    if isinstance(schema, dict):
        output["format"] = {"type": "json_schema", "schema": schema}
    return told | ({"output_config": output} if output else {})
