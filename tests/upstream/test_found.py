"""How much several fetches may bring together."""

import pytest

from proxy.errors import GatewayError
from proxy.upstream.found import Budget, lacks


def test_a_budget_is_used_up_to_its_last_byte() -> None:
    budget = Budget(10)
    budget.take(4)
    budget.take(6)
    assert budget.left_bytes == 0
    with pytest.raises(GatewayError, match="all attachments together are too large"):
        budget.take(1)


def test_the_reason_is_told_and_another_endpoint_may_be_asked() -> None:
    error = lacks("it is empty")
    assert (error.kind, error.message) == (
        "provider_lacks_media",
        "The URL can not be fetched: it is empty.",
    )
