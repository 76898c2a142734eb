"""What is kept is bounded by its size, and the oldest makes room."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.routing.kept import Kept


@given(st.lists(st.integers(0, 120), max_size=40))
def test_the_latest_are_kept_of_so_many_bytes_together(sizes: list[int]) -> None:
    kept = Kept(100)
    for key, size_bytes in enumerate(sizes):
        kept.keep(key, str(key), size_bytes)
        assert sum(sizes[one] for one in kept) <= 100
        assert (key in kept) == (size_bytes <= 100)
    small = [key for key, size_bytes in enumerate(sizes) if size_bytes <= 100]
    assert list(kept) == small[len(small) - len(kept) :], "the oldest went first"
    if kept:
        before = small[: -len(kept)]
        assert not before or sum(sizes[one] for one in (before[-1], *kept)) > 100


def test_it_is_read_as_any_mapping() -> None:
    kept = Kept(10)
    kept.keep("wish", 1, 5)
    assert kept.get("wish") == 1
    assert kept.get("other") is None
