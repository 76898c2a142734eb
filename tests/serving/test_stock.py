"""What is added to Hypercorn: the end of connections nobody reads, and of answers over HTTP/2."""

import asyncio
from collections.abc import Callable

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from proxy.app import refuse
from proxy.serving import stock
from proxy.serving.guard import Guard
from tests.running import eventually
from tests.serving.raw import connect, request
from tests.serving.test_listener import App, listening


@pytest.mark.parametrize("end", ["eof", "reset"])
def test_the_end_of_an_unread_connection_is_told(end: str) -> None:
    async def story() -> list[str]:
        reader = stock.Reader()
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
    reader = stock.Reader()
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
        await eventually(lambda: app.cancelled == 1, within_s=4)
        await asyncio.wait_for(guarded.drained(), 20)


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
