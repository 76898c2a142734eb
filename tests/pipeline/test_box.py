"""The box between provider and caller: nothing is lost, and a cut is where it was asked for."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.pipeline.box import Box, Piece


def test_an_empty_box() -> None:
    box = Box()
    assert not box
    assert (box.take(), box.size_bytes, box.cut(lambda tokens: True)) == (b"", 0, [])


@given(st.lists(st.tuples(st.binary(max_size=5), st.integers(0, 9))), st.integers(0, 60))
def test_what_is_put_in_comes_out_or_is_cut(sizes: list[tuple[bytes, int]], paid: int) -> None:
    box, pieces, tokens = Box(), [], 0
    for data, more in sizes:
        tokens += more
        pieces.append(Piece(data, 0, len(data), 0, tokens))
        box.put(pieces[-1])
    assert bool(box) == bool(pieces)
    assert box.size_bytes == sum(len(piece.data) for piece in pieces)
    dropped = box.cut(lambda tokens: tokens <= paid)
    kept = [piece for piece in pieces if piece.tokens_max <= paid]
    assert dropped == pieces[len(kept) :]
    assert box.size_bytes == sum(len(piece.data) for piece in kept)
    assert box.take() == b"".join(piece.data for piece in kept)
    assert (bool(box), box.size_bytes) == (False, 0)
