"""Presets in Anthropic's words: what one keeps of a request, and what it says in another."""

from typing import Any

import orjson
import pytest

from proxy.dialects.messages.asked import decode_request
from proxy.dialects.messages.presets import draft_of_messages, in_messages
from proxy.errors import GatewayError

Json = dict[str, Any]
HELLO = [{"role": "user", "content": "hello"}]
SCHEMA = {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"model": "a/b", "seed": 1, "frequency_penalty": 1, "stop": []}, {"model": "a/b"}),
        ({"max_completion_tokens": 5, "max_tokens": 6}, {"max_tokens": 5}),
        ({"max_tokens": 6}, {"max_tokens": 6}),
        ({"stop": "x"}, {"stop_sequences": ["x"]}),
        ({"stop": ["x", "y"]}, {"stop_sequences": ["x", "y"]}),
        (
            {"tools": [{"type": "function", "function": {"name": "f"}, "cache_control": {}}]},
            {"tools": [{"name": "f", "input_schema": SCHEMA, "cache_control": {}}]},
        ),
        (
            {"tools": [{"type": "bash_20250124", "name": "bash"}], "parallel_tool_calls": False},
            {
                "tools": [{"type": "bash_20250124", "name": "bash"}],
                "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
            },
        ),
        ({"parallel_tool_calls": False}, {}),
        ({"tool_choice": "auto"}, {"tool_choice": {"type": "auto"}}),
        ({"tool_choice": "required"}, {"tool_choice": {"type": "any"}}),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"tool_choice": {"type": "none"}}),
        (
            {"tool_choice": {"type": "function", "function": {"name": "f"}}},
            {"tool_choice": {"type": "tool", "name": "f"}},
        ),
        ({"tool_choice": {"type": "allowed_tools"}}, {"tool_choice": {"type": "auto"}}),
        ({"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
        ({"reasoning": {"enabled": False}}, {"thinking": {"type": "disabled"}}),
        ({"reasoning": {"enabled": True}}, {"thinking": {"type": "adaptive"}}),
        ({"reasoning": {"exclude": True}}, {}),
        (
            {"reasoning": {"max_tokens": 2000, "exclude": True}},
            {"thinking": {"type": "enabled", "budget_tokens": 2000, "display": "omitted"}},
        ),
        (
            {"reasoning": {"effort": "minimal"}},
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}},
            {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        ),
        ({"response_format": {"type": "json_object"}}, {}),
    ],
)
def test_a_preset_speaks_the_words_of_messages(config: Json, told: Json) -> None:
    whole = in_messages({"messages": HELLO}, config, None)
    assert whole == {"messages": HELLO, **told}
    decode_request(orjson.dumps({"model": "a/b", **whole}))  # who reads it understands it


@pytest.mark.parametrize(
    ("fields", "system"),
    [
        ({"messages": HELLO}, "Be kind."),
        ({"messages": HELLO, "system": None}, "Be kind."),
        ({"messages": HELLO, "system": "Be brief."}, "Be brief."),
        ({"messages": [{"role": "system", "content": "Be brief."}]}, None),
        ({"messages": None}, "Be kind."),
    ],
)
def test_the_system_prompt_is_the_preset_s_where_there_is_none(
    fields: Json, system: str | None
) -> None:
    assert in_messages(fields, {}, "Be kind.").get("system") == system


def test_the_request_wins() -> None:
    mine = {"name": "f", "description": "mine", "input_schema": SCHEMA}
    fields = {"messages": HELLO, "max_tokens": 9, "tools": [mine], "fallbacks": [{"model": "x"}]}
    theirs = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
    other = {"type": "function", "function": {"name": "g", "parameters": SCHEMA}}
    config = {"max_tokens": 1, "tools": [theirs, other], "models": ["y"], "top_k": 3}
    whole = in_messages(fields, config, None)
    assert whole == fields | {"top_k": 3, "tools": [mine, {"name": "g", "input_schema": SCHEMA}]}


FORM = {"type": "json_schema", "schema": SCHEMA}
DISABLED, ADAPTIVE = {"type": "disabled"}, {"type": "adaptive"}


@pytest.mark.parametrize(
    ("fields", "thinking", "output"),
    [
        ({}, ADAPTIVE, {"effort": "high", "format": FORM}),
        ({"output_config": None}, ADAPTIVE, {"effort": "high", "format": FORM}),
        ({"thinking": DISABLED}, DISABLED, {"format": FORM}),
        ({"output_config": {"effort": "low"}}, None, {"effort": "low", "format": FORM}),
        ({"output_config": {"format": {}}}, ADAPTIVE, {"effort": "high", "format": {}}),
        ({"output_config": {"format": None}}, ADAPTIVE, {"effort": "high", "format": FORM}),
        ({"output_format": {}}, ADAPTIVE, {"effort": "high"}),
        ({"output_format": {}, "thinking": DISABLED}, DISABLED, None),
        ({"output_config": {}, "thinking": DISABLED, "output_format": {}}, DISABLED, {}),
        ({"output_config": 5}, ADAPTIVE, 5),  # which whoever checks it refuses
    ],
)
def test_effort_and_form_are_two_wishes(fields: Json, thinking: Json, output: object) -> None:
    """An effort of the request's was lost to the thinking of its preset."""
    config = {"reasoning": {"effort": "high"}, "response_format": {"json_schema": FORM}}
    before = repr(fields)
    whole = in_messages(fields, config, None)
    assert (whole.get("thinking"), whole.get("output_config")) == (thinking, output)
    assert repr(fields) == before


def test_a_preset_of_a_request_is_kept_in_the_words_of_a_chat() -> None:
    fields = {
        "model": "a/b", "messages": HELLO, "max_tokens": 9, "stop_sequences": ["x"], "stream": True,
        "system": [{"type": "text", "text": "Be"}, {"type": "text", "text": "kind."}],
        "tools": [{"name": "f", "input_schema": SCHEMA}], "tool_choice": {"type": "any"},
        "thinking": {"type": "enabled", "budget_tokens": 2000}, "metadata": {"user_id": "u"},
        "fallbacks": [{"model": "c/d"}], "cache_enabled": False, "service_tier": "standard_only",
    }  # fmt: skip
    draft = draft_of_messages(fields)
    config = orjson.loads(draft.config)
    assert draft.system_prompt == "Be\n\nkind."
    assert config == {
        "model": "a/b", "models": ["c/d"], "max_tokens": 9, "stop": ["x"],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}],
        "tool_choice": "required", "reasoning": {"max_tokens": 2000}, "cache_enabled": False,
        "service_tier": "default",
    }  # fmt: skip
    used = in_messages({"messages": HELLO}, config, draft.system_prompt)
    for name in ("model", "max_tokens", "stop_sequences", "tools", "tool_choice", "thinking"):
        assert used[name] == fields[name]


@pytest.mark.parametrize("messages", [None, [], "x"])
def test_the_messages_of_a_preset_do_not_matter(messages: object) -> None:
    assert draft_of_messages({"model": "a/b", "messages": messages}).config == b'{"model":"a/b"}'


def test_a_wrong_field_is_named() -> None:
    with pytest.raises(GatewayError, match=r"thinking\.budget_tokens: required"):
        draft_of_messages({"thinking": {"type": "enabled"}})
