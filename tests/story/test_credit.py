"""A thousand callers at once on a cent: it grants exactly what it buys, and never more."""

import asyncio
import secrets
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest

from proxy.stores.sql import SqlStore
from proxy.upstream.fake import Rule, Scenario
from tests.campaign import (
    Answer,
    ask,
    body_of,
    callers,
    known,
    new_key,
    opened,
    rounds,
    rows_of,
    served,
)
from tests.running import Process, config_text, model_text, provider

CALLERS = 1000
CREDIT_NANO = 10_000_000  # 0.01 USD
EACH_NANO = 100_000
EXACT = '{ prompt = "0", completion = "0", request = "0.0001" }'
TOKENS = '{ prompt = "0.000001", completion = "0.00001" }'
SCENARIO = Scenario(rules=(Rule(model="*", tokens=5, first_token_s=0.1),))


class Round(NamedTuple):
    """What became of one cent. `busy` were told to come again, because too many processes wrote at
    once; `least_nano` is the lowest balance that was ever seen.
    """

    granted: int
    refused: int
    busy: int
    spent_nano: int
    left_nano: int
    least_nano: int


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 4])
async def test_a_cent_buys_what_it_buys(tmp_path: Path, workers: int) -> None:
    figures: dict[str, list[Round]] = {"exact": [], "tokens": []}
    async with provider(SCENARIO) as (_, base_url), callers() as session:
        models = model_text("test/exact", ("p0", "exact"), pricing=EXACT)
        models += model_text("test/tokens", ("p0", "tokens"), pricing=TOKENS)
        with opened(tmp_path) as store:
            text = config_text(tmp_path, base_url) + models
            async with served(tmp_path, text, workers) as running:
                for _ in range(rounds(1)):
                    for mode, kept in figures.items():
                        kept.append(await _round(session, running, store, mode, workers=workers))
                        print(f"\n{workers} processes, {mode}: {kept[-1]}", end="")
            # Everything has come back from the processes that ended.
            assert all(one.leased_nano == 0 for one in store.ledger.accounts())
            assert store.ledger.verify().differences == ()
    for mode, kept in figures.items():
        granted = Counter(one.granted for one in kept)
        least = min(one.least_nano for one in kept)
        busy = sum(one.busy for one in kept)
        print(
            f"\n{workers} processes, {mode}: rounds by answers {dict(granted)}, "
            f"told to come again {busy}, least balance {least}"
        )
    assert {one.granted for one in figures["exact"]} == {CREDIT_NANO // EACH_NANO}


async def _round(
    session: aiohttp.ClientSession, running: Process, store: SqlStore, mode: str, *, workers: int
) -> Round:
    account = secrets.token_hex(8)
    key = new_key(store, account, CREDIT_NANO)
    await known(session, running.url, key, workers)
    body = body_of(f"test/{mode}", max_tokens=50)
    watching = asyncio.create_task(_watch(store, account))
    answers = await asyncio.gather(
        *(
            ask(session, running.url, key, {**body, "stream": number % 2 == 0})
            for number in range(CALLERS)
        )
    )
    watching.cancel()
    least = min(await watching)
    return _checked(store, account, answers, least)


async def _watch(store: SqlStore, account: str) -> list[int]:
    """Looks at the balance until it is cancelled, and gives what was there each time."""
    seen = []
    try:
        while True:
            balance = await asyncio.to_thread(store.ledger.balance, account)
            parts = (balance.charged_nano, balance.available_nano, balance.leased_nano)
            assert min(parts) >= 0
            assert sum(parts) == balance.granted_nano == CREDIT_NANO
            seen.append(balance.granted_nano - balance.charged_nano)
            await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        return seen


def _checked(store: SqlStore, account: str, answers: list[Answer], least: int) -> Round:
    by_status = Counter(answer.status for answer in answers)
    odd = [answer.raw for answer in answers if answer.status not in (200, 402, 503)]
    assert odd == []
    assert all(answer.headers["retry-after"] for answer in answers if answer.status == 503)
    balance, rows = store.ledger.balance(account), rows_of(store, account)
    good = {answer.id: answer for answer in answers if answer.status == 200}
    assert len(good) == by_status[200]
    for id, answer in good.items():
        assert answer.ended
        assert not answer.failed
        assert rows.counts[id] == 1
        assert rows.charges[id] == answer.nano == rows.generations[id].cost_nano
    # Who was refused has no charge and no row.
    assert rows.charges.keys() == rows.generations.keys() == good.keys()
    assert all("redit" in answer.error["message"] for answer in answers if answer.status == 402)
    spent = sum(rows.charges.values())
    left = balance.available_nano + balance.leased_nano
    assert spent == balance.charged_nano == CREDIT_NANO - left
    assert left >= 0
    assert store.ledger.verify().differences == ()
    granted, refused, busy = (by_status[status] for status in (200, 402, 503))
    return Round(granted, refused, busy, spent, left, least)
