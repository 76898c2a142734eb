"""Bugs that are planted in the real code, or in the store: the simulator must find each of them."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.accounts import purse
from proxy.accounts.ledger import Pot, Settlement
from proxy.accounts.purse import Bill, Hold
from proxy.pipeline.admit import Gate
from proxy.pipeline.attempt import Attempt
from proxy.pipeline.drains import Drains
from proxy.pipeline.exchange import Exchange
from proxy.pipeline.till import Till
from proxy.simulation import vault
from proxy.simulation.campaign import Failure, replay
from proxy.simulation.vault import ModelVault
from proxy.stores.treasury import Treasury
from proxy.wire.events import Usage

SEEDS = 300


def double_settle(patch: pytest.MonkeyPatch) -> None:
    """What is repeated, because the answer was lost, is charged again."""
    settle = ModelVault._settle

    def again(self: ModelVault, one: Settlement) -> None:
        if one.generation.id in self.settled and one.generation.id not in self.late:
            self._charge(one, one.pots[0]) if one.pots else None
            self._move(one.generation.id, "lease:again", vault.CHARGES, one.charge_nano)
        settle(self, one)

    patch.setattr(ModelVault, "_settle", again)


def lost_settle(patch: pytest.MonkeyPatch) -> None:
    """Of a group, the last is forgotten."""
    settle = ModelVault.settle

    def most(self: ModelVault, settlements: Sequence[Settlement]) -> None:
        settle(self, settlements[:-1] if len(settlements) > 2 else settlements)

    patch.setattr(ModelVault, "settle", most)


def lost_charge(patch: pytest.MonkeyPatch) -> None:
    """A row is kept, and its charge is not."""
    settle = ModelVault._settle

    def free(self: ModelVault, one: Settlement) -> None:
        settle(self, replace(one, charge_nano=0) if one.charge_nano == 1000 else one)

    patch.setattr(ModelVault, "_settle", free)


def overdraft(patch: pytest.MonkeyPatch) -> None:
    """A lease is given without a look at what is left."""

    def portion(
        *, amount_nano: int, available_nano: int, keep_nano: int, least_nano: int, want_nano: int
    ) -> int:
        return want_nano if want_nano <= amount_nano else max(amount_nano, least_nano)

    patch.setattr(vault, "portion", portion)


def greedy_hold(patch: pytest.MonkeyPatch) -> None:
    """A hold grows beyond the lease."""
    grow = Hold.grow

    def more(self: Hold, more_nano: int) -> bool:
        if self.open and self.amount_nano and more_nano < 5_000:
            for one in self.purses:
                one.held_nano += more_nano
            self.amount_nano += more_nano
            self.most_nano = self.amount_nano
            return True
        return grow(self, more_nano)

    patch.setattr(Hold, "grow", more)


def leaked_hold(patch: pytest.MonkeyPatch) -> None:
    """Who gives up leaves the hold behind."""
    void = Hold.void

    def keep(self: Hold) -> None:
        if self.amount_nano and self.amount_nano == self.most_nano:
            self.open = False
            return
        void(self)

    def settle(self: Hold, cost_nano: int) -> Bill:
        charge = min(cost_nano, self.amount_nano)
        for one in self.purses:
            one.spent_nano += charge
        void(self)
        return Bill(charge, cost_nano - charge)

    patch.setattr(purse.Hold, "void", keep)
    patch.setattr(purse.Hold, "settle", settle)


def lease_returned_twice(patch: pytest.MonkeyPatch) -> None:
    """The dead return also what they had settled."""
    close = ModelVault.close_owner

    def generous(self: ModelVault, owner: str, *, at: float) -> None:
        for (of, pot), lease in self.leases.items():
            if of == owner and pot in self.credit:
                self.credit[pot] += lease.rest_nano
        close(self, owner, at=at)

    patch.setattr(ModelVault, "close_owner", generous)


def early_end(patch: pytest.MonkeyPatch) -> None:
    """The end of an answer is sent before its charge is written."""

    async def settle(self: Till, exchange: Exchange) -> None:
        self._books.finished(self._end(exchange))

    patch.setattr(Till, "settle", settle)


def forgotten_slot(patch: pytest.MonkeyPatch) -> None:
    """Who hangs up keeps its slots."""
    leave = Gate.leave

    def keep(self: Gate, exchange: Exchange, usage: Usage | None) -> None:
        if not exchange.cancelled:
            leave(self, exchange, usage)

    patch.setattr(Gate, "leave", keep)


def impatient_drain(patch: pytest.MonkeyPatch) -> None:
    """Who bills the whole answer is not heard out."""
    take = Drains.take

    def hurry(self: Drains, attempt: Attempt, then: Callable[[], None]) -> None:
        self._closed = True
        take(self, attempt, then)

    patch.setattr(Drains, "take", hurry)


def forgotten_spending(patch: pytest.MonkeyPatch) -> None:
    """A purse that is made anew does not ask what was spent before."""
    make = Treasury._purse

    def forgetful(self: Treasury, pot: Pot) -> Any:
        purse = make(self, pot)
        purse.known = True
        return purse

    patch.setattr(Treasury, "_purse", forgetful)


PLANTS: dict[Callable[[pytest.MonkeyPatch], None], str] = {
    double_settle: "charged once|zero|below zero|a lease",
    lost_settle: "durable|row",
    lost_charge: "charged what was said|charged|due|told",
    overdraft: "below zero|entries",
    greedy_hold: "holds are within|leased|charges",
    leaked_hold: "no hold is left",
    lease_returned_twice: "a pot is its entries",
    early_end: "durable before the end",
    forgotten_slot: "at rest",
    impatient_drain: "heard out",
    forgotten_spending: "settled is what the process knows of|leased|below zero",
}


def hunt() -> Failure | None:
    outcomes = (replay(seed).failure for seed in range(SEEDS))
    return next((failure for failure in outcomes if failure is not None), None)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found_and_found_again(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    found = hunt()
    assert found is not None
    assert any(word in found.reason for word in PLANTS[plant].split("|")), str(found)
    assert replay(found.seed).failure == found
    monkeypatch.undo()
    assert replay(found.seed).failure is None
