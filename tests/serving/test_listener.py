"""Weir's own start: addresses, protocols, TLS, resets, and an orderly end."""

import asyncio
import contextlib
import gc
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from starlette.types import Receive, Scope, Send

from proxy.app import refuse
from proxy.serving import listener
from proxy.serving.guard import ABORT, Guard
from proxy.serving.listener import Doors, listen
from tests.running import eventually
from tests.serving.raw import connect, request, say


class App:
    """Streams one piece, waits for `go`, and streams another; `/abort` resets its connection."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.scopes: list[Scope] = []
        self.cancelled = 0
        self.stopped = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self.stopped = True
            await send({"type": "lifespan.shutdown.complete"})
            return
        self.scopes.append(scope)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"one ", "more_body": True})
            if scope["path"] == "/abort":
                scope["extensions"][ABORT]()
            await self.go.wait()
            await send({"type": "http.response.body", "body": b"two"})
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


@contextlib.asynccontextmanager
async def listening(app: Any, *bind: str, **more: Any) -> AsyncIterator[list[str]]:
    stop = asyncio.Event()
    ready: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()

    async def stopping() -> None:
        await stop.wait()

    task = asyncio.create_task(
        listen(
            app, bind=bind or ("127.0.0.1:0",), stopping=stopping, on_listening=ready.set_result,
            **more,
        )
    )  # fmt: skip
    try:
        await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)  # type: ignore[type-var]
        if task.done():
            task.result()
        yield await ready
    finally:
        stop.set()
        await task


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A certificate for localhost with that of its authority, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_pem.write_to_path(str(key))
    for pem in (*issued.cert_chain_pems, authority.cert_pem):
        pem.write_to_path(str(certificate), append=True)
    return str(certificate), str(key)


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
async def test_streams_over_tls(certificate: tuple[str, str], version: str) -> None:
    app = App()
    trusted = ssl.create_default_context(cafile=certificate[0])
    async with listening(app, certificate=certificate[0], key=certificate[1]) as (url,):
        assert url.startswith("https://127.0.0.1:")
        client = httpx.AsyncClient(verify=trusted, http2=version == "HTTP/2")
        async with client, client.stream("POST", url, content=b"hello") as response:
            assert response.http_version == version
            pieces = response.aiter_raw()
            assert await anext(pieces) == b"one "  # though the answer is not complete
            app.go.set()
            assert [piece async for piece in pieces] == [b"two"]
        (scope,) = app.scopes
        assert scope["http_version"] == version.removeprefix("HTTP/")
        assert scope["scheme"] == "https"


async def test_two_streams_share_one_connection_of_http_2(certificate: tuple[str, str]) -> None:
    app = App()
    trusted = ssl.create_default_context(cafile=certificate[0])
    async with listening(app, certificate=certificate[0], key=certificate[1]) as (url,):
        async with httpx.AsyncClient(verify=trusted, http2=True) as client:
            asking = [asyncio.create_task(client.get(url)) for _ in range(5)]
            await eventually(lambda: len(app.scopes) == 5)
            app.go.set()
            assert [(await one).text for one in asking] == ["one two"] * 5
        assert len({scope["client"] for scope in app.scopes}) == 1


async def test_what_is_broken_off_ends_its_own_stream_of_http_2() -> None:
    app, go = App(), asyncio.Event()

    async def breaking(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/cut":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"one ", "more_body": True})
            await go.wait()
        elif scope["type"] != "http" or scope["path"] != "/none":
            await app(scope, receive, send)

    client = httpx.AsyncClient(http1=False, http2=True)
    async with listening(breaking, http1="hypercorn") as (url,), client:
        other = asyncio.create_task(client.get(url))
        async with client.stream("GET", f"{url}/cut") as response:
            pieces = response.aiter_raw()
            assert await anext(pieces) == b"one "
            go.set()
            with pytest.raises(httpx.RemoteProtocolError, match="StreamReset"):
                await anext(pieces)
        assert (await client.get(f"{url}/none")).status_code == 500
        app.go.set()
        assert (await other).text == "one two"


async def test_a_plain_port_takes_several_requests_on_one_connection() -> None:
    app = App()
    app.go.set()
    async with listening(app) as (url,):
        said = await say(url, request(), request("/", "Connection: close"), pause_s=0.05)
        assert said.statuses == [200, 200]
        assert b"server:" not in said.raw.lower()


async def test_pipelined_requests_are_answered_in_order() -> None:
    app = App()
    app.go.set()
    async with listening(app) as (url,):
        said = await say(url, request("/a") + request("/b", "Connection: close"))
        assert said.statuses == [200, 200]
        assert [scope["path"] for scope in app.scopes] == ["/a", "/b"]


async def test_a_unix_socket(tmp_path: Path) -> None:
    app = App()
    app.go.set()
    path = tmp_path / "weir.sock"
    for _ in range(2):  # a socket that a crash left behind is no obstacle
        async with listening(app, f"unix:{path}") as (url,):
            assert url == f"unix:{path}"
            said = await say(url, request("/", "Connection: close"))
            assert said.statuses == [200]
        assert not path.exists()
        with socket.socket(socket.AF_UNIX) as left_behind:
            left_behind.bind(str(path))
    path.unlink()


async def test_several_addresses(tmp_path: Path) -> None:
    app = App()
    app.go.set()
    async with listening(app, "127.0.0.1:0", "[::1]:0", f"unix:{tmp_path}/s") as urls:
        assert [url.partition(":")[0] for url in urls] == ["http", "http", "unix"]
        assert urls[1].startswith("http://[::1]:")
        for url in (urls[0], urls[2]):
            assert (await say(url, request("/", "Connection: close"))).statuses == [200]
        async with httpx.AsyncClient() as client:
            assert (await client.get(urls[1])).text == "one two"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_an_address_in_use_is_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            async with listening(App(), f"127.0.0.1:{taken.getsockname()[1]}"):
                pass
    gc.collect()  # Hypercorn leaves the socket that it could not bind to the collector


async def test_an_application_that_does_not_start_is_an_error() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no disk"})

    with pytest.raises(Exception, match="no disk"):
        async with listening(app):
            pass


@pytest.mark.parametrize("kind", ["tcp", "unix"])
async def test_an_application_can_reset_its_connection(tmp_path: Path, kind: str) -> None:
    app = App()
    async with listening(app, "127.0.0.1:0" if kind == "tcp" else f"unix:{tmp_path}/s") as (url,):
        reader, writer = await connect(url)
        writer.write(request("/abort"))
        raw = b""
        ended: BaseException | None = None
        try:
            while data := await reader.read(100):
                raw += data
        except ConnectionResetError as error:
            ended = error
        assert (ended is not None) == (kind == "tcp")
        app.go.set()
        writer.close()


# The end.


async def test_idle_connections_do_not_delay_the_end() -> None:
    app = App()
    async with listening(app) as (url,):
        reader, writer = await connect(url)
        await asyncio.sleep(0.05)
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 0.5
    assert await reader.read() == b""
    assert app.stopped
    writer.close()


async def test_what_does_not_end_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listener, "CLOSE_S", 0.1)
    app = App()
    before = len(asyncio.all_tasks())
    with caplog.at_level(logging.WARNING):
        async with listening(app) as (url,):
            reader, writer = await connect(url)
            writer.write(request())
            await eventually(lambda: len(app.scopes) == 1)
        assert app.cancelled == 1
        assert b"two" not in await reader.read()
    assert caplog.records == []
    writer.close()
    await writer.wait_closed()
    assert len(asyncio.all_tasks()) == before


async def test_doors_stay_open_until_the_drain_is_over() -> None:
    """`stopping` is the drain: while it is awaited, new connections are served."""
    app = App()
    app.go.set()
    served: list[list[int]] = []
    ready: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()

    async def stopping() -> None:
        (url,) = await ready
        served.append((await say(url, request("/", "Connection: close"))).statuses)

    await listen(app, bind=["127.0.0.1:0"], stopping=stopping, on_listening=ready.set_result)
    assert served == [[200]]


@pytest.mark.parametrize("completes", [True, False])
async def test_closed_doors_wait_for_handshakes(
    certificate: tuple[str, str], monkeypatch: pytest.MonkeyPatch, completes: bool
) -> None:
    if not completes:
        monkeypatch.setattr(listener, "HANDSHAKE_S", 0.1)
    app, doors = App(), Doors()
    app.go.set()
    trusted = ssl.create_default_context(cafile=certificate[0])
    tls = {"certificate": certificate[0], "key": certificate[1]}
    async with listening(app, doors=doors, **tls) as (url,):
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as caller:
            await eventually(lambda: len(doors._greeting) == 1)
            await doors.close()
            emptied = asyncio.create_task(doors.empty())
            await asyncio.sleep(0.01)
            assert not emptied.done()
            if completes:
                caller.setblocking(False)
                reader, writer = await asyncio.open_connection(
                    sock=caller, ssl=trusted, server_hostname="localhost"
                )
                writer.write(request("/", "Connection: close"))
                assert b"two" in await reader.read()
                writer.close()
            await asyncio.wait_for(emptied, 2)


async def test_nothing_is_left_open(tmp_path: Path) -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    app = App()
    app.go.set()
    before = open_files()
    for _ in range(20):
        async with listening(app, "127.0.0.1:0", f"unix:{tmp_path}/s") as urls:
            for url in urls:
                await say(url, request("/", "Connection: close"))
    await eventually(lambda: open_files() <= before)


# A connection that ends while nobody reads it.


@pytest.mark.parametrize("end", ["eof", "reset"])
def test_the_end_of_an_unread_connection_is_told(end: str) -> None:
    async def story() -> list[str]:
        reader = listener._Reader()
        told: list[str] = []
        ends: dict[str, Callable[[], None]] = {
            "eof": reader.feed_eof,
            "reset": lambda: reader.set_exception(ConnectionResetError()),
        }
        reader.feed_data(b"abc")
        assert await reader.read(3) == b"abc"
        reader.on_lost = lambda: told.append("lost")
        ends[end]()
        return told

    assert asyncio.run(story()) == ["lost"]


async def test_who_reads_sees_the_end_itself() -> None:
    reader = listener._Reader()
    reader.on_lost = lambda: pytest.fail("somebody was reading")
    reading = asyncio.create_task(reader.read(3))
    await asyncio.sleep(0)
    reader.feed_eof()
    assert await reading == b""


async def test_a_body_nobody_reads_does_not_hide_a_hang_up() -> None:
    """The application waits, the server's queue is full: the end of the connection is seen."""
    app = App()
    guarded = Guard(app, refuse=refuse, client_stall_s=lambda: 5.0)
    async with listening(guarded, http1="hypercorn") as (url,):
        _, writer = await connect(url)
        writer.write(request("/", f"Content-Length: {10**9}", method="POST"))
        await eventually(lambda: len(app.scopes) == 1)
        for _ in range(12):  # Hypercorn's queue holds ten messages
            writer.write(b"a" * 1000)
            await asyncio.sleep(0.01)
        writer.transport.abort()
        await eventually(lambda: app.cancelled == 1, within_s=1)
        await asyncio.wait_for(guarded.drained(), 1)


async def test_a_body_nobody_reads_does_not_delay_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "CLOSE_S", 0.2)
    app = App()
    guarded = Guard(app, refuse=refuse, client_stall_s=lambda: 5.0)
    began = asyncio.get_running_loop().time()
    async with listening(guarded) as (url,):
        _, writer = await connect(url)
        writer.write(request("/", f"Content-Length: {10**9}", method="POST"))
        await eventually(lambda: len(app.scopes) == 1)
        for _ in range(12):
            writer.write(b"a" * 1000)
            await asyncio.sleep(0.01)
    assert app.cancelled == 1
    assert asyncio.get_running_loop().time() - began < 2
    writer.close()


async def test_a_socket_that_somebody_listens_on_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "weir.sock"
    async with listening(App(), f"unix:{path}"):
        with pytest.raises(OSError, match=r"weir\.sock: Address already in use"):
            async with listening(App(), f"unix:{path}"):
                pass
        assert path.exists()
        _, writer = await asyncio.open_unix_connection(str(path))
        writer.close()
        await writer.wait_closed()
        # Whoever stands there now is not ours to remove.
        path.unlink()
        path.touch()
    assert path.exists()


async def test_a_socket_that_a_killed_process_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "weir.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with listening(App(), f"unix:{path}"):
        _, writer = await asyncio.open_unix_connection(str(path))
        writer.close()
        await writer.wait_closed()
    assert not path.exists()


async def test_the_address_that_can_not_be_bound_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(OSError, match=rf"{bind}: Address already in use"):
            async with listening(App(), bind):
                pass
