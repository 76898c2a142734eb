"""The clock that jumps, and processes that stall and die on it."""

import asyncio
import warnings
from collections.abc import Coroutine
from random import Random
from typing import Any, TypeVar

import pytest

from proxy.simulation import loop as module
from proxy.simulation.loop import START_S, Life, Loop, Stuck, bury

T = TypeVar("T")


def play(story: Coroutine[Any, Any, T], seed: int = 1) -> tuple[T, Loop]:
    loop = Loop(Random(seed))
    try:
        return loop.run_until_complete(story), loop
    finally:
        loop.run_until_complete(bury(loop))
        loop.close()


def here() -> Loop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Loop)
    return loop


def test_hours_pass_at_once() -> None:
    async def story() -> float:
        await asyncio.sleep(7200)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.Event().wait()
        return here().time()

    ended_at, _ = play(story())
    assert START_S + 10800 <= ended_at <= START_S + 10800.001


def test_timers_of_one_instant_come_in_an_order_of_the_seed() -> None:
    async def story() -> list[int]:
        order: list[int] = []
        for number in range(8):
            here().call_later(1, order.append, number)
        here().call_later(1, order.append, 99).cancel()
        await asyncio.sleep(2)
        return order

    orders = [play(story(), seed)[0] for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[2]) == list(range(8))


def test_what_is_ready_keeps_its_order() -> None:
    async def story() -> list[int]:
        order: list[int] = []
        for number in range(8):
            here().call_soon(order.append, number)
        await asyncio.sleep(0)
        return order

    assert play(story())[0] == list(range(8))


def test_waiting_for_ever_is_noticed_and_named() -> None:
    async def story() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Stuck, match=r"nothing is due: .*story at test_loop.py:\d+"):
        play(story())


def test_running_for_ever_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEPS_IN_AN_INSTANT_MAX", 100)

    async def story() -> None:
        for _ in range(1000):
            await asyncio.sleep(0)

    with pytest.raises(Stuck, match="time stands still"):
        play(story())


def test_the_killed_run_no_further_line() -> None:
    said: list[str] = []

    async def work() -> None:
        try:
            said.append("begun")
            await asyncio.sleep(1)
            said.append("gone on")
        finally:
            said.append("cleaned up")

    async def story() -> None:
        life = Life("p", here())
        life.on_killed = lambda: said.append("killed")
        life.run(work())
        await asyncio.sleep(0.5)
        life.kill()
        life.kill()
        life.run(work())
        await asyncio.sleep(10)
        assert said == ["begun", "killed"]

    play(story())


@pytest.mark.parametrize("step", range(1, 8))
def test_death_comes_at_the_step_that_was_named(step: int) -> None:
    async def work(said: list[int]) -> None:
        for number in range(100):
            said.append(number)
            await asyncio.sleep(0)

    async def story() -> tuple[int, Life]:
        said: list[int] = []
        life = Life("p", here())
        life.kill_at = step
        life.run(work(said))
        await asyncio.sleep(1)
        return len(said), life

    (said, life), _ = play(story())
    assert said == step - 1
    assert life.dead


def test_the_stalled_go_on_where_they_were() -> None:
    async def work(said: list[float]) -> None:
        for _ in range(5):
            said.append(round(here().time() - START_S))
            await asyncio.sleep(1)

    async def story() -> list[float]:
        said: list[float] = []
        life = Life("p", here())
        life.run(work(said))
        await asyncio.sleep(1.5)
        life.stall()
        await asyncio.sleep(60)
        assert said == [0, 1]
        life.resume()
        await asyncio.sleep(10)
        return said

    assert play(story())[0] == [0, 1, 62, 63, 64]


def test_a_stalled_process_can_be_killed() -> None:
    async def story() -> None:
        life = Life("p", here())
        task = life.run(asyncio.sleep(1))
        life.stall()
        await asyncio.sleep(2)
        life.kill()
        life.resume()
        await asyncio.sleep(2)
        assert not task.done()

    play(story())


def test_what_nobody_caught_is_a_fault() -> None:
    async def story() -> None:
        here().call_soon(lambda: 1 // 0)
        await asyncio.sleep(1)

    _, loop = play(story())
    assert len(loop.faults) == 1
    assert "ZeroDivisionError" in loop.faults[0]


def test_the_dead_are_buried_without_a_word() -> None:
    async def stubborn() -> None:
        try:
            await asyncio.sleep(1)
        finally:
            asyncio.get_running_loop().create_task(asyncio.sleep(1))
            await asyncio.sleep(1)

    async def story() -> None:
        life = Life("p", here())
        life.run(stubborn())
        await asyncio.sleep(0.5)
        life.kill()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        play(story())
