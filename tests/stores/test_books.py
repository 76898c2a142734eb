"""Accounts and grants: once, within bounds, and heard by running gateways."""

import msgspec
import pytest

from proxy.accounts.ledger import Balance
from proxy.money import NANO_MAX
from proxy.stores.moves import day_of
from proxy.stores.schema import StoreError, Transfer
from proxy.stores.sql import SqlStore
from tests.stores.vault import ACCOUNT, DAY, NOW, settlement


def balance(account: str, granted: int, **more: int) -> Balance:
    parts = {"charged_nano": 0, "unbilled_nano": 0, "leased_nano": 0, "available_nano": granted}
    return Balance(account=account, granted_nano=granted, **(parts | more))


def test_the_default_account_is_always_there(store: SqlStore) -> None:
    assert store.ledger.accounts() == [balance("default", 0)]


def test_an_account_is_opened_once(store: SqlStore) -> None:
    store.ledger.create_account("us", 1.0)
    for name in ("us", "default"):
        with pytest.raises(StoreError, match=f"account named '{name}' already"):
            store.ledger.create_account(name, 1.0)
    assert [one.account for one in store.ledger.accounts()] == ["default", "us"]


def test_a_grant_is_given_once_and_heard_of(store: SqlStore) -> None:
    seq = store.changes_seq()
    for _ in range(3):
        given = store.ledger.grant("default", 500, id="g", at=1.0, note="paid")
        assert given == balance("default", 500)
    assert store.changes_seq() == seq + 1
    assert store.ledger.grant("default", 7, id="h", at=2.0) == balance("default", 507)
    assert store.ledger.transfers("default", 1) == [
        Transfer(
            id="grant:h", at=2.0, kind="grant", debit="house:grants", credit="account:default",
            amount_nano=7, account="default",
        )
    ]  # fmt: skip
    assert [one.note for one in store.ledger.transfers("default", 5)] == [None, "paid"]
    assert store.ledger.granted() == {"default": 507}


def test_only_what_is_available_is_taken_back(store: SqlStore) -> None:
    ledger = store.ledger
    ledger.grant("default", 100, id="g", at=1.0)
    ledger.open_owner("a", at=NOW)
    ledger.resize("a", ACCOUNT, keep_nano=0, least_nano=60, want_nano=60, at=NOW)
    ledger.settle([settlement("x", 10)])
    for _ in range(2):
        ledger.grant("default", -30, id="back", at=2.0)
    expected = balance("default", 70, charged_nano=10, available_nano=10, leased_nano=50)
    assert ledger.balance("default") == expected
    with pytest.raises(StoreError, match="less than that available"):
        ledger.grant("default", -11, id="more", at=3.0)
    assert ledger.balance("default") == expected
    assert ledger.granted() == {"default": 100}
    assert ledger.verify().differences == ()


@pytest.mark.parametrize(
    ("account", "amount", "id", "why"),
    [
        ("nobody", 5, "x", "no account named 'nobody'"),
        ("default", 0, "x", "grant of nothing"),
        ("default", NANO_MAX, "x", "can not hold so much"),
        ("default", 2**80, "x", "can not hold so much"),
        ("default", -(2**80), "x", "less than that available"),
        ("default", 6, "g", "used for another grant"),
        ("default", -5, "g", "used for another grant"),
        ("us", 5, "g", "used for another grant"),
    ],
)
def test_what_can_not_be_given_changes_nothing(
    store: SqlStore, account: str, amount: int, id: str, why: str
) -> None:
    store.ledger.create_account("us", at=1.0)
    store.ledger.grant("default", 5, id="g", at=1.0)
    seq = store.changes_seq()
    with pytest.raises(StoreError, match=why):
        store.ledger.grant(account, amount, id=id, at=1.0)
    assert store.ledger.accounts() == [balance("default", 5), balance("us", 0)]
    assert store.changes_seq() == seq
    assert store.ledger.verify().differences == ()


def test_nobody_has_no_balance(store: SqlStore) -> None:
    with pytest.raises(StoreError, match="no account named 'nobody'"):
        store.ledger.balance("nobody")
    assert store.ledger.transfers("nobody", 5) == []


def test_an_account_holds_the_largest_amount(store: SqlStore) -> None:
    assert store.ledger.grant("default", NANO_MAX, id="g", at=1.0) == balance("default", NANO_MAX)
    store.ledger.open_owner("a", at=NOW)
    store.ledger.resize("a", ACCOUNT, keep_nano=0, least_nano=NANO_MAX, want_nano=NANO_MAX, at=NOW)
    store.ledger.settle([settlement("x", NANO_MAX)])
    store.ledger.close_owner("a", at=NOW)
    assert store.ledger.balance("default").charged_nano == NANO_MAX
    assert store.ledger.verify().differences == ()


def test_free_requests_are_counted_by_account_and_day(store: SqlStore) -> None:
    for id, free in (("x", True), ("y", True), ("z", False), ("x", True)):
        one = settlement(id, 1, pots=())
        store.ledger.settle([msgspec.structs.replace(one, free=free)])
    assert store.ledger.free_today(day_of(NOW)) == {"default": 2}
    store.ledger.settle([settlement("w", 3, pots=(), at=NOW + DAY)])
    assert store.ledger.free_today(day_of(NOW) + 1) == {}
