"""Tools and the choice among them, as Gemini takes them.

Functions are declared in one tool; Google's own tools (search, code execution, URL context, …)
travel in their native form, as `{"google_search": {}}` or `{"type": "google_search"}`.
"""

import re
from typing import Any, Final

from proxy.dialects.asking import named_tool
from proxy.dialects.gemini.family import Family
from proxy.dialects.gemini.schema import parameters_schema
from proxy.dialects.values import objects

NATIVE: Final = {
    "google_search": "googleSearch",
    "google_search_retrieval": "googleSearchRetrieval",
    "code_execution": "codeExecution",
    "url_context": "urlContext",
    "google_maps": "googleMaps",
    "file_search": "fileSearch",
    "computer_use": "computerUse",
    "enterprise_web_search": "enterpriseWebSearch",
    "retrieval": "retrieval",
}
"""Google's own tools: as Python's client names them, and as they are written."""

_NATIVE = NATIVE | {name: name for name in NATIVE.values()}
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY", "any": "ANY"}
_UNFIT = re.compile(r"[^\w.:-]", re.ASCII)


def encode_tools(body: dict[str, Any], family: Family, *, vertex: bool) -> dict[str, Any]:
    """The keys of a request that are about tools."""
    tools = objects(body.get("tools"))
    functions = [declared for tool in tools if (declared := _declaration(tool))]
    native = [own for tool in tools if (own := _native(tool))]
    said: dict[str, Any] = {}
    if functions or native:
        said["tools"] = [*([{"functionDeclarations": functions}] if functions else []), *native]
    config: dict[str, Any] = {}
    if functions and (calling := _calling(body.get("tool_choice"))):
        config["functionCallingConfig"] = calling
    if functions and native and family.names_calls and not vertex:
        # Without it Gemini 3 refuses to have both; Vertex does not know the field.
        config["includeServerSideToolInvocations"] = True
    return said | ({"toolConfig": config} if config else {})


def function_name(name: object) -> str:
    """A name as Gemini allows it: it begins with a letter, and has letters, digits, `_.:-`."""
    said = _UNFIT.sub("_", name if isinstance(name, str) else "")[:64]
    return said if said[:1].isalpha() or said[:1] == "_" else f"_{said}"[:64]


def _declaration(tool: dict[str, Any]) -> dict[str, Any] | None:
    function = tool.get("function")
    if not isinstance(function, dict) or not function.get("name"):
        return None
    said: dict[str, Any] = {"name": function_name(function["name"])}
    if isinstance(function.get("description"), str) and function["description"]:
        said["description"] = function["description"]
    parameters = function.get("parameters")
    if isinstance(parameters, dict) and (schema := parameters_schema(parameters)):
        said["parametersJsonSchema"] = schema
    return said


def _native(tool: dict[str, Any]) -> dict[str, Any] | None:
    type_ = tool.get("type")
    if isinstance(type_, str) and type_ in _NATIVE:
        options = {key: value for key, value in tool.items() if key != "type"}
        inner = options.get(type_)
        return {_NATIVE[type_]: inner if isinstance(inner, dict) else options}
    name = next((key for key in tool if key in _NATIVE), None)
    if name is None:
        return None
    return {_NATIVE[name]: tool[name] if isinstance(tool[name], dict) else {}}


def _calling(choice: object) -> dict[str, Any] | None:
    if isinstance(choice, str):
        return {"mode": _MODES[choice]} if choice in _MODES else None
    if not isinstance(choice, dict):
        return None
    if isinstance(allowed := choice.get("allowed_tools"), dict):
        mode, tools = allowed.get("mode"), allowed.get("tools")
        if mode == "none":
            return _calling(mode)
        # A list of names is refused unless one of them must be called.
        names = _names(tools) if mode == "required" else []
        return _named("ANY" if mode == "required" else "AUTO", names)
    name = named_tool(choice)
    return _calling(choice.get("type")) if name is None else _named("ANY", [function_name(name)])


def _names(tools: object) -> list[str]:
    told = [tool.get("function") for tool in objects(tools)]
    return [function_name(f["name"]) for f in told if isinstance(f, dict) and f.get("name")]


def _named(mode: str, names: list[str]) -> dict[str, Any]:
    return {"mode": mode, **({"allowedFunctionNames": names} if names else {})}
