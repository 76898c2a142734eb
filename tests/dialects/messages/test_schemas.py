"""Schemas become what a grammar can hold, and nothing that they say is lost."""

from typing import Any

import pytest

from proxy.dialects.messages.schemas import strict_schema
from proxy.errors import GatewayError

CLOSED = {"additionalProperties": False}


def test_a_schema_without_bottom() -> None:
    schema: dict[str, Any] = {"type": "array"}
    schema["items"] = schema
    with pytest.raises(GatewayError) as caught:
        strict_schema(schema)
    assert caught.value.kind == "invalid_request"


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (True, True),
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
        (
            {"type": "string", "format": "phone", "description": "A number."},
            {"type": "string", "description": 'A number.\n\n{"format":"phone"}'},
        ),
        (
            {"type": "integer", "minimum": 1, "maximum": 9},
            {"type": "integer", "description": '{"minimum":1,"maximum":9}'},
        ),
        (
            {"$schema": "x", "type": "object", "properties": {"a": {"type": "object"}}},
            {"type": "object", "properties": {"a": {"type": "object", **CLOSED}}, **CLOSED},
        ),
        (
            {"properties": {"a": {"enum": [1, None]}}, "required": ["a"]},
            {"properties": {"a": {"enum": [1, None]}}, "required": ["a"], **CLOSED},
        ),
        (
            {"type": ["object", "null"], "additionalProperties": True},
            {"type": ["object", "null"], **CLOSED},
        ),
        (
            {"type": "array", "items": {"type": "object"}, "minItems": 1},
            {"type": "array", "items": {"type": "object", **CLOSED}, "minItems": 1},
        ),
        (
            {"type": "array", "minItems": 3},
            {"type": "array", "description": '{"minItems":3}'},
        ),
        (
            {"oneOf": [{"type": "object"}, {"$ref": "#/$defs/a"}], "$defs": {"a": {"const": 1}}},
            {
                "anyOf": [{"type": "object", **CLOSED}, {"$ref": "#/$defs/a"}],
                "$defs": {"a": {"const": 1}},
            },
        ),
        ({"allOf": [{"type": "null"}], "title": "T"}, {"allOf": [{"type": "null"}], "title": "T"}),
    ],
)
def test_what_a_grammar_can_hold(schema: Any, strict: Any) -> None:
    assert strict_schema(schema) == strict
