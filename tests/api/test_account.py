"""What a key may know of itself: usage and limit by period, credit, and its generations."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from openrouter import components, operations
from starlette.requests import Request
from starlette.types import ASGIApp

from proxy.accounts.keys import Key, mint
from proxy.accounts.ledger import Balance
from proxy.api import account
from proxy.api.account import Free, Spent, credits_row, generation_row, key_row
from proxy.api.explain import routing_row
from proxy.app import App
from proxy.errors import GatewayError
from proxy.stores.periods import Periods, periods
from proxy.wire.record import Generation, Try
from tests.asgi import call

# The SDK warns of a field of its own that OpenRouter will drop; until then it insists on it.
pytestmark = pytest.mark.filterwarnings("ignore:warning. .. DEPRECATED:DeprecationWarning")

NOW = 1_779_474_928.5
_, KEY = mint("mine", token_hex=lambda size: "ab" * size, now=NOW)
MANAGEMENT = replace(KEY, account="team", management=True)
SPENT = Spent(4_000_000_001, 3_000_000_000, 2_500_000_000, 1)
NONE = Spent(0, 0, 0, 0)
FREE = Free(limit=50, used=7)


def balance(account: str = "default", granted_nano: int = 100_500_000_000) -> Balance:
    charged, leased = granted_nano // 4, granted_nano // 10
    return Balance(
        account=account,
        granted_nano=granted_nano,
        charged_nano=charged,
        unbilled_nano=3,
        available_nano=granted_nano - charged - leased,
        leased_nano=leased,
    )


ROW = Generation(
    id="gen-1-a",
    created_at=NOW,
    key_hash=KEY.hash,
    model="acme/large",
    provider="acme",
    provider_name="Acme AI",
    endpoint_model="large",
    upstream_id="chatcmpl-1",
    streamed=True,
    finish_reason="stop",
    native_finish_reason="end_turn",
    latency_ms=120,
    generation_time_ms=900,
    prompt_tokens=10,
    completion_tokens=20,
    cached_tokens=4,
    reasoning_tokens=5,
    cost_nano=69_000,
    upstream_nano=65_000,
    http_referer="https://app.example",
    user_agent="curl",
    session_id="s",
    attempts=(
        Try(
            provider="p0", provider_name="P0", model="m", status=None, latency_ms=7,
            error="provider_unreachable",
        ),
        Try(provider="acme", provider_name="Acme AI", model="large", status=200, latency_ms=110),
    ),
)  # fmt: skip
FAILED = Generation(
    id="gen-1-b", created_at=0.0, status=502, error="provider_cut", cost_nano=None,
    upstream_nano=None, cancelled=True,
)  # fmt: skip


def app_of(key: Key | None = KEY, *rows: Generation, error: GatewayError | None = None) -> ASGIApp:
    """The routes for one caller, who owns `rows`."""

    def authenticate(_: Request) -> Key | None:
        if error is not None:
            raise error
        return key

    async def spent(_: Key | None, since: Periods) -> Spent:
        assert since == periods(NOW)
        return SPENT

    async def balance_of(name: str) -> Balance:
        assert name == (key.account if key else "default")
        return balance(name)

    async def free(stands: Balance) -> Free:
        assert stands.granted_nano == 100_500_000_000
        return FREE

    async def metrics() -> bytes:
        return b""

    async def find(id_: str, caller: Key | None) -> Generation | None:
        return next((r for r in rows if r.id == id_ and caller == key), None)

    return App(
        inference={},
        routes=account.routes(
            authenticate=authenticate,
            spent=spent,
            balance=balance_of,
            free=free,
            find=find,
            now=lambda: NOW,
        ),
        health=lambda: (200, {}),
        ready=lambda: (200, {}),
        metrics=metrics,
    )


def required(component: Any) -> set[str]:
    return {name for name, field in component.model_fields.items() if field.is_required()}


@pytest.mark.parametrize("path", ["/api/v1/key", "/v1/key", "/api/v1/auth/key"])
async def test_a_key_sees_what_it_spent(path: str) -> None:
    body = (await call(app_of(), "GET", path)).json
    assert set(body["data"]) >= required(operations.GetCurrentKeyData)
    parsed = operations.GetCurrentKeyResponse.model_validate(body).data
    assert parsed.label == KEY.label == "sk-or-v1-aba...bab"
    assert (parsed.usage, parsed.usage_daily) == (4.000000001, 3)
    assert (parsed.usage_weekly, parsed.usage_monthly) == (2.5, 1e-9)
    assert (parsed.limit, parsed.limit_remaining, parsed.is_free_tier) == (None, None, False)
    assert "expires_at" not in body["data"]


def test_a_key_that_ends_says_when() -> None:
    row = key_row(replace(KEY, expires_at=NOW), SPENT, balance(), FREE)
    assert row["expires_at"] == "2026-05-22T18:35:28.500+00:00"
    parsed = operations.GetCurrentKeyData.model_validate(row)
    assert parsed.expires_at == datetime.fromtimestamp(NOW, UTC)


def test_who_needs_no_key_has_none() -> None:
    row = key_row(None, NONE, balance(granted_nano=0), FREE)
    assert operations.GetCurrentKeyData.model_validate(row).label == "none"
    assert (row["usage"], row["limit"], row["workspace_id"]) == (0, None, "default")
    assert row["is_management_key"] is False


@pytest.mark.parametrize(
    ("reset", "left"),
    [(None, 0.999999999), ("daily", 2), ("weekly", 2.5), ("monthly", 4.999999999)],
)
async def test_a_limited_key_sees_what_is_left_of_its_period(
    reset: str | None, left: float
) -> None:
    limited = replace(KEY, limit_nano=5_000_000_000, limit_reset=reset)
    body = (await call(app_of(limited), "GET", "/api/v1/key")).json
    parsed = operations.GetCurrentKeyResponse.model_validate(body).data
    assert (parsed.limit, parsed.limit_remaining, parsed.limit_reset) == (5, left, reset)


@given(st.integers(0, 2**62), st.integers(0, 2**62))
def test_less_than_nothing_is_never_left(limit_nano: int, spent_nano: int) -> None:
    limited = replace(KEY, limit_nano=limit_nano)
    row = key_row(limited, NONE._replace(total_nano=spent_nano), balance(), FREE)
    assert row["limit_remaining"] == max(0, limit_nano - spent_nano) / 10**9


@pytest.mark.parametrize(
    ("free", "said"),
    [
        (Free(50, 7), {"limit": 50, "used": 7, "remaining": 43}),
        (Free(50, 51), {"limit": 50, "used": 51, "remaining": 0}),
        (Free(0, 7), {"limit": -1, "used": 7, "remaining": -1}),
    ],
)
def test_a_key_says_how_often_it_may_ask_for_free(free: Free, said: dict[str, int]) -> None:
    assert key_row(KEY, SPENT, balance(), free)["free_model_daily_requests"] == said


def test_who_never_bought_credit_is_of_the_free_tier() -> None:
    assert key_row(KEY, SPENT, balance(granted_nano=0), FREE)["is_free_tier"] is True
    assert key_row(KEY, SPENT, balance(granted_nano=1), FREE)["is_free_tier"] is False


async def test_a_management_key_says_so() -> None:
    body = (await call(app_of(MANAGEMENT), "GET", "/api/v1/key")).json
    parsed = operations.GetCurrentKeyResponse.model_validate(body).data
    assert parsed.is_management_key
    assert parsed.is_provisioning_key
    assert parsed.workspace_id == "team"


@pytest.mark.parametrize("caller", [MANAGEMENT, None], ids=["management", "no key needed"])
@pytest.mark.parametrize("path", ["/api/v1/credits", "/v1/credits"])
async def test_the_credit_of_an_account(caller: Key | None, path: str) -> None:
    answer = await call(app_of(caller), "GET", path)
    assert operations.GetCreditsResponse.model_validate(answer.json).data.total_credits == 100.5
    assert answer.json == {"data": {"total_credits": 100.5, "total_usage": 25.125}}


async def test_only_a_management_key_sees_the_credit() -> None:
    answer = await call(app_of(KEY), "GET", "/api/v1/credits")
    assert answer.status == 403
    assert answer.error["message"] == "Only management keys can perform this operation"
    assert answer.error["metadata"]["error_type"] == "permission_denied"


def test_the_difference_is_what_is_left() -> None:
    stands = balance()
    row = credits_row(stands)
    left = (stands.available_nano + stands.leased_nano) / 1e9
    assert row["total_credits"] - row["total_usage"] == left


@pytest.mark.parametrize("row", [ROW, FAILED], ids=["answered", "failed"])
async def test_the_official_sdk_reads_a_generation(row: Generation) -> None:
    body = (await call(app_of(KEY, row), "GET", "/v1/generation", query=f"id={row.id}")).json
    assert set(body["data"]) >= required(components.GenerationResponseData)
    assert components.GenerationResponse.model_validate(body).data.id == row.id


def test_a_generation_says_what_it_cost_and_who_answered() -> None:
    data = generation_row(ROW)
    assert data["total_cost"] == data["usage"] == 0.000069
    assert data["cache_discount"] is None
    for saved_nano in (250_000, -250_000):
        discount = generation_row(replace(ROW, saved_nano=saved_nano))["cache_discount"]
        assert discount == saved_nano / 1e9
    assert data["upstream_inference_cost"] == 0.000065
    assert data["created_at"] == "2026-05-22T18:35:28.500+00:00"
    assert (data["tokens_prompt"], data["native_tokens_prompt"]) == (10, 10)
    assert (data["tokens_completion"], data["native_tokens_completion"]) == (20, 20)
    assert (data["native_tokens_cached"], data["native_tokens_reasoning"]) == (4, 5)
    assert (data["latency"], data["generation_time"]) == (120, 900)
    assert (data["provider_name"], data["upstream_id"]) == ("Acme AI", "chatcmpl-1")
    assert (data["finish_reason"], data["native_finish_reason"]) == ("stop", "end_turn")
    assert data["origin"] == data["http_referer"] == "https://app.example"
    first, second = data["provider_responses"]
    assert (first["status"], first["endpoint_id"]) == (None, "p0/m")
    assert "id" not in first  # OpenRouter's specification has no null for it
    assert (second["status"], second["id"], second["latency"]) == (200, "chatcmpl-1", 110)
    assert data["routing"] == routing_row(ROW)
    nameless = generation_row(replace(ROW, upstream_id=None))["provider_responses"]
    assert [("id" in one) for one in nameless] == [False, False]


@pytest.mark.parametrize(
    ("task", "type_"),
    [
        ("chat", "completions"),
        ("completion", "completions"),
        ("embeddings", "embeddings"),
        ("rerank", "rerank"),
        ("image", "image"),
        ("speech", "tts"),
        ("transcription", "stt"),
    ],
)
def test_a_generation_says_what_was_asked_for(task: str, type_: str) -> None:
    told = generation_row(
        Generation(id="gen-1", created_at=0.0, task=task, words="messages", images=2)
    )
    assert told["api_type"] == type_
    assert told["api_format"] == "messages"
    assert told["num_media_completion"] == 2


def test_a_generation_without_price_costs_nothing_and_says_so() -> None:
    data = generation_row(FAILED)
    assert (data["total_cost"], data["upstream_inference_cost"]) == (0, None)
    assert (data["provider_name"], data["origin"]) == (None, "")
    assert data["cancelled"] is True


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("", 400, "id: required"),
        ("id=", 400, "id: required"),
        ("ID=gen-1-a", 400, "id: required"),
        ("id=gen-1-c", 404, "Generation 'gen-1-c' not found"),
        ("id=gen-1-a&id=gen-1-c", 404, "Generation 'gen-1-c' not found"),
        ("id=%00%ff%1b", 404, r"Generation '\x00\ufffd\x1b' not found"),
        (f"id={'x' * 9000}", 404, f"Generation '{'x' * 100}' not found"),
    ],
)
async def test_a_generation_that_is_not_there(query: str, status: int, message: str) -> None:
    answer = await call(app_of(KEY, ROW), "GET", "/api/v1/generation", query=query)
    assert answer.status == status
    assert answer.error["message"] == message


@pytest.mark.parametrize("path", ["/key", "/auth/key", "/credits", "/generation"])
async def test_who_may_not_learns_nothing_else(path: str) -> None:
    app = app_of(error=GatewayError("unauthenticated", "User not found."))
    answer = await call(app, "GET", f"/api/v1{path}")
    assert (answer.status, answer.error["message"]) == (401, "User not found.")


@pytest.mark.parametrize(
    ("row", "router"),
    [
        (Generation(id="g", created_at=0.0, requested_model="openrouter/auto:floor"), True),
        (Generation(id="g", created_at=0.0, requested_model="a/x", arm="openrouter/auto"), True),
        (Generation(id="g", created_at=0.0, requested_model="a/b", model="a/b"), False),
        (
            Generation(
                id="g",
                created_at=0.0,
                requested_model="openrouter/auto",
                model="openrouter/auto",
            ),
            False,
        ),
    ],
)
def test_a_generation_names_the_router_that_chose_its_model(row: Generation, router: bool) -> None:
    assert generation_row(row)["router"] == ("openrouter/auto" if router else None)
