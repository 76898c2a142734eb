"""Chat requests in the words of Responses, and what gets lost."""

import json
from collections import Counter
from typing import Any

import pytest

from proxy.dialects.asking import Target
from proxy.dialects.chat.request import decode_request
from proxy.dialects.responses.request import EXPRESSES, OUTPUT_TOKENS_MIN, encode_request
from proxy.errors import GatewayError
from proxy.providers import Provider, Quirks, known
from tests.accepted.asked import asked
from tests.accepted.responses import responses_accepts
from tests.truths.responses import XAI

Json = dict[str, Any]

OPENAI = known()["openai"]
PLAIN = Provider(slug="plain", name="Plain", base_url="https://x.test/v1", quirks=Quirks())
ENCRYPTED = "reasoning.encrypted_content"


def encode(body: Json, model: str = "gpt-4.1", provider: Provider = OPENAI) -> Json:
    told = {"model": "m", "messages": [{"role": "user", "content": "hi"}]} | body
    ask = decode_request(json.dumps(told).encode())
    sent: Json = json.loads(encode_request(ask, Target(provider, model)).body)
    responses_accepts(sent)
    return sent


def function(name: str = "f", **more: Any) -> Json:
    return {"type": "function", "function": {"name": name, **more}}


TTL = {"mode": "explicit", "ttl": "30m"}
SCHEMA = {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]}
GRAMMAR = {"syntax": "lark", "definition": "start: /a/"}
FLAT = {"type": "function", "name": "f", "strict": False}

SAID: list[tuple[str, Json, Json]] = [
    ("nothing more", {}, {}),
    ("a temperature", {"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5, "top_p": 0.9}),
    ("a limit", {"max_tokens": 100}, {"max_output_tokens": 100}),
    ("the newer limit", {"max_completion_tokens": 99}, {"max_output_tokens": 99}),
    ("a limit below the least", {"max_tokens": 1}, {"max_output_tokens": OUTPUT_TOKENS_MIN}),
    (
        "who asks",
        {"user": "u", "safety_identifier": "s", "metadata": {"a": "b"}, "prompt_cache_key": "k"},
        {"user": "u", "safety_identifier": "s", "metadata": {"a": "b"}, "prompt_cache_key": "k"},
    ),
    (
        "how it is served",
        {"service_tier": "flex", "prompt_cache_retention": "24h", "prompt_cache_options": TTL},
        {"service_tier": "flex", "prompt_cache_retention": "24h", "prompt_cache_options": TTL},
    ),
    (
        "a tool",
        {"tools": [function(description="d", parameters=SCHEMA, strict=True)]},
        {"tools": [{**FLAT, "description": "d", "parameters": SCHEMA, "strict": True}]},
    ),
    (
        "a tool without parameters",
        {"tools": [function()], "parallel_tool_calls": False},
        {
            "tools": [{**FLAT, "parameters": {"type": "object", "properties": {}}}],
            "parallel_tool_calls": False,
        },
    ),
    (
        "a custom tool",
        {"tools": [{"type": "custom", "custom": {"name": "c", "description": "d"}}]},
        {"tools": [{"type": "custom", "name": "c", "description": "d"}]},
    ),
    (
        "a custom tool with a grammar",
        {
            "tools": [
                {
                    "type": "custom",
                    "custom": {"name": "c", "format": {"type": "grammar", "grammar": GRAMMAR}},
                }
            ]
        },
        {"tools": [{"type": "custom", "name": "c", "format": {"type": "grammar", **GRAMMAR}}]},
    ),
    (
        "tools of the provider's own",
        {"tools": [{"type": "web_search"}, {"type": "file_search", "vector_store_ids": ["v"]}]},
        {"tools": [{"type": "web_search"}, {"type": "file_search", "vector_store_ids": ["v"]}]},
    ),
    ("a choice", {"tool_choice": "required"}, {"tool_choice": "required"}),
    (
        "a tool chosen",
        {"tool_choice": function()},
        {"tool_choice": {"type": "function", "name": "f"}},
    ),
    (
        "a custom tool chosen",
        {"tool_choice": {"type": "custom", "custom": {"name": "c"}}},
        {"tool_choice": {"type": "custom", "name": "c"}},
    ),
    (
        "some tools allowed",
        {
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [function()]},
            }
        },
        {
            "tool_choice": {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "f"}],
            }
        },
    ),
    (
        "the provider's tool chosen",
        {"tool_choice": {"type": "web_search_preview"}},
        {"tool_choice": {"type": "web_search_preview"}},
    ),
    (
        "a schema",
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": SCHEMA, "strict": True},
            },
            "structured_outputs": True,
        },
        {
            "text": {
                "format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}
            }
        },
    ),
    (
        "a schema without a name",
        {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}},
        {"text": {"format": {"type": "json_schema", "name": "response", "schema": SCHEMA}}},
    ),
    (
        "JSON",
        {"response_format": {"type": "json_object"}, "verbosity": "low"},
        {"text": {"format": {"type": "json_object"}, "verbosity": "low"}},
    ),
    ("text", {"response_format": {"type": "text"}}, {"text": {"format": {"type": "text"}}}),
    ("more words than it has", {"verbosity": "max"}, {"text": {"verbosity": "high"}}),
    (
        "probabilities",
        {"logprobs": True, "top_logprobs": 3},
        {"include": ["message.output_text.logprobs"], "top_logprobs": 3},
    ),
    ("only its own", {"logprobs": True}, {"include": ["message.output_text.logprobs"]}),
    (
        "how many, in Together's words",
        {"logprobs": 2},
        {"include": ["message.output_text.logprobs"], "top_logprobs": 2},
    ),
    ("no probabilities", {"logprobs": False, "top_logprobs": 0}, {}),
    (
        "an effort",
        {"reasoning": {"effort": "low"}},
        {"reasoning": {"effort": "low", "summary": "auto"}, "include": [ENCRYPTED]},
    ),
    (
        "an effort in OpenAI's words",
        {"reasoning_effort": "high"},
        {"reasoning": {"effort": "high", "summary": "auto"}, "include": [ENCRYPTED]},
    ),
    (
        "both",
        {"reasoning": {"summary": "detailed"}, "reasoning_effort": "high"},
        {"reasoning": {"effort": "high", "summary": "detailed"}, "include": [ENCRYPTED]},
    ),
    (
        "of what it may think",
        {"reasoning": {"context": "all_turns", "mode": "pro"}},
        {
            "reasoning": {"context": "all_turns", "mode": "pro", "summary": "auto"},
            "include": [ENCRYPTED],
        },
    ),
    (
        "reasoning that is not shown",
        {"reasoning": {"enabled": True, "exclude": True}},
        {"reasoning": {"effort": "medium"}, "include": [ENCRYPTED]},
    ),
    (
        "no reasoning",
        {"reasoning": {"enabled": False}},
        {"reasoning": {"effort": "none"}, "include": [ENCRYPTED]},
    ),
    ("nothing to show", {"include_reasoning": False}, {}),
    (
        "a budget of half the completion",
        {"reasoning": {"max_tokens": 2000}, "max_tokens": 4000},
        {
            "reasoning": {"effort": "medium", "summary": "auto"},
            "include": [ENCRYPTED],
            "max_output_tokens": 4000,
        },
    ),
    (
        "a stream",
        {"stream": True},
        {"stream": True, "stream_options": {"include_obfuscation": False}},
    ),
]


@pytest.mark.parametrize(("body", "said"), [case[1:] for case in SAID], ids=[c[0] for c in SAID])
def test_what_is_asked_is_said(body: Json, said: Json) -> None:
    always = {"model": "m", "input": [{"role": "user", "content": "hi"}], "store": False}
    assert encode(body, "m") == always | said


LOSSES: dict[str, Any] = {
    "n": 2,
    "stop": ["x"],
    "seed": 7,
    "logit_bias": {"1": 1.0},
    "frequency_penalty": 0.5,
    "presence_penalty": 0.5,
    "repetition_penalty": 1.1,
    "top_k": 5,
    "top_a": 0.1,
    "min_p": 0.1,
    "modalities": ["text", "audio"],
    "audio": {"voice": "alloy", "format": "wav"},
    "prediction": {"type": "content", "content": "x"},
    "web_search_options": {"search_context_size": "low"},
    "store": True,
    "image_config": {"aspect_ratio": "1:1"},
    "safe_prompt": True,
}
"""What Responses has no words for."""


@pytest.mark.parametrize("name", LOSSES)
def test_what_can_not_be_said_is_left_out(name: str) -> None:
    assert encode({name: LOSSES[name]}) == encode({})
    assert name not in EXPRESSES


def test_what_it_expresses_changes_the_body() -> None:
    told = {name for _, body, said in SAID for name in body if said}
    assert told - {"stream"} == EXPRESSES - {"include_reasoning"}


REASONING = {
    "o3": True, "o4-mini": True, "gpt-5": True, "gpt-5-mini-2025-08-07": True, "gpt-5.6-sol": True,
    "openai/gpt-5.2": True, "openai.gpt-5.5": True, "gpt-10": True, "grok-4.3": True,
    "grok-3-mini": True, "grok-code-fast-1": True,
    "gpt-4o": False, "gpt-4.1-mini": False, "gpt-5-chat-latest": False, "gpt-5.2-chat": False,
    "chatgpt-4o-latest": False, "my-deployment": False, "deepseek-v4-flash": False,
}  # fmt: skip


@pytest.mark.parametrize("model", REASONING)
def test_only_models_that_reason_are_asked_for_what_they_encrypted(model: str) -> None:
    assert (ENCRYPTED in encode({}, model).get("include", ())) is REASONING[model]


def test_the_nearest_effort_is_said() -> None:
    few = Provider(
        slug="few", name="Few", base_url="https://x.test", quirks=Quirks(efforts=("low", "high"))
    )
    assert encode({"reasoning_effort": "minimal"}, provider=few)["reasoning"]["effort"] == "low"
    sent = encode({"reasoning": {"effort": "xhigh"}}, provider=few)
    assert sent["reasoning"]["effort"] == "high"


SAMPLING: Json = {"temperature": 0.5, "top_p": 0.9, "logprobs": True}


@pytest.mark.parametrize(
    ("model", "body", "kept"),
    [
        ("o3", {}, False),
        ("gpt-5-mini", {"reasoning": {"effort": "low"}}, False),
        ("gpt-5.2", {}, True),
        ("gpt-5.2", {"reasoning_effort": "low"}, False),
        ("gpt-5.2-codex", {}, False),
        ("gpt-5.6-sol", {}, False),
        ("gpt-5.6-sol", {"reasoning": {"enabled": False}}, True),
    ],
)
def test_openai_takes_sampling_only_while_a_model_does_not_think(
    model: str, body: Json, kept: bool
) -> None:
    sent = encode(body | SAMPLING, model)
    assert ("temperature" in sent, "top_p" in sent) == (kept, kept)
    assert ("message.output_text.logprobs" in sent["include"]) is kept


def test_models_are_told_the_efforts_that_they_know() -> None:
    wished = [
        ("gpt-5-mini", "minimal"),
        ("gpt-5.1", "minimal"),
        ("o3", "max"),
        ("gpt-5-pro", "low"),
    ]
    told = [encode({"reasoning": {"effort": e}}, m)["reasoning"]["effort"] for m, e in wished]
    assert told == ["minimal", "low", "high", "high"]


def test_what_always_thinks_can_not_be_told_not_to() -> None:
    for model in ("o3", "gpt-5-mini", "gpt-5-pro"):
        with pytest.raises(GatewayError, match="reasoning: is mandatory for this model"):
            encode({"reasoning": {"effort": "none"}}, model)
    assert encode({"reasoning": {"effort": "none"}}, "gpt-5.1")["reasoning"]["effort"] == "none"


def test_what_a_provider_refuses_is_left_out() -> None:
    picky = Provider(
        slug="picky", name="Picky", base_url="https://x.test", quirks=Quirks(omits=("user",))
    )
    assert encode({"user": "u", "metadata": {"a": "b"}}, provider=picky) == encode(
        {"metadata": {"a": "b"}}
    )


def test_a_provider_is_not_told_of_padding_that_it_does_not_know() -> None:
    assert "stream_options" not in encode({"stream": True}, provider=PLAIN)


def test_what_json_can_not_say_is_refused() -> None:
    deep: Any = 1
    for _ in range(2000):
        deep = [deep]
    ask = decode_request(b'{"model": "m", "prompt": "hi", "tools": [{"type": "x"}]}')
    ask.body["tools"][0]["deep"] = deep
    with pytest.raises(GatewayError, match="nested too deeply"):
        encode_request(ask, Target(OPENAI, "m"))


@pytest.mark.wire
def test_every_recorded_request_is_one_for_openai() -> None:
    counts: Counter[str] = Counter()
    for name, ask in asked():
        if ask is None:
            counts["not built"] += 1
            continue
        try:
            sent = json.loads(encode_request(ask, Target(OPENAI, "gpt-5"), XAI).body)
        except GatewayError as unfit:
            counts[unfit.message] += 1
            continue
        try:
            responses_accepts(sent)
        except AssertionError as error:
            error.add_note(f"in the request of {name}")
            raise
        counts["accepted"] += 1
    assert counts.keys() == {
        "accepted",
        "not built",
        "OpenAI can not be sent video.",
        "OpenAI can not be sent audio.",
        "reasoning: is mandatory for this model and can not be disabled",
    }
    assert counts["accepted"] >= 0.97 * counts.total()
