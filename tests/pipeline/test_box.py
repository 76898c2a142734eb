"""The box between provider and caller: nothing is lost, and what is dropped is the last."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.pipeline.box import Box


def test_an_empty_box() -> None:
    box = Box()
    assert not box
    assert (box.take(), box.size_bytes) == (b"", 0)


@given(st.lists(st.binary(max_size=5)), st.integers(0, 9))
def test_what_is_put_in_comes_out_or_is_dropped(datas: list[bytes], drops: int) -> None:
    box = Box()
    for number, data in enumerate(datas):
        box.put((data, number, 1, 2))
    assert bool(box) == bool(datas)
    assert box.size_bytes == sum(map(len, datas))
    for _ in range(min(drops, len(datas))):
        assert box.drop_last() == (datas[-1], len(datas) - 1, 1, 2)
        datas.pop()
    assert box.size_bytes == sum(map(len, datas))
    assert box.take() == b"".join(datas)
    assert (bool(box), box.size_bytes) == (False, 0)
