"""What a caller may know of itself: its key, and the generations that were made with it."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from proxy.accounts.keys import Key
from proxy.api.catalogue import answer
from proxy.errors import GatewayError
from proxy.money import to_usd
from proxy.wire.record import Generation


class Spent(NamedTuple):
    """What a key spent, in nano-dollars: ever, and since today's, this week's and this month's
    beginning (UTC; weeks begin on Monday).
    """

    total_nano: int
    daily_nano: int
    weekly_nano: int
    monthly_nano: int


class Periods(NamedTuple):
    """Seconds since 1970 at which day, week and month began."""

    day: float
    week: float
    month: float


Authenticate = Callable[[Request], Key | None]
SpentOf = Callable[[Key | None, Periods], Awaitable[Spent]]
Find = Callable[[str, Key | None], Awaitable[Generation | None]]


def routes(
    *, authenticate: Authenticate, spent: SpentOf, find: Find, now: Callable[[], float]
) -> list[BaseRoute]:
    """The routes below `/api/v1`. `authenticate` raises GatewayError; None is a caller who needs
    no key.
    """

    async def key(request: Request) -> Response:
        caller = authenticate(request)
        return answer({"data": key_row(caller, await spent(caller, periods(now())))})

    async def generation(request: Request) -> Response:
        caller = authenticate(request)
        id_ = request.query_params.get("id")
        if not id_:
            raise GatewayError("invalid_request", "id: required")
        row = await find(id_, caller)
        if row is None:
            raise GatewayError("not_found", f"Generation {id_[:100]!a} not found")
        return answer({"data": generation_row(row)})

    return [Route("/key", key), Route("/auth/key", key), Route("/generation", generation)]


def periods(now: float) -> Periods:
    """When the periods began in which `now` lies."""
    day = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    week = day - timedelta(days=day.weekday())
    return Periods(day.timestamp(), week.timestamp(), day.replace(day=1).timestamp())


def key_row(key: Key | None, spent: Spent) -> dict[str, Any]:
    """OpenRouter's `GET /key`; limits come with the ledger, until then there are none."""
    row: dict[str, Any] = {
        "label": key.label if key else "none",
        "usage": to_usd(spent.total_nano),
        "usage_daily": to_usd(spent.daily_nano),
        "usage_weekly": to_usd(spent.weekly_nano),
        "usage_monthly": to_usd(spent.monthly_nano),
        "byok_usage": 0,
        "byok_usage_daily": 0,
        "byok_usage_weekly": 0,
        "byok_usage_monthly": 0,
        "limit": None,
        "limit_remaining": None,
        "limit_reset": None,
        "include_byok_in_limit": False,
        "is_free_tier": False,
        "is_management_key": False,
        "is_provisioning_key": False,
        "creator_user_id": None,
        "organization_id": None,
        "workspace_id": "default",
        "allowed_data_regions": [],
        "budgets": [],
        "effective_budget": None,
        "free_model_daily_requests": {"limit": 0, "used": 0, "remaining": 0},
        "rate_limit": {"requests": -1, "interval": "10s", "note": "This field is deprecated."},
    }
    if key is not None and key.expires_at is not None:
        row["expires_at"] = _rfc3339(key.expires_at)
    return row


UNKNOWN = dict.fromkeys(
    (
        "request_id",
        "cache_discount",
        "app_id",
        "moderation_latency",
        "router",
        "preset_id",
        "external_user",
        "web_search_engine",
        "response_cache_source_id",
    )
)
"""Fields of a generation that clients insist on and that nothing here fills."""


def generation_row(row: Generation) -> dict[str, Any]:
    """OpenRouter's `GET /generation`. Native counts are the only counts there are."""
    cost = to_usd(row.cost_nano or 0)
    return {
        **UNKNOWN,
        "id": row.id,
        "upstream_id": row.upstream_id,
        "total_cost": cost,
        "usage": cost,
        "upstream_inference_cost": None if row.cost_nano is None else cost,
        "created_at": _rfc3339(row.created_at),
        "model": row.model,
        "api_type": "completions",
        "streamed": row.streamed,
        "cancelled": row.cancelled,
        "provider_name": row.provider_name or None,
        "latency": row.latency_ms,
        "generation_time": row.generation_time_ms,
        "finish_reason": row.finish_reason,
        "native_finish_reason": row.native_finish_reason,
        "tokens_prompt": row.prompt_tokens,
        "tokens_completion": row.completion_tokens,
        "native_tokens_prompt": row.prompt_tokens,
        "native_tokens_completion": row.completion_tokens,
        "native_tokens_completion_images": row.image_tokens,
        "native_tokens_reasoning": row.reasoning_tokens,
        "native_tokens_cached": row.cached_tokens,
        "num_media_prompt": row.media_prompt,
        "num_input_audio_prompt": row.audio_prompt,
        "num_media_completion": 0,
        "num_search_results": 0,
        "num_fetches": 0,
        "origin": row.http_referer or "",
        "http_referer": row.http_referer,
        "user_agent": row.user_agent,
        "is_byok": False,
        "session_id": row.session_id,
        "service_tier": row.service_tier,
        "data_region": "global",
        "workspace_id": row.account,
        "usage_estimated": row.usage_estimated,
        "provider_responses": [
            {
                "provider_name": one.provider_name,
                "status": one.status,
                "latency": one.latency_ms,
                "is_byok": False,
                "endpoint_id": f"{one.provider}/{one.model}",
                "model_permaslug": row.model,
                "id": row.upstream_id if one.error is None else None,
            }
            for one in row.attempts
        ],
    }


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
