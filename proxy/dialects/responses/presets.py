"""Presets in the words of Responses.

What a preset says and this format has no words for (a seed, stop sequences, biases, ...) is left
out, as a provider of Responses would refuse it.
"""

from typing import Any, Final

from proxy.dialects.presets import begins_with_system, drafted, merged
from proxy.dialects.values import mapping, objects, string
from proxy.wire.presets import Draft

Json = dict[str, Any]

_SAME: Final = (
    "model", "models", "route", "provider", "plugins", "transforms", "temperature", "top_p",
    "top_k", "top_logprobs", "frequency_penalty", "presence_penalty", "parallel_tool_calls",
    "reasoning", "service_tier", "modalities", "image_config", "cache_control",
    "prompt_cache_options", "max_tool_calls", "stop_server_tools_when",
)  # fmt: skip


def in_responses(fields: Json, config: Json, system: str | None) -> Json:
    """A request with its preset. The instructions are the preset's where it has none itself, nor an
    input that begins with a system prompt.
    """
    whole = merged(fields, _told(config))
    said = whole.get("input")
    own = whole.get("instructions") or (isinstance(said, list) and begins_with_system(said))
    if system is not None and not own:
        whole["instructions"] = system
    return whole


def draft_of_responses(fields: Json) -> Draft:
    """What a preset keeps of such a request. Raises GatewayError `invalid_request`, naming the
    field.
    """
    chat = fields | {"stop": None}
    chat["max_tokens"] = fields.get("max_output_tokens")
    if isinstance(tools := fields.get("tools"), list):
        chat["tools"] = [_nested(tool) if isinstance(tool, dict) else tool for tool in tools]
    if isinstance(choice := fields.get("tool_choice"), dict):
        chat["tool_choice"] = _nested(choice)
    text = mapping(fields.get("text"))
    chat["verbosity"] = text.get("verbosity")
    chat["response_format"] = text.get("format")
    if isinstance(format_ := text.get("format"), dict) and format_.get("type") == "json_schema":
        schema = {name: one for name, one in format_.items() if name != "type" and one is not None}
        chat["response_format"] = {"type": "json_schema", "json_schema": schema}
    return drafted(chat, string(fields.get("instructions")))


def _nested(function: Json) -> Json:
    """A function as a chat has it; what is another tool stays as it is."""
    if function.get("type") != "function" or "function" in function:
        return function
    outside = ("type", "cache_control")
    told = {name: value for name, value in function.items() if name not in outside}
    return {name: function[name] for name in outside if name in function} | {"function": told}


def _flat(function: Json) -> Json:
    """The other way round."""
    said = mapping(function.get("function"))
    rest = {name: value for name, value in function.items() if name != "function" or not said}
    return rest | said


def _told(config: Json) -> Json:
    told: Json = {name: config[name] for name in _SAME if name in config}
    if most := config.get("max_completion_tokens") or config.get("max_tokens"):
        told["max_output_tokens"] = most
    if effort := config.get("reasoning_effort"):
        told.setdefault("reasoning", {"effort": effort})
    if tools := objects(config.get("tools")):
        told["tools"] = [_flat(tool) for tool in tools]
    if (choice := config.get("tool_choice")) is not None:
        told["tool_choice"] = _flat(choice) if isinstance(choice, dict) else choice
    text: Json = {}
    format_ = mapping(config.get("response_format"))
    if type_ := string(format_.get("type")):
        text["format"] = {"type": type_, **mapping(format_.get("json_schema"))}
    if verbosity := config.get("verbosity"):
        text["verbosity"] = verbosity
    return told | ({"text": text} if text else {})
