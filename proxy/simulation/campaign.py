"""Many seeds, one after the other, and the story of any that failed."""

import logging
from collections.abc import Callable, Iterable
from random import Random

import msgspec

from proxy.simulation.loop import Loop, bury
from proxy.simulation.world import World
from proxy.stores.ledger import SqlLedger


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A seed whose world broke: at which second of its own time, what, and what came before."""

    seed: int
    at_s: float
    reason: str
    events: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([f"seed {self.seed} at {self.at_s:.6f} s: {self.reason}", *self.events])


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a seed ended; runs of the same seed have the same `fingerprint`."""

    failure: Failure | None
    fingerprint: int
    events: int


def replay(seed: int, *, ledger: SqlLedger | None = None) -> Outcome:
    """The world of one seed; with a `ledger`, an empty one, on the real store beside the model."""
    loop = Loop(Random(f"loop {seed}"))
    world = World(seed, loop, ledger=ledger)
    failure = None
    disabled = logging.root.manager.disable
    logging.disable()  # thousands of worlds end in thousands of warnings
    try:
        loop.run_until_complete(world.play())
    except Exception as error:
        failure = Failure(
            seed=seed,
            at_s=loop.time(),
            reason=f"{type(error).__name__}: {error}",
            events=world.trace.last,
        )
    finally:
        loop.run_until_complete(bury(loop))
        loop.close()
        logging.disable(disabled)
    return Outcome(failure=failure, fingerprint=world.trace.fingerprint, events=world.trace.events)


def run(seeds: Iterable[int], *, say: Callable[[str], None]) -> list[Failure]:
    """Plays every seed; `say` is told of each failure as it comes, and of the progress."""
    failures = []
    for count, seed in enumerate(seeds, 1):
        failure = replay(seed).failure
        if failure is not None:
            failures.append(failure)
            say(str(failure))
        if count % 500 == 0:
            say(f"{count} seeds, {len(failures)} failed")
    return failures
