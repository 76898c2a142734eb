"""The simulated disk: what happens, what is told, and what a death leaves of it."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, TypeVar

import pytest

from proxy.accounts.ledger import Settlement
from proxy.simulation.disk import Disk, Fate, Weather
from proxy.simulation.loop import Life, Loop, bury
from proxy.simulation.vault import ModelVault
from proxy.stores.schema import StoreUnavailable
from tests.stores.vault import ACCOUNT, NOW, settlement

T = TypeVar("T")


class Stage:
    """A vault with an open owner, and a disk of given fates before it."""

    def __init__(self, *fates: Fate) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        self.vault = ModelVault()
        self.vault.create_account("default", NOW)
        self.vault.grant("default", 1_000, id="g", at=NOW)
        self.vault.open_owner("a", at=NOW)
        self.vault.resize("a", ACCOUNT, keep_nano=0, least_nano=500, want_nano=500, at=NOW)
        self.events: list[str] = []
        self.thread = Life("d", loop)
        self._fates = list(fates)
        weather = Weather(Random(1))
        weather.fate = self._fate  # type: ignore[method-assign]
        self.disk = Disk(self.vault, thread=self.thread, weather=weather, noted=self.events.append)

    def _fate(self, now: float) -> Fate:
        return self._fates.pop(0) if self._fates else Fate.DONE


def play(story: Callable[[], Coroutine[Any, Any, T]]) -> T:
    loop = Loop(Random(1))
    try:
        return loop.run_until_complete(story())
    finally:
        loop.run_until_complete(bury(loop))
        loop.close()


def test_what_is_settled_is_durable_when_it_is_told() -> None:
    async def story() -> None:
        stage = Stage()
        first, second = settlement("x", 5), settlement("y", 6)
        stage.disk.submit(first)
        kept = stage.disk.settle(second)
        assert stage.disk.settle(second) is kept
        assert stage.disk.pending == 2
        assert stage.disk.pending_generation("x") == first.generation
        await kept
        assert [*stage.vault.settled] == ["x", "y"]
        assert stage.disk.pending == 0
        assert stage.disk.pending_generation("x") is None

    play(story)


@pytest.mark.parametrize("fate", [Fate.REFUSED, Fate.UNTOLD])
def test_a_commit_is_tried_until_it_is_told(fate: Fate) -> None:
    async def story() -> None:
        stage = Stage(fate, fate)
        await stage.disk.settle(settlement("x", 5))
        assert stage.disk.healthy
        assert stage.events == [f"d settle {fate.value}"] * 2 + ["d settle done"]
        assert stage.vault.balance("default").charged_nano == 5

    play(story)


@pytest.mark.parametrize(("fate", "granted"), [(Fate.REFUSED, 1_000), (Fate.UNTOLD, 1_007)])
def test_a_call_is_told_that_it_may_have_failed(fate: Fate, granted: int) -> None:
    async def story() -> None:
        stage = Stage(fate)
        with pytest.raises(StoreUnavailable):
            await stage.disk.call(lambda vault: vault.grant("default", 7, id="h", at=NOW))
        assert stage.vault.balance("default").granted_nano == granted
        found = await stage.disk.call(lambda vault: vault.beat("a"))
        assert found == {"a": 1}

    play(story)


def test_what_a_call_raises_comes_back() -> None:
    async def story() -> None:
        stage = Stage()
        with pytest.raises(ZeroDivisionError):
            await stage.disk.call(lambda vault: 1 / 0)

    play(story)


def test_nobody_has_to_wait_for_what_was_asked() -> None:
    async def story() -> None:
        stage = Stage()
        task = asyncio.create_task(stage.disk.call(lambda vault: vault.beat("a")))
        failing = asyncio.create_task(stage.disk.call(lambda vault: vault.beat("nobody")))
        kept = stage.disk.settle(settlement("x", 5))
        await asyncio.sleep(0)
        task.cancel()
        failing.cancel()
        kept.cancel()
        await asyncio.sleep(1)
        assert stage.vault.beats == {"a": 1}
        assert "x" in stage.vault.settled

    play(story)


def test_the_last_checkpoint_counts_until_the_end_is_queued() -> None:
    async def story() -> None:
        stage = Stage(Fate.REFUSED)
        for charge in (1, 2):
            stage.disk.checkpoint(settlement("x", charge))
        await asyncio.sleep(1)
        assert stage.events == ["d checkpoint refused"]
        stage.disk.checkpoint(settlement("y", 3))
        await asyncio.sleep(1)
        assert {id: one.charge_nano for id, one in stage.vault.notes.items()} == {"x": 2, "y": 3}
        stage.disk.submit(settlement("y", 4))
        stage.disk.checkpoint(settlement("y", 5))
        await asyncio.sleep(1)
        assert [*stage.vault.notes] == ["x"]

    play(story)


def test_death_comes_before_or_after_the_moment() -> None:
    """Killed at each step in turn, a commit is lost or it happened, and never half of it."""

    async def story() -> list[tuple[int, bool]]:
        ends = []
        for step in range(1, 12):
            stage = Stage()
            stage.thread.kill_at = step
            batch: list[Settlement] = [settlement("x", 5), settlement("y", 6)]
            kept = [stage.disk.settle(one) for one in batch]
            await asyncio.sleep(1)
            ends.append((len(stage.vault.settled), all(one.done() for one in kept)))
        return ends

    ends = play(story)
    assert set(ends) == {(0, False), (2, False), (2, True)}
    assert ends == sorted(ends)


def test_weather_has_storms_and_clears_up() -> None:
    weather = Weather(Random(1), refused=0.5, untold=0.5, storms=((10.0, 20.0),))
    assert {weather.fate(5.0) for _ in range(100)} == {Fate.REFUSED, Fate.UNTOLD}
    assert {weather.fate(15.0) for _ in range(100)} == {Fate.REFUSED}
    assert max(weather.wait_s() for _ in range(1000)) > 10 * 0.002
    weather.clear()
    assert {weather.fate(15.0) for _ in range(100)} == {Fate.DONE}
