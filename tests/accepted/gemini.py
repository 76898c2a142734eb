"""Whether Google's own SDK could have sent a body: its types, its aliases, nothing more.

Beside the types stand the rules that the API answers with a 400 to and no type can say: who follows
whom, that results are as many as calls, what is empty, which keywords a schema has.
"""

from typing import Any

from google.genai import types

TOP = {
    "contents", "systemInstruction", "tools", "toolConfig", "safetySettings", "cachedContent",
    "labels", "generationConfig",
}  # fmt: skip
DATA = {
    "text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode",
    "codeExecutionResult", "toolCall", "toolResponse",
}  # fmt: skip
KEYWORDS = {
    "$id", "$defs", "$ref", "$anchor", "type", "format", "title", "description", "enum", "items",
    "prefixItems", "minItems", "maxItems", "minimum", "maximum", "anyOf", "oneOf", "properties",
    "additionalProperties", "required", "propertyOrdering",
}  # fmt: skip
"""What Google's reference of `responseJsonSchema` lists."""

Json = dict[str, Any]


def gemini_accepts(body: Json) -> None:
    """Fails where the SDK has no type for something in `body`, or the API would refuse it."""
    assert body.keys() <= TOP, body.keys() - TOP
    assert body["contents"], "contents are not specified"
    for content in body["contents"]:
        accept_content(content)
    accept_order(body["contents"])
    config = dict(body.get("generationConfig", {}))
    assert not any("_" in key for key in config), config
    config |= {key: body[key] for key in body.keys() - {"contents", "generationConfig"}}
    if "systemInstruction" in body:
        assert all(part["text"] for part in body["systemInstruction"]["parts"])
    types.GenerateContentConfig.model_validate(config)
    if "cachedContent" in body:
        assert not body.keys() & {"systemInstruction", "tools", "toolConfig"}
    if schema := config.get("responseJsonSchema"):
        accept_schema(schema)
        assert config["responseMimeType"] == "application/json"
    functions = [f for tool in body.get("tools", []) for f in tool.get("functionDeclarations", [])]
    for function in functions:
        accept_function(function)
    if "functionCallingConfig" in body.get("toolConfig", {}):
        assert functions, "Function calling config is set without function_declarations"


def accept_content(content: Json) -> None:
    types.Content.model_validate(content)
    assert content["role"] in ("user", "model")
    assert content["parts"], "parts must not be empty"
    for part in content["parts"]:
        assert len(part.keys() & DATA) == 1, part.keys()
        assert part.get("text") != "" or "thoughtSignature" in part, "empty text"


def accept_order(contents: list[Json]) -> None:
    calls: list[Json] = []
    for number, content in enumerate(contents):
        told = [p["functionResponse"] for p in content["parts"] if "functionResponse" in p]
        if calls or told:
            assert [one["name"] for one in told] == [one["name"] for one in calls]
            assert [one.get("id") for one in told] == [one.get("id") for one in calls]
        calls = [p["functionCall"] for p in content["parts"] if "functionCall" in p]
        if calls:
            assert content["role"] == "model"
            assert number > 0, "a call comes after a turn of the user"


def accept_function(function: Json) -> None:
    assert function["name"][0].isalpha() or function["name"][0] == "_"
    assert len(function["name"]) <= 64
    if "parametersJsonSchema" in function:
        accept_schema(function["parametersJsonSchema"])
        assert function["parametersJsonSchema"].get("type", "object") == "object"


def accept_schema(schema: object) -> None:
    """Fails where a schema has a keyword, or a value of one, that Google does not list."""
    assert isinstance(schema, dict)
    assert schema.keys() <= KEYWORDS, schema.keys() - KEYWORDS
    for value in schema.get("enum", []):
        assert isinstance(value, str | int | float)
        assert not isinstance(value, bool)
    assert set(schema.get("required", [])) <= schema.get("properties", {}).keys()
    inner = [*schema.get("properties", {}).values(), *schema.get("prefixItems", [])]
    inner += schema.get("anyOf", [])
    inner += [schema[key] for key in ("items", "additionalProperties") if key in schema]
    for one in inner:
        if not isinstance(one, bool):
            accept_schema(one)
    # The SDK's own type of a schema has no tuples, and takes enums of text alone.
    flat = {
        key: schema[key]
        for key in schema.keys() & {"type", "format", "title", "description", "required"}
    }
    types.JSONSchema.model_validate(flat)
