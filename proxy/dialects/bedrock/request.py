"""Bedrock's Converse, the request: OpenRouter's words in those of `POST /model/{id}/converse`.

What has no place in Converse itself goes into the fields of the model's own. Sources: "Converse" in
the API reference of Amazon Bedrock, botocore's model of it, and recorded requests.
"""

from typing import Any, Final

from proxy.dialects.asking import NO_HEADERS, Encoded, Target, check_choice, check_form, encode_json
from proxy.dialects.bedrock.families import Family, family_of
from proxy.dialects.bedrock.thoughts import encode_thinking
from proxy.dialects.bedrock.tools import encode_tools
from proxy.dialects.bedrock.turns import conversation
from proxy.dialects.messages.schemas import strict_schema
from proxy.dialects.values import mapping
from proxy.dialects.writing import json_steps
from proxy.wire.request import Ask
from proxy.wire.slices import TURNS_PER_STEP, Steps, at_once

EXPRESSES: Final = frozenset({
    "tools", "tool_choice", "parallel_tool_calls", "response_format", "structured_outputs",
    "temperature", "top_p", "top_k", "stop", "max_tokens", "max_completion_tokens", "reasoning",
    "reasoning_effort", "include_reasoning", "verbosity", "metadata", "service_tier",
    "cache_control",
})  # fmt: skip
"""Parameters of a chat request that have a counterpart; a model may still lack one of them."""

STREAM_HEADERS: Final = {"Accept": "application/vnd.amazon.eventstream"}
"""Of a request for a stream, which at Amazon is no `text/event-stream`."""

MARKS_MAX: Final = 4
"""Cache points in one request; a fifth is a 400."""

_TIERS: Final = ("default", "flex", "priority", "reserved")
_GUARDRAIL: Final = ("guardrailIdentifier", "guardrailVersion", "trace", "streamProcessingMode")
_METADATA_MAX: Final = 16
_METADATA_CHARS: Final = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 \t\n\r\f\v:_@$#=/+,-."
)

_Object = dict[str, Any]


def path(target: Target, stream: bool) -> str:
    """Where to send a request for the target's model, an id or an ARN."""
    return f"/model/{target.path_name}/converse{'-stream' if stream else ''}"


def encode_request(ask: Ask, target: Target) -> Encoded:
    """The request as Bedrock takes it.

    Raises GatewayError `provider_unfit` for an attachment, a tool or a form of the answer that it
    has no words for, and `invalid_request` for what JSON could say to us and not from here.
    """
    return at_once(encode_steps(ask, target))


def encode_steps(ask: Ask, target: Target) -> Steps[Encoded]:
    """The same in steps."""
    said, family = ask.body, family_of(target.model)
    check_form(said, target.provider)
    check_choice(said, target.provider)
    system, turns = yield from conversation(said, target.provider, family)
    yield
    tools = encode_tools(said, turns, family, target.provider)
    yield
    thinking = encode_thinking(ask, family, target, turns, forced="toolChoice" in tools)
    own = thinking.own
    body: _Object = {"messages": turns}
    if system:
        body["system"] = system
    config = thinking.config | _stops(said.get("stop"), family)
    if config:
        body["inferenceConfig"] = config
    if tools:
        body["toolConfig"] = tools
    if output := _format(said.get("response_format"), family) | thinking.output:
        body["outputConfig"] = output
    if family.claude and ask.betas:
        own["anthropic_beta"] = list(ask.betas)
    alone = said.get("parallel_tool_calls") is False and family.one_call
    if alone and tools and "toolChoice" not in tools:  # beside that it is refused as a second one
        own["tool_choice"] = {"type": "auto", "disable_parallel_tool_use": True}
    if own:
        body["additionalModelRequestFields"] = own
    body |= _rest(ask, target)
    yield
    yield from _unmark([tools.get("tools", []), system, *(turn["content"] for turn in turns)])
    written = yield from json_steps(body, ask.text_bytes, spent="messages")
    return Encoded(written, STREAM_HEADERS if ask.stream else NO_HEADERS)


def _stops(stop: object, family: Family) -> _Object:
    stops = [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else []
    # White space alone is a 400 at Claude.
    kept = [one for one in stops if one and (one.strip() or family.claude is None)]
    return {"stopSequences": kept} if kept else {}


def _format(wanted: object, family: Family) -> _Object:
    """The schema of `response_format`; a wish for any JSON has no words here."""
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return {}
    named = mapping(wanted.get("json_schema"))
    schema = named.get("schema")
    if not isinstance(schema, dict) or (family.claude and not family.claude.structured):
        return {}
    told = strict_schema(schema) if family.claude else schema
    definition = {"schema": encode_json(told).decode()}
    for key in ("name", "description"):
        if isinstance(value := named.get(key), str) and value:
            definition[key] = value
    format_ = {"type": "json_schema", "structure": {"jsonSchema": definition}}
    return {"textFormat": format_}


def _rest(ask: Ask, target: Target) -> _Object:
    """The parameters that stand for themselves, Bedrock's own under their names or OpenAI's."""
    said = ask.body
    fields: _Object = {}
    guardrail = mapping(said.get("guardrailConfig") or said.get("guardrail_config"))
    if kept := {key: guardrail[key] for key in _GUARDRAIL if key in guardrail}:
        if not ask.stream:
            kept.pop("streamProcessingMode", None)
        fields["guardrailConfig"] = kept
    if speed := mapping(said.get("performanceConfig") or said.get("performance_config")):
        fields["performanceConfig"] = {"latency": speed.get("latency")}
    if (tier := target.tier or said.get("service_tier")) in _TIERS:
        fields["serviceTier"] = {"type": tier}
    labels = {
        key: value
        for key, value in mapping(said.get("metadata")).items()
        if key and isinstance(value, str) and len(key) <= 256 and len(value) <= 256
        if _METADATA_CHARS.issuperset(key) and _METADATA_CHARS.issuperset(value)
    }
    if labels:
        fields["requestMetadata"] = dict(list(labels.items())[:_METADATA_MAX])
    return fields


def _unmark(places: list[list[_Object]]) -> Steps[None]:
    """Takes the first cache points away where there are too many: each of the last holds all that
    stands before it.
    """
    excess = -MARKS_MAX
    for start in range(0, len(places), TURNS_PER_STEP):
        some = places[start : start + TURNS_PER_STEP]
        excess += sum("cachePoint" in block for place in some for block in place)
        yield
    for number, place in enumerate(places, 1):
        if excess <= 0:
            return
        if number % TURNS_PER_STEP == 0:
            yield
        kept = []
        for block in place:
            if excess > 0 and "cachePoint" in block:
                excess -= 1
            else:
                kept.append(block)
        place[:] = kept
