"""The store through its methods, on real files, with other connections beside it."""

import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from sqlalchemy.exc import IntegrityError

from proxy.accounts.keys import Key
from proxy.stores import sql
from proxy.stores.schema import StoreError, StoreUnavailable
from proxy.stores.sql import SqlStore
from proxy.wire.listing import Listing
from proxy.wire.record import Generation
from tests.stores.vault import unbilled

NewKey = Callable[..., Key]


def row(id: str, **fields: object) -> Generation:
    return msgspec.structs.replace(Generation(id=id, created_at=1_000.0), **fields)


def keep(store: SqlStore, rows: list[Generation]) -> None:
    store.ledger.settle([unbilled(row) for row in rows])


# Opening.


def test_without_create_a_missing_file_stays_missing(url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store at"):
        SqlStore.open(url, create=False)
    assert list(tmp_path.iterdir()) == []


def test_without_create_an_existing_store_opens(url: str, store: SqlStore) -> None:
    other = SqlStore.open(url, create=False)
    assert other.keys() == []
    other.close()


def test_another_kind_of_file_is_refused(url: str, tmp_path: Path) -> None:
    (tmp_path / "weir.db").write_text("These are the notes of somebody else. " * 40)
    with pytest.raises(StoreUnavailable, match="file is not a database"):
        SqlStore.open(url)


def test_a_file_that_another_start_has_locked_is_waited_for(url: str, tmp_path: Path) -> None:
    """Not in WAL yet, so that the change to it meets the lock."""
    first = sqlite3.connect(tmp_path / "weir.db", isolation_level=None, check_same_thread=False)
    first.execute("CREATE TABLE t (a)")
    first.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(0.15, lambda: first.execute("ROLLBACK"))
    release.start()
    store = SqlStore.open(url, busy_timeout_ms=0)
    release.join()
    assert store.keys() == []
    store.close()
    first.close()


def test_the_waiting_for_a_lock_ends(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "OPEN_TIMEOUT_S", 0.05)
    first = sqlite3.connect(tmp_path / "weir.db", isolation_level=None)
    first.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreUnavailable, match="database is locked"):
        SqlStore.open(url, busy_timeout_ms=0)
    first.close()


# Keys.


def test_keys_are_listed_oldest_first(store: SqlStore, new_key: NewKey) -> None:
    young, old = new_key("a"), msgspec.structs.replace(new_key("b"), created_at=1.0)
    store.add_key(young)
    store.add_key(old)
    assert store.keys() == [old, young]


def test_one_name_has_one_active_key(store: SqlStore, new_key: NewKey) -> None:
    store.add_key(new_key("app", hash="aa"))
    seq = store.changes_seq()
    with pytest.raises(StoreError, match="'app' is active already"):
        store.add_key(new_key("app", hash="bb"))
    assert (len(store.keys()), store.changes_seq()) == (1, seq)
    store.revoke_key("app", now=2_000.0)
    store.add_key(new_key("app", hash="bb"))
    assert len(store.keys()) == 2


KEYS = {"app": "12345678aa", "web": "12345678bb", "cafe0123": "ff", "eve": "cafe012345"}


@pytest.mark.parametrize(
    ("said", "revoked"),
    [
        ("app", "app"),
        ("12345678aa", "app"),
        ("12345678b", "web"),
        ("12345678bb".ljust(64, "0"), "web"),
        ("1234567", None),
        ("ff", None),
        ("12345678_", None),
        ("12345678%", None),
        ("", None),
        ("nobody", None),
    ],
)
def test_a_key_is_revoked_by_name_or_hash(
    store: SqlStore, new_key: NewKey, said: str, revoked: str | None
) -> None:
    for name, digits in KEYS.items():
        store.add_key(new_key(name, hash=digits))
    seq = store.changes_seq()
    key = store.revoke_key(said, now=2_000.0)
    assert (key and key.name) == revoked
    after = store.keys()
    assert [each for each in after if each.revoked_at == 2_000.0] == [key][: bool(revoked)]
    assert store.changes_seq() == seq + bool(revoked)
    assert store.revoke_key(said, now=3_000.0) is None


@pytest.mark.parametrize("said", ["12345678", "cafe0123"])
def test_what_may_be_several_keys_revokes_none(store: SqlStore, new_key: NewKey, said: str) -> None:
    for name, digits in KEYS.items():
        store.add_key(new_key(name, hash=digits))
    with pytest.raises(StoreError, match=r"may be any of .*, .*: give more of the hash"):
        store.revoke_key(said, now=2_000.0)
    after = store.keys()
    assert all(key.revoked_at is None for key in after)


def test_a_whole_hash_wins_over_a_name_that_looks_like_it(store: SqlStore, new_key: NewKey) -> None:
    whole = "ab" * 32
    store.add_key(new_key("real", hash=whole))
    store.add_key(new_key(whole, hash="cd"))
    revoked = store.revoke_key(whole, now=2_000.0)
    assert revoked is not None
    assert revoked.name == "real"


def test_a_key_belongs_to_an_account_that_is_there(store: SqlStore, new_key: NewKey) -> None:
    seq = store.changes_seq()
    with pytest.raises(StoreError, match="no account named 'us'"):
        store.add_key(new_key("app", account="us"))
    assert (store.keys(), store.changes_seq()) == ([], seq)
    store.ledger.create_account("us", at=1.0)
    store.add_key(new_key("app", account="us"))
    (key,) = store.keys()
    assert key.account == "us"


def test_a_key_is_disabled_and_enabled_again(store: SqlStore, new_key: NewKey) -> None:
    store.add_key(new_key("app", hash="12345678aa"))
    for said, disabled in (("app", True), ("12345678a", True), ("app", False)):
        seq = store.changes_seq()
        key = store.set_disabled(said, disabled)
        assert key is not None
        assert key.disabled == disabled
        assert (store.keys(), store.changes_seq()) == ([key], seq + 1)
    assert store.set_disabled("nobody", True) is None
    store.revoke_key("app", now=2.0)
    assert store.set_disabled("app", True) is None


def test_every_commit_moves_the_data_version_and_reading_does_not(
    url: str, store: SqlStore, new_key: NewKey
) -> None:
    other = SqlStore.open(url)
    versions = [store.data_version(), store.data_version()]
    assert versions[0] == versions[1]
    other.add_key(new_key("a"))
    versions.append(store.data_version())
    store.revoke_key("a", now=2.0)
    versions.append(store.data_version())
    other.keys()
    assert store.data_version() == versions[-1]
    assert len(set(versions)) == 3
    other.close()


# Generation records.


def test_a_record_is_kept_once(store: SqlStore) -> None:
    keep(store, [])
    keep(store, [row("a", model="first"), row("a", model="twice")])
    keep(store, [row("a", model="later"), row("b")])
    assert store.generation("a", key_hash=None) == row("a", model="first")
    assert store.generation("b", key_hash=None) == row("b")
    assert store.generation("c", key_hash=None) is None


def test_a_record_is_shown_to_its_own_account(store: SqlStore, new_key: NewKey) -> None:
    mine, ours = new_key("mine", account="us"), new_key("ours", account="us")
    theirs = new_key("theirs", account="them")
    for account in ("us", "them"):
        store.ledger.create_account(account, at=1.0)
    for key in (mine, ours, theirs):
        store.add_key(key)
    keep(store, [row("a", key_hash=mine.hash, account="us"), row("b", account="none")])
    shown = {
        name: store.generation("a", key_hash=hash) is not None
        for name, hash in {
            "mine": mine.hash,
            "ours": ours.hash,
            "theirs": theirs.hash,
            "unknown": "00",
            "any": None,
        }.items()
    }
    assert shown == {"mine": True, "ours": True, "theirs": False, "unknown": False, "any": True}
    assert store.generation("b", key_hash="00") is None


def test_one_unfit_record_keeps_its_whole_group_out(store: SqlStore) -> None:
    for unfit, error in (
        (row("x", model=None), IntegrityError),
        (row("x", prompt_tokens=2**70), OverflowError),
        (row("x", title="\ud800"), UnicodeEncodeError),
    ):
        with pytest.raises(error):
            keep(store, [row("a"), unfit])
        assert store.generation("a", key_hash=None) is None


def test_a_locked_database_is_told_as_such(url: str, tmp_path: Path) -> None:
    store = SqlStore.open(url, busy_timeout_ms=0)
    other = sqlite3.connect(tmp_path / "weir.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreUnavailable, match="database is locked"):
        keep(store, [row("a")])
    assert store.generation("a", key_hash=None) is None  # reading goes on
    other.close()
    keep(store, [row("a")])
    store.close()


def test_a_full_disk_is_told_as_such(store: SqlStore) -> None:
    def pages_max(pages: int) -> None:
        with store._database.posting() as run:
            run(f"PRAGMA max_page_count = {pages}")

    many = [row(str(number), title="x" * 1_000) for number in range(100)]
    pages_max(1)  # SQLite takes the present size where that is more
    with pytest.raises(StoreUnavailable, match="disk is full"):
        keep(store, many)
    assert store.usage(by="model") == []
    pages_max(1_000_000)
    keep(store, many)
    assert store.usage(by="model")[0].requests == 100


COMMITS_UNTIL_KILLED = """
import sys
from itertools import count
from proxy.accounts.ledger import Settlement
from proxy.stores.sql import SqlStore
from proxy.wire.record import Generation

store = SqlStore.open(sys.argv[1])
for number in count():
    group = [Generation(id=f"{number}-{i}", created_at=1.0) for i in range(3)]
    store.ledger.settle([Settlement(owner="a", generation=row) for row in group])
    for row in group:
        print(row.id, flush=True)
"""


def test_what_was_acknowledged_survives_a_kill(url: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", COMMITS_UNTIL_KILLED, url], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    acknowledged = [process.stdout.readline().strip() for _ in range(100)]
    process.kill()
    acknowledged += process.communicate(timeout=10)[0].split("\n")[:-1]
    assert process.returncode == -signal.SIGKILL
    store = SqlStore.open(url)
    assert [id for id in acknowledged if store.generation(id, key_hash=None) is None] == []
    groups = store.usage(by="model")[0].requests
    assert groups % 3 == 0  # none is there by halves
    store.close()


# Listings.


def test_a_list_replaces_the_one_before(store: SqlStore) -> None:
    assert store.listings() == {}
    store.put_listing("groq", [Listing(model="old")], fetched_at=1.0)
    store.put_listing("groq", [Listing(model="a"), Listing(model="b")], fetched_at=2.0)
    store.put_listing("xai", [], fetched_at=3.0)
    assert store.listings() == {
        "groq": (2.0, (Listing(model="a"), Listing(model="b"))),
        "xai": (3.0, ()),
    }


def test_a_list_that_can_not_be_read_hides_no_other(store: SqlStore) -> None:
    store.put_listing("groq", [Listing(model="a")], fetched_at=1.0)
    store.put_listing("xai", [], fetched_at=1.0)
    with store._writing() as connection:
        connection.exec_driver_sql("UPDATE listings SET body = '[7]' WHERE provider = 'xai'")
    assert list(store.listings()) == ["groq"]
