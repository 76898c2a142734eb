"""Parameters that an endpoint is known not to support are left out, and nothing else is."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects import outbound
from proxy.dialects.asking import Target
from proxy.dialects.chat.request import decode_request
from proxy.dialects.completions.request import decode_request as decode_completion
from proxy.dialects.fitting import fitted
from proxy.dialects.messages.asked import decode_request as decode_messages
from proxy.dialects.responses.asked import decode_request as decode_responses
from proxy.providers import Provider
from proxy.wire.listing import PARAMETERS
from proxy.wire.request import Ask

Json = dict[str, Any]
TOOL: Json = {"type": "function", "function": {"name": "f"}}
CALLED: Json = {
    "role": "assistant", "content": None,
    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}  # fmt: skip
TALK: list[Json] = [
    {"role": "user", "content": "x"}, CALLED, {"role": "tool", "tool_call_id": "c", "content": "y"},
]  # fmt: skip


def chat(**fields: Any) -> Ask:
    return decode_request(json.dumps({"model": "a/b", "messages": TALK} | fields).encode())


LEFT_OUT: list[tuple[Json, tuple[str, ...], set[str]]] = [
    ({"temperature": 1, "top_p": 1, "seed": 5, "x": 1}, ("seed",), {"seed", "x"}),
    ({"max_tokens": 5, "max_completion_tokens": 6}, (), {"max_tokens", "max_completion_tokens"}),
    ({"tools": [TOOL], "tool_choice": "auto"}, ("tool_choice",), set()),
    (
        {"tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": False}, ("tools",),
        {"tools", "parallel_tool_calls"},
    ),
    ({"response_format": {"type": "json_object"}, "verbosity": "low"}, ("stop",), set()),
    ({"response_format": {"type": "json_object"}}, ("structured_outputs",), {"response_format"}),
    ({"logprobs": True, "top_logprobs": 2}, ("top_logprobs",), set()),
    ({"reasoning_effort": "low"}, ("reasoning",), {"reasoning_effort"}),
    ({"reasoning_effort": "low"}, ("tools",), set()),
    ({"stop": ["a"], "logit_bias": {"1": 1}, "user": "u"}, (), {"user"}),
    ({"service_tier": "flex", "safe_prompt": True}, (), {"service_tier", "safe_prompt"}),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "supported", "kept"), LEFT_OUT, ids=range(len(LEFT_OUT)))
def test_unsupported_parameters_are_dropped(
    fields: Json, supported: tuple[str, ...], kept: set[str]
) -> None:
    asked = chat(**fields)
    told = fitted(asked, supported)
    assert told.body.keys() == kept | {"messages"}
    assert {name: fields[name] for name in kept} == {name: told.body[name] for name in kept}
    assert told.body["messages"] == TALK, "the calls of earlier turns stay"
    assert asked.body.keys() >= fields.keys(), "what was asked is as it was"


@pytest.mark.parametrize("supported", [(), ("tools",)])
def test_nobody_who_can_not_reason_is_told_how_much_to(supported: tuple[str, ...]) -> None:
    asked = chat(reasoning={"effort": "low"}, max_tokens=5)
    told = fitted(asked, supported)
    assert told.thinking is None
    assert told.body["max_tokens"] == 5


@pytest.mark.parametrize("name", ["reasoning", "reasoning_effort", "include_reasoning"])
def test_whoever_reasons_by_any_name_is_told(name: str) -> None:
    asked = chat(reasoning={"effort": "low"}, reasoning_effort="low")
    assert fitted(asked, (name,)) is asked


@given(st.frozensets(st.sampled_from(PARAMETERS)), st.frozensets(st.sampled_from(PARAMETERS)))
def test_what_is_supported_is_sent(used: frozenset[str], supported: frozenset[str]) -> None:
    body: Json = {"messages": TALK} | dict.fromkeys(used - {"reasoning", "include_reasoning"}, 1)
    asked = Ask(models=("m",), body=body)
    told = fitted(asked, tuple(supported)).body
    assert told.keys() >= body.keys() & supported - _DEPENDENT
    assert told.keys() <= body.keys()
    if body.keys() <= supported | {"messages"}:
        assert told is body


_DEPENDENT = {"tool_choice", "parallel_tool_calls", "top_logprobs"}
"""What goes with what it is about."""


# Callers of other formats, whose providers speak the same.


def said(ask: Ask, supported: tuple[str, ...], dialect: str, model: str) -> Json:
    """What a provider is sent."""
    provider = Provider(slug="p", name="P", base_url="http://p.test", dialect=dialect)
    target, ask = Target(provider, model), fitted(ask, supported)
    told: Json = json.loads(outbound(provider, model, ask).encode_request(ask, target).body)
    return told


def test_a_message_loses_what_it_calls_otherwise() -> None:
    tool = {"name": "f", "input_schema": {"type": "object"}}
    fields = {
        "model": "a/b", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}],
        "temperature": 1, "stop_sequences": ["s"], "tools": [tool], "container": "c",
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    }  # fmt: skip
    asked = decode_messages(json.dumps(fields).encode())
    body = said(asked, ("temperature",), "anthropic", "claude-sonnet-4-5")
    assert body.keys() == {"model", "max_tokens", "messages", "temperature", "container"}
    assert body["messages"] == fields["messages"], "in its caller's own words"


def test_a_message_that_has_no_word_for_it_is_said_as_a_chat() -> None:
    fields = {
        "model": "a/b", "max_tokens": 2000, "messages": [{"role": "user", "content": "x"}],
        "thinking": {"type": "enabled", "budget_tokens": 1500}, "top_k": 3,
    }  # fmt: skip
    asked = decode_messages(json.dumps(fields).encode())
    assert fitted(asked, ("top_k",)).native is None
    body = said(asked, ("top_k",), "anthropic", "claude-sonnet-4-5")
    assert "thinking" not in body
    assert body["top_k"] == 3
    assert said(asked, ("top_k", "reasoning"), "anthropic", "claude-sonnet-4-5")["thinking"]


def test_responses_lose_the_same() -> None:
    tool = {"type": "function", "name": "f", "parameters": {}}
    fields = {
        "model": "a/b", "input": "x", "temperature": 1, "top_p": 1, "tools": [tool],
        "tool_choice": "auto", "parallel_tool_calls": False, "text": {"verbosity": "low"},
    }  # fmt: skip
    asked = decode_responses(json.dumps(fields).encode())
    body = said(asked, ("top_p", "verbosity"), "responses", "m")
    assert body["text"] == {"verbosity": "low"}
    assert not body.keys() & {"temperature", "tools", "tool_choice", "parallel_tool_calls"}
    body = said(asked, ("temperature", "top_p"), "responses", "m")
    assert "text" not in body


def test_completions_lose_the_same() -> None:
    fields = {"model": "a/b", "prompt": "x", "temperature": 1, "logprobs": 2, "max_tokens": 5}
    asked = decode_completion(json.dumps(fields).encode())
    told = fitted(asked, ())
    assert told.native == {"prompt": "x", "max_tokens": 5}
    assert fitted(asked, ("temperature", "logprobs", "top_logprobs")) is asked
