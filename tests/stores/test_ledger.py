"""The SQL ledger: the suite of all ledgers, and what only a database can get wrong."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import msgspec
import pytest
from sqlalchemy import PoolProxiedConnection, event
from sqlalchemy.exc import OperationalError

from proxy.accounts.ledger import allowance_pot
from proxy.stores import sqlite
from proxy.stores.ledger import SqlLedger
from proxy.stores.schema import StoreUnavailable
from proxy.stores.sql import SqlStore
from tests.stores.vault import ACCOUNT, KEY, NOW, Bench, VaultSuite, settlement


@pytest.fixture
def bench(store: SqlStore) -> Bench:
    ledger, ids = store.ledger, count()
    return Bench(
        vault=ledger,
        grant=lambda nano: ledger.grant("default", nano, id=str(next(ids)), at=NOW),
        balance=lambda: ledger.balance("default"),
        generation=lambda id: store.generation(id, key_hash=None),
        differences=lambda: ledger.verify().differences,
    )


class TestSqlLedger(VaultSuite):
    """All of the suite."""


# Faults.

ALLOWANCE = allowance_pot(KEY, limit_nano=1_000, since=0)


def story(ledger: SqlLedger) -> list[Callable[[], object]]:
    """Calls of every kind, usual and odd, each of which may be repeated."""
    one, two = settlement("x", 10), settlement("y", 20, house=3, pots=(ACCOUNT, ALLOWANCE))
    odd, lost = settlement("z", 700), settlement("w", 5_000, owner="dead")
    sizes: Any = {"keep_nano": 0, "least_nano": 100, "want_nano": 100, "at": NOW}
    return [
        lambda: ledger.grant("default", 1_000, id="g", at=NOW),
        lambda: ledger.open_owner("a", at=NOW),
        lambda: ledger.open_owner("b", at=NOW),
        lambda: ledger.beat("a"),
        lambda: ledger.resize("a", ACCOUNT, **sizes),
        lambda: ledger.resize("a", ALLOWANCE, **sizes),
        lambda: ledger.checkpoint([one, settlement("v", 15)]),
        lambda: ledger.settle([one, two]),
        lambda: ledger.recall("b", ACCOUNT.name),
        lambda: ledger.settle([two, odd]),
        lambda: ledger.recalled("a"),
        lambda: ledger.close_owner("a", at=NOW),
        lambda: ledger.settle([lost, one]),
        lambda: ledger.close_owner("b", at=NOW),
    ]


class Faults:
    """While armed, counts down statements and both ends of each commit; the last one fails."""

    def __init__(self, store: SqlStore) -> None:
        self.left = 0
        self.armed = False
        engine = store._engine
        self._commit = engine.dialect.do_commit
        engine.dialect.do_commit = self.commit  # type: ignore[assignment,method-assign]
        event.listen(engine, "before_cursor_execute", self.step)
        driver = store._database._driver()
        self._run = driver.execute
        store._database._driver = lambda: self  # type: ignore[assignment,method-assign,return-value]

    def execute(self, text: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """A statement past SQLAlchemy."""
        if text != "ROLLBACK":
            self.step()
        cursor = self._run(text, values)
        if text == "COMMIT":
            self.step()
        return cursor

    def step(self, *_: object) -> None:
        self.left -= self.armed
        if self.armed and self.left == 0:
            raise OperationalError("", None, sqlite3.OperationalError("disk I/O error"))

    def commit(self, connection: PoolProxiedConnection) -> None:
        self.step()
        self._commit(connection)
        self.step()

    def hit(self, call: Callable[[], object]) -> bool:
        """Whether `call` failed."""
        self.armed = True
        try:
            call()
        except StoreUnavailable:
            return True
        finally:
            self.armed = False
        return False


def test_a_fault_at_any_step_leaves_nothing_by_halves(store: SqlStore) -> None:
    """What failed before its commit did not happen, and is tried again with a later fault."""
    faults, hits = Faults(store), 0
    for call in story(store.ledger):
        for step in count(1):
            faults.left = step
            if not faults.hit(call):
                break
            hits += 1
            assert store.ledger.verify().differences == ()
    found = store.ledger.balance("default")
    assert (found.charged_nano, found.available_nano, found.leased_nano) == (1_000, 0, 0)
    assert hits > 100


# Several at once, and death.


def test_many_at_once_lease_what_there_is_and_no_more(url: str, store: SqlStore) -> None:
    store.ledger.grant("default", 100, id="g", at=NOW)

    def take(owner: str) -> int:
        other = SqlStore.open(url)
        other.ledger.open_owner(owner, at=NOW)
        amount = 0
        for least in range(1, 60):
            lease = other.ledger.resize(
                owner, ACCOUNT, keep_nano=least, least_nano=least, want_nano=least, at=NOW
            )
            amount = lease.amount_nano
        other.close()
        return amount

    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(take, "abcd"))
    assert sum(taken) == 100
    assert store.ledger.balance("default").available_nano == 0
    assert store.ledger.verify().differences == ()


SETTLES_UNTIL_KILLED = """
import sys
from itertools import count
from proxy.stores.sql import SqlStore
from tests.stores.vault import ACCOUNT, NOW, settlement

ledger = SqlStore.open(sys.argv[1]).ledger
ledger.open_owner("a", at=NOW)
for number in count(1):
    want = 100 * number
    ledger.resize("a", ACCOUNT, keep_nano=want, least_nano=want, want_nano=want + 50, at=NOW)
    group = [settlement(f"{number}-{part}", 20) for part in range(3)]
    ledger.checkpoint([settlement(f"{number}-{part}", 10) for part in range(4)])
    ledger.settle(group)
    for one in group:
        print(one.generation.id, flush=True)
"""


def test_a_killed_process_is_settled_by_another(url: str, store: SqlStore) -> None:
    store.ledger.grant("default", 10**9, id="g", at=NOW)
    process = subprocess.Popen(
        [sys.executable, "-c", SETTLES_UNTIL_KILLED, url], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    acknowledged = [process.stdout.readline().strip() for _ in range(60)]
    process.kill()
    acknowledged += process.communicate(timeout=10)[0].split("\n")[:-1]
    assert process.returncode == -signal.SIGKILL
    ledger = store.ledger
    assert ledger.verify().differences == ()
    ledger.close_owner("a", at=NOW)
    audit, balance = ledger.verify(), ledger.balance("default")
    assert audit.differences == ()
    assert balance.leased_nano == 0
    rows = [store.generation(id, key_hash=None) for id in acknowledged]
    assert {row and row.recovered for row in rows} == {False}
    assert balance.charged_nano >= 20 * len(acknowledged)


# What only rows can tell.


def test_a_loss_is_told_by_the_row(store: SqlStore, caplog: pytest.LogCaptureFixture) -> None:
    ledger = store.ledger
    ledger.grant("default", 100, id="g", at=NOW)
    ledger.settle([settlement("x", 70, owner="dead", house=5), settlement("y", 70, owner="dead")])
    found = [store.generation(id, key_hash=None) for id in "xy"]
    assert [row and (row.cost_nano, row.house_nano) for row in found] == [(70, 5), (30, 40)]
    losses = {
        one.id: one.amount_nano for one in ledger.transfers("default", 9) if one.kind == "loss"
    }
    assert losses == {"x:loss": 5, "y:loss": 40}
    assert caplog.messages == []
    ledger.open_owner("a", at=NOW)
    assert ledger.verify().differences == ()


def test_lease_transfers_are_named_by_chance_that_is_given(url: str, store: SqlStore) -> None:
    database = sqlite.Database("weir.db", store._engine)
    names = iter(["one", "two"])
    ledger = SqlLedger(database, token_hex=lambda _: next(names))
    ledger.grant("default", 100, id="g", at=NOW)
    ledger.open_owner("a", at=NOW)
    ledger.resize("a", ACCOUNT, keep_nano=0, least_nano=5, want_nano=5, at=NOW)
    ledger.close_owner("a", at=NOW)
    kinds = {one.id: one.kind for one in ledger.transfers("default", 9)}
    assert kinds == {"grant:g": "grant", "lease:one": "lease", "lease:two": "return"}


def test_a_checkpoint_that_can_not_be_read_stops_nobody(
    store: SqlStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.ledger.open_owner("a", at=NOW)
    store.ledger.checkpoint([settlement("x", 1), settlement("y", 0)])
    with store._writing() as connection:
        connection.exec_driver_sql("UPDATE checkpoints SET body = '7' WHERE generation = 'x'")
    store.ledger.close_owner("a", at=NOW)
    assert caplog.messages == ["a checkpoint can not be read, its charge is lost: x"]
    assert store.generation("y", key_hash=None) is not None
    assert store.ledger.verify().differences == ()


def test_only_what_was_noted_is_looked_for_among_the_checkpoints(store: SqlStore) -> None:
    ledger, asked = store.ledger, []

    def heard(statement: str) -> None:
        if "checkpoints" in statement:
            asked.append(statement)

    ledger.grant("default", 1_000, id="g", at=NOW)
    ledger.open_owner("a", at=NOW)
    ledger.resize("a", ACCOUNT, keep_nano=0, least_nano=500, want_nano=500, at=NOW)
    ledger.checkpoint([settlement("x", 1), settlement("y", 2)])
    driver = store._database._driver()
    driver.set_trace_callback(heard)
    ledger.settle([settlement("z", 3)])
    assert asked == []
    ledger.settle([settlement("x", 10), settlement("w", 4)])
    assert len(asked) == 1
    driver.set_trace_callback(None)
    assert ledger.verify().differences == ()
    ledger.close_owner("a", at=NOW)  # y was under way
    assert ledger.balance("default").charged_nano == 10 + 2 + 3 + 4
    assert ledger.verify().differences == ()


def test_of_many_notes_of_one_call_the_last_of_each_counts(store: SqlStore) -> None:
    """However many stand in one statement; none of who is closed, or of what is settled."""
    ledger = store.ledger
    ledger.open_owner("a", at=NOW)
    ledger.settle([settlement("done", 0)])
    notes = [settlement(f"x{number % 90}", number) for number in range(200)]
    strange = [settlement("done", 5), settlement("gone", 5, owner="nobody"), settlement("ü\0", 3)]
    ledger.checkpoint([*notes, *strange])
    with store._reading() as connection:
        rows = connection.exec_driver_sql("SELECT generation, body FROM checkpoints").all()
    kept = {id: msgspec.json.decode(body)["charge_nano"] for id, body in rows}
    assert kept == {"ü\0": 3} | {f"x{number % 90}": number for number in range(200)}
