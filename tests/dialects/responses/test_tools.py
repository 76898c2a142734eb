"""Tools of Responses as a chat has them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.responses.asked import decode_request
from proxy.dialects.responses.tools import (
    decode_tools,
    free_names,
    namespaces,
    unwrapped,
    wrapped,
)
from tests.order import Json

INPUT = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}
F = {"type": "function", "name": "f", "parameters": {"type": "object"}}
CHAT_F: Json = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def function(**fields: Any) -> Json:
    return {"type": "function", "function": fields}


@pytest.mark.parametrize(
    ("tool", "chat"),
    [
        (F, CHAT_F),
        (F | {"strict": None, "description": "d"}, function(**CHAT_F["function"], description="d")),
        (F | {"cache_control": {"type": "ephemeral"}},
         CHAT_F | {"cache_control": {"type": "ephemeral"}}),
        ({"type": "custom", "name": "p"}, function(name="p", parameters=INPUT)),
        ({"type": "custom", "name": "p", "description": "d", "format": {"type": "text"}},
         function(name="p", description="d", parameters=INPUT)),
        (
            {
                "type": "custom",
                "name": "p",
                "format": {"type": "grammar", "syntax": "regex", "definition": "a+"},
            },
            function(
                name="p",
                description="The input must fit this grammar (regex): a+",
                parameters=INPUT,
            ),
        ),
        ({"type": "openrouter:datetime"}, {"type": "openrouter:datetime"}),
    ],
)  # fmt: skip
def test_tools(tool: Json, chat: Json) -> None:
    assert decode_tools({"tools": [tool]}) == {"tools": [chat]}


@pytest.mark.parametrize("tools", [None, [], [{"type": "web_search"}, {"type": 5}], "x", [5]])
def test_where_nothing_is_left_there_is_no_choice(tools: Any) -> None:
    assert decode_tools({"tools": tools, "tool_choice": "required"}) == {}


NAMED = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("choice", "chat"),
    [
        ("required", "required"),
        ("auto", "auto"),
        ({"type": "function", "name": "f"}, NAMED),
        ({"type": "custom", "name": "f"}, NAMED),
        ({"type": "function", "name": "other"}, None),
        ({"type": "web_search_preview"}, None),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [NAMED]}},
        ),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}, None),
        (5, None),
        ({"type": "function", "name": []}, None),
    ],
)
def test_choices(choice: Any, chat: Any) -> None:
    assert decode_tools({"tools": [F], "tool_choice": choice}).get("tool_choice") == chat


def test_names_of_tools_that_take_free_text() -> None:
    body = b'{"model": "a", "input": "b", "tools": [{"type": "custom", "name": "p"}]}'
    assert free_names(decode_request(body)) == {"p"}
    assert free_names(decode_request(b'{"model": "a", "input": "b"}')) == frozenset()


SPACE = {
    "type": "namespace",
    "name": "mcp",
    "tools": [F | {"defer_loading": True}, {"type": "custom", "name": "p"}],
}


def test_tools_of_a_namespace() -> None:
    tools = decode_tools({"tools": [SPACE, F]})["tools"]
    assert [tool["function"]["name"] for tool in tools] == ["mcp__f", "mcp__p", "f"]
    assert tools[0]["function"] == CHAT_F["function"] | {"name": "mcp__f"}
    ask = decode_request(json.dumps({"model": "a", "input": "b", "tools": [SPACE]}).encode())
    assert free_names(ask) == {"mcp__p"}
    assert namespaces(ask) == {"mcp__f": ("mcp", "f"), "mcp__p": ("mcp", "p")}


@given(st.text())
def test_free_text_there_and_back(text: str) -> None:
    assert unwrapped(wrapped(text)) == text


@pytest.mark.parametrize("bare", ["*** Begin", '{"input": 5}', '{"input": "cut', "[]"])
def test_free_text_that_was_given_bare(bare: str) -> None:
    assert unwrapped(bare) == bare
