"""What the guard keeps out, on every server, by raw bytes; and its bounds."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from starlette.types import Receive, Scope, Send

from proxy.app import refuse
from proxy.errors import CallerGone, GatewayError
from proxy.serving import caller, guard, listener
from proxy.serving.direct import DIRECT
from proxy.serving.guard import ABORT, Guard, abort, inspect
from tests.running import SERVERS, Running, config_text, eventually, serving, weir
from tests.serving.raw import connect, request, say

BODY_BYTES_MAX = 100_000
CHAT = "/api/v1/chat/completions"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: weir\r\n\r\n"


@contextlib.asynccontextmanager
async def gateway(folder: Path, server: str = "weir") -> AsyncIterator[Running]:
    more = f"[limits]\nbody_bytes_max = {BODY_BYTES_MAX}\n"
    async with weir(folder, config_text(folder, more=more), server) as running:
        yield running


REFUSED: dict[str, tuple[bytes, set[int]]] = {
    "both lengths": (
        request(
            CHAT, "Content-Length: 5", "Transfer-Encoding: chunked", method="POST",
            body=b"0\r\n\r\n" + SMUGGLED,
        ),
        {400},
    ),
    "both lengths, the other way round": (
        request(
            CHAT, "Transfer-Encoding: chunked", "Content-Length: 5", method="POST",
            body=b"0\r\n\r\n" + SMUGGLED,
        ),
        {400},
    ),
    "CONNECT": (request("v:443", method="CONNECT"), {400, 405}),
    "TRACE": (request(method="TRACE"), {405}),
    "absolute form": (request("http://evil/health", "Connection: close"), {400}),
    "no slash": (request("health"), {400}),
    "chunked in HTTP/1.0": (
        request(
            CHAT, "Transfer-Encoding: chunked", method="POST", version="1.0", body=b"0\r\n\r\n"
        ),
        {400},
    ),
    "a Host that is a path": (request("/health", "Host: x/y?z#"), {400}),
    "a Host with a space": (request("/health", "Host: a b"), {400}),
    "an empty Host": (request("/health", "Host:"), {400}),
}  # fmt: skip


@pytest.mark.parametrize("server", SERVERS)
async def test_refused(tmp_path: Path, server: str) -> None:
    async with gateway(tmp_path, server) as running:
        for name, (raw, statuses) in REFUSED.items():
            said = await say(running.url, raw)
            assert len(said.statuses) == 1, (name, said.raw)
            assert said.closed, name
            if server == "uvicorn" and name == "absolute form":
                assert said.statuses == [200]  # it takes the path out (RFC 9112, section 3.2.2)
            else:
                assert said.statuses[0] in statuses, (name, said.raw)
        await eventually(lambda: running.gateway.app.under_way == 0)


async def test_a_refusal_has_the_shape_of_the_contract(tmp_path: Path) -> None:
    async with gateway(tmp_path) as running:
        said = await say(running.url, request(method="TRACE"))
    head, _, body = said.raw.partition(b"\r\n\r\n")
    assert b"connection: close" in head
    assert b"access-control-allow-origin: *" in head
    assert b"allow: DELETE, GET, HEAD" in head.lower().replace(b"delete", b"DELETE").replace(
        b"get", b"GET"
    ).replace(b"head", b"HEAD")
    error = orjson.loads(body)["error"]
    assert error["code"] == 405


# What h11 refuses by itself, kept so that another version does not let it through (guide, 0.6).
MALFORMED: dict[str, bytes] = {
    "two lengths": request(CHAT, "Content-Length: 3", "Content-Length: 4", method="POST"),
    "a signed length": request(CHAT, "Content-Length: +3", method="POST", body=b"abc"),
    "a hexadecimal length": request(CHAT, "Content-Length: 0x3", method="POST", body=b"abc"),
    "a length of 46 digits": request(CHAT, f"Content-Length: {'9' * 46}", method="POST"),
    "an unknown encoding": request(CHAT, "Transfer-Encoding: xchunked", method="POST"),
    "two encodings": request(CHAT, "Transfer-Encoding: chunked, identity", method="POST"),
    "a space before the colon": request(CHAT, "Transfer-Encoding : chunked", method="POST"),
    "a vertical tab": request(CHAT, "Transfer-Encoding: \x0bchunked", method="POST"),
    "NUL in a value": request("/health", "X-A: a\x00b"),
    "CR in a value": request("/health", "X-A: a\rb"),
    "no Host": b"GET /health HTTP/1.1\r\n\r\n",
    "two Hosts": request("/health", "Host: a", "Host: b"),
    "a hexadecimal prefix": request(
        CHAT, "Transfer-Encoding: chunked", method="POST", body=b"0x3\r\nabc\r\n0\r\n\r\n"
    ),
    "a signed chunk": request(
        CHAT, "Transfer-Encoding: chunked", method="POST", body=b"+3\r\nabc\r\n0\r\n\r\n"
    ),
    "LF in an extension": request(
        CHAT, "Transfer-Encoding: chunked", method="POST", body=b"3;a\nb\r\nabc\r\n0\r\n\r\n"
    ),
    "no end of a chunk": request(
        CHAT, "Transfer-Encoding: chunked", method="POST", body=b"3\r\nabcXX0\r\n\r\n"
    ),
}


async def test_malformed(tmp_path: Path) -> None:
    async with gateway(tmp_path) as running:
        credential = f"Authorization: Bearer {running.key}\r\nHost:".encode()
        for name, raw in MALFORMED.items():
            said = await say(running.url, raw.replace(b"Host:", credential, 1) + SMUGGLED)
            assert said.closed, name
            assert said.statuses in ([], [400], [501]), (name, said.raw)
        await eventually(lambda: running.gateway.app.under_way == 0)


# Bodies.


def _post(key: str, *headers: str, body: bytes = b"") -> bytes:
    return request(CHAT, f"Authorization: Bearer {key}", *headers, method="POST", body=body)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
async def test_a_body_too_large_is_refused_and_its_sender_hears_of_it(
    tmp_path: Path, server: str, chunked: bool
) -> None:
    size = 8 * 1024 * 1024  # more than all buffers on the way hold
    async with gateway(tmp_path, server) as running:
        if chunked:
            pieces = [b"10000\r\n" + b"a" * 0x10000 + b"\r\n"] * (size // 0x10000)
            parts = [_post(running.key, "Transfer-Encoding: chunked"), *pieces, b"0\r\n\r\n"]
        else:
            parts = [_post(running.key, f"Content-Length: {size}"), *([b"a" * 65536] * 128)]
        said = await say(running.url, *parts, request("/health", "Connection: close"))
        assert said.statuses[0] == 413, said.raw
        assert b'"code":413' in said.raw
        assert said.statuses[1:] == []
        assert said.closed
        await eventually(lambda: running.gateway.app.under_way == 0)


@pytest.mark.parametrize("server", SERVERS)
async def test_an_answer_that_needs_no_body_is_heard_all_the_same(
    tmp_path: Path, server: str
) -> None:
    """No key, no such route: nobody reads the body, and Hypercorn would wait for ever."""
    size = 8 * 1024 * 1024
    async with gateway(tmp_path, server) as running:
        for target, status in ((CHAT, 401), ("/api/v1/nowhere", 404), ("/health", 405)):
            head = request(target, f"Content-Length: {size}", method="POST")
            said = await say(running.url, head, *([b"a" * 65536] * 128))
            assert said.statuses == [status]
            assert b"connection: close" in said.raw
            await eventually(lambda: running.gateway.app.under_way == 0)


@pytest.mark.parametrize("server", SERVERS)
async def test_a_compressed_body_is_refused(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "KEEP_ALIVE_S", 0.1)  # as long as ours waits for the next request
    async with gateway(tmp_path, server) as running:
        for encoding in ("gzip", "br", "deflate, gzip"):
            body = b"\x1f\x8b" + bytes(100)
            headers = (f"Content-Encoding: {encoding}", f"Content-Length: {len(body)}")
            said = await say(running.url, _post(running.key, *headers, body=body))
            assert (said.statuses, said.closed) == ([415], True)


@pytest.mark.parametrize("server", SERVERS)
async def test_a_body_that_trickles_is_given_up(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caller, "BODY_TOTAL_S", 0.5)
    monkeypatch.setattr(guard, "LINGER_S", 0.2)
    async with gateway(tmp_path, server) as running:
        head = _post(running.key, "Content-Length: 5000")
        said = await say(running.url, head, *[b" "] * 40, pause_s=0.1)
        assert said.statuses == [408]
        assert said.closed
        await eventually(lambda: running.gateway.app.under_way == 0)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("chunk", [b"5000\r\n{", b"F" * 16 + b"\r\n{"], ids=["pause", "2**64"])
async def test_a_body_that_pauses_is_given_up(
    tmp_path: Path, server: str, chunk: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caller, "BODY_IDLE_S", 0.3)
    monkeypatch.setattr(guard, "LINGER_S", 0.2)
    async with gateway(tmp_path, server) as running:
        said = await say(running.url, _post(running.key, "Transfer-Encoding: chunked", body=chunk))
        assert said.statuses == [408]
        assert said.closed
        await eventually(lambda: running.gateway.app.under_way == 0)


async def test_a_body_that_never_ends_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is out; what is still sent is read for a while, but not for ever."""
    monkeypatch.setattr(guard, "LINGER_BYTES", 1024 * 1024)
    async with gateway(tmp_path) as running:
        endless = [b"10000\r\n" + b"a" * 0x10000 + b"\r\n"] * 1000
        said = await say(running.url, _post("no-key", "Transfer-Encoding: chunked"), *endless)
        assert said.statuses == [401]
        assert said.closed
        await eventually(lambda: running.gateway.app.under_way == 0)


async def test_a_head_that_trickles_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "KEEP_ALIVE_S", 0.4)
    async with gateway(tmp_path) as running:
        said = await say(running.url, *[b"G", *[b"E"] * 30], pause_s=0.1, wait_s=3)
        assert said.statuses in ([], [400])
        assert said.closed


# The bounds of an answer.


class _Blocks:
    """An application that answers with more than anybody reads."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.ended = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.ended.set()


async def _live(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


@pytest.mark.parametrize("server", SERVERS)
async def test_a_caller_that_stops_reading_is_cut(server: str) -> None:
    app = _Blocks()
    guarded = Guard(app, refuse=refuse, client_stall_s=lambda: 0.3)
    async with serving(guarded, server) as url:
        reader, writer = await connect(url)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(request())
        await asyncio.wait_for(app.ended.wait(), 20)
        assert isinstance(app.error, CallerGone)
        await asyncio.wait_for(guarded.drained(), 20)
        assert guarded.under_way == 0
        writer.transport.abort()
        del reader


# Without a server.


def _scope(**changes: Any) -> Scope:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "http_version": "1.1",
        "headers": [(b"host", b"weir")],
    }
    return scope | changes


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"])
def test_methods_that_pass(method: str) -> None:
    assert inspect(_scope(method=method)) is None


@pytest.mark.parametrize("host", ["weir", "weir:80", "[::1]:80", "127.0.0.1", "a_b.c-d"])
def test_hosts_that_pass(host: str) -> None:
    assert inspect(_scope(headers=[(b"host", host.encode())])) is None


def test_a_request_without_host_passes() -> None:
    """HTTP/1.0 has none; that HTTP/1.1 must have one is the server's business."""
    assert inspect(_scope(headers=[], http_version="1.0")) is None


def test_chunks_alone_pass() -> None:
    assert inspect(_scope(headers=[(b"transfer-encoding", b"chunked")])) is None


async def _unread() -> Any:
    return {"type": "http.request"}


async def _call(guarded: Guard, scope: Scope, receive: Receive = _unread) -> list[Any]:
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    await guarded(scope, receive, send)
    return said


async def _answering(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


def _guard(app: Any = _answering, stall_s: float = 1.0) -> Guard:
    return Guard(app, refuse=refuse, client_stall_s=lambda: stall_s)


@pytest.mark.parametrize(("version", "closing"), [("1.1", True), ("1.0", True), ("2", False)])
@pytest.mark.parametrize("why", ["draining", "closing"])
async def test_answers_of_a_drain_close_their_connection(
    version: str, closing: bool, why: str
) -> None:
    guarded = _guard()
    start, *_ = await _call(guarded, _scope(http_version=version))
    assert start["headers"] == []
    setattr(guarded, why, True)
    start, *_ = await _call(guarded, _scope(http_version=version))
    assert start["headers"] == ([(b"connection", b"close")] if closing else [])


async def test_what_is_under_way_is_counted() -> None:
    counts: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        counts.append(guarded.under_way)
        waiting = asyncio.create_task(guarded.drained())
        await asyncio.sleep(0)
        counts.append(int(waiting.done()))
        waiting.cancel()
        if len(counts) < 6:
            await _call(guarded, _scope())

    guarded = _guard(app)
    await guarded.drained()
    await _call(guarded, _scope())
    assert counts == [1, 0, 2, 0, 3, 0]
    await guarded.drained()


async def test_on_our_own_server_it_only_counts() -> None:
    """That server asks the guard itself how long to wait and whether answers are the last."""
    told: list[Guard] = []

    class Connection:
        guarded = staticmethod(told.append)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert receive is _unread
        assert guarded.under_way == 1
        raise CallerGone

    guarded = _guard(app)
    await _call(guarded, _scope(method="BREW", extensions={DIRECT: Connection()}))
    assert told == [guarded]
    assert guarded.under_way == 0
    await guarded.drained()
    assert (guarded.ending, guarded.client_stall_s) == (False, 1.0)


async def test_a_failing_application_is_counted_too() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError

    guarded = _guard(app)
    with pytest.raises(RuntimeError):
        await _call(guarded, _scope())
    assert guarded.under_way == 0
    await guarded.drained()


@pytest.mark.parametrize("error", [BrokenPipeError(), ConnectionResetError()])
async def test_a_server_that_raises_after_a_hang_up(error: OSError) -> None:
    seen: list[BaseException] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        except CallerGone as gone:
            seen.append(gone)
            raise

    async def send(message: Any) -> None:
        raise error

    await _guard(app)(_scope(), _unread, send)
    assert len(seen) == 1


async def test_a_stalled_send_resets_the_connection() -> None:
    resets: list[bool] = []
    scope = _scope(extensions={ABORT: lambda: resets.append(True)})

    async def send(message: Any) -> None:
        await asyncio.Event().wait()

    await _guard(stall_s=0.01)(scope, _unread, send)
    assert resets == [True]


async def test_a_websocket_is_refused_and_other_types_ignored() -> None:
    assert await _call(_guard(), {"type": "websocket"}) == [
        {"type": "websocket.close", "code": 1000}
    ]
    assert await _call(_guard(), {"type": "mqtt"}) == []


async def test_lifespan_passes() -> None:
    assert len(await _call(_guard(), {"type": "lifespan"})) == 2


@pytest.mark.parametrize("scope", [{}, {"extensions": None}, {"extensions": {}}])
def test_abort_without_the_extension_does_nothing(scope: Scope) -> None:
    abort(scope)


async def test_the_end_waits_for_the_rest_of_a_body() -> None:
    """Order matters: answer, rest of the body, end."""
    story: list[str] = []
    pieces = iter([True, True, False])

    async def receive() -> Any:
        more = next(pieces)
        story.append("piece")
        return {"type": "http.request", "body": b"a", "more_body": more}

    async def send(message: Any) -> None:
        story.append(f"{message['type'][14:]} {message.get('more_body', False)}")

    headers = [(b"host", b"weir"), (b"content-length", b"3")]
    await _guard()(_scope(method="POST", headers=headers), receive, send)
    assert story == ["start False", "body True", "piece", "piece", "piece", "body False"]


async def test_refusals_name_what_is_wrong() -> None:
    error = inspect(_scope(method="BREW\n\x1b[0m" + "x" * 100))
    assert isinstance(error, GatewayError)
    assert error.message.isprintable()
    assert len(error.message) < 80
