"""One connection: answers in every slicing, strictness, and when it may serve again."""

import asyncio
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import GatewayError
from proxy.upstream import connection as module
from proxy.upstream.connection import Connection, Headers
from proxy.upstream.transport import Sink

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.aborted = self.paused = False
        self.unsent = 0

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def writelines(self, pieces: tuple[bytes, ...]) -> None:
        self.written.extend(pieces)

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def pause_reading(self) -> None:
        assert not self.paused
        self.paused = True

    def resume_reading(self) -> None:
        assert self.paused
        self.paused = False

    def abort(self) -> None:
        self.aborted = True


class Home:
    def __init__(self) -> None:
        self.kept: list[Connection] = []
        self.room = True

    def keep(self, connection: Connection) -> bool:
        if self.room:
            self.kept.append(connection)
        return self.room

    def lose(self, connection: Connection) -> None:
        if connection in self.kept:
            self.kept.remove(connection)


class Talk:
    """A stream and its sink in one."""

    def __init__(self, body: bytes | None = b"{}") -> None:
        self.payload = body
        self.sink: Sink = _Sink(self)
        self.head = b"POST / HTTP/1.1\r\n\r\n"
        self.retried = False
        self.retries = 0
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self.body = b""
        self.pieces = 0
        self.ends: list[str | None] = []
        self.during: Any = lambda what: None

    def finish(self, error: GatewayError | None) -> None:
        self.ends.append(error.kind if error else None)

    def retry(self) -> None:
        self.retries += 1


class _Sink:
    def __init__(self, talk: Talk) -> None:
        self._talk = talk

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        assert self._talk.status is None
        self._talk.status, self._talk.headers = status, headers
        self._talk.during("head")

    def data(self, data: bytes) -> None:
        assert data
        assert not self._talk.ends
        self._talk.body += data
        self._talk.pieces += 1
        self._talk.during("data")

    def end(self, error: GatewayError | None) -> None:
        raise AssertionError("a stream tells its sink")


class Pair:
    """A connection, and what it is between."""

    def __init__(self, talk: Talk | None = None) -> None:
        self.home, self.wire = Home(), Wire()
        self.now = 0.0
        loop: Any = type("Loop", (), {"time": lambda _: self.now})()
        self.connection = Connection(self.home, loop)
        self.connection.connection_made(self.wire)  # type: ignore[arg-type]
        self.talk = talk or Talk()
        self.connection.begin(self.talk)

    def hear(self, *reads: bytes) -> "Pair":
        for data in reads:
            if not self.wire.aborted:
                self.connection.data_received(data)
        return self

    def again(self) -> Talk:
        self.talk = Talk()
        self.connection.begin(self.talk)
        return self.talk


def test_headers_are_found_whatever_their_case() -> None:
    headers = Headers({b"content-type": b"a/b", b"x": b"\xe9"})
    assert headers["Content-Type"] == headers.get("CONTENT-TYPE") == "a/b"
    assert (headers.get("X"), headers.get("Y"), headers.get("Y", "z")) == ("é", None, "z")
    assert "x" in headers
    assert "y" not in headers
    assert (list(headers), len(headers)) == (["content-type", "x"], 2)


@pytest.mark.parametrize(
    ("body", "written"),
    [(None, [b"H"]), (b"", [b"H"]), (b"ab", [b"Hab"]), (b"a" * 70_000, [b"H", b"a" * 70_000])],
)
def test_a_small_body_travels_with_its_head(body: bytes | None, written: list[bytes]) -> None:
    talk = Talk(body)
    talk.head = b"H"
    assert Pair(talk).wire.written == written


def test_what_was_sent_is_forgotten_when_the_answer_begins() -> None:
    pair = Pair()
    kept = []
    pair.talk.during = lambda what: kept.append((what, pair.talk.head, pair.talk.payload))
    pair.hear(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert (pair.talk.head, pair.talk.payload) != (b"", None)
    pair.hear(OK + b"Content-Length: 3\r\n\r\n", b"abc")
    assert kept == [("head", b"", None), ("data", b"", None)]


# What is right.

RIGHT: dict[str, tuple[bytes, bool, int, bytes, bool]] = {  # EOF? status, body, kept?
    "length": (OK + b"Content-Length: 3\r\n\r\nabc", False, 200, b"abc", True),
    "nothing": (OK + b"Content-Length: 0\r\n\r\n", False, 200, b"", True),
    "chunks": (CHUNKED + b"1\r\na\r\n2;x=y\r\nbc\r\n0\r\n\r\n", False, 200, b"abc", True),
    "trailers": (
        CHUNKED + b"1\r\na\r\n0\r\nX: y\r\nStatus: z\r\n\r\n", False, 200, b"a", True,
    ),
    "until its end": (OK + b"\r\nabc", True, 200, b"abc", False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\nabc", True, 200, b"abc", False),
    "to be closed": (
        OK + b"Connection: close\r\nContent-Length: 1\r\n\r\na", False, 200, b"a", False,
    ),
    "204": (b"HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n", False, 204, b"", True),
    "304": (b"HTTP/1.1 304 Not\r\nTransfer-Encoding: chunked\r\n\r\n", False, 304, b"", True),
    "interim": (
        b"HTTP/1.1 100 Continue\r\nX: interim\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
        + OK + b"Content-Length: 1\r\n\r\na", False, 200, b"a", True,
    ),
    "no reason": (b"HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", False, 404, b"", True),
    "other tokens": (OK + b"TRANSFER-ENCODING: CHUNKED\r\n\r\n0\r\n\r\n", False, 200, b"", True),
}  # fmt: skip


@pytest.mark.parametrize(("raw", "eof", "status", "body", "kept"), RIGHT.values(), ids=RIGHT)
@given(cuts=st.sets(st.integers(1, 200)))
def test_an_answer_is_the_same_in_every_slicing(
    raw: bytes, eof: bool, status: int, body: bytes, kept: bool, cuts: set[int]
) -> None:
    pair = Pair()
    places = [0, *sorted(cut for cut in cuts if cut < len(raw)), len(raw)]
    pair.hear(*(raw[one:two] for one, two in pairwise(places)))
    if eof:
        assert pair.talk.ends == []
        pair.connection.eof_received()
    assert (pair.talk.status, pair.talk.body, pair.talk.ends) == (status, body, [None])
    assert pair.talk.headers.get("X") is None
    assert (pair.home.kept == [pair.connection]) is kept is not pair.wire.aborted
    if kept:
        again = pair.again()
        pair.hear(OK + b"Content-Length: 5\r\n\r\nagain")
        assert (again.status, again.body, again.ends) == (200, b"again", [None])


def test_the_chunks_of_one_read_are_told_in_one_piece() -> None:
    pair = Pair().hear(CHUNKED + b"1\r\na\r\n" * 50, b"1\r\na\r\n" * 50)
    assert (pair.talk.body, pair.talk.pieces) == (b"a" * 100, 2)


# What is wrong.

WRONG: dict[str, tuple[bytes, bytes]] = {
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n\r\n", b""),
    "HTTP/2.0": (b"HTTP/2.0 200 OK\r\n\r\n", b""),
    "HTTP/0.9": (b"HTTP/0.9 200 OK\r\n\r\n", b""),
    "a status of two digits": (b"HTTP/1.1 20 OK\r\n\r\n", b""),
    "a status below 100": (b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", b""),
    "both lengths": (OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b""),
    "both lengths, turned": (OK + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", b""),
    "a length twice": (OK + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na", b""),
    "a list of lengths": (OK + b"Content-Length: 1, 1\r\n\r\na", b""),
    "a signed length": (OK + b"Content-Length: +1\r\n\r\na", b""),
    "an empty length": (OK + b"Content-Length:\r\n\r\na", b""),
    "another coding": (OK + b"Transfer-Encoding: gzip\r\n\r\na", b""),
    "a coding before chunks": (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", b""),
    "a coding behind chunks": (OK + b"Transfer-Encoding: chunked, gzip\r\n\r\na", b""),
    "two headers of codings": (
        OK + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"",
    ),
    "a bare line feed": (OK + b"A: b\nC: d\r\n\r\n", b""),
    "a bare line feed behind the status": (b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", b""),
    "a bare carriage return": (OK + b"A: b\rc\r\n\r\n", b""),
    "a nul byte": (OK + b"A: b\0\r\n\r\n", b""),
    "a folded header": (OK + b"A: b\r\n c\r\n\r\n", b""),
    "a space before the colon": (OK + b"A : b\r\n\r\n", b""),
    "a chunk size in letters": (CHUNKED + b"1\r\na\r\nzz\r\nabc", b"a"),
    "a chunk size with a prefix": (CHUNKED + b"0x1\r\na\r\n", b""),
    "a chunk size of 2**68": (CHUNKED + b"11111111111111111\r\na", b""),
    "a chunk longer than it says": (CHUNKED + b"1\r\nab\r\n", b"a"),
    "a line feed in a chunk's extension": (CHUNKED + b"1;a\nb\r\na\r\n", b""),
    "an upgrade": (b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc", b""),
    "101 for nothing": (b"HTTP/1.1 101 Switching\r\n\r\nabc", b""),
    "interim without end": (b"HTTP/1.1 103 Early\r\n\r\n" * 9, b""),
    "a long header": (OK + b"X: " + b"a" * 70_000 + b"\r\n\r\n", b""),
    "a head without end": (OK + b"X: " + b"a" * 200_000, b""),
    "an endless extension": (CHUNKED + b"1;" + b"a" * 200_000, b""),
    "endless trailers": (CHUNKED + b"1\r\na\r\n0\r\nX: " + b"a" * 300_000, b"a"),
}  # fmt: skip


@pytest.mark.parametrize("size", [100_000, 7])
@pytest.mark.parametrize(("raw", "body"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_refused_behind_the_good_bytes(raw: bytes, body: bytes, size: int) -> None:
    pair = Pair().hear(*(raw[at : at + size] for at in range(0, len(raw), size)))
    assert pair.talk.ends == ["provider_malformed"]
    assert pair.talk.body == body
    assert pair.wire.aborted
    assert not pair.home.kept


@pytest.mark.parametrize(
    ("raw", "fault", "kind"),
    [
        (b"", None, "provider_cut"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", None, "provider_cut"),
        (OK + b"A:", None, "provider_cut"),
        (OK + b"Content-Length: 3\r\n\r\nab", None, "provider_cut"),
        (CHUNKED + b"3\r\nab", None, "provider_cut"),
        (CHUNKED + b"2\r\nab\r\n", None, "provider_cut"),
        (OK + b"\r\nab", None, None),
        (OK + b"\r\nab", ConnectionResetError(), "provider_cut"),
    ],
)
def test_an_end_too_early(raw: bytes, fault: Exception | None, kind: str | None) -> None:
    pair = Pair().hear(*([raw] if raw else []))
    pair.connection.connection_lost(fault)
    assert pair.talk.ends == [kind]
    assert pair.talk.body in (b"", b"ab")
    pair.connection.connection_lost(None)
    assert len(pair.talk.ends) == 1


# When it may serve again.


@pytest.mark.parametrize("more", [b"H", OK, OK + b"Content-Length: 1\r\n\r\nx", b"\0"])
def test_bytes_behind_the_answer_cost_the_connection(more: bytes) -> None:
    raw = OK + b"Content-Length: 2\r\n\r\nok"
    together = Pair().hear(raw + more)
    assert (together.talk.body, together.talk.ends) == (b"ok", [None])
    apart = Pair().hear(raw)
    assert apart.home.kept
    apart.hear(more)
    assert not apart.home.kept
    assert apart.wire.aborted
    assert together.wire.aborted
    assert not together.home.kept


def test_an_idle_connection_that_ends_is_forgotten() -> None:
    pair = Pair().hear(OK + b"Content-Length: 0\r\n\r\n")
    assert pair.home.kept
    pair.connection.eof_received()
    assert not pair.home.kept
    assert pair.wire.aborted


def test_one_that_is_not_wanted_is_closed() -> None:
    pair = Pair()
    pair.home.room = False
    pair.hear(OK + b"Content-Length: 0\r\n\r\n")
    assert pair.wire.aborted


def test_an_answer_before_its_request_was_sent_costs_the_connection() -> None:
    pair = Pair()
    pair.wire.unsent = 1
    pair.hear(OK + b"Content-Length: 0\r\n\r\n")
    assert pair.talk.ends == [None]
    assert pair.wire.aborted


@pytest.mark.parametrize(
    ("later_s", "heard", "retried", "retries"),
    [
        (0.0, b"", False, 1),
        (module.STALE_S, b"", False, 1),
        (module.STALE_S * 1.01, b"", False, 0),
        (0.0, b"H", False, 0),
        (0.0, b"", True, 0),
    ],
)
def test_a_stale_connection(later_s: float, heard: bytes, retried: bool, retries: int) -> None:
    pair = Pair().hear(OK + b"Content-Length: 0\r\n\r\n")
    talk = pair.again()
    talk.retried = retried
    pair.now += later_s
    pair.hear(*([heard] if heard else []))
    pair.connection.connection_lost(ConnectionResetError())
    assert talk.retries == retries
    assert talk.ends == ([] if retries else ["provider_cut"])


# Holding back, and hanging up from within.


def test_a_connection_held_back_at_its_end_reads_again() -> None:
    pair = Pair()
    pair.talk.during = lambda _: pair.connection.pause()
    pair.hear(CHUNKED + b"1\r\na\r\n")
    states = [pair.wire.paused]
    pair.connection.pause()
    pair.connection.resume()
    pair.connection.resume()
    states.append(pair.wire.paused)
    pair.hear(b"1\r\na\r\n0\r\n\r\n")
    assert pair.talk.ends == [None]
    assert [*states, pair.wire.paused] == [True, False, False]
    assert pair.home.kept


@pytest.mark.parametrize("when", ["head", "data"])
@pytest.mark.parametrize("whole", [True, False])
def test_leaving_from_within(when: str, whole: bool) -> None:
    pair = Pair()

    def during(what: str) -> None:
        if what == when:
            pair.connection.leave()

    pair.talk.during = during
    pair.hear(CHUNKED + b"1\r\na\r\n" + (b"0\r\n\r\n" if whole else b""))
    assert pair.talk.status == 200
    assert pair.talk.body == (b"a" if when == "data" else b"")
    assert pair.talk.ends == []
    assert bool(pair.home.kept) is whole is not pair.wire.aborted
    if whole:
        again = pair.again()
        pair.hear(OK + b"Content-Length: 1\r\n\r\nb")
        assert again.body == b"b"


@pytest.mark.parametrize("when", ["head", "data"])
def test_a_sink_that_fails(when: str, caplog: pytest.LogCaptureFixture) -> None:
    def during(what: str) -> None:
        if what == when:
            raise KeyError("bug")

    pair = Pair()
    pair.talk.during = during
    pair.hear(OK + b"Content-Length: 1\r\n\r\na")
    assert pair.talk.ends == ["internal"]
    assert pair.wire.aborted
    assert "internal error" in caplog.text


def test_a_sink_that_fails_behind_its_call_harms_no_other() -> None:
    pair, other = Pair(), Talk()

    def during(_: str) -> None:
        pair.connection.leave()
        pair.connection.begin(other)
        raise KeyError("bug")

    pair.talk.during = during
    pair.hear(OK + b"Content-Length: 1\r\n\r\na")
    assert not pair.wire.aborted
    pair.hear(OK + b"Content-Length: 1\r\n\r\nb")
    assert (other.body, other.ends) == (b"b", [None])


def test_it_is_a_protocol_of_asyncio() -> None:
    assert issubclass(Connection, asyncio.Protocol)
