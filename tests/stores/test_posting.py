"""Settlements become the same rows by the batch and one by one, and odd ones lose no money."""

from random import Random
from typing import Any

import msgspec
import pytest
from sqlalchemy import Row, select

from proxy.accounts.ledger import Pot, Settlement, allowance_pot
from proxy.money import NANO_MAX
from proxy.stores import moves, posting, schema
from proxy.stores.hot import Odd
from proxy.stores.sql import SqlStore
from proxy.wire.record import Candidate, Generation, Try
from tests.stores.vault import ACCOUNT, DAY, KEY, NOW, settlement, unbilled

LEASED = ("lease", "return")
ALLOWANCE = allowance_pot(KEY, limit_nano=1_000, since=0)


def lease(store: SqlStore, pot: Pot, amount: int, owner: str = "a") -> None:
    store.ledger.open_owner(owner, at=NOW)
    found = store.ledger.resize(
        owner, pot, keep_nano=0, least_nano=amount, want_nano=amount, at=NOW
    )
    assert found.amount_nano == amount


def contents(store: SqlStore) -> dict[str, set[Row[Any]]]:
    """All rows of all tables but those whose ids are made by chance."""
    with store._reading() as connection:
        found = {
            name: set(connection.execute(select(table)))
            for name, table in schema.metadata.tables.items()
        }
    return found | {"transfers": {row for row in found["transfers"] if row.kind not in LEASED}}


def row_of(store: SqlStore, id: str) -> tuple[int | None, int]:
    row = store.generation(id, key_hash=None)
    assert row is not None
    return row.cost_nano, row.house_nano


def moved(store: SqlStore, kind: str) -> dict[str, int]:
    rows = store.ledger.transfers("default", 99)
    return {row.id: row.amount_nano for row in rows if row.kind == kind}


def booked(store: SqlStore, settlements: list[Settlement]) -> None:
    with store._writing() as connection:
        for each in settlements:
            posting.book(connection, each)


@pytest.mark.parametrize("seed", range(5))
def test_a_batch_and_single_bookings_make_the_same_rows(store: SqlStore, seed: int) -> None:
    rng = Random(seed)
    store.ledger.grant("default", 10_000, id="g", at=NOW)
    choices = [(), (ACCOUNT,), (ACCOUNT, ALLOWANCE), (ALLOWANCE,)]
    for owner in "ab":
        lease(store, ACCOUNT, 3_000, owner)
        lease(store, ALLOWANCE, 400, owner)
    made = [
        msgspec.structs.replace(
            settlement(
                str(number),
                rng.choice([0, rng.randrange(12)]),
                owner=rng.choice("ab"),
                house=rng.choice([0, 3]),
                pots=rng.choice(choices),
                at=NOW + rng.choice([0, DAY]),
            ),
            free=rng.random() < 0.3,
        )
        for number in range(60)
    ]
    results = []
    for keep in (store.ledger.settle, lambda them: booked(store, them)):
        keep(made)
        assert store.ledger.verify().differences == ()
        results.append(contents(store))
        with store._writing() as connection:  # as if nothing had been settled
            for name in ("generations", "spend"):
                connection.exec_driver_sql(f"DELETE FROM {name}")
            connection.exec_driver_sql("DELETE FROM transfers WHERE credit = 'house:charges'")
            connection.exec_driver_sql("UPDATE leases SET settled_nano = 0")
            connection.exec_driver_sql("UPDATE pots SET charged_nano = 0")
    assert results[0] == results[1]
    assert len(results[0]["generations"]) == 60


def test_every_kind_of_value_is_kept(store: SqlStore) -> None:
    row = Generation(
        id="x", created_at=1.0, streamed=True, recovered=True, upstream_nano=None, cost_nano=None,
        attempts=(Try(provider="p", provider_name="P", model="m", status=None, latency_ms=1),),
        candidates=(Candidate(provider="p", model="m", excluded="it is out"),),
    )  # fmt: skip
    store.ledger.settle([unbilled(row)])
    assert store.generation("x", key_hash=None) == row
    booked(store, [unbilled(msgspec.structs.replace(row, id="y"))])
    assert store.generation("y", key_hash=None) == msgspec.structs.replace(row, id="y")


def test_the_row_says_what_is_charged(store: SqlStore) -> None:
    """Whatever it came with: the charge is what counts."""
    said = [settlement("x", 5), settlement("y", 0), settlement("z", 7, house=2)]
    store.ledger.settle(
        [
            msgspec.structs.replace(said[0], charge_nano=9, pots=()),
            msgspec.structs.replace(said[1], charge_nano=4, pots=()),
            msgspec.structs.replace(said[2], charge_nano=0, house_nano=0, pots=()),
        ]
    )
    assert [row_of(store, id) for id in "xyz"] == [(9, 0), (4, 0), (0, 0)]
    assert store.ledger.verify().differences == ()


@pytest.mark.parametrize(
    ("charge", "taken", "lost"), [(50, 50, 0), (51, 51, 0), (100, 100, 0), (130, 100, 30)]
)
def test_more_than_the_lease_is_taken_from_what_is_there(
    store: SqlStore, caplog: pytest.LogCaptureFixture, charge: int, taken: int, lost: int
) -> None:
    store.ledger.grant("default", 100, id="g", at=NOW)
    lease(store, ACCOUNT, 50)
    for _ in range(2):
        store.ledger.settle([settlement("x", charge, house=4)])
        assert row_of(store, "x") == (taken, 4 + lost)
        assert moved(store, "charge") == {"x": taken}
        assert moved(store, "loss") == {"x:loss": 4 + lost}
        assert store.ledger.verify().differences == ()
    over = charge - 50
    expected = [f"a charge exceeds its lease by {over} nano-dollars: x"] if over else []
    assert caplog.messages == expected


def test_an_empty_lease_on_an_empty_account_is_all_loss(store: SqlStore) -> None:
    store.ledger.grant("default", 10, id="g", at=NOW)
    lease(store, ACCOUNT, 10)
    store.ledger.settle([settlement("x", 10), settlement("y", 10)])
    assert (row_of(store, "x"), row_of(store, "y")) == ((10, 0), (0, 10))
    assert store.ledger.verify().differences == ()


def test_an_allowance_that_is_overdrawn_has_nothing_left(store: SqlStore) -> None:
    lease(store, ALLOWANCE, 300)
    store.ledger.settle([settlement("x", 900, pots=(ALLOWANCE,))])
    with store._reading() as connection:
        assert moves.held(connection, "a", ALLOWANCE.name) == (300, 300)
        assert moves.available(connection, ALLOWANCE.name) == 100
    store.ledger.settle([settlement("y", 200, pots=(ALLOWANCE,), owner="dead")])
    with store._reading() as connection:
        assert moves.available(connection, ALLOWANCE.name) == 0
    assert moved(store, "unbilled") == {"x": 900, "y": 200}
    assert store.ledger.verify().differences == ()


def test_a_charge_counts_in_the_period_that_it_is_held_in(store: SqlStore) -> None:
    """Its request came before midnight and its hold was taken after it."""
    pot = allowance_pot(KEY, limit_nano=1_000, since=100 * DAY)
    lease(store, pot, 500)
    early = [settlement(id, 10, pots=(pot,), at=100 * DAY - 0.5) for id in "xy"]
    store.ledger.settle(early[:1])
    booked(store, early[1:])
    used = store.key_usage(KEY, day_start=100 * DAY, week_start=101 * DAY, month_start=0.0)
    assert (used.daily_nano, used.weekly_nano, used.total_nano) == (20, 0, 20)
    assert store.ledger.verify().differences == ()


def test_absurd_amounts_stop_at_the_largest(store: SqlStore) -> None:
    huge = [settlement(id, NANO_MAX, pots=(), house=NANO_MAX) for id in "xy"]
    more = settlement("z", NANO_MAX + 5, pots=(), house=NANO_MAX + 5)
    store.ledger.settle(huge)
    store.ledger.settle([more])
    assert row_of(store, "z") == (NANO_MAX, NANO_MAX)
    found = store.key_usage(KEY, day_start=0.0, week_start=0.0, month_start=0.0)
    assert found.total_nano == NANO_MAX
    lease(store, ALLOWANCE, 0)
    store.ledger.settle([settlement("w", 7, pots=(ALLOWANCE,), owner="dead")])
    assert store.ledger.verify().differences == ()


@pytest.mark.parametrize(
    ("charge", "house", "pots"), [(-1, 0, ()), (0, -1, ()), (-5, 0, (ACCOUNT,))]
)
def test_a_negative_amount_is_refused(
    store: SqlStore, charge: int, house: int, pots: tuple[Pot, ...]
) -> None:
    before = contents(store)
    with pytest.raises(ValueError, match="negative"):
        store.ledger.settle([settlement("x", 5), settlement("y", charge, house=house, pots=pots)])
    assert contents(store) == before


def test_an_id_that_another_transfer_has_is_refused(store: SqlStore) -> None:
    store.ledger.grant("default", 10, id="g", at=NOW)
    before = contents(store)
    with pytest.raises(Odd):
        store.ledger.settle([settlement("grant:g", 5, pots=())])
    assert contents(store) == before


def test_free_requests_are_counted(store: SqlStore) -> None:
    day = moves.day_of(NOW)
    for id, free in (("x", True), ("y", True), ("z", False), ("x", True)):
        store.ledger.settle([msgspec.structs.replace(settlement(id, 0, pots=()), free=free)])
    assert store.ledger.free_today(day) == {"default": 2}
    assert store.ledger.free_today(day + 1) == {}
    store.ledger.settle([settlement("w", 3, pots=(), at=NOW + DAY)])
    assert store.ledger.free_today(day + 1) == {}


def test_without_a_lease_the_charge_comes_straight_from_the_account(store: SqlStore) -> None:
    store.ledger.grant("default", 15, id="g", at=NOW)
    store.ledger.settle([settlement(id, 10, owner="dead") for id in "xyz"])
    assert [row_of(store, id) for id in "xyz"] == [(10, 0), (5, 5), (0, 10)]
    rows = {row.id: row.debit for row in store.ledger.transfers("default", 9) if row.id in "xyz"}
    assert rows == {"x": ACCOUNT.name, "y": ACCOUNT.name}
    assert store.ledger.verify().differences == ()
