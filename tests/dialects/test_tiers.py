"""A service tier is what its word says, and no other word is taken for one."""

import pytest

from proxy.dialects.tiers import tier_of
from proxy.errors import GatewayError


@pytest.mark.parametrize(
    ("service_tier", "speed", "tier"),
    [
        (None, None, None),
        ("", None, None),
        ("auto", None, None),
        ("scale", None, None),
        ("default", "fast", "default"),
        ("flex", None, "flex"),
        ("fast", None, "priority"),
        (None, "fast", "priority"),
        (None, "standard", "default"),
        ("ultrafast", None, "ultrafast"),
    ],
)
def test_a_tier(service_tier: str | None, speed: str | None, tier: str | None) -> None:
    assert tier_of(service_tier, speed) == tier


@pytest.mark.parametrize(
    ("service_tier", "speed", "field"),
    [
        ("quick", None, "service_tier"),
        ("Flex", None, "service_tier"),
        (None, "quick", "speed"),
        ("flex", "quick", "speed"),
    ],
)
def test_another_word_is_refused_by_name(
    service_tier: str | None, speed: str | None, field: str
) -> None:
    with pytest.raises(GatewayError) as refused:
        tier_of(service_tier, speed)
    assert refused.value.status == 400
    assert refused.value.message.startswith(f"{field}: expected one of auto, scale, default, ")
