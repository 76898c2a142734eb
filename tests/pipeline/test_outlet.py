"""What waits for a caller is encoded when it is taken, and its end when the request is settled."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects import Bill
from proxy.errors import GatewayError
from proxy.pipeline.outlet import WAITING_BYTES_MAX, Outlet, Piece
from proxy.wire.events import Ended, Event, Finished, Spliced, Text, UsageReport, Verbatim
from tests.plain import BILL

NOTHING = (-1, 0, 0)


class Tongue:
    """An encoder that tells what it was given."""

    def __init__(self) -> None:
        self.heard: list[Event] = []

    def encode(self, event: Event) -> bytes:
        self.heard.append(event)
        if event == Text(0, "unsayable"):
            raise GatewayError("provider_malformed", "no")
        match event:
            case Text():
                return event.text.encode()
            case Verbatim():
                return event.data
            case Finished():
                return f"<{event.choice} {event.reason}>".encode()
            case _:
                return b""

    def encode_end(self, bill: Bill) -> bytes:
        return f"<{bill.usage.completion_tokens}>".encode()

    def encode_failure(self, error: GatewayError, routing: dict[str, Any] | None = None) -> bytes:
        return b"!"


def put(outlet: Outlet, *events: Event, data_bytes: int = 0) -> None:
    for event in events:
        meant = event.events if isinstance(event, Verbatim) else (event,)
        outlet.put(event, meant, NOTHING, data_bytes)


def verbatim(data: bytes, *events: Event) -> Verbatim:
    return Verbatim(None, data, {}, events)


STOP = Finished(0, "stop", None)


def test_events_are_encoded_when_they_are_taken_and_not_before() -> None:
    tongue = Tongue()
    outlet = Outlet(tongue)
    put(outlet, Text(0, "a"), Text(0, "b"))
    assert tongue.heard == []
    assert outlet.take() == b"ab"
    assert tongue.heard == [Text(0, "a"), Text(0, "b")]
    assert outlet.take() == b""


def test_what_is_dropped_is_never_encoded() -> None:
    tongue = Tongue()
    outlet = Outlet(tongue)
    put(outlet, Text(0, "a"), Text(0, "b"))
    outlet.drop_last()
    assert outlet.take() == b"a"
    assert tongue.heard == [Text(0, "a")]


@pytest.mark.parametrize(
    ("events", "taken", "end"),
    [
        ([Text(0, "a"), STOP], b"a", b"<0 stop><0>"),
        # Of several choices one may go on when another is complete.
        ([Finished(1, "stop", None), Text(0, "a"), STOP], b"a", b"<1 stop><0 stop><0>"),
        ([Text(0, "a"), UsageReport(BILL.usage), Ended()], b"a", b"<0>"),
        # Of a provider's own words all that follows its finish is held, however empty its meaning.
        (
            [verbatim(b"a", Text(0, "x")), verbatim(b"b", STOP), verbatim(b"c"), verbatim(b"d")],
            b"a",
            b"bcd<0>",
        ),
        ([verbatim(b"a"), verbatim(b"b", Text(0, "x"), STOP, Ended())], b"a", b"b<0>"),
        # One that was curtailed ends in ours.
        ([verbatim(b"a", Text(0, "x")), STOP], b"a", b"<0 stop><0>"),
    ],
)
def test_the_end_is_held_until_it_is_asked_for(
    events: list[Event], taken: bytes, end: bytes
) -> None:
    outlet = Outlet(Tongue())
    put(outlet, *events)
    assert outlet.take() == taken
    assert not outlet.pieces
    assert outlet.encode_end(BILL) == end


@given(st.lists(st.integers(0, 50)), st.integers(0, 10))
def test_a_piece_weighs_what_came_since_the_last(sizes: list[int], more: int) -> None:
    outlet, data_bytes = Outlet(Tongue()), 0
    for size in sizes:
        data_bytes += size
        put(outlet, Text(0, "a"), data_bytes=data_bytes)
        put(outlet, Text(0, "b"), data_bytes=data_bytes)  # of the same piece: counted once
    assert outlet.size_bytes == sum(sizes)
    outlet.take()
    put(outlet, Text(0, "c"), data_bytes=data_bytes + more)
    assert outlet.size_bytes == more


@pytest.mark.parametrize(
    ("data_bytes", "full"), [(0, False), (WAITING_BYTES_MAX, False), (WAITING_BYTES_MAX + 1, True)]
)
def test_when_it_is_full(data_bytes: int, full: bool) -> None:
    outlet = Outlet(Tongue())
    put(outlet, Text(0, "a"), data_bytes=data_bytes)
    assert outlet.full == full
    outlet.take()
    assert not outlet.full


def test_an_answer_in_one_piece_is_kept_as_events() -> None:
    outlet = Outlet(None)
    events = [Text(0, "a"), verbatim(b"x", STOP), STOP, Ended()]
    put(outlet, *events, data_bytes=10**9)
    assert outlet.events == events
    assert (outlet.take(), bool(outlet.pieces), outlet.full) == (b"", False, False)


@pytest.mark.parametrize("tongue", [Tongue(), None])
def test_what_nobody_hears_is_not_kept(tongue: Any) -> None:
    outlet = Outlet(tongue)
    put(outlet, Text(0, "a"), verbatim(b"x", STOP), verbatim(b"y"))
    outlet.forget()
    put(outlet, Text(0, "b"), STOP)
    assert (bool(outlet.pieces), outlet.take(), outlet.events) == (False, b"", [])
    if tongue is not None:
        assert outlet.encode_end(BILL) == b"<0>"
        assert tongue.heard == []


def test_what_can_not_be_said_is_an_error() -> None:
    outlet = Outlet(Tongue())
    put(outlet, Text(0, "unsayable"))
    with pytest.raises(GatewayError):
        outlet.take()
    assert not outlet.pieces


@given(st.lists(st.integers(1, 100)), st.integers(0, 9))
def test_what_is_put_in_comes_out_or_is_dropped(weights: list[int], drops: int) -> None:
    outlet = Outlet(Tongue())
    pieces: list[Piece] = [
        (Text(number, f"{weight} "), number, 1, 2, weight) for number, weight in enumerate(weights)
    ]
    data_bytes = 0
    for event, *said, weight in pieces:
        data_bytes += weight
        outlet.put(event, (), (said[0], said[1], said[2]), data_bytes)
    for _ in range(min(drops, len(pieces))):
        assert outlet.drop_last() == pieces.pop()
    assert outlet.size_bytes == sum(piece[4] for piece in pieces)
    assert outlet.take() == "".join(f"{piece[4]} " for piece in pieces).encode()
    assert (outlet.pieces, outlet.size_bytes) == ([], 0)


def test_of_pieces_that_were_spliced_together_one_is_dropped() -> None:
    outlet = Outlet(Tongue())
    outlet.put(Text(0, "a"), (), (0, 1, 0), 5)
    outlet.put(Spliced(1, b"b\n\ncc\n\nd\n\n", (1, 2, 3)), (), (1, 6, 0), 95)
    assert outlet.drop_last() == (Spliced(1, b"d\n\n", (3,)), 1, 3, 0, 0)
    assert outlet.drop_last() == (Spliced(1, b"cc\n\n", (2,)), 1, 2, 0, 0)
    assert outlet.size_bytes == 95
    assert outlet.drop_last() == (Spliced(1, b"b\n\n", (1,)), 1, 1, 0, 90)
    assert (outlet.take(), outlet.size_bytes) == (b"a", 0)


def test_what_is_passed_on_weighs_nothing_later() -> None:
    outlet = Outlet(Tongue())
    outlet.weighed_bytes = 2000
    put(outlet, Text(0, "c"), data_bytes=2003)
    assert outlet.size_bytes == 3
