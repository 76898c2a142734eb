"""Requests to Gemini: a table of them, the recorded ones, and all that is lost on the way."""

import json
from collections import Counter
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.dialects.asking import Target
from proxy.dialects.chat.request import decode_request
from proxy.dialects.gemini.request import (
    EXPRESSES,
    encode_request,
    encode_vertex_request,
    path,
    takes_url,
    vertex_claude_path,
    vertex_path,
)
from proxy.errors import GatewayError
from proxy.providers import Provider
from proxy.wire.listing import PARAMETERS
from tests.accepted.asked import asked as recorded
from tests.accepted.gemini import gemini_accepts

Json = dict[str, Any]

PROVIDER = Provider(
    slug="google",
    name="Google",
    base_url="https://google.test",
    options={"project": "ours", "location": "europe-west4"},
)
USER = {"role": "user", "content": "Hi"}
HI = {"role": "user", "parts": [{"text": "Hi"}]}
WEATHER: Json = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object"}},
}
DECLARED = {"name": "weather", "parametersJsonSchema": {"type": "object"}}


def sent(model: str = "gemini-2.5-flash", *, vertex: bool = False, **fields: Any) -> Json:
    """The body for a chat request, which Google's types accept."""
    body = {"model": "google/x", "messages": [USER]} | fields
    ask = decode_request(json.dumps(body).encode())
    encode = encode_vertex_request if vertex else encode_request
    said: Json = json.loads(encode(ask, Target(PROVIDER, model)).body)
    gemini_accepts(said)
    return said


def settings(model: str = "gemini-2.5-flash", **fields: Any) -> Json:
    config: Json = sent(model, **fields).get("generationConfig", {})
    return config


TABLE: list[tuple[str, Json, Json]] = [
    ("nothing", {}, {"contents": [HI]}),
    (
        "system and developer, wherever they stand",
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                USER,
                {"role": "developer", "content": [{"type": "text", "text": "And kind."}]},
            ]
        },
        {
            "contents": [HI],
            "systemInstruction": {"parts": [{"text": "Be brief."}, {"text": "And kind."}]},
        },
    ),
    (
        "sampling",
        {"temperature": 0.5, "top_p": 0.9, "top_k": 40, "seed": 7, "presence_penalty": 1,
         "frequency_penalty": -1, "max_tokens": 100, "n": 2, "stop": "END"},
        {
            "contents": [HI],
            "generationConfig": {
                "temperature": 0.5, "topP": 0.9, "topK": 40, "seed": 7, "presencePenalty": 1,
                "frequencyPenalty": -1, "maxOutputTokens": 100, "candidateCount": 2,
                "stopSequences": ["END"],
            },
        },
    ),
    (
        "a schema",
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": {"type": "object", "properties": {
                    "a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"const": 1}}}},
            }
        },
        {
            "contents": [HI],
            "generationConfig": {
                "responseMimeType": "application/json",
                "responseJsonSchema": {"type": "object", "properties": {
                    "a": {"type": "integer", "enum": [1]}}},
            },
        },
    ),
    (
        "tools and a choice",
        {"tools": [WEATHER, {"google_search": {}}], "tool_choice": "required"},
        {
            "contents": [HI],
            "tools": [{"functionDeclarations": [DECLARED]}, {"googleSearch": {}}],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
        },
    ),
    (
        "a cache, which has system and tools already",
        {"messages": [{"role": "system", "content": "Be brief."}, USER], "tools": [WEATHER],
         "tool_choice": "auto", "cached_content": "cachedContents/abc"},
        {"contents": [HI], "cachedContent": "cachedContents/abc"},
    ),
    (
        "safety",
        {"safety_settings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}]},
        {
            "contents": [HI],
            "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}],
        },
    ),
    (
        "thinking",
        {"reasoning": {"max_tokens": 2000}},
        {
            "contents": [HI],
            "generationConfig": {
                "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 2000}
            },
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "body"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE])
def test_table(fields: Json, body: Json) -> None:
    assert sent(**fields) == body
    assert sent(vertex=True, **fields) == body


def test_metadata_is_labels_at_vertex() -> None:
    metadata = {"team": "blue", "Team": "x", "note": "No Spaces", "n-1": ""}
    assert sent(vertex=True, metadata=metadata)["labels"] == {"team": "blue", "n-1": ""}
    assert "labels" not in sent(vertex=True, metadata={"A": "b"})
    assert "labels" not in sent(metadata=metadata)


def test_ids_of_calls_go_only_to_models_that_have_them() -> None:
    messages = [
        USER,
        {"role": "assistant", "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "a", "arguments": "{}"}},
        ]},
        {"role": "tool", "tool_call_id": "call_1", "content": "yes"},
    ]  # fmt: skip
    for model, vertex, known in (
        ("gemini-3-pro-preview", False, True),
        ("gemini-flash-latest", False, True),
        ("gemini-2.5-pro", False, False),
        ("gemini-3-pro-preview", True, False),
    ):
        contents = sent(model, vertex=vertex, messages=messages)["contents"]
        assert ("id" in contents[1]["parts"][0]["functionCall"]) is known
        assert ("id" in contents[2]["parts"][0]["functionResponse"]) is known


def test_paths() -> None:
    target = Target(PROVIDER, "gemini/x")
    assert path(target, False) == "/v1beta/models/gemini%2Fx:generateContent"
    assert path(target, True) == "/v1beta/models/gemini%2Fx:streamGenerateContent?alt=sse"
    place = "/v1/projects/ours/locations/europe-west4/publishers"
    assert vertex_path(target, True) == (
        f"{place}/google/models/gemini%2Fx:streamGenerateContent?alt=sse"
    )
    assert vertex_path(target, False) == f"{place}/google/models/gemini%2Fx:generateContent"
    strange = replace(PROVIDER, options={"project": "a/../b?", "location": "x#"})
    place = "/v1/projects/a%2F..%2Fb%3F/locations/x%23/publishers"
    assert vertex_path(Target(strange, "m"), False).startswith(place)
    place = "/v1/projects/ours/locations/europe-west4/publishers"
    claude = Target(PROVIDER, "claude-sonnet-4-5@20250929")
    assert vertex_claude_path(claude, False).startswith(f"{place}/anthropic/models/claude-sonnet")
    assert vertex_claude_path(claude, False).endswith(":rawPredict")
    assert vertex_claude_path(claude, True).endswith(":streamRawPredict")


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("gs://bucket/a.mp4", False),
        ("https://www.youtube.com/watch?v=1", True),
        ("https://youtu.be/1", True),
        ("https://generativelanguage.googleapis.com/v1beta/files/abc", True),
        ("https://example.com/a.png", False),
        ("https://youtube.com.example.com/", False),
        ("http://www.youtube.com/watch?v=1", False),
    ],
)
def test_urls_that_google_reads(url: str, taken: bool) -> None:
    assert takes_url(url) is taken


def test_what_it_expresses_are_parameters() -> None:
    assert EXPRESSES - set(PARAMETERS) == {"n", "modalities", "image_config", "audio"}


MODELS = ("gemini-2.5-flash", "gemini-3-pro-preview", "gemini-flash-latest")


@pytest.mark.wire
def test_every_recorded_request_is_one_that_google_accepts() -> None:
    counts: Counter[str] = Counter()
    for _, ask in recorded():
        if ask is None:
            counts["not_supported"] += 1
            continue
        silent = ask.thinking is not None and ask.thinking.effort == "none"
        for model in [one for one in MODELS if not silent or "pro" not in one]:
            for encode in (encode_request, encode_vertex_request):
                gemini_accepts(json.loads(encode(ask, Target(PROVIDER, model)).body))
        counts["accepted"] += 1
    assert counts == {"accepted": 381, "not_supported": 6}, "the six have OpenRouter's own tools"


def history(**assistant: Any) -> list[Json]:
    return [USER, {"role": "assistant", "content": "Yes."} | assistant, USER]


def part(**said: Any) -> list[Json]:
    return [{"role": "user", "content": [{"type": "text", "text": "Hi"} | said]}]


FOREIGN = {
    "type": "reasoning.text",
    "text": "Hm",
    "signature": "s",
    "format": "anthropic-claude-v1",
}
THOUGHT = {"type": "reasoning.text", "text": "Hm", "format": "google-gemini-v1", "index": 0}
SCHEMA = {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}
CUSTOM = {"type": "custom", "custom": {"name": "free"}}

LOSSES: dict[str, tuple[Json, Json]] = {
    "marks of a cache: Gemini's is implicit": (
        {"messages": part(cache_control={"type": "ephemeral"})},
        {},
    ),
    "reasoning of another format": ({"messages": history(reasoning_details=[FOREIGN])},
                                    {"messages": history()}),
    "thoughts that are not signed": (
        {"messages": history(reasoning="Hm", reasoning_details=[THOUGHT])},
        {"messages": history()},
    ),
    "annotations of the last answer": ({"messages": history(annotations=[{"type": "x"}])},
                                       {"messages": history()}),
    "audio of the last answer": ({"messages": history(audio={"id": "a"})},
                                 {"messages": history()}),
    "where among the messages an instruction stood": (
        {"messages": [USER, {"role": "system", "content": "S"}]},
        {"messages": [{"role": "system", "content": "S"}, USER]},
    ),
    "attachments of instructions": (
        {"messages": [{"role": "system", "content": [
            {"type": "text", "text": "S"},
            {"type": "image_url", "image_url": {"url": "https://e.test/a.png"}}]}, USER]},
        {"messages": [{"role": "system", "content": "S"}, USER]},
    ),
    "JSON beside functions, before Gemini 3": (
        {"tools": [WEATHER], "response_format": SCHEMA}, {"tools": [WEATHER]},
    ),
    "the mark of a strict schema": (
        {"tools": [{"type": "function", "function": WEATHER["function"] | {"strict": True}}]},
        {"tools": [WEATHER]},
    ),
    "tools that take free text": ({"tools": [CUSTOM]}, {}),
    "one call at a time": (
        {"tools": [WEATHER], "parallel_tool_calls": False}, {"tools": [WEATHER]},
    ),
    "parameters without a counterpart": (
        {"logit_bias": {"1": 1}, "min_p": 0.1, "top_a": 0.1, "repetition_penalty": 1.1,
         "verbosity": "low", "user": "me", "service_tier": "flex", "prediction": {},
         "metadata": {"a": "b"}, "web_search_options": {}, "prompt_cache_key": "k"},
        {},
    ),
}  # fmt: skip
"""What Gemini can not be told: a request with it, and one that comes to the same."""


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name: str) -> None:
    with_it, without = LOSSES[name]
    assert sent(**with_it) == sent(**without)


def test_a_body_that_is_no_json_is_refused() -> None:
    ask = decode_request(json.dumps({"model": "x", "messages": [USER]}).encode())
    ask.body["seed"] = object()
    with pytest.raises(GatewayError) as caught:
        encode_request(ask, Target(PROVIDER, "gemini-2.5-pro"))
    assert caught.value.kind == "invalid_request"
