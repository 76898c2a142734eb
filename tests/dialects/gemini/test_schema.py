"""JSON schemas in the keywords that Gemini knows."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.gemini.schema import (
    DEPTH_MAX,
    NODES_MAX,
    gemini_schema,
    parameters_schema,
)
from tests.accepted.gemini import accept_schema

Json = dict[str, Any]
STRING = {"type": "string"}
INTEGER = {"type": "integer"}
KEYWORDS = {
    "type", "format", "title", "description", "enum", "items", "prefixItems", "minItems",
    "maxItems", "minimum", "maximum", "anyOf", "properties", "additionalProperties", "required",
    "propertyOrdering",
}  # fmt: skip
"""All that a translated schema can have, which is less than Gemini knows."""

TABLE: list[tuple[str, Json, Json]] = [
    ("capitals", {"type": "STRING"}, STRING),
    ("an unknown type", {"type": "date"}, {}),
    ("a list of one", {"type": ["string"]}, STRING),
    ("null in a list", {"type": ["string", "null"]}, {"type": ["string", "null"]}),
    ("nullable", {"type": "string", "nullable": True}, {"type": ["string", "null"]}),
    ("nothing but null", {"type": "null"}, {"type": "null"}),
    (
        "several types",
        {"type": ["string", "array", "null"], "items": STRING, "minItems": 1, "title": "T"},
        {
            "title": "T",
            "anyOf": [STRING, {"type": "array", "items": STRING, "minItems": 1}, {"type": "null"}],
        },
    ),
    (
        "several types of numbers share their bounds",
        {"type": ["integer", "number"], "minimum": 1},
        {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "number", "minimum": 1}]},
    ),
    ("several types beside branches", {"type": ["string", "integer"], "anyOf": [STRING]},
     {"anyOf": [STRING]}),
    ("nullable branches", {"anyOf": [STRING], "nullable": True},
     {"anyOf": [STRING, {"type": "null"}]}),
    ("branches with null", {"anyOf": [{"type": "null"}], "nullable": True},
     {"anyOf": [{"type": "null"}]}),
    ("oneOf", {"oneOf": [STRING, INTEGER]}, {"anyOf": [STRING, INTEGER]}),
    ("a constant", {"const": "a"}, {"type": "string", "enum": ["a"]}),
    ("a constant that is no text", {"const": True}, {"type": "boolean"}),
    ("a constant that is null", {"const": None}, {"type": "null"}),
    ("a constant that is an object", {"const": {}}, {}),
    ("an enum", {"enum": ["a", "a", "b"]}, {"type": "string", "enum": ["a", "b"]}),
    ("an enum with null", {"enum": ["a", None]}, {"type": ["string", "null"], "enum": ["a"]}),
    ("an enum of several types", {"type": ["string", "integer"], "enum": ["a", 1]},
     {"enum": ["a", 1]}),
    ("an enum of several types and null", {"enum": ["a", 1, None]},
     {"anyOf": [STRING, INTEGER, {"type": "null"}]}),
    ("an enum of numbers", {"enum": [1, 2.5]}, {"enum": [1, 2.5]}),
    ("an enum that can not be said", {"enum": ["a", True]},
     {"anyOf": [STRING, {"type": "boolean"}]}),
    ("formats", {"type": "string", "format": "date-time"},
     {"type": "string", "format": "date-time"}),
    ("formats of what may be null", {"type": ["integer", "null"], "format": "int32"},
     {"type": ["integer", "null"], "format": "int32"}),
    ("other formats", {"type": "string", "format": "uri", "description": "A page"},
     {"type": "string", "description": "A page (format: uri)"}),
    ("other formats alone", {"type": "string", "format": "uri"},
     {"type": "string", "description": "(format: uri)"}),
    ("what it does not know", {"type": "string", "pattern": "a", "minLength": 1, "examples": [],
                               "default": "", "$schema": "x", "not": {}, "if": {}}, STRING),
    ("exclusive bounds", {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 9},
     {"type": "integer", "minimum": 1, "maximum": 8}),
    ("exclusive bounds of what is not whole", {"type": "number", "exclusiveMinimum": 0},
     {"type": "number"}),
    ("bounds that are none", {"type": "array", "minItems": -1, "maxItems": "9", "minimum": True},
     {"type": "array"}),
    (
        "an object",
        {
            "properties": {"a": STRING, "b": True, "c": False, "d": 3},
            "required": ["a", "x", "a", 3],
            "propertyOrdering": ["b", "a"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {"a": STRING, "b": {}},
            "required": ["a"],
            "propertyOrdering": ["b", "a"],
            "additionalProperties": False,
        },
    ),
    ("a map", {"type": "object", "additionalProperties": STRING},
     {"type": "object", "additionalProperties": STRING}),
    ("a map of anything", {"type": "object", "additionalProperties": {"x": 1}},
     {"type": "object", "additionalProperties": True}),
    ("a tuple", {"prefixItems": [STRING, INTEGER]},
     {"type": "array", "prefixItems": [STRING, INTEGER]}),
    ("a tuple of older drafts", {"type": "array", "items": [STRING]},
     {"type": "array", "prefixItems": [STRING]}),
    ("a list", {"items": STRING}, {"type": "array", "items": STRING}),
    (
        "a reference",
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/a~1b", "description": "D"}},
         "$defs": {"a/b": {"type": "string", "description": "E", "title": "T"}}},
        {"type": "object",
         "properties": {"a": {"type": "string", "title": "T", "description": "D"}}},
    ),
    ("a reference that leads nowhere", {"items": {"$ref": "#/$defs/x"}},
     {"type": "array", "items": {}}),
    ("a reference to elsewhere", {"items": {"$ref": "https://example.com", "type": "string"}},
     {"type": "array", "items": STRING}),
    (
        "a schema that refers to itself",
        {"$defs": {"tree": {"type": "object", "properties": {
            "sons": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}},
         "$ref": "#/$defs/tree"},
        {"type": "object", "properties": {
            "sons": {"type": "array", "items": {"type": "object"}}}},
    ),
    (
        "allOf",
        {"allOf": [
            {"properties": {"a": STRING}, "required": ["a"]},
            {"$ref": "#/$defs/b"}, 3,
        ], "description": "D", "$defs": {"b": {"properties": {"b": INTEGER}, "required": ["b"]}}},
        {"type": "object", "description": "D", "properties": {"a": STRING, "b": INTEGER},
         "required": ["a", "b"]},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "said"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE])
def test_table(schema: Json, said: Json) -> None:
    assert gemini_schema(schema) == said
    assert gemini_schema(said) == said
    accept_schema(said)


def test_parameters_are_an_object_or_none() -> None:
    assert parameters_schema({}) is None
    assert parameters_schema({"type": "string"}) == {"type": "object"}
    assert parameters_schema({"type": ["object", "null"]}) == {"type": "object"}
    assert parameters_schema({"anyOf": [STRING]}) == {"type": "object", "anyOf": [STRING]}
    assert parameters_schema({"properties": {}}) == {"type": "object", "properties": {}}


def size(said: object) -> int:
    if isinstance(said, dict):
        return 1 + sum(map(size, said.values()))
    return sum(map(size, said)) if isinstance(said, list) else 0


def test_a_few_lines_do_not_unfold_to_millions() -> None:
    names = [f"a{number}" for number in range(30)]
    defs: Json = {
        name: {"properties": {"x": {"$ref": f"#/$defs/{after}"}, "y": {"$ref": f"#/$defs/{after}"}}}
        for name, after in itertools.pairwise(names)
    }
    said = gemini_schema({"$ref": "#/$defs/a0", "$defs": defs})
    assert size(said) < 4 * NODES_MAX
    assert gemini_schema(said) == said


def test_it_ends_however_deep() -> None:
    schema: Json = STRING
    for _ in range(200):
        schema = {"type": "array", "items": schema}
    said = gemini_schema(schema)
    assert gemini_schema(said) == said
    merged: Json = {"title": "deep"}
    for _ in range(200):
        merged = {"allOf": [merged]}
    assert gemini_schema(merged) == {}
    assert DEPTH_MAX < 200
    many = {"allOf": [{"title": "T"}] * (NODES_MAX + 9), "properties": {"a": STRING}}
    assert gemini_schema(many)["properties"] == {"a": {}}


PLAIN = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["a", "b", "", "STRING"])
REFS = st.sampled_from(
    ["#", "#/$defs/a", "#/$defs/b", "#/properties/a", "#a", "https://x", "#/x/y"]
)
TYPES = st.sampled_from(["string", "integer", "number", "boolean", "array", "object", "null", "X"])


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    named = st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3)
    several = st.lists(inner, max_size=3)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES | st.lists(TYPES, max_size=3) | PLAIN,
            "nullable": st.booleans(),
            "format": st.sampled_from(["date", "int32", "float", "uri", ""]) | PLAIN,
            "title": PLAIN,
            "description": PLAIN,
            "const": PLAIN,
            "enum": st.lists(PLAIN, max_size=4) | PLAIN,
            "minimum": PLAIN,
            "exclusiveMinimum": PLAIN,
            "minItems": PLAIN,
            "properties": named | PLAIN,
            "required": st.lists(st.sampled_from(["a", "b", "x"]), max_size=3) | PLAIN,
            "propertyOrdering": st.lists(st.sampled_from(["a", "b"]), max_size=2),
            "additionalProperties": inner,
            "items": inner | several,
            "prefixItems": several,
            "anyOf": several,
            "oneOf": several | PLAIN,
            "allOf": several | PLAIN,
            "$ref": REFS | PLAIN,
            "$defs": named,
            "pattern": PLAIN,
        },
    )


SCHEMAS = st.recursive(PLAIN, nested, max_leaves=12).filter(lambda one: isinstance(one, dict))


@given(SCHEMAS)
def test_any_schema_becomes_one_that_gemini_knows(schema: Json) -> None:
    said = gemini_schema(schema)
    accept_schema(said)
    assert said.keys() <= KEYWORDS
    assert gemini_schema(said) == said
    if (parameters := parameters_schema(schema)) is not None:
        assert parameters["type"] == "object"
        assert parameters_schema(parameters) == parameters
