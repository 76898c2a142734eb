"""What our own HTTP/1.1 takes for a request and what it refuses, however the bytes are cut."""

import asyncio
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.serving import guard
from proxy.serving.direct import DIRECT
from proxy.serving.framing import HEAD_BYTES_MAX, HEADERS_MAX, TARGET_BYTES_MAX
from proxy.serving.intake import SLICE_BYTES, UNREAD_BYTES_MAX
from tests.running import serving
from tests.serving.pipe import Heard, Pipe, cut, hall, settle
from tests.serving.raw import request, say

NEXT = b"GET /smuggled HTTP/1.1\r\nHost: weir\r\n\r\n"


def post(*headers: str, body: bytes = b"", version: str = "1.1") -> bytes:
    return request("/x", *headers, method="POST", body=body, version=version)


def chunked(body: bytes) -> bytes:
    return post("Transfer-Encoding: chunked", body=body)


REFUSED: dict[str, tuple[bytes, int]] = {
    "both lengths": (post("Content-Length: 5", "Transfer-Encoding: chunked"), 400),
    "both lengths, turned": (post("Transfer-Encoding: chunked", "Content-Length: 5"), 400),
    "two lengths": (post("Content-Length: 3", "Content-Length: 4"), 400),
    "one length twice": (post("Content-Length: 3", "Content-Length: 3"), 400),
    "a list of lengths": (post("Content-Length: 3, 3"), 400),
    "a signed length": (post("Content-Length: +3"), 400),
    "a negative length": (post("Content-Length: -3"), 400),
    "a hexadecimal length": (post("Content-Length: 0x3"), 400),
    "no length": (post("Content-Length:"), 400),
    "a length in two words": (post("Content-Length: 3 4"), 400),
    "a length of 46 digits": (post(f"Content-Length: {'9' * 46}"), 400),
    "a length of 2^64": (post(f"Content-Length: {2**64}"), 400),
    "LF alone, all": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "LF alone, request line": (b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    "LF alone, header": (b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
    "LF alone, last": (b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
    "CR alone, last": (b"GET / HTTP/1.1\r\nHost: a\r\n\rX", 400),
    "CR CR LF": (b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", 400),
    "a folded header": (request("/", "X: b", " c"), 400),
    "a folded encoding": (post("Transfer-Encoding:", " chunked"), 400),
    "folded at once": (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    "a method in lower case": (request(method="get"), 400),
    "an unknown method": (request(method="BREW"), 400),
    "TRACE": (request(method="TRACE"), 405),
    "PURGE": (request(method="PURGE"), 405),
    "CONNECT": (request("v:443", method="CONNECT"), 405),
    "absolute form": (request("http://evil/x"), 400),
    "asterisk": (request("*", method="OPTIONS"), 400),
    "no slash": (request("x"), 400),
    "a fragment": (request("/x#y"), 400),
    "a space in the target": (request("/x y"), 400),
    "a byte beyond ASCII in the target": (request("/\xe9"), 400),
    "NUL in the target": (request("/\x00"), 400),
    "HTTP/1.9": (request(version="1.9"), 400),
    "HTTP/2.0": (request(version="2.0"), 400),
    "HTTP/0.9": (request(version="0.9"), 400),
    "HTTP/1.10": (request(version="1.10"), 400),
    "h2c": (
        request("/x", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AA"),
        400,
    ),
    "h2c among others": (request("/x", "Connection: Upgrade", "Upgrade: foo/2, H2C"), 400),
    "h2c with a body": (
        post("Connection: Upgrade", "Upgrade: h2c", "Content-Length: 44", body=NEXT + b"012345"),
        400,
    ),
    "settings of HTTP/2": (request("/x", "HTTP2-Settings: AA"), 400),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "chunks in HTTP/1.0": (post("Transfer-Encoding: chunked", version="1.0"), 400),
    "an unknown encoding": (post("Transfer-Encoding: xchunked"), 400),
    "two encodings": (post("Transfer-Encoding: chunked, identity"), 400),
    "compressed chunks": (post("Transfer-Encoding: gzip, chunked"), 400),
    "chunked twice": (post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 400),
    "identity": (post("Transfer-Encoding: identity"), 400),
    "a vertical tab": (post("Transfer-Encoding: \x0bchunked"), 400),
    "an empty encoding": (post("Transfer-Encoding:"), 400),
    "a space before the colon": (request("/", "X : y"), 400),
    "no colon": (request("/", "X"), 400),
    "no name": (request("/", ": y"), 400),
    "NUL in a value": (request("/", "X: a\x00b"), 400),
    "CR in a value": (request("/", "X: a\rb"), 400),
    "a control character in a value": (request("/", "X: a\x01b"), 400),
    "a name beyond ASCII": (request("/", "X\xe9: y"), 400),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (request("/", "Host: a", "Host: b"), 400),
    "one Host twice": (request("/", "Host: a", "Host: a"), 400),
    "an empty Host": (request("/", "Host:"), 400),
    "a Host that is a path": (request("/", "Host: x/y?z#"), 400),
    "a Host in two words": (request("/", "Host: a b"), 400),
    "too many headers": (request("/", *(f"A{n}: b" for n in range(HEADERS_MAX))), 431),
    "a header too large": (request("/", f"A: {'b' * HEAD_BYTES_MAX}"), 431),
    "a header without end": (request("/", f"A: {'b' * 3 * HEAD_BYTES_MAX}")[:-4], 431),
    "a target too long": (request(f"/{'x' * TARGET_BYTES_MAX}"), 414),
    "a chunk in hexadecimal": (chunked(b"0x3\r\nabc\r\n0\r\n\r\n"), 400),
    "a signed chunk": (chunked(b"+3\r\nabc\r\n0\r\n\r\n"), 400),
    "a negative chunk": (chunked(b"-1\r\nabc\r\n0\r\n\r\n"), 400),
    "a chunk of 17 digits": (chunked(b"10000000000000003\r\nabc\r\n0\r\n\r\n"), 400),
    "a chunk of no size": (chunked(b"\r\nabc\r\n0\r\n\r\n"), 400),
    "a chunk and a space": (chunked(b"3 \r\nabc\r\n0\r\n\r\n"), 400),
    "a chunk and LF alone": (chunked(b"3\nabc\r\n0\r\n\r\n"), 400),
    "LF in an extension": (chunked(b"3;a\nb\r\nabc\r\n0\r\n\r\n"), 400),
    "NUL in an extension": (chunked(b"3;\x00\r\nabc\r\n0\r\n\r\n"), 400),
    "an extension without end": (chunked(b"3;" + b"a" * 2 * HEAD_BYTES_MAX), 431),
    "no end of a chunk": (chunked(b"3\r\nabcXX0\r\n\r\n"), 400),
    "LF after a chunk": (chunked(b"3\r\nabc\n0\r\n\r\n"), 400),
    "LF after all chunks": (chunked(b"3\r\nabc\r\n0\r\n\n"), 400),
    "a length behind chunks": (chunked(b"0\r\nContent-Length: 5\r\n\r\n"), 400),
    "a folded line behind chunks": (chunked(b"0\r\nX: y\r\n z\r\n\r\n"), 400),
    "a trailer without end": (chunked(b"0\r\nX: " + b"y" * 2 * HEAD_BYTES_MAX), 431),
}


def check(said: bytes, status: int) -> None:
    """One answer, in the contract's form, and the last of its connection."""
    assert re.findall(rb"HTTP/1\.1 (\d+)", said) == [str(status).encode()], said
    head, _, body = said.partition(b"\r\n\r\n")
    assert b"connection: close" in head
    assert b'"code":%d' % status in body
    assert (b"\r\nallow: DELETE, GET, HEAD" in head) == (status == 405)


@pytest.mark.parametrize("name", REFUSED)
async def test_refused_before_the_application_sees_it(name: str) -> None:
    raw, status = REFUSED[name]
    async with hall(app := Heard()) as here:
        pipe = Pipe(here)
        await pipe.hear(raw + NEXT)
        check(pipe.said, status)
        assert pipe.ended
        assert app.scopes == []


@pytest.mark.parametrize("name", [name for name in REFUSED if len(REFUSED[name][0]) < 1000])
async def test_refused_byte_by_byte(name: str) -> None:
    raw, status = REFUSED[name]
    async with hall(app := Heard()) as here:
        pipe = Pipe(here)
        await pipe.hear(*cut(raw + NEXT, range(len(raw))))
        check(pipe.said, status)
        assert app.bodies == []


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(sorted(REFUSED)), places=st.lists(st.integers(0, 10**6), max_size=8))
def test_refused_in_any_pieces(name: str, places: list[int]) -> None:
    raw, status = REFUSED[name]

    async def story() -> None:
        async with hall(app := Heard()) as here:
            pipe = Pipe(here)
            await pipe.hear(*cut(raw + NEXT, places))
            check(pipe.said, status)
            assert app.bodies == []

    asyncio.run(story())


async def test_refused_over_sockets() -> None:
    app = Heard()
    async with serving(app) as url:
        for name, (raw, status) in REFUSED.items():
            said = await say(url, raw + NEXT)
            assert said.closed, name
            check(said.raw, status)
    assert app.scopes == []


TAKEN: dict[str, tuple[bytes, list[tuple[str, bytes, bytes, bytes]]]] = {
    "a path": (request("/x"), [("GET", b"/x", b"", b"")]),
    "a query": (request("/x?a=b?c&d"), [("GET", b"/x", b"a=b?c&d", b"")]),
    "empty lines before": (b"\r\n\r\n" + request("/x"), [("GET", b"/x", b"", b"")]),
    "a length": (post("Content-Length: 3", body=b"abc"), [("POST", b"/x", b"", b"abc")]),
    "a length with spaces": (
        post("Content-Length:  3 ", body=b"abc"), [("POST", b"/x", b"", b"abc")],
    ),
    "no length at all": (post(), [("POST", b"/x", b"", b"")]),
    "chunks": (chunked(b"3\r\nabc\r\n1;a=b\r\nd\r\n0\r\n\r\n"), [("POST", b"/x", b"", b"abcd")]),
    "chunks in capitals": (
        post("Transfer-Encoding: Chunked", body=b"A\r\n0123456789\r\n0\r\n\r\n"),
        [("POST", b"/x", b"", b"0123456789")],
    ),
    "a trailer": (chunked(b"1\r\na\r\n0\r\nX: y\r\nHost: b\r\n\r\n"), [("POST", b"/x", b"", b"a")]),
    "a large body": (
        post("Content-Length: 200000", body=b"a" * 200_000), [("POST", b"/x", b"", b"a" * 200_000)],
    ),
    "HTTP/1.0": (b"GET /x HTTP/1.0\r\n\r\n", [("GET", b"/x", b"", b"")]),
    "the most headers": (
        request("/x", *(f"A{n}: b" for n in range(HEADERS_MAX - 1))), [("GET", b"/x", b"", b"")],
    ),
    "Latin-1 in a value": (request("/x", "X: \xe9"), [("GET", b"/x", b"", b"")]),
    "an upgrade": (
        request("/x", "Connection: Upgrade", "Upgrade: websocket"), [("GET", b"/x", b"", b"")],
    ),
    "an upgrade and a length": (
        post("Connection: Upgrade", "Upgrade: TLS/1", "Content-Length: 44", body=NEXT + b"012345"),
        [("POST", b"/x", b"", NEXT + b"012345")],
    ),
    "an upgrade and chunks": (
        post(
            "Connection: Upgrade", "Upgrade: websocket", "Transfer-Encoding: chunked",
            body=b"3\r\nabc\r\n0\r\n\r\n",
        ),
        [("POST", b"/x", b"", b"abc")],
    ),
}  # fmt: skip


def asked(app: Heard) -> list[tuple[Any, ...]]:
    return [
        (scope["method"], scope["raw_path"], scope["query_string"], body)
        for scope, body in zip(app.scopes, app.bodies, strict=True)
    ]


@pytest.mark.parametrize("name", TAKEN)
async def test_taken(name: str) -> None:
    raw, requests = TAKEN[name]
    assert b"012345" not in raw or len(NEXT) == 38
    async with hall(app := Heard()) as here:
        pipe = Pipe(here)
        await pipe.hear(raw)
        assert asked(app) == requests
        assert pipe.said.count(b"HTTP/1.1 200 OK") == len(requests)


@settings(max_examples=150, deadline=None)
@given(
    names=st.lists(st.sampled_from(sorted(set(TAKEN) - {"HTTP/1.0"})), min_size=1, max_size=6),
    places=st.lists(st.integers(0, 10**6), max_size=12),
)
def test_the_same_requests_however_they_are_cut(names: list[str], places: list[int]) -> None:
    raw = b"".join(TAKEN[name][0] for name in names)

    async def story(pieces: list[bytes]) -> list[tuple[Any, ...]]:
        async with hall(app := Heard()) as here:
            pipe = Pipe(here)
            await pipe.hear(*pieces)
            while len(app.bodies) < len(names):
                await settle()
            assert pipe.said.count(b"HTTP/1.1 200 OK") == len(names)
            return app.asked

    whole = asyncio.run(story([raw]))
    assert [body for _, body in whole] == [row[3] for name in names for row in TAKEN[name][1]]
    assert asyncio.run(story(cut(raw, places))) == whole


async def test_what_the_application_is_told() -> None:
    async with hall(app := Heard()) as here:
        await Pipe(here).hear(request("/a%20b/%C3%A9?c=%20", "X-Mixed:  Value\t"))
        await Pipe(here, peername="", sockname="/s", sslcontext=object()).hear(request("/"))
    first, second = app.scopes
    extensions = first.pop("extensions")
    assert set(extensions) == {"weir.abort", "weir.direct"}
    assert first == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/a b/é",
        "raw_path": b"/a%20b/%C3%A9",
        "query_string": b"c=%20",
        "root_path": "",
        "headers": [(b"host", b"weir"), (b"x-mixed", b"Value")],
        "client": ("10.0.0.1", 50000),
        "server": ("10.0.0.2", 80),
        "state": {"a": 1},
    }
    assert (second["client"], second["server"], second["scheme"]) == (None, ("/s", None), "https")
    assert second["state"] is not here.state


# What waits is bounded.


async def _never(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.Event().wait()


async def test_a_body_nobody_takes_is_not_read_on() -> None:
    async with hall(_never) as here:
        pipe = Pipe(here)
        await pipe.hear(post("Content-Length: 1000000", body=b"a" * UNREAD_BYTES_MAX))
        assert pipe.is_read
        await pipe.hear(b"a")
        assert not pipe.is_read


async def test_a_body_is_read_on_when_it_is_taken() -> None:
    app = Heard()
    async with hall(app) as here:
        pipe = Pipe(here)
        pipe.connection.data_received(post("Content-Length: 300000", body=b"a" * 200_000))
        assert not pipe.is_read
        await settle()
        assert pipe.reading
        await pipe.hear(b"a" * 100_000)
        assert app.bodies == [b"a" * 300_000]


async def test_who_took_a_large_body_at_once_hears_of_a_hang_up() -> None:
    async def at_once(scope: Any, receive: Any, send: Any) -> None:
        direct = scope["extensions"][DIRECT]
        bodies.append(direct.body())
        direct.watch(gone.set, lambda: None)
        await _never(scope, receive, send)

    bodies: list[bytes | None] = []
    gone = asyncio.Event()
    body = b"a" * (UNREAD_BYTES_MAX + 1)
    async with hall(at_once) as here:
        pipe = Pipe(here)
        await pipe.hear(post(f"Content-Length: {len(body)}", body=body))
        assert bodies == [body]
        assert pipe.is_read
        pipe.hang_up()
        assert gone.is_set()


async def test_requests_behind_one_that_waits_are_kept_as_bytes() -> None:
    async with hall(_never) as here:
        pipe = Pipe(here)
        many = request("/x") * (4 * UNREAD_BYTES_MAX // len(request("/x")))
        await pipe.hear(many)
        assert not pipe.is_read
        assert len(pipe.connection._waiting) <= SLICE_BYTES // len(request("/x"))


async def test_while_one_waits_the_end_of_the_connection_is_heard_of() -> None:
    async with hall(_never) as here:
        pipe = Pipe(here)
        await pipe.hear(request("/x") * 3, request("/y"), b"GET")
        assert pipe.is_read
        pipe = Pipe(here)
        await pipe.hear(request("/x"), post("Content-Length: 70000", body=b"a" * 70_000))
        assert pipe.is_read


async def test_a_great_many_requests_are_answered_in_order() -> None:
    app = Heard()
    raw = b"".join(request(f"/{number}") for number in range(3000))
    async with hall(app) as here:
        pipe = Pipe(here)
        for piece in cut(raw, range(0, len(raw), 50_000)):
            while not pipe.is_read:
                await settle()
            await pipe.hear(piece)
        while len(app.bodies) < 3000:
            await settle()
        assert [scope["path"] for scope in app.scopes] == [f"/{number}" for number in range(3000)]
        assert re.findall(rb"\r\n\r\n/(\d+) ", pipe.said) == [b"%d" % n for n in range(3000)]
        assert pipe.is_read


async def test_what_follows_the_last_request_is_not_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "LINGER_BYTES", 100)
    async with hall(_never) as here:
        pipe = Pipe(here)
        await pipe.hear(request("/x", "Connection: close") + NEXT, b"a" * 100)
        assert not pipe.is_closing()
        await pipe.hear(b"a")
        assert pipe.is_closing()
        assert pipe.said == b""
