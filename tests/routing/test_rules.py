"""The rules as they are by default keep what the project promises of them."""

import msgspec
import pytest

from proxy.routing.rules import Rules

RULES = Rules()


def test_who_has_healed_is_back_within_a_minute() -> None:
    assert RULES.out_s <= RULES.out_s_max
    assert RULES.out_s_max + RULES.probe_stream_s <= 60.0


def test_a_storm_of_two_hundred_requests_a_second_is_damped() -> None:
    assert 1.0 + RULES.retry_share + RULES.retry_reserve_per_s / 200.0 <= 1.25


def test_rules_are_not_changed_by_the_way() -> None:
    with pytest.raises(AttributeError):
        RULES.out_s = 1.0  # type: ignore[misc]
    assert msgspec.structs.replace(RULES, out_s=1.0).out_s == 1.0
