"""What another provider thought is read again as it was, and nothing else is taken for it."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.messages.seals import is_sealed, sealed, unsealed
from proxy.errors import GatewayError

DETAILS = st.dictionaries(st.text(max_size=5), st.one_of(st.text(max_size=9), st.integers(0, 9)))


@given(detail=DETAILS)
def test_what_is_sealed_is_read_again(detail: dict[str, Any]) -> None:
    assert is_sealed(sealed(detail))
    assert unsealed(sealed(detail)) == detail


def test_what_can_not_be_sealed() -> None:
    with pytest.raises(GatewayError):
        sealed({"a": 2**70})


@pytest.mark.parametrize("other", [None, 1, "", "Claude's", "openrouter.reasoning", [], {}])
def test_what_is_not(other: object) -> None:
    assert not is_sealed(other)
    assert unsealed(other) is None


@pytest.mark.parametrize("text", [b"[]", b"no JSON", b"\xff"])
def test_what_only_looks_so(text: bytes) -> None:
    assert unsealed("openrouter.reasoning:" + base64.b64encode(text).decode()) is None
    assert unsealed("openrouter.reasoning:no base64!") is None
    assert unsealed("openrouter.reasoning:é") is None
