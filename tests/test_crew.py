"""How workers are started, heard, counted and seen off, with puppets for workers."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from proxy import crew as module
from proxy.crew import Crew, Failed
from proxy.metrics import Dump
from tests.puppet import Puppets, puppets
from tests.running import eventually

__all__ = ["puppets"]


@contextlib.asynccontextmanager
async def crewed() -> AsyncIterator[Crew]:
    """A crew, and nobody of it is left behind."""
    crew = Crew(lambda: {"text": "the configuration"})
    try:
        yield crew
    finally:
        for worker in list(crew.workers.values()):
            worker.process.kill()
        await asyncio.wait_for(crew.gone(), 20)
    assert crew.workers == {}


def value(dump: Dump, name: str) -> float:
    ((_, (number,)),) = dump[name]
    return number


async def test_workers_are_numbered_and_heard(puppets: Puppets) -> None:
    said: list[Any] = []
    died: list[int] = []
    async with crewed() as crew:
        crew.handlers["said"] = lambda number, payload: said.append((number, payload))
        crew.on_death = died.append
        one, two = await asyncio.gather(crew.start(), crew.start(7.0))
        assert (one.number, two.number, two.pause_s) == (1, 2, 7.0)
        assert [worker.serving for worker in crew.workers.values()] == [True, True]
        assert sorted(said) == [(1, [1, 0]), (2, [2, 0])]
        assert await crew.ask("echo", [1], timeout_s=20) == [[1], [1]]
        crew.tell("stop")
        await asyncio.wait_for(crew.gone(), 20)
        assert sorted(died) == [1, 2]
        assert [worker.serving for worker in (one, two)] == [False, False]
        assert (await crew.start()).number == 3


@pytest.mark.parametrize(
    ("play", "reason", "code"),
    [
        ("dies", "worker 1 ended with 3 before it served", 1),
        ("fails", "no disk", 2),
        ("hangs", f"worker 1 ended with {-signal.SIGKILL} before it served", 1),
    ],
)
async def test_a_worker_that_does_not_start(
    puppets: Puppets, monkeypatch: pytest.MonkeyPatch, play: str, reason: str, code: int
) -> None:
    puppets.set(w1=play)
    if play == "hangs":
        monkeypatch.setattr(module, "START_S", 0.1)
    lost: list[Any] = []
    async with crewed() as crew:
        crew.on_loss = lost.append
        with pytest.raises(Failed, match=reason) as caught:
            await crew.start()
        assert caught.value.code == code
    assert lost == []


async def test_a_program_that_is_missing(puppets: Puppets) -> None:
    puppets.program.unlink()
    async with crewed() as crew:
        with pytest.raises(Failed, match=r"no worker can be started: .*No such file"):
            await crew.start()


async def test_who_is_lost_is_told_once_unless_it_was_to_leave(
    puppets: Puppets, caplog: pytest.LogCaptureFixture
) -> None:
    lost: list[int] = []
    async with crewed() as crew:
        crew.on_loss = lambda worker: lost.append(worker.number)
        one, two = await crew.start(), await crew.start()
        two.leaving = True
        for worker in (one, two):
            os.kill(worker.process.pid, signal.SIGKILL)
        await asyncio.wait_for(crew.gone(), 20)
    assert lost == [1]
    ended = [record for record in caplog.records if record.message == "worker ended"]
    assert {vars(record)["code"] for record in ended} == {-signal.SIGKILL}


async def test_metrics_are_those_of_all_and_never_go_backwards(
    puppets: Puppets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "COUNTS_S", 1.0)  # so long is the mute one waited for
    puppets.set(w3="mute")
    async with crewed() as crew:
        for _ in range(3):
            await crew.start()
        assert value(await crew.metrics(), "weir_hangups_total") == 2  # a puppet counts its scrapes
        crew.workers[2].leaving = True
        total = await crew.metrics()
        assert value(total, "weir_hangups_total") == 4
        assert value(total, "weir_workers") == 2
        assert value(total, "weir_ready") == 1
        assert value(total, "weir_requests_in_progress") == 10

        crew.workers[2].process.kill()  # its counts are those that were seen last
        crew.workers[1].channel.notify("stop")  # its last words say one more
        await eventually(lambda: list(crew.workers) == [3])
        total = await crew.metrics()
        assert value(total, "weir_hangups_total") == 5
        assert value(total, "weir_workers") == 0
        assert "weir_requests_in_progress" not in total
        # Whoever is lost while it is asked is counted once.
        await crew.start()
        await crew.start()
        assert value(await crew.metrics(), "weir_hangups_total") == 7
        crew.workers[4].channel.notify("die")
        assert value(await crew.metrics(), "weir_hangups_total") == 8


async def test_a_worker_asks_for_the_metrics_of_all(puppets: Puppets) -> None:
    async with crewed() as crew:
        worker = await crew.start()
        handlers = crew._handlers_of(worker)
        assert value(await handlers["metrics"](None), "weir_hangups_total") == 1
        assert handlers["start"](None) == {"text": "the configuration"}
