"""The box between provider and caller: nothing is lost, and what is dropped is the last."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.pipeline.box import Box, Piece
from proxy.wire.events import Text


def test_an_empty_box() -> None:
    box = Box()
    assert not box
    assert (box.take(), box.size_bytes) == ([], 0)


@given(st.lists(st.integers(0, 100)), st.integers(0, 9))
def test_what_is_put_in_comes_out_or_is_dropped(sizes: list[int], drops: int) -> None:
    box = Box()
    pieces: list[Piece] = [
        (Text(number, str(size)), number, 1, 2, size) for number, size in enumerate(sizes)
    ]
    for piece in pieces:
        box.put(piece)
    assert bool(box) == bool(pieces)
    assert box.size_bytes == sum(sizes)
    for _ in range(min(drops, len(pieces))):
        assert box.drop_last() == pieces.pop()
    assert box.size_bytes == sum(piece[4] for piece in pieces)
    assert box.take() == [piece[0] for piece in pieces]
    assert (bool(box), box.size_bytes) == (False, 0)
