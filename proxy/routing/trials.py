"""Which arm of an alias a request is given: by weight, and the same each time for whom it sticks.

The arm is drawn by weighted rendezvous hashing: each arm draws a number from a hash of the alias,
the arm and whoever asks, and the best draw wins. So every worker comes to the same arm without
being told, also after a restart, and where a weight changes only those move whom the change makes
necessary: to an arm that gained, or from one that lost.
"""

from collections.abc import Callable, Mapping
from hashlib import blake2b
from math import log
from typing import Final

from msgspec.structs import replace

from proxy.aliases import Alias, Arm
from proxy.wire.request import Ask

_DRAWS: Final = 2**53
"""As many numbers as a float can tell apart between 0 and 1."""


def assigned(
    ask: Ask,
    aliases: Mapping[str, Alias],
    *,
    session: str | None,
    key: str | None,
    rng: Callable[[], float],
) -> tuple[Ask, str | None]:
    """`ask` with a model in place of every alias that it names, and which arm its first name was
    given, as the configuration writes it; None, where that is no alias. An `ask` without an alias
    is handed back as it is.

    `session` is the session that its head names, for an `ask` that names none, `key` the hash of
    its key, `rng` uniform in [0, 1). Suffixes of an alias, such as `:nitro`, are the arm's then.
    """
    for name in ask.models:
        if name.partition(":")[0] in aliases:
            break
    else:
        return ask, None
    names: list[str] = []
    first: str | None = None
    for place, name in enumerate(ask.models):
        base, colon, suffix = name.partition(":")
        alias = aliases.get(base)
        if alias is None:
            names.append(name)
            continue
        arm = _arm(alias, _who(alias, ask, session or None, key), rng)
        names.append(f"{arm.model}{colon}{suffix}")
        if place == 0:
            first = arm.model
    return replace(ask, models=tuple(dict.fromkeys(names))), first


def _who(alias: Alias, ask: Ask, session: str | None, key: str | None) -> str | None:
    """For whom it is sticky; None where nothing is."""
    if alias.sticky == "none":
        return None
    user = ask.body.get("user")
    named = user if isinstance(user, str) and user else None
    if alias.sticky == "session":
        return ask.session_id or session or named or key
    return named or key


def _arm(alias: Alias, who: str | None, rng: Callable[[], float]) -> Arm:
    if len(alias.split) == 1:
        return alias.split[0]
    if who is None:
        point = rng() * sum(arm.weight for arm in alias.split)
        for arm in alias.split:
            point -= arm.weight
            if point < 0:
                return arm
        return alias.split[-1]  # where what was added up is a rounding less than the sum
    return min(alias.split, key=lambda arm: _draw(alias.id, arm.model, who) / arm.weight)


def _draw(alias: str, model: str, who: str) -> float:
    """A number above 0, distributed exponentially: the least of several, each divided by its
    weight, is one arm's as often as its weight says.
    """
    text = f"{alias}\0{model}\0{who}".encode("utf-8", "surrogatepass")
    number = int.from_bytes(blake2b(text, digest_size=8).digest()) >> 11
    return -log((number + 0.5) / _DRAWS)
