"""Weir's own start: addresses, protocols, TLS, resets, and an orderly end."""

import asyncio
import contextlib
import gc
import os
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from starlette.types import Receive, Scope, Send

from proxy.serving.guard import ABORT
from proxy.serving.listener import listen
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
