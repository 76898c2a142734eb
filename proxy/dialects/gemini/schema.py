"""JSON schemas as Gemini takes them: the documented keywords, and what can be said in them.

Source: Google's reference of `responseJsonSchema` and `parametersJsonSchema`, which list the
keywords. References are replaced by what they refer to: a schema that refers to itself is cut where
it would begin again. What no keyword can say is left out, which makes a schema wider, never
narrower.
"""

from typing import Any, Final

NODES_MAX: Final = 5_000
"""Of one schema after its references are replaced; a few lines could unfold to millions."""

DEPTH_MAX: Final = 48

_FORMATS = {
    "string": ("date-time", "date", "time"),
    "number": ("float", "double"),
    "integer": ("int32", "int64"),
}
_TYPES = ("string", "number", "integer", "boolean", "array", "object", "null")
_OF_TYPE = {
    "object": ("properties", "additionalProperties", "required", "propertyOrdering"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "number": ("minimum", "maximum"),
    "integer": ("minimum", "maximum"),
}
"""The keywords that go with one of several types."""

Schema = dict[str, Any]


def gemini_schema(schema: Schema) -> Schema:
    """`schema` in Gemini's keywords; translating twice changes nothing."""
    return _Translation(schema).translate(schema, (), 0)


def parameters_schema(schema: Schema) -> Schema | None:
    """A function's parameters, which must be an object; None where it takes none."""
    said = gemini_schema(schema)
    if not said:
        return None
    if "object" not in said.get("type", "object"):
        return {"type": "object"}
    return said | {"type": "object"}


class _Translation:
    """One schema, with the references into it and the nodes that it may still have."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._nodes = NODES_MAX

    def translate(self, raw: Any, refs: tuple[str, ...], depth: int) -> Schema:
        self._nodes -= 1
        if not isinstance(raw, dict) or self._nodes < 0 or depth > DEPTH_MAX:
            return {}
        raw, refs = self._flat(raw, refs, 0)
        said = _scalars(raw)
        said |= self._branches(raw, refs, depth)
        _narrow_enum(said, raw)
        _set_type(said, raw)
        _set_format(said, raw)
        return {key: said[key] for key in _ORDER if key in said}

    def _flat(
        self, raw: Schema, refs: tuple[str, ...], depth: int
    ) -> tuple[Schema, tuple[str, ...]]:
        """A schema with its reference replaced and its `allOf` merged into it."""
        while isinstance(ref := raw.get("$ref"), str):
            beside = {key: value for key, value in raw.items() if key != "$ref"}
            target = None if ref in refs else self._resolve(ref)
            if target is None:
                type_ = (self._resolve(ref) or {}).get("type")
                raw = ({"type": type_} if isinstance(type_, str) else {}) | beside
                break
            refs = (*refs, ref)
            raw = target | beside
        for member in _list(raw.get("allOf")):
            self._nodes -= 1
            if isinstance(member, dict) and self._nodes >= 0 and depth < DEPTH_MAX:
                flat, refs = self._flat(member, refs, depth + 1)
                raw = _merged(raw, flat)
        return raw, refs

    def _resolve(self, ref: str) -> Schema | None:
        """What a reference into the same schema points to."""
        place: Any = self._root
        if not ref.startswith("#"):
            return None
        for step in filter(None, ref[1:].split("/")):
            step = step.replace("~1", "/").replace("~0", "~")
            place = place.get(step) if isinstance(place, dict) else None
        return place if isinstance(place, dict) else None

    def _branches(self, raw: Schema, refs: tuple[str, ...], depth: int) -> Schema:
        """The keywords that hold schemas."""
        said: Schema = {}
        properties = raw.get("properties")
        if isinstance(properties, dict):
            said["properties"] = {
                name: self.translate(value, refs, depth + 1)
                for name, value in properties.items()
                if isinstance(value, dict) or value is True
            }
        extra = raw.get("additionalProperties")
        if isinstance(extra, bool):
            said["additionalProperties"] = extra
        elif isinstance(extra, dict):
            said["additionalProperties"] = self.translate(extra, refs, depth + 1) or True
        if isinstance(raw.get("items"), dict):
            said["items"] = self.translate(raw["items"], refs, depth + 1)
        # A list of items is how older drafts write a tuple.
        places = raw.get("prefixItems", raw.get("items"))
        if isinstance(places, list) and places:
            said["prefixItems"] = [self.translate(one, refs, depth + 1) for one in places]
        members = [one for key in ("anyOf", "oneOf") for one in _list(raw.get(key))]
        if members:
            said["anyOf"] = [self.translate(one, refs, depth + 1) for one in members]
        known = said.get("properties", {})
        for key in ("required", "propertyOrdering"):
            if names := [name for name in _list(raw.get(key)) if _in(name, known)]:
                said[key] = list(dict.fromkeys(names))
        return said


_ORDER = (
    "type", "format", "title", "description", "enum", "properties", "required",
    "propertyOrdering", "additionalProperties", "items", "prefixItems", "minItems", "maxItems",
    "minimum", "maximum", "anyOf",
)  # fmt: skip


def _scalars(raw: Schema) -> Schema:
    """The keywords that hold plain values."""
    said: Schema = {}
    for key in ("title", "description"):
        if isinstance(raw.get(key), str) and raw[key]:
            said[key] = raw[key]
    for key in ("minItems", "maxItems"):
        if _number(raw.get(key)) and raw[key] >= 0:
            said[key] = int(raw[key])
    for key in ("minimum", "maximum"):
        if _number(raw.get(key)):
            said[key] = raw[key]
    if "integer" in _names(raw.get("type")):
        # Only of whole numbers is the next one known.
        for key, bound, step in (("exclusiveMinimum", "minimum", 1),
                                 ("exclusiveMaximum", "maximum", -1)):  # fmt: skip
            if isinstance(raw.get(key), int) and _number(raw[key]):
                said.setdefault(bound, raw[key] + step)
    return said


def _narrow_enum(said: Schema, raw: Schema) -> None:
    """The texts and numbers that are allowed: Gemini lists nothing else."""
    values = [raw["const"]] if "const" in raw else _list(raw.get("enum"))
    kept = [value for value in values if isinstance(value, str) or _number(value)]
    if kept and len(kept) + values.count(None) == len(values):
        said["enum"] = list(dict.fromkeys(kept))


def _set_type(said: Schema, raw: Schema) -> None:
    """The type, as one word, beside `null` where that is allowed too; several become branches."""
    names = _names(raw.get("type")) or _guessed(said, raw)
    nullable = raw.get("nullable") is True or "null" in names
    plain = [name for name in names if name != "null"]
    if len(plain) > 1:
        if "enum" in said and nullable:
            del said["enum"]  # it could not say that null is allowed
        if "anyOf" in said or "enum" in said:
            plain, nullable = _guessed(said, said), False
    if len(plain) > 1:
        if "enum" not in said:
            _branch(said, [*plain, "null"] if nullable else plain)
    elif plain:
        said["type"] = [*plain, "null"] if nullable else plain[0]
    elif "null" in names:
        said["type"] = "null"
    elif nullable and "anyOf" in said and {"type": "null"} not in said["anyOf"]:
        said["anyOf"].append({"type": "null"})


def _branch(said: Schema, names: list[str]) -> None:
    """Makes a branch of each type, with the keywords that are about it."""
    moved = {key: said.pop(key) for keys in _OF_TYPE.values() for key in keys if key in said}
    said["anyOf"] = [
        {"type": name, **{key: moved[key] for key in _OF_TYPE.get(name, ()) if key in moved}}
        for name in names
    ]


def _guessed(said: Schema, raw: Schema) -> list[str]:
    """The type that goes without saying."""
    if "anyOf" in said:
        return []
    values = [raw["const"]] if "const" in raw else _list(raw.get("enum"))
    names = [_type_of(value) for value in values]
    if names and all(names):
        return list(dict.fromkeys(name for name in names if name))
    if "properties" in said:
        return ["object"]
    return ["array"] if "items" in said or "prefixItems" in said else []


def _set_format(said: Schema, raw: Schema) -> None:
    """A format that Gemini knows; any other becomes part of the description."""
    format_, type_ = raw.get("format"), said.get("type")
    if not isinstance(format_, str) or not format_:
        return
    name = type_[0] if isinstance(type_, list) else type_
    if format_ in _FORMATS.get(str(name), ()):
        said["format"] = format_
    else:
        said["description"] = f"{said.get('description', '')} (format: {format_})".strip()


def _merged(one: Schema, other: Schema) -> Schema:
    """What holds where both hold, as far as it can be written as one schema."""
    merged = {**other, **one}
    for key in ("properties", "required", "$defs"):
        first, second = one.get(key), other.get(key)
        if isinstance(first, dict) and isinstance(second, dict):
            merged[key] = {**second, **first}
        elif isinstance(first, list) and isinstance(second, list):
            merged[key] = [*first, *second]
    return merged


def _type_of(value: object) -> str | None:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    return ("integer" if isinstance(value, int) else "number") if _number(value) else None


def _names(said: object) -> list[str]:
    """The types that are named, each once; Google's own clients write them in capitals."""
    names = said if isinstance(said, list) else [said]
    lower = [name.lower() for name in names if isinstance(name, str)]
    return list(dict.fromkeys(name for name in lower if name in _TYPES))


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _in(name: object, known: dict[str, Any]) -> bool:
    return isinstance(name, str) and name in known
