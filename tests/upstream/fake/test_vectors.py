"""Vectors of length 1, packed and coarse, and ranks by the words in common."""

import math
import struct
from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.fake.vectors import coarse, likeness, packed, ranked, vector


@given(st.text(max_size=20), st.integers(1, 64))
def test_vectors_are_of_length_one_and_always_the_same(text: str, size: int) -> None:
    values = vector(text, size)
    assert len(values) == size
    assert values == vector(text, size)
    assert math.isclose(math.hypot(*values), 1, abs_tol=1e-6)


def test_other_words_another_vector() -> None:
    assert vector("a", 8) != vector("b", 8)


def test_packed_floats() -> None:
    values = vector("a", 8)
    assert struct.unpack("<8f", b64decode(packed(values))) == pytest.approx(values)
    assert coarse(values, "base64") == packed(values)


def test_coarse_numbers() -> None:
    values = [1.0, -1.0, 0.5, 2.0, -0.1, 0.0, 0.1, -2.0, 0.3]
    assert coarse(values, "float") == values
    assert coarse(values, "int8") == [127, -127, 64, 127, -13, 0, 13, -127, 38]
    assert coarse(values, "uint8") == [255, 0, 191, 255, 115, 128, 140, 0, 166]
    assert coarse(values, "ubinary") == [0b10110010, 0b10000000]
    assert coarse(values, "binary") == [0b10110010 - 128, 0]


@given(st.text(max_size=30), st.text(max_size=30))
def test_likeness_is_between_nothing_and_all(query: str, document: str) -> None:
    assert 0 < likeness(query, document) < 1


def test_ranks() -> None:
    documents = ["of stones", "of water and stones", "of nothing"]
    rows = ranked("Water, stones", documents, None)
    assert [row["index"] for row in rows] == [1, 0, 2]
    assert rows[0]["relevance_score"] > 0.9 > rows[1]["relevance_score"]
    assert ranked("Water, stones", documents, 1) == rows[:1]
