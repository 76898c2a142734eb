"""What must hold at every step, and what must hold when all is over.

The rules are those of docs/money.md. Each is worked out here from the transfers, the settlements
and what callers and providers saw, not from the sums that the tested code keeps.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from proxy.accounts.keys import Key
from proxy.accounts.ledger import Settlement
from proxy.simulation.vault import ACCOUNT, CHARGES, GRANTS, LOSSES, UNBILLED, ModelVault
from proxy.stores.treasury import Treasury

HOUSE = (GRANTS, CHARGES, UNBILLED, LOSSES)


class Broken(Exception):
    """An invariant does not hold."""


def require(holds: bool, invariant: str, *details: object) -> None:
    """Raises Broken where it does not."""
    if not holds:
        raise Broken(": ".join([invariant, *(str(detail) for detail in details)]))


class Alarm:
    """Rung by the first thing that breaks; what comes after it may only follow from it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.rung: asyncio.Future[None] = loop.create_future()

    def ring(self, error: BaseException) -> None:
        """This broke."""
        if not self.rung.done():
            self.rung.set_exception(error)

    @contextmanager
    def noticing(self) -> Iterator[None]:
        """Rings for what the block raises, and goes on."""
        try:
            yield
        except Exception as error:
            self.ring(error)


class Auditor:
    """Follows a vault's transfers, and compares them with its pots, leases and settlements."""

    def __init__(self, vault: ModelVault, keys: Iterable[Key]) -> None:
        self._vault = vault
        self._read = 0
        self._balances: Counter[str] = Counter()
        self._charges: dict[str, int] = {}  # all that was charged, by the transfer
        self._kept_nano = 0
        self._seen: dict[str, Settlement] = {}
        self._allowed: Counter[str] = Counter()  # charged, by allowance
        self._beyond: Counter[str] = Counter()
        self._limits = {key.hash: key.limit_nano or 0 for key in keys}

    def step(self) -> None:
        """After each transaction. Raises Broken."""
        self.balance()
        self._follow_settlements()

    def balance(self) -> None:
        """Pots and leases are what the transfers make of them. Raises Broken."""
        self._follow_transfers()
        self._compare_pots()

    def _follow_transfers(self) -> None:
        transfers = self._vault.transfers
        for move in transfers[self._read :]:
            require(move.amount_nano > 0, "a transfer moves an amount", move)
            self._balances[move.debit] -= move.amount_nano
            self._balances[move.credit] += move.amount_nano
            if move.credit == CHARGES:
                require(move.id not in self._charges, "charged once", move)
                self._charges[move.id] = move.amount_nano
                if move.id.endswith(":rest"):  # of what was kept before, by its last note
                    self._kept_nano += move.amount_nano
        self._read = len(transfers)

    def _follow_settlements(self) -> None:
        settled = self._vault.settled
        require(len(settled) >= len(self._seen), "no settlement disappears")
        for id in list(settled)[len(self._seen) :]:
            one = self._seen[id] = settled[id]
            row = one.generation
            require(
                one.charge_nano <= row.held_nano or not one.pots,
                "a charge is no larger than its hold",
                id,
                one.charge_nano,
                row.held_nano,
            )
            self._kept_nano += one.charge_nano + one.house_nano
            for pot in one.pots:
                if not pot.startswith(ACCOUNT):
                    self._allow(pot, one)
        overdrawn = self._vault.overdrawn
        require(not overdrawn, "an owner has leased what it charges", overdrawn)
        require(self._kept_nano == self._balances[CHARGES], "what is settled is what is charged")

    def _allow(self, pot: str, one: Settlement) -> None:
        """A key's limit; what is settled for an owner taken for dead is counted beyond it."""
        if one.generation.id in self._vault.late:
            self._beyond[pot] += one.charge_nano
        self._allowed[pot] += one.charge_nano
        most = self._limits[pot.split(":")[1]] + self._beyond[pot]
        require(self._allowed[pot] <= most, "a key's limit holds", pot, self._allowed[pot], most)

    def _compare_pots(self) -> None:
        vault, balances = self._vault, self._balances
        require(sum(balances.values()) == 0, "the entries sum to zero")
        leased = {f"lease:{owner}:{pot}": lease for (owner, pot), lease in vault.leases.items()}
        for name, balance in balances.items():
            require(balance >= 0 or name in HOUSE, "no balance is below zero", name, balance)
            if name.startswith(ACCOUNT):
                require(balance == vault.credit[name], "a pot is its entries", name, balance)
            elif name not in HOUSE and name not in leased:
                require(balance == 0, "a lease that is gone is empty", name, balance)
        for name, lease in leased.items():
            require(lease.rest_nano >= 0, "no more is settled than leased", name)
            if f":{ACCOUNT}" in name:
                require(balances[name] == lease.rest_nano, "a lease is its entries", name)

    def compare_purses(self, treasury: Treasury) -> None:
        """What a live process holds is covered by what it leased. Raises Broken."""
        for name, purse in treasury._purses.items():
            require(purse.held_nano >= 0 and purse.spent_nano >= 0, "no hold below zero", name)
            lease = self._vault.leases.get((treasury.owner, name))
            if lease is None or not (purse.known or purse.amount_nano):
                continue  # taken for dead and not aware of it yet, or new
            amounts = purse.held_nano, purse.spent_nano, purse.amount_nano, lease.amount_nano
            require(purse.bound_nano <= purse.amount_nano, "holds are within the purse", amounts)
            require(purse.amount_nano <= lease.amount_nano, "a purse is leased", name, amounts)
            require(
                lease.settled_nano <= purse.spent_nano,
                "settled is what the process knows of",
                name,
                lease.settled_nano,
                amounts,
            )
