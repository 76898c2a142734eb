"""The writer: nothing lost, nothing blocked, and an end on every way out."""

import asyncio
import logging
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from proxy.stores import writer as writer_module
from proxy.stores.schema import StoreUnavailable
from proxy.stores.sql import SqlStore
from proxy.stores.writer import BATCH_ROWS_MAX, Writer
from proxy.wire.record import Generation

Until = Callable[..., Awaitable[None]]


def row(id: str, prompt_tokens: int = 0) -> Generation:
    return Generation(id=id, created_at=1.0, prompt_tokens=prompt_tokens)


def missing(url: str, ids: Iterator[str] | list[str]) -> list[str]:
    store = SqlStore.open(url)
    lost = [id for id in ids if store.generation(id, key_hash=None) is None]
    store.close()
    return lost


@pytest.fixture
def lock(url: str, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Another connection; `BEGIN EXCLUSIVE` on it keeps all writers out."""
    SqlStore.open(url).close()
    connection = sqlite3.connect(tmp_path / "weir.db", isolation_level=None)
    yield connection
    connection.close()


async def test_rows_are_committed_soon_and_found_until_then(
    writer: Writer, url: str, until: Until
) -> None:
    writer.submit(row("a"))
    assert (writer.pending, writer.pending_generation("a")) == (1, row("a"))
    async with asyncio.timeout(1):
        await until(lambda: writer.pending == 0)
    assert writer.pending_generation("a") is None
    assert missing(url, ["a"]) == []


async def test_a_call_sees_the_rows_before_it(writer: Writer) -> None:
    for id in map(str, range(20)):
        writer.submit(row(id))
        find = partial(SqlStore.generation, id=id, key_hash=None)
        assert await writer.call(find) == row(id)


async def test_rows_go_in_groups(
    writer: Writer, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    sizes: list[int] = []
    add = writer._store.add_generations

    def count(rows: list[Generation]) -> None:
        sizes.append(len(rows))
        add(rows)

    monkeypatch.setattr(writer._store, "add_generations", count)
    for number in range(2 * BATCH_ROWS_MAX + 7):
        writer.submit(row(str(number)))
    await until(lambda: writer.pending == 0)
    assert sum(sizes) == 2 * BATCH_ROWS_MAX + 7
    assert max(sizes) <= BATCH_ROWS_MAX
    assert len(sizes) <= 5


async def test_a_row_submitted_twice_is_one_row(writer: Writer, url: str) -> None:
    for _ in range(3):
        writer.submit(row("a"))
    assert writer.pending == 1
    await writer.call(SqlStore.keys)
    writer.submit(row("a"))
    await writer.close()
    assert (writer.pending, writer.dropped) == (0, 0)
    assert missing(url, ["a"]) == []


async def test_a_locked_database_loses_nothing(
    writer: Writer,
    url: str,
    lock: sqlite3.Connection,
    caplog: pytest.LogCaptureFixture,
    until: Until,
) -> None:
    lock.execute("BEGIN EXCLUSIVE")
    for number in range(30):
        writer.submit(row(str(number)))
    await until(lambda: not writer.healthy)
    assert writer.pending == 30
    assert writer.pending_generation("7") == row("7")
    # Reading goes on, so that keys can still be revoked.
    assert await writer.call(lambda store: store.generation("7", key_hash=None)) is None
    writer.submit(row("30"))
    lock.execute("ROLLBACK")
    await until(lambda: writer.pending == 0)
    assert (writer.healthy, writer.dropped) == (True, 0)
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "store refuses records",
        "store takes records again",
    ]
    assert missing(url, [str(number) for number in range(31)]) == []


async def test_what_waits_is_bounded(url: str, lock: sqlite3.Connection) -> None:
    writer = Writer(SqlStore.open(url, busy_timeout_ms=0), rows_max=3)
    lock.execute("BEGIN EXCLUSIVE")
    for number in range(5):
        writer.submit(row(str(number)))
    assert (writer.pending, writer.dropped) == (3, 2)
    lock.execute("ROLLBACK")
    await writer.close()
    assert missing(url, [str(number) for number in range(5)]) == ["3", "4"]


async def test_an_unfit_row_is_dropped_alone(
    writer: Writer, url: str, caplog: pytest.LogCaptureFixture, until: Until
) -> None:
    for number in range(40):
        writer.submit(row(str(number), prompt_tokens=2**70 if number == 17 else 1))
    await until(lambda: writer.pending == 0)
    assert (writer.dropped, writer.healthy) == (1, True)
    assert missing(url, [str(number) for number in range(40)]) == ["17"]
    assert caplog.messages == ["generation record unfit for the store: OverflowError"]


async def test_a_call_raises_what_its_function_raises(writer: Writer) -> None:
    def fail(store: SqlStore) -> None:
        raise KeyError("missing")

    with pytest.raises(KeyError, match="missing"):
        await writer.call(fail)
    assert await writer.call(lambda store: 7) == 7


async def test_a_cancelled_call_harms_nobody(writer: Writer, until: Until) -> None:
    entered, leave = threading.Event(), threading.Event()

    def slow(store: SqlStore) -> str:
        entered.set()
        leave.wait(5)
        return "done"

    first = asyncio.create_task(writer.call(slow))
    await until(entered.is_set)
    first.cancel()
    second = asyncio.create_task(writer.call(lambda store: "next"))
    leave.set()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second == "next"


def test_a_loop_that_is_gone_harms_nobody(url: str) -> None:
    leave, ran = threading.Event(), threading.Event()

    def slow(store: SqlStore) -> None:
        leave.wait(5)
        ran.set()

    async def hurry() -> Writer:
        writer = Writer.open(url)
        asyncio.create_task(writer.call(slow)).cancel()
        task = asyncio.create_task(writer.call(slow))
        await asyncio.sleep(0)
        task.cancel()
        return writer

    writer = asyncio.run(hurry())
    leave.set()
    assert ran.wait(5)
    asyncio.run(writer.close())
    assert not writer._thread.is_alive()


async def test_closing_commits_what_is_left(url: str) -> None:
    writer = Writer.open(url)
    for number in range(2 * BATCH_ROWS_MAX):
        writer.submit(row(str(number)))
    call = asyncio.create_task(writer.call(lambda store: "answered"))
    await asyncio.sleep(0)
    await writer.close()
    assert await call == "answered"
    assert (writer.pending, writer.dropped) == (0, 0)
    assert missing(url, [str(number) for number in range(2 * BATCH_ROWS_MAX)]) == []


async def test_after_the_end_nothing_is_taken(url: str) -> None:
    writer = Writer.open(url)
    await writer.close()
    await writer.close()
    writer.submit(row("late"))
    assert (writer.pending, writer.dropped, writer.healthy) == (0, 1, False)
    with pytest.raises(StoreUnavailable, match="closed"):
        await writer.call(SqlStore.keys)
    assert not writer._thread.is_alive()


async def test_the_end_does_not_wait_for_ever(
    url: str, lock: sqlite3.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    writer = Writer(SqlStore.open(url, busy_timeout_ms=0))
    lock.execute("BEGIN EXCLUSIVE")
    writer.submit(row("a"))
    async with asyncio.timeout(2):
        await writer.close(timeout_s=0.1)
    assert not writer._thread.is_alive()
    assert writer.dropped == 1
    assert caplog.records[-1].levelno == logging.ERROR
    assert caplog.messages[-1] == "store closed, generation records lost: 1"


async def test_calls_that_can_not_be_run_any_more_are_told(
    url: str, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    writer = Writer.open(url)
    entered, leave = threading.Event(), threading.Event()

    def slow(store: SqlStore) -> None:
        entered.set()
        leave.wait(5)

    first = asyncio.create_task(writer.call(slow))
    await until(entered.is_set)
    second = asyncio.create_task(writer.call(slow))
    await asyncio.sleep(0)
    closing = asyncio.create_task(writer.close(timeout_s=0.0))
    await asyncio.sleep(0)
    leave.set()
    await closing
    await first
    with pytest.raises(StoreUnavailable, match="closed"):
        await second


async def test_pauses_grow_to_a_limit(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(rows: list[Generation]) -> None:
        raise StoreUnavailable("disk full")

    monkeypatch.setattr(writer._store, "add_generations", refuse)
    monkeypatch.setattr(writer_module, "RETRY_S_MAX", 0.05)
    pauses = [0.0]
    await writer.call(SqlStore.keys)
    writer._rows.append(row("a"))  # the thread sleeps: these steps are taken by hand
    for _ in range(4):
        pauses.append(writer._commit(pauses[-1]))
    assert pauses[1:] == [0.04, 0.05, 0.05, 0.05]
    writer._rows.clear()


SUBMITS_UNTIL_KILLED = """
import asyncio, sys
from itertools import count
from proxy.stores.writer import Writer
from proxy.wire.record import Generation

async def main():
    writer = Writer.open(sys.argv[1])
    shown = 0
    for number in count():
        writer.submit(Generation(id=str(number), created_at=1.0))
        await asyncio.sleep(0.0002)
        while shown <= number and writer.pending_generation(str(shown)) is None:
            print(shown, flush=True)
            shown += 1

asyncio.run(main())
"""


def test_what_is_no_longer_pending_survives_a_kill(url: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SUBMITS_UNTIL_KILLED, url], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    acknowledged = [process.stdout.readline().strip() for _ in range(200)]
    process.kill()
    acknowledged += process.communicate(timeout=10)[0].split("\n")[:-1]
    assert process.returncode == -signal.SIGKILL
    assert missing(url, acknowledged) == []
