"""Accounts and what was granted to them: the calls of people, not of the request path."""

from typing import Final

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.sqlite import insert

from proxy.accounts.ledger import Balance
from proxy.money import NANO_MAX
from proxy.stores import audit
from proxy.stores.audit import Audit
from proxy.stores.moves import ACCOUNT
from proxy.stores.schema import (
    StoreError,
    Transfer,
    accounts,
    changes,
    decode,
    encode,
    is_grant,
    leases,
    pots,
    spend,
    transfers,
)
from proxy.stores.sqlite import Database

GRANTS: Final = "house:grants"


class Books:
    """The accounts of one database. Every method raises StoreUnavailable where the database can
    not do its part.
    """

    def __init__(self, database: Database) -> None:
        self._reading = database.reading
        self._writing = database.writing
        self._posting = database.posting
        self._looking = database.looking

    def create_account(self, name: str, at: float) -> None:
        """Open an account without credit. Raises StoreError where there is one of this name."""
        with self._writing() as connection:
            made = insert(accounts).values(name=name, created_at=at).on_conflict_do_nothing()
            if connection.execute(made).rowcount == 0:
                raise StoreError(f"There is an account named {name!r} already.")
            empty = {"available_nano": 0, "granted_nano": 0, "charged_nano": 0}
            connection.execute(pots.insert().values(name=ACCOUNT + name, **empty))

    def grant(
        self, account: str, amount_nano: int, *, id: str, at: float, note: str | None = None
    ) -> Balance:
        """Give credit, or with a negative amount take back what is in no lease.

        The same `id` gives once. Raises StoreError, and does nothing: no such account; more taken
        than is available; nothing given; an amount out of bounds; an `id` used for another grant.
        """
        if amount_nano == 0:
            raise StoreError("A grant of nothing was asked for.")
        sides = (GRANTS, ACCOUNT + account)
        debit, credit = sides if amount_nano > 0 else sides[::-1]
        row = Transfer(
            id=f"grant:{id}",
            at=at,
            kind="grant",
            debit=debit,
            credit=credit,
            amount_nano=min(abs(amount_nano), NANO_MAX + 1),
            account=account,
            note=note,
        )
        with self._writing() as connection:
            _known(connection, account)
            added = insert(transfers).values(encode(row)).on_conflict_do_nothing()
            if connection.execute(added).rowcount:
                _credit(connection, account, amount_nano)
                connection.execute(changes.update().values(seq=changes.c.seq + 1))
            else:
                _same(connection, row)
            return _balances(connection, account)[0]

    def accounts(self) -> list[Balance]:
        """All accounts, by name."""
        with self._reading() as connection:
            return _balances(connection)

    def balance(self, account: str) -> Balance:
        """How an account stands. Raises StoreError where there is none."""
        with self._reading() as connection:
            _known(connection, account)
            return _balances(connection, account)[0]

    def transfers(self, account: str, limit: int) -> list[Transfer]:
        """What moved for an account, the newest first, at most `limit` of it."""
        mine = select(transfers).where(transfers.c.account == account)
        newest = mine.order_by(transfers.c.at.desc(), transfers.c.id.desc()).limit(limit)
        with self._reading() as connection:
            return [decode(row, Transfer) for row in connection.execute(newest)]

    def granted(self) -> dict[str, int]:
        """What was ever granted to each account; what was taken back counts no less."""
        given = select(transfers.c.account, transfers.c.amount_nano).where(
            is_grant, transfers.c.debit == GRANTS
        )
        sums: dict[str, int] = {}
        with self._reading() as connection:
            for account, amount_nano in connection.execute(given):
                sums[account] = sums.get(account, 0) + amount_nano
        return sums

    def free_today(self, day: int) -> dict[str, int]:
        """The requests of each account that count for the free-model rules; `day` since 1970."""
        count = func.sum(spend.c.free)
        query = select(spend.c.account, count).where(spend.c.day == day).group_by(spend.c.account)
        with self._reading() as connection:
            return {account: free for account, free in connection.execute(query) if free}

    def verify(self) -> Audit:
        """Derive everything anew from the rows, in one snapshot."""
        with self._reading() as connection:
            return audit.verify(connection)


def _known(connection: Connection, account: str) -> None:
    if connection.execute(select(accounts).where(accounts.c.name == account)).first() is None:
        raise StoreError(f"There is no account named {account!r}.")


def _credit(connection: Connection, account: str, amount_nano: int) -> None:
    available = pots.c.available_nano + amount_nano
    granted = pots.c.granted_nano + amount_nano
    mine = pots.update().where(pots.c.name == ACCOUNT + account)
    possible = (
        pots.c.granted_nano <= NANO_MAX - amount_nano
        if amount_nano > 0
        else pots.c.available_nano >= -amount_nano
    )
    statement = mine.where(possible).values(available_nano=available, granted_nano=granted)
    if abs(amount_nano) > NANO_MAX or connection.execute(statement).rowcount == 0:
        raise StoreError(
            "An account can not hold so much."
            if amount_nano > 0
            else f"The account {account!r} has less than that available."
        )


def _same(connection: Connection, row: Transfer) -> None:
    found = connection.execute(select(transfers).where(transfers.c.id == row.id)).one()
    before = decode(found, Transfer)
    sides = (before.debit, before.credit, before.amount_nano)
    if sides != (row.debit, row.credit, row.amount_nano):
        raise StoreError("This id was used for another grant.")


def _balances(connection: Connection, account: str | None = None) -> list[Balance]:
    """Of one account, or of all."""
    query = select(accounts.c.name, pots).join(pots, pots.c.name == ACCOUNT + accounts.c.name)
    if account is not None:
        query = query.where(accounts.c.name == account)
    rows = connection.execute(query.order_by(accounts.c.name)).all()
    return [_balance(connection, *row) for row in rows]


def _balance(
    connection: Connection, account: str, pot: str, available: int, granted: int, charged: int
) -> Balance:
    rest = select(leases.c.amount_nano - leases.c.settled_nano).where(leases.c.pot == pot)
    spent = select(spend.c.amount_nano).where(spend.c.account == account)
    return Balance(
        account=account,
        granted_nano=granted,
        charged_nano=charged,
        unbilled_nano=sum(connection.execute(spent).scalars()) - charged,
        available_nano=available,
        leased_nano=sum(connection.execute(rest).scalars()),
    )
