"""OpenAI's Responses, the request: what a chat asks, said in items and in Responses' own words.

Nothing is kept at the provider (`store: false`), so reasoning comes back encrypted and travels with
the conversation. Source: OpenAI's API reference ("Create a model response").
"""

import re
from typing import Any, Final

from proxy.dialects.asking import Encoded, Target, check_form
from proxy.dialects.responses.history import History
from proxy.dialects.responses.items import OPENAI
from proxy.dialects.thinking import check_optional, effort_of, wish_of
from proxy.dialects.writing import json_steps
from proxy.providers import Quirks
from proxy.wire.request import Ask, Effort
from proxy.wire.slices import Steps, at_once

EXPRESSES: Final = frozenset(
    (
        "include_reasoning", "logprobs", "max_completion_tokens", "max_tokens", "metadata",
        "parallel_tool_calls", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention",
        "reasoning", "reasoning_effort", "response_format", "safety_identifier", "service_tier",
        "structured_outputs", "temperature", "tool_choice", "tools", "top_logprobs", "top_p",
        "user", "verbosity",
    )
)  # fmt: skip
"""The parameters of a chat request that Responses has words for."""

OUTPUT_TOKENS_MIN: Final = 16
"""OpenAI refuses less; OpenRouter then asks for 16 (recorded: 16 tokens where 1 was the limit)."""

_SAME: Final = (
    "temperature", "top_p", "parallel_tool_calls", "service_tier", "metadata", "user",
    "safety_identifier", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention",
)  # fmt: skip

_VERBOSITY: Final = {"xhigh": "high", "max": "high"}

# Families that reason, all of them so: `include` of encrypted reasoning is a 400 for any other
# model ("Encrypted content is not supported with this model"), the chat models among them.
_REASONS: Final = re.compile(
    r"(?i)(?:^|[/.:@])(?:o\d|gpt-(?:[5-9]|\d\d)|codex|grok-(?:[3-9]|\d\d|code))(?!.*\bchat\b)"
)


def encode_request(ask: Ask, target: Target, format_: str = OPENAI) -> Encoded:
    """The request as a provider of Responses takes it. `format_` names its own reasoning.

    Raises GatewayError `provider_unfit` for an attachment or a form of the answer that can not be
    sent, and where a model always thinks that is not to, `invalid_request` for what JSON can not
    say.
    """
    return at_once(encode_steps(ask, target, format_))


def encode_steps(ask: Ask, target: Target, format_: str = OPENAI) -> Steps[Encoded]:
    """The same in steps."""
    quirks = target.provider.quirks
    reasoning = _reasoning(ask, quirks.efforts_for(target.model))
    if reasoning and quirks.always_thinks(target.model):
        check_optional(ask)
    refused = quirks.refused(target.model, reasoning.get("effort"))
    asked = {name: said for name, said in ask.body.items() if name not in refused}
    check_form(asked, target.provider)
    items = yield from History(target.provider, format_).encode(asked["messages"])
    yield
    body: dict[str, Any] = {"model": target.model, "input": items, "store": False}
    body |= {name: asked[name] for name in _SAME if name in asked}
    if target.tier is not None:
        body["service_tier"] = target.tier
    if ask.max_tokens is not None:
        body["max_output_tokens"] = max(ask.max_tokens, OUTPUT_TOKENS_MIN)
    body |= _tools(asked)
    if text := _text(asked):
        body["text"] = text
    if reasoning:
        body["reasoning"] = reasoning
    include = []
    if reasoning or reasons(target.model):
        include.append("reasoning.encrypted_content")
    if logprobs := asked.get("logprobs"):
        include.append("message.output_text.logprobs")
        # Together's callers count the alternatives here.
        top = asked.get("top_logprobs", logprobs if logprobs is not True else None)
        body |= {"top_logprobs": top} if top is not None else {}
    if include:
        body["include"] = include
    if ask.stream:
        body |= stream_fields(quirks)
    return Encoded((yield from json_steps(body, ask.text_bytes, spent="input")))


def reasons(model: str) -> bool:
    """Whether the model is of a family that reasons, as far as its name tells."""
    return _REASONS.search(model) is not None


def stream_fields(quirks: Quirks) -> dict[str, Any]:
    """How a stream is asked for."""
    stream: dict[str, Any] = {"stream": True}
    if quirks.obfuscation_option:
        stream["stream_options"] = {"include_obfuscation": False}
    return stream


def _reasoning(ask: Ask, efforts: tuple[Effort, ...]) -> dict[str, Any]:
    """How much to think, and the summary, which is the only form that it is shown in."""
    thinking = wish_of(ask)
    if thinking is None or not efforts:
        return {}  # the model may be one that does not reason
    reasoning: dict[str, Any] = {}
    wish = thinking.wish
    reasoning |= {name: wish[name] for name in ("context", "mode") if wish.get(name)}
    if effort := effort_of(thinking, ask.max_tokens, known=efforts):
        reasoning["effort"] = effort
    if not thinking.hidden and effort != "none":
        told = wish.get("summary")
        reasoning["summary"] = told if isinstance(told, str) else "auto"
    return reasoning


def _text(asked: dict[str, Any]) -> dict[str, Any]:
    text: dict[str, Any] = {}
    wish = asked.get("response_format")
    match wish:
        case {"type": "json_schema", "json_schema": dict() as schema}:
            text["format"] = {"type": "json_schema", "name": "response", **schema}
        case {"type": "json_object" | "text" as type_}:
            text["format"] = {"type": type_}
    if isinstance(verbosity := asked.get("verbosity"), str):
        text["verbosity"] = _VERBOSITY.get(verbosity, verbosity)
    return text


def _tools(asked: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if tools := asked.get("tools"):
        said["tools"] = [_tool(tool) for tool in tools]
    if (choice := asked.get("tool_choice")) is not None:
        said["tool_choice"] = _choice(choice)
    return said


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    """A tool without the envelope that chat has around it; the provider's own ones have none."""
    match tool:
        case {"function": dict() as function}:
            flat = {"type": "function", "name": function.get("name")}
            flat |= {"description": function["description"]} if "description" in function else {}
            # Strict is the default here, and in a chat it is not.
            flat["parameters"] = function.get("parameters") or {"type": "object", "properties": {}}
            return {**flat, "strict": function.get("strict") or False}
        case {"type": "custom", "custom": dict() as custom}:
            match custom.get("format"):
                case {"type": "grammar", "grammar": dict() as grammar}:
                    custom = {**custom, "format": {"type": "grammar", **grammar}}
            return {"type": "custom", **custom}
    return tool


def _choice(choice: Any) -> Any:
    match choice:
        case {"function": {"name": name}}:
            return {"type": "function", "name": name}
        case {"type": "custom", "custom": {"name": name}}:
            return {"type": "custom", "name": name}
        case {"type": "allowed_tools", "allowed_tools": {"tools": list() as tools, **others}}:
            return {"type": "allowed_tools", **others, "tools": [_choice(tool) for tool in tools]}
    return choice
