"""The sampled value fits its schema, whatever the schema."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.fake.sample import sample

LINKED = {
    "$defs": {"node": {"type": "object", "required": ["next"], "properties": {"next": {
        "anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}}},
    "$ref": "#/$defs/node",
}  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (None, {}),
        ({}, {}),
        ({"type": "string"}, "water"),
        ({"type": "string", "minLength": 7}, "water.."),
        ({"type": "string", "maxLength": 2}, "wa"),
        ({"type": "string", "format": "email"}, "ada@example.com"),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["string", "null"]}, "water"),
        ({"type": []}, {}),
        ({"type": "integer"}, 1),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "integer", "maximum": -5}, -5),
        ({"type": "integer", "multipleOf": 4, "exclusiveMinimum": 4}, 8),
        ({"type": "integer", "multipleOf": 5, "exclusiveMinimum": 6, "maximum": 12}, 10),
        ({"type": "number", "minimum": 0, "exclusiveMaximum": 0.5}, 0.25),
        ({"type": "number", "exclusiveMinimum": 3}, 4),
        ({"type": "number", "maximum": 0}, -1),
        ({"enum": ["a", "b"]}, "a"),
        ({"const": 3}, 3),
        ({"items": {"type": "string"}, "minItems": 2}, ["water", "water"]),
        ({"type": "array", "prefixItems": [{"const": 1}], "minItems": 2}, [1, "water"]),
        ({"properties": {"a": {"type": "integer"}, "b": {"const": 2}}}, {"a": 1, "b": 2}),
        ({"properties": {"a": {"const": 1}, "b": {"const": 2}}, "required": ["b"]}, {"b": 2}),
        ({"type": "object", "required": ["c"]}, {"c": "water"}),
        ({"oneOf": [{"$ref": "#"}, {"const": 1}]}, 1),
        ({"allOf": [{"properties": {"a": {"const": 1}}, "required": ["a"]}, {"$ref": "#/$defs/b"}],
          "$defs": {"b": {"properties": {"b": {"const": 2}}, "required": ["b"]}}},
         {"a": 1, "b": 2}),
        ({"allOf": [True, {"type": "integer"}]}, 1),
        (LINKED, {"next": None}),
        ({"properties": {"a": {"$ref": "#/$defs/a~1b"}}, "$defs": {"a/b": {"const": 1}}}, {"a": 1}),
        ({"properties": {"a": {"$ref": "#/nowhere/x"}}}, {"a": None}),
    ],
)  # fmt: skip
def test_samples(schema: Any, value: Any) -> None:
    assert sample(schema) == value


def test_a_schema_that_nothing_finite_fits_ends() -> None:
    schema = {"type": "object", "properties": {"self": {"$ref": "#"}}, "required": ["self"]}
    depth, value = 0, sample(schema)
    while value is not None:
        depth, value = depth + 1, value["self"]
    assert 10 < depth < 40


@given(
    low=st.integers(-50, 50),
    span=st.integers(4, 60),
    step=st.sampled_from([None, 1, 2, 3]),
    exclusive=st.booleans(),
    whole=st.booleans(),
)
def test_numbers_keep_their_bounds(
    low: int, span: int, step: int | None, exclusive: bool, whole: bool
) -> None:
    high = low + span
    names = ("exclusiveMinimum", "exclusiveMaximum") if exclusive else ("minimum", "maximum")
    schema = {"type": "integer" if whole else "number", names[0]: low, names[1]: high}
    if step:
        schema["multipleOf"] = step
    value = sample(schema)
    assert low < value < high or (not exclusive and low <= value <= high)
    assert value % (step or (1 if whole else value or 1)) == 0
    assert isinstance(value, int) or not whole
