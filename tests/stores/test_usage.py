"""What the database adds up is what Python adds up."""

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import get_args

import msgspec
import pytest

from proxy.accounts.keys import Key
from proxy.money import NANO_MAX
from proxy.stores.sql import SqlStore
from proxy.stores.usage import By, KeyUsage, UsageRow
from proxy.wire.record import Generation
from tests.stores.vault import unbilled

DAY_S = 86_400.0
ROWS = 200


@pytest.fixture
def rows(store: SqlStore, new_key: Callable[..., Key]) -> list[Generation]:
    """Records of a few days: some failed, some without a price, some of keys nobody knows."""
    store.add_key(new_key("app", hash="aa"))
    store.revoke_key("app", now=5.0)
    store.add_key(new_key("app", hash="bb"))
    rng = Random(7)
    made = [
        Generation(
            id=str(number),
            created_at=rng.choice([0.0, DAY_S - 0.001, DAY_S, 2.5 * DAY_S]),
            key_hash=rng.choice(["aa".ljust(64, "0"), "bb".ljust(64, "0"), "cc", None]),
            model=rng.choice(["a/one", "b/two"]),
            provider=rng.choice(["x", "y", ""]),
            prompt_tokens=rng.randrange(100),
            completion_tokens=rng.randrange(100),
            cost_nano=rng.choice([None, 0, rng.randrange(10**12)]),
            error=rng.choice([None, None, "provider_timeout"]),
        )
        for number in range(ROWS)
    ]
    store.ledger.settle([unbilled(row) for row in made])
    return made


def name_of(row: Generation, by: By) -> str:
    if by == "day":
        return datetime.fromtimestamp(row.created_at, UTC).date().isoformat()
    if by == "key":
        return "app" if (row.key_hash or "")[:2] in ("aa", "bb") else row.key_hash or ""
    return row.model if by == "model" else row.provider


@pytest.mark.parametrize("by", get_args(By))
@pytest.mark.parametrize(("since", "until"), [(None, None), (DAY_S, None), (0.0, DAY_S), (9e9, 0)])
def test_usage(
    store: SqlStore, rows: list[Generation], by: By, since: float | None, until: float | None
) -> None:
    groups: dict[str, list[Generation]] = defaultdict(list)
    for row in rows:
        if (since is None or row.created_at >= since) and (until is None or row.created_at < until):
            groups[name_of(row, by)].append(row)
    expected = [
        UsageRow(
            name=name,
            requests=len(group),
            prompt_tokens=sum(row.prompt_tokens for row in group),
            completion_tokens=sum(row.completion_tokens for row in group),
            cost_nano=sum(row.cost_nano or 0 for row in group),
            errors=sum(row.error is not None for row in group),
        )
        for name, group in groups.items()
    ]
    expected.sort(key=lambda row: row.name if by == "day" else (-row.cost_nano, row.name))
    assert store.usage(since=since, until=until, by=by) == expected


def test_key_usage(store: SqlStore, rows: list[Generation]) -> None:
    hash = "aa".ljust(64, "0")

    def spent(since: float) -> int:
        mine = (row for row in rows if row.key_hash == hash and row.created_at >= since)
        return sum(row.cost_nano or 0 for row in mine)

    found = store.key_usage(hash, day_start=2 * DAY_S, week_start=DAY_S, month_start=0.0)
    assert found == KeyUsage(
        total_nano=spent(0.0),
        daily_nano=spent(2 * DAY_S),
        weekly_nano=spent(DAY_S),
        monthly_nano=spent(0.0),
    )
    assert len(set(msgspec.structs.astuple(found))) == 3


def test_a_key_that_was_never_used(store: SqlStore) -> None:
    found = store.key_usage("dd", day_start=0.0, week_start=0.0, month_start=0.0)
    assert msgspec.structs.astuple(found) == (0, 0, 0, 0)


def test_absurd_rows_hide_no_others(store: SqlStore) -> None:
    """Added up as integers these leave 64 bits, and SQLite would refuse the whole sum."""
    most = 2**63 - 1
    absurd = [
        Generation(
            id=str(number), created_at=1.0, key_hash="aa", model="a/one", provider="x",
            prompt_tokens=most, completion_tokens=most, cost_nano=most,
        )
        for number in range(3)
    ]  # fmt: skip
    sane = Generation(id="s", created_at=1.0, key_hash="bb", model="b/two", cost_nano=2**53 - 1)
    store.ledger.settle([unbilled(row) for row in (*absurd, sane)])
    for by in get_args(By)[:3]:
        first, second = store.usage(by=by)
        assert (first.requests, first.prompt_tokens, first.cost_nano) == (3, most, most)
        assert (second.requests, second.cost_nano) == (1, 2**53 - 1)
    found = store.key_usage("aa", day_start=0.0, week_start=0.0, month_start=2.0)
    # A day is counted as a whole.
    assert msgspec.structs.astuple(found) == (NANO_MAX, NANO_MAX, NANO_MAX, NANO_MAX)
