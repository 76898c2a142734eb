"""Several workers as processes: one port, one death, one reload, one restart, one end.

What only goes wrong in odd moments is played with puppets for workers.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest

from proxy import workers as module
from proxy.crew import Failed
from proxy.settings import ConfigError
from proxy.stores.schema import StoreError
from proxy.upstream.fake import Rule, Scenario, fake
from proxy.workers import Supervisor
from tests.gate import Gate
from tests.puppet import Puppets, puppets
from tests.running import (
    Process,
    config_text,
    eventually,
    mint_key,
    model_text,
    process,
    serving,
)

__all__ = ["puppets"]

WORDS = 40
SCENARIO = Scenario(
    rules=(
        Rule(model="paced", tokens=WORDS, tokens_per_s=40),
        Rule(model="quick", tokens=3),
    )
)
MODELS = "".join(model_text(f"test/{name}", ("p0", name)) for name in ("paced", "quick"))


class Bench(NamedTuple):
    """A supervisor with its workers, in front of a provider of this process."""

    running: Process
    headers: dict[str, str]
    gate: Gate

    def logged(self, message: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.running.lines if line.startswith("{")]
        return [line for line in lines if line["message"] == message]

    def pids(self) -> dict[int, int]:
        """Of all workers that were ever started, by number."""
        return {line["worker"]: line["pid"] for line in self.logged("worker started")}

    def signal(self, number: signal.Signals) -> None:
        self.running.process.send_signal(number)

    @contextlib.asynccontextmanager
    async def session(self, **more: Any) -> AsyncIterator[aiohttp.ClientSession]:
        connector = aiohttp.TCPConnector(limit=0, **more)
        async with aiohttp.ClientSession(headers=self.headers, connector=connector) as session:
            yield session

    def post(self, session: aiohttp.ClientSession, model: str, *, stream: bool = False) -> Any:
        return post(session, self.running.url, model, stream=stream)

    async def quick(self, session: aiohttp.ClientSession) -> None:
        await quick(session, self.running.url)

    async def metrics(self) -> dict[str, float]:
        async with self.session() as session, session.get(f"{self.running.url}/metrics") as got:
            text = await got.text()
        samples = (line.rpartition(" ") for line in text.splitlines() if line[0] != "#")
        return {name: float(value) for name, _, value in samples}

    async def requests(self) -> float:
        """How many finished, as `/metrics` tells."""
        counts = await self.metrics()
        return sum(n for name, n in counts.items() if name.startswith("weir_requests_total"))

    async def ended(self, within_s: float = 20) -> int:
        return await asyncio.wait_for(self.running.process.wait(), within_s)


def post(session: aiohttp.ClientSession, url: str, model: str, *, stream: bool) -> Any:
    messages = [{"role": "user", "content": "hello"}]
    body = {"model": f"test/{model}", "stream": stream, "messages": messages}
    return session.post(f"{url}/api/v1/chat/completions", json=body)


async def quick(session: aiohttp.ClientSession, url: str, model: str = "quick") -> None:
    """One whole request, which must succeed."""
    async with post(session, url, model, stream=False) as response:
        body = await response.read()
        assert response.status == 200, body


@contextlib.asynccontextmanager
async def bench(folder: Path, *bind: str, more: str = "", workers: int = 2) -> AsyncIterator[Bench]:
    gate = Gate(fake(SCENARIO))
    async with serving(gate) as url:
        (folder / "config.toml").write_text(config_text(folder, f"{url}/v1", more=more) + MODELS)
        headers = {"Authorization": f"Bearer {mint_key(folder / 'weir.db')}"}
        addresses = [word for one in ("127.0.0.1:0", *bind) for word in ("--bind", one)]
        async with process("serve", *addresses, "--workers", str(workers), cwd=folder) as running:
            yield Bench(running, headers, gate)
        assert running.traces == ""


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


class Stream:
    """One answer, read piece by piece."""

    def __init__(self, tried: Bench, session: aiohttp.ClientSession) -> None:
        self.begun = asyncio.Event()
        self.generation = ""
        self.raw = b""
        self.task = asyncio.create_task(self._read(tried, session))

    async def _read(self, tried: Bench, session: aiohttp.ClientSession) -> None:
        async with tried.post(session, "paced", stream=True) as response:
            assert response.status == 200
            self.generation = response.headers["X-Generation-Id"]
            while data := await response.content.readany():
                self.raw += data
                self.begun.set()

    async def whole(self) -> bool:
        with contextlib.suppress(aiohttp.ClientError):
            await self.task
            assert self.raw.count(b'"finish_reason":null') == WORDS
            assert self.raw.endswith(b"data: [DONE]\n\n")
            return True
        return False


async def streams(tried: Bench, session: aiohttp.ClientSession, count: int = 24) -> list[Stream]:
    """So many answers under way."""
    begun = [Stream(tried, session) for _ in range(count)]
    await asyncio.wait_for(asyncio.gather(*(one.begun.wait() for one in begun)), 20)
    return begun


async def streams_of(tried: Bench, worker: int, session: aiohttp.ClientSession) -> list[Stream]:
    """Answers of that worker: it alone is awake to accept their connections."""
    others = [pid for number, pid in tried.pids().items() if number != worker]
    for pid in others:
        os.kill(pid, signal.SIGSTOP)
    try:
        return await streams(tried, session, 12)
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)


async def test_workers_share_addresses_and_answer_as_one(tmp_path: Path) -> None:
    path = tmp_path / "weir.sock"
    async with bench(tmp_path, f"unix:{path}", workers=3) as tried:
        assert len(tried.pids()) == 3
        async with tried.session(force_close=True) as session:
            for _ in range(6):
                await asyncio.gather(*(tried.quick(session) for _ in range(10)))
        connector = aiohttp.UnixConnector(str(path), limit=0, force_close=True)
        async with aiohttp.ClientSession(headers=tried.headers, connector=connector) as session:
            await asyncio.gather(*(quick(session, "http://weir") for _ in range(20)))
        await eventually(lambda: len(tried.logged("request")) == 80)
        served = Counter(line["worker"] for line in tried.logged("request"))
        assert len(served) > 1, "all went to one worker"
        counts = await tried.metrics()
        assert counts['weir_requests_total{model="test/quick",provider="p0",status="200"}'] == 80
        assert counts["weir_request_seconds_count"] == 80
        assert counts["weir_workers"] == 3
        assert counts["weir_ready"] == counts["weir_store_healthy"] == 1
        tried.signal(signal.SIGTERM)
        assert await tried.ended() == 0
        assert not path.exists()
        assert not any(map(alive, tried.pids().values()))
    assert [line["code"] for line in tried.logged("worker ended")] == [0, 0, 0]


async def test_a_worker_that_is_killed_harms_only_its_own_streams(tmp_path: Path) -> None:
    async with (
        bench(tmp_path) as tried,
        tried.session(force_close=True) as closing,
        tried.session() as session,
    ):
        for _ in range(10):
            await tried.quick(closing)
        await eventually(lambda: len(tried.logged("request")) == 10)  # lines wait for a moment
        before = await tried.metrics()
        tried.gate.open.clear()
        harmed = await streams_of(tried, 1, session)
        spared = await streams_of(tried, 2, session)
        os.kill(tried.pids()[1], signal.SIGKILL)
        assert [await one.whole() for one in harmed] == [False] * len(harmed)
        tried.gate.open.set()
        assert [await one.whole() for one in spared] == [True] * len(spared)
        await eventually(lambda: len(tried.logged("request")) == 10 + len(spared))
        by_two = [line["generation"] for line in tried.logged("request") if line["worker"] == 2]
        assert {one.generation for one in spared} <= set(by_two)

        await eventually(lambda: 3 in tried.pids())
        assert tried.logged("worker ended")[0]["worker"] == 1
        for _ in range(2):
            after = await tried.metrics()
            counters = [name for name in before if re.search(r"_(total|count|bucket)\b", name)]
            assert {name for name in counters if after[name] < before[name]} == set()
            assert await tried.requests() == 10 + len(spared)
        await eventually(lambda: _metric(tried, "weir_workers", 2))
        assert (await tried.metrics())["weir_requests_in_progress"] == 0


async def _metric(tried: Bench, name: str, value: float) -> bool:
    return (await tried.metrics())[name] == value


async def test_a_reload_reaches_all_or_none(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    async with bench(tmp_path) as tried:
        sound = file.read_text()
        file.write_text(sound + model_text("test/new", ("p0", "quick")))
        tried.signal(signal.SIGHUP)
        await eventually(lambda: tried.logged("workers reloaded"))
        assert tried.logged("workers reloaded")[0]["workers"] == 2
        assert {line["worker"] for line in tried.logged("reloaded")} == {1, 2}

        file.write_text(sound + "colour = 1")
        tried.signal(signal.SIGHUP)
        await eventually(lambda: tried.logged("reload refused"))
        assert tried.logged("reload refused")[0]["path"] == "$.models[1].endpoints[0].colour"
        tried.signal(signal.SIGUSR2)
        await eventually(lambda: tried.logged("restart refused"))
        os.kill(tried.pids()[1], signal.SIGKILL)
        os.kill(tried.pids()[2], signal.SIGKILL)
        async with tried.session(force_close=True) as session:
            # Nobody is refused meanwhile, and who starts now has what was found sound last.
            for _ in range(4):
                await quick(session, tried.running.url, "new")
        assert {line["worker"] for line in tried.logged("request")} <= {3, 4}
        assert len(tried.logged("reload refused")) < 3


async def keep(going: asyncio.Event, work: Callable[[], Awaitable[None]]) -> int:
    """Works until `going` is cleared; how often it did."""
    count = 0
    while going.is_set():
        await work()
        count += 1
    return count


async def test_a_rolling_restart_refuses_nothing(tmp_path: Path) -> None:
    async with bench(tmp_path) as tried:
        going = asyncio.Event()
        going.set()
        async with (
            tried.session() as kept,
            tried.session(force_close=True) as fresh,
            tried.session() as seldom,
            tried.session() as streaming,
        ):

            async def pausing() -> None:
                await tried.quick(seldom)
                await asyncio.sleep(0.3)

            load = [
                *(keep(going, lambda: tried.quick(kept)) for _ in range(2)),
                keep(going, lambda: tried.quick(fresh)),
                *(keep(going, pausing) for _ in range(4)),
            ]
            working = asyncio.gather(*load)
            tried.gate.open.clear()
            flowing = await streams(tried, streaming, 6)
            for count in (1, 2):
                tried.signal(signal.SIGUSR2)
                await eventually(lambda n=count: len(tried.logged("restarted")) == n, within_s=40)
            tried.gate.open.set()
            going.clear()
            counts = await working
            assert all(counts)
            assert [await one.whole() for one in flowing] == [True] * 6
        await eventually(lambda: len(tried.logged("worker ended")) == 4)
        assert {line["code"] for line in tried.logged("worker ended")} == {0}
        assert set(tried.pids()) == set(range(1, 7))
        assert await tried.requests() == sum(counts) + 6
        assert (await tried.metrics())["weir_workers"] == 2


@contextlib.asynccontextmanager
async def busy(folder: Path, held_s: float) -> AsyncIterator[None]:
    """Another process writes to the store again and again, and keeps its lock for so long."""
    over = threading.Event()

    def write() -> None:
        with contextlib.closing(sqlite3.connect(folder / "weir.db", isolation_level=None)) as other:
            other.execute("PRAGMA busy_timeout = 5000")
            while not over.is_set():
                other.execute("BEGIN IMMEDIATE")
                over.wait(held_s)
                other.execute("ROLLBACK")
                over.wait(held_s / 4)

    writing = asyncio.create_task(asyncio.to_thread(write))
    try:
        yield
    finally:
        over.set()
        await writing


async def test_a_restart_bears_a_store_that_others_write_to(tmp_path: Path) -> None:
    async with bench(tmp_path) as tried, busy(tmp_path, held_s=0.6):
        tried.signal(signal.SIGUSR2)
        await eventually(lambda: tried.logged("restarted"), within_s=40)
        async with tried.session() as session:
            await tried.quick(session)
        assert set(tried.pids()) == {1, 2, 3, 4}


async def test_the_end_waits_for_every_stream(tmp_path: Path) -> None:
    async with bench(tmp_path) as tried, tried.session() as session:
        tried.gate.open.clear()
        flowing = await streams(tried, session)
        tried.signal(signal.SIGTERM)
        await eventually(lambda: len(tried.logged("draining")) == 2)
        async with tried.session() as late, tried.post(late, "quick") as response:
            assert response.status == 503
            assert response.headers["Connection"] == "close"
        tried.gate.open.set()
        assert [await one.whole() for one in flowing] == [True] * len(flowing)
        assert await tried.ended() == 0


async def test_nobody_is_orphaned(tmp_path: Path) -> None:
    async with bench(tmp_path) as tried, tried.session() as session:
        tried.gate.open.clear()
        flowing = await streams(tried, session)
        tried.signal(signal.SIGKILL)
        await eventually(lambda: len(tried.logged("the supervisor is gone")) == 2)
        await eventually(lambda: _refused(tried.running.url))  # its address is free at once
        assert any(map(alive, tried.pids().values()))
        tried.gate.open.set()
        assert [await one.whole() for one in flowing] == [True] * len(flowing)
        await eventually(lambda: not any(map(alive, tried.pids().values())))


async def _refused(url: str) -> bool:
    host, _, port = url.removeprefix("http://").rpartition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


# With puppets.


class Played(NamedTuple):
    """A supervisor of puppets in this process."""

    supervisor: Supervisor
    task: asyncio.Task[None]
    urls: list[str]
    file: Path

    @property
    def numbers(self) -> list[int]:
        """Of those that serve."""
        workers = self.supervisor.crew.workers.values()
        return sorted(worker.number for worker in workers if worker.serving)

    def order(self, name: str) -> None:
        getattr(self.supervisor._orders, name).set()

    def kill(self, number: int) -> None:
        self.supervisor.crew.workers[number].process.kill()


@contextlib.asynccontextmanager
async def played(folder: Path, more: str = "") -> AsyncIterator[Played]:
    file = folder / "config.toml"
    file.write_text(f'[store]\nurl = "sqlite:///{folder}/weir.db"\n{more}')
    supervisor = Supervisor(
        file, wall=time.time, bind=("127.0.0.1:0", f"unix:{folder}/s"), workers=2
    )
    urls: list[str] = []
    task = asyncio.create_task(supervisor.run(on_listening=urls.extend))
    try:
        await eventually(lambda: urls or task.done())
        yield Played(supervisor, task, urls, file)
    finally:
        supervisor._orders.stop.set()
        with contextlib.suppress(Failed):
            await asyncio.wait_for(task, 20)
    assert supervisor.crew.workers == {}


@pytest.fixture
def messages(caplog: pytest.LogCaptureFixture) -> Callable[[str], list[dict[str, Any]]]:
    caplog.set_level("INFO")
    return lambda text: [vars(one) for one in caplog.records if one.getMessage() == text]


Messages = Callable[[str], list[dict[str, Any]]]


async def test_the_first_start_fails_as_its_worker_does(puppets: Puppets, tmp_path: Path) -> None:
    puppets.set(w2="fails")
    async with played(tmp_path) as tried:
        with pytest.raises(Failed, match="no disk") as caught:
            await tried.task
        assert caught.value.code == 2
        assert tried.urls == []
    assert not (tmp_path / "s").exists()


def unheard(urls: list[str]) -> None:
    pytest.fail(f"{urls} should not have been reached")


async def test_what_can_not_be_bound_or_opened_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f'[store]\nurl = "sqlite:///{tmp_path}"')
    with pytest.raises(StoreError):
        await Supervisor(file, wall=time.time, bind=("127.0.0.1:0",), workers=2).run(
            on_listening=unheard
        )
    with pytest.raises(OSError, match="nowhere"):
        await Supervisor(None, wall=time.time, bind=("unix:/nowhere/s",)).run(on_listening=unheard)
    file.write_text("colour = 1")
    with pytest.raises(ConfigError):
        Supervisor(file, wall=time.time)


async def test_who_dies_young_is_waited_for(
    puppets: Puppets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages
) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.05)
    monkeypatch.setattr(module, "PAUSE_S_MAX", 0.2)
    died: list[int] = []
    async with played(tmp_path) as tried:
        tried.supervisor.crew.on_death = died.append
        puppets.set(w3="dies", w4="dies", w5="dies")
        tried.kill(1)
        await eventually(lambda: tried.numbers == [2, 6])
        assert tried.supervisor.crew.workers[6].pause_s == 0.2  # after 0.05, 0.1, 0.2
        assert len(messages("worker did not start")) == 3
        tried.kill(6)
        await eventually(lambda: tried.numbers == [2, 7])
        assert tried.supervisor.crew.workers[7].pause_s == 0.2
        monkeypatch.setattr(module, "YOUNG_S", 0.0)
        tried.kill(2)
        await eventually(lambda: tried.numbers == [7, 8])
        assert tried.supervisor.crew.workers[8].pause_s == 0
        assert died == [1, 3, 4, 5, 6, 2]


async def test_it_gives_up_when_none_lives_and_none_starts(
    puppets: Puppets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.01)
    async with played(tmp_path) as tried:
        puppets.set(**{f"w{number}": "fails" for number in range(3, 99)})
        tried.kill(1)
        await eventually(lambda: tried.supervisor.crew._last >= 4)
        assert not tried.task.done()
        tried.kill(2)
        with pytest.raises(Failed, match="no disk"):
            await asyncio.wait_for(asyncio.shield(tried.task), 20)


async def test_a_restart_stops_at_the_first_that_does_not_start(
    puppets: Puppets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages
) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.01)
    async with played(tmp_path) as tried:
        puppets.set(w4="fails")
        tried.order("restart")
        await eventually(lambda: messages("restart given up"))
        assert tried.numbers == [2, 3]
        # Who dies while another is to take its place is replaced all the same.
        puppets.set(w5="hangs")
        tried.order("restart")
        await eventually(lambda: 5 in tried.supervisor.crew.workers)
        (leaving,) = (one for one in tried.supervisor.crew.workers.values() if one.leaving)
        leaving.process.kill()
        await eventually(lambda: leaving.ended.is_set())
        tried.kill(5)
        await eventually(lambda: len(messages("restart given up")) == 2)
        await eventually(lambda: len(tried.numbers) == 2)
        assert leaving.number not in tried.numbers
        assert len(messages("workers reloaded")) == 2


async def test_a_restart_passes_over_who_is_leaving_already(
    puppets: Puppets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages
) -> None:
    monkeypatch.setattr(module, "ENDING_S", 0.1)
    puppets.set(w1="deaf")
    async with played(tmp_path, "[timeouts]\ndrain_s = 0\n") as tried:
        for count in (1, 2):
            tried.order("restart")
            await eventually(lambda n=count: len(messages("restarted")) == n)
        assert tried.numbers == [5, 6]
        assert 1 in tried.supervisor.crew.workers


async def test_who_dies_at_a_reload_is_replaced(
    puppets: Puppets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages
) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.01)
    puppets.set(w2="dies at a reload")
    async with played(tmp_path) as tried:
        tried.order("reload")
        await eventually(lambda: messages("workers reloaded"))
        assert messages("workers reloaded")[0]["workers"] == 1
        await eventually(lambda: tried.numbers == [1, 3])


async def test_workers_may_refuse_a_reload(
    puppets: Puppets, tmp_path: Path, messages: Messages
) -> None:
    puppets.set(w2="refuses")
    async with played(tmp_path) as tried:
        tried.order("reload")
        await eventually(lambda: messages("workers reloaded"))
        assert (
            messages("workers reloaded")[0]["workers"],
            messages("workers reloaded")[0]["of"],
        ) == (1, 2)
        tried.file.write_text('[store]\nurl = "sqlite:////elsewhere.db"\n')
        for order in ("reload", "restart"):
            tried.order(order)
            await eventually(lambda refusal=f"{order} refused": messages(refusal))
            assert messages(f"{order} refused")[0]["path"] == "$.store.url"


async def test_a_second_signal_hurries_all(puppets: Puppets, tmp_path: Path) -> None:
    puppets.set(w1="slow", w2="slow")
    async with played(tmp_path) as tried:
        tried.order("stop")
        await asyncio.sleep(0.1)
        assert not tried.task.done()
        tried.order("hurry")
        await asyncio.wait_for(tried.task, 20)


async def test_who_hangs_at_the_end_is_killed(
    puppets: Puppets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages
) -> None:
    monkeypatch.setattr(module, "ENDING_S", 0.7)  # in which the other ends by itself
    puppets.set(w2="deaf")
    async with played(tmp_path, "[timeouts]\ndrain_s = 0\n") as tried:
        tried.order("stop")
        await asyncio.wait_for(tried.task, 20)
    assert [one["worker"] for one in messages("worker hangs and is killed")] == [2]


async def test_all_are_asked_now_and_then(
    puppets: Puppets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    async with played(tmp_path) as tried:
        await eventually(lambda: all(one.dump for one in tried.supervisor.crew.workers.values()))
