"""Vectors in either form."""

import base64
import struct
import sys
from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.embeddings.vectors import floats, packed, vector
from proxy.errors import GatewayError
from proxy.providers import Quirks

NUMBERS = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1)


def written(numbers: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


@given(NUMBERS)
def test_either_form_is_made_of_the_other(numbers: list[float]) -> None:
    assert packed(vector(numbers, Quirks())) == written(numbers)
    assert floats(vector(written(numbers), Quirks())) == numbers
    assert floats(numbers) is numbers
    assert packed(written(numbers)) == written(numbers)


def test_the_lowest_byte_is_the_first_on_every_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    found = array("f", [1.0])
    found.byteswap()
    swapped = base64.b64encode(found.tobytes()).decode()
    monkeypatch.setattr(sys, "byteorder", "big")
    assert packed([1.0]) == swapped
    assert floats(swapped) == [1.0]


def test_coarse_numbers_become_floats() -> None:
    said = base64.b64encode(bytes([1, 255, 128])).decode()
    assert vector(said, Quirks(vectors="int8")) == [1.0, -1.0, -128.0]


@pytest.mark.parametrize(
    "said", [None, [], {}, "", [None], ["1"], [[1.0]], "?", "QUJD", "ñ", 3, True, "QUJDRA"], ids=str
)
def test_what_is_no_vector(said: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        vector(said, Quirks())
    assert caught.value.kind == "provider_malformed"
