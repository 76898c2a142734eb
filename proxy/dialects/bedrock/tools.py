"""Tools and the choice among them, as Converse takes them."""

import re
from typing import Any, Final

from proxy.dialects.asking import inexpressible, named_tool
from proxy.dialects.bedrock.families import Family
from proxy.dialects.bedrock.turns import cache_point
from proxy.dialects.messages.schemas import strict_schema
from proxy.dialects.values import mapping, objects
from proxy.providers import Provider

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_OWN: Final = ("toolSpec", "systemTool", "cachePoint")
_EMPTY: Final[dict[str, Any]] = {"type": "object", "properties": {}}

_Object = dict[str, Any]


def encode_tools(
    said: _Object, turns: list[_Object], family: Family, provider: Provider
) -> _Object:
    """The `toolConfig`; none without tools. A conversation with calls has to have one: without
    tools they are those that were called.

    Raises GatewayError `provider_unfit` for tools that are no functions.
    """
    called = _called(turns)
    choice = _choice(said.get("tool_choice"))
    if choice == {"none": {}}:
        choice = {}
        said = said if called else {}
    tools: list[_Object] = []
    for tool in objects(said.get("tools")):
        tools.append(_tool(tool, family, provider))
        point = cache_point(tool, family) or cache_point(mapping(tool.get("function")), family)
        if point is not None and family.caches_tools:
            tools.append(point)
    if not tools:
        tools, choice = list(called.values()), {}
    if not tools:
        return {}
    return {"tools": tools} | ({"toolChoice": choice} if choice else {})


def _called(turns: list[_Object]) -> dict[str, _Object]:
    """The tools of the calls that were made, as far as these tell, by their names."""
    uses = (block.get("toolUse") for turn in turns for block in turn["content"])
    return {
        use["name"]: {"systemTool": {"name": use["name"]}}
        if "type" in use
        else {"toolSpec": {"name": use["name"], "inputSchema": {"json": _EMPTY}}}
        for use in uses
        if use is not None
    }


def _tool(tool: _Object, family: Family, provider: Provider) -> _Object:
    if own := {key: tool[key] for key in _OWN if isinstance(tool.get(key), dict)}:
        return own
    function = mapping(tool.get("function"))
    name = function.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise inexpressible(provider, "tools that are no functions, or with such a name")
    schema = function.get("parameters")
    schema = {"type": "object", **schema} if isinstance(schema, dict) else _EMPTY
    strict = function.get("strict") is True and family.claude and family.claude.structured
    spec: _Object = {"name": name}
    if isinstance(description := function.get("description"), str) and description:
        spec["description"] = description
    spec["inputSchema"] = {"json": strict_schema(schema) if strict else schema}
    if strict:
        spec["strict"] = True
    return {"toolSpec": spec}


def _choice(said: object) -> _Object:
    """What the caller chose; nothing where it is the model's choice, which is how it is unsaid."""
    if isinstance(said, dict):
        if said.get("type") == "allowed_tools":
            return _choice(mapping(said.get("allowed_tools")).get("mode"))
        name = named_tool(said)
        return {"tool": {"name": name}} if name is not None else _choice(said.get("type"))
    if said in ("required", "any"):
        return {"any": {}}
    return {"none": {}} if said == "none" else {}
