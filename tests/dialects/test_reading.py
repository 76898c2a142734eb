"""A stream of objects as events, and the objects themselves."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.reading import Decoder, NoStream, parse, verbatim_answer, verbatim_stream
from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.events import Ended, Event, Text, Verbatim
from proxy.wire.frames import FRAME_BYTES_MAX


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


# A provider that speaks its caller's format is carried as it came.


@given(st.lists(st.integers(1, 20), max_size=40))
def test_frames_are_kept_as_they_came_however_they_were_sliced(sizes: list[int]) -> None:
    decoder, rest, events = Decoder(read).keep(), BODY, list[Event]()
    for size in sizes:
        events += decoder.feed(rest[:size])
        rest = rest[size:]
    assert [*events, *decoder.feed(rest), *decoder.end()] == [
        Verbatim("a", b'{"t":"1"}', {"t": "1"}, (EVENTS[0],)),
        Verbatim("message", '{"t":"é"}'.encode(), {"t": "é"}, (EVENTS[1],)),
        Verbatim("message", b'{"t":"3","end":true}', {"t": "3", "end": True}, tuple(EVENTS[2:])),
    ]


def test_the_mark_of_done_is_no_frame_to_keep() -> None:
    assert list(Decoder(read).keep().feed(b"data: [DONE]\n\n")) == [Ended()]


def test_what_means_nothing_is_kept_all_the_same() -> None:
    decoder = Decoder(lambda name, said, events: None).keep()
    assert list(decoder.feed(b'event: ping\ndata: {"type": "ping"}\n\n')) == [
        Verbatim("ping", b'{"type": "ping"}', {"type": "ping"}, ())
    ]


def test_a_stream_is_kept_with_its_providers_quirks() -> None:
    told: list[Quirks] = []

    def decoder(quirks: Quirks) -> Decoder:
        told.append(quirks)
        return Decoder(read)

    quirks = Quirks(omits=("x",))
    (event,) = verbatim_stream(decoder)(quirks).feed(b'data: {"t":"1"}\n\n')
    assert isinstance(event, Verbatim)
    assert told == [quirks]


def test_a_whole_answer_is_kept_beside_what_it_means() -> None:
    def decode(body: bytes, quirks: Quirks) -> list[Event]:
        assert quirks == Quirks(omits=("x",))
        return [Text(0, body.decode()), Ended()]

    body = b'{"a": 1}'
    assert verbatim_answer(decode)(body, Quirks(omits=("x",))) == [
        Verbatim(None, body, {"a": 1}, (Text(0, '{"a": 1}'), Ended()))
    ]


@pytest.mark.parametrize("body", [b"[]", b"{", b""])
def test_of_what_is_no_object_nothing_is_kept(body: bytes) -> None:
    with pytest.raises(GatewayError, match="answer is not") as raised:
        verbatim_answer(lambda body, quirks: [])(body, Quirks())
    assert raised.value.kind == "provider_malformed"


@pytest.mark.parametrize("blank", [b"", b" \r\n", b"\n\n"])
def test_what_comes_whole_only_has_no_pieces(blank: bytes) -> None:
    stream = NoStream(Quirks())
    assert [*stream.feed(blank), *stream.end()] == []


@pytest.mark.parametrize("data", [b"data: {}\n\n", b"<html>", b"x"])
def test_pieces_of_what_comes_whole_are_malformed(data: bytes) -> None:
    with pytest.raises(GatewayError) as raised:
        NoStream(Quirks()).feed(data)
    assert raised.value.kind == "provider_malformed"


def test_an_event_that_is_too_long_is_told_of_after_those_before_it() -> None:
    long = b"data: " + b"x" * (FRAME_BYTES_MAX + 1)
    pieces = iter(Decoder(read).feed(b'data: {"t":"1"}\n\n' + long))
    assert next(pieces) == Text(0, "message:1")
    with pytest.raises(GatewayError, match="too long"):
        next(pieces)
