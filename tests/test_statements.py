"""Statements of keys and credit: the same rows as tables for people and as JSON."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from proxy import statements
from proxy.accounts.keys import Key, mint
from proxy.accounts.ledger import Balance
from proxy.api.account import Spent
from proxy.stores.audit import Audit
from proxy.stores.schema import Transfer

NOW = 1_779_474_928.0
NOTHING = Spent(0, 0, 0, 0)
SPENT = Spent(4_000_000_000, 3_000_000_000, 2_000_000_000, 1_000_000_000)


def key(name: str, **more: Any) -> Key:
    _, made = mint(name, token_hex=lambda size: "0a" * size, now=NOW - 100, **more)
    return made


def test_keys_are_listed_with_their_state() -> None:
    rows = [
        key("active", expires_at=NOW + 1),
        key("off", disabled=True),
        key("ended", expires_at=NOW, disabled=True),
        replace(key("gone", expires_at=NOW), revoked_at=NOW - 1),
    ]
    told = [(row, NOTHING) for row in rows]
    _, *lines = statements.keys(told, now=NOW, as_json=False).splitlines()
    assert [line.split()[0] for line in lines] == ["active", "off", "ended", "gone"]
    assert [line.split()[-1] for line in lines] == ["active", "disabled", "expired", "revoked"]
    assert "sk-or-v1-0a0...a0a" in lines[0]
    assert rows[0].hash[:16] in lines[0]
    assert "2026-05-22 18:33" in lines[0]
    (row, *_) = json.loads(statements.keys(told, now=NOW, as_json=True))
    assert row["hash"] == rows[0].hash
    assert (row["revoked_at"], row["limit"], row["usage"]) == (None, None, 0)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({}, ""),
        ({"limit_nano": 5_000_000_000}, "5.00 USD in all (1.00 left)"),
        ({"limit_nano": 5_500_000_000, "limit_reset": "daily"}, "5.50 USD daily (2.50 left)"),
        ({"limit_nano": 1, "limit_reset": "weekly"}, "0.000000001 USD weekly (0.00 left)"),
        (
            {"limit_nano": 10**9, "limit_reset": "monthly", "requests_per_minute": 60},
            "1.00 USD monthly (0.00 left), 60 requests/min",
        ),
        (
            {"requests_per_minute": 0, "tokens_per_minute": 9, "concurrent_requests": 4},
            "any requests/min, 9 tokens/min, 4 at once",
        ),
        ({"management": True}, "management"),
    ],
)
def test_keys_are_listed_with_their_limits(limits: dict[str, Any], said: str) -> None:
    rows = [(key("one", account="team", **limits), SPENT)]
    head, line = statements.keys(rows, now=NOW, as_json=False).splitlines()
    assert f" {said} " in line
    assert line.index("team") == head.index("account")
    assert line.split()[-2:] == ["4.00", "active"]
    (row,) = json.loads(statements.keys(rows, now=NOW, as_json=True))
    assert {name: row[name] for name in limits} == limits
    assert (row["usage"], row["usage_daily"], row["usage_monthly"]) == (4, 3, 1)
    if "limit_nano" in limits:
        assert row["limit"] == limits["limit_nano"] / 1e9
        assert row["limit_remaining"] is not None


STANDS = Balance(
    account="team",
    granted_nano=25_000_000_000,
    charged_nano=1_000_000_001,
    unbilled_nano=0,
    available_nano=23_000_000_000,
    leased_nano=999_999_999,
)


def test_accounts_are_listed_with_what_is_left() -> None:
    head, line = statements.accounts([STANDS], as_json=False).splitlines()
    assert head.split() == ["account", "granted", "USD", "charged", "USD", "left", "USD"]
    assert line.split() == ["team", "25.00", "1.000000001", "23.999999999"]
    (row,) = json.loads(statements.accounts([STANDS], as_json=True))
    assert (row["account"], row["granted_nano"]) == ("team", 25_000_000_000)
    assert (row["granted_usd"], row["leased_usd"]) == (25, 0.999999999)


TRANSFERS = [
    Transfer(
        id="gen-1-a", at=NOW, kind="charge", debit="lease:o:account:team", credit="house:charges",
        amount_nano=1_000_000_001, account="team",
    ),
    Transfer(
        id="grant-1", at=NOW - 60, kind="grant", debit="house:grants", credit="account:team",
        amount_nano=25_000_000_000, account="team", note="invoice 7",
    ),
]  # fmt: skip


def test_credit_is_shown_with_its_movements() -> None:
    lines = statements.credits(STANDS, TRANSFERS, as_json=False).splitlines()
    head, granted, charged, available, leased, empty, columns, *moved = lines
    assert head.split() == ["account", "team", "USD"]
    assert granted.split() == ["granted", "25.00"]
    assert charged.split() == ["charged", "1.000000001"]
    assert available.split() == ["available", "23.00"]
    assert leased.split()[:2] == ["leased", "0.999999999"]
    assert empty == ""
    assert columns.split() == ["at", "kind", "USD", "from", "to", "what"]
    assert [line.split()[2] for line in moved] == ["charge", "grant"]
    assert moved[0].endswith("gen-1-a")
    assert moved[1].endswith("house:grants          account:team   invoice 7")
    row = json.loads(statements.credits(STANDS, TRANSFERS, as_json=True))
    assert row["available_nano"] == 23_000_000_000
    assert [one["id"] for one in row["transfers"]] == ["gen-1-a", "grant-1"]


def test_what_was_never_billed_is_shown_only_where_there_is_some() -> None:
    assert "unbilled" not in statements.credits(STANDS, [], as_json=False)
    some = replace(STANDS, unbilled_nano=5)
    *_, last = statements.credits(some, [], as_json=False).splitlines()
    assert last.split()[:2] == ["unbilled", "0.000000005"]


@pytest.mark.parametrize(
    ("differences", "said"),
    [((), "all agree"), (("a",), "1 difference"), (("a", "b"), "2 differences")],
)
def test_an_audit_names_what_differs(differences: tuple[str, ...], said: str) -> None:
    found = Audit(accounts=1, transfers=1234, generations=7, differences=differences)
    first, *rest = statements.audit(found, as_json=False).splitlines()
    assert first == f"1 accounts, 1,234 transfers, 7 rows of generations: {said}"
    assert tuple(rest) == differences
    assert json.loads(statements.audit(found, as_json=True)) == {
        "accounts": 1, "transfers": 1234, "generations": 7, "differences": list(differences)
    }  # fmt: skip
