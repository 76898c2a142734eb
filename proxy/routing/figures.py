"""Figures that forget: counts, means and percentiles in which the latest weighs most."""

from math import exp, log
from typing import Final

_LEAST_S: Final = 0.005
_STEP: Final = 1.2
_STEPS: Final = 66  # up to some 14 minutes
_LOG_STEP: Final = log(_STEP)
_WEIGHT_MAX: Final = 1e9


class Fading:
    """A sum in which what was added `window_s` ago counts 1/e. Times in seconds, any origin."""

    __slots__ = ("_at", "_sum", "_window_s")

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._sum = 0.0
        self._at = 0.0

    def add(self, now: float, amount: float = 1.0) -> None:
        past_s = now - self._at
        past = self._sum * exp(-past_s / self._window_s) if past_s > 0 else self._sum
        self._sum = past + amount
        self._at = now

    def sum(self, now: float) -> float:
        """The sum as it is at `now`."""
        past_s = now - self._at
        return self._sum * exp(-past_s / self._window_s) if past_s > 0 else self._sum


class Mean:
    """The mean of the values of about the last `window_s` seconds."""

    __slots__ = ("_at", "_count", "_sum", "_window_s")

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._count = 0.0
        self._sum = 0.0
        self._at = 0.0

    def add(self, now: float, value: float) -> float:
        """The mean with `value`."""
        past_s = now - self._at
        if past_s > 0:
            left = exp(-past_s / self._window_s)
            self._count *= left
            self._sum *= left
        self._at = now
        self._count += 1.0
        self._sum += value
        return self._sum / self._count

    def count(self, now: float) -> float:
        """How many values it rests on, older ones counting less."""
        return self._count * self._left(now)

    def value(self, now: float) -> float:
        """The mean; 0 where nothing was added, or so long ago that nothing is left."""
        left = self._left(now)
        count = self._count * left
        return self._sum * left / count if count else 0.0

    def _left(self, now: float) -> float:
        """What counts of the past, as a share."""
        past_s = now - self._at
        return exp(-past_s / self._window_s) if past_s > 0 else 1.0


class Spread:
    """How long something takes: percentiles of about the last `memory` durations, each at most a
    fifth too long. It forgets by count and not by time, so it takes as few bad answers to change
    its mind on a busy endpoint as on a quiet one.
    """

    __slots__ = ("_counts", "_growth", "_top", "_total", "_weight", "samples")

    def __init__(self, memory: int) -> None:
        self.samples = 0
        self._counts = [0.0] * (_STEPS + 1)
        self._top = 0  # no step above it was ever reached
        self._total = 0.0
        self._weight = 1.0
        self._growth = 1.0 + 1.0 / memory

    def add(self, duration_s: float) -> None:
        step = int(log(duration_s / _LEAST_S) / _LOG_STEP) + 1 if duration_s > _LEAST_S else 0
        step = min(step, _STEPS)
        self._counts[step] += self._weight
        self._top = max(self._top, step)
        self._total += self._weight
        self.samples += 1
        self._weight *= self._growth
        if self._weight > _WEIGHT_MAX:
            self._counts = [count / self._weight for count in self._counts]
            self._total /= self._weight
            self._weight = 1.0

    def percentile_s(self, share: float) -> float:
        """The duration that `share` of them do not exceed, in seconds; 0 without any."""
        if not self.samples:
            return 0.0
        left = self._total * (1.0 - share)
        step = self._top
        while step > 0 and (left := left - self._counts[step]) >= 0.0:
            step -= 1
        return _LEAST_S * float(_STEP**step)
