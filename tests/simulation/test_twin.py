"""Two stores as one: the simulated house runs on the real ledger, and a difference is noticed."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from proxy.accounts.ledger import Fenced, Settlement, account_pot, allowance_pot
from proxy.simulation.campaign import replay
from proxy.simulation.checks import Broken
from proxy.simulation.twin import Twin
from proxy.simulation.vault import ModelVault
from proxy.stores.sql import SqlStore
from proxy.wire.record import Generation
from tests.stores.vault import ACCOUNT, NOW


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("template") / "weir.db"
    SqlStore.open(f"sqlite:///{path}").close()
    return path.read_bytes()


@pytest.fixture
def opened(tmp_path: Path, template: bytes) -> Callable[[], SqlStore]:
    def make() -> SqlStore:
        (tmp_path / "weir.db").write_bytes(template)
        return SqlStore.open(f"sqlite:///{tmp_path / 'weir.db'}")

    return make


def test_both_are_asked_and_both_must_agree(opened: Callable[[], SqlStore]) -> None:
    store, model = opened(), ModelVault()
    twin = Twin(model, store.ledger)
    with pytest.raises(AttributeError):
        twin.colour  # noqa: B018
    twin.create_account("sim", NOW)
    with pytest.raises(Fenced):
        twin.beat("a")
    twin.open_owner("a", at=NOW)
    assert twin.beat("a") == {"a": 1}
    model.beat("a")
    with pytest.raises(Broken, match="the stores agree: beat"):
        twin.beat("a")
    model.open_owner("b", at=NOW)
    with pytest.raises(Broken, match="the stores agree: recall"):
        twin.recall("b", ACCOUNT.name)
    store.close()


@pytest.mark.parametrize("seed", [1, 5, 7])
def test_the_house_stands_on_the_real_ledger(seed: int, opened: Callable[[], SqlStore]) -> None:
    store = opened()
    assert replay(seed, ledger=store.ledger).failure is None
    assert store.ledger.verify().transfers > 3
    store.close()


def test_the_real_ledger_is_audited_as_well(
    opened: Callable[[], SqlStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened()
    monkeypatch.setattr("proxy.simulation.world.Twin", lambda model, ledger: model)
    store.ledger.create_account("sim", NOW)
    store.ledger.grant("sim", 5, id="x", at=NOW)
    with store.ledger._writing() as connection:
        connection.exec_driver_sql("UPDATE pots SET available_nano = 4")
    failure = replay(1, ledger=store.ledger).failure
    assert failure is not None
    assert "right by itself" in failure.reason
    store.close()


# Any calls at all, reasonable or not.

DAY = 86_400
AT = 100.5 * DAY
OWNERS = ("a", "b", "c")
CREDIT = account_pot("default")
KEY = "ab" * 32
POTS = (
    CREDIT,
    allowance_pot(KEY, limit_nano=900, since=100 * DAY),
    allowance_pot(KEY, limit_nano=3_000, since=0),
)


def call(rng: Random, step: int) -> Callable[[Any], object]:
    """Some call, reasonable or not; the same for whoever gets it."""
    owner, pot = rng.choice(OWNERS), rng.choice(POTS)
    keep, least, more = (rng.randrange(400) for _ in range(3))
    batch = [settlement(rng, f"{step - rng.randrange(3)}-{n}") for n in range(rng.randrange(4))]
    amount = rng.randrange(1, 1_000)
    calls: list[Callable[[Any], object]] = [
        lambda vault: vault.grant("default", amount, id=f"{step}", at=AT),
        lambda vault: vault.open_owner(owner, at=AT),
        lambda vault: vault.close_owner(owner, at=AT),
        lambda vault: vault.beat(owner),
        lambda vault: vault.recall(owner, pot.name),
        lambda vault: vault.recalled(owner),
        lambda vault: vault.checkpoint(batch),
        lambda vault: vault.settle(batch),
        lambda vault: vault.resize(
            owner, pot, keep_nano=keep, least_nano=least, want_nano=least + more, at=AT
        ),
        lambda vault: vault.resize(owner, pot, keep_nano=0, least_nano=0, want_nano=0, at=AT),
    ]
    return rng.choices(calls, (3, 2, 1, 1, 2, 2, 3, 6, 8, 2))[0]


def settlement(rng: Random, id: str) -> Settlement:
    charge, house = rng.choice((0, 5, 60, 400)), rng.choice((0, 0, 3))
    pots = rng.choice(((CREDIT,), (CREDIT,), (CREDIT, POTS[1]), (POTS[2],), ()))
    row = Generation(
        id=id,
        created_at=AT + rng.choice((-2 * DAY, 0, 5)),
        key_hash=KEY,
        cost_nano=charge,
        house_nano=house,
    )
    return Settlement(
        owner=rng.choice(OWNERS),
        generation=row,
        charge_nano=charge,
        house_nano=house,
        pots=tuple(pot.name for pot in pots),
    )


def answer(vault: Any, what: Callable[[Any], object]) -> object:
    try:
        return what(vault)
    except Fenced:
        return "fenced"


@pytest.mark.parametrize("seed", range(12))
def test_the_two_stores_agree(seed: int, opened: Callable[[], SqlStore]) -> None:
    rng, store = Random(seed), opened()
    model, ledger = ModelVault(), store.ledger
    model.create_account("default", AT)
    if ledger.accounts() == []:
        ledger.create_account("default", AT)
    for step in range(120):
        what = call(rng, step)
        assert answer(ledger, what) == answer(model, what), step
        assert _known(ledger) == _known(model), step
    assert ledger.verify().differences == ()
    for id, one in model.settled.items():
        assert store.generation(id, key_hash=None) == one.generation
    for owner in OWNERS:
        for vault in (model, ledger):
            vault.close_owner(owner, at=AT)
    assert _known(ledger) == _known(model)
    assert ledger.verify().differences == ()
    store.close()


def _known(vault: Any) -> object:
    return vault.balance("default")
