"""One connection of our own HTTP/1.1: order, waits, a caller that does not read, the end."""

import asyncio
import re
import socket
from typing import Any

import pytest

from proxy.serving import guard
from proxy.serving.direct import DIRECT
from proxy.serving.guard import ABORT
from proxy.serving.hall import TICK_S
from tests.running import eventually, serving
from tests.serving.pipe import Heard, Pipe, cut, hall, live, settle
from tests.serving.raw import connect, request, say

OLD_KEPT = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"


class Turns:
    """An application whose answers come when they are told to."""

    def __init__(self) -> None:
        self.turns: dict[str, Any] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        self.turns[scope["path"]] = scope["extensions"][DIRECT]
        await asyncio.Event().wait()

    def answer(self, path: str) -> None:
        self.turns[path].start(200, [(b"content-length", b"2")])
        self.turns[path].finish(path.encode())


async def test_pipelined_requests_have_their_turns() -> None:
    app = Turns()
    async with hall(app) as here:
        pipe = Pipe(here)
        await pipe.hear(request("/a") + request("/b") + request("/c"))
        assert set(app.turns) == {"/a"}
        app.answer("/a")
        await settle()
        assert set(app.turns) == {"/a", "/b"}
        await pipe.hear(request("/d"))
        for path in ("/b", "/c", "/d"):
            app.answer(path)
            await settle()
        assert re.findall(rb"\r\n\r\n(/.)", pipe.said) == [b"/a", b"/b", b"/c", b"/d"]


async def test_a_bad_request_is_refused_when_those_before_are_answered() -> None:
    app = Turns()
    async with hall(app) as here:
        pipe = Pipe(here)
        await pipe.hear(request("/a") + request("/b") + request("/c", "Host: ?") + request("/d"))
        assert pipe.said == b""
        for path in ("/a", "/b"):
            app.answer(path)
            await settle()
        assert re.findall(rb"HTTP/1.1 (\d+)", pipe.said) == [b"200", b"200", b"400"]
        assert pipe.ended


async def test_a_bad_body_of_one_that_waits() -> None:
    app = Turns()
    async with hall(app) as here:
        pipe = Pipe(here)
        await pipe.hear(
            request("/a") + request("/b", "Transfer-Encoding: chunked", body=b"x", method="POST")
        )
        app.answer("/a")
        await settle()
        assert set(app.turns) == {"/a"}
        assert re.findall(rb"HTTP/1.1 (\d+)", pipe.said) == [b"200", b"400"]


@pytest.mark.parametrize("begun", [False, True])
async def test_a_bad_body_of_the_one_being_answered(begun: bool) -> None:
    app = Turns()
    async with hall(app) as here:
        pipe = Pipe(here)
        await pipe.hear(request("/a", "Transfer-Encoding: chunked", method="POST"))
        if begun:
            app.turns["/a"].start(200, [])
            app.turns["/a"].write(b"x")
        await pipe.hear(b"nonsense\r\n")
        assert app.turns["/a"].gone
        assert re.findall(rb"HTTP/1.1 (\d+)", pipe.said) == ([b"200"] if begun else [b"400"])
        assert pipe.ended


# A caller that closes its half, and one that says more than is heard.


async def test_half_a_connection_counts_as_none() -> None:
    app = Turns()
    async with serving(app) as url:
        reader, writer = await connect(url)
        writer.write(request("/a") + request("/b"))
        await eventually(lambda: app.turns)
        writer.write_eof()
        await eventually(lambda: app.turns["/a"].gone)
        assert await reader.read() == b""
        assert set(app.turns) == {"/a"}
        writer.close()


async def test_a_watch_that_fails_leaves_nothing_behind() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    async with hall(app := Turns()) as here:
        pipe = Pipe(here)
        await pipe.hear(request("/a"))
        app.turns["/a"].watch(fail, fail)
        with pytest.raises(ZeroDivisionError):
            pipe.connection.connection_lost(None)
        assert not here.connections


@pytest.mark.parametrize("tls", [False, True])
async def test_an_early_answer_waits_for_the_caller(
    tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "LINGER_BYTES", 1000)
    app = Turns()
    async with hall(app) as here:
        pipe = Pipe(here, sslcontext=tls or None)
        await pipe.hear(request("/a", "Content-Length: 200000", method="POST", body=b"a" * 70_000))
        app.answer("/a")
        assert b"connection: close" in pipe.said
        assert pipe.is_read
        assert (pipe.ended, pipe.is_closing()) == (not tls, False)
        await pipe.hear(b"a" * 1000)
        assert not pipe.is_closing()
        await pipe.hear(b"a")
        assert pipe.aborted


async def test_who_lingers_too_long_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "LINGER_S", 0.1)
    async with hall(Turns()) as here:
        pipe = Pipe(here)
        await pipe.hear(b"nonsense\r\n\r\n")
        await eventually(lambda: pipe.aborted, within_s=4)


async def test_a_body_that_nobody_took_does_not_end_the_connection() -> None:
    async with hall(app := Turns()) as here:
        pipe = Pipe(here)
        await pipe.hear(request("/a", "Content-Length: 70000", method="POST", body=b"a" * 70_000))
        assert pipe.is_read
        app.answer("/a")
        await pipe.hear(request("/b"))
        app.answer("/b")
        assert b"connection" not in pipe.said


# Waits.


async def test_an_idle_connection_is_closed() -> None:
    async with hall(app := Heard(), keep_alive_s=0.1) as here:
        silent, served, half = Pipe(here), Pipe(here), Pipe(here)
        await served.hear(request("/a"))
        await half.hear(request("/b")[:20])
        await eventually(lambda: silent.is_closing() and served.is_closing(), within_s=4)
        await eventually(half.is_closing, within_s=4)
        assert app.bodies == [b""]
        assert half.said == b""


async def test_a_head_in_pieces_has_its_own_time() -> None:
    async with hall(Heard(), keep_alive_s=5.0) as here:
        pipe = Pipe(here)
        here._idle[pipe.connection] = here.now - 4.9
        await pipe.hear(b"GET /")
        assert here._idle[pipe.connection] == here.now
        here._idle[pipe.connection] = 0.0
        await pipe.hear(b"x HTTP")
        assert here._idle[pipe.connection] == 0.0


async def test_a_busy_connection_is_not_idle() -> None:
    async with hall(app := Turns(), keep_alive_s=0.1) as here:
        pipe = Pipe(here)
        await pipe.hear(request("/a"))
        await asyncio.sleep(2 * TICK_S + 0.1)
        assert not pipe.is_closing()
        app.answer("/a")


class Stall:
    client_stall_s = 0.1
    ending = False


@pytest.mark.parametrize("when", ["while answered", "after the answer", "closing"])
async def test_a_caller_that_does_not_read_is_cut_off(when: str) -> None:
    async with hall(app := Turns()) as here:
        here.guard = Stall()
        pipe = Pipe(here)
        last = ("Connection: close",) if when == "closing" else ()
        await pipe.hear(request("/a", *last))
        pipe.unsent = True
        pipe.connection.pause_writing()
        if when != "while answered":
            app.answer("/a")
        await eventually(lambda: pipe.aborted, within_s=4)


async def test_what_is_closing_is_cut_off_though_some_was_taken() -> None:
    async with hall(app := Turns()) as here:
        here.guard = Stall()
        pipe = Pipe(here)
        await pipe.hear(request("/a", "Connection: close"))
        pipe.unsent = True
        pipe.connection.pause_writing()
        app.answer("/a")
        pipe.connection.resume_writing()
        assert pipe.is_closing()
        await eventually(lambda: pipe.aborted, within_s=4)


async def test_a_caller_that_reads_again_is_not_cut_off() -> None:
    async with hall(Turns()) as here:
        here.guard = Stall()
        pipe = Pipe(here)
        await pipe.hear(request("/a"))
        pipe.connection.pause_writing()
        pipe.connection.resume_writing()
        await asyncio.sleep(2 * TICK_S + 0.1)
        assert not pipe.aborted


async def test_a_caller_that_does_not_read_is_told_the_application_over_sockets() -> None:
    """Its buffers fill, the application stops; and goes on when it reads."""
    sent = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(400):
            await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
            sent += 1
        await send({"type": "http.response.body"})

    async with serving(app) as url:
        reader, writer = await connect(url)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(request("/", "Connection: close"))
        await eventually(lambda: sent > 0)
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.05)
        assert sent < 400
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert len(await reader.read()) > 400 * 65536
        assert sent == 400
        writer.close()


async def test_who_leaves_an_answer_unread_gets_no_other() -> None:
    """Else small requests for large answers, none of them read, would fill the memory."""
    async with hall(app := Turns()) as here:
        pipe = Pipe(here)
        await pipe.hear(request("/a") + request("/b"))
        pipe.connection.pause_writing()
        app.answer("/a")
        await settle()
        await pipe.hear(request("/c"), b"x" * 70_000)
        assert set(app.turns) == {"/a"}
        assert not pipe.is_read
        pipe.connection.resume_writing()
        await settle()
        assert set(app.turns) == {"/a", "/b"}


async def test_the_next_request_waits_until_the_answer_is_read() -> None:
    async with hall(app := Turns()) as here:
        pipe = Pipe(here)
        await pipe.hear(request("/a"))
        pipe.connection.pause_writing()
        app.answer("/a")
        await pipe.hear(request("/b"))
        assert set(app.turns) == {"/a"}
        assert pipe.connection not in here._idle
        pipe.connection.resume_writing()
        await settle()
        assert set(app.turns) == {"/a", "/b"}
        app.answer("/b")
        assert pipe.connection in here._idle


@pytest.mark.parametrize("how", ["it hangs up", "the end"])
async def test_nothing_goes_on_where_an_unread_answer_was_the_last(how: str) -> None:
    async with hall(app := Turns()) as here:
        pipe = Pipe(here)
        await pipe.hear(request("/a") + request("/b"))
        pipe.unsent = True
        pipe.connection.pause_writing()
        app.answer("/a")
        if how == "the end":
            here.end()
        else:
            pipe.hang_up()
        assert pipe.is_closing()
        pipe.connection.resume_writing()
        await settle()
        assert set(app.turns) == {"/a"}


async def test_half_a_connection_that_does_not_read_is_cut_off() -> None:
    """Less waits than blocks the connection; it would be kept open for ever."""
    async with hall(app := Turns()) as here:
        here.guard = Stall()
        pipe = Pipe(here)
        await pipe.hear(request("/a"))
        app.answer("/a")
        pipe.unsent = True
        pipe.hang_up()
        await eventually(lambda: pipe.aborted, within_s=4)


async def test_who_reads_a_large_answer_slowly_is_not_cut_off() -> None:
    async with hall(app := Turns()) as here:
        pipe = Pipe(here)
        await pipe.hear(request("/a", "Connection: close"))
        app.turns["/a"].start(200, [])
        pipe.unsent, pipe.unsent_bytes = True, 1_000_000
        pipe.connection.pause_writing()
        pipe.unsent_bytes = 9_000_000
        app.turns["/a"].finish()
        for unsent_bytes, stalls in ((8_900_000, False), (8_800_000, False), (8_780_000, True)):
            pipe.unsent_bytes = unsent_bytes
            here.blocked[pipe.connection] = here.now - Stall.client_stall_s - 30
            await eventually(
                lambda: pipe.aborted or here.blocked[pipe.connection] > here.now - 1, within_s=4
            )
            assert pipe.aborted == stalls


# Alive, and the end.


async def test_http_1_0_is_kept_alive_when_it_asks() -> None:
    async with serving(Heard()) as url:
        said = await say(url, OLD_KEPT, OLD_KEPT, b"GET / HTTP/1.0\r\n\r\n", pause_s=0.05)
        assert said.statuses == [200, 200, 200]
        assert said.closed
        assert said.raw.count(b"connection: keep-alive") == 2


async def test_small_answers_are_sent_at_once() -> None:
    seen: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        transport = scope["extensions"][DIRECT]._connection._transport
        sock = transport.get_extra_info("socket")
        seen.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    async with serving(app) as url:
        assert (await say(url, request("/", "Connection: close"))).statuses == [204]
    assert seen[0] != 0


async def test_the_end_closes_what_is_idle_and_lets_answers_be_the_last() -> None:
    app = Turns()
    async with hall(app) as here:
        idle, busy, late = Pipe(here), Pipe(here), Pipe(here)
        await busy.hear(request("/a"))
        await late.hear(request("/b"))
        app.turns["/b"].start(200, [(b"content-length", b"0")])
        here.end()
        assert (idle.is_closing(), busy.is_closing()) == (True, False)
        app.answer("/a")
        app.turns["/b"].finish()
        assert b"connection: close" in busy.said
        assert busy.is_closing()
        assert late.is_closing()
        assert Pipe(here).is_closing()


async def test_while_the_guard_is_ending_answers_are_the_last() -> None:
    app = Turns()
    async with hall(app) as here:
        pipe = Pipe(here)
        await pipe.hear(request("/a"))
        here.guard = type("Ending", (Stall,), {"ending": True})()
        app.answer("/a")
        assert b"connection: close" in pipe.said
        assert pipe.is_closing()


async def test_the_application_can_reset_its_connection() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["extensions"][ABORT]()

    async with hall(app) as here:
        pipe = Pipe(here)
        await pipe.hear(request("/a"))
        assert pipe.aborted
        assert pipe.said == b""


async def test_byte_by_byte_over_a_socket() -> None:
    app = Heard()
    raw = request("/x", "Content-Length: 3", "Connection: close", method="POST", body=b"abc")
    async with serving(app) as url:
        said = await say(url, *cut(raw, range(len(raw))), pause_s=0.001)
    assert (said.statuses, app.bodies) == ([200], [b"abc"])
