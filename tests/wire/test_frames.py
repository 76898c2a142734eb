"""Frames come out the same however the bytes of a stream were sliced."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.frames import DONE, PROCESSING, Frame, FrameTooLong, Splitter, encode_data


def message(data: bytes) -> Frame:
    return Frame("message", data)


TABLE: dict[str, tuple[bytes, list[Frame]]] = {
    "nothing": (b"", []),
    "LF": (b"data: a\n\ndata: b\n\n", [message(b"a"), message(b"b")]),
    "CRLF": (b"data: a\r\n\r\ndata: b\r\n\r\n", [message(b"a"), message(b"b")]),
    "CR": (b"data: a\r\rdata: b\r\r", [message(b"a"), message(b"b")]),
    "mixed line ends": (b"data: a\r\n\ndata: b\r\r\n", [message(b"a"), message(b"b")]),
    "LF and CR": (b"data: a\n\rdata: b\r\n\r", [message(b"a"), message(b"b")]),
    "BOM": (b"\xef\xbb\xbfdata: a\n\n", [message(b"a")]),
    "BOM only": (b"\xef\xbb\xbf", []),
    "half a BOM": (b"\xef\xbbdata: a\n\n", []),
    "a BOM later is text": (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [message(b"a")]),
    "no space": (b"data:a\n\n", [message(b"a")]),
    "one space of two": (b"data:  a\n\n", [message(b" a")]),
    "no value": (b"data\n\ndata:\n\n", [message(b""), message(b"")]),
    "several lines": (b"data: a\ndata: b\ndata:\n\n", [message(b"a\nb\n")]),
    "colons in the value": (b'data: {"a":1}\n\n', [message(b'{"a":1}')]),
    "a name": (b"event: error\ndata: a\n\ndata: b\n\n", [Frame("error", b"a"), message(b"b")]),
    "a name after its data": (b"data: a\nevent: x\n\n", [Frame("x", b"a")]),
    "a name alone": (b"event: ping\n\ndata: a\n\n", [message(b"a")]),
    "an empty name": (b"event:\ndata: a\n\n", [message(b"a")]),
    "a name that is no UTF-8": (b"event: \xff\ndata: a\n\n", [Frame("\ufffd", b"a")]),
    "other fields": (b"id: 1\nretry: 5\nwhat\ndata: a\n\n", [message(b"a")]),
    "a field in capitals": (b"DATA: a\n\n", []),
    "blank lines": (b"\n\n\r\n\rdata: a\n\n\n\n", [message(b"a")]),
    "a comment between": (PROCESSING + b"data: a\n:\ndata: b\n: c\n\n", [message(b"a\nb")]),
    "no last blank line": (b"data: a\n\ndata: b\n", [message(b"a"), message(b"b")]),
    "no last line end": (b"data: a\n\ndata: b", [message(b"a"), message(b"b")]),
    "our own words": (encode_data(b"{}") + DONE, [message(b"{}"), message(b"[DONE]")]),
}  # fmt: skip


def split(pieces: list[bytes]) -> tuple[list[Frame], int]:
    splitter = Splitter()
    frames = [frame for piece in pieces for frame in splitter.feed(piece)]
    return frames + splitter.end(), splitter.comments


@pytest.mark.parametrize(("body", "frames"), TABLE.values(), ids=TABLE)
def test_whole_and_byte_by_byte(body: bytes, frames: list[Frame]) -> None:
    assert split([body])[0] == frames
    assert split([bytes([byte]) for byte in body])[0] == frames


WORDS = (b"data", b"event", b":", b" ", b"\n", b"\r", b"\r\n", b"\xef\xbb\xbf", b"a", b"\xef")
TOKENS = st.sampled_from(WORDS)
BODIES = st.one_of(
    st.lists(TOKENS, max_size=40).map(b"".join),
    st.binary(max_size=60),
    st.sampled_from([body for body, _ in TABLE.values()]),
)


@given(BODIES, st.lists(st.integers(0, 80), max_size=12))
def test_slicing_changes_nothing(body: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cut for cut in cuts if cut <= len(body)), len(body)]
    pieces = [body[a:b] for a, b in itertools.pairwise(edges)]
    assert b"".join(pieces) == body
    assert split(pieces) == split([body])


@given(st.lists(st.binary(max_size=30), max_size=8), st.sampled_from([b"\n", b"\r", b"\r\n"]))
def test_what_is_written_is_read(datas: list[bytes], end: bytes) -> None:
    datas = [data.replace(b"\n", b"").replace(b"\r", b"") for data in datas]
    body = b"".join(b"data: " + data + end + end for data in datas)
    assert split([body])[0] == [message(data) for data in datas]


def test_comments_are_counted_and_are_no_frames() -> None:
    assert split([PROCESSING * 3 + b":\n"]) == ([], 4)


def test_the_end_is_handed_out_once() -> None:
    splitter = Splitter()
    assert splitter.feed(b"data: a") == []
    assert splitter.end() == [message(b"a")]
    assert splitter.end() == []


@pytest.mark.parametrize(
    "endless", [b"data: 12345678\n", b"x" * 16, b"event: 1234\n", b"id: 123\n"], ids=repr
)
def test_one_event_has_a_limit(endless: bytes) -> None:
    splitter = Splitter(frame_bytes_max=64)
    with pytest.raises(FrameTooLong):
        list(map(splitter.feed, [endless] * 10))


@pytest.mark.parametrize("endless", [b"data: 12345678\n\n", b": 12345678\n"], ids=repr)
def test_a_stream_has_none(endless: bytes) -> None:
    splitter = Splitter(frame_bytes_max=64)
    for _ in range(100):
        splitter.feed(endless)


@pytest.mark.parametrize("before", [b"data: a\n\n", b"data: a\r\n\r\n", b"data: a\r\r"], ids=repr)
def test_what_came_before_one_that_is_too_long_is_not_lost(before: bytes) -> None:
    with pytest.raises(FrameTooLong) as raised:
        Splitter(frame_bytes_max=64).feed(before + b"x" * 65)
    assert raised.value.frames == [message(b"a")]


@pytest.mark.parametrize("size", [1, 3000, 5000, 9000])
def test_a_long_event_comes_in_pieces(size: int) -> None:
    body = b"data: a\n\nevent: b\ndata: " + b"x" * 20_000 + b"\n\ndata: c\n\n"
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    assert split(pieces)[0] == [message(b"a"), Frame("b", b"x" * 20_000), message(b"c")]
