"""Doors: who is let in, shared crowds, closing, and an end in order."""

import asyncio
import errno
import logging
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from proxy.app import refuse
from proxy.serving import doors
from proxy.serving.doors import Doors
from proxy.serving.guard import Guard
from proxy.serving.listener import listen
from proxy.serving.sockets import bound
from proxy.serving.stock import configured
from tests.running import eventually
from tests.serving.pipe import hall
from tests.serving.raw import connect, request, say
from tests.serving.test_listener import App, certificate, listening

__all__ = ["certificate"]


def until(stop: asyncio.Event) -> Callable[[], Awaitable[None]]:
    async def stopping() -> None:
        await stop.wait()

    return stopping


async def test_a_body_nobody_reads_does_not_delay_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "CLOSE_S", 0.2)
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
    assert asyncio.get_running_loop().time() - began < 4
    writer.close()


async def test_what_does_not_end_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(doors, "CLOSE_S", 0.1)
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
        monkeypatch.setattr(doors, "HANDSHAKE_S", 0.1)
    app, entrance = App(), Doors()
    app.go.set()
    trusted = ssl.create_default_context(cafile=certificate[0])
    tls = {"certificate": certificate[0], "key": certificate[1]}
    async with listening(app, doors=entrance, **tls) as (url,):
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as caller:
            await eventually(lambda: len(entrance._welcomes) == 1)
            entrance.close()
            emptied = asyncio.create_task(entrance.empty())
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
            await asyncio.wait_for(emptied, 20)


async def test_idle_connections_do_not_delay_the_end() -> None:
    app = App()
    async with listening(app) as (url,):
        reader, writer = await connect(url)
        await asyncio.sleep(0.05)
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < doors.CLOSE_S - 1
    assert await reader.read() == b""
    assert app.stopped
    writer.close()


async def test_two_share_a_socket_and_one_leaves(tmp_path: Path) -> None:
    """Who connects while one closes its doors is taken by the other; who is inside stays."""
    apps = App(), App()
    entrances = Doors(), Doors()
    stop = asyncio.Event()
    ready: list[str] = []

    with bound([f"unix:{tmp_path}/s"]) as (sock,):
        serving = [
            asyncio.create_task(
                listen(
                    app,
                    bind=[sock.dup()],
                    stopping=until(stop),
                    on_listening=ready.extend,
                    doors=one,
                )
            )
            for app, one in zip(apps, entrances, strict=True)
        ]
        await eventually(lambda: len(ready) == 2)
        url = ready[0]
        inside = [await connect(url) for _ in range(8)]
        for _, writer in inside:
            writer.write(request("/", "Connection: close"))
        await eventually(lambda: sum(len(app.scopes) for app in apps) == 8)

        entrances[0].close()
        before = len(apps[0].scopes)
        emptied = asyncio.create_task(entrances[0].empty())
        apps[1].go.set()
        for _ in range(8):
            assert (await say(url, request("/", "Connection: close"))).statuses == [200]
        assert len(apps[0].scopes) == before
        assert emptied.done() == (before == 0)
        apps[0].go.set()
        await asyncio.wait_for(emptied, 4)  # sooner than an idle connection is closed
        for reader, writer in inside:
            assert (await reader.read()).endswith(b"0\r\n\r\n")
            writer.close()
        stop.set()
        await asyncio.gather(*serving)
        _, writer = await connect(url)  # it is still there, for the others
        writer.close()


async def test_a_crowd_is_shared(tmp_path: Path) -> None:
    apps = App(), App()
    stop = asyncio.Event()
    ready: list[str] = []
    with bound([f"unix:{tmp_path}/s"]) as (sock,):
        serving = [
            asyncio.create_task(
                listen(app, bind=[sock.dup()], stopping=until(stop), on_listening=ready.extend)
            )
            for app in apps
        ]
        await eventually(lambda: len(ready) == 2)
        callers = [socket.socket(socket.AF_UNIX) for _ in range(40)]
        for caller in callers:  # all wait before anybody looks
            caller.connect(f"{tmp_path}/s")
            caller.sendall(request("/", "Connection: close"))
        await eventually(lambda: sum(len(app.scopes) for app in apps) == 40)
        assert min(len(app.scopes) for app in apps) > 10
        for app in apps:
            app.go.set()
        stop.set()
        await asyncio.gather(*serving)
        for caller in callers:
            caller.close()


async def test_who_can_not_accept_rests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Full(socket.socket):
        tried = 0

        def accept(self) -> tuple[socket.socket, object]:
            self.tried += 1
            if self.tried == 1:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return super().accept()

    monkeypatch.setattr(doors, "REST_S", 0.01)
    app, stop, ready = App(), asyncio.Event(), list[str]()
    app.go.set()
    with bound([f"unix:{tmp_path}/s"]) as (sock,):
        door = Full(fileno=os.dup(sock.fileno()))
        serving = asyncio.create_task(
            listen(app, bind=[door], stopping=until(stop), on_listening=ready.extend)
        )
        await eventually(lambda: bool(ready))
        assert (await say(ready[0], request("/", "Connection: close"))).statuses == [200]
        stop.set()
        await serving
    assert caplog.messages == ["can not accept connections: Too many open files"]
    assert door.tried > 1


async def test_who_could_not_accept_at_the_end_does_not_try_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Full(socket.socket):
        def accept(self) -> tuple[socket.socket, object]:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(doors, "REST_S", 0.01)
    faults: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, fault: faults.append(fault))
    async with hall(App()) as here:
        entrance, door = Doors(), Full()
        door.bind(("127.0.0.1", 0))
        door.listen()
        entrance.open(configured(None, None), [door], here, ours=True, shared=False)
        entrance.close()
        await asyncio.sleep(0.05)
    assert faults == []
