"""JSON schemas as Anthropic compiles them into a grammar.

It answers 400 to an object without `additionalProperties: false` (recorded) and to constraints
that a grammar can not hold; those are said in the description instead, as its own SDK does, so
that the model still reads them.
"""

from typing import Any, Final

import msgspec

from proxy.errors import GatewayError

_SCHEMAS: Final = ("anyOf", "allOf")
_NAMED: Final = ("properties", "$defs", "definitions")
_PLAIN: Final = ("type", "enum", "const", "description", "title", "required", "$ref", "default")
_FORMATS: Final = frozenset(
    ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")
)


def strict_schema(schema: Any) -> Any:
    """`schema` with all its objects closed, and what can not be held to as words.

    Raises GatewayError `invalid_request` for one that is nested too deeply.
    """
    try:
        return _strict(schema)
    except RecursionError:
        raise GatewayError("invalid_request", "The schema is nested too deeply.") from None


def _strict(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    strict: dict[str, Any] = {}
    words: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _NAMED and isinstance(value, dict):
            strict[key] = {name: _strict(one) for name, one in value.items()}
        elif (key in _SCHEMAS or key == "oneOf") and isinstance(value, list):
            strict["anyOf" if key == "oneOf" else key] = [_strict(one) for one in value]
        elif key == "items":
            strict[key] = _strict(value)
        elif key in _PLAIN or _held(key, value):
            strict[key] = value
        elif key not in ("$schema", "$id", "additionalProperties"):
            words[key] = value
    if "object" in _types(schema):
        strict["additionalProperties"] = False
    if words:
        said = msgspec.json.encode(words).decode()
        described = schema.get("description")
        strict["description"] = f"{described}\n\n{said}" if described else said
    return strict


def _held(key: str, value: Any) -> bool:
    if key == "format":
        return value in _FORMATS
    return key == "minItems" and value in (0, 1)


def _types(schema: dict[str, Any]) -> list[Any]:
    said = schema.get("type", "object" if "properties" in schema else None)
    return said if isinstance(said, list) else [said]
