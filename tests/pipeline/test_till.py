"""What is written of a request while it runs and at its end, and what it gives back, once."""

import asyncio
from typing import Any

from proxy.errors import GatewayError
from proxy.pipeline.exchange import Exchange
from proxy.pipeline.till import CHECKPOINT_S, Till
from tests.clock import play
from tests.stage import END, GOOD, HEAD, KEY, Client, Script, Stage, chunk, tell

MUCH = 10**12


def test_a_stream_is_noted_every_second_and_settled_once() -> None:
    pieces: Script = [(0.1 + second, chunk("hello")) for second in range(4)]
    script: Script = [(0.05, HEAD), *pieces, (3.5, GOOD), (3.6, END)]
    _, stage = tell(script, credit_nano=MUCH, key=KEY)
    assert len(stage.books.notes) == 3.5 // CHECKPOINT_S
    assert all(one.generation.recovered for one in stage.books.notes)
    assert [one.charge_nano for one in stage.books.settlements] == [20_000_000]


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
