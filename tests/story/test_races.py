"""A slow endpoint is raced with another, over sockets: who wins, who is closed, who pays.

    WEIR_ROUNDS=40 pytest tests/story/test_races.py -s

plays so many rounds of everything; without it there are few.
"""

import asyncio
import contextlib
import functools
import os
import sqlite3
import statistics
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from proxy import gateway
from proxy.pipeline.notes import LOST
from proxy.routing.health import Pool, Rules
from proxy.upstream.fake import Answer as Flow
from proxy.upstream.fake import Fake, Scenario
from tests.calling import Answer, Calls, at_once, calling
from tests.running import config_text, eventually, provider, weir

ROUNDS = int(os.environ.get("WEIR_ROUNDS", "2"))
RULES = Rules()
CLOSED_S_MAX = 0.1
HELD_UP_S_MAX = 2.0  # where a busy machine is slow to close one of them
SAMPLES = 20  # answers of an endpoint, before anybody knows how long it usually takes
QUICK = Scenario(models=(), answer=Flow(tokens=4))
SLOW = Scenario(models=(), answer=Flow(tokens=4, first_token_s=30.0))
# The first is so much cheaper that it is always asked first.
CHEAP = '{ prompt = "0.000001", completion = "0.000002" }'
DEAR = '{ prompt = "0.1", completion = "0.2" }'


class Race(NamedTuple):
    """A gateway with a cheap endpoint `p0`, that it knows to be quick, and a dear one, `p1`."""

    calls: Calls
    first: Fake
    second: Fake
    folder: Path

    async def ask(self) -> Answer:
        return await self.calls.ask("test/race", stream=True)


@contextlib.asynccontextmanager
async def race(folder: Path, share_max: float | None) -> AsyncIterator[Race]:
    """Races are of so many requests at most, None for no races."""
    async with provider(QUICK) as (first, first_url), provider(QUICK) as (second, second_url):
        share = f"hedge_share_max = {share_max}\n" if share_max else ""
        routing = f"[routing]\nhedge = {str(bool(share_max)).lower()}\n{share}"
        model = (
            '[[models]]\nid = "test/race"\ncontext_length = 4096\n'
            f'[[models.endpoints]]\nprovider = "p0"\nmodel = "cheap"\npricing = {CHEAP}\n'
            f'[[models.endpoints]]\nprovider = "p1"\nmodel = "dear"\npricing = {DEAR}\n'
        )
        text = config_text(folder, first_url, second_url, more=routing) + model
        async with weir(folder, text) as running, calling(running) as calls:
            ready = Race(calls, first, second, folder)
            learned = await at_once(4, ready.ask, SAMPLES)
            assert calls.attempts_at("p0", learned) == SAMPLES == len(calls.rows)
            yield ready
        assert first.open == second.open == 0


def _losses(folder: Path) -> dict[str, int]:
    """What the ledger says the house lost, by generation."""
    with contextlib.closing(sqlite3.connect(folder / "weir.db")) as store:
        rows = store.execute("select id, amount_nano from transfers where kind = 'loss'")
        return {id.removesuffix(":loss"): amount_nano for id, amount_nano in rows}


async def _written(folder: Path, lost: Mapping[str, int]) -> None:
    await eventually(lambda: _losses(folder) == lost)


@pytest.mark.slow
async def test_a_slow_endpoint_loses_a_race_and_the_house_pays_for_it(tmp_path: Path) -> None:
    lost: dict[str, int] = {}
    closed_s: list[float] = []
    async with race(tmp_path, 1.0) as raced:
        for _ in range(ROUNDS):
            raced.first.play(SLOW)
            for _ in range(3):  # so few that it is not shut for its silence
                closed = raced.first.disconnects
                answer = await raced.ask()
                assert answer.complete
                await eventually(lambda: raced.first.disconnects > closed)  # noqa: B023
                closed_s.append(raced.first.disconnect_times[-1] - answer.content_at)
                lost[answer.id] = _check_lost(raced.calls, answer)
            raced.first.play(QUICK)
            for _ in range(3):
                answer = await raced.ask()
                assert raced.calls.row_of(answer).provider == "p0"
        await _written(tmp_path, lost)
    print(
        f"\n{len(closed_s)} races; the loser was closed {statistics.median(closed_s) * 1e3:.1f} ms "
        f"after the caller's first content, {max(closed_s) * 1e3:.1f} at most"
    )
    _check_closed(closed_s)


def _check_closed(closed_s: list[float]) -> None:
    assert statistics.median(closed_s) <= CLOSED_S_MAX
    assert max(closed_s) <= HELD_UP_S_MAX


def _check_lost(calls: Calls, answer: Answer) -> int:
    """The dear one answered and is paid for once; what the cheap one may cost is the house's."""
    row = calls.row_of(answer)
    assert (row.provider, row.status, row.error) == ("p1", 200, None)
    notes = {note.provider: note for note in row.attempts}
    assert (notes["p0"].error, notes["p0"].hedge) == (LOST, False)
    assert (notes["p1"].error, notes["p1"].hedge) == (None, True)
    assert len(notes) == len(row.attempts) == 2
    assert row.completion_tokens == 4
    assert row.cost_nano == row.prompt_tokens * 100_000_000 + 4 * 200_000_000
    # The loser said nothing: all that it can charge for is the prompt, which is estimated.
    assert 0 < row.house_nano < 100 * 1000
    assert row.house_nano % 1000 == 0
    return row.house_nano


@pytest.mark.slow
async def test_the_first_token_wins_even_where_the_race_was_begun(tmp_path: Path) -> None:
    """The second one is asked as well, and is the loser: the house pays for its prompt."""
    lost: dict[str, int] = {}
    closed_s: list[float] = []
    async with race(tmp_path, 1.0) as raced:
        raced.second.play(SLOW)
        for _ in range(2 * ROUNDS):
            raced.first.play(Scenario(models=(), answer=Flow(tokens=4, first_token_s=0.5)))
            closed = raced.second.disconnects
            answer = await raced.ask()
            assert answer.complete
            row = raced.calls.row_of(answer)
            if len(row.attempts) == 1:  # by now it is known to be slow
                continue
            await eventually(lambda: raced.second.disconnects > closed)  # noqa: B023
            closed_s.append(raced.second.disconnect_times[-1] - answer.content_at)
            assert row.provider == "p0"
            assert {note.provider: note.error for note in row.attempts} == {"p0": None, "p1": LOST}
            assert row.cost_nano == row.prompt_tokens * 1000 + 4 * 2000
            assert 0 < row.house_nano == lost.setdefault(answer.id, row.house_nano)
        assert lost
        await _written(tmp_path, lost)
    print(f"\n{len(closed_s)} races, the loser closed after {max(closed_s) * 1e3:.1f} ms at most")
    _check_closed(closed_s)


@pytest.mark.slow
async def test_who_always_loses_in_silence_is_shut(tmp_path: Path) -> None:
    async with race(tmp_path, 1.0) as raced:
        raced.first.play(SLOW)
        began_at = time.monotonic()
        answers = [await raced.ask() for _ in range(20)]
        assert all(answer.complete for answer in answers)
        probes = (time.monotonic() - began_at) // (RULES.out_s * (1 - RULES.out_jitter))
        lost = raced.calls.attempts_at("p0", answers)
        assert RULES.failures_in_a_row <= lost <= RULES.failures_in_a_row + probes
        await eventually(lambda: raced.first.open == 0)


@pytest.mark.slow
async def test_a_hang_up_in_a_race_closes_both(tmp_path: Path) -> None:
    closed_s: list[float] = []
    async with race(tmp_path, 1.0) as raced:
        fakes = raced.first, raced.second
        for number in range(1, 2 * ROUNDS + 1):
            for one in fakes:
                one.play(SLOW)
            call = asyncio.create_task(raced.ask())
            await eventually(lambda: raced.first.open == raced.second.open == 1)
            hung_up_at = time.monotonic()
            call.cancel()
            await eventually(lambda: [one.disconnects for one in fakes] == [number] * 2)  # noqa: B023
            closed_s += [one.disconnect_times[-1] - hung_up_at for one in fakes]
            for one in fakes:
                one.play(QUICK)
            assert (await raced.ask()).complete
        await eventually(lambda: raced.calls.running.gateway.app.under_way == 0)
        rows = [row for row in raced.calls.rows.values() if row.cancelled]
        assert len(rows) == 2 * ROUNDS
        for row in rows:
            assert (row.status, row.cost_nano, row.completion_tokens) == (499, 0, 0)
            assert sorted(note.provider for note in row.attempts) == ["p0", "p1"]
        await _written(tmp_path, {row.id: row.house_nano for row in rows if row.house_nano})
    print(
        f"\n{len(rows)} hang-ups in a race, both closed after {max(closed_s) * 1e3:.1f} ms at most"
    )
    _check_closed(closed_s)


@pytest.mark.slow
async def test_who_is_later_than_ever_is_left_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long before `first_token_s`."""
    limit_s = 0.5
    rules = msgspec.structs.replace(RULES, limit_s_min=limit_s)
    monkeypatch.setattr(gateway, "Pool", functools.partial(Pool, rules))
    async with race(tmp_path, None) as late:
        late.first.play(SLOW)
        answer = await late.ask()
        row = late.calls.row_of(answer)
        assert answer.complete
        assert [note.error for note in row.attempts] == ["provider_timeout", None]
        assert [note.provider for note in row.attempts] == ["p0", "p1"]
        assert limit_s <= row.attempts[0].latency_ms / 1000 + 0.001
        assert row.cost_nano == row.prompt_tokens * 100_000_000 + 4 * 200_000_000
        await _written(tmp_path, {row.id: row.house_nano})  # it may have worked, and charge for it
        later = await at_once(5, late.ask, 10)  # one failure of many may be chance, six are not
        assert all(one.complete for one in later)
        assert late.calls.attempts_at("p0", later) <= 5


@pytest.mark.slow
async def test_races_are_no_more_than_their_share(tmp_path: Path) -> None:
    """As many are slow at once as would all be raced; the others have to wait."""
    share_max, slow_ones = 0.1, 10
    slow = Scenario(models=(), answer=Flow(tokens=4, first_token_s=0.4))
    async with race(tmp_path, share_max) as raced:
        for number in range(ROUNDS):
            if number:  # what was slow once is expected to be so
                raced.calls.running.gateway.pool.forget(())
                raced.first.play(QUICK)
                await at_once(4, raced.ask, SAMPLES)
            raced.first.play(slow)
            answers = await at_once(slow_ones, raced.ask, slow_ones)
            assert all(answer.complete for answer in answers)
            hedged = raced.calls.attempts_at("p1", answers)
            assert 1 <= hedged < slow_ones
        rows = raced.calls.rows.values()
        hedges = sum(note.hedge for row in rows for note in row.attempts)
        print(f"\n{hedges} races of {len(rows)} requests")
        assert hedges <= share_max * len(rows)
