"""What is written of a request while it runs and at its end, and what it gives back, once."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.errors import GatewayError
from proxy.pipeline import till as till_of_one
from proxy.pipeline.exchange import Exchange
from proxy.pipeline.till import CHECKPOINT_S, DURABLE_S, Till
from tests.clock import play
from tests.plain import ASK
from tests.stage import END, GOOD, HEAD, KEY, Client, Script, Stage, chunk, tell

MUCH = 10**12


def test_a_stream_is_noted_every_second_and_settled_once() -> None:
    pieces: Script = [(0.1 + second, chunk("hello")) for second in range(4)]
    script: Script = [(0.05, HEAD), *pieces, (3.5, GOOD), (3.6, END)]
    _, stage = tell(script, credit_nano=MUCH, key=KEY)
    assert len(stage.books.notes) == 3.5 // CHECKPOINT_S
    assert all(one.generation.recovered for one in stage.books.notes)
    assert [one.charge_nano for one in stage.books.settlements] == [20_000_000]


def test_one_that_can_not_be_noted_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    def exchange(id: str) -> Exchange:
        snapshot: Any = None
        made = Exchange(id=id, created_at=1.0, started_at=1.0, snapshot=snapshot)
        made.hold = hold
        made.ask = replace(ASK, stream=True)
        return made

    hold: Any = object()

    noted = list[str]()

    def look(one: Any, *, now: float) -> Any:
        return one.id if one.id == "good" else 1 / 0

    async def story() -> None:
        books: Any = SimpleNamespace(noted=noted.append)
        gate: Any = None
        till = Till(books, gate, asyncio.get_running_loop().time)
        till.note_later(exchange("bad"))
        till.note_later(exchange("good"))
        await asyncio.sleep(3.5 * CHECKPOINT_S)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(till_of_one, "outlook", look)
        play(story())
    assert noted == ["good"] * 3
    assert [one.message for one in caplog.records] == ["internal error"]


def test_what_was_noted_is_withdrawn_where_an_error_is_told() -> None:
    script: Script = [(0.1, HEAD), (0.2, chunk("hello")), (1.5, None)]
    client, stage = tell(script, credit_nano=MUCH, key=KEY)
    assert client.error["code"] == 502
    assert len(stage.books.notes) == 1
    assert [one.charge_nano for one in stage.books.settlements] == [0]


def test_who_was_never_admitted_gets_all_back_and_has_no_row() -> None:
    class Hold:
        voided = 0

        def void(self) -> None:
            self.voided += 1

    async def story() -> None:
        left: list[Any] = []
        refused: list[str] = []
        hold: Any = Hold()
        gate: Any = type("Gate", (), {"leave": lambda self, one, usage: left.append(usage)})()
        books: Any = type("Books", (), {"refused": lambda self, kind: refused.append(kind)})()
        snapshot: Any = None
        exchange = Exchange(id="gen-1", created_at=1.0, started_at=1.0, snapshot=snapshot)
        exchange.hold = hold
        Till(books, gate, asyncio.get_running_loop().time).finish(exchange)
        assert (hold.voided, left, refused) == (1, [None], [])
        exchange.hold, exchange.error = None, GatewayError("rate_limited", "Slower.")
        Till(books, gate, asyncio.get_running_loop().time).finish(exchange)
        assert (left, refused) == ([None, None], ["rate_limited"])

    play(story())


def test_without_a_hold_nothing_is_noted() -> None:
    def act(client: Client, stage: Stage) -> None:
        stage.books.durable_s = 60.0  # nobody waits for what no credit is charged for

    script: Script = [(0.1, HEAD), (1.5, GOOD), (1.6, END)]
    client, stage = tell(script, act=act)
    assert (client.status, stage.books.notes) == (200, [])


def test_a_charge_that_is_late_is_told_and_those_after_it_are_not() -> None:
    """One timer looks at all of them, and each has its own time."""

    async def story() -> None:
        clock = asyncio.get_running_loop().time
        till = Till(Any, Any, clock)  # type: ignore[arg-type]
        began = clock()

        async def wait(after_s: float, durable_s: float) -> tuple[bool, float]:
            await asyncio.sleep(after_s)
            durable = asyncio.get_running_loop().create_future()
            timer = asyncio.get_running_loop().call_later(durable_s, durable.set_result, None)
            try:
                await till._in_time(durable)
            except TimeoutError:
                timer.cancel()
                return False, round(clock() - began, 1)
            return True, round(clock() - began, 1)

        waits = [wait(0, 1), wait(1, 99), wait(3, 1), wait(4, 4.5), wait(5, 9)]
        ends = await asyncio.gather(*waits)
        assert ends == [(True, 1), (False, 6), (True, 4), (True, 8.5), (False, 10)]
        assert not till._waiting
        assert till._look is None

    play(story())


def test_who_is_cancelled_while_a_charge_is_written_harms_nobody() -> None:
    async def story() -> None:
        till = Till(Any, Any, asyncio.get_running_loop().time)  # type: ignore[arg-type]

        async def wait() -> None:
            await till._in_time(asyncio.get_running_loop().create_future())

        task = asyncio.create_task(wait())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await asyncio.sleep(2 * DURABLE_S)
        assert not till._waiting

    play(story())
