"""Prices in lists of models; what whole rows become is in `test_listing`."""

from decimal import Decimal
from typing import Any

import pytest

from proxy.dialects.prices import count, live, pricing
from proxy.money import Pricing


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1),
        (2.0, 2),
        (0, None),
        (-1, None),
        (True, None),
        ("1", None),
        (1.5, None),
        (10**12, None),
    ],
)
def test_a_count_is_a_number_that_can_be_one(value: Any, number: int | None) -> None:
    assert count(value) == number


def test_only_those_that_serve_now_are_behind_a_router() -> None:
    row = {"providers": [{"status": "live", "n": 1}, {"status": "staging"}, 3]}
    assert live(row) == [{"status": "live", "n": 1}]
    assert live({}) == []


def test_the_price_of_vectors_is_that_of_their_inputs() -> None:
    found = pricing({"pricing": {"prompt": "0.1"}}, ("embeddings",))
    assert found == Pricing(prompt=Decimal("0.1"), completion=Decimal(0))
    assert pricing({"pricing": {"prompt": "0.1"}}, None) is None
