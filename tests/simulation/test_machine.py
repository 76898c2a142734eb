"""A simulated process: it boots against a bad disk, dies at a step, stalls, and ends in peace."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from proxy.simulation.disk import Weather
from proxy.simulation.loop import Loop, bury
from proxy.simulation.machine import House, Machine
from proxy.simulation.market import Market
from proxy.simulation.provider import Provider, town
from proxy.simulation.supervisor import Supervisor
from proxy.simulation.vault import ModelVault


def play(story: Callable[[House, list[str]], Coroutine[Any, Any, None]], **weather: Any) -> None:
    loop, vault, events = Loop(Random(1)), ModelVault(), list[str]()

    async def opened() -> None:
        provider = Provider("p0", Random(1), loop, cancels=True, slow_s=0.1, moods=((0.0, "well"),))
        house = House(
            loop,
            vault=vault,
            model=vault,
            weather=Weather(Random(1), **weather),
            market=Market(Random(1), [provider]),
            answer=town([provider]),
            supervisor=Supervisor(Random(1), loop, wall=loop.time, lossy=0.0),
            keys={},
            wall=loop.time,
            granted=lambda account: 0,
            noted=events.append,
        )
        await story(house, events)

    try:
        loop.run_until_complete(opened())
    finally:
        loop.run_until_complete(bury(loop))
        loop.close()


def test_it_opens_when_the_disk_lets_it_and_ends_in_peace() -> None:
    async def story(house: House, events: list[str]) -> None:
        machine = Machine("w1", house, Random(1))
        machine.life.run(machine.boot())
        await asyncio.sleep(4)
        assert not machine.open
        await asyncio.sleep(4)
        assert machine.at_rest
        assert events.count("w1 is open") == 1
        assert [*house.model.beats] == [machine.treasury.owner]
        await machine.life.run(machine.finish())
        await machine.life.run(machine.close())
        assert house.model.beats == {}
        assert house.loop.tasks_of(machine.life) == []

    play(story, storms=((0.0, 1005.0),))


def test_death_is_of_the_loop_and_of_the_thread() -> None:
    async def story(house: House, events: list[str]) -> None:
        ends = set()
        for seed in range(8):
            machine = Machine(f"w{seed}", house, Random(seed))
            await machine.life.run(machine.boot())
            machine.plan_death()
            ends.add(machine.life.kill_at is None)
            await asyncio.sleep(200)
            assert machine.dead
            assert machine.thread.dead
            assert not machine.open
            assert f"w{seed} is killed" in events
        assert ends == {True, False}

    play(story)


def test_a_death_can_be_called_off_and_a_stall_ends() -> None:
    async def story(house: House, events: list[str]) -> None:
        machine = Machine("w1", house, Random(1))
        await machine.life.run(machine.boot())
        machine.plan_death()
        machine.spare()
        for whole in (True, False):
            machine.stall(whole=whole)
            beats = dict(house.model.beats)
            await asyncio.sleep(10)
            assert house.model.beats == beats
            machine.resume()
            await asyncio.sleep(10)
            assert house.model.beats != beats
        assert not machine.dead

    play(story)


def test_a_generation_keeps_the_prices_it_began_with() -> None:
    async def story(house: House, events: list[str]) -> None:
        machine = Machine("w1", house, Random(1))
        first = machine._new_id(0.0)
        house.version = house.market.reload()
        second = machine._new_id(0.0)
        assert house.priced == {first: 0, second: 1}

    play(story)
