"""Anthropic's Messages, the request: OpenRouter's words in those of `POST /v1/messages`.

On Vertex AI the same body travels without its model, which stands in the path, and with the
version and the betas that are headers at Anthropic.
Sources: Anthropic's API reference and SDK types, recorded requests of both.
"""

from typing import Any, Final

from proxy.dialects.asking import Encoded, Target, check_choice, check_form
from proxy.dialects.messages.effort import encode_effort, encode_sampling, fitting, unbound
from proxy.dialects.messages.models import Claude, claude_of
from proxy.dialects.messages.schemas import strict_schema
from proxy.dialects.messages.tools import encode_choice, encode_tools, is_forced, tool_betas
from proxy.dialects.messages.turns import conversation
from proxy.dialects.writing import json_steps
from proxy.wire.request import Ask
from proxy.wire.slices import TURNS_PER_STEP, Steps, at_once

EXPRESSES: Final = frozenset(
    (
        "tools", "tool_choice", "parallel_tool_calls", "response_format", "structured_outputs",
        "temperature", "top_p", "top_k", "stop", "max_tokens", "max_completion_tokens",
        "reasoning", "reasoning_effort", "include_reasoning", "verbosity", "user", "service_tier",
        "cache_control",
    )
)  # fmt: skip
"""Parameters of a chat request that have a counterpart; a model may still lack one of them."""

VERSION: Final = "2023-06-01"
"""The next one, of October 2026, has no sampling parameters for any model."""

BINDING_BETA: Final = "thinking-binding-controls-2026-08-01"
VERTEX_VERSION: Final = "vertex-2023-10-16"

MARKS_MAX: Final = 4
"""Caching marks in one request; a fifth is a 400."""

USER_CHARS_MAX: Final = 256
"""Of `metadata.user_id`; a longer one is a 400, and a part of it would be somebody else."""

_OWN: Final = ("container", "context_management", "mcp_servers", "inference_geo")
"""Fields of Anthropic's own that travel as the caller wrote them. Not `speed`: a fast answer costs
up to six times as much, and has an endpoint of its own."""

FAST: Final = ("priority", "ultrafast")
"""Service tiers that are Anthropic's fast mode. It has no word for a cheap one."""

FAST_BETA: Final = "fast-mode-2026-02-01"
"""Needed where fast mode is a preview; Google knows no such mark ("Fast mode" in both's docs)."""

_BETAS: Final = {
    "context_management": "context-management-2025-06-27",
    "mcp_servers": "mcp-client-2025-11-20",
}
_TIERS: Final = {"auto": "auto", "priority": "auto", "default": "standard_only"}


def encode_request(ask: Ask, target: Target) -> Encoded:
    """The request as Anthropic takes it.

    Raises GatewayError `provider_unfit` for an attachment, a tool or a form of the answer that it
    has no words for, and `invalid_request` for what JSON could say to us and not from here.
    """
    return at_once(encode_steps(ask, target))


def encode_steps(ask: Ask, target: Target) -> Steps[Encoded]:
    """The same in steps."""
    body, betas = yield from _body(ask, target)
    thinking = dict(body.get("thinking", {}))
    if unbound(thinking, claude_of(target.model), body["messages"]):
        body["thinking"] = thinking
        betas = list(dict.fromkeys([*betas, BINDING_BETA]))
    headers = {"anthropic-version": VERSION}
    if target.tier in FAST:
        betas = list(dict.fromkeys([*betas, FAST_BETA]))
    if betas:
        headers["anthropic-beta"] = ",".join(betas)
    body = {"model": target.model, **body}
    return Encoded((yield from json_steps(body, ask.text_bytes, spent="messages")), headers)


def encode_vertex(ask: Ask, target: Target) -> Encoded:
    """The same for a Claude on Vertex AI; the path names the model. It places no caching mark by
    itself: that of the whole request stands on its last block.

    Raises GatewayError as `encode_request`.
    """
    return at_once(vertex_steps(ask, target))


def vertex_steps(ask: Ask, target: Target) -> Steps[Encoded]:
    """The same in steps."""
    body, betas = yield from _body(ask, target)
    if mark := body.pop("cache_control", None):
        body["messages"][-1]["content"][-1].setdefault("cache_control", mark)
    version: dict[str, Any] = {"anthropic_version": VERTEX_VERSION}
    if betas:
        version["anthropic_beta"] = betas
    body = {**version, **body}
    return Encoded((yield from json_steps(body, ask.text_bytes, spent="messages")))


def _body(ask: Ask, target: Target) -> Steps[tuple[dict[str, Any], list[str]]]:
    claude = claude_of(target.model)
    said = ask.body
    check_form(said, target.provider)
    check_choice(said, target.provider)
    completion_max = target.completion_max or claude.completion_max
    max_tokens = min(ask.max_tokens or completion_max, target.completion_max or 2**31)
    system, turns = yield from conversation(said["messages"], target.provider, claude)
    tools = encode_tools(said.get("tools"), claude, target.provider)
    choice = encode_choice(said.get("tool_choice"), said.get("parallel_tool_calls"))
    choice = choice if tools else None
    body: dict[str, Any] = {"max_tokens": max_tokens, "messages": turns}
    if system:
        body["system"] = system
    if tools:
        body["tools"] = tools
    if choice:
        body["tool_choice"] = choice
    body |= _effort(ask, claude, body)
    thinking = body.get("thinking", {}).get("type") in ("enabled", "adaptive")
    body |= encode_sampling(said, claude, thinking=thinking)
    body |= _rest(said, claude, body.get("output_config"))
    if target.tier in FAST:
        body["speed"] = "fast"
    if ask.stream:
        body["stream"] = True
    yield
    yield from _unmark(body)
    features = [_BETAS[name] for name in _BETAS if name in body]
    return body, list(dict.fromkeys([*ask.betas, *features, *tool_betas(tools)]))


def _effort(ask: Ask, claude: Claude, body: dict[str, Any]) -> dict[str, Any]:
    """Thinking and effort; `thinking` in Anthropic's own form goes before OpenRouter's."""
    forced = is_forced(body.get("tool_choice"))
    fields = encode_effort(ask, claude, body["max_tokens"], forced=forced)
    own = ask.body.get("thinking")
    thinking = own if isinstance(own, dict) else fields.pop("thinking", {})
    if thinking := fitting(thinking, claude, body["messages"]):
        fields["thinking"] = thinking
    return fields


def _rest(said: dict[str, Any], claude: Claude, effort: dict[str, Any] | None) -> dict[str, Any]:
    """The parameters that stand for themselves."""
    fields: dict[str, Any] = {name: said[name] for name in _OWN if name in said}
    stop = said.get("stop")
    stops = [stop] if isinstance(stop, str) else stop or []
    if stops := [one for one in stops if one.strip()]:  # white space alone is a 400
        fields["stop_sequences"] = stops
    own = said.get("output_config")
    output = {**(own if isinstance(own, dict) else {}), **(effort or {})}
    schema = _schema(said.get("response_format"))
    if schema is not None and claude.structured:
        output["format"] = {"type": "json_schema", "schema": strict_schema(schema)}
    if output:
        fields["output_config"] = output
    metadata = said.get("metadata") or {}
    user = said.get("user") or metadata.get("user_id")
    if isinstance(user, str) and 0 < len(user) <= USER_CHARS_MAX:
        fields["metadata"] = {"user_id": user}
    if tier := _TIERS.get(str(said.get("service_tier"))):
        fields["service_tier"] = tier
    if isinstance(mark := said.get("cache_control"), dict):
        fields["cache_control"] = mark
    return fields


def _schema(wanted: object) -> dict[str, Any] | None:
    """The schema of `response_format`; a wish for any JSON has no words here."""
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return None
    named = wanted.get("json_schema")
    schema = named.get("schema") if isinstance(named, dict) else None
    return schema if isinstance(schema, dict) else None


def _unmark(body: dict[str, Any]) -> Steps[None]:
    """Takes the first caching marks away where there are too many: each of the last holds all that
    stands before it.
    """
    turns, blocks = body["messages"], [*body.get("tools", ()), *body.get("system", ())]
    marked = [block for block in blocks if "cache_control" in block]
    for start in range(0, len(turns), TURNS_PER_STEP):
        told = (
            block for turn in turns[start : start + TURNS_PER_STEP] for block in turn["content"]
        )
        marked += [block for block in told if "cache_control" in block]
        yield
    room = MARKS_MAX - ("cache_control" in body)
    for block in marked[: max(0, len(marked) - room)]:
        del block["cache_control"]
