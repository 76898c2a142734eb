"""`kill -9` of any process at any moment: what was finished is paid once, and no credit is lost.

Lanes run side by side, each with a store, a gateway and callers of its own. In a lane one process
after the other is killed under load, started again, and what the dead had leased must come back.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp
import pytest

from proxy.stores.sql import SqlStore
from proxy.upstream.fake import Rule, Scenario
from tests.campaign import (
    PROMPT,
    Answer,
    another_key,
    ask,
    body_of,
    callers,
    new_key,
    opened,
    owners_of,
    rounds,
    rows_of,
    served,
)
from tests.running import Process, config_text, eventually, model_text, provider

BACK_S: Final = 60.0
CALLERS: Final = 10
GRANTED_NANO: Final = 10**15
PROMPT_NANO: Final = 1000  # per token, as tests.running.PRICING says
COMPLETION_NANO: Final = 2000
IN_FLIGHT_BYTES: Final = 96  # of text that the gateway had heard and the caller never got
SHORT_BEAT_S: Final = 0.2

HEALTHY: Final = {"quick": 5, "slow": 10, "paced": 50, "mute": 60}  # tokens of an answer
SCENARIO = Scenario(
    rules=(
        Rule(model="quick", tokens=5),
        Rule(model="slow", tokens=10, first_token_s=0.7),
        Rule(model="paced", tokens=50, tokens_per_s=25),
        Rule(model="mute", tokens=60, tokens_per_s=25, fault="usage-missing"),
        Rule(model="status", fault="status"),
        Rule(model="failing", tokens=60, tokens_per_s=25, fault="error-event", events=35),
        Rule(model="cut", tokens=60, tokens_per_s=25, fault="cut", events=30),
    )
)


class Sort(NamedTuple):
    """A sort of request; `leaves` is whether its caller hangs up on the way."""

    model: str
    stream: bool
    leaves: bool = False
    max_tokens: int | None = None


SORTS: Final = (
    Sort("quick", stream=True),
    Sort("quick", stream=False, max_tokens=100),
    Sort("slow", stream=False),
    Sort("slow", stream=True),
    Sort("paced", stream=True),
    Sort("paced", stream=True, max_tokens=200),
    Sort("paced", stream=True, leaves=True),
    Sort("paced", stream=False, max_tokens=100),
    Sort("mute", stream=True),
    Sort("mute", stream=True, leaves=True),
    Sort("status", stream=True),
    Sort("status", stream=False),
    Sort("failing", stream=True),
    Sort("cut", stream=True),
)


class Heard(NamedTuple):
    """A request, the provider it was for, and what its caller heard."""

    sort: Sort
    answer: Answer


class Figures(NamedTuple):
    """What a lane found. `back_s` are the seconds until the leases of the dead were back, by what
    was killed.
    """

    back_s: list[tuple[str, float]]
    counts: Counter[str]


class Lane:
    """A deployment of `workers` processes in `folder`, and its callers."""

    def __init__(self, folder: Path, text: str, workers: int, seed: int, beat_s: float) -> None:
        self.folder = folder
        self.workers = workers
        self.heard: list[Heard] = []
        self.back_s: list[tuple[str, float]] = []
        self.rng = random.Random(seed)
        self._text = text
        self._environ = _hurried(folder, beat_s) if beat_s else {}
        self._running: Process | None = None
        self._dead = contextlib.AsyncExitStack()
        self._started = contextlib.AsyncExitStack()
        folder.mkdir(exist_ok=True)

    async def run(self, kills: int) -> Figures:
        """Kills so often, and verifies the books."""
        with opened(self.folder) as store:
            key = new_key(store, "lane", GRANTED_NANO)
            keys = [key, another_key(store, "lane", limit_nano=GRANTED_NANO, limit_reset="daily")]
            async with callers() as session, self._dead:
                await self._start()
                load = [
                    asyncio.create_task(self._call(session, keys[number % 2]))
                    for number in range(CALLERS)
                ]
                try:
                    for _ in range(kills):
                        await self._kill(store)
                finally:
                    for task in load:
                        task.cancel()
                    await asyncio.gather(*load, return_exceptions=True)
                    await self._started.aclose()
            return Figures(self.back_s, self._verify(store))

    async def _start(self) -> None:
        served_now = served(self.folder, self._text, self.workers, self._environ)
        self._running = await self._started.enter_async_context(served_now)

    async def _kill(self, store: SqlStore) -> None:
        """One kill at a random moment, and the restart; returns when all leases are back."""
        await asyncio.sleep(self.rng.uniform(0.3, 2.5))
        running = self._running
        assert running is not None
        pids = _workers(running)
        victim = self.rng.choice([running.process.pid, *pids])
        whole = victim == running.process.pid
        gone = [victim, *pids] if whole else [victim]
        dead = {one for one in owners_of(store) if int(one.partition("-")[0]) in gone}
        os.kill(victim, signal.SIGKILL)
        killed_at = time.monotonic()
        if whole:
            await running.process.wait()
            self._dead.push_async_exit(self._started.pop_all())
            await self._start()
        while dead & owners_of(store):
            assert time.monotonic() - killed_at < BACK_S, "the leases did not come back"
            await asyncio.sleep(0.05)
        what = "worker" if not whole else "supervisor" if pids else "single"
        self.back_s.append((what, time.monotonic() - killed_at))
        while not whole and len(_workers(running)) < self.workers:
            assert time.monotonic() - killed_at < BACK_S, "no worker came in its place"
            await asyncio.sleep(0.05)

    async def _call(self, session: aiohttp.ClientSession, key: str) -> None:
        while True:
            running = self._running
            assert running is not None
            sort = self.rng.choice(SORTS)
            more = {} if sort.max_tokens is None else {"max_tokens": sort.max_tokens}
            body = body_of(f"test/{sort.model}", stream=sort.stream, **more)
            leave_at = self.rng.randrange(12_000) if sort.leaves else -1
            answer = await ask(session, running.url, key, body, leave_at=leave_at)
            self.heard.append(Heard(sort, answer))
            await asyncio.sleep(0.2 if answer.status == 0 else 0.02)

    def _verify(self, store: SqlStore) -> Counter[str]:
        """Everything that was heard against everything that was written."""
        rows = rows_of(store, "lane")
        counts = Counter({"requests": len(self.heard)})
        for one in self.heard:
            id = one.answer.id
            try:
                judged = _judge(one, rows.charges.get(id, 0), rows.counts.get(id, 0))
            except AssertionError as error:
                error.add_note(repr(rows.generations.get(id)))
                raise
            counts[judged] += 1
        unseen = rows.charges.keys() - {one.answer.id for one in self.heard}
        broken = sum(not one.answer.id for one in self.heard)
        # The head of a whole answer comes with its end: who lost it does not know its id.
        assert len(unseen) <= broken + CALLERS
        assert all(rows.charges[id] <= _most(rows.generations[id].model) for id in unseen)
        counts["recovered"] = sum(row.recovered for row in rows.generations.values())
        counts["unseen"] = len(unseen)
        balance = store.ledger.balance("lane")
        assert balance.leased_nano == 0
        assert balance.available_nano == GRANTED_NANO - sum(rows.charges.values())
        assert store.ledger.verify().differences == ()
        assert owners_of(store) == set()
        return counts


def _judge(heard: Heard, charge_nano: int, charges: int) -> str:
    """What became of a request, in a word; its charge must fit that."""
    sort, answer = heard
    assert charges <= 1, heard
    if answer.ended and not answer.failed:
        assert charges == 1, heard
        assert charge_nano == answer.nano, heard
        if sort.model != "mute":
            assert charge_nano == _full(HEALTHY[sort.model]), heard
        return "finished"
    if answer.ended:
        assert charge_nano == 0, heard
        return "refused or failed"
    if sort.leaves and answer.status == 200:
        assert charge_nano <= _most(f"test/{sort.model}"), heard
        return "hung up"
    size = len(answer.text.encode())
    told_all = answer.tokens >= HEALTHY.get(sort.model, 10**9)
    most = _most(f"test/{sort.model}") if told_all else _estimate(size + IN_FLIGHT_BYTES)
    assert charge_nano <= most, heard
    return "broken, charged in part" if charge_nano else "broken, not charged"


def _full(tokens: int) -> int:
    return PROMPT_NANO * len(PROMPT.split()) + COMPLETION_NANO * tokens


def _estimate(text_bytes: int) -> int:
    prompt = -(-len(PROMPT) // 4) + 4
    return PROMPT_NANO * prompt + COMPLETION_NANO * -(-text_bytes // 4)


def _most(model: str) -> int:
    """No request for `model` is charged more: its words have at most nine bytes."""
    tokens = HEALTHY.get(model.removeprefix("test/"), 60)
    return max(_full(tokens), _estimate(9 * tokens))


def _workers(running: Process) -> list[int]:
    """The processes of the workers that live and serve, by the supervisor's log."""
    started: dict[int, int] = {}
    for line in running.lines:
        if not line.startswith("{"):
            continue
        note = json.loads(line)
        if note["message"] == "worker started":
            started[note["worker"]] = note["pid"]
        elif note["message"] == "worker ended":
            started.pop(note["worker"], None)
    return list(started.values())


def _hurried(folder: Path, beat_s: float) -> dict[str, str]:
    """The environment of processes that show life more often, and so find the dead sooner."""
    hook = folder / "hook"
    hook.mkdir(parents=True)
    (hook / "sitecustomize.py").write_text(
        f"import proxy.stores.treasury as treasury\ntreasury.BEAT_S = {beat_s}\n"
    )
    return {"PYTHONPATH": os.pathsep.join([str(hook), os.environ.get("PYTHONPATH", "")])}


@contextlib.asynccontextmanager
async def _configured() -> AsyncIterator[tuple[str, str]]:
    """A provider, under the names of one that stops billing and one that does not."""
    models = "".join(
        model_text(f"test/{rule.model}", ("p1" if number % 2 else "p0", rule.model))
        for number, rule in enumerate(SCENARIO.rules)
    )
    async with provider(SCENARIO) as (_, base_url):
        yield base_url, models


@pytest.mark.slow
async def test_what_was_finished_is_paid_for_once_whoever_is_killed(tmp_path: Path) -> None:
    kills = rounds(2)
    long = kills > 10
    # The real constants take some twenty seconds to find a process dead.
    beat_s = 0.0 if long else SHORT_BEAT_S
    workers = [1, 1, 1, 2, 2] if long else [1, 2]
    each = [kills // len(workers) + (n < kills % len(workers)) for n in range(len(workers))]
    began_at = time.monotonic()
    async with _configured() as (base_url, models):
        lanes = []
        for number, count in enumerate(workers):
            folder = tmp_path / f"lane{number}"
            text = config_text(folder, base_url, base_url) + models
            text = text.replace('slug = "p1"\n', 'slug = "p1"\ncancel_stops_billing = true\n')
            seed = random.SystemRandom().getrandbits(32)
            lanes.append(Lane(folder, text, count, seed, beat_s))
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(lane.run(count)) for lane, count in zip(lanes, each, strict=True)
            ]
    counts: Counter[str] = Counter()
    back_s: dict[str, list[float]] = {}
    for task in tasks:
        counts += task.result().counts
        for what, seconds in task.result().back_s:
            back_s.setdefault(what, []).append(seconds)
    took_s = time.monotonic() - began_at
    print(f"\n{sum(map(len, back_s.values()))} kills in {took_s:.0f} s: {dict(counts)}")
    for what, seconds_of in back_s.items():
        middle, most = statistics.median(seconds_of), max(seconds_of)
        print(
            f"{what} killed {len(seconds_of)} times: leases back p50 {middle:.1f}, max {most:.1f} s"
        )
    assert sum(map(len, back_s.values())) == kills
    assert counts["finished"] > 0


async def test_who_saw_an_error_is_not_charged_though_the_process_dies_then(tmp_path: Path) -> None:
    environ = _hurried(tmp_path, 0.1)
    async with _configured() as (base_url, models), callers() as session:
        text = config_text(tmp_path, base_url, base_url) + models
        with opened(tmp_path) as store:
            headers = {"Authorization": f"Bearer {new_key(store, 'lane', GRANTED_NANO)}"}
            body = body_of("test/failing", stream=True)
            async with served(tmp_path, text, environ=environ) as running:
                url, heard = f"{running.url}/api/v1/chat/completions", b""
                async with session.post(url, json=body, headers=headers) as response:
                    while b'"error"' not in heard:
                        heard += await response.content.readany()
                    running.process.kill()
                await running.process.wait()
            dead = owners_of(store)
            async with served(tmp_path, text, environ=environ):
                await eventually(lambda: not dead & owners_of(store), within_s=BACK_S)
            assert rows_of(store, "lane").charges == {}
