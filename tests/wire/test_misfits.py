"""Whatever msgspec finds wrong with a value is said in plain words, and nothing of the value."""

from decimal import Decimal
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.wire.misfits import explained


class Row(msgspec.Struct, forbid_unknown_fields=True):
    count: int
    price: Decimal | None = None


class Form(msgspec.Struct):
    text: str | None = None
    flag: bool | None = None
    ratio: float | None = None
    word: Literal["a", "b"] | None = None
    rows: list[Row] | None = None
    named: dict[str, Row] | None = None
    either: str | list[str] | None = None


def told(value: Any, within: str = "") -> str:
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.convert(value, Form)
    return explained(str(raised.value), within)


SAID: list[tuple[Any, str]] = [
    ({"text": 1}, "text: expected a string, got a number"),
    ({"text": True}, "text: expected a string, got a boolean"),
    ({"flag": "x"}, "flag: expected true or false, got a string"),
    ({"ratio": []}, "ratio: expected a number, got a list"),
    ({"rows": {}}, "rows: expected a list, got an object"),
    ({"rows": [{"count": 1.5}]}, "rows[0].count: expected a whole number, got a decimal number"),
    ({"rows": [{"count": 1}, {"count": None}]}, "rows[1].count: expected a whole number, got null"),
    ({"rows": [{"count": 1, "price": "x"}]}, "rows[0].price: none of the values it can have"),
    ({"rows": [{"count": 1, "price": []}]}, "rows[0].price: expected a number, got a list"),
    ({"rows": [{}]}, "rows[0].count: required"),
    ({"rows": [{"count": 1, "secret": 2}]}, "rows[0]: has a field that is not known"),
    ({"named": {"secret": 5}}, "named[...]: expected an object, got a number"),
    ({"word": "secret"}, "word: none of the values it can have"),
    ({"either": 5}, "either: expected a string or a list, got a number"),
]


@pytest.mark.parametrize(("value", "message"), SAID, ids=str)
def test_what_is_said(value: Any, message: str) -> None:
    assert told(value) == message
    assert told(value, "provider") == f"provider.{message}"


def test_a_value_that_is_wrong_as_a_whole() -> None:
    assert told([], "provider") == "provider: expected an object, got a list"
    assert told([]) == "The body: expected an object, got a list"


def test_a_field_of_the_body_itself() -> None:
    for value, message in (
        ({}, "count: required"),
        ({"count": 1, "secret": 2}, "The body: has a field that is not known"),
    ):
        with pytest.raises(msgspec.ValidationError) as raised:
            msgspec.convert(value, Row)
        assert explained(str(raised.value)) == message


def test_another_reason_is_told_as_it_is() -> None:
    assert explained("Number out of range - at `$.count`") == "count: number out of range"


VALUE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.just("SECRET - at `$.x`")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(
            st.sampled_from(("count", "price", "SECRET", "SECRET - at `$.y`")), inner, max_size=2
        ),
    ),
    max_leaves=5,
)
NAMES = ("text", "flag", "ratio", "word", "rows", "named", "either")


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), VALUE, max_size=3))
def test_nothing_of_what_a_caller_wrote_is_told(value: Any) -> None:
    try:
        msgspec.convert(value, Form)
    except msgspec.ValidationError as error:
        message = explained(str(error))
        assert message.startswith(NAMES)
        assert "SECRET" not in message
