"""A listed model says only what its provider said."""

from decimal import Decimal

import msgspec
import pytest

from proxy.money import Pricing
from proxy.wire.listing import Listing


def test_nothing_is_assumed() -> None:
    told = msgspec.to_builtins(Listing(model="m"))
    assert told.pop("model") == "m"
    assert set(told.values()) == {None}


def test_equal_by_value_and_fixed() -> None:
    pricing = Pricing(prompt=Decimal("0.000001"), completion=Decimal("0.000002"))
    listing = Listing(model="m", created=1, pricing=pricing)
    assert listing == Listing(model="m", created=1, pricing=pricing)
    with pytest.raises(AttributeError):
        listing.model = "n"  # type: ignore[misc]
