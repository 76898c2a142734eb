"""The refusals for money: sentences that clients match on, byte for byte, and what helps them."""

import re

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.accounts import refusals
from proxy.dialects.chat.errors import encode_error
from proxy.errors import GatewayError, Source

NANO = st.integers(0, 2**62)
TOKENS = st.integers(0, 2**31)


def test_an_empty_account_has_insufficient_credits() -> None:
    error = refusals.credits_short(wanted_tokens=100, affordable_tokens=0, needed_nano=1_500_000)
    assert error.status == 402
    assert error.message == "Insufficient credits. Add more with `weir credits grant`."
    assert error.metadata == {
        "requested_tokens": 100, "affordable_tokens": 0, "required_usd": 0.0015
    }  # fmt: skip


def test_what_can_be_afforded_is_said() -> None:
    error = refusals.credits_short(
        wanted_tokens=65536, affordable_tokens=14114, needed_nano=65_536_000
    )
    assert error.message == (
        "This request requires more credits, or fewer max_tokens. You requested up to 65536 "
        "tokens, but can only afford 14114. Add more with `weir credits grant`."
    )
    assert error.metadata["affordable_tokens"] == 14114


@given(TOKENS, st.integers(-(2**31), 2**31), NANO)
def test_a_client_that_matches_finds_its_words(wanted: int, affordable: int, needed: int) -> None:
    error = refusals.credits_short(
        wanted_tokens=wanted, affordable_tokens=affordable, needed_nano=needed
    )
    found = re.match(
        r"This request requires more credits, or fewer max_tokens\. You requested up to (\d+) "
        r"tokens, but can only afford (\d+)\.",
        error.message,
    )
    assert (found is not None) == (affordable > 0)
    assert found is not None or error.message.startswith("Insufficient credits.")
    assert error.metadata["affordable_tokens"] >= 0
    assert error.source is Source.CALLER


@pytest.mark.parametrize(
    ("reset", "name"),
    [(None, "total"), ("daily", "daily"), ("weekly", "weekly"), ("monthly", "monthly")],
)
def test_a_key_limit_names_its_period(reset: str | None, name: str) -> None:
    error = refusals.key_limit(reset, limit_nano=5_000_000_000)
    assert error.status == 403
    assert error.message == f"Key limit exceeded ({name} limit). Manage it with `weir keys`."
    assert error.metadata == {"limit": 5.0, "limit_reset": reset, "affordable_tokens": 0}
    until = refusals.key_limit(reset, limit_nano=1, affordable_tokens=-3, resets_at=1_800_000_000)
    assert until.metadata["resets_at"] == 1_800_000_000
    assert until.metadata["affordable_tokens"] == 0


@pytest.mark.parametrize(
    ("error", "status", "error_type", "message"),
    [
        (
            refusals.management_only(), 403, "permission_denied",
            "Only management keys can perform this operation",
        ),
        (
            refusals.management_key(), 403, "permission_denied",
            "Management keys can not be used for inference. "
            "Create another with `weir keys create`.",
        ),
    ],
)  # fmt: skip
def test_the_others_say_what_to_do(
    error: GatewayError, status: int, error_type: str, message: str
) -> None:
    body = orjson.loads(encode_error(error))["error"]
    assert (body["code"], body["message"]) == (status, message)
    assert body["metadata"]["error_type"] == error_type
