"""Pots and their names, and how much of a pot one process may have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.accounts.ledger import account_pot, allowance_pot, portion

NANO = st.integers(0, 10**12)


def test_names_tell_pots_apart() -> None:
    assert account_pot("acme").name == "account:acme"
    assert allowance_pot("ab", limit_nano=5, since=0).name == "key:ab:0"
    assert allowance_pot("ab", limit_nano=5, since=86_400).name == "key:ab:86400"


@pytest.mark.parametrize(
    ("amount", "available", "keep", "least", "want", "new"),
    [
        pytest.param(0, 800, 0, 100, 1000, 187, id="the need, and an eighth of the rest"),
        pytest.param(0, 10**6, 0, 100, 1000, 1000, id="never more than was wanted"),
        pytest.param(0, 100, 0, 100, 1000, 100, id="all there is"),
        pytest.param(0, 99, 0, 100, 1000, 0, id="or nothing"),
        pytest.param(60, 30, 50, 100, 1000, 50, id="what is too little goes back"),
        pytest.param(60, 40, 50, 100, 1000, 100, id="what is there counts"),
        pytest.param(60, 40, 0, 0, 20, 20, id="giving back"),
        pytest.param(60, 0, 60, 60, 60, 60, id="nothing to do"),
    ],
)
def test_portions(amount: int, available: int, keep: int, least: int, want: int, new: int) -> None:
    assert new == portion(
        amount_nano=amount,
        available_nano=available,
        keep_nano=keep,
        least_nano=least,
        want_nano=want,
    )


@given(NANO, NANO, NANO, NANO, NANO)
def test_a_portion_is_never_more_than_there_is(
    amount: int, available: int, keep: int, least: int, more: int
) -> None:
    new = portion(
        amount_nano=amount,
        available_nano=available,
        keep_nano=keep,
        least_nano=least,
        want_nano=least + more,
    )
    assert 0 <= new <= amount + available
    assert new >= least or new <= max(amount, keep)
    if new > max(amount, least):
        assert new - max(amount, least) <= available // 8
