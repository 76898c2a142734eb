"""Worlds: that in a few of them everything happens that can, and that broken ones say so."""

import asyncio
import logging
from collections import Counter
from random import Random

import pytest

from proxy.simulation.checks import Broken
from proxy.simulation.loop import Loop, bury
from proxy.simulation.machine import Machine
from proxy.simulation.world import World

SEEDS = range(50)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


def play(seed: int) -> World:
    loop = Loop(Random(f"loop {seed}"))
    world = World(seed, loop)
    try:
        loop.run_until_complete(world.play())
    finally:
        loop.run_until_complete(bury(loop))
        loop.close()
    return world


def test_a_few_worlds_see_nearly_everything() -> None:
    seen: Counter[str] = Counter()
    for seed in SEEDS:
        world = play(seed)
        rows = [one.generation for one in world.vault.settled.values()]
        seen["charged"] += sum(bool(row.cost_nano) for row in rows)
        seen["hung up"] += sum(row.cancelled for row in rows)
        seen["recovered"] += sum(row.recovered for row in rows)
        seen["a loss"] += sum(row.house_nano > 0 for row in rows)
        seen["cut short"] += sum(row.finish_reason == "length" for row in rows)
        seen["estimated"] += sum(row.usage_estimated for row in rows)
        seen["second tries"] += sum(len(row.attempts) > 1 for row in rows)
        seen["late"] += len(world.vault.late)
        seen["limited"] += bool(world.vault.allowances)
    assert min(seen.values()) > 0, seen
    assert len(seen) == 9


def test_what_nobody_catches_breaks_the_world(monkeypatch: pytest.MonkeyPatch) -> None:
    boot = Machine.boot

    async def careless(self: Machine) -> None:
        asyncio.get_running_loop().call_later(0.1, lambda: 1 // 0)
        await boot(self)

    monkeypatch.setattr(Machine, "boot", careless)
    with pytest.raises(Broken, match="nobody catches"):
        play(0)


def test_a_process_that_does_not_rest_breaks_the_world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Machine, "at_rest", False)
    with pytest.raises(Broken, match=r"every process is at rest: .* at "):
        play(0)


def test_a_task_that_is_left_breaks_the_world(monkeypatch: pytest.MonkeyPatch) -> None:
    close = Machine.close

    async def leave(self: Machine) -> None:
        self.forgotten = asyncio.create_task(asyncio.sleep(100))  # type: ignore[attr-defined]
        await close(self)

    monkeypatch.setattr(Machine, "close", leave)
    with pytest.raises(Broken, match="has no task"):
        play(0)


def test_what_a_request_raises_breaks_the_world(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(self: Machine, caller: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Machine, "serve", fail)
    with pytest.raises(ZeroDivisionError):
        play(1)
