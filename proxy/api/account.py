"""What a caller may know of itself: its key, its account's credit, its generations."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from proxy.accounts import refusals
from proxy.accounts.keys import Key
from proxy.accounts.ledger import Balance
from proxy.api.catalogue import answer
from proxy.api.explain import routing_row
from proxy.errors import GatewayError
from proxy.money import to_usd
from proxy.pipeline.notes import DRAINED, HUNG_UP
from proxy.routing.routers import BUILT
from proxy.stores.periods import Periods, periods
from proxy.wire.presets import id_of
from proxy.wire.record import Generation, Try


class Spent(NamedTuple):
    """What a key spent, in nano-dollars: ever, and since today's, this week's and this month's
    beginning (UTC; weeks begin on Monday).
    """

    total_nano: int
    daily_nano: int
    weekly_nano: int
    monthly_nano: int

    def since(self, reset: str | None) -> int:
        """What counts against a limit with this reset."""
        if reset is None:
            return self.total_nano
        since: int = getattr(self, f"{reset}_nano")
        return since


class Free(NamedTuple):
    """Requests of an account to free models today: how many it may make (0: no limit), and made."""

    limit: int
    used: int


Authenticate = Callable[[Request], Key | None]
SpentOf = Callable[[Key | None, Periods], Awaitable[Spent]]
BalanceOf = Callable[[str], Awaitable[Balance]]
FreeOf = Callable[[Balance], Awaitable[Free]]
Find = Callable[[str, Key | None], Awaitable[Generation | None]]


def routes(
    *,
    authenticate: Authenticate,
    spent: SpentOf,
    balance: BalanceOf,
    free: FreeOf,
    find: Find,
    now: Callable[[], float],
) -> list[BaseRoute]:
    """The routes below `/api/v1`. `authenticate` raises GatewayError; None is a caller who needs
    no key, and has the default account.
    """

    async def key(request: Request) -> Response:
        caller = authenticate(request)
        used = await spent(caller, periods(now()))
        stands = await balance(_account(caller))
        return answer({"data": key_row(caller, used, stands, await free(stands))})

    async def credits(request: Request) -> Response:
        caller = authenticate(request)
        if caller is not None and not caller.management:
            raise refusals.management_only()
        return answer({"data": credits_row(await balance(_account(caller)))})

    async def generation(request: Request) -> Response:
        caller = authenticate(request)
        id_ = request.query_params.get("id")
        if not id_:
            raise GatewayError("invalid_request", "id: required")
        row = await find(id_, caller)
        if row is None:
            raise GatewayError("not_found", f"Generation {id_[:100]!a} not found")
        return answer({"data": generation_row(row)})

    return [
        Route("/key", key),
        Route("/auth/key", key),
        Route("/credits", credits),
        Route("/generation", generation),
    ]


def _account(caller: Key | None) -> str:
    return "default" if caller is None else caller.account


def credits_row(balance: Balance) -> dict[str, Any]:
    """OpenRouter's `GET /credits`. The difference of the two is what is left, running requests
    included; charges that no credit was asked for are in neither.
    """
    return {
        "total_credits": to_usd(balance.granted_nano),
        "total_usage": to_usd(balance.charged_nano),
    }


def key_row(key: Key | None, spent: Spent, balance: Balance, free: Free) -> dict[str, Any]:
    """OpenRouter's `GET /key`. A quota of 0 is none: it is said as -1, as for `rate_limit`."""
    management = key is not None and key.management
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
        **limit_row(key, spent),
        "include_byok_in_limit": False,
        "is_free_tier": balance.granted_nano == 0,
        "is_management_key": management,
        "is_provisioning_key": management,
        "creator_user_id": None,
        "organization_id": None,
        "workspace_id": _account(key),
        "allowed_data_regions": [],
        "budgets": [],
        "effective_budget": None,
        "free_model_daily_requests": {
            "limit": free.limit or -1,
            "used": free.used,
            "remaining": max(0, free.limit - free.used) if free.limit else -1,
        },
        "rate_limit": {"requests": -1, "interval": "10s", "note": "This field is deprecated."},
    }
    if key is not None and key.expires_at is not None:
        row["expires_at"] = _rfc3339(key.expires_at)
    return row


def limit_row(key: Key | None, spent: Spent) -> dict[str, Any]:
    """What a key may spend in its period, and what is left of it: never below zero."""
    if key is None or key.limit_nano is None:
        return {"limit": None, "limit_remaining": None, "limit_reset": None}
    left_nano = max(0, key.limit_nano - spent.since(key.limit_reset))
    return {
        "limit": to_usd(key.limit_nano),
        "limit_remaining": to_usd(left_nano),
        "limit_reset": key.limit_reset,
    }


UNKNOWN = dict.fromkeys(
    (
        "request_id",
        "app_id",
        "moderation_latency",
        "external_user",
        "web_search_engine",
        "response_cache_source_id",
    )
)
"""Fields of a generation that clients insist on and that nothing here fills."""


API_TYPES = {
    "chat": "completions",
    "completion": "completions",
    "embeddings": "embeddings",
    "rerank": "rerank",
    "image": "image",
    "speech": "tts",
    "transcription": "stt",
}
"""OpenRouter's `api_type` of a generation, by what was asked for."""


def _router(row: Generation) -> str | None:
    """The router that chose the model, if one did: a provider may list a model of such a name."""
    base = (row.arm or row.requested_model).partition(":")[0]
    return base if base in BUILT and base != row.model else None


def generation_row(row: Generation) -> dict[str, Any]:
    """OpenRouter's `GET /generation`. Native counts are the only counts there are."""
    cost = to_usd(row.cost_nano or 0)
    return {
        **UNKNOWN,
        "id": row.id,
        "upstream_id": row.upstream_id,
        "total_cost": cost,
        "usage": cost,
        "router": _router(row),
        "preset_id": id_of(row.account, row.preset) if row.preset else None,
        "cache_discount": to_usd(row.saved_nano) if row.saved_nano else None,
        "upstream_inference_cost": (
            None if row.upstream_nano is None else to_usd(row.upstream_nano)
        ),
        "created_at": _rfc3339(row.created_at),
        "model": row.model,
        "api_type": API_TYPES.get(row.task),
        "api_format": row.words,
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
        "num_media_completion": row.images,
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
        "provider_responses": [_response(row, one) for one in row.attempts],
        "routing": routing_row(row),
    }


def _response(row: Generation, one: Try) -> dict[str, Any]:
    """`id` is left out where its provider gave none: the specification has no null for it."""
    response = {
        "provider_name": one.provider_name,
        "status": one.status,
        "latency": one.latency_ms,
        "is_byok": False,
        "endpoint_id": f"{one.provider}/{one.model}",
        "model_permaslug": row.model,
    }
    if row.upstream_id is not None and one.error in (None, HUNG_UP, DRAINED):
        response["id"] = row.upstream_id
    return response


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
