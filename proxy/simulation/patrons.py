"""Callers who come straight to the till: many, cheap and rude.

They do with holds what the story of a request does, faster and in ways that it would not: they grow
in any size, spend more than they hold, and give up at any moment.
"""

import asyncio
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from proxy.accounts.keys import Key
from proxy.accounts.ledger import Pot, Settlement, Short
from proxy.accounts.purse import Hold
from proxy.simulation.machine import Machine
from proxy.stores.schema import StoreUnavailable
from proxy.wire.record import Generation

SETTLE_S = 5.0


class Purpose(NamedTuple):
    """What a patron wants: a hold of `amount_nano` in `pots` that grows by `steps`, and ends at
    `cost_nano`, or void where that is None.
    """

    id: str
    at: float
    key: Key
    pots: tuple[Pot, ...]
    amount_nano: int
    steps: tuple[int, ...]
    pause_s: float
    cost_nano: int | None


def purpose(rng: Random, id: str, *, at: float, key: Key, pots: Sequence[Pot]) -> Purpose:
    """Some purpose by the seed."""
    amount = rng.choice((1, 1000, 40_000, 1_000_000, 1_500_000))
    steps = tuple(rng.randrange(1, amount + 1) for _ in range(rng.choice((0, 0, 1, 4))))
    held = amount + sum(steps)
    cost = rng.choice((None, 0, held, rng.randrange(held + 1), rng.randrange(held + 1), 2 * held))
    pause_s = rng.choice((0.0, 0.01, 0.3, 1.0))
    return Purpose(id, at, key, tuple(pots), amount, steps, pause_s, cost)


class Seen(NamedTuple):
    """What came of it: `end` is refused, void, saw (its end) or unsure (that it was kept)."""

    end: str
    charge_nano: int = 0


async def come(machine: Machine, wish: Purpose) -> Seen:
    """One visit, in the life of the machine's process."""
    treasury = machine.treasury
    try:
        hold = treasury.hold(wish.pots, wish.amount_nano)
        if hold is None:
            hold = await treasury.wait_hold(wish.pots, wish.amount_nano)
    except (Short, StoreUnavailable):
        return Seen("refused")
    try:
        return await _spend(machine, wish, hold)
    finally:
        if hold.open:
            hold.void()
            machine.disk.submit(_settlement(wish, hold, 0, 0))  # or its last checkpoint would stand


async def _spend(machine: Machine, wish: Purpose, hold: Hold) -> Seen:
    for step in wish.steps:
        await asyncio.sleep(wish.pause_s)
        try:
            if not hold.grow(step) and not await machine.treasury.wait_grow(hold, step):
                break
        except StoreUnavailable:
            break
        machine.disk.checkpoint(_settlement(wish, hold, hold.amount_nano, 0))
    if wish.cost_nano is None:
        return Seen("void")
    bill = hold.settle(wish.cost_nano)
    kept = machine.disk.settle(_settlement(wish, hold, bill.charge_nano, bill.house_nano))
    try:
        async with asyncio.timeout(SETTLE_S):
            await asyncio.shield(kept)
    except TimeoutError:
        return Seen("unsure")
    return Seen("saw", bill.charge_nano)


def _settlement(wish: Purpose, hold: Hold, charge_nano: int, house_nano: int) -> Settlement:
    generation = Generation(
        id=wish.id,
        created_at=wish.at,
        key_hash=wish.key.hash,
        account=wish.key.account,
        cost_nano=charge_nano,
        house_nano=house_nano,
        held_nano=hold.most_nano,
    )
    return Settlement(
        owner=hold.owner,
        generation=generation,
        charge_nano=charge_nano,
        house_nano=house_nano,
        pots=hold.pots,
    )
