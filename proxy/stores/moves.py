"""The statements that move amounts between a pot and the leases on it, each with its guard.

Each runs in its caller's transaction, and changes exactly the row it means or raises. The credit of
an account moves by differences, each with its transfer row. An allowance has no transfers: what is
left of it is computed anew from its limit, what was charged and what is leased.
"""

from typing import Final, NamedTuple

from sqlalchemy import Connection, Executable, case, func, select
from sqlalchemy.dialects.sqlite import insert

from proxy.accounts.ledger import Pot
from proxy.money import NANO_MAX
from proxy.stores.schema import StoreUnavailable, Transfer, encode, leases, pots, spend, transfers

ACCOUNT: Final = "account:"
DAY_S: Final = 86_400


class Held(NamedTuple):
    """A lease's amount and what of it is settled; both 0 where there is none."""

    amount_nano: int
    settled_nano: int


def day_of(at: float) -> int:
    """The day of `at`, counted from 1970, in UTC; the same as the database's cast makes it."""
    return int(at) // DAY_S


def is_money(pot: str) -> bool:
    """Whether `pot` is an account's credit, and no allowance."""
    return pot.startswith(ACCOUNT)


def change(connection: Connection, statement: Executable) -> None:
    """Run a guarded statement. Raises StoreUnavailable where its guard does not hold."""
    if connection.execute(statement).rowcount != 1:
        raise StoreUnavailable("Another process moved the same credit; try again.")


def transfer(connection: Connection, row: Transfer) -> None:
    """Keep `row`."""
    connection.execute(transfers.insert().values(encode(row)))


def held(connection: Connection, owner: str, pot: str) -> Held | None:
    """The lease of `owner` on `pot`."""
    query = select(leases.c.amount_nano, leases.c.settled_nano)
    row = connection.execute(query.where(leases.c.owner == owner, leases.c.pot == pot)).first()
    return None if row is None else Held(*row)


def available(connection: Connection, pot: str) -> int:
    """What is in no lease; 0 for a pot that is not there."""
    query = select(pots.c.available_nano).where(pots.c.name == pot)
    return connection.execute(query).scalar() or 0


def ready(connection: Connection, pot: Pot) -> int:
    """What is left in `pot` to be leased. An allowance is made, or told its limit and what its key
    spent until now.
    """
    if pot.key_hash is not None and pot.limit_nano is not None:
        since = select(spend.c.amount_nano).where(
            spend.c.key_hash == pot.key_hash, spend.c.day >= day_of(pot.since)
        )
        spent = sum(connection.execute(since).scalars())
        known = {
            "granted_nano": min(pot.limit_nano, NANO_MAX),
            "charged_nano": min(spent, NANO_MAX),
        }
        made = insert(pots).values(name=pot.name, available_nano=0, **known)
        connection.execute(made.on_conflict_do_update(index_elements=["name"], set_=known))
        recount(connection, pot.name)
    return available(connection, pot.name)


def recount(connection: Connection, pot: str) -> None:
    """Compute what is left of an allowance; none is left where more was charged than it had."""
    rest = leases.c.amount_nano - leases.c.settled_nano
    leased = select(func.coalesce(func.sum(rest), 0)).where(leases.c.pot == pot).scalar_subquery()
    # Three amounts of up to 2**62: subtracted one by one they stay within 64 bits.
    left = pots.c.granted_nano - pots.c.charged_nano - leased
    statement = pots.update().where(pots.c.name == pot)
    connection.execute(statement.values(available_nano=case((left > 0, left), else_=0)))


def lease(
    connection: Connection, owner: str, pot: str, *, more_nano: int, at: float, id: str
) -> None:
    """Bring `more_nano` from the pot into the owner's lease, or back where it is negative. `id` is
    the transfer's.
    """
    if more_nano == 0:
        return
    row = {"owner": owner, "pot": pot, "amount_nano": more_nano}
    grown = leases.c.amount_nano + more_nano
    if more_nano > 0:
        made = insert(leases).values(settled_nano=0, recalled=False, **row)
        connection.execute(
            made.on_conflict_do_update(index_elements=["owner", "pot"], set_={"amount_nano": grown})
        )
    else:
        mine = leases.update().where(leases.c.owner == owner, leases.c.pot == pot)
        change(connection, mine.where(grown >= leases.c.settled_nano).values(amount_nano=grown))
    if is_money(pot):
        draw(connection, pot, more_nano, charged_nano=0)
        _note(connection, owner, pot, more_nano=more_nano, at=at, id=id)
    else:
        recount(connection, pot)


def _note(
    connection: Connection, owner: str, pot: str, *, more_nano: int, at: float, id: str
) -> None:
    sides = (pot, f"lease:{owner}:{pot}")
    debit, credit = sides if more_nano > 0 else sides[::-1]
    row = Transfer(
        id=f"lease:{id}",
        at=at,
        kind="lease" if more_nano > 0 else "return",
        debit=debit,
        credit=credit,
        amount_nano=abs(more_nano),
        account=pot.removeprefix(ACCOUNT),
    )
    transfer(connection, row)


def draw(connection: Connection, pot: str, amount_nano: int, *, charged_nano: int) -> None:
    """Take `amount_nano` out of what is available, and count `charged_nano` as charged."""
    statement = pots.update().where(pots.c.name == pot, pots.c.available_nano >= amount_nano)
    change(
        connection,
        statement.values(
            available_nano=pots.c.available_nano - amount_nano,
            charged_nano=pots.c.charged_nano + charged_nano,
        ),
    )


def use(connection: Connection, owner: str, pot: str, amount_nano: int) -> None:
    """Count `amount_nano` of a lease as settled."""
    settled = leases.c.settled_nano + amount_nano
    mine = leases.update().where(leases.c.owner == owner, leases.c.pot == pot)
    change(connection, mine.where(settled <= leases.c.amount_nano).values(settled_nano=settled))
