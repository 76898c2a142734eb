"""Odd values of JSON."""

from typing import Any

import pytest

from proxy.dialects.values import json_text, mapping, objects, parsed, string
from proxy.errors import GatewayError


@pytest.mark.parametrize(
    ("value", "text", "whole", "several"),
    [
        ("a", "a", {}, []),
        ("", None, {}, []),
        (None, None, {}, []),
        (5, None, {}, []),
        ({"a": 1}, None, {"a": 1}, []),
        ([{"a": 1}, 5, {}], None, {}, [{"a": 1}, {}]),
    ],
)
def test_what_has_the_wrong_type_is_absent(
    value: object, text: str | None, whole: dict[str, Any], several: list[dict[str, Any]]
) -> None:
    assert (string(value), mapping(value), objects(value)) == (text, whole, several)


@pytest.mark.parametrize(
    ("text", "value"), [('{"a":1}', {"a": 1}), ("[1]", None), ("{", None), (None, None), ("", None)]
)
def test_an_object_in_a_text(text: object, value: object) -> None:
    assert parsed(text) == value


def test_json_of_what_a_provider_said() -> None:
    assert json_text({"a": [1, "é"]}) == '{"a":[1,"é"]}'
    deep: list[Any] = []
    for _ in range(2000):
        deep = [deep]
    with pytest.raises(GatewayError, match="too deeply"):
        json_text(deep)
