"""How a request was routed and who paid for it: one set of rows for programs and for people.

`GET /generation` has them under `routing`, `weir why` prints them.
"""

from typing import Any

from proxy.money import to_usd
from proxy.wire.record import Candidate, Generation, Try


def routing_row(row: Generation) -> dict[str, Any]:
    """Everything that was decided on the way. Money is in USD, time in milliseconds after the
    request's beginning; `price` is that of a million prompt and a million completion tokens
    together. Attempts stand in the order in which they began, not that in which they ended.
    """
    return {
        "requested_model": row.requested_model or None,
        "arm": row.arm,
        "preset": row.preset,
        "choice": row.choice,
        "candidates": [_candidate(one) for one in row.candidates],
        "attempts": [_attempt(one) for one in sorted(row.attempts, key=lambda one: one.began_ms)],
        "stayed": row.stayed,
        "saved": to_usd(row.saved_nano),
        "waited_ms": row.waited_ms,
        "held": to_usd(row.held_nano),
        "cost": None if row.cost_nano is None else to_usd(row.cost_nano),
        "upstream_cost": None if row.upstream_nano is None else to_usd(row.upstream_nano),
        "house_cost": to_usd(row.house_nano),
        "recovered": row.recovered,
    }


def _candidate(one: Candidate) -> dict[str, Any]:
    return {
        "provider": one.provider,
        "model": one.model,
        "standing": one.standing,
        "price": None if one.price_nano is None else to_usd(one.price_nano),
        "excluded": one.excluded,
        "by": one.by,
        "rule": one.rule,
        "measured": one.measured,
    }


def _attempt(one: Try) -> dict[str, Any]:
    return {
        "provider": one.provider,
        "model": one.model,
        "began_ms": one.began_ms,
        "latency_ms": one.latency_ms,
        "status": one.status,
        "error": one.error,
        "hedge": one.hedge,
        "dropped": list(one.dropped),
    }
