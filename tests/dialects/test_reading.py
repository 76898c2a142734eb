"""A stream of objects as events, and the objects themselves."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.reading import Decoder, parse
from proxy.errors import GatewayError
from proxy.wire.events import Ended, Event, Text


def read(name: str, value: dict[str, Any], events: list[Event]) -> None:
    events.append(Text(0, f"{name}:{value.get('t')}"))
    if value.get("end"):
        events.append(Ended())


BODY = (
    b'event: a\ndata: {"t":"1"}\n\n: note\n\ndata: {"t":"\xc3\xa9"}\r\n\r\ndata:\n\n'
    b'data: {"t":"3","end":true}\n\ndata: {"t":"4"}\n\n'
)
EVENTS = [Text(0, "a:1"), Text(0, "message:é"), Text(0, "message:3"), Ended()]


@given(st.lists(st.integers(1, 20), max_size=40))
def test_slicing_changes_nothing(sizes: list[int]) -> None:
    decoder, rest, events = Decoder(read), BODY, list[Event]()
    for size in sizes:
        events += decoder.feed(rest[:size])
        rest = rest[size:]
    assert [*events, *decoder.feed(rest), *decoder.end()] == EVENTS


def test_the_mark_of_done_ends_it_too() -> None:
    decoder = Decoder(read)
    assert list(decoder.feed(b'data: [DONE]\n\ndata: {"t":"1"}\n\n')) == [Ended()]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff"])
def test_what_is_no_object_is_malformed(body: bytes) -> None:
    with pytest.raises(GatewayError) as raised:
        parse(body)
    assert raised.value.kind == "provider_malformed"


def test_a_character_in_two_halves() -> None:
    halves: list[bytes] = []
    assert parse(rb'{"t":"a\ud83d"}', halves) == {"t": "a"}
    assert parse(rb'{"t":"\ude00b"}', halves) == {"t": "😀b"}
    assert json.dumps(parse(rb'{"t":"\ude00"}')) == json.dumps({"t": "\ufffd"})
