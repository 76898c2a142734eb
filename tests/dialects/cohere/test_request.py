"""Requests become what Cohere's API takes, and what it has no words for is known."""

import json
from collections import Counter
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.dialects.asking import Target
from proxy.dialects.chat.request import decode_request
from proxy.dialects.cohere.request import EXPRESSES, OWN, encode_request
from proxy.errors import GatewayError
from proxy.providers import Provider
from proxy.wire.listing import PARAMETERS
from proxy.wire.request import Ask
from tests.accepted.asked import asked
from tests.accepted.cohere import cohere_accepts
from tests.truths.chat import chats

Json = dict[str, Any]

PROVIDER = Provider(slug="cohere", name="Cohere", base_url="https://api.cohere.com")
TARGET = Target(PROVIDER, "command-a-03-2025", completion_max=8000)
HI = {"messages": [{"role": "user", "content": "Hi"}]}
SAID = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
SCHEMA = {"type": "object", "properties": {"n": {"type": "number"}}, "required": ["n"]}
ROOT = {"name": "root", "description": "Takes a root.", "parameters": SCHEMA}
NOW = {"name": "now"}
EMPTY = {"type": "object", "properties": {}}


def tool(function: Json) -> Json:
    return {"type": "function", "function": function}


def encoded(request: Json, target: Target = TARGET) -> Json:
    ask = decode_request(json.dumps({"model": "cohere/command-a"} | request).encode())
    encoded = encode_request(ask, target)
    assert encoded.headers == {}
    body: Json = json.loads(encoded.body)
    cohere_accepts(body)
    return body


# What is asked for beside the messages, and what Cohere is sent beside them.
TABLE: dict[str, tuple[Json, Json]] = {
    "nothing": ({}, {}),
    "a stream": ({"stream": True}, {"stream": True}),
    "sampling": (
        {"temperature": 0.5, "top_p": 0.9, "top_k": 40, "seed": 7},
        {"temperature": 0.5, "p": 0.9, "k": 40, "seed": 7},
    ),
    "sampling beyond its ranges": (
        {"temperature": 1.5, "top_p": 1, "top_k": 1000, "presence_penalty": -1},
        {"temperature": 1.0, "p": 0.99, "k": 500, "presence_penalty": 0.0},
    ),
    "a zero": ({"temperature": 0, "top_p": 0}, {"temperature": 0.0, "p": 0.01}),
    "penalties": (
        {"frequency_penalty": 0.25, "presence_penalty": 2},
        {"frequency_penalty": 0.25, "presence_penalty": 1.0},
    ),
    "one stop": ({"stop": "END"}, {"stop_sequences": ["END"]}),
    "stops": ({"stop": ["a", "b"]}, {"stop_sequences": ["a", "b"]}),
    "no stops": ({"stop": []}, {}),
    "a limit": ({"max_tokens": 9}, {"max_tokens": 9}),
    "the newer limit": ({"max_completion_tokens": 9}, {"max_tokens": 9}),
    "logprobs": ({"logprobs": True, "top_logprobs": 3}, {"logprobs": True}),
    "no logprobs": ({"logprobs": False}, {}),
    "json": (
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_object"}},
    ),
    "a schema": (
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": SCHEMA},
            }
        },
        {"response_format": {"type": "json_object", "json_schema": SCHEMA}},
    ),
    "a schema that is none": (
        {"response_format": {"type": "json_schema"}},
        {"response_format": {"type": "json_object"}},
    ),
    "text": ({"response_format": {"type": "text"}}, {}),
    "tools": (
        {"tools": [tool(ROOT), tool(NOW)], "tool_choice": "auto"},
        {"tools": [tool(ROOT), tool(NOW | {"parameters": EMPTY})]},
    ),
    "strict tools": (
        {"tools": [tool(ROOT | {"strict": True})]},
        {"tools": [tool(ROOT)], "strict_tools": True},
    ),
    "strict tools, not all": (
        {"tools": [tool(ROOT | {"strict": True}), tool(NOW)]},
        {"tools": [tool(ROOT), tool(NOW | {"parameters": EMPTY})]},
    ),
    "strict without anything required, which it refuses": (
        {"tools": [tool(NOW | {"strict": True})]},
        {"tools": [tool(NOW | {"parameters": EMPTY})]},
    ),
    "a call": (
        {"tools": [tool(ROOT)], "tool_choice": "required"},
        {"tools": [tool(ROOT)], "tool_choice": "REQUIRED"},
    ),
    "no call": (
        {"tools": [tool(ROOT)], "tool_choice": "none"},
        {"tools": [tool(ROOT)], "tool_choice": "NONE"},
    ),
    "that call": (
        {"tools": [tool(NOW), tool(ROOT)], "tool_choice": tool({"name": "root"})},
        {"tools": [tool(ROOT)], "tool_choice": "REQUIRED"},
    ),
    "some allowed": (
        {
            "tools": [tool(NOW), tool(ROOT)],
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [tool({"name": "root"})]},
            },
        },
        {"tools": [tool(ROOT)], "tool_choice": "REQUIRED"},
    ),
    "a call of nothing known": (
        {"tools": [tool(ROOT)], "tool_choice": tool({"name": "other"})},
        {"tools": [tool(ROOT)], "tool_choice": "REQUIRED"},
    ),
    "a choice without tools": ({"tools": [], "tool_choice": "required"}, {}),
    "tools and a form, which it refuses together": (
        {"tools": [tool(ROOT)], "response_format": {"type": "json_object"}},
        {"tools": [tool(ROOT)]},
    ),
    "an effort, of the limit": (
        {"reasoning": {"effort": "high"}, "max_tokens": 10_000},
        {"max_tokens": 10_000, "thinking": {"type": "enabled", "token_budget": 8000}},
    ),
    "an effort, of what the model can": (
        {"reasoning": {"effort": "medium"}},
        {"thinking": {"type": "enabled", "token_budget": 4000}},
    ),
    "an effort in OpenAI's words": (
        {"reasoning_effort": "medium"},
        {"thinking": {"type": "enabled", "token_budget": 4000}},
    ),
    "a budget": (
        {"reasoning": {"max_tokens": 3000}},
        {"thinking": {"type": "enabled", "token_budget": 3000}},
    ),
    "no thinking": ({"reasoning": {"effort": "none"}}, {"thinking": {"type": "disabled"}}),
    "thinking switched off": (
        {"reasoning": {"enabled": False}},
        {"thinking": {"type": "disabled"}},
    ),
    "thinking, not shown": ({"include_reasoning": False}, {}),
    "its own words": (
        {"documents": ["a"], "citation_options": {"mode": "FAST"}, "safety_mode": "STRICT"},
        {"documents": ["a"], "citation_options": {"mode": "FAST"}, "safety_mode": "STRICT"},
    ),
    "documents and a form, which it refuses together": (
        {"documents": [{"data": {"t": "x"}}], "response_format": {"type": "json_object"}},
        {"documents": [{"data": {"t": "x"}}]},
    ),
}

LOSSES: dict[str, Json] = {
    "n": {"n": 2},
    "parallel_tool_calls": {"parallel_tool_calls": False},
    "top_logprobs": {"top_logprobs": 3},
    "logit_bias": {"logit_bias": {"1": 1}},
    "min_p": {"min_p": 0.1},
    "top_a": {"top_a": 0.1},
    "repetition_penalty": {"repetition_penalty": 1.1},
    "verbosity": {"verbosity": "low"},
    "prediction": {"prediction": {"type": "content", "content": "x"}},
    "web_search_options": {"web_search_options": {}},
    "metadata": {"metadata": {"a": "b"}},
    "user": {"user": "me"},
    "modalities": {"modalities": ["text"]},
    "service_tier": {"service_tier": "flex"},
}
"""What a chat can ask for and Cohere has no words for: it is left out."""


@pytest.mark.parametrize(("asked", "sent"), TABLE.values(), ids=TABLE)
def test_a_request_becomes_its_body(asked: Json, sent: Json) -> None:
    plain = {"model": TARGET.model, "stream": False, "messages": SAID}
    assert encoded(HI | asked) == plain | sent


@pytest.mark.parametrize("asked", LOSSES.values(), ids=LOSSES)
def test_what_it_has_no_words_for_is_left_out(asked: Json) -> None:
    assert encoded(HI | asked) == encoded(HI)


def test_the_parameters_are_expressed_or_listed_as_losses() -> None:
    assert set(PARAMETERS) - LOSSES.keys() == EXPRESSES
    assert not EXPRESSES & LOSSES.keys()
    assert not EXPRESSES & set(OWN)


def test_an_effort_has_no_budget_where_the_completion_has_no_size() -> None:
    unknown = replace(TARGET, completion_max=None)
    assert encoded(HI | {"reasoning": {"effort": "low"}}, unknown)["thinking"] == {
        "type": "enabled"
    }
    assert encoded(HI | {"reasoning": {"max_tokens": 2000}}, unknown)["thinking"] == {
        "type": "enabled",
        "token_budget": 2000,
    }
    assert "thinking" not in encoded(HI, unknown)


@pytest.mark.parametrize(
    "one", [{"type": "custom", "custom": {"name": "x"}}, {"type": "web_search"}, tool({})]
)
def test_a_tool_that_is_no_function_is_for_another_endpoint(one: Json) -> None:
    with pytest.raises(GatewayError, match="Cohere can not be sent tools") as raised:
        encoded(HI | {"tools": [one]})
    assert raised.value.kind == "provider_unfit"


def tried(ask: Ask | None) -> str:
    """What became of a request: it was accepted, or the kind of refusal."""
    if ask is None:
        return "not_supported"
    try:
        body = json.loads(encode_request(ask, TARGET).body)
    except GatewayError as error:
        return error.kind
    cohere_accepts(body)
    return "accepted"


@pytest.mark.wire
def test_recorded_chats_become_bodies_that_its_sdk_accepts() -> None:
    counts = Counter(tried(ask) for _, ask in asked())
    # Twelve have a PDF, a video or audio; six ask for tools of OpenRouter's own.
    assert counts["provider_unfit"] == 12
    assert counts["accepted"] >= 369
    assert counts.keys() == {"accepted", "provider_unfit", "not_supported"}
    assert counts.total() == len(chats("openrouter"))
