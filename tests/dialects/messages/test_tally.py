"""Usage in Anthropic's counting, which `counts.py` reads as what it was."""

import pytest
from anthropic.types import Usage as Told
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.forms import Bill
from proxy.dialects.messages.counts import decode_usage
from proxy.dialects.messages.tally import additions, encode_usage
from proxy.wire.events import Usage
from tests.anthropics import ADDED, BILL

COUNTS = st.integers(0, 1000)
MORE = st.tuples(COUNTS, COUNTS)


@given(plain=COUNTS, cached=COUNTS, short=COUNTS, lasting=COUNTS, said=COUNTS, more=MORE)
def test_it_is_read_again_as_it_was(
    plain: int, cached: int, short: int, lasting: int, said: int, more: tuple[int, int]
) -> None:
    thought, searches = more
    usage = Usage(
        prompt_tokens=plain + cached + short + lasting,
        completion_tokens=said + thought,
        cached_tokens=cached,
        cache_write_tokens=short + lasting,
        cache_write_1h_tokens=lasting,
        reasoning_tokens=thought,
        web_searches=searches,
    )
    told = encode_usage(usage, None)
    assert told["input_tokens"] == plain
    assert told["cache_creation"] == {
        "ephemeral_5m_input_tokens": short,
        "ephemeral_1h_input_tokens": lasting,
    }
    assert decode_usage(told) == usage
    Told.model_validate(told)


def test_a_lying_provider_makes_nothing_negative() -> None:
    told = encode_usage(Usage(prompt_tokens=1, cached_tokens=9, cache_write_1h_tokens=5), None)
    assert told["input_tokens"] == 0
    assert told["cache_creation"]["ephemeral_1h_input_tokens"] == 0


@pytest.mark.parametrize(
    ("tier", "told"), [("default", "standard"), ("priority", "priority"), (None, None)]
)
def test_tiers(tier: str | None, told: str | None) -> None:
    assert encode_usage(Usage(), tier)["service_tier"] == told


def test_what_openrouter_adds() -> None:
    assert additions(BILL) == ADDED
    assert additions(Bill(Usage()))["cost"] == 0
