"""How long each wait for a provider lasts: the general times, and longer ones where they must be.

A local provider may have to load its model first, a model that reasons is silent for long, and one
that makes images is both.
"""

from typing import Final

import msgspec
from msgspec.structs import replace

SLOW_FIRST_S: Final = 300.0
SLOW_BETWEEN_S: Final = 120.0


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """How long each wait for a provider may last, in seconds; the configuration says which."""

    connect_s: float = 5.0
    first_byte_s: float = 30.0
    first_token_s: float = 60.0
    between_chunks_s: float = 30.0
    answer_s: float = 600.0


class TimeoutsRow(msgspec.Struct, frozen=True, kw_only=True):
    """The waits that an endpoint overrides; `None` leaves the general one."""

    connect_s: float | None = None
    first_byte_s: float | None = None
    first_token_s: float | None = None
    between_chunks_s: float | None = None
    answer_s: float | None = None


_NOTHING_SAID: Final = TimeoutsRow()


class Waits:
    """The general waits, and the longer ones that some endpoints need."""

    def __init__(self, general: Timeouts, chosen: frozenset[str]) -> None:
        self._chosen = chosen
        self._general = general
        self._by_need = {
            (local, reasons): self._slow(local, reasons)
            for local in (False, True)
            for reasons in (False, True)
        }

    def of(self, said: TimeoutsRow, *, local: bool, reasons: bool) -> Timeouts:
        """Those of an endpoint that is `local`, or may reason, and overrides what is `said`."""
        usual = self._by_need[local, reasons]
        if said == _NOTHING_SAID:
            return usual
        told = msgspec.structs.asdict(said)
        return replace(usual, **{key: wait for key, wait in told.items() if wait is not None})

    def _slow(self, local: bool, reasons: bool) -> Timeouts:
        longer: dict[str, float] = {}
        if local:  # it may have to load the model first
            longer |= {"first_byte_s": SLOW_FIRST_S, "first_token_s": SLOW_FIRST_S}
        if reasons:
            longer |= {"first_token_s": SLOW_FIRST_S, "between_chunks_s": SLOW_BETWEEN_S}
        return replace(
            self._general, **{key: s for key, s in longer.items() if key not in self._chosen}
        )
