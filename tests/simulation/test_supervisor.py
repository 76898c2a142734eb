"""The simulated supervisor: limits hold over workers, whatever its channel loses."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import msgspec
import pytest

from proxy.accounts.limits import Claim
from proxy.errors import GatewayError
from proxy.simulation.loop import Life, Loop, bury
from proxy.simulation.supervisor import Supervisor

SLOT = Claim("key:k:slots", "slots", 2, 1, "full")
RATE = Claim("key:k:requests", "requests", 5, 1, "full")


def play(story: Callable[[Loop], Coroutine[Any, Any, None]]) -> None:
    loop = Loop(Random(1))
    try:
        loop.run_until_complete(story(loop))
    finally:
        loop.run_until_complete(bury(loop))
        loop.close()


def opened(loop: Loop, lossy: float = 0.0) -> Supervisor:
    return Supervisor(Random(1), loop, wall=lambda: 1e9 + loop.time(), lossy=lossy)


@pytest.mark.parametrize("lossy", [0.0, 0.3])
def test_slots_are_shared_and_free_in_the_end(lossy: float) -> None:
    async def story(loop: Loop) -> None:
        house = opened(loop, lossy)
        limits = [house.join(name, Life(name, loop)) for name in "ab"]
        taken = [await one.ask([SLOT]) for one in limits]
        with pytest.raises(GatewayError):
            await limits[0].ask([SLOT])
        assert house.records.slots_most == {SLOT.name: 2}
        house.calm()
        for one, each in zip(limits, taken, strict=True):
            one.finish(each, tokens=0)
            one.finish(each, tokens=0)
        assert [one.unfinished for one in limits] == [0, 0]
        await asyncio.sleep(5)
        assert house.left(SLOT) == 2
        for one in limits:
            await one.close()

    play(story)


def test_the_dead_leave_their_slots() -> None:
    async def story(loop: Loop) -> None:
        house = opened(loop)
        one, other = (house.join(name, Life(name, loop)) for name in "ab")
        for _ in range(2):
            await one.ask([SLOT])
        house.drop("a")
        await other.ask([SLOT])
        assert house.records.slots_most == {SLOT.name: 2}
        await other.close()

    play(story)


def test_what_is_let_in_is_noted() -> None:
    async def story(loop: Loop) -> None:
        house = opened(loop)
        limits = house.join("a", Life("a", loop))
        assert limits.take([RATE]) is None
        for _ in range(5):
            await limits.ask([RATE])
        with pytest.raises(GatewayError):
            await limits.ask([RATE])
        assert len(house.records.let_in[RATE.name]) == 5
        await limits.close()

    play(story)


def test_lent_parts_are_recalled() -> None:
    async def story(loop: Loop) -> None:
        large = Claim("key:k:requests", "requests", 640, 1, "full")
        house = opened(loop)
        limits = [house.join(name, Life(name, loop)) for name in "ab"]
        await limits[0].ask([large])
        taken = limits[0].take([large])
        assert taken is not None
        rest = msgspec.structs.replace(large, amount=636)  # more than is left beside the parts
        await limits[1].ask([rest])
        assert limits[0].take([large]) is None
        for one in limits:
            await one.close()

    play(story)
