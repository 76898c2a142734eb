"""Requests to Google's Gemini API, refused in its own words where it would refuse them."""

import json
import re
from collections.abc import Iterator
from itertools import takewhile
from typing import Any, Final

from proxy.upstream.fake.ask import (
    Ask,
    Function,
    JSONObject,
    Refused,
    Request,
    camel,
    child,
    count_of,
    decode_object,
    names,
    rows,
    strings,
)
from proxy.upstream.fake.seals import Seal

_KEYS: Final = names(
    "contents systemInstruction tools toolConfig safetySettings generationConfig cachedContent"
    " labels model store serviceTier"
)
_CONFIG: Final = names(
    "stopSequences responseMimeType responseSchema responseJsonSchema _responseJsonSchema"
    " responseModalities candidateCount maxOutputTokens temperature topP topK seed presencePenalty"
    " frequencyPenalty responseLogprobs logprobs enableEnhancedCivicAnswers speechConfig"
    " thinkingConfig imageConfig mediaResolution audioTimestamp routingConfig"
)
_SCHEMA: Final = names(
    "type format title description nullable enum maxItems minItems properties required"
    " minProperties maxProperties minLength maxLength pattern example anyOf propertyOrdering"
    " default items minimum maximum"
)
_DATA: Final = names(
    "text inlineData fileData functionCall functionResponse executableCode codeExecutionResult"
    " thoughtSignature"
)
_DECLARED: Final = names(
    "name description parameters parametersJsonSchema response responseJsonSchema behavior"
)
_FREE: Final = names(
    "args response parameters parametersJsonSchema responseSchema responseJsonSchema"
)
_FORMATS: Final = (None, "enum", "date-time")
UNSIGNED: Final = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")
"""What Google documents for calls that another model made."""
_MISSING = (
    "Function call is missing a thought_signature in functionCall parts. This is required for"
    " tools to work correctly, and missing thought_signature may lead to degraded model"
    " performance. Additional data, function call `default_api:{name}` , position {at}. Please"
    " refer to https://ai.google.dev/gemini-api/docs/thought-signatures for more details."
)
_AFTER_USER = (
    "Please ensure that function call turn comes immediately after a user turn or after a function"
    " response turn."
)
_AFTER_CALL = (
    "Please ensure that function response turn comes immediately after a function call turn."
)
_EQUAL = (
    "Please ensure that the number of function response parts is equal to the number of function"
    " call parts of the function call turn."
)
_EMPTY = "* GenerateContentRequest.contents[{at}].parts: contents.parts must not be empty.\n"


def decode_contents(request: Request, seal: Seal) -> Ask:
    """What `request` asks. Raises Refused in Google's words."""
    body = decode_object(request.body, "Invalid JSON payload received. Unexpected end of string.")
    body = camel(body, _FREE)
    path = re.search(r"/models/(.+):(generateContent|streamGenerateContent)$", request.path)
    model = path[1] if path else ""
    config = child(body, "generationConfig")
    _check_keys(body, _KEYS, "")
    _check_keys(config, _CONFIG, " at 'generation_config'")
    contents = rows(body.get("contents"))
    if not contents:
        raise Refused("* GenerateContentRequest.contents: contents is not specified\n")
    _check_contents(contents)
    _check_calls(contents)
    thinks = "reason" in model and child(config, "thinkingConfig").get("thinkingBudget") != 0
    signs = thinks and re.search(r"gemini-[12]", model) is None  # older ones take calls without
    _check_signatures(contents, seal, thinks=signs)
    functions = tuple(_functions(body.get("tools")))
    calling = child(child(body, "toolConfig"), "functionCallingConfig")
    choice, named, functions = _choice(calling, functions)
    turns = [rows(content.get("parts")) for content in contents]
    users = [_text(t) for c, t in zip(contents, turns, strict=True) if c.get("role") != "model"]
    structured, schema = _wanted_format(config)
    system = rows(child(body, "systemInstruction").get("parts"))
    return Ask(
        model=model,
        body=config,
        stream=bool(path and path[2] == "streamGenerateContent"),
        tokens_max=count_of(config.get("maxOutputTokens")),
        texts=tuple(_text(parts) for parts in [system, *turns] if parts),
        said=next((text for text in reversed(users) if text), ""),
        results=_results(turns[-1]),
        attachments=tuple(_attachments(turns)),
        functions=functions,
        choice=choice,
        named=named,
        stop=strings(config.get("stopSequences")),
        structured=structured,
        schema=schema,
        thinks=thinks,
    )


def _check_keys(value: JSONObject, known: frozenset[str], where: str) -> None:
    for key in value:
        if key not in known:
            raise Refused(
                f'Invalid JSON payload received. Unknown name "{key}"{where}: Cannot find field.'
            )


def _check_contents(contents: list[JSONObject]) -> None:
    for at, content in enumerate(contents):
        if content.get("role") not in ("user", "model", None):
            raise Refused("Please use a valid role: user, model.")
        parts = rows(content.get("parts"))
        if not parts:
            raise Refused(_EMPTY.format(at=at))
        for number, part in enumerate(parts):
            _check_part(part, f"contents[{at}].parts[{number}]")


def _check_part(part: JSONObject, where: str) -> None:
    _check_keys(part, _DATA | {"thought", "videoMetadata"}, f" at '{where}'")
    if not _DATA.intersection(part):
        raise Refused(
            f"* GenerateContentRequest.{where}.data: required oneof field 'data' must have one"
            " initialized field\n"
        )
    for kind, key, field in (
        ("functionCall", "args", "function_call.args"),
        ("functionResponse", "response", "function_response.response"),
    ):
        value = child(part, kind).get(key)
        if value is not None and not isinstance(value, dict):
            raise Refused(
                f"Invalid value at '{where}.{field}' (type.googleapis.com/google.protobuf.Struct),"
                f" {json.dumps(value)}"
            )


def _having(content: JSONObject, kind: str) -> list[JSONObject]:
    return [part for part in rows(content.get("parts")) if kind in part]


def _check_calls(contents: list[JSONObject]) -> None:
    calls, before = 0, ""
    for content in contents:
        role = content.get("role", "user")
        answers = len(_having(content, "functionResponse"))
        if answers and not calls:
            raise Refused(_AFTER_CALL)
        if answers != calls:
            raise Refused(_EQUAL)
        calls = len(_having(content, "functionCall"))
        if calls and before != "user":
            raise Refused(_AFTER_USER)
        before = role
    if calls:
        raise Refused(_EQUAL)


def _check_signatures(contents: list[JSONObject], seal: Seal, *, thinks: bool) -> None:
    """What was signed is unchanged; in the turn that goes on, the first call of each step is."""
    current = list(
        takewhile(lambda c: c.get("role") == "model" or not _having(c, "text"), reversed(contents))
    )
    for at, content in enumerate(contents):
        said = ""
        for part in rows(content.get("parts")):
            said += str(part.get("text", "")) if not part.get("thought") else ""
            signature = part.get("thoughtSignature")
            if signature is not None and not _holds(seal, part, signature, said):
                raise Refused("Corrupted thought signature.")
        first = next(iter(_having(content, "functionCall")), None)
        running = any(content is one for one in current)
        if thinks and running and first and "thoughtSignature" not in first:
            name = child(first, "functionCall").get("name")
            raise Refused(_MISSING.format(name=name, at=at + 1))


def _holds(seal: Seal, part: JSONObject, signature: Any, said: str) -> bool:
    if signature in UNSIGNED:
        return True
    if call := child(part, "functionCall"):
        arguments = json.dumps(call.get("args", {}), sort_keys=True)
        return seal.holds(signature, "call", str(call.get("name")), arguments)
    return seal.holds(signature, "text", str(part.get("text", ""))) or seal.holds(
        signature, "text", said
    )


def _functions(tools: Any) -> Iterator[Function]:
    for at, tool in enumerate(rows(tools)):
        for number, declared in enumerate(rows(tool.get("functionDeclarations"))):
            where = f"tools[{at}].function_declarations[{number}]"
            _check_keys(declared, _DECLARED, f" at '{where}'")
            _check_schema(declared.get("parameters"), f"{where}.parameters")
            schema = declared.get("parameters") or declared.get("parametersJsonSchema")
            yield Function(str(declared.get("name")), _lowered(schema))


def _check_schema(schema: Any, where: str) -> None:
    """Google knows a part of OpenAPI's schema and refuses every other key."""
    if not isinstance(schema, dict):
        return
    _check_keys(schema, _SCHEMA, f" at '{where}'")
    if isinstance(schema.get("type"), list):
        raise Refused(
            f"Invalid JSON payload received. Unknown name \"type\" at '{where}': Proto field is"
            " not repeating, cannot start list."
        )
    if str(schema.get("type")).lower() == "string" and schema.get("format") not in _FORMATS:
        raise Refused(
            f"* GenerateContentRequest.{where}.format: only 'enum' and 'date-time' are supported"
            " for STRING type\n"
        )
    properties = child(schema, "properties")
    for at, inner in enumerate(properties.values()):
        _check_schema(inner, f"{where}.properties[{at}].value")
    for at, name in enumerate(schema.get("required") or ()):
        if name not in properties:
            raise Refused(
                f"* GenerateContentRequest.{where}.required[{at}]: property is not defined\n"
            )
    _check_schema(schema.get("items"), f"{where}.items")
    for at, inner in enumerate(rows(schema.get("anyOf"))):
        _check_schema(inner, f"{where}.any_of[{at}]")


def _lowered(schema: Any) -> Any:
    """A schema whose types may be written in capitals, as Google's own are."""
    if isinstance(schema, list):
        return [_lowered(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    lowered = {key: _lowered(value) for key, value in schema.items()}
    if isinstance(kind := schema.get("type"), str):
        lowered["type"] = kind.lower()
    return lowered


def _choice(
    calling: JSONObject, functions: tuple[Function, ...]
) -> tuple[str, bool, tuple[Function, ...]]:
    allowed = calling.get("allowedFunctionNames")
    if isinstance(allowed, list):
        functions = tuple(function for function in functions if function.name in allowed)
    match calling.get("mode"):
        case "ANY" if isinstance(allowed, list) and len(allowed) == 1:
            return str(allowed[0]), True, functions
        case "ANY":
            return "required", False, functions
        case mode:
            return ("none" if mode == "NONE" else "auto"), False, functions


def _wanted_format(config: JSONObject) -> tuple[bool, Any]:
    _check_schema(config.get("responseSchema"), "generation_config.response_schema")
    if config.get("responseMimeType") != "application/json":
        return False, None
    schema = config.get("responseSchema") or config.get("responseJsonSchema")
    return True, _lowered(schema)


def _text(parts: list[JSONObject]) -> str:
    return "".join(str(p["text"]) for p in parts if "text" in p and not p.get("thought"))


def _results(parts: list[JSONObject]) -> str | None:
    """What tools said, where the turn is that and attachments, but no words."""
    answering = [p for p in parts if "inlineData" not in p and "fileData" not in p]
    if not answering or "functionResponse" not in answering[-1]:
        return None
    answers = [child(child(p, "functionResponse"), "response") for p in answering]
    return "; ".join(
        " ".join(v if isinstance(v, str) else json.dumps(v) for v in answer.values())
        for answer in answers
        if answer
    )


def _attachments(turns: list[list[JSONObject]]) -> Iterator[str]:
    kinds = {"image": "image", "audio": "recording", "video": "video"}
    for part in (part for parts in turns for part in parts):
        for data in (child(part, "inlineData"), child(part, "fileData")):
            if data:
                yield kinds.get(str(data.get("mimeType")).partition("/")[0], "file")
