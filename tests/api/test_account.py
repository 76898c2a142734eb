"""What a key may know of itself: its usage by period, and the generations made with it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from openrouter import components, operations
from starlette.requests import Request
from starlette.types import ASGIApp

from proxy.accounts.keys import Key, mint
from proxy.api import account
from proxy.api.account import Periods, Spent, generation_row, key_row, periods
from proxy.app import App
from proxy.errors import GatewayError
from proxy.wire.record import Generation, Try
from tests.asgi import call

# The SDK warns of a field of its own that OpenRouter will drop; until then it insists on it.
pytestmark = pytest.mark.filterwarnings("ignore:warning. .. DEPRECATED:DeprecationWarning")

NOW = 1_779_474_928.5
_, KEY = mint("mine", token_hex=lambda size: "ab" * size, now=NOW)
SPENT = Spent(4_000_000_001, 3_000_000_000, 2_500_000_000, 1)
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
    id="gen-1-b", created_at=0.0, status=502, error="provider_cut", cost_nano=None, cancelled=True
)


def app_of(key: Key | None = KEY, *rows: Generation, error: GatewayError | None = None) -> ASGIApp:
    """The routes for one caller, who owns `rows`."""

    def authenticate(_: Request) -> Key | None:
        if error is not None:
            raise error
        return key

    async def spent(_: Key | None, since: Periods) -> Spent:
        assert since == periods(NOW)
        return SPENT

    async def find(id_: str, caller: Key | None) -> Generation | None:
        return next((r for r in rows if r.id == id_ and caller == key), None)

    return App(
        inference={},
        routes=account.routes(authenticate=authenticate, spent=spent, find=find, now=lambda: NOW),
        health=lambda: (200, {}),
        ready=lambda: (200, {}),
        metrics=lambda: b"",
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
    row = key_row(replace(KEY, expires_at=NOW), SPENT)
    assert row["expires_at"] == "2026-05-22T18:35:28.500+00:00"
    parsed = operations.GetCurrentKeyData.model_validate(row)
    assert parsed.expires_at == datetime.fromtimestamp(NOW, UTC)


def test_who_needs_no_key_has_none() -> None:
    row = key_row(None, Spent(0, 0, 0, 0))
    assert operations.GetCurrentKeyData.model_validate(row).label == "none"
    assert row["usage"] == 0


@pytest.mark.parametrize("row", [ROW, FAILED], ids=["answered", "failed"])
async def test_the_official_sdk_reads_a_generation(row: Generation) -> None:
    body = (await call(app_of(KEY, row), "GET", "/v1/generation", query=f"id={row.id}")).json
    assert set(body["data"]) >= required(components.GenerationResponseData)
    assert components.GenerationResponse.model_validate(body).data.id == row.id


def test_a_generation_says_what_it_cost_and_who_answered() -> None:
    data = generation_row(ROW)
    assert data["total_cost"] == data["usage"] == data["upstream_inference_cost"] == 0.000069
    assert data["created_at"] == "2026-05-22T18:35:28.500+00:00"
    assert (data["tokens_prompt"], data["native_tokens_prompt"]) == (10, 10)
    assert (data["tokens_completion"], data["native_tokens_completion"]) == (20, 20)
    assert (data["native_tokens_cached"], data["native_tokens_reasoning"]) == (4, 5)
    assert (data["latency"], data["generation_time"]) == (120, 900)
    assert (data["provider_name"], data["upstream_id"]) == ("Acme AI", "chatcmpl-1")
    assert (data["finish_reason"], data["native_finish_reason"]) == ("stop", "end_turn")
    assert data["origin"] == data["http_referer"] == "https://app.example"
    first, second = data["provider_responses"]
    assert (first["status"], first["id"], first["endpoint_id"]) == (None, None, "p0/m")
    assert (second["status"], second["id"], second["latency"]) == (200, "chatcmpl-1", 110)


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


@pytest.mark.parametrize("path", ["/key", "/auth/key", "/generation"])
async def test_who_may_not_learns_nothing_else(path: str) -> None:
    app = app_of(error=GatewayError("unauthenticated", "User not found."))
    answer = await call(app, "GET", f"/api/v1{path}")
    assert (answer.status, answer.error["message"]) == (401, "User not found.")


@given(st.floats(0, 4_000_000_000))
def test_periods_begin_where_the_calendar_says(now: float) -> None:
    moment = datetime.fromtimestamp(now, UTC)
    since = periods(now)
    day, week, month = (datetime.fromtimestamp(start, UTC) for start in since)
    assert all(start <= now for start in since)
    for start in (day, week, month):
        assert (start.hour, start.minute, start.second, start.microsecond) == (0, 0, 0, 0)
    assert day.date() == moment.date()
    assert week.weekday() == 0
    assert moment - week < timedelta(days=7)
    assert (month.year, month.month, month.day) == (moment.year, moment.month, 1)
