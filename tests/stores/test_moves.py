"""The statements change what they mean, within their guards, or say that they did not."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from proxy.accounts.ledger import account_pot, allowance_pot
from proxy.stores import moves, schema
from proxy.stores.moves import Held
from proxy.stores.schema import StoreUnavailable
from proxy.stores.sql import SqlStore

POT = account_pot("default").name
KEY = "ab" * 32


@given(st.floats(0, 1e11))
def test_a_day_is_the_same_in_the_program_and_in_utc(at: float) -> None:
    assert moves.day_of(at) * moves.DAY_S <= at < (moves.day_of(at) + 1) * moves.DAY_S


def test_only_credit_is_money() -> None:
    assert moves.is_money(POT)
    assert not moves.is_money(allowance_pot(KEY, limit_nano=1, since=0).name)


def lend(connection: Connection, pot: str, more: int, id: str = "id") -> None:
    moves.lease(connection, "a", pot, more_nano=more, at=1.0, id=id)


def test_more_than_there_is_moves_nothing(store: SqlStore) -> None:
    store.ledger.grant("default", 100, id="g", at=1.0)
    attempts: list[Callable[[Connection], object]] = [
        lambda connection: moves.draw(connection, POT, 101, charged_nano=0),
        lambda connection: moves.draw(connection, "account:nobody", 0, charged_nano=0),
        lambda connection: lend(connection, POT, 101),
        lambda connection: lend(connection, POT, -1),
        lambda connection: moves.use(connection, "a", POT, 0),
    ]
    for attempt in attempts:
        with pytest.raises(StoreUnavailable, match="try again"), store._writing() as connection:
            attempt(connection)
    assert store.ledger.verify().differences == ()
    with store._writing() as connection:
        assert moves.ready(connection, account_pot("default")) == 100
        assert moves.ready(connection, account_pot("nobody")) == 0
        lend(connection, POT, 60)
        moves.use(connection, "a", POT, 50)
        moves.draw(connection, POT, 0, charged_nano=50)
        assert moves.held(connection, "a", POT) == Held(60, 50)
        for use in (11, 10**18):
            with pytest.raises(StoreUnavailable):
                moves.use(connection, "a", POT, use)
        with pytest.raises(StoreUnavailable):
            lend(connection, POT, -11, "other")
        assert moves.available(connection, POT) == 40
        lend(connection, POT, 0)
        lend(connection, POT, -10, "third")
        assert (moves.held(connection, "a", POT), moves.held(connection, "b", POT)) == (
            Held(50, 50),
            None,
        )
        assert moves.available(connection, POT) == 50


def test_the_tables_themselves_refuse_to_be_overdrawn(store: SqlStore) -> None:
    for table, values in (
        (schema.pots, {"name": "p", "available_nano": -1, "granted_nano": 0, "charged_nano": 0}),
        (
            schema.leases,
            {"owner": "a", "pot": "p", "amount_nano": 1, "settled_nano": 2, "recalled": False},
        ),
    ):
        with pytest.raises(IntegrityError, match="CHECK"), store._writing() as connection:
            connection.execute(table.insert().values(values))


def test_what_is_left_of_an_allowance_follows_its_limit(store: SqlStore) -> None:
    """Lowered below what is leased and raised again, it gives no more than the limit."""

    def left(limit: int) -> int:
        pot = allowance_pot(KEY, limit_nano=limit, since=0)
        with store._writing() as connection:
            return moves.ready(connection, pot)

    store.ledger.open_owner("a", at=1.0)
    name = allowance_pot(KEY, limit_nano=0, since=0).name
    assert left(100) == 100
    with store._writing() as connection:
        lend(connection, name, 60)
        assert moves.available(connection, name) == 40
    assert [left(limit) for limit in (120, 70, 20, 0, 100)] == [60, 10, 0, 0, 40]
    assert left(2**70) == 2**62 - 60
    with store._writing() as connection:
        lend(connection, name, -60)
    assert left(100) == 100
    assert store.ledger.verify().differences == ()
