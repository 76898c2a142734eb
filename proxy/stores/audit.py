"""The proof of the books: every sum derived anew from the rows, and what differs told in words.

All of it is read in one snapshot, so it may run beside a gateway at work. Sums are made in two
halves: no number of rows can lead the database's arithmetic out of its 64 bits.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    String,
    and_,
    cast,
    func,
    literal,
    or_,
    select,
)

from proxy.money import NANO_MAX
from proxy.stores.moves import ACCOUNT, DAY_S, is_money
from proxy.stores.schema import (
    accounts,
    checkpoints,
    generations,
    keys,
    leases,
    owners,
    pots,
    spend,
    transfers,
)

HALF: Final = 2**31
NAMED_MAX: Final = 20  # so many rows are named for each kind of difference

# What the two sides of a transfer begin with, by its kind.
SIDES: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "grant": (("house:grants", "account:"), ("account:", "house:grants")),
    "lease": (("account:", "lease:"),),
    "return": (("lease:", "account:"),),
    "charge": (("lease:", "house:charges"), ("account:", "house:charges")),
    "unbilled": (("house:unbilled", "house:charges"),),
    "loss": (("house:losses", "house:charges"),),
}


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows were counted, and each difference in words; without one the books are right."""

    accounts: int
    transfers: int
    generations: int
    differences: tuple[str, ...]


class _Sums:
    """What all transfers add up to, by side; both sides of one are in one row, so that all sides
    together are always 0.
    """

    def __init__(self, connection: Connection) -> None:
        by = transfers.c.kind, transfers.c.debit, transfers.c.credit, transfers.c.account
        self.sides: dict[str, int] = defaultdict(int)
        self.granted: dict[str, int] = defaultdict(int)
        self.charged: dict[str, int] = defaultdict(int)
        self.count = 0
        self.misplaced: list[str] = []
        for kind, debit, credit, account, rows, *halves in connection.execute(_summed(*by)):
            amount = _whole(*halves)
            self.count += rows
            self.sides[debit] -= amount
            self.sides[credit] += amount
            if kind == "grant":
                self.granted[account] += amount if is_money(credit) else -amount
            elif kind == "charge":
                self.charged[account] += amount
            if not _fits(kind, debit, credit, account):
                self.misplaced.append(f"a transfer {kind} of {account} goes {debit} -> {credit}")


def verify(connection: Connection) -> Audit:
    """The audit of what `connection` sees, which is in a transaction."""
    sums = _Sums(connection)
    found = [*sums.misplaced]
    for check in (_of_accounts, _of_leases):
        found += check(connection, sums)
    for each in (_of_allowances, _of_spend, _of_charges, _of_losses, _of_orphans):
        found += each(connection)
    return Audit(
        accounts=connection.execute(select(func.count()).select_from(accounts)).scalar_one(),
        transfers=sums.count,
        generations=connection.execute(select(func.count()).select_from(generations)).scalar_one(),
        differences=tuple(found),
    )


def _summed(*by: ColumnElement[Any]) -> Select[Any]:
    """Rows and amounts of the transfers, by `by`; the amounts in halves."""
    amount = transfers.c.amount_nano
    return select(*by, func.count(), func.sum(amount // HALF), func.sum(amount % HALF)).group_by(
        *by
    )


def _whole(high: int, low: int) -> int:
    return high * HALF + low


def _fits(kind: str, debit: str, credit: str, account: str) -> bool:
    """Whether both sides are those of the kind, and of this account."""
    own = ACCOUNT + account
    for sides in SIDES.get(kind, ()):
        named = zip((debit, credit), sides, strict=True)
        if all(
            side == own
            if start == ACCOUNT
            else side.startswith(start) and side.endswith(f":{own}")
            if start == "lease:"
            else side == start
            for side, start in named
        ):
            return True
    return False


def _of_accounts(connection: Connection, sums: _Sums) -> Iterator[str]:
    rest = _rest(connection)
    known = select(accounts.c.name, pots).outerjoin(pots, pots.c.name == ACCOUNT + accounts.c.name)
    for account, pot, available, granted, charged in connection.execute(known):
        if pot is None:
            yield f"account {account} has no pot"
            continue
        yield from _differs(f"account {account}: available", available, sums.sides[pot])
        yield from _differs(f"account {account}: granted", granted, sums.granted[account])
        yield from _differs(f"account {account}: charged", charged, sums.charged[account])
        parts = charged + available + rest[pot]
        yield from _differs(f"account {account}: granted and its parts", granted, parts)
        if min(available, granted, charged) < 0:
            yield f"account {account} has a negative amount"
    nobodys = sums.sides.keys() - set(connection.execute(select(pots.c.name)).scalars())
    for side in sorted(nobodys):
        if is_money(side):
            yield f"transfers name {side}, which is not there"


def _of_leases(connection: Connection, sums: _Sums) -> Iterator[str]:
    left = {side: amount for side, amount in sums.sides.items() if side.startswith("lease:")}
    for owner, pot, amount, settled, opened in connection.execute(
        select(
            leases.c.owner, leases.c.pot, leases.c.amount_nano, leases.c.settled_nano,
            owners.c.owner,
        ).outerjoin(owners, owners.c.owner == leases.c.owner)
    ):  # fmt: skip
        if opened is None:
            yield f"{owner} has a lease on {pot} and is not open"
        if not 0 <= settled <= amount:
            yield f"lease of {owner} on {pot}: settled {settled} of {amount}"
        if is_money(pot):
            derived = left.pop(f"lease:{owner}:{pot}", 0)
            yield from _differs(f"lease of {owner} on {pot}: unsettled", amount - settled, derived)
    for side, amount in left.items():
        yield from _differs(f"{side} is over: left in it", 0, amount)


def _of_allowances(connection: Connection) -> Iterator[str]:
    """An allowance is its limit less what is charged and leased, or nothing."""
    rest = _rest(connection)
    for pot, available, granted, charged in connection.execute(select(pots)):
        if is_money(pot):
            continue
        left = max(0, granted - charged - rest[pot])
        yield from _differs(f"allowance {pot}: available", available, left)
        _, key_hash, since = pot.split(":")
        day = int(since) // DAY_S
        spent = select(spend.c.amount_nano).where(spend.c.key_hash == key_hash, spend.c.day >= day)
        if charged > sum(connection.execute(spent).scalars()):
            yield f"allowance {pot}: more is charged than the key spent"


def _of_spend(connection: Connection) -> Iterator[str]:
    """The daily sums are those of the charges, billed and unbilled."""
    kept = {
        (key, account, day): amount
        for key, account, day, amount in connection.execute(
            select(spend.c.key_hash, spend.c.account, spend.c.day, spend.c.amount_nano)
        )
    }
    day = cast(transfers.c.at, BigInteger) // DAY_S
    key = func.coalesce(transfers.c.key_hash, literal(""))
    query = _summed(key, transfers.c.account, day).where(_charges())
    for key_hash, account, at_day, _, high, low in connection.execute(query):
        name = key_hash, account, at_day
        derived = min(NANO_MAX, _whole(high, low))
        yield from _differs(f"spend of {name}", kept.pop(name, 0), derived)
    for name, amount in kept.items():
        yield from _differs(f"spend of {name}", amount, 0)


def _charges() -> ColumnElement[bool]:
    return transfers.c.kind.in_(("charge", "unbilled"))


def _of_charges(connection: Connection) -> Iterator[str]:
    """A generation with a cost has one charge of it, and a charge has its generation."""
    row, charge = generations.c, transfers.c
    costly = select(row.id).where(row.cost_nano > 0)
    same = and_(
        charge.id == row.id,
        _charges(),
        charge.amount_nano == func.min(row.cost_nano, NANO_MAX),
        charge.account == row.account,
        charge.key_hash.is_not_distinct_from(row.key_hash),
    )
    yield from _named(
        connection, "a generation lacks its charge", costly.where(~select(1).where(same).exists())
    )
    charges = select(charge.id).where(_charges())
    yield from _named(
        connection,
        "a charge lacks its generation",
        charges.where(~select(1).where(row.id == charge.id, row.cost_nano > 0).exists()),
    )


def _of_losses(connection: Connection) -> Iterator[str]:
    """What the house bears of a generation has its transfer too, or two: the second where it ended
    after it was taken for dead.
    """
    row, loss = generations.c, transfers.c
    ids = [cast(row.id, String) + end for end in (":loss", ":rest")]
    booked = select(func.coalesce(func.sum(loss.amount_nano), 0))
    booked = booked.where(loss.kind == "loss", loss.id.in_(ids))
    dear = select(row.id).where(row.house_nano > 0)
    yield from _named(
        connection,
        "a generation lacks its loss",
        dear.where(booked.scalar_subquery() != row.house_nano),
    )
    of = func.substr(loss.id, 1, func.length(loss.id) - len(":loss"))
    losses = select(loss.id).where(loss.kind == "loss")
    yield from _named(
        connection,
        "a loss lacks its generation",
        losses.where(~select(1).where(row.id == of, row.house_nano > 0).exists()),
    )


def _of_orphans(connection: Connection) -> Iterator[str]:
    """Rows whose owner, account or end is missing."""
    running = select(1).where(owners.c.owner == checkpoints.c.owner).exists()
    ended = select(1).where(generations.c.id == checkpoints.c.generation).exists()
    yield from _named(
        connection,
        "a checkpoint is left over",
        select(checkpoints.c.generation).where(or_(~running, ended)),
    )
    there = select(1).where(accounts.c.name == keys.c.account).exists()
    yield from _named(connection, "a key has no account", select(keys.c.hash).where(~there))


def _rest(connection: Connection) -> dict[str, int]:
    """What is leased and not settled, by pot."""
    sums: dict[str, int] = defaultdict(int)
    for _, pot, amount, settled, _ in connection.execute(select(leases)):
        sums[pot] += amount - settled
    return sums


def _differs(what: str, kept: int, derived: int) -> Iterator[str]:
    if kept != derived:
        yield f"{what} is {kept}, by the rows it is {derived}"


def _named(connection: Connection, what: str, ids: Select[Any]) -> Iterator[str]:
    for id in connection.execute(ids.limit(NAMED_MAX)).scalars():
        yield f"{what}: {id}"
