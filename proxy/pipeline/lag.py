"""How late the event loop is: time that was ours and must not be counted against a provider."""

import asyncio

PERIOD_S = 0.1


class Lag:
    """A timer that sets itself again; how late it comes is how late everything else does."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._due_at = 0.0
        self._ticked_at = 0.0
        self._late_s = 0.0

    def start(self) -> None:
        """Begins to measure; until then the lag is 0."""
        self._arm()

    def stop(self) -> None:
        """Ends it. Safe at any time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        self._due_at = self._loop.time() + PERIOD_S
        self._timer = self._loop.call_at(self._due_at, self._tick)

    def _tick(self) -> None:
        self._ticked_at = self._loop.time()
        self._late_s = self._ticked_at - self._due_at
        self._arm()

    def seconds(self) -> float:
        """How long what happens now has waited for the loop, at most.

        A callback may run before the timer of the same turn, or some turns after it: both the
        lateness that the timer is about to find and the one that it has just found count.
        """
        if self._timer is None:
            return 0.0
        now = self._loop.time()
        found = self._late_s if now - self._ticked_at < PERIOD_S else 0.0
        return max(0.0, found, now - self._due_at)
