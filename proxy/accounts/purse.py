"""What one process has of a pot, and the holds of requests inside it: integers, never awaited.

    lease.amount = spent + held + free

A hold may span several purses (an account's credit, and a limited key's allowance): it has the same
amount in each, or does not come about. It ends once, settled or void, whatever else happens to it.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from proxy.accounts.ledger import Pot
from proxy.money import NANO_MAX

_name = attrgetter("pot.name")


class Purse:
    """A lease as its owner knows it. `spent_nano` are charges handed to the store, also those that
    it has not written yet; the lease is never given back below them and what is held.
    """

    __slots__ = ("amount_nano", "held_nano", "pot", "spent_nano", "touched_at")

    def __init__(self, pot: Pot) -> None:
        self.pot = pot
        self.amount_nano = 0
        self.spent_nano = 0
        self.held_nano = 0
        self.touched_at = 0.0

    @property
    def bound_nano(self) -> int:
        """What must stay leased."""
        return self.spent_nano + self.held_nano

    @property
    def free_nano(self) -> int:
        """What a new hold may take."""
        return self.amount_nano - self.bound_nano


class Bill(NamedTuple):
    """Who pays for a settled generation, in nano-dollars."""

    charge_nano: int
    house_nano: int


class Hold:
    """An amount reserved in every one of `purses` for one request of `owner`; who makes it has
    reserved `amount_nano` there.
    """

    __slots__ = ("amount_nano", "most_nano", "open", "owner", "purses")

    def __init__(self, owner: str, purses: Sequence[Purse], amount_nano: int = 0) -> None:
        self.owner = owner
        self.purses = purses
        self.amount_nano = self.most_nano = amount_nano
        self.open = True

    @property
    def pots(self) -> tuple[str, ...]:
        """The names of what it is taken from."""
        return tuple(map(_name, self.purses))

    def grow(self, more_nano: int) -> bool:
        """Reserve more in all purses, or in none."""
        if not self.open:
            return False
        for purse in self.purses:
            if purse.amount_nano - purse.spent_nano - purse.held_nano < more_nano:
                return False
        for purse in self.purses:
            purse.held_nano += more_nano
        self.amount_nano += more_nano
        self.most_nano = self.amount_nano
        return True

    @property
    def room_nano(self) -> int:
        """How much it could grow at once."""
        return min((purse.free_nano for purse in self.purses), default=NANO_MAX)

    def settle(self, cost_nano: int) -> Bill:
        """End it with what the request cost. What neither the hold nor the purses cover any more
        is the house's: no balance falls below zero.
        """
        assert self.open, "a hold ends once"
        assert cost_nano >= 0
        if cost_nano > self.amount_nano:
            self.grow(min(cost_nano - self.amount_nano, max(0, self.room_nano)))
        held_nano = self.amount_nano
        charge_nano = cost_nano if cost_nano < held_nano else held_nano
        self.open = False
        for purse in self.purses:
            purse.spent_nano += charge_nano
            purse.held_nano -= held_nano
        self.amount_nano = 0
        return Bill(charge_nano, cost_nano - charge_nano)

    def void(self) -> None:
        """End it without a charge; nothing is left to do for one that ended."""
        if self.open:
            self.open = False
            for purse in self.purses:
                purse.held_nano -= self.amount_nano
            self.amount_nano = 0


def open_hold(owner: str, purses: Sequence[Purse], amount_nano: int) -> Hold | None:
    """A hold of `amount_nano` in each of `purses`; None where one of them has not got it free."""
    assert amount_nano >= 0
    for purse in purses:
        if purse.amount_nano - purse.spent_nano - purse.held_nano < amount_nano:
            return None
    for purse in purses:
        purse.held_nano += amount_nano
    return Hold(owner, purses, amount_nano)
