"""Answers that nobody listens to any more, heard out because they are billed all the same.

Most providers go on, and charge for it, when the connection closes. Their answers are read to the
end, or to the usage that follows the last finish, within bounds of time, size and number; where a
bound is met the provider is hung up on and its usage estimated from what it said.
"""

import asyncio
import logging
from collections.abc import Callable

from proxy.money import tariff_of
from proxy.pipeline.attempt import Attempt
from proxy.pipeline.clocks import USAGE_WAIT_S
from proxy.pipeline.reading import ANSWER_BYTES_MAX

log = logging.getLogger(__name__)

DRAIN_S = 30.0
DRAIN_BYTES_MAX = 1024 * 1024
AT_ONCE_S = 120.0
"""For what is made in one piece: of that nobody knows anything before it is all there. An image
takes minutes, and its provider is paid however large it is.
"""
DRAINS_MAX = 64


def owed(attempt: Attempt) -> bool:
    """Whether a provider at work charges for all of its answer though the caller has gone, and the
    caller for it: content was streamed, or the answer was to be whole, or is made in one piece.
    """
    provider, pricing = attempt.endpoint.provider, attempt.endpoint.pricing
    if provider.cancel_stops_billing or pricing is None:
        return False
    at_work = attempt.sent is not None and not attempt.over
    sold = attempt.committed or attempt.whole or attempt.at_once
    return not tariff_of(pricing).free and at_work and sold


def part(attempt: Attempt) -> None:
    """A complete answer may end by itself, so that its connection is used again; others may not."""
    if attempt.error is not None or not attempt.over:
        attempt.cancel()
    elif attempt.sent is not None:
        asyncio.get_running_loop().call_later(USAGE_WAIT_S, attempt.cancel)


class Drains:
    """The drains of one process."""

    def __init__(self) -> None:
        self._open: set[_Drain] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._open)

    def take(self, attempt: Attempt, then: Callable[[], None]) -> None:
        """Hears `attempt` out; what it heard is the exchange's when `then` runs, exactly once and
        at once where there is no room.
        """
        drain = _Drain(attempt, then, self._left)
        self._open.add(drain)
        self._empty.clear()
        if self._closed or len(self._open) > DRAINS_MAX:
            drain.finish()
        else:
            drain.begin()

    def _left(self, drain: "_Drain") -> None:
        self._open.discard(drain)
        if not self._open:
            self._empty.set()

    async def close(self, within_s: float = 0.0) -> None:
        """Waits so long for those that are open, then ends them; later ones end at once."""
        try:
            async with asyncio.timeout(within_s):
                await self._empty.wait()
        except TimeoutError:
            pass
        finally:
            self._closed = True
            for drain in list(self._open):
                drain.finish()


class _Drain:
    """One of them. The transport's calls only mark it: it looks when they have returned."""

    def __init__(
        self, attempt: Attempt, then: Callable[[], None], left: Callable[["_Drain"], None]
    ) -> None:
        self._attempt = attempt
        self._then = then
        self._left = left
        self._loop = asyncio.get_running_loop()
        bytes_max = ANSWER_BYTES_MAX if attempt.at_once else DRAIN_BYTES_MAX
        self._bytes_max = attempt.reading.data_bytes + bytes_max
        self._waits: list[asyncio.Handle] = []
        self._looking = False
        self._over = False

    def begin(self) -> None:
        within_s = AT_ONCE_S if self._attempt.at_once else DRAIN_S
        self._waits = [self._loop.call_later(within_s, self.finish)]
        self._attempt.forget(self._ring)
        self._ring()

    def _ring(self) -> None:
        if not self._looking and not self._over:
            self._looking = True
            self._waits.append(self._loop.call_soon(self._look))

    def _look(self) -> None:
        self._looking = False
        del self._waits[1:]
        attempt = self._attempt
        if attempt.finished_at is not None and attempt.heard.usage is not None:
            attempt.conclude()
        if attempt.over or attempt.reading.data_bytes >= self._bytes_max:
            self.finish()

    def finish(self) -> None:
        """The end, whatever came; nothing is left to do the second time."""
        if self._over:
            return
        self._over = True
        for wait in self._waits:
            wait.cancel()
        part(self._attempt)
        self._attempt.keep()
        try:
            self._then()
        except Exception:  # of one request, which must not harm the others that end with it
            log.exception("internal error")
        finally:
            self._left(self)
