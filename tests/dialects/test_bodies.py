"""A body in steps says what it says at once: the same object, or the same refusal."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.dialects import INBOUND
from proxy.dialects.bodies import (
    BIG_BODY_BYTES,
    VALUES_MAX,
    decode_object,
    object_steps,
    too_many,
)
from proxy.errors import GatewayError
from proxy.wire.slices import at_once
from tests.dialects.chat.test_request import BROKEN

FILLER = b'{"messages":[{"role":"user","content":"%b"}],"rest":' % (b"x" * BIG_BODY_BYTES)

WRONG = {
    **BROKEN,
    "large and nothing": b" " * BIG_BODY_BYTES,
    "large and a list": b"[" + b"1," * 100_000 + b"1]",
    "large and cut": FILLER,
    "large and too many values": FILLER + b"[" + b"[]," * VALUES_MAX + b"[]]}",
    **{
        f"large with {name}": FILLER + body + b"}"
        for name, body in BROKEN.items()
        if body[:1] == b"{"
    },
}


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG)
def test_a_refusal_is_the_same(body: bytes) -> None:
    told = []
    for read in (decode_object, lambda body: at_once(object_steps(body))):
        try:
            told.append(repr(read(body)))
        except GatewayError as error:
            told.append(f"{error.kind}: {error.message}")
    assert told[0] == told[1]


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(max_size=3), st.one_of(st.text(), st.integers(), st.floats(0, 1))))
def test_an_object_is_the_same(more: dict[str, object]) -> None:
    body = FILLER + json.dumps(more).encode() + b"}"
    assert at_once(object_steps(body)) == decode_object(body)


@pytest.mark.parametrize(
    ("body", "many"),
    [
        (b"[" + b"1," * (VALUES_MAX - 1) + b"1]", False),
        (b"[" + b"1," * VALUES_MAX + b"1]", True),
        (b'["' + b"," * 2 * VALUES_MAX + b'"]', False),
        (b'["' + b"," * 2 * VALUES_MAX + b'"' + b',""' * (VALUES_MAX // 2 - 1) + b"]", False),
        (b'["' + b"," * 2 * VALUES_MAX + b'"' + b',""' * (VALUES_MAX // 2) + b"]", True),
        (b"[" * VALUES_MAX, False),
        (b"[" * (VALUES_MAX + 1), True),
    ],
)
def test_values_are_counted_to_the_last(body: bytes, many: bool) -> None:
    assert too_many(body) is many


TALK = [{"role": "user", "content": "x" * 700}, {"role": "assistant", "content": "y" * 700}] * 200
LARGE: dict[str, dict[str, object]] = {
    "chat": {"model": "a/b", "messages": TALK},
    "messages": {"model": "a/b", "max_tokens": 5, "messages": TALK},
    "count": {"model": "a/b", "max_tokens": 5, "messages": TALK},
    "responses": {"model": "a/b", "input": TALK},
    "completions": {"model": "a/b", "prompt": "x" * BIG_BODY_BYTES},
}


@pytest.mark.parametrize("form", LARGE)
def test_a_large_request_is_the_same_in_steps(form: str) -> None:
    body, row = json.dumps(LARGE[form]).encode(), INBOUND[form]
    assert len(body) > BIG_BODY_BYTES
    assert at_once(row.decode_steps(body, ())) == row.decode_request(body, ())
    wrong = json.dumps(LARGE[form] | {"temperature": "hot"}).encode()
    told = []
    for read in (row.decode_request, lambda *args: at_once(row.decode_steps(*args))):
        with pytest.raises(GatewayError) as raised:
            read(wrong, ())
        told.append(raised.value.message)
    assert told[0] == told[1]
