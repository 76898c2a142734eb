"""The model store passes the suite of all stores, and tells what a store need not tell."""

import pytest

from proxy.accounts.ledger import allowance_pot
from proxy.simulation.checks import Auditor
from proxy.simulation.vault import ModelVault
from tests.stores.vault import ACCOUNT, KEY, NOW, Bench, VaultSuite, settlement


def open_bench(vault: ModelVault) -> Bench:
    grants = iter(range(1_000))
    auditor = Auditor(vault, ())

    def differences() -> tuple[str, ...]:
        auditor.balance()
        return ()

    vault.create_account("default", NOW)
    return Bench(
        vault=vault,
        grant=lambda amount: vault.grant("default", amount, id=str(next(grants)), at=NOW),
        balance=lambda: vault.balance("default"),
        generation=vault.generation,
        differences=differences,
    )


@pytest.fixture
def bench() -> Bench:
    return open_bench(ModelVault())


class TestModelVault(VaultSuite):
    """All of it."""


def test_a_grant_is_given_once() -> None:
    vault = ModelVault()
    vault.create_account("default", NOW)
    for _ in range(2):
        assert vault.grant("default", 5, id="x", at=NOW).granted_nano == 5


def test_it_tells_who_came_late_and_who_overdrew() -> None:
    vault = ModelVault()
    bench = open_bench(vault)
    pot = allowance_pot(KEY, limit_nano=50, since=0)
    bench.grant(100)
    vault.settle([settlement("before", 1)])
    vault.open_owner("a", at=NOW)
    bench.resize("a", 10)
    bench.resize("a", 5, pot=pot)
    vault.settle([settlement("good", 5, pots=(ACCOUNT, pot))])
    assert (vault.late, vault.overdrawn) == ({"before"}, [])
    vault.settle([settlement("more", 20, pots=(ACCOUNT, pot))])
    assert vault.overdrawn == ["more", "more"]  # of the account, and of the allowance
    assert bench.sums() == (26, 74, 0)
