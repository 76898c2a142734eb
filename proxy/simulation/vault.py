"""The model store: the ledger's interface over plain dicts, written to be obviously right.

It is the word against which the SQL store is held (both pass one suite), and the store of the
simulator. Nothing here is fast, and what can be derived is derived.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from proxy.accounts.ledger import Balance, Fenced, Lease, Pot, Settlement, portion
from proxy.wire.record import Generation

GRANTS: Final = "house:grants"
CHARGES: Final = "house:charges"
UNBILLED: Final = "house:unbilled"
LOSSES: Final = "house:losses"
ACCOUNT: Final = "account:"
DAY_S: Final = 86_400


class Transfer(NamedTuple):
    """One movement of credit."""

    id: str
    debit: str
    credit: str
    amount_nano: int


class Portion:
    """A lease as the store keeps it."""

    def __init__(self) -> None:
        self.amount_nano = 0
        self.settled_nano = 0
        self.recalled = False

    @property
    def rest_nano(self) -> int:
        """What is leased and not settled."""
        return self.amount_nano - self.settled_nano


class Allowance:
    """A limited key's pot: what it may spend, and what it has."""

    def __init__(self) -> None:
        self.limit_nano = 0
        self.charged_nano = 0


class ModelVault:
    """See `accounts.ledger.Vault`. `late` are the generations that were settled for an owner who
    was not open any more, `overdrawn` those whose open owner had not leased what they cost.
    """

    def __init__(self) -> None:
        self.credit: dict[str, int] = {}  # of each account's pot, in no lease
        self.allowances: dict[str, Allowance] = {}
        self.leases: dict[tuple[str, str], Portion] = {}  # by owner and pot
        self.beats: dict[str, int] = {}  # of open owners
        self.notes: dict[str, Settlement] = {}  # checkpoints by generation
        self.settled: dict[str, Settlement] = {}
        self.granted: set[str] = set()
        self.transfers: list[Transfer] = []
        self.late: set[str] = set()
        self.overdrawn: list[str] = []

    # Accounts.

    def create_account(self, name: str, at: float) -> None:
        """Open an account without credit."""
        self.credit.setdefault(ACCOUNT + name, 0)

    def grant(
        self, account: str, amount_nano: int, *, id: str, at: float, note: str | None = None
    ) -> Balance:
        """Give credit; the same `id` gives once."""
        if id not in self.granted:
            self.granted.add(id)
            self.credit[ACCOUNT + account] += amount_nano
            self._move(f"grant:{id}", GRANTS, ACCOUNT + account, amount_nano)
        return self.balance(account)

    def balance(self, account: str) -> Balance:
        """An account as its transfers have it."""
        pot = ACCOUNT + account
        return Balance(
            account=account,
            granted_nano=self._sum(GRANTS, pot),
            charged_nano=self._sum(pot, CHARGES)
            + sum(
                move.amount_nano
                for move in self.transfers
                if move.debit.endswith(":" + pot) and move.credit == CHARGES
            ),
            unbilled_nano=sum(
                one.charge_nano
                for one in self.settled.values()
                if one.generation.account == account and pot not in one.pots
            ),
            available_nano=self.credit[pot],
            leased_nano=self._leased(pot),
        )

    def generation(self, id: str, *, key_hash: str | None = None) -> Generation | None:
        """The row of a generation, where it is settled."""
        one = self.settled.get(id)
        return None if one is None else one.generation

    def spent(self, key_hash: str, since: int) -> int:
        """What a key was charged on the day of `since` and after it."""
        return sum(
            one.charge_nano
            for one in self.settled.values()
            if one.generation.key_hash == key_hash and _charged_at(one) // DAY_S >= since // DAY_S
        )

    def available(self, pot: str) -> int:
        """What can be leased of a pot."""
        if pot in self.credit:
            return self.credit[pot]
        allowance = self.allowances.get(pot, Allowance())
        return max(0, allowance.limit_nano - allowance.charged_nano - self._leased(pot))

    # Owners.

    def open_owner(self, owner: str, *, at: float) -> None:
        self.beats.setdefault(owner, 0)

    def close_owner(self, owner: str, *, at: float) -> None:
        if owner not in self.beats:
            return
        for id, one in sorted(self.notes.items()):
            if one.owner == owner:
                self._settle(replace(one, generation=replace(one.generation, recovered=True)))
                self.notes.pop(id, None)
        for of, pot in [key for key in self.leases if key[0] == owner]:
            self._lend(of, pot, -self.leases[of, pot].rest_nano)
            del self.leases[of, pot]
        del self.beats[owner]

    def beat(self, owner: str) -> dict[str, int]:
        self._check_open(owner)
        self.beats[owner] += 1
        return dict(self.beats)

    # Leases.

    def resize(
        self, owner: str, pot: Pot, *, keep_nano: int, least_nano: int, want_nano: int, at: float
    ) -> Lease:
        self._check_open(owner)
        if pot.key_hash is not None and pot.limit_nano is not None:
            allowance = self.allowances.setdefault(pot.name, Allowance())
            allowance.limit_nano = pot.limit_nano
            allowance.charged_nano = self.spent(pot.key_hash, pot.since)
        lease = self.leases.get((owner, pot.name), Portion())
        amount_nano = portion(
            amount_nano=lease.amount_nano,
            available_nano=self.available(pot.name),
            keep_nano=keep_nano,
            least_nano=least_nano,
            want_nano=want_nano,
        )
        more_nano = max(amount_nano, lease.settled_nano) - lease.amount_nano
        if more_nano > 0:
            self.leases[owner, pot.name] = lease
        self._lend(owner, pot.name, more_nano)
        lease.recalled = False
        return Lease(
            amount_nano=lease.amount_nano,
            settled_nano=lease.settled_nano,
            available_nano=self.available(pot.name),
            awaited=sum(other.recalled for other in self._others(owner, pot.name)),
        )

    def recall(self, owner: str, pot: str) -> int:
        self._check_open(owner)
        others = self._others(owner, pot)
        for lease in others:
            lease.recalled = True
        return len(others)

    def recalled(self, owner: str) -> list[str]:
        self._check_open(owner)
        return sorted(
            pot for (of, pot), lease in self.leases.items() if of == owner and lease.recalled
        )

    # Generations.

    def checkpoint(self, settlements: Sequence[Settlement]) -> None:
        for one in settlements:
            if one.owner in self.beats and one.generation.id not in self.settled:
                self.notes[one.generation.id] = one

    def settle(self, settlements: Sequence[Settlement]) -> None:
        for one in settlements:
            self._settle(one)

    def _settle(self, one: Settlement) -> None:
        id = one.generation.id
        self.notes.pop(id, None)
        if id in self.settled:
            self._complete(one)
            return
        if one.owner not in self.beats:
            self.late.add(id)
        taken, source = one.charge_nano, UNBILLED
        for pot in one.pots:
            if pot.startswith(ACCOUNT):
                taken, source = self._charge(one, pot)
        house_nano = one.house_nano + one.charge_nano - taken
        row = replace(one.generation, cost_nano=taken, house_nano=house_nano)
        self.settled[id] = replace(one, charge_nano=taken, house_nano=house_nano, generation=row)
        for pot in one.pots:
            if not pot.startswith(ACCOUNT):
                self._count(one, pot, taken)
        self._move(id, source, CHARGES, taken)
        self._move(f"{id}:loss", LOSSES, CHARGES, house_nano)

    def _complete(self, one: Settlement) -> None:
        """The true end of what was settled for an owner who was taken for dead and was not."""
        row, known = one.generation, self.settled[one.generation.id]
        if known.generation.recovered and not row.recovered:
            self.late.add(row.id)
            rest_nano = one.house_nano + max(0, one.charge_nano - known.charge_nano)
            self._move(f"{row.id}:rest", LOSSES, CHARGES, rest_nano)
            house_nano = known.house_nano + rest_nano
            row = replace(row, cost_nano=known.charge_nano, house_nano=house_nano)
            self.settled[row.id] = replace(known, house_nano=house_nano, generation=row)

    def _charge(self, one: Settlement, pot: str) -> tuple[int, str]:
        """Take a charge from an account: what of it was there, and from which side."""
        lease = self.leases.get((one.owner, pot))
        if lease is None:
            if one.charge_nano and one.owner in self.beats and not one.generation.recovered:
                self.overdrawn.append(one.generation.id)
            taken = min(one.charge_nano, self.credit[pot])
            self.credit[pot] -= taken
            return taken, pot
        missing = max(0, one.charge_nano - lease.rest_nano)
        if missing and not one.generation.recovered:
            self.overdrawn.append(one.generation.id)
        self._lend(one.owner, pot, min(missing, self.credit[pot]))
        taken = min(one.charge_nano, lease.rest_nano)
        lease.settled_nano += taken
        return taken, _name(one.owner, pot)

    def _count(self, one: Settlement, pot: str, taken: int) -> None:
        """Count a charge in an allowance, within its lease and beyond."""
        self.allowances.setdefault(pot, Allowance()).charged_nano += taken
        lease = self.leases.get((one.owner, pot))
        if lease is not None:
            if taken > lease.rest_nano and not one.generation.recovered:
                self.overdrawn.append(one.generation.id)
            lease.settled_nano += min(taken, lease.rest_nano)

    def _lend(self, owner: str, pot: str, more_nano: int) -> None:
        if more_nano == 0:
            return
        self.leases[owner, pot].amount_nano += more_nano
        if pot.startswith(ACCOUNT):
            self.credit[pot] -= more_nano
            sides = (pot, _name(owner, pot))
            debit, credit = sides if more_nano > 0 else sides[::-1]
            self._move(f"lease:{len(self.transfers)}", debit, credit, abs(more_nano))

    def _others(self, owner: str, pot: str) -> list[Portion]:
        """The leases of others on a pot that have something to give."""
        others = [lease for (of, name), lease in self.leases.items() if name == pot and of != owner]
        return [lease for lease in others if lease.rest_nano > 0]

    def _leased(self, pot: str) -> int:
        return sum(lease.rest_nano for (_, of), lease in self.leases.items() if of == pot)

    def _sum(self, debit: str, credit: str) -> int:
        sides = debit, credit
        return sum(one.amount_nano for one in self.transfers if (one.debit, one.credit) == sides)

    def _move(self, id: str, debit: str, credit: str, amount_nano: int) -> None:
        if amount_nano:
            self.transfers.append(Transfer(id, debit, credit, amount_nano))

    def _check_open(self, owner: str) -> None:
        if owner not in self.beats:
            raise Fenced(owner)


def _name(owner: str, pot: str) -> str:
    return f"lease:{owner}:{pot}"


def _charged_at(one: Settlement) -> float:
    """A charge counts in the period whose allowance it is held in."""
    periods = [float(pot.rpartition(":")[2]) for pot in one.pots if not pot.startswith(ACCOUNT)]
    return max([one.generation.created_at, *periods])
