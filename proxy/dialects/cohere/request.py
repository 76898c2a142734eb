"""Cohere's v2 chat, the request: a chat in OpenRouter's form as `POST /v2/chat` takes it.

Source: "Chat" in Cohere's API reference, and recorded traffic. What it has no word for is left out:
several answers, parallel calls switched off, a bias on tokens, alternatives of logprobs.
"""

from typing import Any, Final

from proxy.dialects.asking import (
    Encoded,
    Target,
    check_choice,
    check_form,
    inexpressible,
    named_tool,
)
from proxy.dialects.cohere.messages import encode_messages
from proxy.dialects.thinking import budget_of, wish_of
from proxy.dialects.values import mapping, objects
from proxy.dialects.writing import json_steps
from proxy.wire.request import Ask, Thinking
from proxy.wire.slices import Steps, at_once

EXPRESSES: Final = frozenset({
    "tools", "tool_choice", "response_format", "structured_outputs", "temperature", "top_p",
    "top_k", "stop", "seed", "max_tokens", "max_completion_tokens", "frequency_penalty",
    "presence_penalty", "logprobs", "reasoning", "reasoning_effort", "include_reasoning",
})  # fmt: skip
"""The parameters of a chat that Cohere has words for."""

OWN: Final = ("documents", "citation_options", "safety_mode", "strict_tools", "priority")
"""Cohere's own parameters, which a caller may send in a chat and which travel on as they are."""

_SAMPLING: Final = (
    ("temperature", "temperature", 0.0, 1.0),
    ("top_p", "p", 0.01, 0.99),
    ("top_k", "k", 0, 500),
    ("frequency_penalty", "frequency_penalty", 0.0, 1.0),
    ("presence_penalty", "presence_penalty", 0.0, 1.0),
)
"""The chat's name, Cohere's, and the range beyond which it refuses a request; the nearest value in
it is sent instead."""

_CHOICES: Final = {
    "required": "REQUIRED",
    "any": "REQUIRED",
    "function": "REQUIRED",
    "none": "NONE",
}


def encode_request(ask: Ask, target: Target) -> Encoded:
    """The request as Cohere takes it.

    Raises GatewayError `provider_unfit` for a tool, an attachment or a form of the answer that it
    has no words for, and `invalid_request` for what JSON could say to us and not from here.
    """
    return at_once(encode_steps(ask, target))


def encode_steps(ask: Ask, target: Target) -> Steps[Encoded]:
    """The same in steps."""
    said = ask.body
    check_form(said, target.provider)
    check_choice(said, target.provider)
    body: dict[str, Any] = {"model": target.model, "stream": ask.stream}
    body["messages"] = yield from encode_messages(said["messages"], target.provider)
    yield
    body |= {name: said[name] for name in OWN if said.get(name) is not None}
    if ask.max_tokens is not None:
        body["max_tokens"] = ask.max_tokens
    for name, own, low, high in _SAMPLING:
        if (value := said.get(name)) is not None:
            body[own] = min(max(value, low), high)
    if stop := said.get("stop"):
        body["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if (seed := said.get("seed")) is not None:
        body["seed"] = seed
    if said.get("logprobs"):
        body["logprobs"] = True
    _add_tools(body, said, target)
    # It refuses a form for the answer beside tools or documents.
    if not (body.get("tools") or body.get("documents")):
        _add_format(body, mapping(said.get("response_format")))
    _add_thinking(body, ask, target)
    return Encoded((yield from json_steps(body, ask.text_bytes, spent="messages")))


def _add_tools(body: dict[str, Any], said: dict[str, Any], target: Target) -> None:
    tools = said.get("tools") or []
    functions = [tool.get("function") for tool in tools]
    if not all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in functions):
        raise inexpressible(target.provider, "tools that are no functions")
    choice = said.get("tool_choice")
    if isinstance(choice, dict):
        # Cohere can be made to call, but not told what: it is given nothing else to call.
        allowed = mapping(choice.get("allowed_tools"))
        wanted = [named_tool(one) for one in (choice, *objects(allowed.get("tools")))]
        functions = [one for one in functions if one["name"] in wanted] or functions
        choice = allowed.get("mode") or ("function" if wanted[0] else choice.get("type"))
    if not functions:
        return
    body["tools"] = [_tool(one) for one in functions]
    if all(one.get("strict") is True and _requires(one) for one in functions):
        body.setdefault("strict_tools", True)
    if choice in _CHOICES:
        body["tool_choice"] = _CHOICES[choice]


def _requires(function: dict[str, Any]) -> bool:
    """Whether a parameter is required, without which a tool can not be strict."""
    return bool(mapping(function.get("parameters")).get("required"))


def _tool(function: dict[str, Any]) -> dict[str, Any]:
    own: dict[str, Any] = {"name": function["name"]}
    if function.get("description"):
        own["description"] = function["description"]
    own["parameters"] = function.get("parameters") or {"type": "object", "properties": {}}
    return {"type": "function", "function": own}


def _add_format(body: dict[str, Any], wish: dict[str, Any]) -> None:
    kind = wish.get("type")
    if kind not in ("json_object", "json_schema"):
        return
    body["response_format"] = {"type": "json_object"}
    schema = mapping(wish.get("json_schema")).get("schema")
    if kind == "json_schema" and isinstance(schema, dict):
        body["response_format"]["json_schema"] = schema


def _add_thinking(body: dict[str, Any], ask: Ask, target: Target) -> None:
    thinking = wish_of(ask) or Thinking(wish={})
    completion_max = ask.max_tokens or target.completion_max
    if thinking.effort == "none":
        body["thinking"] = {"type": "disabled"}
    elif completion_max is None and thinking.max_tokens is None:
        # An effort is a share of the completion, whose size nobody knows.
        body |= {"thinking": {"type": "enabled"}} if thinking.effort else {}
    elif budget := budget_of(thinking, completion_max or 0):
        body["thinking"] = {"type": "enabled", "token_budget": budget}
