"""Statements of keys, credit and requests: the same rows as tables for people and as JSON."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from proxy import statements
from proxy.accounts.keys import Key, mint
from proxy.accounts.ledger import Balance
from proxy.api.account import Spent
from proxy.api.explain import routing_row
from proxy.pipeline.notes import DRAINED, HUNG_UP
from proxy.routing.wording import DEFAULT
from proxy.stores.audit import Audit
from proxy.stores.schema import Transfer
from proxy.wire.record import Candidate, Generation, Try

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


ROUTED = Generation(
    id="gen-1-a",
    created_at=NOW,
    key_hash="ab" * 32,
    account="team",
    model="acme/large",
    requested_model="large",
    provider="acme",
    endpoint_model="large-2025",
    streamed=True,
    finish_reason="stop",
    latency_ms=120,
    generation_time_ms=900,
    prompt_tokens=10,
    completion_tokens=20,
    cached_tokens=4,
    reasoning_tokens=5,
    cost_nano=1_100_000,
    upstream_nano=1_000_000,
    house_nano=2_000,
    held_nano=50_000_000,
    waited_ms=12,
    candidates=(
        Candidate(provider="beta", model="l", price_nano=18_000_000_000),
        Candidate(provider="acme", model="large-2025", standing="slow"),
        Candidate(provider="zeta", model="l", standing="out", excluded="its key was refused"),
    ),
    attempts=(
        Try(
            provider="beta", provider_name="Beta", model="l", status=429, latency_ms=7,
            error="provider_rate_limited",
        ),
        Try(
            provider="acme", provider_name="Acme AI", model="large-2025", status=200,
            latency_ms=110, began_ms=9, hedge=True,
        ),
    ),
)  # fmt: skip


def test_why_tells_the_whole_way() -> None:
    lines = [line.rstrip() for line in statements.why(ROUTED, as_json=False).splitlines()]
    assert lines[:4] == [
        "gen-1-a, 2026-05-22 18:35 UTC, account team, key abababababababab",
        "asked for large, which is acme/large",
        "answered by acme (large-2025), streamed, finished with stop",
        "first content after 120 ms, generated for 900 ms, waited for credit or limits 12 ms",
    ]
    assert lines[6] == f"order: {DEFAULT}"
    assert [line.split() for line in lines[8:11]] == [
        ["1", "beta/l", "well", "18", "USD"],
        ["2", "acme/large-2025", "slow", "no", "price"],
        ["3", "zeta/l", "out", "not", "tried:", "its", "key", "was", "refused"],
    ]
    assert lines[12:15] == [
        "attempts",
        "  1  at 0 ms  beta/l: status 429, provider_rate_limited, 7 ms",
        "  2  at 9 ms  acme/large-2025: status 200, answered, 110 ms, raced the one before",
    ]
    assert lines[16:] == [
        "usage, as the provider counted: 10 prompt (4 cached) + 20 completion (5 reasoning) tokens",
        "largest hold: 0.05 USD",
        "the caller pays 0.0011 USD",
        "without the margin it is 0.001 USD",
        "the house bears 0.000002 USD",
    ]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"error": "no_price", "status": 402}, "in one piece, ended with no_price, status 402"),
        ({"cancelled": True}, "in one piece, the caller hung up"),
        ({}, "in one piece, finished with no reason given"),
        ({"usage_estimated": True}, "usage, estimated: 0 prompt"),
        ({"completion_tokens": 1}, "usage, as the provider counted: 0 prompt"),
        ({"prompt_tokens": 1}, "usage, as the provider counted: 1 prompt"),
        ({}, "\nno usage\n"),
        ({"recovered": True}, "its gateway died before the end"),
        ({"recovered": True, "provider": "acme"}, "\nits attempts were not noted\n"),
        ({"cost_nano": None, "upstream_nano": None}, "cost: nobody knows the price"),
        ({"model": "acme/large", "requested_model": "acme/large"}, "asked for acme/large\n"),
        ({"model": "acme/large"}, "asked for acme/large\n"),
        ({"preset": "calm", "model": "a/b"}, "asked for a/b with the preset calm\n"),
        (
            {"requested_model": "mine/x", "model": "a/b", "arm": "a/b:nitro"},
            "asked for mine/x, an alias whose traffic is split: this request was given a/b:nitro\n",
        ),
        (
            {"requested_model": "openrouter/auto:nitro", "model": "a/b"},
            "asked for openrouter/auto:nitro, which chose the best buy for the request: a/b\n",
        ),
        (
            {"requested_model": "openrouter/free", "model": "a/b"},
            "asked for openrouter/free, which chose one of the models that cost nothing: a/b\n",
        ),
        ({"requested_model": "~a/b-latest", "model": "a/b-2"}, "~a/b-latest, which led to a/b-2\n"),
        ({"requested_model": "openrouter/auto"}, "asked for openrouter/auto\n"),
        ({"requested_model": "a/b:free:nitro", "model": "a/b:free"}, "asked for a/b:free:nitro\n"),
        ({"requested_model": "a/b", "model": "c/d"}, "asked for a/b, which led to c/d\n"),
        (
            {"requested_model": "mine/x", "model": "a/b", "arm": "openrouter/auto"},
            "this request was given openrouter/auto, which chose the best buy for the request: a/b",
        ),
        ({"stayed": True}, "\nasked first where the conversation's prompt is cached\n"),
        ({"saved_nano": 2_000}, "\ncached tokens saved 0.000002 USD\n"),
        ({"saved_nano": -2_000}, "\nthe caching cost 0.000002 USD more than it saved\n"),
        ({"service_tier": "flex"}, "\nserved at service_tier flex\n"),
        ({}, "account default, no key"),
        ({}, "no provider was asked"),
    ],
)  # fmt: skip
def test_why_has_a_word_for_every_end(row: dict[str, Any], said: str) -> None:
    told = statements.why(Generation(id="g", created_at=NOW, **row), as_json=False)
    assert said in told
    assert "candidates" not in told
    assert "house" not in told
    assert " ms" not in told


@pytest.mark.parametrize(("tag", "told"), [("acme/flex", True), ("acme", False)])
def test_why_tells_where_a_tier_was_not_served_as_it_was_asked(tag: str, told: bool) -> None:
    one = Try(provider=tag, provider_name="Acme", model="l", status=200, latency_ms=7)
    row = Generation(id="g", created_at=NOW, service_tier="default", attempts=(one,))
    said = statements.why(row, as_json=False)
    assert ("\nserved at service_tier default\n" in said) is told


def _hung_up(error: str) -> Generation:
    ends: dict[str, Any] = {"error": error, "latency_ms": 40, "status": None}
    attempts = (
        Try(provider="acme", provider_name="Acme", model="l", began_ms=50, hedge=True, **ends),
        Try(provider="beta", provider_name="Beta", model="l", began_ms=10, **ends),
    )
    return Generation(
        id="g",
        created_at=NOW,
        cancelled=True,
        provider="beta",
        endpoint_model="l",
        generation_time_ms=800,
        attempts=attempts,
    )


def test_why_calls_a_hang_up_no_answer() -> None:
    told = statements.why(_hung_up(HUNG_UP), as_json=False)
    assert "last tried at beta (l), in one piece, the caller hung up" in told
    assert "answered" not in told
    assert (
        "\nattempts\n"
        "  1  at 10 ms  beta/l: no answer, hung_up, 40 ms\n"
        "  2  at 50 ms  acme/l: no answer, hung_up, 40 ms, raced the one before\n"
    ) in told


def test_why_tells_until_when_a_provider_was_heard_out() -> None:
    told = statements.why(_hung_up(DRAINED), as_json=False)
    assert "  1  at 10 ms  beta/l: no answer, drained, 40 ms, heard out until 800 ms\n" in told


def test_why_for_programs_is_the_row_of_the_api() -> None:
    told = json.loads(statements.why(ROUTED, as_json=True))
    assert told == {"id": "gen-1-a", "model": "acme/large", **routing_row(ROUTED)}
