"""Function calls: ids that are made up, arguments that come in pieces."""

from typing import Any

import pytest

from proxy.dialects.gemini.calls import Calls, made_up_id, written
from proxy.errors import GatewayError
from proxy.wire.events import ToolCall
from tests.truths import gemini

Json = dict[str, Any]


def read(*parts: Json, choice: int = 0) -> list[ToolCall]:
    calls = Calls(choice)
    events = [event for part in parts for event in calls.read(part, "resp-1")]
    return [*events, *calls.end()]


def arguments(*pieces: Json) -> str:
    """The arguments that come of these pieces."""
    parts: list[Json] = [{"name": "a", "willContinue": True}]
    parts += [{"partialArgs": [piece], "willContinue": True} for piece in pieces]
    first, last = read(*parts, {})
    assert (first.name, first.arguments) == ("a", "")
    assert (last.id, last.name, last.index) == (None, None, 0)
    return last.arguments


def test_the_id_is_made_of_the_answer_and_the_place() -> None:
    ids = {
        made_up_id(answer, choice, number, name)
        for answer in ("r", "s", "")
        for choice in range(3)
        for number in range(-3, 3)
        for name in ("a", "b")
    }
    assert len(ids) == 108
    assert all(one.startswith(("tool_a_", "tool_b_")) for one in ids)
    odd = made_up_id("r", 0, 0, "get.weather:for a city é")
    assert odd.startswith("tool_get_weather_fo_")
    assert len(odd) == 40
    assert odd == gemini.made_up_id("r", 0, 0, "get.weather:for a city é")


def test_whole_calls() -> None:
    assert read({"name": "a", "args": {"x": "é"}}, {"name": "b", "id": "i"}, choice=1) == [
        ToolCall(1, 0, made_up_id("resp-1", 1, 0, "a"), "a", '{"x":"é"}'),
        ToolCall(1, 1, "i", "b", "{}"),
    ]
    assert read({"args": {"x": 1}}, {"name": ""}, {}) == []


PIECES: list[tuple[tuple[Json, ...], str]] = [
    ((), "{}"),
    (({"jsonPath": "$.a", "stringValue": "x"}, {"jsonPath": "$.a", "stringValue": "y"}),
     '{"a":"xy"}'),
    (({"jsonPath": "$.a", "numberValue": 1}, {"jsonPath": "$.b", "boolValue": False}),
     '{"a":1,"b":false}'),
    (({"jsonPath": "$.a", "nullValue": "NULL_VALUE"},), '{"a":null}'),
    (({"jsonPath": "$.a.b[0].c", "stringValue": "x"}, {"jsonPath": "$.a.b[1].c", "numberValue": 2}),
     '{"a":{"b":[{"c":"x"},{"c":2}]}}'),
    (({"jsonPath": "$['a b'][0]", "stringValue": "x"}, {"jsonPath": "$['a b'][0]",
                                                       "stringValue": "y"}), '{"a b":["xy"]}'),
    (({"jsonPath": "$.a[3]", "stringValue": "beyond"},), '{"a":[]}'),
    (({"jsonPath": "$.a", "stringValue": "x"}, {"jsonPath": "$.a.b", "stringValue": "y"}),
     '{"a":"x"}'),
    (({"jsonPath": "$[0]", "stringValue": "x"},), "{}"),
    (({"jsonPath": "$", "stringValue": "x"}, {"jsonPath": 3, "stringValue": "x"}), "{}"),
    (({"jsonPath": "$.a"},), "{}"),
]  # fmt: skip


@pytest.mark.parametrize(("pieces", "said"), PIECES)
def test_pieces_of_arguments(pieces: tuple[Json, ...], said: str) -> None:
    assert arguments(*pieces) == said


def test_a_call_ends_where_the_next_begins_or_the_answer_ends() -> None:
    begun = {"name": "a", "args": {"x": 1}, "willContinue": True}
    one, two, three = read(begun, {"name": "b"})
    assert (one.arguments, two.arguments, three.name) == ("", '{"x":1}', "b")
    assert [event.arguments for event in read(begun)] == ["", '{"x":1}']


def test_what_is_too_deep_is_malformed() -> None:
    deep: Json = {}
    for _ in range(300):
        deep = {"a": deep}
    with pytest.raises(GatewayError) as caught:
        written(deep)
    assert caught.value.kind == "provider_malformed"
    assert written(None) == "{}"
