"""Tools and the choice among them."""

from typing import Any

import pytest

from proxy.dialects.bedrock.families import family_of
from proxy.dialects.bedrock.tools import encode_tools
from proxy.errors import GatewayError
from proxy.providers import Provider

Json = dict[str, Any]

PROVIDER = Provider(slug="amazon-bedrock", name="Amazon Bedrock", base_url="http://127.0.0.1:1")
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "us.amazon.nova-2-lite-v1:0"
MARK = {"cache_control": {"type": "ephemeral"}}
POINT = {"cachePoint": {"type": "default"}}
EMPTY: Json = {"type": "object", "properties": {}}
A = {"properties": {"a": {"type": "string"}}}


def tool(name: str = "look", **more: Any) -> Json:
    return {"type": "function", "function": {"name": name, **more}}


def spec(name: str = "look", schema: Json = EMPTY, **more: Any) -> Json:
    return {"toolSpec": {"name": name, "inputSchema": {"json": schema}, **more}}


def turns(*uses: Json) -> list[Json]:
    return [{"role": "assistant", "content": [{"toolUse": use} for use in uses]}]


def encode(model: str = CLAUDE, called: list[Json] | None = None, **said: Any) -> Json:
    return encode_tools(said, called or [], family_of(model), PROVIDER)


CLOSED = {"type": "object", "properties": A["properties"], "additionalProperties": False}
TOOLS: list[tuple[str, list[Json], list[Json]]] = [
    (CLAUDE, [tool()], [spec()]),
    (CLAUDE, [tool(description="", parameters=None)], [spec()]),
    (
        CLAUDE,
        [tool(description="It looks.", parameters=A)],
        [spec(schema={"type": "object", **A}, description="It looks.")],
    ),
    (CLAUDE, [tool(parameters=A, strict=True)], [spec(schema=CLOSED, strict=True)]),
    (NOVA, [tool(parameters=A, strict=True)], [spec(schema={"type": "object", **A})]),
    (CLAUDE, [tool("a") | MARK, tool("b", **MARK)], [spec("a"), POINT, spec("b"), POINT]),
    (NOVA, [tool("a") | MARK], [spec("a")]),
    (
        NOVA,
        [{"systemTool": {"name": "nova_grounding"}}],
        [{"systemTool": {"name": "nova_grounding"}}],
    ),
]


@pytest.mark.parametrize(("model", "said", "tools"), TOOLS, ids=str)
def test_tools(model: str, said: list[Json], tools: list[Json]) -> None:
    assert encode(model, tools=said) == {"tools": tools}


@pytest.mark.parametrize(
    ("said", "choice"),
    [
        (None, None),
        ("auto", None),
        ("something", None),
        ("required", {"any": {}}),
        ("any", {"any": {}}),
        ({"type": "function", "function": {"name": "look"}}, {"tool": {"name": "look"}}),
        ({"type": "function"}, None),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "required"}}, {"any": {}}),
        ({"type": "allowed_tools", "allowed_tools": None}, None),
    ],
)
def test_choices(said: Any, choice: Json | None) -> None:
    wanted = {"tools": [spec()]} | ({"toolChoice": choice} if choice else {})
    assert encode(tools=[tool()], tool_choice=said) == wanted
    assert encode(tool_choice=said) == {}


def test_a_conversation_with_calls_has_tools() -> None:
    look = {"name": "look", "toolUseId": "a"}
    served = {"name": "nova_grounding", "toolUseId": "b", "type": "server_tool_use"}
    called = turns(look, served, look)
    both = {"tools": [spec(), {"systemTool": {"name": "nova_grounding"}}]}
    assert encode(called=called) == both
    assert encode(called=called, tool_choice="required") == both
    assert encode(called=called, tools=[tool("b")], tool_choice="none") == {"tools": [spec("b")]}
    assert encode(tools=[tool("b")], tool_choice="none") == {}


@pytest.mark.parametrize(
    "one",
    [
        {"type": "custom", "custom": {"name": "look"}},
        {"type": "web_search_20250305", "name": "web_search"},
        tool("a.b"),
        tool("x" * 65),
        {"function": {}},
    ],
    ids=str,
)
def test_tools_that_are_no_functions(one: Json) -> None:
    with pytest.raises(GatewayError) as error:
        encode(tools=[one])
    assert error.value.kind == "provider_unfit"
