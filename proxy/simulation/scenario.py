"""What a world begins with, as the seed draws it: its disk, its providers, its keys."""

from collections.abc import Sequence
from random import Random
from typing import Final

from proxy.accounts.keys import Key, fingerprint
from proxy.simulation.disk import Weather
from proxy.simulation.loop import Loop
from proxy.simulation.provider import Provider

GRANTS: Final = (1, 100_000, 20_000_000, 300_000_000, 5_000_000_000)
LIMITS: Final = (0, 3_000_000, 50_000_000, 1_000_000_000)
JUMPS_S: Final = (-3600.0, 3600.0, 400 * 86400.0)
STALLS_S: Final = (0.1, 1.0, 1.0, 35.0)


def weather(rng: Random, start: float) -> Weather:
    """A disk: most are good, some slow, refusing or forgetful, some stormy for a while."""
    storms = []
    if rng.random() < 0.2:
        begin = start + rng.uniform(0, 5)
        storms.append((begin, begin + rng.choice((0.1, 1.0, 6.0))))
    return Weather(
        Random(rng.random()),
        slow_s=rng.choice((0.0002, 0.002, 0.02)),
        refused=rng.choice((0.0, 0.0, 0.0, 0.02, 0.2)),
        untold=rng.choice((0.0, 0.0, 0.0, 0.02, 0.2)),
        storms=tuple(storms),
    )


def providers(rng: Random, loop: Loop, *, span_s: float) -> list[Provider]:
    """One to three of them, whose moods may change once."""
    made = []
    for number in range(rng.randint(1, 3)):
        moods = [(0.0, rng.choice(("well", "well", "odd", "ill", "gone")))]
        if rng.random() < 0.4:
            change_at = loop.time() + rng.uniform(0, span_s)
            moods.append((change_at, rng.choice(("well", "odd", "ill", "gone"))))
        provider = Provider(
            f"p{number}",
            Random(rng.random()),
            loop,
            cancels=rng.random() < 0.5,
            slow_s=rng.choice((0.001, 0.01, 0.05)),
            moods=tuple(moods),
        )
        made.append(provider)
    return made


def keys(rng: Random, accounts: Sequence[str]) -> dict[str, Key]:
    """One or two keys of each account, by their secrets."""
    made = {}
    for account in accounts:
        for number in range(rng.randint(1, 2)):
            secret = f"sk-or-v1-{rng.getrandbits(256):064x}"
            made[secret] = Key(
                hash=fingerprint(secret),
                name=f"{account}k{number}",
                label="",
                account=account,
                created_at=0.0,
                limit_nano=rng.choice(LIMITS) if rng.random() < 0.3 else None,
                limit_reset=rng.choice((None, "daily", "monthly")),
            )
    return made
