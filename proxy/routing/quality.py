"""How good endpoints are at calling tools, beside each other: OpenRouter's Auto Exacto, by figures.

Contract, section 4, item 3. There are three signals: the share of answers whose tool calls were
sound, the usual throughput, and the operator's own figure for the model. Of each signal an
endpoint's score is how many sigmas it is above the baseline:

    score = (its value - baseline) / sigma, at most 2 either way

The baseline is the median of those that were measured, the better one of two in the middle; of
sound calls an endpoint counts there as often as it answered. Sigma is how unsure the value is. For
sound calls that is the error of a share of so many answers, and three in a hundred beside it; for
the others a part of the baseline: a fourth of a throughput, a tenth of the figure. Who is below the
baseline by more than two sigmas in any signal is deranked: it comes after all others. Of the others
the grade is the sum of their scores in whole sigmas, so that chance makes no order, and price
decides among equals. What was not measured scores 0; where nothing was, all are equal, and the
order is the default one.
"""

from collections.abc import Sequence
from math import hypot, sqrt
from typing import Final, NamedTuple

from proxy.routing.health import Pool
from proxy.routing.ranking import Entry

CALLS_MIN: Final = 10.0  # answers with calls before their share says anything
DERANKED: Final = -100
"""The grade of who comes last."""

_SIGMAS: Final = 2.0
_CALLS_NOISE: Final = 0.03  # a share that differs by so little is the same
_THROUGHPUT_NOISE: Final = 0.25  # of the baseline
_FIGURE_NOISE: Final = 0.1


class _Value(NamedTuple):
    """What was measured. `unsure` is its sigma, `vague` the same as a share of the baseline, in
    which it has `weight`.
    """

    value: float
    unsure: float = 0.0
    vague: float = 0.0
    weight: float = 1.0


def grades(entries: Sequence[Entry], pool: Pool, now: float) -> tuple[int, ...]:
    """The grade of each, in their order; the greatest is the best."""
    totals, deranked = [0.0] * len(entries), set[int]()
    for signal in (_calls, _throughput, _figure):
        values = [signal(entry, pool, now) for entry in entries]
        baseline = _median(sorted(one for one in values if one is not None))
        for place, value in enumerate(values):
            if value is None:
                continue
            sigma = value.unsure + value.vague * baseline
            score = (value.value - baseline) / sigma if sigma else 0.0
            totals[place] += max(-_SIGMAS, min(score, _SIGMAS))
            if score < -_SIGMAS:
                deranked.add(place)
    return tuple(DERANKED if at in deranked else int(total) for at, total in enumerate(totals))


def _median(values: Sequence[_Value]) -> float:
    left = sum(one.weight for one in values) / 2.0
    for one in values:
        left -= one.weight
        if left < 0.0:
            return one.value
    return 0.0


def _calls(entry: Entry, pool: Pool, now: float) -> _Value | None:
    """The share of answers whose calls were sound; by Laplace's rule none is quite sure."""
    share, count = pool.calls(entry.id, now)
    if count < CALLS_MIN:
        return None
    likely = (share * count + 1.0) / (count + 2.0)
    error = sqrt(likely * (1.0 - likely) / (count + 2.0))
    return _Value(share, hypot(error, _CALLS_NOISE), weight=count)


def _throughput(entry: Entry, pool: Pool, now: float) -> _Value | None:
    speed = pool.usual(entry.id, now)
    if speed is None or not speed.throughput_tps:
        return None
    return _Value(speed.throughput_at(0.5), vague=_THROUGHPUT_NOISE)


def _figure(entry: Entry, _: Pool, __: float) -> _Value | None:
    figure = entry.pair[0].quality
    return None if figure is None else _Value(figure, vague=_FIGURE_NOISE)
