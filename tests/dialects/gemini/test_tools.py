"""Tools and the choice among them."""

from typing import Any

import pytest

from proxy.dialects.gemini.family import family_of
from proxy.dialects.gemini.tools import NATIVE, encode_tools, function_name
from tests.accepted.gemini import gemini_accepts

Json = dict[str, Any]

NEW, OLD = family_of("gemini-3-pro-preview"), family_of("gemini-2.5-pro")
TOOL = {"type": "function", "function": {"name": "a", "description": "A."}}
DECLARED = {"functionDeclarations": [{"name": "a", "description": "A."}]}


def encoded(tools: Any, choice: Any = None, *, new: bool = False, vertex: bool = False) -> Json:
    body = {"tools": tools, "tool_choice": choice}
    said = encode_tools(body, NEW if new else OLD, vertex=vertex)
    gemini_accepts({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], **said})
    return said


def test_functions_are_declared_in_one_tool() -> None:
    other = {"function": {"name": "b b", "description": "", "parameters": {"properties": {}}}}
    assert encoded([TOOL, other, {"type": "function"}, {"function": {"name": ""}}, 3]) == {
        "tools": [
            {
                "functionDeclarations": [
                    DECLARED["functionDeclarations"][0],
                    {"name": "b_b", "parametersJsonSchema": {"type": "object", "properties": {}}},
                ]
            }
        ]
    }
    assert encoded(None) == encoded([]) == encoded("x", "auto") == {}
    assert encoded([{"function": {"name": "a", "parameters": {}}}]) == {
        "tools": [{"functionDeclarations": [{"name": "a"}]}]
    }


@pytest.mark.parametrize(
    ("tool", "said"),
    [
        ({"google_search": {}}, {"googleSearch": {}}),
        ({"googleSearch": None}, {"googleSearch": {}}),
        ({"type": "google_search"}, {"googleSearch": {}}),
        ({"type": "code_execution", "code_execution": {}}, {"codeExecution": {}}),
        ({"type": "urlContext"}, {"urlContext": {}}),
        (
            {"type": "file_search", "fileSearchStoreNames": ["s"]},
            {"fileSearch": {"fileSearchStoreNames": ["s"]}},
        ),
        ({"google_maps": {"enableWidget": True}}, {"googleMaps": {"enableWidget": True}}),
    ],
)
def test_tools_of_google_travel(tool: Json, said: Json) -> None:
    assert encoded([tool], "auto") == {"tools": [said]}
    assert len(NATIVE) == 9


def test_both_kinds_at_once() -> None:
    search: Json = {"google_search": {}}
    for new, vertex in ((True, False), (True, True), (False, False)):
        said = encoded([TOOL, search], new=new, vertex=vertex)
        assert said["tools"] == [DECLARED, {"googleSearch": {}}]
        flag = said.get("toolConfig", {}).get("includeServerSideToolInvocations", False)
        assert flag is (new and not vertex)


NAMED = {"type": "function", "function": {"name": "a"}}

CHOICES: list[tuple[Any, Json | None]] = [
    ("auto", {"mode": "AUTO"}),
    ("none", {"mode": "NONE"}),
    ("required", {"mode": "ANY"}),
    ("any", {"mode": "ANY"}),
    ("odd", None),
    (None, None),
    (3, None),
    (NAMED, {"mode": "ANY", "allowedFunctionNames": ["a"]}),
    ({"type": "none"}, {"mode": "NONE"}),
    (
        {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [NAMED, 3]}},
        {"mode": "ANY", "allowedFunctionNames": ["a"]},
    ),
    ({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}, {"mode": "AUTO"}),
]


@pytest.mark.parametrize(("choice", "said"), CHOICES)
def test_choices(choice: Any, said: Json | None) -> None:
    config = encoded([TOOL], choice).get("toolConfig", {})
    assert config.get("functionCallingConfig") == said
    assert "toolConfig" not in encoded([{"google_search": {}}], choice)


@pytest.mark.parametrize(
    ("name", "said"),
    [("a.b:c-d_1", "a.b:c-d_1"), ("1a", "_1a"), ("é b", "__b"), ("a" * 70, "a" * 64),
     ("1" * 70, "_" + "1" * 63), (None, "_")],
)  # fmt: skip
def test_names(name: object, said: str) -> None:
    assert function_name(name) == said
