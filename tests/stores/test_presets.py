"""Presets in the database: versions that are added, and what running gateways hold of them."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.stores import presets
from proxy.stores.memory import Keyring
from proxy.stores.presets import Held
from proxy.stores.schema import StoreError
from proxy.stores.sql import SqlStore
from proxy.stores.writer import Writer
from proxy.wire.presets import Draft, Preset

ONE, TWO = Draft(config=b'{"seed":1}'), Draft(config=b'{"seed":2}', system_prompt="Be kind.")


def add(
    store: SqlStore, slug: str, draft: Draft = ONE, account: str = "default", now: float = 1.0
) -> Preset:
    return store.presets.add(account, slug, draft, creator="ab", now=now)


def test_the_newest_version_counts(store: SqlStore) -> None:
    first = add(store, "one")
    second = add(store, "one", TWO, now=2.0)
    assert (first.newest.version, first.newest.draft, first.created_at) == (1, ONE, 1.0)
    assert (second.newest.version, second.newest.draft, second.created_at) == (2, TWO, 1.0)
    assert store.presets.find("default", "one") == second
    assert store.presets.find("default", "two") is None
    assert store.presets.held({}) == {("default", "one"): Held(2, TWO)}


def test_versions_stay_what_they_were(store: SqlStore) -> None:
    made = [add(store, "one", draft, now=at).newest for draft, at in ((ONE, 1.0), (TWO, 2.0))]
    add(store, "two")
    assert store.presets.versions("default", "one", offset=0, limit=9) == (made, 2)
    assert store.presets.versions("default", "one", offset=1, limit=1) == (made[1:], 2)
    assert store.presets.versions("default", "three", offset=0, limit=9) == ([], 0)
    assert [store.presets.version("default", "one", n) for n in (1, 2, 3)] == [*made, None]


def test_presets_are_their_account_s(store: SqlStore) -> None:
    mine, theirs = add(store, "one"), add(store, "one", TWO, account="team")
    assert store.presets.find("team", "one") == theirs
    assert store.presets.page("default", offset=0, limit=9) == ([mine], 1)
    assert store.presets.versions("team", "one", offset=0, limit=9) == ([theirs.newest], 1)
    assert store.presets.version("nobody", "one", 1) is None


def test_presets_are_listed_by_their_last_change(store: SqlStore) -> None:
    add(store, "old", now=1.0)
    older, newer = add(store, "b", now=2.0), add(store, "a", now=2.0)
    newest = add(store, "old", TWO, now=3.0)
    assert store.presets.page("default", offset=0, limit=9) == ([newest, newer, older], 3)
    assert store.presets.page("default", offset=1, limit=1) == ([newer], 3)


def test_there_are_not_too_many(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets, "PRESETS_MAX", 2)
    monkeypatch.setattr(presets, "VERSIONS_MAX", 2)
    for slug, draft in (("one", ONE), ("two", ONE), ("one", TWO)):
        add(store, slug, draft)
    with pytest.raises(StoreError, match="at most 2 presets"):
        add(store, "three")
    with pytest.raises(StoreError, match="at most 2 versions"):
        add(store, "one")
    add(store, "three", account="team")
    assert len(store.presets.held({})) == 3


def test_what_a_preset_says_already_is_no_new_version(store: SqlStore) -> None:
    first = add(store, "one", TWO)
    seq = store.changes_seq()
    assert add(store, "one", TWO, now=2.0) == first
    assert store.changes_seq() == seq
    assert add(store, "one", ONE, now=3.0).newest.version == 2
    assert add(store, "one", TWO, now=4.0).newest.version == 3


def test_all_of_an_account_s_presets_together_have_a_limit(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presets, "CHARACTERS_MAX", 2 * TWO.size_bytes + len(ONE.config) - 1)
    add(store, "one", TWO)
    add(store, "one", ONE)
    for slug in ("one", "two"):
        with pytest.raises(StoreError, match="characters in all"):
            add(store, slug, TWO)
    assert add(store, "one", TWO, account="team").newest.version == 1


def test_only_what_is_new_is_read(store: SqlStore) -> None:
    add(store, "one")
    add(store, "two", TWO)
    known = {("default", "one"): Held(1, TWO), ("default", "gone"): Held(1, ONE)}
    held = store.presets.held(known)
    assert held == {("default", "one"): Held(1, TWO), ("default", "two"): Held(1, TWO)}
    add(store, "one", TWO)
    assert store.presets.held(held)["default", "one"] == Held(2, TWO)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(prompt=st.text(min_size=1))
def test_any_text_is_kept(store: SqlStore, prompt: str) -> None:
    made = add(store, "one", Draft(config=b"{}", system_prompt=prompt))
    assert store.presets.find("default", "one") == made


def test_a_new_version_is_told(store: SqlStore) -> None:
    before = store.changes_seq()
    add(store, "one")
    assert store.changes_seq() == before + 1


async def test_gateways_go_by_the_newest_version(writer: Writer, store: SqlStore) -> None:
    keyring = Keyring(poll_s=60.0)
    await keyring.start(writer)
    assert keyring.preset("default", "one") is None
    add(store, "one")
    await keyring.refresh(writer)
    assert keyring.preset("default", "one") == ONE
    add(store, "one", TWO)
    assert keyring.preset("default", "one") == ONE
    await keyring.refresh(writer)
    assert keyring.preset("default", "one") == TWO
    assert keyring.preset("team", "one") is None
    await keyring.stop()
