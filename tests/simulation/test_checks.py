"""The auditor notices each thing that can be wrong with a vault, and nothing else."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.accounts.keys import Key
from proxy.accounts.ledger import Pot, Settlement, allowance_pot
from proxy.accounts.purse import Purse
from proxy.simulation.checks import Auditor, Broken
from proxy.simulation.vault import ModelVault, Transfer
from tests.stores.vault import ACCOUNT, KEY, NOW, settlement

ALLOWANCE = allowance_pot(KEY, limit_nano=50, since=0)
LIMITED = Key(hash=KEY, name="k", label="", created_at=0.0, limit_nano=50)


def held(id: str, charge: int, **more: Any) -> Settlement:
    one = settlement(id, charge, **more)
    return replace(one, generation=replace(one.generation, held_nano=charge))


def made() -> tuple[ModelVault, Auditor]:
    vault = ModelVault()
    auditor = Auditor(vault, [LIMITED])
    vault.create_account("default", NOW)
    vault.grant("default", 1_000, id="g", at=NOW)
    vault.open_owner("a", at=NOW)
    for pot in (ACCOUNT, ALLOWANCE):
        vault.resize("a", pot, keep_nano=0, least_nano=40, want_nano=40, at=NOW)
    vault.settle([held("x", 10, pots=(ACCOUNT, ALLOWANCE)), held("u", 3, pots=(), house=2)])
    auditor.step()
    return vault, auditor


def test_a_good_vault_is_good_to_its_end() -> None:
    vault, auditor = made()
    vault.settle([held("y", 10)])
    auditor.step()
    vault.close_owner("a", at=NOW)
    vault.settle([held("late", 45, pots=(ACCOUNT, ALLOWANCE))])  # beyond the limit: it is excused
    auditor.step()


WRONG: dict[str, Callable[[ModelVault], object]] = {
    "moves an amount": lambda vault: vault.transfers.append(Transfer("t", "x", "y", 0)),
    "charged once": lambda vault: vault.transfers.append(
        Transfer("x", "house:unbilled", "house:charges", 10)
    ),
    "no settlement disappears": lambda vault: vault.settled.popitem(),
    "no larger than its hold": lambda vault: vault.settle([settlement("z", 20)]),
    "settled is what is charged": lambda vault: vault.transfers.append(
        Transfer("t", "house:unbilled", "house:charges", 10)
    ),
    "has leased what it charges": lambda vault: vault.settle([held("z", 100)]),
    "limit holds": lambda vault: vault.settle(
        [held("y", 30, pots=(ACCOUNT, ALLOWANCE)), held("z", 20, pots=(ALLOWANCE,))]
    ),
    "no balance is below zero": lambda vault: vault.transfers.append(
        Transfer("t", "nobody", "somebody", 10)
    ),
    "a pot is its entries": lambda vault: vault.credit.update({ACCOUNT.name: 1}),
    "that is gone is empty": lambda vault: vault.leases.clear(),
    "no more is settled": lambda vault: setattr(
        vault.leases["a", ALLOWANCE.name], "settled_nano", 500
    ),
    "a lease is its entries": lambda vault: setattr(
        vault.leases["a", ACCOUNT.name], "amount_nano", 500
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_noticed(what: str) -> None:
    vault, auditor = made()
    WRONG[what](vault)
    if what == "limit holds":
        vault.overdrawn.clear()
    with pytest.raises(Broken, match=what):
        auditor.step()


def purse(pot: Pot, *, amount: int, spent: int, held: int, known: bool = True) -> Any:
    one = Purse(pot)
    one.amount_nano, one.spent_nano, one.held_nano = amount, spent, held
    return SimpleNamespace(
        known=known,
        held_nano=held,
        spent_nano=spent,
        amount_nano=amount,
        bound_nano=one.bound_nano,
    )


@pytest.mark.parametrize(
    ("owner", "amounts", "what"),
    [
        ("a", {"amount": 40, "spent": 10, "held": 30}, None),
        ("a", {"amount": 20, "spent": 10, "held": 0}, None),
        ("a", {"amount": 40, "spent": 10, "held": -1}, "no hold below zero"),
        ("a", {"amount": 40, "spent": 10, "held": 31}, "within the purse"),
        ("a", {"amount": 41, "spent": 10, "held": 0}, "a purse is leased"),
        ("a", {"amount": 40, "spent": 9, "held": 0}, "what the process knows"),
        ("a", {"amount": 0, "spent": 0, "held": 0, "known": False}, None),
        ("fenced", {"amount": 99, "spent": 0, "held": 99}, None),
    ],
)
def test_purses_are_held_against_leases(
    owner: str, amounts: dict[str, Any], what: str | None
) -> None:
    _, auditor = made()
    treasury: Any = SimpleNamespace(owner=owner, _purses={ACCOUNT.name: purse(ACCOUNT, **amounts)})
    if what is None:
        auditor.compare_purses(treasury)
        return
    with pytest.raises(Broken, match=what):
        auditor.compare_purses(treasury)
