"""What counts as a count."""

import pytest

from proxy.dialects.counts import COUNT_MAX, count, usable

COUNTS: list[tuple[object, int | None]] = [
    (0, 0),
    (12, 12),
    (12.0, 12),
    (COUNT_MAX, COUNT_MAX),
    (COUNT_MAX + 1, None),
    (1e300, None),
    (float("inf"), None),
    (float("nan"), None),
    (12.5, None),
    (-1, None),
    (-1.0, None),
    (True, None),
    ("12", None),
    ([], None),
    (None, None),
]


@pytest.mark.parametrize(("said", "counted"), COUNTS, ids=str)
def test_a_count_is_whole_and_neither_negative_nor_absurd(
    said: object, counted: int | None
) -> None:
    assert usable(said) == counted
    assert type(usable(said)) is type(counted)
    assert count(said) == (counted or 0)
