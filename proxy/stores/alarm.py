"""How an event loop wakes a thread, at hardly any cost where the thread is awake anyway.

An Event of the standard library is a lock, a condition and a system call each time; here the loop
looks at a number, and only a thread that sleeps is rung for. One thread sleeps, one loop calls.
"""

import queue
import time
from collections.abc import Callable
from contextlib import suppress
from math import inf

_AWAKE, _GATHERS, _IDLE = range(3)
"""What the thread does: it works, it sleeps for a while, it sleeps until there is something to do.
"""


class Alarm:
    """`urgent` says that something is not to wait. While it does, the thread has not yet looked at
    what there is to do, and need not be hurried again.
    """

    def __init__(self) -> None:
        self._bell = queue.SimpleQueue[None]()
        self._sleep = _AWAKE
        self.urgent = False

    def ring(self) -> None:
        """There is something to do, which may wait for company."""
        if self._sleep == _IDLE:
            self._wake()

    def hurry(self) -> None:
        """There is something to do at once."""
        self.urgent = True
        if self._sleep:
            self._wake()

    def _wake(self) -> None:
        self._sleep = _AWAKE  # one ring is enough
        self._bell.put(None)

    def rest(self, pause_s: float, work: Callable[[], object]) -> None:
        """Sleep until `work` finds something to do, and for `pause_s` where nothing is urgent. The
        thread calls it, and `work` must see what was there before `ring` or `hurry` was called.
        """
        until = inf
        while True:
            self._sleep = _IDLE if until == inf else _GATHERS
            # Looked at only now: what came before found nobody asleep, and rang for nobody.
            if self.urgent:
                break
            now = time.monotonic()
            if until == inf and work():
                until = now + pause_s
            elif now >= until:
                break
            else:
                with suppress(queue.Empty):
                    self._bell.get(timeout=None if until == inf else until - now)
        self._sleep = _AWAKE
        self.urgent = False  # before what is to be done is read: what comes later sets it again
