"""What the seed draws: it is of every kind, and the same each time."""

from random import Random

from proxy.accounts.keys import well_formed
from proxy.simulation import scenario
from proxy.simulation.loop import Loop


def test_keys_are_real_and_some_are_limited() -> None:
    keys = [key for seed in range(50) for key in scenario.keys(Random(seed), ["a", "b"]).items()]
    assert all(well_formed(secret) for secret, _ in keys)
    assert len({secret for secret, _ in keys}) == len(keys)
    assert {key.account for _, key in keys} == {"a", "b"}
    assert {key.limit_nano for _, key in keys} == {None, *scenario.LIMITS}
    assert scenario.keys(Random(1), ["a"]) == scenario.keys(Random(1), ["a"])


def test_providers_and_disks_differ() -> None:
    loop = Loop(Random(1))
    made = [scenario.providers(Random(seed), loop, span_s=1.0) for seed in range(50)]
    assert {len(providers) for providers in made} == {1, 2, 3}
    assert {one.cancels for providers in made for one in providers} == {True, False}
    disks = [scenario.weather(Random(seed), 0.0) for seed in range(200)]
    fates = {disk.fate(at / 10) for disk in disks for at in range(120)}
    assert len(fates) == 3
    loop.close()
