"""The binary event stream, beside botocore's reader of it."""

import random
from collections.abc import Callable, Iterator
from itertools import pairwise
from struct import pack
from typing import Any
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.bedrock.frames import HEADERS_BYTES_MAX, Broken, Message, Splitter
from tests.recordings import index, load

Header = tuple[int, bytes, Any]


def number(kind: int, bits: int, format_: str) -> st.SearchStrategy[Header]:
    top = 1 << (bits - 1)
    return st.integers(-top, top - 1).map(lambda one: (kind, pack(format_, one), one))


VALUES: st.SearchStrategy[Header] = st.one_of(
    st.just((0, b"", True)),
    st.just((1, b"", False)),
    number(2, 8, "!b"),
    number(3, 16, "!h"),
    number(4, 32, "!i"),
    number(5, 64, "!q"),
    st.binary(max_size=9).map(lambda one: (6, pack("!H", len(one)) + one, one)),
    st.text(max_size=9).map(lambda one: (7, pack("!H", len(one.encode())) + one.encode(), one)),
    number(8, 64, "!q"),
    st.binary(min_size=16, max_size=16).map(lambda one: (9, one, one)),
)
HEADERS = st.dictionaries(st.text(min_size=1, max_size=9), VALUES, max_size=4)
MESSAGES = st.lists(st.tuples(HEADERS, st.binary(max_size=40)), max_size=4)


def message(headers: bytes, payload: bytes) -> bytes:
    prelude = pack("!II", 16 + len(headers) + len(payload), len(headers))
    body = prelude + pack("!I", crc32(prelude)) + headers + payload
    return body + pack("!I", crc32(body))


def header(name: str, kind: int, raw: bytes) -> bytes:
    return bytes([len(name.encode())]) + name.encode() + bytes([kind]) + raw


def encoded(headers: dict[str, Header], payload: bytes) -> bytes:
    return message(b"".join(header(name, one[0], one[1]) for name, one in headers.items()), payload)


def slices(data: bytes, rng: random.Random) -> Iterator[bytes]:
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(6)))
    for start, end in pairwise([0, *cuts, len(data)]):
        yield data[start:end]


def ours(pieces: Iterator[bytes]) -> tuple[list[Message], bool]:
    splitter, found = Splitter(), list[Message]()
    try:
        for piece in pieces:
            found += splitter.feed(piece)
    except Broken as broken:
        return found + broken.messages, True
    return found, False


def theirs(pieces: Iterator[bytes]) -> tuple[list[Message], bool]:
    buffer, found = EventStreamBuffer(), list[Message]()
    try:
        for piece in pieces:
            buffer.add_data(piece)
            found += (Message(one.headers, one.payload) for one in buffer)
    except Exception:
        return found, True
    return found, False


@given(MESSAGES, st.randoms(use_true_random=False))
def test_messages_are_those_of_botocore(
    sent: list[tuple[dict[str, Header], bytes]], rng: random.Random
) -> None:
    data = b"".join(encoded(*one) for one in sent)
    wanted = [
        Message({name: value[2] for name, value in headers.items()}, payload)
        for headers, payload in sent
    ]
    assert ours(slices(data, rng)) == (wanted, False)
    assert theirs(slices(data, rng)) == (wanted, False)


@given(MESSAGES.filter(bool), st.data(), st.randoms(use_true_random=False))
def test_broken_bytes_are_found_where_botocore_finds_them(
    sent: list[tuple[dict[str, Header], bytes]], data: st.DataObject, rng: random.Random
) -> None:
    raw = bytearray(b"".join(encoded(*one) for one in sent))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    assert ours(iter([bytes(raw)])) == theirs(iter([bytes(raw)]))
    assert ours(slices(bytes(raw), rng)) == theirs(iter([bytes(raw)]))


@given(st.binary(max_size=12), st.binary(max_size=4))
def test_headers_are_read_as_botocore_does_or_refused(raw: bytes, payload: bytes) -> None:
    data = message(raw, payload)
    found, broken = ours(iter([data]))
    if not broken:
        assert (found, False) == theirs(iter([data]))


@given(st.binary(max_size=60), st.randoms(use_true_random=False))
def test_what_is_cut_off_is_not_missed(rest: bytes, rng: random.Random) -> None:
    whole = encoded({}, b"first")
    cut = message(b"", rest)[:-1]
    assert ours(slices(whole + cut, rng)) == ([Message({}, b"first")], False)


A_NAME = header("name", 1, b"")
FAULTS: list[tuple[str, Callable[[], bytes], str]] = [
    ("a header twice", lambda: message(A_NAME * 2, b""), "comes twice"),
    ("a kind that is none", lambda: message(header("n", 10, b""), b""), "10"),
    ("a name that is too long", lambda: message(b"\x09n\x01", b""), "ends too late"),
    ("no kind", lambda: message(b"\x01n", b""), "ends too late"),
    ("a text that is too long", lambda: message(header("n", 7, b"\x00\x05ab"), b""), "too late"),
    ("a length that is cut", lambda: message(header("n", 7, b"\x00"), b""), "buffer"),
    ("a number that is cut", lambda: message(header("n", 4, b"\x00"), b""), "too late"),
    ("a uuid that is cut", lambda: message(header("n", 9, b"\x00"), b""), "too late"),
    ("a text that is none", lambda: message(header("n", 7, b"\x00\x01\xff"), b""), "utf-8"),
    ("no room", lambda: prelude(15, 0), "impossible length"),
    ("headers longer than all", lambda: prelude(20, 5), "impossible length"),
    ("too much", lambda: prelude(16 * 1024 * 1024 + 1, 0), "impossible length"),
    ("too many headers", lambda: prelude(1 << 20, HEADERS_BYTES_MAX + 1), "impossible length"),
    ("a prelude that is none", lambda: b"<html>no stream</html>", "checksum of a prelude"),
    ("a message that is none", lambda: message(b"", b"x")[:-1] + b"?", "checksum of a message"),
]


def prelude(total: int, headers: int) -> bytes:
    said = pack("!II", total, headers)
    return said + pack("!I", crc32(said))


@pytest.mark.parametrize(
    ("make", "reason"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS]
)
def test_faults(make: Callable[[], bytes], reason: str) -> None:
    splitter = Splitter()
    with pytest.raises(Broken, match=reason) as broken:
        splitter.feed(message(b"", b"before") + make())
    assert broken.value.messages == [Message({}, b"before")]
    with pytest.raises(Broken) as again:
        splitter.feed(b"")
    assert again.value.messages == []


def test_a_message_may_be_as_long_as_the_bound() -> None:
    data = message(b"", b"x" * 84)
    assert Splitter(len(data)).feed(data) == [Message({}, b"x" * 84)]
    with pytest.raises(Broken):
        Splitter(len(data) - 1).feed(data)


@pytest.mark.wire
def test_recorded_streams_are_read_as_botocore_does() -> None:
    rows = [row for row in index() if row["kind"] == "eventstream"]
    assert len(rows) == 16
    for row in rows:
        body = load(row).body
        found, broken = ours(slices(body, random.Random(row["name"])))
        assert found
        assert (found, broken) == (theirs(iter([body]))[0], False)
