"""Both transports against servers that are written out byte by byte."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable

import pytest

from proxy.upstream import connection, session
from proxy.upstream.client import Client
from proxy.upstream.session import AiohttpTransport
from proxy.upstream.transport import Call
from tests.running import eventually, free_port
from tests.upstream.hostile import CHUNKED, OK, Connection, Handler, Http, Told, ask, call, server

MAKERS: list[Callable[[], Http]] = [Client, AiohttpTransport]


@pytest.fixture(params=MAKERS, ids=["ours", "aiohttp"])
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[Http]:
    made: Http = request.param()
    yield made
    assert made.open_calls == 0
    await made.close()


def test_a_call_shows_neither_key_nor_prompt() -> None:
    call = Call("https://acme.test/v1", {"Authorization": "Bearer secret"}, b"prompt", 1.0)
    assert repr(call) == f"{[call]}"[1:-1] == "Call(…)"


async def test_what_is_sent_is_what_the_call_says(transport: Http) -> None:
    heard: list[bytes] = []

    async def handler(connection: Connection) -> None:
        for _ in range(2):
            heard.append(await connection.hear())
            connection.say(OK + b"Content-Length: 2\r\n\r\nok")

    async with server(handler) as url:
        told = Told()
        transport.send(call(url, b'{"a": 1}', X_Some="thing", Content_Type="x/y"), told)
        await told.end_of_it()
        await ask(transport, url, None)
    post, get = heard
    head, _, body = post.partition(b"\r\n\r\n")
    line, *headers = head.split(b"\r\n")
    assert line == b"POST /v1/chat/completions HTTP/1.1"
    names = {header.partition(b":")[0].lower() for header in headers}
    assert names - {b"accept"} == {
        b"host", b"accept-encoding", b"x-some", b"content-type", b"content-length",
    }  # fmt: skip
    assert b"Accept-Encoding: identity" in headers
    assert body == b'{"a": 1}'
    assert get.startswith(b"GET /v1/chat/completions")


async def test_pieces_are_told_as_they_come(transport: Http) -> None:
    go = asyncio.Event()

    async def handler(connection: Connection) -> None:
        await connection.hear()
        connection.say(CHUNKED)
        await go.wait()
        for piece in (b"one", b"two"):
            go.clear()
            connection.say_chunk(piece)
            await go.wait()
        connection.say(b"0\r\n\r\n")

    async with server(handler) as url:
        told = Told()
        transport.send(call(url), told)
        await asyncio.wait_for(told.headed.wait(), 20)
        assert (told.status, told.headers["content-type"]) == (200, "text/event-stream")
        assert transport.open_calls == 1
        for body in (b"", b"one", b"onetwo"):
            await eventually(lambda body=body: told.body == body)
            go.set()
        await told.end_of_it()
    assert told.calls == ["head", "data", "data", "end"]
    assert told.error is None


# How an answer can fail.


def _fin(connection: Connection) -> None:
    connection.writer.close()


def _rst(connection: Connection) -> None:
    connection.reset()


BROKEN: dict[str, tuple[bytes, Callable[[Connection], None], str | None, bytes]] = {
    "closed before the head": (b"", _fin, "provider_cut", b""),
    "reset before the head": (b"", _rst, "provider_cut", b""),
    "closed in the head": (b"HTTP/1.1 200 OK\r\nConte", _fin, "provider_cut", b""),
    "closed between chunks": (CHUNKED + b"3\r\nabc\r\n", _fin, "provider_cut", b"abc"),
    "closed in a chunk": (CHUNKED + b"9\r\nabc", _fin, "provider_cut", b"abc"),
    "short of its length": (OK + b"Content-Length: 9\r\n\r\nabc", _fin, "provider_cut", b"abc"),
    "no length, closed": (OK + b"\r\nabc", _fin, None, b"abc"),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n\r\n", _fin, "provider_malformed", b""),
    "a long header": (OK + b"X: " + b"a" * 70_000 + b"\r\n\r\n", _fin, "provider_malformed", b""),
    "two lengths": (
        OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        _fin,
        "provider_malformed",
        b"",
    ),
    "a bad chunk size": (CHUNKED + b"zz\r\nabc", _fin, "provider_malformed", b""),
}


@pytest.mark.parametrize(("raw", "end", "kind", "body"), BROKEN.values(), ids=BROKEN)
async def test_broken_answers(
    transport: Http,
    raw: bytes,
    end: Callable[[Connection], None],
    kind: str | None,
    body: bytes,
) -> None:
    async def handler(connection: Connection) -> None:
        await connection.hear()
        connection.say(raw)
        end(connection)

    async with server(handler) as url:
        told = await ask(transport, url)
    assert (told.error and told.error.kind) == kind
    assert told.body == body
    assert told.calls.count("end") == 1
    if told.error:
        assert "127.0.0.1" not in told.error.message
        assert not told.error.metadata


async def test_nobody_listens(transport: Http) -> None:
    told = await ask(transport, f"http://127.0.0.1:{free_port()}/")
    assert told.error is not None
    assert told.error.kind == "provider_unreachable"
    assert told.calls == ["end"]


async def test_connecting_takes_no_longer_than_it_may(transport: Http) -> None:
    """TLS is a part of it: here nobody answers the first message of the handshake."""

    async def handler(connection: Connection) -> None:
        await connection.gone()

    async with server(handler) as url:
        told = Told()
        transport.send(call(url.replace("http:", "https:"), connect_s=0.1), told)
        await told.end_of_it()
    assert told.error is not None
    assert told.error.kind == "provider_timeout"


async def test_a_sink_that_fails_is_told_the_end(
    transport: Http, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Told):
        def data(self, data: bytes) -> None:
            raise KeyError("bug")

    async def handler(connection: Connection) -> None:
        await connection.hear()
        connection.say(OK + b"Content-Length: 2\r\n\r\nok")
        await connection.gone()

    async with server(handler) as url:
        told = Failing()
        transport.send(call(url), told)
        await told.end_of_it()
        await transport.close()
    assert told.error is not None
    assert told.error.kind == "internal"
    assert "internal error" in caplog.text


# What aiohttp would do by itself.


async def test_no_redirect_is_followed_and_no_cookie_kept(transport: Http) -> None:
    heard: list[bytes] = []

    async def handler(connection: Connection) -> None:
        for _ in range(2):
            heard.append(await connection.hear())
            connection.say(
                b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /other\r\n"
                b"Set-Cookie: session=1\r\nContent-Length: 0\r\n\r\n"
            )

    async with server(handler) as url:
        assert (await ask(transport, url)).status == 307
        assert (await ask(transport, url)).status == 307
    assert not any(b"/other" in request or b"ookie" in request for request in heard)


async def test_nothing_is_decompressed(transport: Http) -> None:
    packed = gzip.compress(b"a" * 1_000_000)

    async def handler(connection: Connection) -> None:
        await connection.hear()
        length = f"Content-Length: {len(packed)}\r\n\r\n".encode()
        connection.say(OK + b"Content-Encoding: gzip\r\n" + length + packed)

    async with server(handler) as url:
        told = await ask(transport, url)
    assert told.body == packed


@pytest.mark.parametrize("made", MAKERS)
async def test_no_proxy_of_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch, made: Callable[[], Http]
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    transport = made()

    async def handler(connection: Connection) -> None:
        await connection.hear()
        connection.say(OK + b"Content-Length: 0\r\n\r\n")

    async with server(handler) as url:
        assert (await ask(transport, url)).status == 200
        await transport.close()


async def test_a_line_may_be_as_long_as_it_likes(transport: Http) -> None:
    line = b"data: " + b"a" * (2 * 1024 * 1024)

    async def handler(connection: Connection) -> None:
        await connection.hear()
        connection.say(CHUNKED)
        connection.say_chunk(line)
        connection.say(b"0\r\n\r\n")

    async with server(handler) as url:
        assert (await ask(transport, url)).body == line


async def test_any_number_of_calls_may_be_open(transport: Http) -> None:
    count = 150  # aiohttp's own limit is 100
    arrived = 0
    go = asyncio.Event()

    async def handler(connection: Connection) -> None:
        nonlocal arrived
        await connection.hear()
        arrived += 1
        await go.wait()
        connection.say(OK + b"Connection: close\r\nContent-Length: 0\r\n\r\n")

    async with server(handler) as url:
        sinks = [Told() for _ in range(count)]
        for told in sinks:
            transport.send(call(url), told)
        await eventually(lambda: arrived == count)
        go.set()
        for told in sinks:
            await told.end_of_it()
        await asyncio.sleep(0)


# Holding back and hanging up.


async def test_a_provider_is_held_back(transport: Http) -> None:
    written = 0
    size = 64 * 1024

    async def handler(connection: Connection) -> None:
        nonlocal written
        await connection.hear()
        connection.say(CHUNKED)
        for _ in range(1000):
            connection.say_chunk(b"a" * size)
            await connection.writer.drain()
            written += size
        connection.say(b"0\r\n\r\n")

    async with server(handler) as url:
        told = Told()
        sent = transport.send(call(url), told)
        await asyncio.wait_for(told.headed.wait(), 20)
        sent.pause()
        still = -1
        while still != written:  # until all buffers on the way are full
            still = written
            await asyncio.sleep(0.2)
        assert written < 16 * 1024 * 1024
        held = len(told.body)
        await asyncio.sleep(0.1)
        assert len(told.body) == held
        sent.resume()
        await told.end_of_it()
        assert len(told.body) == 1000 * size
        await asyncio.sleep(0)


@pytest.mark.parametrize("when", ["before the head", "after the head", "while held back"])
async def test_a_cancelled_call_is_hung_up_and_tells_nothing_more(
    transport: Http, when: str
) -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def handler(connection: Connection) -> None:
        await connection.hear()
        asked.set()
        if when != "before the head":
            connection.say(CHUNKED)
            connection.say_chunk(b"abc")
        await connection.gone()
        gone.set()

    async with server(handler) as url:
        told = Told()
        sent = transport.send(call(url), told)
        await asyncio.wait_for(asked.wait(), 20)
        if when != "before the head":
            await eventually(lambda: told.body == b"abc")
        if when == "while held back":
            sent.pause()
        before = list(told.calls)
        sent.cancel()
        await asyncio.wait_for(gone.wait(), 20)
        sent.cancel()  # any number of times
        assert told.calls == before
        await eventually(lambda: transport.open_calls == 0)


async def test_a_call_cancelled_at_once_never_connects(transport: Http) -> None:
    async def handler(connection: Connection) -> None:
        pytest.fail("it connected")

    async with server(handler) as url:
        told = Told()
        transport.send(call(url), told).cancel()
        await eventually(lambda: transport.open_calls == 0)
    assert told.calls == []


@pytest.mark.parametrize("made", MAKERS)
async def test_closing_hangs_everything_up(made: Callable[[], Http]) -> None:
    transport = made()
    asked = asyncio.Event()

    async def handler(connection: Connection) -> None:
        await connection.hear()
        asked.set()
        await connection.gone()

    async with server(handler) as url:
        told = Told()
        transport.send(call(url), told)
        await asyncio.wait_for(asked.wait(), 20)
        await transport.close()
        assert transport.open_calls == 0
    assert told.calls == []


# Connections that are kept.


class Kept:
    """A server whose first connection answers once, then does as it is told with what follows."""

    def __init__(self, then: Handler) -> None:
        self._then = then
        self.connections = 0
        self.requests: list[bytes] = []

    async def __call__(self, connection: Connection) -> None:
        self.connections += 1
        first = self.connections == 1
        self.requests.append(await connection.hear())
        connection.say(OK + b"Content-Length: 2\r\n\r\nok")
        if first:
            await self._then(connection)
            return
        await connection.gone()


async def _answers_again(connection: Connection) -> None:
    await connection.hear()
    connection.say(OK + b"Content-Length: 5\r\n\r\nagain")


async def _closes(connection: Connection) -> None:
    await connection.hear()
    connection.writer.close()


async def _resets(connection: Connection) -> None:
    await connection.hear()
    connection.reset()


async def _answers_half(connection: Connection) -> None:
    await connection.hear()
    connection.say(OK + b"Content-Length: 5\r\n\r\nag")
    connection.writer.close()


async def _works_first(connection: Connection) -> None:
    await connection.hear()
    await asyncio.sleep(0.2)
    connection.writer.close()


@pytest.mark.parametrize(
    ("then", "body", "kind", "connections"),
    [
        (_answers_again, b"again", None, 1),
        (_closes, b"ok", None, 2),
        (_resets, b"ok", None, 2),
        (_answers_half, b"ag", "provider_cut", 1),
        (_works_first, b"", "provider_cut", 1),
    ],
)
async def test_a_kept_connection_that_turned_out_stale_is_replaced_once(
    transport: Http,
    monkeypatch: pytest.MonkeyPatch,
    then: Handler,
    body: bytes,
    kind: str | None,
    connections: int,
) -> None:
    # A busy machine is not to be taken for a provider that works first.
    stale_s = 0.1 if then is _works_first else 60.0
    for module in (connection, session):
        monkeypatch.setattr(module, "STALE_S", stale_s)
    kept = Kept(then)
    async with server(kept) as url:
        assert (await ask(transport, url)).body == b"ok"
        told = await ask(transport, url, b'{"second": 1}')
        assert (told.error and told.error.kind) == kind
        assert told.body == body
        assert told.calls.count("head") == (0 if then is _works_first else 1)
        assert kept.connections == connections
        await transport.close()
    if connections == 2:
        assert b'{"second": 1}' in kept.requests[-1]


async def test_a_fresh_connection_is_not_tried_twice(transport: Http) -> None:
    connections = 0

    async def handler(connection: Connection) -> None:
        nonlocal connections
        connections += 1
        await connection.hear()

    async with server(handler) as url:
        told = await ask(transport, url)
    assert told.error is not None
    assert connections == 1


async def test_the_second_try_is_the_last(transport: Http) -> None:
    connections = 0

    async def handler(connection: Connection) -> None:
        nonlocal connections
        connections += 1
        await connection.hear()
        if connections == 1:
            connection.say(OK + b"Content-Length: 2\r\n\r\nok")
            await connection.hear()

    async with server(handler) as url:
        await ask(transport, url)
        told = await ask(transport, url)
    assert told.error is not None
    assert told.error.kind == "provider_cut"
    assert connections == 2
