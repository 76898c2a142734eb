"""The keyring follows the database, and survives its faults."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from proxy.accounts.keys import Key
from proxy.stores.memory import CHANGES_POLL_S, Keyring
from proxy.stores.schema import StoreUnavailable
from proxy.stores.sql import SqlStore
from proxy.stores.writer import Writer
from proxy.wire.record import Generation
from tests.stores.vault import unbilled

NewKey = Callable[..., Key]
Until = Callable[..., Awaitable[None]]
POLL_S = 0.01


def revoked(keyring: Keyring, hash: str) -> bool:
    key = keyring.find(hash)
    return key is not None and key.revoked_at is not None


async def test_what_another_process_changes_is_honoured_within_a_second(
    writer: Writer, url: str, store: SqlStore, new_key: NewKey, until: Until
) -> None:
    keyring, key = Keyring(), new_key("app")
    store.add_key(key)
    await keyring.start(writer)
    assert keyring.find(key.hash) == key
    assert keyring.find("ff") is None
    program = (
        "import sys; from proxy.stores.sql import SqlStore; store = SqlStore.open(sys.argv[1]);"
        "store.revoke_key('app', now=2.0); store.close()"
    )
    await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program, url], check=True, timeout=30
    )
    await until(lambda: revoked(keyring, key.hash), timeout_s=1.0)
    store.add_key(new_key("new"))
    await until(lambda: keyring.find(new_key("new").hash) is not None, timeout_s=1.0)
    await keyring.stop()
    assert CHANGES_POLL_S <= 0.25


async def test_what_this_process_changes_is_honoured_too(
    writer: Writer, new_key: NewKey, until: Until
) -> None:
    keyring, key = Keyring(poll_s=POLL_S), new_key("app")
    await keyring.start(writer)
    await writer.call(lambda store: store.add_key(key))
    await until(lambda: keyring.find(key.hash) == key)
    await writer.call(lambda store: store.revoke_key("app", now=2.0))
    await until(lambda: revoked(keyring, key.hash))
    await keyring.stop()


async def test_grants_are_known_soon(writer: Writer, store: SqlStore, until: Until) -> None:
    keyring = Keyring(poll_s=POLL_S)
    await keyring.start(writer)
    assert keyring.granted("default") == 0
    for id, nano in (("a", 5), ("b", 7), ("c", -4)):
        store.ledger.grant("default", nano, id=id, at=1.0)
    await until(lambda: keyring.granted("default") == 12)
    await keyring.stop()


async def test_keys_are_read_again_only_when_they_changed(
    writer: Writer, store: SqlStore, new_key: NewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("data_version", "changes_seq", "keys"):
        method = getattr(SqlStore, name)

        def counted(
            self: SqlStore, *, name: str = name, method: Callable[[SqlStore], object] = method
        ) -> object:
            calls.append(name)
            return method(self)

        monkeypatch.setattr(SqlStore, name, counted)
    keyring = Keyring(poll_s=60.0)
    await keyring.start(writer)
    assert calls == ["data_version", "changes_seq", "keys"]
    calls.clear()
    await keyring.refresh(writer)
    assert calls == ["data_version"]
    calls.clear()
    store.ledger.settle([unbilled(Generation(id="a", created_at=1.0))])
    await keyring.refresh(writer)
    assert calls == ["data_version", "changes_seq"]
    calls.clear()
    store.add_key(new_key("app"))
    await keyring.refresh(writer)
    assert calls == ["data_version", "changes_seq", "keys"]
    await keyring.stop()


async def test_a_fault_of_the_store_keeps_what_is_known(
    writer: Writer,
    store: SqlStore,
    new_key: NewKey,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    until: Until,
) -> None:
    faults: list[StoreUnavailable] = []

    def fail(self: SqlStore) -> int:
        faults.append(StoreUnavailable("disk I/O error"))
        raise faults[-1]

    keyring, key = Keyring(poll_s=POLL_S), new_key("app")
    store.add_key(key)
    await keyring.start(writer)
    with monkeypatch.context() as patch:
        patch.setattr(SqlStore, "data_version", fail)
        await until(lambda: len(faults) > 2)
        seen_healthy = [keyring.healthy]
        assert keyring.find(key.hash) == key
        store.revoke_key("app", now=2.0)
    await until(lambda: revoked(keyring, key.hash))
    seen_healthy.append(keyring.healthy)
    assert seen_healthy == [False, True]
    assert caplog.messages == ["keys can not be read, the last known stay: disk I/O error"]
    await keyring.stop()


@pytest.mark.parametrize("by", ["nothing", "another store", "rubbish", "a directory"])
async def test_a_store_file_that_is_gone_or_another_is_noticed(
    writer: Writer,
    store: SqlStore,
    new_key: NewKey,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    until: Until,
    by: str,
) -> None:
    """What stood there comes back at the end: the file that is open can be followed again."""
    path, aside = tmp_path / "weir.db", tmp_path / "aside.db"
    keyring, key = Keyring(poll_s=POLL_S), new_key("app")
    store.add_key(key)
    await keyring.start(writer)
    path.rename(aside)
    if by == "another store":
        other = SqlStore.open(f"sqlite:///{tmp_path / 'other.db'}")
        other.add_key(new_key("other"))
        other.close()
        (tmp_path / "other.db").rename(path)
    elif by == "rubbish":
        path.write_bytes(b"rubbish")
    elif by == "a directory":
        path.mkdir()
    await until(lambda: not keyring.healthy)
    await asyncio.sleep(5 * POLL_S)
    assert keyring.find(key.hash) == key
    assert keyring.find(new_key("other").hash) is None
    (line,) = caplog.messages
    assert line.startswith("keys can not be read, the last known stay: The store ")
    assert line.endswith("was deleted or replaced; only a restart opens the new one.")
    if by == "a directory":
        path.rmdir()
    aside.rename(path)
    await until(lambda: keyring.healthy)
    await keyring.stop()


async def test_the_first_load_must_succeed(writer: Writer) -> None:
    await writer.close()
    keyring = Keyring()
    with pytest.raises(StoreUnavailable):
        await keyring.start(writer)
    await keyring.stop()


async def test_stopping_ends_the_task_and_may_be_repeated(writer: Writer) -> None:
    keyring, before = Keyring(poll_s=POLL_S), asyncio.all_tasks()
    await keyring.start(writer)
    assert len(asyncio.all_tasks() - before) == 1
    await keyring.stop()
    await keyring.stop()
    assert asyncio.all_tasks() == before
