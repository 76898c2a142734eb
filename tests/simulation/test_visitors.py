"""Visitors: what they were promised is checked as they see it."""

import asyncio
from collections.abc import Coroutine
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.accounts.keys import Key
from proxy.simulation import patrons
from proxy.simulation.checks import Alarm, Broken
from proxy.simulation.loop import Loop, bury
from proxy.simulation.patrons import Seen
from proxy.simulation.vault import ModelVault
from proxy.simulation.visitors import Visitors
from tests.simulation.test_witness import said
from tests.stores.vault import settlement

KEY = Key(hash="ab" * 32, name="k", label="", created_at=0.0, limit_nano=5, limit_reset="daily")


class Stage:
    """Visitors of a house in which nobody does anything."""

    def __init__(self, loop: Loop) -> None:
        self.model = ModelVault()
        self.events: list[str] = []
        self.alarm = Alarm(loop)
        house: Any = SimpleNamespace(
            loop=loop, model=self.model, wall=lambda: 1e9, market=SimpleNamespace(enforce=False)
        )
        trace: Any = SimpleNamespace(say=self.events.append)
        self.machine: Any = SimpleNamespace(name="w1", open=False, dead=False, busy=0)
        machines: list[Any] = [self.machine]
        self.visitors = Visitors(
            Random(1),
            house,
            keys={"secret": KEY, "other": replace(KEY, limit_nano=None)},
            machines=machines,
            span_s=1.0,
            trace=trace,
            alarm=self.alarm,
        )

    def broken(self) -> str:
        assert self.alarm.rung.done()
        return str(self.alarm.rung.exception())


def play(story: Any) -> None:
    loop = Loop(Random(1))

    async def opened() -> None:
        stage = Stage(loop)
        made: Coroutine[Any, Any, None] | None = story(stage)
        if made is not None:
            await made
        stage.alarm.ring(Broken("the end"))
        stage.alarm.rung.exception()

    try:
        loop.run_until_complete(opened())
    finally:
        loop.run_until_complete(bury(loop))
        loop.close()


def test_nobody_goes_where_nobody_is() -> None:
    async def story(stage: Stage) -> None:
        await stage.visitors.caller(1)
        await stage.visitors.patron(1)
        assert stage.events == []

    play(story)


def client(
    cost_nano: int, *, generation: str | None = "x", ended: bool = True, secret: str = "secret"
) -> Any:
    answer = [said(cost_nano)]
    return SimpleNamespace(
        wish=SimpleNamespace(name="r1", secret=secret),
        status=200,
        generation=generation,
        ended=ended,
        events=lambda: answer,
    )


def test_an_end_without_a_durable_charge_rings() -> None:
    def story(stage: Stage) -> None:
        stage.visitors._ended(client(0))
        stage.visitors._ended(client(5, generation=None))
        stage.visitors._ended(client(5, secret="other"))  # nobody is billed
        assert not stage.alarm.rung.done()
        stage.visitors._ended(client(5))
        assert "durable before the end is seen: x" in stage.broken()

    play(story)


def test_an_answer_without_a_row_is_broken() -> None:
    def story(stage: Stage) -> None:
        stage.visitors._clients = [(client(0, ended=False), stage.machine)]
        stage.visitors.check_answers([], until=0.0)
        stage.visitors._clients = [(client(0), stage.machine)]
        with pytest.raises(Broken, match="an answer has its row: x"):
            stage.visitors.check_answers([], until=0.0)
        stage.machine.dead = True
        stage.visitors.check_answers([], until=0.0)

    play(story)


@pytest.mark.parametrize(
    ("kept", "late", "what"),
    [
        (None, False, "durable before the end is seen"),
        (4, False, "charged what was said"),
        (4, True, None),
        (5, False, None),
    ],
)
def test_a_patron_is_charged_what_it_saw(kept: int | None, late: bool, what: str | None) -> None:
    async def story(stage: Stage) -> None:
        if kept is not None:
            stage.model.settled["x"] = settlement("x", kept)
        if late:
            stage.model.late.add("x")
        seen = asyncio.get_running_loop().create_task(_saw())
        await seen
        stage.visitors._left(stage.machine, "x", seen)
        assert stage.machine.busy == -1
        if what is None:
            assert not stage.alarm.rung.done()
        else:
            assert what in stage.broken()

    play(story)


async def _saw() -> patrons.Seen:
    return Seen("saw", 5)


def test_who_was_cancelled_saw_nothing() -> None:
    async def story(stage: Stage) -> None:
        task = asyncio.get_running_loop().create_task(_saw())
        task.cancel()
        await asyncio.wait([task])
        stage.visitors._left(stage.machine, "x", task)
        assert stage.events == []

    play(story)


def test_a_limited_key_has_an_allowance_of_the_period() -> None:
    def story(stage: Stage) -> None:
        credit, allowance = stage.visitors._pots(KEY)
        assert credit.name == "account:default"
        assert (allowance.limit_nano, allowance.since) == (5, 999_993_600)

    play(story)
