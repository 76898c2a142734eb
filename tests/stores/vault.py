"""What every store of the ledger must do, whatever it is made of: one suite for all of them.

A subclass of `VaultSuite` gives a fresh store by its fixture `bench`, and pytest runs all of it.
"""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from proxy.accounts.ledger import (
    Balance,
    Fenced,
    Lease,
    Pot,
    Settlement,
    Vault,
    account_pot,
    allowance_pot,
)
from proxy.wire.record import Generation

DAY = 86_400
NOW = 100.5 * DAY
ACCOUNT = account_pot("default")
KEY = "ab" * 32


class Bench(NamedTuple):
    """A fresh store with an account `default` without credit, and ways to look into it.
    `differences` derives everything from the rows; `grant` gives credit to `default`.
    """

    vault: Vault
    grant: Callable[[int], object]
    balance: Callable[[], Balance]
    generation: Callable[[str], Generation | None]
    differences: Callable[[], tuple[str, ...]]

    def resize(
        self, owner: str, least: int, want: int | None = None, *, keep: int = 0, pot: Pot = ACCOUNT
    ) -> Lease:
        return self.vault.resize(
            owner,
            pot,
            keep_nano=keep,
            least_nano=least,
            want_nano=least if want is None else want,
            at=NOW,
        )

    def sums(self) -> tuple[int, int, int]:
        """Charged, available, leased; whatever happened, they add up to what was granted."""
        found = self.balance()
        parts = found.charged_nano, found.available_nano, found.leased_nano
        assert sum(parts) == found.granted_nano
        assert min(parts) >= 0
        assert self.differences() == ()
        return parts


def settlement(
    id: str,
    charge: int,
    *,
    owner: str = "a",
    house: int = 0,
    pots: tuple[Pot, ...] = (ACCOUNT,),
    at: float = NOW,
) -> Settlement:
    row = Generation(id=id, created_at=at, key_hash=KEY, cost_nano=charge, house_nano=house)
    names = tuple(pot.name for pot in pots)
    return Settlement(owner=owner, generation=row, charge_nano=charge, house_nano=house, pots=names)


def unbilled(row: Generation) -> Settlement:
    """The settlement of a generation for which nobody is billed."""
    cost = row.cost_nano or 0
    return Settlement(owner="a", generation=row, charge_nano=cost, house_nano=row.house_nano)


class VaultSuite:
    """The rules of `proxy.accounts.ledger.Vault`."""

    # Owners.

    def test_only_an_open_owner_is_served(self, bench: Bench) -> None:
        vault = bench.vault
        for call in (
            lambda: vault.beat("a"),
            lambda: bench.resize("a", 0),
            lambda: vault.recall("a", ACCOUNT.name),
            lambda: vault.recalled("a"),
        ):
            with pytest.raises(Fenced):
                call()
            vault.open_owner("a", at=NOW)
            call()
            vault.close_owner("a", at=NOW)
            with pytest.raises(Fenced):
                call()
        assert bench.sums() == (0, 0, 0)

    def test_beats_are_counted_and_opening_twice_is_opening_once(self, bench: Bench) -> None:
        bench.vault.open_owner("a", at=NOW)
        first = bench.vault.beat("a")
        bench.vault.open_owner("a", at=NOW)
        bench.vault.open_owner("b", at=NOW)
        second = bench.vault.beat("a")
        assert second["a"] > first["a"]
        assert second.keys() == {"a", "b"}
        assert bench.vault.beat("b")["a"] == second["a"]
        bench.vault.close_owner("b", at=NOW)
        assert bench.vault.beat("a").keys() == {"a"}

    def test_closing_returns_what_is_not_settled_once(self, bench: Bench) -> None:
        bench.grant(1_000)
        bench.vault.open_owner("a", at=NOW)
        bench.resize("a", 400)
        bench.vault.settle([settlement("g", 150)])
        assert bench.sums() == (150, 600, 250)
        for _ in range(2):
            bench.vault.close_owner("a", at=NOW)
            assert bench.sums() == (150, 850, 0)
        bench.vault.open_owner("a", at=NOW)
        assert bench.resize("a", 0) == Lease(amount_nano=0, settled_nano=0, available_nano=850)

    # Leases.

    def test_a_lease_is_a_portion(self, bench: Bench) -> None:
        bench.grant(1_000)
        bench.vault.open_owner("a", at=NOW)
        found = bench.resize("a", 200, 900)
        assert found == Lease(amount_nano=300, settled_nano=0, available_nano=700)
        assert bench.resize("a", 200, 300) == found
        # The same call again may take more, and never loses any.
        again = bench.resize("a", 200, 900)
        assert again == Lease(amount_nano=387, settled_nano=0, available_nano=613)
        assert bench.sums() == (0, 613, 387)

    def test_too_little_gives_back_what_need_not_be_kept(self, bench: Bench) -> None:
        bench.grant(100)
        bench.vault.open_owner("a", at=NOW)
        bench.resize("a", 60)
        short = bench.resize("a", 101, 500, keep=40)
        assert short == Lease(amount_nano=40, settled_nano=0, available_nano=60)
        assert bench.resize("a", 101, 500, keep=80).amount_nano == 40
        assert bench.resize("a", 100, 500).amount_nano == 100
        assert bench.sums() == (0, 0, 100)

    def test_a_lease_is_never_less_than_what_is_settled(self, bench: Bench) -> None:
        bench.grant(100)
        bench.vault.open_owner("a", at=NOW)
        bench.resize("a", 60)
        bench.vault.settle([settlement("g", 25)])
        found = bench.resize("a", 0)
        assert found == Lease(amount_nano=25, settled_nano=25, available_nano=75)
        assert bench.resize("a", 500, keep=0) == found
        assert bench.sums() == (25, 75, 0)

    def test_a_pot_that_nobody_filled_is_empty(self, bench: Bench) -> None:
        bench.vault.open_owner("a", at=NOW)
        nothing = Lease(amount_nano=0, settled_nano=0, available_nano=0)
        assert bench.resize("a", 1, 10) == nothing
        assert bench.resize("a", 0, 10) == nothing
        assert bench.sums() == (0, 0, 0)

    def test_all_that_is_granted_can_be_leased_and_no_more(self, bench: Bench) -> None:
        bench.grant(1_000)
        taken = 0
        for owner in ("a", "b", "c"):
            bench.vault.open_owner(owner, at=NOW)
            taken += bench.resize(owner, 400).amount_nano
        assert taken == 800
        assert bench.sums() == (0, 200, 800)

    # Recalls.

    def test_a_recall_asks_others_until_they_answer(self, bench: Bench) -> None:
        bench.grant(1_000)
        for owner in ("a", "b", "c", "d"):
            bench.vault.open_owner(owner, at=NOW)
        for owner in ("b", "c"):
            bench.resize(owner, 400)
        for _ in range(2):
            assert bench.vault.recall("a", ACCOUNT.name) == 2
        assert bench.vault.recall("b", "account:other") == 0
        recalled = {owner: bench.vault.recalled(owner) for owner in ("a", "b", "c", "d")}
        assert recalled == {"a": [], "b": [ACCOUNT.name], "c": [ACCOUNT.name], "d": []}
        assert bench.resize("a", 500).awaited == 2
        bench.resize("b", 100)
        assert bench.vault.recalled("b") == []
        found = bench.resize("a", 500)
        assert (found.amount_nano, found.awaited) == (500, 1)
        bench.vault.close_owner("c", at=NOW)
        assert bench.resize("a", 500).awaited == 0
        assert bench.vault.recall("d", ACCOUNT.name) == 2

    def test_who_has_settled_all_of_it_is_not_asked(self, bench: Bench) -> None:
        bench.grant(100)
        for owner in ("a", "b"):
            bench.vault.open_owner(owner, at=NOW)
        bench.resize("b", 100)
        bench.vault.settle([settlement("g", 100, owner="b")])
        assert bench.vault.recall("a", ACCOUNT.name) == 0
        assert bench.vault.recalled("b") == []

    # Settlements.

    def test_a_generation_is_charged_exactly_once(self, bench: Bench) -> None:
        bench.grant(1_000)
        bench.vault.open_owner("a", at=NOW)
        bench.resize("a", 500)
        one, two, three = (settlement(id, 100, house=7) for id in "xyz")
        bench.vault.settle([])
        bench.vault.settle([one, two])
        bench.vault.settle([one, two])
        assert bench.sums() == (200, 500, 300)
        bench.vault.settle([two, three, three, one])
        assert bench.sums() == (300, 500, 200)
        # Another word for the same generation comes too late.
        bench.vault.settle([settlement("x", 333)])
        assert bench.sums() == (300, 500, 200)
        assert bench.generation("x") == one.generation
        assert bench.generation("nobody") is None

    def test_a_charge_of_nothing_leaves_its_row(self, bench: Bench) -> None:
        bench.vault.settle([settlement("x", 0), settlement("y", 0, pots=(), house=5)])
        assert bench.generation("x") is not None
        assert bench.generation("y") is not None
        assert bench.sums() == (0, 0, 0)

    def test_without_a_pot_the_charge_is_not_billed(self, bench: Bench) -> None:
        bench.grant(10)
        bench.vault.settle([settlement("x", 70, pots=()), settlement("y", 5, pots=(), owner="z")])
        assert bench.balance().unbilled_nano == 75
        assert bench.sums() == (0, 10, 0)

    def test_a_fenced_owner_is_charged_from_what_is_there(self, bench: Bench) -> None:
        bench.grant(100)
        bench.vault.open_owner("a", at=NOW)
        bench.resize("a", 80)
        bench.vault.close_owner("a", at=NOW)
        for _ in range(2):
            bench.vault.settle([settlement("x", 70)])
            assert bench.sums() == (70, 30, 0)
        bench.vault.settle([settlement("y", 70), settlement("z", 70)])
        assert bench.sums() == (100, 0, 0)
        assert bench.generation("z") is not None

    def test_who_settles_all_leaves_nothing(self, bench: Bench) -> None:
        bench.grant(100)
        bench.vault.open_owner("a", at=NOW)
        bench.resize("a", 100)
        bench.vault.settle([settlement(str(n), 10) for n in range(10)])
        assert bench.sums() == (100, 0, 0)
        bench.vault.close_owner("a", at=NOW)
        assert bench.sums() == (100, 0, 0)

    # Allowances.

    def test_an_allowance_begins_less_what_the_key_spent(self, bench: Bench) -> None:
        for day in (0, 40, 100):
            bench.vault.settle([settlement(str(day), 100, pots=(), at=float(day * DAY + 5))])
        bench.vault.open_owner("a", at=NOW)
        for since, left in ((0, 700), (40, 800), (100, 900), (101, 1_000)):
            pot = allowance_pot(KEY, limit_nano=1_000, since=since * DAY)
            assert bench.resize("a", 0, pot=pot).available_nano == left
        spent = allowance_pot(KEY, limit_nano=50, since=0)
        other = allowance_pot("cd" * 32, limit_nano=50, since=0)
        assert bench.resize("a", 1, pot=other).amount_nano == 1
        assert spent.name == allowance_pot(KEY, limit_nano=1_000, since=0).name

    def test_an_allowance_is_leased_settled_and_returned(self, bench: Bench) -> None:
        pot = allowance_pot(KEY, limit_nano=1_000, since=100 * DAY)
        bench.grant(5_000)
        bench.vault.open_owner("a", at=NOW)
        bench.resize("a", 500)
        assert bench.resize("a", 500, pot=pot).available_nano == 500
        for _ in range(2):
            bench.vault.settle([settlement("x", 200, pots=(ACCOUNT, pot))])
            found = bench.resize("a", 500, pot=pot)
            assert found == Lease(amount_nano=500, settled_nano=200, available_nano=500)
        bench.vault.settle([settlement("y", 100, pots=(pot,))])
        assert bench.sums() == (200, 4_500, 300)
        assert bench.balance().unbilled_nano == 100
        bench.vault.close_owner("a", at=NOW)
        bench.vault.open_owner("b", at=NOW)
        assert bench.resize("b", 701, pot=pot).amount_nano == 0
        assert bench.resize("b", 700, pot=pot).available_nano == 0
        assert bench.sums() == (200, 4_800, 0)

    # Death.

    def test_the_dead_are_charged_their_last_checkpoint(self, bench: Bench) -> None:
        bench.grant(1_000)
        bench.vault.open_owner("a", at=NOW)
        bench.vault.open_owner("b", at=NOW)
        bench.resize("a", 500)
        bench.vault.checkpoint([])
        bench.vault.checkpoint([settlement("x", 10), settlement("y", 20)])
        bench.vault.checkpoint([settlement("x", 30), settlement("z", 40)])
        bench.vault.settle([settlement("z", 50)])
        bench.vault.checkpoint([settlement("z", 60)])  # too late: it is settled
        assert bench.generation("x") is None
        for _ in range(2):
            bench.vault.close_owner("a", at=NOW)
            assert bench.sums() == (100, 900, 0)
        known = {id: bench.generation(id) for id in "xyz"}
        assert known == {
            "x": replace(settlement("x", 30).generation, recovered=True),
            "y": replace(settlement("y", 20).generation, recovered=True),
            "z": settlement("z", 50).generation,
        }
        # The dead one was only asleep, and settles what others settled for it.
        for _ in range(2):
            bench.vault.settle([settlement("x", 77), settlement("w", 5)])
            assert bench.sums() == (105, 895, 0)
            # What it cost beyond its last note is the house's.
            row = replace(settlement("x", 77).generation, cost_nano=30, house_nano=47)
            assert bench.generation("x") == row
        bench.vault.checkpoint([settlement("v", 5)])
        bench.vault.close_owner("b", at=NOW)
        assert bench.generation("v") is None

    # All of it together.

    @pytest.mark.parametrize("seed", range(8))
    def test_no_order_of_calls_loses_or_makes_money(self, bench: Bench, seed: int) -> None:
        rng = Random(seed)
        settled: dict[str, int] = {}
        granted = 0
        pots = (ACCOUNT, allowance_pot(KEY, limit_nano=3_000, since=100 * DAY))
        for step in range(40):
            owner = rng.choice("abc")
            bench.vault.open_owner(owner, at=NOW)
            match rng.randrange(6):
                case 0:
                    granted += (amount := rng.randrange(1, 1_000))
                    bench.grant(amount)
                case 1:
                    for pot in pots:
                        least = rng.randrange(300)
                        bench.resize(owner, least, 2 * least, pot=pot)
                case 2:
                    bench.vault.recall(owner, ACCOUNT.name)
                    bench.vault.beat(owner)
                    bench.vault.recalled(owner)
                case 3:
                    bench.vault.close_owner(owner, at=NOW)
                case _:
                    self._settle_within(bench, rng, owner, f"{step}", settled)
            charged, *_ = bench.sums()
            assert charged == sum(settled.values())
            assert bench.balance().granted_nano == granted
        for owner in "abc":
            bench.vault.close_owner(owner, at=NOW)
        assert bench.sums() == (sum(settled.values()), granted - sum(settled.values()), 0)

    def _settle_within(
        self, bench: Bench, rng: Random, owner: str, id: str, settled: dict[str, int]
    ) -> None:
        """Charges that the lease covers, some of them twice; some after a checkpoint."""
        lease = bench.resize(owner, 0, 10**9)
        rest = lease.amount_nano - lease.settled_nano
        batch = []
        for part in range(rng.randrange(4)):
            charge = rng.randrange(rest // 4 + 1)
            batch.append(settlement(f"{id}-{part}", charge, owner=owner, house=rng.randrange(2)))
            settled[f"{id}-{part}"] = charge
        if rng.random() < 0.5:
            bench.vault.checkpoint(batch)
        bench.vault.settle(batch)
        if rng.random() < 0.5:
            bench.vault.settle(rng.sample(batch, len(batch)))
