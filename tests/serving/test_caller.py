"""One caller over plain ASGI: its body, its answer, its going away."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import aiohttp
import pytest

from proxy.errors import CallerGone, GatewayError
from proxy.serving.caller import BODY_IDLE_S, BODY_TOTAL_S, Caller, meet
from proxy.serving.direct import DIRECT
from tests.clock import play
from tests.running import SERVERS, serving
from tests.serving import raw

GONE = {"type": "http.disconnect"}
BYTES_MAX = 10


def piece(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


class Wire:
    """The server's side of a request: what it will say, and what it was told."""

    def __init__(self, *messages: dict[str, Any], **headers: str) -> None:
        self.arriving: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        for message in messages:
            self.arriving.put_nowait(message)
        self.said: list[Any] = []
        pairs = [
            (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
        ]
        self.caller = Caller({"type": "http", "headers": pairs}, self.arriving.get, self._send)

    async def _send(self, message: Any) -> None:
        self.said.append(message)

    async def refused(self) -> GatewayError:
        with pytest.raises(GatewayError) as caught:
            await self.caller.read_body(BYTES_MAX)
        return caught.value


@pytest.mark.parametrize(
    ("messages", "body"),
    [
        ([{"type": "http.request"}], b""),
        ([piece(b"0123456789")], b"0123456789"),
        ([piece(b"01", more=True), piece(b"", more=True), piece(b"23")], b"0123"),
        ([piece(b"01", more=True), {"type": "http.request"}], b"01"),
    ],
)
async def test_a_body_is_read_whole(messages: list[dict[str, Any]], body: bytes) -> None:
    wire = Wire(*messages, content_length="10", content_encoding="identity")
    assert await wire.caller.read_body(BYTES_MAX) == body


async def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    wire = Wire(piece(b"0"), content_length="11")
    error = await wire.refused()
    assert (error.kind, error.status) == ("body_too_large", 413)
    assert wire.arriving.qsize() == 1


async def test_a_body_that_becomes_too_large_is_not_read_further() -> None:
    wire = Wire(piece(b"012345", more=True), piece(b"67890", more=True), piece(b"1"))
    error = await wire.refused()
    assert error.kind == "body_too_large"
    assert "10 bytes" in error.message
    assert wire.arriving.qsize() == 1


async def test_a_length_that_is_no_number_is_left_to_the_bytes() -> None:
    assert await Wire(piece(b"0"), content_length="many").caller.read_body(BYTES_MAX) == b"0"


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "identity, br", ""])
async def test_a_compressed_body_is_refused(encoding: str) -> None:
    error = await Wire(piece(b"0"), content_encoding=encoding).refused()
    assert (error.kind, error.status) == ("encoding_unsupported", 415)


async def test_a_caller_that_hangs_up_within_its_body_is_gone() -> None:
    with pytest.raises(CallerGone):
        await Wire(piece(b"0", more=True), GONE).caller.read_body(BYTES_MAX)


@pytest.mark.parametrize(("every_s", "after_s"), [(1000.0, BODY_IDLE_S), (5.0, BODY_TOTAL_S)])
def test_a_body_that_comes_slowly_is_given_up(every_s: float, after_s: float) -> None:
    async def story() -> tuple[GatewayError, float]:
        loop = asyncio.get_running_loop()
        wire = Wire()
        for number in range(1, 100):
            loop.call_later(number * every_s, wire.arriving.put_nowait, piece(b"", more=True))
        began = loop.time()
        return await wire.refused(), loop.time() - began

    error, took_s = play(story())
    assert (error.kind, error.status) == ("body_too_slow", 408)
    assert took_s == pytest.approx(after_s)


async def test_headers_are_found_by_name() -> None:
    wire = Wire(x_title="one")
    wire.caller.scope["headers"].append((b"x-title", b"two"))
    assert wire.caller.header(b"x-title") == "one"
    assert wire.caller.header(b"x-other") is None


async def test_an_answer_in_pieces() -> None:
    wire = Wire()
    caller = wire.caller
    marks = [(caller.started, caller.finished)]
    await caller.start(200, iter([(b"a", b"b")]))
    marks.append((caller.started, caller.finished))
    await caller.write(b"one")
    await caller.finish(b"two")
    marks.append((caller.started, caller.finished))
    assert marks == [(False, False), (True, False), (True, True)]
    assert wire.said == [
        {"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]},
        {"type": "http.response.body", "body": b"one", "more_body": True},
        {"type": "http.response.body", "body": b"two"},
    ]


async def test_a_whole_answer() -> None:
    wire = Wire()
    await wire.caller.answer(402, [(b"x-some", b"thing")], b"body")
    assert wire.said == [
        {
            "type": "http.response.start",
            "status": 402,
            "headers": [(b"x-some", b"thing"), (b"content-length", b"4")],
        },
        {"type": "http.response.body", "body": b"body"},
    ]


async def test_a_hang_up_is_told_once_and_ends_all_saying() -> None:
    wire = Wire()
    told = asyncio.Event()
    wire.caller.watch(told.set)
    await asyncio.sleep(0)
    assert not told.is_set()
    wire.arriving.put_nowait(piece(b"late"))  # Hypercorn may still have an empty piece to say
    wire.arriving.put_nowait(GONE)
    await asyncio.wait_for(told.wait(), 20)
    assert wire.caller.gone
    for say in (wire.caller.start(200, []), wire.caller.write(b""), wire.caller.finish()):
        with pytest.raises(CallerGone):
            await say
    assert wire.said == []
    await wire.caller.close()


async def test_the_end_of_an_answer_is_no_hang_up() -> None:
    wire = Wire()
    wire.caller.watch(lambda: pytest.fail("it did not hang up"))
    await wire.caller.finish()
    wire.arriving.put_nowait(GONE)
    for _ in range(5):
        await asyncio.sleep(0)
    assert wire.arriving.empty()
    assert not wire.caller.gone
    await wire.caller.close()


async def test_closing_stops_the_watch_and_may_be_repeated() -> None:
    wire = Wire()
    await wire.caller.close()
    wire.caller.watch(lambda: pytest.fail("it did not hang up"))
    before = len(asyncio.all_tasks())
    await wire.caller.close()
    await wire.caller.close()
    assert len(asyncio.all_tasks()) == before - 1


async def test_an_answer_that_is_broken_off_has_no_last_piece() -> None:
    wire = Wire()
    wire.caller.watch(lambda: pytest.fail("it did not hang up"))
    await wire.caller.start(200, [])
    await wire.caller.write(b"one")
    wire.caller.break_off()
    assert wire.caller.finished
    assert wire.said[-1]["more_body"] is True
    wire.arriving.put_nowait(GONE)  # what a server tells when it closes
    for _ in range(5):
        await asyncio.sleep(0)
    assert not wire.caller.gone
    await wire.caller.close()


async def breaking(scope: Any, receive: Any, send: Any) -> None:
    """Answers with a piece, and breaks off where the path says so."""
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    caller = Caller(scope, receive, send)
    await caller.read_body(BYTES_MAX)
    caller.watch(lambda: None)
    await caller.start(200, [(b"content-type", b"audio/mpeg")])
    await caller.write(b"sound")
    if scope["path"] == "/whole":
        await caller.finish()
    else:
        caller.break_off()
    await caller.close()


LAST = b"0\r\n\r\n"
"""The end of what is sent in chunks."""


@pytest.mark.parametrize("server", SERVERS)
async def test_a_client_sees_that_what_was_broken_off_is_not_whole(server: str) -> None:
    async with serving(breaking, server) as url:
        cut = await raw.say(url, raw.request("/cut", method="GET"))
        assert cut.statuses == [200]
        assert b"sound" in cut.raw
        assert cut.closed, "who waits for more must not wait for ever"
        assert not cut.raw.endswith(LAST)
        whole = await raw.say(url, raw.request("/whole", "Connection: close", method="GET"))
        assert whole.raw.endswith(LAST)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{url}/whole") as answer:
                assert await answer.read() == b"sound"
            async with session.get(f"{url}/cut") as answer:
                with pytest.raises(aiohttp.ClientPayloadError):
                    await answer.read()


# Where the server offers its connection in plain calls.


class Line:
    """The server's side of it: what it was told, and what it will tell."""

    def __init__(self, body: bytes | None = b"body") -> None:
        self.gone = self.full = False
        self.kept: dict[str, Any] = {}
        self.said: list[Any] = []
        self.told: list[Callable[[], None]] = []
        self._body = body

    def body(self) -> bytes | None:
        return self._body

    def watch(self, on_gone: Callable[[], None], on_drained: Callable[[], None]) -> None:
        self.told = [on_gone, on_drained]

    def unwatch(self) -> None:
        self.told = []

    def start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.said.append((status, *headers))

    def write(self, data: bytes) -> None:
        self.said.append(data)

    def finish(self, data: bytes = b"") -> None:
        self.said += [data, "end"]

    def break_off(self) -> None:
        self.said.append("broken off")


def direct(line: Line, *messages: dict[str, Any], **headers: str) -> Caller:
    wire = Wire(*messages, **headers)
    scope = {**wire.caller.scope, "extensions": {DIRECT: line}}
    return meet(scope, wire.arriving.get, wire._send, [(b"always", b"1")])


async def test_a_body_that_is_here_is_taken_at_once() -> None:
    assert await direct(Line()).read_body(BYTES_MAX) == b"body"
    with pytest.raises(GatewayError) as caught:
        await direct(Line(b"0" * 11)).read_body(BYTES_MAX)
    assert caught.value.kind == "body_too_large"


async def test_a_body_that_is_still_coming_is_received() -> None:
    line = Line(None)
    assert await direct(line, piece(b"01", more=True), piece(b"2")).read_body(BYTES_MAX) == b"012"
    with pytest.raises(GatewayError) as caught:
        await direct(Line(None), content_encoding="gzip").read_body(BYTES_MAX)
    assert caught.value.kind == "encoding_unsupported"


async def test_an_answer_in_plain_calls() -> None:
    line = Line()
    caller = direct(line)
    assert caller.ready
    caller.open(200, [(b"a", b"b")])
    caller.push(b"one")
    await caller.write(b"two")
    await caller.finish(b"three")
    assert line.said == [(200, (b"a", b"b"), (b"always", b"1")), b"one", b"two", b"three", "end"]
    assert (caller.started, caller.finished) == (True, True)


async def test_a_piece_waits_for_a_caller_that_does_not_read() -> None:
    line = Line()
    caller = direct(line)
    drained = 0

    def on_drained() -> None:
        nonlocal drained
        drained += 1

    caller.watch(lambda: None)
    caller.wake(on_drained)
    await caller.start(200, [])
    line.full = True
    assert not caller.ready
    writing = asyncio.create_task(caller.write(b"late"))
    await asyncio.sleep(0)
    assert line.said[1:] == []
    line.full = False
    line.told[1]()
    await writing
    assert line.said[1:] == [b"late"]
    assert drained == 1


async def test_who_is_gone_is_told_nothing_more() -> None:
    line = Line()
    caller = direct(line)
    gone: list[bool] = []
    caller.watch(lambda: gone.append(caller.gone))
    line.full = True
    writing = asyncio.create_task(caller.write(b"x"))
    await asyncio.sleep(0)
    line.gone = True
    line.told[0]()
    with pytest.raises(CallerGone):
        await writing
    assert gone == [True]
    assert not caller.ready
    for said in (caller.start(200, []), caller.finish(b"x")):
        with pytest.raises(CallerGone):
            await said
    assert line.said == []
    await caller.close()
    assert line.told == []


async def test_who_hangs_up_after_the_end_was_told_all() -> None:
    line = Line()
    caller = direct(line)
    gone: list[bool] = []
    caller.watch(lambda: gone.append(True))
    await caller.answer(200, [], b"all")
    line.told[0]()
    assert (gone, caller.gone) == ([], False)


async def test_an_answer_that_is_broken_off_in_plain_calls() -> None:
    line = Line()
    caller = direct(line)
    await caller.start(200, [])
    caller.break_off()
    assert line.said[1:] == ["broken off"]
    assert caller.finished


async def test_plain_calls_need_a_server_that_takes_them() -> None:
    caller = Wire().caller
    assert not caller.ready
    caller.wake(lambda: None)
    with pytest.raises(AssertionError):
        caller.open(200, [])
    with pytest.raises(AssertionError):
        caller.push(b"")
