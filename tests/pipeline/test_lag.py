"""How late the loop is, by a clock that only this test moves."""

import asyncio

import pytest

from proxy.pipeline.lag import PERIOD_S, Lag
from tests.clock import play


def _jump(seconds: float) -> None:
    """The loop is blocked for so long."""
    clock = asyncio.get_running_loop()._clock  # type: ignore[attr-defined]
    clock.now += seconds


def test_a_loop_in_time_has_no_lag() -> None:
    async def story() -> list[float]:
        lag = Lag()
        lag.start()
        seen = []
        for _ in range(5):
            await asyncio.sleep(PERIOD_S * 0.7)
            seen.append(lag.seconds())
        lag.stop()
        return seen

    assert play(story()) == pytest.approx([0.0] * 5)


def test_what_is_late_shows_before_the_timer_and_for_a_while_after_it() -> None:
    async def story() -> list[float]:
        lag = Lag()
        lag.start()
        await asyncio.sleep(PERIOD_S * 0.5)
        _jump(2.0)
        seen = [lag.seconds()]
        await asyncio.sleep(0.001)  # the timer has come
        seen.append(lag.seconds())
        await asyncio.sleep(PERIOD_S * 1.5)
        seen.append(lag.seconds())
        lag.stop()
        return seen

    late_s = 2.0 - PERIOD_S * 0.5
    assert play(story()) == pytest.approx([late_s, late_s, 0.0])


def test_until_it_is_started_and_when_it_is_stopped_there_is_none() -> None:
    async def story() -> list[float]:
        lag = Lag()
        seen = [lag.seconds()]
        lag.stop()
        lag.start()
        await asyncio.sleep(0)
        lag.stop()
        _jump(5.0)
        seen.append(lag.seconds())
        timers = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
        assert all(timer.cancelled() for timer in timers)
        return seen

    assert play(story()) == [0.0, 0.0]
