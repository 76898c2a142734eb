"""The service tiers that callers name, and those that any endpoint may be asked for."""

from typing import Final

from proxy.errors import GatewayError
from proxy.wire.request import Speed

FAIR_TIERS: Final = ("auto", "default", "flex")
"""Tiers that cost no more than what an endpoint's price says. The others are endpoints of their own
(contract, 4.12), and are told of their own tier: an ordinary endpoint is never asked for it."""

_TIERS: Final[dict[str, Speed | None]] = {
    "auto": None,
    "scale": None,  # the operator's own arrangement with a provider
    "default": "default",
    "standard": "default",
    "standard_only": "default",
    "flex": "flex",
    "priority": "priority",
    "fast": "priority",
    "ultrafast": "ultrafast",
}
"""By what callers say (contract, 4.12); None leaves it open."""


def tier_of(service_tier: str | None, speed: str | None = None) -> Speed | None:
    """The service tier that is asked for; `speed` is Anthropic's word for it.

    Raises GatewayError `invalid_request` for a word that is none: who wants a tier is not served
    another one in silence.
    """
    tier, fallback = _tier("service_tier", service_tier), _tier("speed", speed)
    return tier or fallback


def _tier(field: str, word: str | None) -> Speed | None:
    if not word:
        return None
    if word not in _TIERS:
        raise GatewayError("invalid_request", f"{field}: expected one of {', '.join(_TIERS)}")
    return _TIERS[word]
