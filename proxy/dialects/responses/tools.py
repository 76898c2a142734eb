"""Tools of a Responses request as a chat has them.

Functions lose nothing. A tool that takes free text becomes a function of one text, since few
providers know any other kind; functions of a namespace bear its name before their own. Their calls
become what they were when they are told (`free_names`, `namespaces`). Tools that OpenAI runs itself
are for providers of Responses alone, who get the request as it is.
"""

from collections.abc import Iterator
from typing import Any, Final

from proxy.dialects.values import json_text, mapping, objects, parsed, string
from proxy.errors import GatewayError
from proxy.wire.request import Ask

Json = dict[str, Any]

_INPUT: Final = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}
_OURS: Final = "openrouter:"
_NAMES: Final = ("function", "custom")
_FUNCTION: Final = ("name", "description", "parameters", "strict")


def decode_tools(fields: Json) -> Json:
    """`tools` and `tool_choice` of a chat; no choice where nothing is left to choose from."""
    tools = [tool for one in _spread(fields.get("tools")) if (tool := _tool(one)) is not None]
    if not tools:
        return {}
    chat: Json = {"tools": tools}
    choice = _choice(fields.get("tool_choice"), {_name(tool) for tool in tools})
    return chat | ({"tool_choice": choice} if choice is not None else {})


def refuse_unbuilt(fields: Json) -> None:
    """Raises GatewayError `not_supported` for OpenRouter's own tools, which the gateway would run,
    by where they stand: items may bring tools as well.
    """
    items = enumerate(objects(fields.get("input")))
    bringing = ((f"input[{number}].", one) for number, one in items if "tools" in one)
    for place, one in (("", fields), *bringing):
        for number, tool in enumerate(objects(one.get("tools"))):
            if str(tool.get("type")).startswith(_OURS):
                name = f"{place}tools[{number}].type"
                raise GatewayError("not_supported", f"{name}: not supported yet")


def free_names(ask: Ask) -> frozenset[str]:
    """The tools that take free text, by their names."""
    tools = _spread((ask.native or {}).get("tools"))
    return frozenset(str(one.get("name")) for one in tools if one.get("type") == "custom")


def namespaces(ask: Ask) -> dict[str, tuple[str, str]]:
    """The tools of namespaces by the names that providers are told: their namespace, their name."""
    return {
        spaced(str(space.get("name")), str(tool.get("name"))): (
            str(space.get("name")),
            str(tool.get("name")),
        )
        for space in objects((ask.native or {}).get("tools"))
        if space.get("type") == "namespace"
        for tool in objects(space.get("tools"))
    }


def spaced(namespace: str, name: str) -> str:
    """The name of a namespace's tool, where there are no namespaces."""
    return f"{namespace}__{name}"


def wrapped(text: str) -> str:
    """The arguments of the function that such a tool became."""
    return json_text({"input": text})


def unwrapped(arguments: str) -> str:
    """The free text in such arguments; a model that gave it bare, or was cut off, is taken at its
    word.
    """
    said = (parsed(arguments) or {}).get("input")
    return said if isinstance(said, str) else arguments


def _spread(tools: object) -> Iterator[Json]:
    """The tools, those of namespaces as others."""
    for tool in objects(tools):
        if tool.get("type") == "namespace":
            for inner in objects(tool.get("tools")):
                yield inner | {"name": spaced(str(tool.get("name")), str(inner.get("name")))}
        else:
            yield tool


def _tool(tool: Json) -> Json | None:
    type_ = string(tool.get("type")) or ""
    if type_.startswith(_OURS):
        return tool  # of a namespace; refused, as in a chat
    if type_ not in _NAMES:
        return None
    kept = _FUNCTION[:2] if type_ == "custom" else _FUNCTION
    function = {name: tool[name] for name in kept if tool.get(name) is not None}
    mark = {name: tool[name] for name in ("cache_control",) if tool.get(name) is not None}
    if type_ == "custom":
        function["parameters"] = _INPUT
        if told := " ".join(filter(None, (string(tool.get("description")), _grammar(tool)))):
            function["description"] = told
    return {"type": "function", "function": function, **mark}


def _grammar(tool: Json) -> str | None:
    """What the free text must look like, in words."""
    format_ = mapping(tool.get("format"))
    definition = string(format_.get("definition"))
    if definition is None:
        return None
    return f"The input must fit this grammar ({format_.get('syntax')}): {definition}"


def _choice(choice: object, names: set[str]) -> Any:
    match choice:
        case str():
            return choice
        case {"type": "function" | "custom", "name": str() as name} if name in names:
            return {"type": "function", "function": {"name": name}}
        case {"type": "allowed_tools", "tools": list() as tools, **others}:
            allowed = [_choice(tool, names) for tool in tools]
            others["tools"] = [tool for tool in allowed if isinstance(tool, dict)]
            return {"type": "allowed_tools", "allowed_tools": others} if others["tools"] else None
    return None


def _name(tool: Json) -> str:
    return str(mapping(tool.get("function")).get("name"))
