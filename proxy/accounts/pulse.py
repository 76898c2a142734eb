"""Who is dead, told from numbers that the living raise: no two clocks are ever compared."""

from collections.abc import Mapping
from typing import Final

DEAD_LOOKS: Final = 10
"""So many looks at a number that stands still; each comes after a pause, so that who was asleep
himself does not take all others for dead when he wakes."""


class Pulses:
    """What was seen of each owner's number so far."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int]] = {}  # owner -> its number, and seen how often

    def dead(self, beats: Mapping[str, int]) -> list[str]:
        """The owners whose number has stood still for too long; `beats` are those of all."""
        before, self._seen = self._seen, {}
        for owner, beat in beats.items():
            number, looks = before.get(owner, (-1, 0))
            self._seen[owner] = beat, looks + 1 if number == beat else 0
        return [owner for owner, (_, looks) in self._seen.items() if looks >= DEAD_LOOKS]
