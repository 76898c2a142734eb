"""What is wrong with a head, and the heads of answers."""

import pytest

from proxy.serving.framing import (
    CHUNKED,
    HEADERS_MAX,
    METHODS,
    NO_BODY,
    Pairs,
    fault,
    head_of,
    is_host,
)

DATE = b"date: now\r\n"
HOST = {b"host": b"weir"}


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_sound_heads(method: str, version: str) -> None:
    assert fault(method, b"/", version, HOST, 1) is None


def test_http_1_0_needs_no_host() -> None:
    assert fault("GET", b"/", "1.0", {}, 0) is None


@pytest.mark.parametrize(
    ("method", "target", "version", "noted", "headers", "status"),
    [
        ("TRACE", b"/", "1.1", HOST, 1, 405),
        ("CONNECT", b"a:1", "1.1", HOST, 1, 405),
        ("GET", b"*", "1.1", HOST, 1, 400),
        ("GET", b"http://a/", "1.1", HOST, 1, 400),
        ("GET", b"/a#b", "1.1", HOST, 1, 400),
        ("GET", b"/", "2.0", HOST, 1, 400),
        ("GET", b"/", "1.1", {}, 1, 400),
        ("GET", b"/", "1.0", {b"host": b""}, 1, 400),
        ("GET", b"/", "1.1", {b"host": b"a,b"}, 2, 400),
        ("GET", b"/", "1.0", HOST | {b"transfer-encoding": b"chunked"}, 2, 400),
        ("GET", b"/", "1.1", HOST | {b"transfer-encoding": b"gzip, chunked"}, 2, 400),
        ("GET", b"/", "1.1", HOST, HEADERS_MAX + 1, 431),
    ],
)
def test_faults(
    method: str, target: bytes, version: str, noted: dict[bytes, bytes], headers: int, status: int
) -> None:
    error = fault(method, target, version, noted, headers)
    assert error is not None
    assert error.status == status


@pytest.mark.parametrize("host", [b"weir", b"weir:80", b"[::1]:80", b"127.0.0.1", b"a_b.c-d"])
def test_hosts(host: bytes) -> None:
    assert is_host(host)


@pytest.mark.parametrize("host", [b"", b"a b", b"a/b", b"a,b", b"a?b", b"a\n", b"a@b"])
def test_no_hosts(host: bytes) -> None:
    assert not is_host(host)


@pytest.mark.parametrize(
    ("status", "headers", "bodiless", "framing", "close"),
    [
        (200, [(b"content-length", b"5")], False, 5, False),
        (200, [(b"Content-Length", b"5")], False, 5, False),
        (200, [(b"content-length", b"5")], True, NO_BODY, False),
        (200, [], False, CHUNKED, False),
        (200, [(b"transfer-encoding", b"gzip")], False, CHUNKED, False),
        (200, [], True, NO_BODY, False),
        (204, [], False, NO_BODY, False),
        (304, [(b"content-length", b"5")], False, NO_BODY, False),
        (200, [(b"connection", b"Close")], False, CHUNKED, True),
        (200, [(b"connection", b"keep-alive")], False, CHUNKED, False),
    ],
)
def test_heads(status: int, headers: Pairs, bodiless: bool, framing: int, close: bool) -> None:
    (text,), *found = head_of(status, headers, date=DATE, bodiless=bodiless)
    assert found == [framing, close]
    assert text.startswith(b"HTTP/1.1 %d " % status)
    assert DATE in text
    assert b"transfer-encoding" not in text
    assert b"connection" not in text


def test_a_status_without_a_name() -> None:
    (text,), *_ = head_of(599, [(b"X-A", b"b")], date=DATE, bodiless=False)
    assert text == b"HTTP/1.1 599 \r\ndate: now\r\nx-a: b\r\n"


@pytest.mark.parametrize("text", [b"a\r\nb: c", b"a\nb", b"a\rb", b"a\0b", b"\r\n"])
@pytest.mark.parametrize("place", ["name", "value"])
def test_a_header_that_is_no_line_is_not_sent(text: bytes, place: str) -> None:
    pair = (text, b"x") if place == "name" else (b"x", text)
    with pytest.raises(ValueError, match="more than one line"):
        head_of(200, [pair], date=DATE, bodiless=False)


@pytest.mark.parametrize("length", [b"-1", b"+3", b"", b"3, 3", b"x"])
def test_a_length_that_is_no_number_is_not_sent(length: bytes) -> None:
    with pytest.raises(ValueError, match="content-length"):
        head_of(200, [(b"content-length", length)], date=DATE, bodiless=False)


@pytest.mark.parametrize("status", [0, 99, 100, 101, 199, 1000, -1])
def test_no_status_of_an_answer(status: int) -> None:
    with pytest.raises(ValueError, match="status"):
        head_of(status, [], date=DATE, bodiless=False)
