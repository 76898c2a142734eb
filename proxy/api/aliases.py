"""Aliases whose traffic is split between models, and how each of these does: Weir's own paths.

`GET /aliases` lists them, `GET /aliases/{author}/{name}` sets the arms of one side by side; `weir
ab show` prints the same rows.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from proxy.accounts import refusals
from proxy.accounts.keys import Key
from proxy.aliases import Alias
from proxy.api.account import Authenticate
from proxy.api.catalogue import answer
from proxy.errors import GatewayError
from proxy.money import to_usd
from proxy.stores.trials import ArmRow, Waits

SINCE_S: Final = 30 * 86_400.0
"""How far back figures go where nobody says it."""

Trial = Callable[[str, float, str], Awaitable[list[ArmRow]]]
"""The arms of an alias since a moment, in seconds since 1970, of one account's requests."""


def routes(
    *,
    authenticate: Authenticate,
    aliases: Callable[[], Mapping[str, Alias]],
    trial: Trial,
    now: Callable[[], float],
) -> list[BaseRoute]:
    """The routes below `/api/v1`, for management keys; the figures are their own account's."""

    def caller_of(request: Request) -> Key | None:
        caller = authenticate(request)
        if caller is not None and not caller.management:
            raise refusals.management_only()
        return caller

    async def listed(request: Request) -> Response:
        caller_of(request)
        return answer({"data": [alias_row(alias) for alias in aliases().values()]})

    async def shown(request: Request) -> Response:
        caller = caller_of(request)
        name = f"{request.path_params['author']}/{request.path_params['name']}"
        alias = aliases().get(name)
        if alias is None:
            raise GatewayError("not_found", f"Alias {name[:100]!a} not found")
        since = _since(request.query_params.get("since"), now())
        rows = await trial(name, since, "default" if caller is None else caller.account)
        return answer({"data": trial_row(alias, rows, since=since)})

    return [Route("/aliases", listed), Route("/aliases/{author}/{name}", shown)]


def _since(text: str | None, now: float) -> float:
    """A moment of RFC 3339 in seconds since 1970, in UTC where it names no zone."""
    if text is None:
        return now - SINCE_S
    try:
        found = datetime.fromisoformat(text).replace(microsecond=0)  # no float rounds it up
        return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC).timestamp()
    except (ValueError, OverflowError):
        raise GatewayError(
            "invalid_request", "since: expected a moment such as 2027-01-31T00:00:00Z"
        ) from None


def alias_row(alias: Alias) -> dict[str, Any]:
    """An alias as it is configured."""
    return {
        "id": alias.id,
        "sticky": alias.sticky,
        "arms": [{"model": arm.model, "weight": arm.weight} for arm in alias.split],
    }


def trial_row(alias: Alias, rows: Iterable[ArmRow], *, since: float) -> dict[str, Any]:
    """The arms of `alias` side by side: those that are configured, in their order, then those that
    no longer are and had requests. Money is in USD, time in milliseconds.
    """
    found = {row.arm: row for row in rows}
    weights: dict[str, float | None] = {arm.model: arm.weight for arm in alias.split}
    weights |= {name: None for name in found if name not in weights}
    requests = sum(row.requests for row in found.values())
    return {
        "id": alias.id,
        "sticky": alias.sticky,
        "since": datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds"),
        "requests": requests,
        "arms": [
            _arm(found.get(model) or ArmRow(arm=model), weight, requests)
            for model, weight in weights.items()
        ],
    }


def _arm(row: ArmRow, weight: float | None, requests: int) -> dict[str, Any]:
    """`feedback.ratio` is the share of requests whose answer anything was said of."""
    cost = to_usd(row.cost_nano)
    return {
        "model": row.arm,
        "weight": weight,
        "requests": row.requests,
        "share": _ratio(row.requests, requests),
        "errors": row.errors,
        "error_rate": _ratio(row.errors, row.requests),
        "cancelled": row.cancelled,
        "finish_reasons": row.finish_reasons,
        "cost": cost,
        "cost_per_request": _ratio(cost, row.requests),
        "tokens_prompt": row.prompt_tokens,
        "tokens_completion": row.completion_tokens,
        "latency": _waits(row.first),
        "generation_time": _waits(row.whole),
        "feedback": {
            "categories": row.feedback,
            "generations": row.remarked,
            "ratio": _ratio(row.remarked, row.requests),
        },
    }


def _ratio(part: float, whole: int) -> float | None:
    return part / whole if whole else None


def _waits(waits: Waits) -> dict[str, int | None]:
    return msgspec.structs.asdict(waits)
