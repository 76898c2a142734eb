"""The bell between plain calls and the one who waits: no ring is lost, none is heard twice."""

import asyncio

import pytest

from proxy.pipeline.bell import Bell
from tests.clock import play


def _now() -> float:
    return asyncio.get_running_loop().time()


def test_a_ring_wakes_the_one_who_waits() -> None:
    async def story() -> float:
        bell, began = Bell(), _now()
        asyncio.get_running_loop().call_later(3, bell.ring)
        await bell.wait(began + 10)
        return _now() - began

    assert play(story()) == pytest.approx(3)


def test_a_wait_is_over_in_time() -> None:
    async def story() -> list[float]:
        bell, began = Bell(), _now()
        times = []
        for until in (2, 5, 5, 1):
            await bell.wait(began + until)
            times.append(round(_now() - began, 3))
        return times

    assert play(story()) == [2, 5, 5, 5]


def test_a_ring_before_the_wait_is_remembered_and_several_count_as_one() -> None:
    async def story() -> list[float]:
        bell, began = Bell(), _now()
        for _ in range(3):
            bell.ring()
        times = []
        for _ in range(2):
            await bell.wait(began + 7)
            times.append(_now() - began)
        return times

    assert play(story()) == pytest.approx([0, 7])


def test_two_rings_in_one_turn_are_no_error() -> None:
    async def story() -> None:
        bell = Bell()
        loop = asyncio.get_running_loop()
        loop.call_later(1, bell.ring)
        loop.call_later(1, bell.ring)
        await bell.wait(_now() + 10)

    play(story())


def test_a_cancelled_wait_leaves_no_timer() -> None:
    async def story() -> int:
        bell = Bell()
        waiting = asyncio.create_task(bell.wait(_now() + 1000))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        bell.ring()
        await bell.wait(_now() + 1000)  # the ring after it is remembered as any other
        loop = asyncio.get_running_loop()
        return sum(not timer.cancelled() for timer in loop._scheduled)  # type: ignore[attr-defined]

    assert play(story()) == 0
