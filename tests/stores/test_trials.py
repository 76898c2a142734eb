"""What the database adds up of an alias is what Python adds up."""

from collections import Counter, defaultdict
from math import ceil
from random import Random

import pytest

from proxy.stores.feedback import Feedback
from proxy.stores.sql import SqlStore
from proxy.stores.trials import ArmRow, Waits
from proxy.wire.record import Generation
from tests.stores.vault import unbilled

ROWS = 400
CATEGORIES = ("latency", "formatting", "other")


def row(rng: Random, number: int) -> Generation:
    error = rng.choice([None, None, None, "provider_timeout"])
    named = rng.choice(["team/chat", "team/chat", "team/chat:nitro", "team/chatter", "team_chat"])
    return Generation(
        id=f"gen-{number}",
        created_at=rng.choice([10.0, 20.0, 30.0]),
        account=rng.choice(["default", "team"]),
        requested_model=named,
        arm=rng.choice(["a/one", "b/two", None]),
        model="whoever/answered",
        error=error,
        cancelled=error is None and rng.random() < 0.1,
        finish_reason="error" if error else rng.choice(["stop", "length", None]),
        latency_ms=rng.choice([None, rng.randrange(1000)]),
        generation_time_ms=rng.choice([None, rng.randrange(9000)]),
        prompt_tokens=rng.randrange(100),
        completion_tokens=rng.randrange(100),
        cost_nano=rng.choice([None, rng.randrange(10**9)]),
    )


@pytest.fixture
def rows(store: SqlStore) -> list[Generation]:
    rng = Random(11)
    made = [row(rng, number) for number in range(ROWS)]
    store.ledger.settle([unbilled(one) for one in made])
    return made


@pytest.fixture
def said(store: SqlStore, rows: list[Generation]) -> dict[str, list[str]]:
    """The categories of each generation, of one that is not there as well."""
    rng = Random(12)
    found: dict[str, list[str]] = defaultdict(list)
    for one in [*rng.sample(rows, 150), Generation(id="gen-lost", created_at=20.0)]:
        for category in rng.sample(CATEGORIES, rng.choice([1, 2])):
            store.put_feedback(
                Feedback(generation=one.id, category=category, comment=None, key_hash=None, at=1.0)
            )
            found[one.id].append(category)
    return found


def waits(values: list[int]) -> Waits:
    """By nearest rank."""
    ordered = sorted(values)
    if not ordered:
        return Waits()
    ranks = (ceil(len(ordered) * share / 100) for share in (50, 95))
    return Waits(**dict(zip(("p50", "p95"), (ordered[rank - 1] for rank in ranks), strict=True)))


@pytest.mark.parametrize("account", [None, "team", "nobody"])
@pytest.mark.parametrize("since", [0.0, 20.0, 99.0])
def test_the_arms_of_an_alias(
    store: SqlStore,
    rows: list[Generation],
    said: dict[str, list[str]],
    since: float,
    account: str | None,
) -> None:
    groups: dict[str, list[Generation]] = defaultdict(list)
    for one in rows:
        mine = one.requested_model in ("team/chat", "team/chat:nitro")
        if mine and one.arm and one.created_at >= since and account in (None, one.account):
            groups[one.arm].append(one)
    expected = [
        ArmRow(
            arm=arm,
            requests=len(group),
            errors=sum(one.error is not None for one in group),
            cancelled=sum(one.cancelled for one in group),
            cost_nano=sum(one.cost_nano or 0 for one in group),
            prompt_tokens=sum(one.prompt_tokens for one in group),
            completion_tokens=sum(one.completion_tokens for one in group),
            finish_reasons=dict(Counter(one.finish_reason or "none" for one in group)),
            first=waits([one.latency_ms for one in group if one.latency_ms is not None]),
            whole=waits(
                [
                    one.generation_time_ms
                    for one in group
                    if one.generation_time_ms is not None
                    and one.error is None
                    and not one.cancelled
                ]
            ),
            feedback=dict(Counter(word for one in group for word in said.get(one.id, ()))),
            remarked=sum(one.id in said for one in group),
        )
        for arm, group in sorted(groups.items())
    ]
    assert store.trial("team/chat", since=since, account=account) == expected
    assert len(expected) == (0 if since == 99.0 or account == "nobody" else 2)


@pytest.mark.parametrize(
    ("values", "p50", "p95"),
    [([7], 7, 7), ([1, 2], 1, 2), (list(range(1, 101)), 50, 95), ([5] * 30 + [9], 5, 5)],
)
def test_percentiles_are_by_nearest_rank(
    store: SqlStore, values: list[int], p50: int, p95: int
) -> None:
    store.ledger.settle(
        [
            unbilled(
                Generation(
                    id=str(place), created_at=1.0, requested_model="x/y", arm="a/b", latency_ms=ms
                )
            )
            for place, ms in enumerate(values)
        ]
    )
    (found,) = store.trial("x/y", since=0.0)
    assert found.first == Waits(p50=p50, p95=p95)
    assert found.whole == Waits()


def test_signs_of_patterns_in_a_name_are_plain_letters(store: SqlStore) -> None:
    other = Generation(id="g", created_at=1.0, requested_model="teamXchat:nitro", arm="a/b")
    store.ledger.settle([unbilled(other)])
    assert store.trial("team_chat", since=0.0) == []
    assert store.trial("team%", since=0.0) == []
    assert store.trial("teamxchat", since=0.0) == []
    assert len(store.trial("teamXchat", since=0.0)) == 1
