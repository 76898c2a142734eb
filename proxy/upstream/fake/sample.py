"""The smallest value that satisfies a JSON schema, for the simulated provider's structured answers.

It knows what callers of language models write: types, `$ref`, `enum`, `const`, unions, `allOf`,
lengths, bounds and the usual formats. `pattern`, `not` and `if` are ignored.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

_DEPTH_MAX = 32  # only a schema that no finite value satisfies goes deeper
_FORMATS: Final[Mapping[str, str]] = {
    "date": "2025-01-31",
    "date-time": "2025-01-31T12:00:00Z",
    "duration": "P1D",
    "email": "ada@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "time": "12:00:00Z",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def sample(schema: Any) -> Any:
    """A value for `schema`, the same each time. Anything that is no schema gives an empty object.

    Objects have their required members, or all of them where the schema names none as required.
    """
    return _sample(schema, schema, 0) if isinstance(schema, dict) else {}


def _sample(schema: Any, root: dict[str, Any], depth: int) -> Any:
    if not isinstance(schema, dict) or depth > _DEPTH_MAX:
        return None
    if isinstance(reference := schema.get("$ref"), str):
        return _sample(_resolve(reference, root), root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if isinstance(options := schema.get("enum"), list) and options:
        return options[0]
    for union in ("anyOf", "oneOf"):
        if isinstance(options := schema.get(union), list) and options:
            return _sample(min(options, key=_weight), root, depth + 1)
    if isinstance(parts := schema.get("allOf"), list) and parts:
        return _sample(_merged(schema, parts, root), root, depth + 1)
    match _type(schema):
        case "object":
            return _object(schema, root, depth)
        case "array":
            return _array(schema, root, depth)
        case "string":
            return _string(schema)
        case "integer" | "number" as kind:
            return _number(schema, whole=kind == "integer")
        case "boolean":
            return True
        case _:
            return None


def _type(schema: dict[str, Any]) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0] if kind else None
    if kind is None:
        return "array" if "items" in schema else "object"
    return kind


def _weight(option: Any) -> bool:
    """References last: they are what makes a schema recursive."""
    return isinstance(option, dict) and "$ref" in option


def _resolve(reference: str, root: dict[str, Any]) -> Any:
    """What a local reference, such as `#/$defs/step`, points at; None where it points nowhere."""
    target: Any = root
    for name in reference.removeprefix("#").split("/")[1:]:
        name = name.replace("~1", "/").replace("~0", "~")
        target = target.get(name) if isinstance(target, dict) else None
    return target


def _merged(schema: dict[str, Any], parts: list[Any], root: dict[str, Any]) -> dict[str, Any]:
    merged = {key: value for key, value in schema.items() if key != "allOf"}
    for part in parts:
        if isinstance(part, dict) and isinstance(reference := part.get("$ref"), str):
            part = _resolve(reference, root)
        for key, value in part.items() if isinstance(part, dict) else ():
            if key == "properties":
                value = {**merged.get(key, {}), **value}
            elif key == "required":
                value = [*merged.get(key, []), *value]
            merged[key] = value
    return merged


def _object(schema: dict[str, Any], root: dict[str, Any], depth: int) -> dict[str, Any]:
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        properties = {}
    required = schema.get("required", list(properties))
    names = [name for name in properties if name in required]
    names += [name for name in required if name not in properties]
    return {
        name: _sample(properties.get(name, {"type": "string"}), root, depth + 1) for name in names
    }


def _array(schema: dict[str, Any], root: dict[str, Any], depth: int) -> list[Any]:
    firsts = schema.get("prefixItems", [])
    rest = max(0, schema.get("minItems", 0) - len(firsts))
    items = [*firsts, *[schema.get("items", {"type": "string"})] * rest]
    return [_sample(item, root, depth + 1) for item in items]


def _string(schema: dict[str, Any]) -> str:
    text = _FORMATS.get(schema.get("format", ""), "water")
    return text.ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength")]


def _number(schema: dict[str, Any], *, whole: bool) -> int | float:
    if step := schema.get("multipleOf") or (1 if whole else 0):
        value = step * _factor(schema, step)
        return int(value) if whole else value
    low: float = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf))
    high: float = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf))
    if math.isfinite(low) and math.isfinite(high):
        return (low + high) / 2
    return min(1, high - 1) if math.isfinite(high) else max(1, low + 1)


def _factor(schema: dict[str, Any], step: float) -> int:
    """The factor of `step` that is within the bounds and nearest to 1."""
    factor = 1
    if (least := schema.get("minimum")) is not None:
        factor = max(factor, math.ceil(least / step))
    if (above := schema.get("exclusiveMinimum")) is not None:
        factor = max(factor, math.floor(above / step) + 1)
    if (most := schema.get("maximum")) is not None:
        factor = min(factor, math.floor(most / step))
    if (below := schema.get("exclusiveMaximum")) is not None:
        factor = min(factor, math.ceil(below / step) - 1)
    return factor
