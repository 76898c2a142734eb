"""The ledger in the SQL store, as `proxy.accounts.ledger` promises it.

Every call is one transaction that has the write lock from its beginning, and every amount moves by
a statement that changes nothing where the amount is not there. A call that is repeated because
nobody knows whether it was committed does nothing the second time: the charge of a generation has
the generation's id, and all others bring something to a state rather than forward.
"""

import logging
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    and_,
    bindparam,
    cast,
    func,
    select,
    text,
)
from sqlalchemy.dialects.sqlite import insert

from proxy.accounts.ledger import Fenced, Lease, Pot, Settlement, portion
from proxy.stores import moves, posting
from proxy.stores.books import Books
from proxy.stores.hot import Odd, Query, Rows
from proxy.stores.moves import Held
from proxy.stores.schema import checkpoints, leases, owners
from proxy.stores.sqlite import Database

ID_BYTES: Final = 12

log = logging.getLogger(__name__)


class SqlLedger(Books):
    """The Vault of one database. `token_hex` is that of `secrets`: it names lease transfers."""

    def __init__(
        self, database: Database, *, token_hex: Callable[[int], str] = secrets.token_hex
    ) -> None:
        super().__init__(database)
        self._token_hex = token_hex
        # Of which generations there may be checkpoints to forget. What another process noted stays
        # until its owner is closed, and is no charge beside the one that is known then.
        self._noted: set[str] = set()

    def open_owner(self, owner: str, *, at: float) -> None:
        row = insert(owners).values(owner=owner, beat=0, opened_at=at)
        with self._writing() as connection:
            connection.execute(row.on_conflict_do_nothing())

    def close_owner(self, owner: str, *, at: float) -> None:
        with self._writing() as connection:
            if not _is_open(connection, owner):
                return
            _recover(connection, owner)
            rows = select(leases.c.pot, leases.c.amount_nano - leases.c.settled_nano)
            for pot, rest_nano in connection.execute(rows.where(leases.c.owner == owner)).all():
                self._lease(connection, owner, pot, more_nano=-rest_nano, at=at)
            connection.execute(leases.delete().where(leases.c.owner == owner))
            connection.execute(owners.delete().where(owners.c.owner == owner))

    def beat(self, owner: str) -> dict[str, int]:
        beaten = owners.update().where(owners.c.owner == owner).values(beat=owners.c.beat + 1)
        with self._writing() as connection:
            if connection.execute(beaten).rowcount == 0:
                raise Fenced(owner)
            return {name: beat for name, beat, _ in connection.execute(select(owners))}

    def resize(
        self, owner: str, pot: Pot, *, keep_nano: int, least_nano: int, want_nano: int, at: float
    ) -> Lease:
        wish = {"keep_nano": keep_nano, "least_nano": least_nano, "want_nano": want_nano}
        if pot.key_hash is None:
            with self._reading() as connection:  # who is refused must not wait for the lock as well
                _require_open(connection, owner)
                available = moves.available(connection, pot.name)
                held, target = _target(connection, owner, pot.name, available, wish)
                if target == held.amount_nano and not _is_recalled(connection, owner, pot.name):
                    return _as_lease(connection, owner, pot.name, held)
        with self._writing() as connection:
            _require_open(connection, owner)
            available = moves.ready(connection, pot)
            held, target = _target(connection, owner, pot.name, available, wish)
            self._lease(connection, owner, pot.name, more_nano=target - held.amount_nano, at=at)
            mine = leases.update().where(leases.c.owner == owner, leases.c.pot == pot.name)
            connection.execute(mine.values(recalled=False))
            return _as_lease(connection, owner, pot.name, Held(target, held.settled_nano))

    def recall(self, owner: str, pot: str) -> int:
        others = _others(owner, pot)
        with self._reading() as connection:
            _require_open(connection, owner)
            asked = select(func.count(), func.sum(cast(leases.c.recalled, Integer))).where(*others)
            count, already = connection.execute(asked).one()
            if count == (already or 0):
                return int(count)
        with self._writing() as connection:
            _require_open(connection, owner)
            return connection.execute(leases.update().where(*others).values(recalled=True)).rowcount

    def recalled(self, owner: str) -> list[str]:
        with self._looking() as run:
            found = _RECALLED.rows(run, owner)
        if not found:
            raise Fenced(owner)
        return [pot for (pot,) in found if pot is not None]

    def checkpoint(self, settlements: Sequence[Settlement]) -> None:
        rows = [
            (each.generation.id, each.owner, msgspec.json.encode(each).decode())
            for each in settlements
        ]
        if rows:
            self._noted.update(each.generation.id for each in settlements)
            with self._posting() as run:
                _CHECKPOINT.run(run, rows)

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """As promised; a negative amount raises ValueError, and a value that the database can not
        hold what its driver raises: nothing of the call is kept then.
        """
        if not settlements:
            return
        noted = self._noted.intersection([each.generation.id for each in settlements])
        try:
            batch = posting.gather(settlements)
            with self._posting() as run:
                posting.post(run, batch, noted)
        except _ODD:
            with self._writing() as connection:
                for each in settlements:
                    posting.book(connection, each)
        self._noted -= noted

    def _lease(
        self, connection: Connection, owner: str, pot: str, *, more_nano: int, at: float
    ) -> None:
        id = self._token_hex(ID_BYTES)
        moves.lease(connection, owner, pot, more_nano=more_nano, at=at, id=id)


def _target(
    connection: Connection, owner: str, pot: str, available_nano: int, wish: dict[str, int]
) -> tuple[Held, int]:
    """How the owner's lease stands, and what its amount is to be."""
    held = moves.held(connection, owner, pot) or Held(0, 0)
    target = portion(amount_nano=held.amount_nano, available_nano=available_nano, **wish)
    return held, max(target, held.settled_nano)


def _is_recalled(connection: Connection, owner: str, pot: str) -> bool:
    mine = select(leases.c.recalled).where(leases.c.owner == owner, leases.c.pot == pot)
    return bool(connection.execute(mine).scalar())


def _as_lease(connection: Connection, owner: str, pot: str, held: Held) -> Lease:
    asked = select(func.count()).where(leases.c.recalled, *_others(owner, pot))
    return Lease(
        amount_nano=held.amount_nano,
        settled_nano=held.settled_nano,
        available_nano=moves.available(connection, pot),
        awaited=connection.execute(asked).scalar_one(),
    )


def _others(owner: str, pot: str) -> tuple[ColumnElement[bool], ...]:
    """The leases of others on a pot that have something to give."""
    rest = leases.c.amount_nano > leases.c.settled_nano
    return leases.c.pot == pot, leases.c.owner != owner, rest


def _is_open(connection: Connection, owner: str) -> bool:
    return connection.execute(select(owners).where(owners.c.owner == owner)).first() is not None


def _require_open(connection: Connection, owner: str) -> None:
    if not _is_open(connection, owner):
        raise Fenced(owner)


def _recalled() -> Select[Any]:
    """What an owner is asked for: nothing is one row of nothing, and no row means no owner."""
    asked = and_(leases.c.owner == owners.c.owner, leases.c.recalled)
    mine = select(leases.c.pot).select_from(owners.outerjoin(leases, asked))
    return mine.where(owners.c.owner == bindparam("o")).order_by(leases.c.pot)


# Both many times a second. A checkpoint is kept unless its owner is closed or its generation is
# settled.
_RECALLED: Final = Query(_recalled(), "o")
_CHECKPOINT: Final = Rows(
    text(
        "INSERT INTO checkpoints (generation, owner, body)"
        " SELECT column1, column2, column3 FROM (VALUES (?, ?, ?))"
        " WHERE EXISTS (SELECT 1 FROM owners WHERE owner = column2)"
        " AND NOT EXISTS (SELECT 1 FROM generations WHERE id = column1)"
        " ON CONFLICT (generation) DO UPDATE SET owner = excluded.owner, body = excluded.body"
    ),
    row="(?, ?, ?)",
)
# What is wrong with a value is told where its settlement is booked alone.
_ODD: Final = (Odd, sqlite3.Error, ValueError, OverflowError)


def _recover(connection: Connection, owner: str) -> None:
    """Charge what was under way when `owner` ended, as its checkpoints tell."""
    mine = select(checkpoints.c.generation, checkpoints.c.body).where(checkpoints.c.owner == owner)
    for id, body in connection.execute(mine.order_by(checkpoints.c.generation)).all():
        try:
            last = msgspec.json.decode(body, type=Settlement)
        except msgspec.MsgspecError:
            log.error("a checkpoint can not be read, its charge is lost: %s", id)
            continue
        row = msgspec.structs.replace(last.generation, recovered=True)
        posting.book(connection, msgspec.structs.replace(last, generation=row))
    connection.execute(checkpoints.delete().where(checkpoints.c.owner == owner))
