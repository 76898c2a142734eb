"""Tools and the choice among them in Anthropic's words."""

from typing import Any

import pytest

from proxy.dialects.messages.models import Claude
from proxy.dialects.messages.tools import encode_choice, encode_tools, is_forced, tool_betas
from proxy.errors import GatewayError
from proxy.providers import Provider

PROVIDER = Provider(slug="anthropic", name="Anthropic", base_url="https://anthropic.invalid")
CLAUDE = Claude(structured=True)
EMPTY = {"type": "object", "properties": {}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}}
STRICT = {
    "type": "object",
    "properties": {"a": {"type": "integer", "description": '{"minimum":1}'}},
    "additionalProperties": False,
}
MARK = {"type": "ephemeral", "ttl": "1h"}


def function(name: str = "f", **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **more}}


@pytest.mark.parametrize(
    ("tool", "encoded"),
    [
        (function(), {"name": "f", "input_schema": EMPTY}),
        (function(parameters={}), {"name": "f", "input_schema": {"type": "object"}}),
        (
            function(description="Does.", parameters=SCHEMA, strict=False),
            {"name": "f", "description": "Does.", "input_schema": SCHEMA},
        ),
        (
            function(parameters=SCHEMA, strict=True),
            {"name": "f", "input_schema": STRICT, "strict": True},
        ),
        (
            {**function(), "cache_control": MARK},
            {"name": "f", "input_schema": EMPTY, "cache_control": MARK},
        ),
        (
            function(cache_control=MARK),
            {"name": "f", "input_schema": EMPTY, "cache_control": MARK},
        ),
        (
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 2},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 2},
        ),
    ],
)
def test_a_tool(tool: Any, encoded: Any) -> None:
    assert encode_tools([tool, None], CLAUDE, PROVIDER) == [encoded]


def test_tools_of_an_older_model_are_not_strict() -> None:
    tools = encode_tools([function(parameters=SCHEMA, strict=True)], Claude(), PROVIDER)
    assert tools == [{"name": "f", "input_schema": SCHEMA}]


def test_no_tools() -> None:
    assert encode_tools(None, CLAUDE, PROVIDER) == []


def test_a_tool_that_takes_free_text_has_no_words() -> None:
    with pytest.raises(GatewayError) as caught:
        encode_tools([{"type": "custom", "custom": {"name": "shell"}}], CLAUDE, PROVIDER)
    assert caught.value.kind == "provider_unfit"


def test_a_tool_of_the_callers_own_is_not_touched() -> None:
    tool = {"type": "bash_20250124", "name": "bash"}
    (encoded,) = encode_tools([tool], CLAUDE, PROVIDER)
    encoded["cache_control"] = MARK
    assert "cache_control" not in tool


@pytest.mark.parametrize(
    ("choice", "parallel", "encoded"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        ("auto", None, {"type": "auto"}),
        ("none", False, {"type": "none"}),
        ("required", None, {"type": "any"}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        ("sometimes", None, None),
        (7, None, None),
        ({"type": "function", "function": {"name": "f"}}, None, {"type": "tool", "name": "f"}),
        ({"type": "tool", "name": "f"}, None, {"type": "tool", "name": "f"}),
        ({"type": "other"}, None, None),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "required"}}, None, {"type": "any"}),
        ({"type": "allowed_tools"}, None, None),
    ],
)
def test_the_choice(choice: Any, parallel: Any, encoded: Any) -> None:
    assert encode_choice(choice, parallel) == encoded
    assert is_forced(encoded) is (encoded is not None and encoded["type"] in ("any", "tool"))


def test_tools_that_need_a_mark() -> None:
    tools = [{"type": "computer_20251124"}, {"type": "bash_20250124"}, {"name": "f"}]
    assert tool_betas(tools) == ["computer-use-2025-11-24"]
