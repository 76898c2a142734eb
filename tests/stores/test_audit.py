"""The audit finds whatever is wrong with the rows, and nothing where they are right."""

import pytest

from proxy.accounts.ledger import allowance_pot
from proxy.stores.sql import SqlStore
from tests.stores.vault import ACCOUNT, KEY, NOW, settlement

ALLOWANCE = allowance_pot(KEY, limit_nano=1_000, since=0)


@pytest.fixture
def busy(store: SqlStore) -> SqlStore:
    """A store with a bit of everything in it."""
    ledger = store.ledger
    ledger.grant("default", 1_000, id="g", at=NOW)
    ledger.grant("default", -100, id="h", at=NOW)
    for owner in ("a", "b"):
        ledger.open_owner(owner, at=NOW)
        for pot in (ACCOUNT, ALLOWANCE):
            ledger.resize(owner, pot, keep_nano=0, least_nano=200, want_nano=200, at=NOW)
    ledger.checkpoint([settlement("c", 5)])
    ledger.settle([settlement("x", 20, pots=(ACCOUNT, ALLOWANCE), house=2)])
    ledger.settle([settlement("y", 30, pots=()), settlement("z", 0), settlement("w", 9, owner="d")])
    ledger.close_owner("b", at=NOW)
    return store


def test_books_that_are_right(busy: SqlStore) -> None:
    found = busy.ledger.verify()
    assert found.differences == ()
    assert (found.accounts, found.generations) == (1, 4)
    assert found.transfers == 2 + 2 + 4 + 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            "UPDATE pots SET available_nano = 5 WHERE name = 'account:default'",
            "account default: available is 5, by the rows it is 691",
        ),
        (
            "UPDATE pots SET granted_nano = 5 WHERE name = 'account:default'",
            "account default: granted is 5, by the rows it is 900",
        ),
        (
            "UPDATE pots SET charged_nano = 5 WHERE name = 'account:default'",
            "account default: charged is 5, by the rows it is 29",
        ),
        (
            "UPDATE pots SET charged_nano = -5 WHERE name = 'account:default'",
            "account default has a negative amount",
        ),
        ("DELETE FROM pots WHERE name = 'account:default'", "account default has no pot"),
        (
            "DELETE FROM pots WHERE name = 'account:default'",
            "transfers name account:default, which is not there",
        ),
        ("INSERT INTO accounts VALUES ('us', 1.0)", "account us has no pot"),
        (
            "UPDATE leases SET amount_nano = 190 WHERE pot = 'account:default'",
            "lease of a on account:default: unsettled is 170, by the rows it is 180",
        ),
        (
            "DELETE FROM leases",
            "lease:a:account:default is over: left in it is 0, by the rows it is 180",
        ),
        (
            "PRAGMA ignore_check_constraints = 1; "
            "UPDATE leases SET settled_nano = 201 WHERE pot = 'account:default'",
            "lease of a on account:default: settled 201 of 200",
        ),
        ("DELETE FROM owners", "a has a lease on account:default and is not open"),
        ("DELETE FROM owners", "a checkpoint is left over: c"),
        (
            "INSERT INTO checkpoints VALUES ('x', 'a', '')",
            "a checkpoint is left over: x",
        ),
        (
            f"UPDATE pots SET available_nano = 999 WHERE name = '{ALLOWANCE.name}'",
            f"allowance {ALLOWANCE.name}: available is 999, by the rows it is 800",
        ),
        (
            f"UPDATE pots SET charged_nano = 60 WHERE name = '{ALLOWANCE.name}'",
            f"allowance {ALLOWANCE.name}: more is charged than the key spent",
        ),
        (
            "UPDATE spend SET amount_nano = amount_nano + 1",
            f"spend of ('{KEY}', 'default', 100) is 60, by the rows it is 59",
        ),
        ("DELETE FROM spend", f"spend of ('{KEY}', 'default', 100) is 0, by the rows it is 59"),
        (
            "INSERT INTO spend VALUES ('', 'default', 3, 7, 0)",
            "spend of ('', 'default', 3) is 7, by the rows it is 0",
        ),
        ("DELETE FROM transfers WHERE id = 'x'", "a generation lacks its charge: x"),
        (
            "UPDATE transfers SET amount_nano = 21 WHERE id = 'x'",
            "a generation lacks its charge: x",
        ),
        ("UPDATE transfers SET key_hash = NULL WHERE id = 'y'", "a generation lacks its charge: y"),
        ("DELETE FROM generations WHERE id = 'y'", "a charge lacks its generation: y"),
        ("UPDATE generations SET cost_nano = 0 WHERE id = 'x'", "a charge lacks its generation: x"),
        ("DELETE FROM transfers WHERE id = 'x:loss'", "a generation lacks its loss: x"),
        ("UPDATE generations SET house_nano = 0", "a loss lacks its generation: x:loss"),
        (
            "UPDATE transfers SET credit = 'house:losses' WHERE id = 'x'",
            "a transfer charge of default goes lease:a:account:default -> house:losses",
        ),
        (
            "UPDATE transfers SET account = 'us' WHERE id = 'x'",
            "a transfer charge of us goes lease:a:account:default -> house:charges",
        ),
        (
            "UPDATE transfers SET kind = 'gift' WHERE id = 'grant:g'",
            "a transfer gift of default goes house:grants -> account:default",
        ),
        (
            "INSERT INTO keys (hash, name, label, account, created_at, disabled, management) "
            "VALUES ('aa', 'n', 'l', 'nobody', 1.0, 0, 0)",
            "a key has no account: aa",
        ),
    ],
)
def test_what_is_wrong_is_told(busy: SqlStore, wrong: str, said: str) -> None:
    for statement in wrong.split("; "):
        with busy._engine.connect() as connection:
            connection.exec_driver_sql(statement)
            connection.commit()
    assert said in busy.ledger.verify().differences


def test_few_of_many_are_named(store: SqlStore) -> None:
    store.ledger.settle([settlement(str(number), 5, pots=()) for number in range(50)])
    with store._writing() as connection:
        connection.exec_driver_sql("DELETE FROM generations")
    assert len(store.ledger.verify().differences) == 20
