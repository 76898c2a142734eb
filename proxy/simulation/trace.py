"""What happened in a simulated world: the last events in words, all of them in one number."""

import zlib
from collections import deque
from collections.abc import Callable
from typing import Final

LAST_EVENTS: Final = 60


class Trace:
    """Two runs of a seed are the same where their `fingerprint` is."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last: deque[tuple[float, str]] = deque(maxlen=LAST_EVENTS)
        self.fingerprint = 0
        self.events = 0

    def say(self, event: str) -> None:
        """Note an event of now."""
        now = self._clock()
        self._last.append((now, event))
        self.events += 1
        self.fingerprint = zlib.crc32(f"{now:.9f} {event}".encode(), self.fingerprint)

    @property
    def last(self) -> tuple[str, ...]:
        """The last events, each with its time."""
        return tuple(f"{now:.6f} {event}" for now, event in self._last)
