"""A place to wait that plain calls can ring: callbacks on one side, one coroutine on the other."""

import asyncio


class Bell:
    """Rings are remembered, so that none is missed between two waits; several count as one. There
    is a `waiter` while somebody waits, or has not gone on yet since it rang.
    """

    _rung = False
    waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Wakes the one who waits, now or at its next wait."""
        self._rung = True
        waiter = self.waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def wait(self, until: float) -> None:
        """Returns when rung, or at `until` on the loop's clock, whichever comes first."""
        if not self._rung:
            loop = asyncio.get_running_loop()
            waiter = self.waiter = loop.create_future()
            timer = loop.call_at(until, self.ring)
            try:
                await waiter
            finally:
                timer.cancel()
                self.waiter = None
        self._rung = False
