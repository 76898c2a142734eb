"""Holds: never more than the lease has, and each ends once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.accounts.ledger import account_pot, allowance_pot
from proxy.accounts.purse import Bill, Hold, Purse, open_hold


def purse(amount_nano: int, name: str = "a") -> Purse:
    made = Purse(account_pot(name))
    made.amount_nano = amount_nano
    return made


def test_a_hold_takes_from_every_purse_or_from_none() -> None:
    rich, poor = purse(100), purse(10, "b")
    assert open_hold("me", [rich, poor], 11) is None
    assert (rich.free_nano, poor.free_nano) == (100, 10)
    hold = open_hold("me", [rich, poor], 10)
    assert hold is not None
    assert (hold.owner, hold.pots) == ("me", ("account:a", "account:b"))
    assert (rich.free_nano, poor.free_nano, poor.bound_nano) == (90, 0, 10)


@pytest.mark.parametrize(
    ("cost", "bill", "free"),
    [
        pytest.param(0, Bill(0, 0), 100, id="nothing"),
        pytest.param(7, Bill(7, 0), 93, id="less than was held: the rest is free again"),
        pytest.param(10, Bill(10, 0), 90, id="exactly what was held"),
        pytest.param(60, Bill(60, 0), 40, id="more, and the purse has it"),
        pytest.param(130, Bill(100, 30), 0, id="more than there is: the house bears it"),
    ],
)
def test_settling(cost: int, bill: Bill, free: int) -> None:
    one = purse(100)
    hold = open_hold("me", [one], 10)
    assert hold is not None
    assert hold.settle(cost) == bill
    assert (one.free_nano, one.spent_nano, one.held_nano) == (free, bill.charge_nano, 0)
    assert not hold.open
    hold.void()
    assert one.free_nano == free


def test_a_hold_ends_once() -> None:
    one = purse(100)
    hold = open_hold("me", [one], 10)
    assert hold is not None
    hold.void()
    hold.void()
    assert one.free_nano == 100
    assert not hold.grow(1)
    with pytest.raises(AssertionError, match="ends once"):
        hold.settle(1)


def test_a_hold_remembers_its_most() -> None:
    one = purse(100)
    hold = Hold("me", [one])
    assert hold.grow(40)
    assert hold.grow(20)
    assert not hold.grow(41)
    hold.settle(5)
    assert hold.most_nano == 60


def test_without_a_purse_there_is_no_bound() -> None:
    hold = open_hold("me", [], 10**15)
    assert hold is not None
    assert hold.settle(10**16) == Bill(10**16, 0)


def test_pots_are_named_by_whose_they_are() -> None:
    pot = allowance_pot("ab", limit_nano=5, since=86_400)
    assert (pot.name, pot.key_hash, pot.limit_nano, pot.since) == ("key:ab:86400", "ab", 5, 86_400)


@given(
    st.lists(st.integers(0, 200), min_size=1, max_size=2),
    st.lists(st.tuples(st.sampled_from(["open", "grow", "settle", "void"]), st.integers(0, 150))),
)
def test_no_history_overdraws(leased: list[int], steps: list[tuple[str, int]]) -> None:
    purses = [purse(amount, str(number)) for number, amount in enumerate(leased)]
    holds: list[Hold] = []
    charged = 0
    for step, amount in steps:
        if step == "open":
            hold = open_hold("me", purses, amount)
            holds += [hold] if hold else []
        elif holds and step == "grow":
            holds[-1].grow(amount)
        elif holds and step == "void":
            holds.pop().void()
        elif holds:
            bill = holds.pop(0).settle(amount)
            assert bill.charge_nano + bill.house_nano == amount
            charged += bill.charge_nano
        for one in purses:
            assert one.free_nano >= 0
            assert one.spent_nano == charged
            assert one.held_nano == sum(hold.amount_nano for hold in holds)
    assert charged <= min(leased)
