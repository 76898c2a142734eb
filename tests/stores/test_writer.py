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

import msgspec
import pytest

from proxy.accounts.ledger import Settlement
from proxy.stores import writer as writer_module
from proxy.stores.schema import StoreUnavailable
from proxy.stores.sql import SqlStore
from proxy.stores.writer import BATCH_ROWS_MAX, Writer
from proxy.wire.record import Generation

Until = Callable[..., Awaitable[None]]


def row(id: str, prompt_tokens: int = 0) -> Settlement:
    generation = Generation(id=id, created_at=1.0, prompt_tokens=prompt_tokens)
    return Settlement(owner="a", generation=generation)


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
    assert (writer.pending, writer.pending_generation("a")) == (1, row("a").generation)
    await until(lambda: writer.pending == 0, timeout_s=4.0)
    assert writer.pending_generation("a") is None
    assert missing(url, ["a"]) == []


async def test_a_call_sees_the_rows_before_it(writer: Writer) -> None:
    for id in map(str, range(20)):
        writer.submit(row(id))
        find = partial(SqlStore.generation, id=id, key_hash=None)
        assert await writer.call(find) == row(id).generation


async def test_rows_go_in_groups(
    writer: Writer, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    sizes: list[int] = []
    add = writer._store.ledger.settle

    def count(rows: list[Settlement]) -> None:
        sizes.append(len(rows))
        add(rows)

    monkeypatch.setattr(writer._store.ledger, "settle", count)
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
    assert writer.pending_generation("7") == row("7").generation
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
    assert caplog.messages == ["settlement unfit for the store: OverflowError"]


# Who waits.


async def test_a_settlement_is_durable_when_its_future_is_done(
    writer: Writer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "GATHER_S", 60.0)
    await writer.settle(row("0"))  # the pause that was under way is cut short
    writer.submit(row("1"))
    for id in map(str, range(2, 10)):
        await writer.settle(row(id))
        assert writer.pending_generation(id) is None
        assert missing(url, [id]) == []
    assert missing(url, ["0", "1"]) == []


async def test_those_who_wait_go_in_groups_and_are_called_once(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    done = writer._done

    def count(batch: list[Settlement], error: Exception | None) -> None:
        sizes.append(len(batch))
        done(batch, error)

    monkeypatch.setattr(writer, "_done", count)
    futures = [writer.settle(row(str(number))) for number in range(300)]
    await asyncio.gather(*futures)
    assert sum(sizes) == 300
    assert len(sizes) <= 20


async def test_all_who_wait_for_one_generation_are_told(writer: Writer, url: str) -> None:
    writer.submit(row("a"))
    first, second = writer.settle(row("a")), writer.settle(row("a"))
    third = asyncio.create_task(asyncio.wait_for(writer.settle(row("b")), 5))
    await asyncio.sleep(0)
    third.cancel()
    first.cancel()
    await second
    with pytest.raises(asyncio.CancelledError):
        await third
    await writer.call(SqlStore.keys)
    assert (writer.pending, writer._waiting) == (0, {})
    assert missing(url, ["a", "b"]) == []


async def test_who_waits_while_the_database_refuses_goes_on_waiting(
    writer: Writer, url: str, lock: sqlite3.Connection, until: Until
) -> None:
    lock.execute("BEGIN EXCLUSIVE")
    first = writer.settle(row("a"))
    await until(lambda: not writer.healthy)
    second = writer.settle(row("b"))
    assert (first.done(), second.done(), writer.pending) == (False, False, 2)
    lock.execute("ROLLBACK")
    await asyncio.gather(first, second)
    await until(lambda: writer.healthy)
    assert missing(url, ["a", "b"]) == []


async def test_an_unfit_settlement_fails_alone(writer: Writer, url: str) -> None:
    rows = [row(str(number), prompt_tokens=2**70 if number == 5 else 1) for number in range(9)]
    ends = await asyncio.gather(*map(writer.settle, rows), return_exceptions=True)
    assert [type(end).__name__ for end in ends if end is not None] == ["OverflowError"]
    assert missing(url, [str(number) for number in range(9)]) == ["5"]
    negative = msgspec.structs.replace(row("n"), charge_nano=-1)
    with pytest.raises(ValueError, match="negative"):
        await writer.settle(negative)


async def test_too_many_or_too_late_is_told_at_once(url: str, lock: sqlite3.Connection) -> None:
    writer = Writer(SqlStore.open(url, busy_timeout_ms=0), rows_max=2)
    lock.execute("BEGIN EXCLUSIVE")
    kept = [writer.settle(row("a")), writer.settle(row("b"))]
    with pytest.raises(StoreUnavailable, match="takes no more"):
        await writer.settle(row("c"))
    await writer.close(timeout_s=0.0)
    for future in kept:
        with pytest.raises(StoreUnavailable, match="closed"):
            await future
    with pytest.raises(StoreUnavailable, match="takes no more"):
        await writer.settle(row("d"))
    assert (writer.pending, writer.dropped) == (0, 4)


# Checkpoints.


@pytest.fixture
def noted(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> list[Settlement]:
    """All checkpoints that came to the store, in their order."""
    seen: list[Settlement] = []
    checkpoint = writer._store.ledger.checkpoint

    def see(settlements: list[Settlement]) -> None:
        checkpoint(settlements)
        seen.extend(settlements)

    monkeypatch.setattr(writer._store.ledger, "checkpoint", see)
    return seen


async def test_only_the_last_checkpoint_of_each_is_noted(
    writer: Writer, noted: list[Settlement], until: Until
) -> None:
    for tokens in range(5):
        writer.checkpoint(row("a", tokens))
        writer.checkpoint(row("b", tokens))
    await until(lambda: len(noted) == 2)
    assert sorted(noted, key=lambda one: one.generation.id) == [row("a", 4), row("b", 4)]
    writer.checkpoint(row("a", 5))
    await until(lambda: len(noted) == 3)
    assert (writer.pending, writer.pending_generation("a")) == (0, None)


async def test_the_end_of_a_generation_makes_its_checkpoint_void(
    writer: Writer, noted: list[Settlement]
) -> None:
    for end in (writer.submit, writer.settle):
        writer.checkpoint(row("a"))
        end(row("a"))
        writer.checkpoint(row("a"))
        await writer.call(SqlStore.keys)
        await writer.call(SqlStore.keys)
    assert noted == []
    await writer.close()
    writer.checkpoint(row("b"))
    assert writer._notes == {}


async def test_checkpoints_wait_for_the_database_and_show_its_health(
    writer: Writer, noted: list[Settlement], lock: sqlite3.Connection, until: Until
) -> None:
    lock.execute("BEGIN EXCLUSIVE")
    writer.checkpoint(row("a", 1))
    await writer.call(lambda store: store.ledger.open_owner)  # the store works on it
    await until(lambda: not writer.healthy)
    writer.checkpoint(row("a", 2))
    writer.checkpoint(row("b", 1))
    lock.execute("ROLLBACK")
    await until(lambda: writer.healthy and len(noted) >= 2)
    assert noted[-2:] == [row("b", 1), row("a", 2)] or noted[-2:] == [row("a", 2), row("b", 1)]


async def test_an_unfit_checkpoint_is_left_out_alone(
    writer: Writer, caplog: pytest.LogCaptureFixture, noted: list[Settlement], until: Until
) -> None:
    unfit = Generation(id="x", created_at=1.0, title="\ud800")
    writer.checkpoint(row("a"))
    writer.checkpoint(Settlement(owner="a", generation=unfit))
    writer.checkpoint(row("b"))
    await until(lambda: len(noted) == 2)
    assert {one.generation.id for one in noted} == {"a", "b"}
    assert caplog.messages == ["checkpoint unfit for the store: UnicodeEncodeError"]


async def test_checkpoints_are_bounded(url: str, lock: sqlite3.Connection) -> None:
    writer = Writer(SqlStore.open(url, busy_timeout_ms=0), rows_max=2)
    lock.execute("BEGIN EXCLUSIVE")
    for id in ("a", "b", "c", "a"):
        writer.checkpoint(row(id, len(id)))
    assert writer._notes.keys() <= {"a", "b"}
    await writer.close(timeout_s=0.0)


# Calls.


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
        leave.wait(20)
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
        leave.wait(20)
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
    async with asyncio.timeout(20):
        await writer.close(timeout_s=0.1)
    assert not writer._thread.is_alive()
    assert writer.dropped == 1
    assert caplog.records[-1].levelno == logging.ERROR
    assert caplog.messages[-1] == "store closed, settlements lost: 1"


async def test_calls_that_can_not_be_run_any_more_are_told(
    url: str, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    writer = Writer.open(url)
    entered, leave = threading.Event(), threading.Event()

    def slow(store: SqlStore) -> None:
        entered.set()
        leave.wait(20)

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
    def refuse(rows: list[Settlement]) -> None:
        raise StoreUnavailable("disk full")

    monkeypatch.setattr(writer._store.ledger, "settle", refuse)
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
from proxy.accounts.ledger import Settlement
from proxy.stores.writer import Writer
from proxy.wire.record import Generation

async def main():
    writer = Writer.open(sys.argv[1])
    shown = 0
    for number in count():
        row = Generation(id=str(number), created_at=1.0)
        writer.submit(Settlement(owner="a", generation=row))
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
