"""One request and its answer: in ASGI's words and in plain calls, in order and out of it."""

import asyncio
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from proxy.errors import CallerGone
from proxy.serving.cycle import TURN_BYTES, Cycle, Gone
from proxy.serving.direct import DIRECT
from tests.serving.pipe import Pipe, hall, settle
from tests.serving.raw import request

OLD = b"GET / HTTP/1.0\r\n\r\n"
OLD_KEPT = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
PLAIN = request("/")
HEAD = request("/", method="HEAD")
FIVE = [(b"content-length", b"5")]


def without_date(said: bytes) -> bytes:
    return re.sub(rb"date: [^\r]* GMT\r\n", b"", said)


class Script:
    """An application that does what it is told with the plain calls, and waits."""

    def __init__(self, *calls: Callable[[Cycle], object]) -> None:
        self.calls = calls
        self.cycles: list[Cycle] = []
        self.errors: list[Exception] = []
        self.go = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        cycle = scope["extensions"][DIRECT]
        self.cycles.append(cycle)
        for call in self.calls:
            try:
                call(cycle)
            except (RuntimeError, ValueError) as error:
                self.errors.append(error)
        await self.go.wait()


async def told(raw: bytes, *calls: Callable[[Cycle], object]) -> tuple[Pipe, Script]:
    script = Script(*calls)
    async with hall(script) as here:
        pipe = Pipe(here)
        await pipe.hear(raw)
        said = list(pipe.written)
        script.go.set()
    pipe.written = said
    return pipe, script


def start(*headers: tuple[bytes, bytes], status: int = 200) -> Callable[[Cycle], None]:
    return lambda cycle: cycle.start(status, headers)


def write(data: bytes) -> Callable[[Cycle], None]:
    return lambda cycle: cycle.write(data)


def finish(data: bytes = b"") -> Callable[[Cycle], None]:
    return lambda cycle: cycle.finish(data)


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKS = OK + b"transfer-encoding: chunked\r\n\r\n"
CLOSES = OK + b"connection: close\r\n\r\n"
WHOLE = OK + b"content-length: 5\r\n\r\nhello"


@pytest.mark.parametrize(
    ("raw", "calls", "writes"),
    [
        (PLAIN, [start(*FIVE), finish(b"hello")], [WHOLE]),
        (PLAIN, [start(*FIVE), write(b"he"), finish(b"llo")], [WHOLE[:-3], b"llo"]),
        (PLAIN, [start(*FIVE), write(b""), finish(b"hello")], [WHOLE[:-5], b"hello"]),
        (PLAIN, [start(*FIVE), write(b"hello"), finish()], [WHOLE]),
        (PLAIN, [start(), finish(b"hello")], [CHUNKS + b"5\r\nhello\r\n0\r\n\r\n"]),
        (PLAIN, [start(), finish()], [CHUNKS + b"0\r\n\r\n"]),
        (
            PLAIN,
            [start(), write(b"a"), write(b""), write(b"b" * 16), finish()],
            [CHUNKS + b"1\r\na\r\n", b"10\r\n" + b"b" * 16 + b"\r\n", b"0\r\n\r\n"],
        ),
        (PLAIN, [start(status=204), finish()], [b"HTTP/1.1 204 No Content\r\n\r\n"]),
        (PLAIN, [start(status=204), write(b"x"), finish(b"x")], [
            b"HTTP/1.1 204 No Content\r\n\r\n"]),
        (PLAIN, [start(status=304), finish()], [b"HTTP/1.1 304 Not Modified\r\n\r\n"]),
        (HEAD, [start(*FIVE), write(b"he"), finish(b"llo")], [WHOLE[:-5]]),
        (HEAD, [start(), write(b"a"), finish()], [OK + b"\r\n"]),
        (OLD, [start(), write(b"a"), finish(b"b")], [CLOSES + b"a", b"b"]),
        (OLD, [start(*FIVE), finish(b"hello")], [
            OK + b"content-length: 5\r\nconnection: close\r\n\r\nhello"]),
        (OLD_KEPT, [start(), finish(b"a")], [CLOSES + b"a"]),
        (OLD_KEPT, [start(*FIVE), finish(b"hello")], [
            OK + b"content-length: 5\r\nconnection: keep-alive\r\n\r\nhello"]),
        (PLAIN, [start(*FIVE), finish(b"hello"), finish(b"x"), write(b"x"), start()], [WHOLE]),
        (PLAIN, [start(*FIVE), write(b"he"), lambda cycle: cycle.break_off()], [WHOLE[:-3]]),
        (PLAIN, [start(*FIVE), lambda cycle: cycle.break_off()], [WHOLE[:-5]]),
        (PLAIN, [lambda cycle: cycle.break_off(), start(), finish()], []),
    ],
)  # fmt: skip
async def test_what_is_written(
    raw: bytes, calls: list[Callable[[Cycle], None]], writes: list[bytes]
) -> None:
    pipe, script = await told(raw, *calls)
    assert [without_date(data) for data in pipe.written] == writes
    assert script.errors == []


@pytest.mark.parametrize(
    ("calls", "message"),
    [
        ([write(b"a")], "has not begun"),
        ([finish()], "has not begun"),
        ([start(), start()], "begun already"),
        ([start(*FIVE), write(b"hello!")], "longer"),
        ([start(*FIVE), write(b"he"), finish(b"l")], "not as long"),
        ([start(*FIVE), finish(b"hello!")], "not as long"),
        ([start((b"a", b"b\r\nc: d"))], "more than one line"),
    ],
)
async def test_what_is_out_of_order_is_an_error(
    calls: list[Callable[[Cycle], None]], message: str
) -> None:
    pipe, script = await told(PLAIN, *calls)
    (error,) = script.errors
    assert message in str(error)
    assert b"c: d" not in pipe.said
    assert b"!" not in pipe.said


async def test_the_connection_goes_on_after_a_whole_answer_only() -> None:
    for calls, count in (
        ([start(*FIVE), finish(b"hello")], 2),
        ([start((b"connection", b"close")), finish(b"hello")], 1),
        ([start(*FIVE), lambda cycle: cycle.break_off()], 1),
    ):
        pipe, _ = await told(PLAIN + PLAIN, *calls)
        assert pipe.said.count(b"HTTP/1.1 200") == count


# The body.


async def test_the_body_is_had_once() -> None:
    bodies: list[bytes | None] = []
    take = lambda cycle: bodies.append(cycle.body())  # noqa: E731
    await told(request("/", "Content-Length: 3", method="POST", body=b"abc"), take, take)
    await told(PLAIN, take)
    await told(request("/", "Content-Length: 3", method="POST", body=b"ab"), take)
    assert bodies == [b"abc", None, b"", None]


async def test_a_body_in_pieces() -> None:
    heard: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while not heard or heard[-1]["type"] != "http.disconnect":
            heard.append(await receive())
        assert scope["extensions"][DIRECT].body() is None

    async with hall(app) as here:
        pipe = Pipe(here)
        await pipe.hear(request("/", "Content-Length: 3", method="POST"), b"a", b"bc")
        pipe.hang_up()
        await settle()
    last = {"type": "http.disconnect"}
    assert [(one.get("body"), one.get("more_body")) for one in heard[:-1]] in (
        [(b"a", True), (b"bc", False)],
    )
    assert heard[-1] == last


async def test_the_end_of_a_body_is_told_when_it_comes_alone() -> None:
    heard: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        heard.extend([await receive(), await receive()])

    async with hall(app) as here:
        chunked = request("/", "Transfer-Encoding: chunked", method="POST", body=b"1\r\na\r\n")
        await Pipe(here).hear(chunked, b"0\r\n\r\n")
    assert [(one["body"], one["more_body"]) for one in heard] == [(b"a", True), (b"", False)]


@pytest.mark.parametrize("wants", [True, False])
async def test_who_waits_for_a_word_gets_it_when_the_body_is_wanted(wants: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if wants:
            while (await receive())["more_body"]:
                pass
        await send({"type": "http.response.start", "status": 200, "headers": FIVE})
        await send({"type": "http.response.body", "body": b"hello"})

    asking = request("/", "Expect: 100-Continue", "Content-Length: 3", method="POST")
    async with hall(app) as here:
        pipe = Pipe(here)
        await pipe.hear(asking)
        if wants:
            assert pipe.written == [b"HTTP/1.1 100 Continue\r\n\r\n"]
            await pipe.hear(b"a", b"bc")
        assert pipe.said.count(b"100 Continue") == wants
        assert pipe.said.endswith(b"hello")
        assert (b"connection: close" in pipe.said) is not wants
        eager = Pipe(here)
        await eager.hear(asking + b"abc")
        assert b"100 Continue" not in eager.said


async def test_a_word_that_http_1_0_does_not_know() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()

    async with hall(app) as here:
        pipe = Pipe(here)
        await pipe.hear(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert pipe.said == b""


# Hang-ups.


class Unasked:
    client_stall_s = 0.0
    ending = True


class Watched:
    def __init__(self) -> None:
        self.told: list[str] = []

    def __call__(self, cycle: Cycle) -> None:
        cycle.watch(lambda: self.told.append("gone"), lambda: self.told.append("drained"))


async def test_a_hang_up_is_told_once() -> None:
    watched = Watched()
    script = Script(watched, start(), write(b"a"))
    async with hall(script) as here:
        pipe = Pipe(here)
        await pipe.hear(PLAIN)
        pipe.hang_up()
        assert watched.told == ["gone"]
        await settle()
        (cycle,) = script.cycles
        assert (cycle.gone, cycle.full, watched.told) == (True, False, ["gone"])
        for call in (start(), write(b"b"), finish(b"c"), Cycle.break_off):
            call(cycle)
        watched(cycle)
        assert watched.told == ["gone", "gone"]  # it asked again
        before = here.guard
        cycle.guarded(Unasked())
        assert here.guard is before
        script.go.set()
    assert b"b" not in pipe.said.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("how", ["unwatched", "finished"])
async def test_a_hang_up_is_not_told(how: str) -> None:
    watched = Watched()
    end = Cycle.unwatch if how == "unwatched" else finish(b"hello")
    script = Script(watched, start(*FIVE), end)
    async with hall(script) as here:
        pipe = Pipe(here)
        await pipe.hear(PLAIN)
        pipe.connection.pause_writing()
        pipe.connection.resume_writing()
        pipe.hang_up()
        await settle()
        script.go.set()
    assert watched.told == []
    assert script.cycles[0].gone is (how == "unwatched")
    watched(script.cycles[0])


async def test_a_turn_comes_when_the_answer_before_is_read() -> None:
    cycles: list[Cycle] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        cycle = scope["extensions"][DIRECT]
        cycles.append(cycle)
        cycle.start(200, [])
        cycle.write(b"a")
        if len(cycles) == 1:
            pipe.connection.pause_writing()
        assert cycle.full == (len(cycles) == 1)
        cycle.finish()

    async with hall(app) as here:
        pipe = Pipe(here)
        await pipe.hear(PLAIN + PLAIN)
        assert len(cycles) == 1
        pipe.connection.resume_writing()
        await settle()
        assert [(cycle.gone, cycle.full) for cycle in cycles] == [(False, False)] * 2
        assert pipe.said.count(b"HTTP/1.1 200 OK") == 2


async def test_full_and_drained() -> None:
    watched = Watched()
    script = Script(watched, start())
    async with hall(script) as here:
        pipe = Pipe(here)
        await pipe.hear(PLAIN)
        (cycle,) = script.cycles
        full = [cycle.full]
        pipe.connection.pause_writing()
        full.append(cycle.full)
        cycle.write(b"kept all the same")
        pipe.connection.resume_writing()
        assert [*full, cycle.full] == [False, True, False]
        assert watched.told == ["drained"]
        script.go.set()
    assert b"kept all the same" in pipe.said


# ASGI.


async def test_send_waits_for_room() -> None:
    sent: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        for number in range(3):
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
            sent.append(number)

    async with hall(app) as here:
        pipe = Pipe(here)
        pipe.connection.pause_writing()
        await pipe.hear(PLAIN)
        assert sent == []
        pipe.connection.resume_writing()
        await settle()
        assert sent == [0, 1, 2]


@pytest.mark.parametrize("when", ["while it waits", "before"])
async def test_a_late_send_is_an_error(when: str) -> None:
    errors: list[Exception] = []
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        if when == "before":
            await go.wait()
        try:
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
        except (CallerGone, OSError) as error:
            errors.append(error)
        await send({"type": "http.response.body"})

    async with hall(app) as here:
        pipe = Pipe(here)
        pipe.connection.pause_writing()
        await pipe.hear(PLAIN)
        pipe.hang_up()
        go.set()
        await settle()
    assert [type(error) for error in errors] == [Gone]


async def test_who_sends_without_end_does_not_stop_all_else() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        while True:
            await send({"type": "http.response.body", "body": b"a" * 999, "more_body": True})

    async with hall(app) as here:
        pipe = Pipe(here)
        await asyncio.wait_for(pipe.hear(PLAIN), 5)
        assert len(pipe.written) > TURN_BYTES // 1000
        pipe.hang_up()
        await settle()
        assert here.cycles == set()


@pytest.mark.parametrize("kind", ["websocket.send", "http.response.push"])
async def test_a_strange_message_is_an_error(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": kind})

    async with hall(app) as here:
        pipe = Pipe(here)
        await pipe.hear(PLAIN)
    assert b"HTTP/1.1 500 " in pipe.said
    assert "not a message" in str(caplog.records[0].exc_info)


async def _nothing(send: Any) -> None:
    pass


async def _raising(send: Any) -> None:
    raise RuntimeError("a secret detail")


async def _raising_later(send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": FIVE})
    raise RuntimeError("a secret detail")


async def _injecting(send: Any) -> None:
    headers = [(b"a", b"b\r\nSet-Cookie: c")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


@pytest.mark.parametrize("deed", [_nothing, _raising, _raising_later, _injecting])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_an_application_that_fails_before_anything_is_out(
    deed: Any, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await deed(send)

    async with hall(app) as here:
        pipe = Pipe(here)
        await pipe.hear(request("/", method=method) + PLAIN)
        head, _, body = pipe.said.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 500 ")
        assert b"connection: close" in head
        assert (b'"code":500' in body) == (method == "GET")
        assert pipe.is_closing()
    assert b"secret" not in pipe.said
    assert b"ookie" not in pipe.said
    (record,) = caplog.records
    assert record.levelno == logging.ERROR


@pytest.mark.parametrize(
    "how", ["raises", "returns", "too much", "too little", "gone", "cancelled"]
)
async def test_an_application_that_fails_with_something_out(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": FIVE})
        await send({"type": "http.response.body", "body": b"he", "more_body": True})
        if how == "raises":
            raise RuntimeError
        if how == "gone":
            raise CallerGone
        if how == "cancelled":
            raise asyncio.CancelledError
        if how != "returns":
            await send(
                {"type": "http.response.body", "body": b"llo!" if how[4:] == "much" else b""}
            )

    async with hall(app) as here:
        pipe = Pipe(here)
        await pipe.hear(PLAIN + PLAIN)
        assert pipe.is_closing()
    assert without_date(pipe.said) == WHOLE[:-3]
    assert len(caplog.records) == (0 if how in ("returns", "gone", "cancelled") else 1)
