"""A clock that jumps: hours pass in milliseconds, and every time that is asserted is exact."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Waits for nothing: what it should have waited is added to the clock."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everything waits and nothing is due: it would wait for ever"
        self.now += max(0.0, timeout)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def play(story: Coroutine[Any, Any, T]) -> T:
    """Runs `story` on a loop whose clock jumps. It must not wait for anything outside."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(story)
