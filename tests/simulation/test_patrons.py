"""Patrons of the till: each of their ends, and what they leave."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from random import Random
from types import SimpleNamespace
from typing import Any

from proxy.accounts.keys import Key
from proxy.simulation.disk import Disk, Weather
from proxy.simulation.loop import Life, Loop, bury
from proxy.simulation.patrons import Purpose, Seen, come, purpose
from proxy.simulation.vault import ModelVault
from proxy.stores.treasury import Treasury
from tests.stores.vault import ACCOUNT, NOW

KEY = Key(hash="ab" * 32, name="k", label="", created_at=0.0)
PLAIN = Purpose("x", NOW, KEY, (ACCOUNT,), 100, (), 0.1, 70)


def play(story: Callable[[ModelVault, Any], Coroutine[Any, Any, None]]) -> ModelVault:
    loop, vault = Loop(Random(1)), ModelVault()
    vault.create_account("default", NOW)
    vault.grant("default", 1_000, id="g", at=NOW)

    async def opened() -> None:
        weather = Weather(Random(1))
        disk = Disk(vault, thread=Life("d", loop), weather=weather, noted=lambda event: None)
        treasury = Treasury(
            disk.call, new_owner=lambda: "a", clock=loop.time, wall=lambda: NOW + loop.time()
        )
        await treasury.open()
        await story(vault, SimpleNamespace(treasury=treasury, disk=disk, weather=weather))
        assert treasury.held_nano == 0
        await disk.drain()
        await treasury.close()

    try:
        loop.run_until_complete(opened())
    finally:
        loop.run_until_complete(bury(loop))
        loop.close()
    return vault


def test_purposes_are_of_all_kinds() -> None:
    kinds: Counter[str] = Counter()
    for seed in range(200):
        one = purpose(Random(seed), "x", at=NOW, key=KEY, pots=(ACCOUNT,))
        held = one.amount_nano + sum(one.steps)
        kinds["void"] += one.cost_nano is None
        kinds["free"] += one.cost_nano == 0
        kinds["dear"] += one.cost_nano is not None and one.cost_nano > held
        kinds["grows"] += bool(one.steps)
    assert min(kinds.values()) > 10


def test_who_pays_sees_the_end() -> None:
    async def story(vault: ModelVault, machine: Any) -> None:
        assert await come(machine, PLAIN) == Seen("saw", 70)
        row = vault.settled["x"].generation
        assert (row.cost_nano, row.held_nano, row.key_hash) == (70, 100, KEY.hash)

    assert play(story).balance("default").charged_nano == 70


def test_who_grows_is_noted_and_who_can_not_stops() -> None:
    async def story(vault: ModelVault, machine: Any) -> None:
        grows = PLAIN._replace(steps=(50, 5_000, 10), cost_nano=9_999)
        task = asyncio.create_task(come(machine, grows))
        await asyncio.sleep(0.19)
        assert vault.notes["x"].charge_nano == 150
        seen = await task
        assert (seen.end, seen.charge_nano) == ("saw", 150)
        assert vault.settled["x"].house_nano == 9_849

    play(story)


def test_who_gives_up_pays_nothing() -> None:
    async def story(vault: ModelVault, machine: Any) -> None:
        assert await come(machine, PLAIN._replace(cost_nano=None)) == Seen("void")
        task = asyncio.create_task(come(machine, PLAIN._replace(id="y", steps=(1, 1, 1))))
        await asyncio.sleep(0.15)
        task.cancel()
        assert await come(machine, PLAIN._replace(id="z", amount_nano=5_000)) == Seen("refused")

    vault = play(story)
    assert {id: one.charge_nano for id, one in vault.settled.items()} == {"x": 0, "y": 0}
    assert vault.notes == {}


def test_who_is_not_told_does_not_know() -> None:
    async def story(vault: ModelVault, machine: Any) -> None:
        hold = await machine.treasury.wait_hold((ACCOUNT,), 200)
        hold.void()
        now = asyncio.get_running_loop().time()
        machine.weather._storms = ((now, now + 20),)
        assert await come(machine, PLAIN) == Seen("unsure")

    assert play(story).balance("default").charged_nano == 70
