"""Presets as they are kept."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.presets import Draft, id_of

NAMES = st.tuples(st.text(), st.text(alphabet="ab-1"), st.none() | st.integers(1, 99))


@given(one=NAMES, other=NAMES)
def test_an_id_is_of_one_preset_or_version_alone(
    one: tuple[str, str, int | None], other: tuple[str, str, int | None]
) -> None:
    assert (id_of(*one) == id_of(*other)) is (one == other)
    assert str(UUID(id_of(*one))) == id_of(*one)


def test_its_size_is_that_of_all_it_says() -> None:
    assert Draft(config=b"{}").size_bytes == 2
    assert Draft(config=b"{}", system_prompt="é").size_bytes == 4
