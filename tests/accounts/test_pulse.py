"""Who raises its number lives; whose number stands still for long enough is dead."""

from proxy.accounts.pulse import DEAD_LOOKS, Pulses


def test_a_number_that_stands_still_is_of_the_dead() -> None:
    pulses = Pulses()
    for look in range(DEAD_LOOKS):
        assert pulses.dead({"alive": look, "dead": 7}) == []
    assert pulses.dead({"alive": DEAD_LOOKS, "dead": 7}) == ["dead"]
    assert pulses.dead({"alive": DEAD_LOOKS + 1}) == []


def test_a_sign_of_life_begins_the_count_anew() -> None:
    pulses = Pulses()
    for look in range(5 * DEAD_LOOKS):
        assert pulses.dead({"slow": look // (DEAD_LOOKS - 1)}) == []
