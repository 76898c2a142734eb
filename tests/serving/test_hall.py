"""What connections share: who is looked at and when, and that nothing is left at the end."""

import asyncio
import email.utils
import time

import pytest
from starlette.types import Receive, Scope, Send

from proxy.errors import GatewayError
from proxy.serving.guard import Guard
from proxy.serving.hall import plainly
from tests.running import eventually
from tests.serving.pipe import Heard, Pipe, hall, settle
from tests.serving.raw import request


async def test_the_date_is_of_now() -> None:
    async with hall(Heard()) as here:
        name, _, value = here.date.strip().partition(b": ")
        assert name == b"date"
        said = email.utils.parsedate_to_datetime(value.decode()).timestamp()
        assert abs(said - time.time()) < 2
        here.date = b""
        await eventually(lambda: here.date != b"", within_s=4)


async def test_who_waits_longest_is_closed_first() -> None:
    async with hall(Heard(), keep_alive_s=100) as here:
        pipes = [Pipe(here) for _ in range(4)]
        here.wait(pipes[0].connection)  # it said something
        for pipe, ago_s in zip([*pipes[1:], pipes[0]], (300, 200, 50, 10), strict=True):
            here._idle[pipe.connection] = here.now - ago_s
        await eventually(pipes[1].is_closing, within_s=4)
        assert [pipe.is_closing() for pipe in pipes] == [False, True, True, False]


async def test_it_is_empty_when_connections_and_their_requests_have_ended() -> None:
    go = asyncio.Event()

    async def app(scope: object, receive: object, send: object) -> None:
        await go.wait()

    async with hall(app) as here:
        pipe = Pipe(here)
        emptied = asyncio.create_task(here.emptied())
        await pipe.hear(request("/"))
        pipe.hang_up()
        await settle()
        assert (len(here.connections), len(here.cycles), emptied.done()) == (0, 1, False)
        go.set()
        await asyncio.wait_for(emptied, 20)


async def test_the_guard_that_an_application_names_is_asked_instead() -> None:
    heard = Heard()

    class Hosted:
        guard = Guard(heard, refuse=plainly, client_stall_s=lambda: 3.0)

        async def __call__(self, *_: object) -> None:
            raise AssertionError("it was asked itself")

    hosted = Hosted()
    async with hall(hosted) as here:
        pipe = Pipe(here)
        pipe.connection.data_received(request("/"))
        assert hosted.guard.under_way == 1
        waiting = asyncio.create_task(hosted.guard.drained())
        await settle()
        assert (hosted.guard.under_way, waiting.done(), len(heard.scopes)) == (0, True, 1)
        assert here.guard is hosted.guard


async def test_a_request_that_is_cut_before_it_begins_is_counted_out() -> None:
    guard = Guard(Heard(), refuse=plainly, client_stall_s=lambda: 3.0)
    async with hall(guard) as here:
        pipe = Pipe(here)
        pipe.connection.data_received(request("/"))
        assert guard.under_way == 1
        here.cut()
        await asyncio.wait_for(here.emptied(), 20)
        assert guard.under_way == 0


async def test_what_is_left_is_cut() -> None:
    ended: list[str] = []

    async def app(scope: object, receive: object, send: object) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async with hall(app) as here:
        pipe = Pipe(here)
        await pipe.hear(request("/"))
        here.end()
        assert not pipe.is_closing()
        here.cut()
        await asyncio.wait_for(here.emptied(), 20)
        assert ended == ["cancelled"]
        assert pipe.said == b""


@pytest.mark.parametrize("headers", [{}, {"Allow": "GET"}])
def test_an_error_as_text(headers: dict[str, str]) -> None:
    pairs, body = plainly(GatewayError("invalid_request", "Not so.", headers=headers))
    told = dict(pairs)
    assert body == b"Not so."
    assert told.pop(b"content-length") == b"7"
    assert told.pop(b"content-type") == b"text/plain"
    assert {name.decode().title(): value.decode() for name, value in told.items()} == headers


async def test_a_guard_counts_and_need_not_be_called() -> None:
    counts: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        counts.append(guard.under_way)
        if scope["path"] == "/bad":
            raise ValueError
        await Heard()(scope, receive, send)

    guard = Guard(app, refuse=plainly, client_stall_s=lambda: 7.0)
    async with hall(guard) as here:
        assert here.guard is guard
        await Pipe(here).hear(request("/"))
        await Pipe(here).hear(request("/bad"))
        assert (counts, guard.under_way) == ([1, 1], 0)
        await asyncio.wait_for(guard.drained(), 20)
