"""What is left of an attempt: its note, its line in the log, what it may have used."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.dialects import OUTBOUND
from proxy.errors import GatewayError
from proxy.pipeline.attempt import Attempt
from proxy.pipeline.exchange import Exchange
from proxy.pipeline.notes import LOST, name_failures, note, used
from proxy.wire.events import Usage
from proxy.wire.request import Ask
from tests.stage import JSON, endpoint, model, snapshot


def _attempt() -> tuple[Exchange, Attempt]:
    exchange = Exchange(id="gen-1", created_at=1.0, started_at=10.0, snapshot=snapshot())
    body = {"messages": [{"role": "user", "content": "x" * 40}]}
    exchange.ask = Ask(models=("m",), body=body)
    served = endpoint("p0")
    attempt = Attempt(
        exchange,
        model("test/one", served),
        served,
        encoder=None,
        ring=lambda: None,
        clock=lambda: 12.5,
    )
    attempt.read_as(OUTBOUND["openai"])
    return exchange, attempt


def _visit(attempt: Attempt, *, hedge: bool = False) -> Any:
    return SimpleNamespace(attempt=attempt, endpoint=attempt.endpoint, hedge=hedge)


@pytest.mark.parametrize(
    ("error", "kind"),
    [(None, None), (LOST, "lost"), (GatewayError("provider_cut", "secret"), "provider_cut")],
)
def test_a_note(
    error: GatewayError | str | None, kind: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    exchange, attempt = _attempt()
    attempt.head(200, JSON)
    noted = note(exchange, _visit(attempt, hedge=True), error, 13.0)
    assert exchange.tries == [noted]
    assert (noted.provider, noted.provider_name, noted.model) == ("p0", "P0", "p0-model")
    assert (noted.status, noted.error, noted.hedge) == (200, kind, True)
    assert (noted.began_ms, noted.latency_ms) == (2500, 500)
    assert [record.message for record in caplog.records] == (
        ["attempt failed"] if isinstance(error, GatewayError) else []
    )
    assert "secret" not in caplog.text


def test_the_log_tells_the_providers_own_code(caplog: pytest.LogCaptureFixture) -> None:
    exchange, attempt = _attempt()
    error = GatewayError("provider_cut", "no", metadata={"provider_code": "busy"})
    with caplog.at_level(logging.WARNING):
        note(exchange, _visit(attempt), error, 13.0)
    line = vars(caplog.records[0])
    assert (line["code"], line["generation"], line["time_ms"]) == ("busy", "gen-1", 500)


def test_all_but_the_last_failure_are_named() -> None:
    exchange, attempt = _attempt()
    failed = GatewayError("provider_cut", "no")
    note(exchange, _visit(attempt), failed, 13.0)
    name_failures(exchange, failed)
    assert "previous_errors" not in failed.metadata
    note(exchange, _visit(attempt), failed, 14.0)
    name_failures(exchange, failed)
    assert failed.metadata["previous_errors"] == [
        {"provider": "P0", "code": "provider_cut", "status": None}
    ]


def test_what_an_attempt_may_have_used() -> None:
    exchange, attempt = _attempt()
    attempt.heard.said_bytes = 9
    guess = used(exchange, attempt)
    assert (guess.completion_tokens, guess.estimated) == (3, True)
    assert guess.prompt_tokens >= 10
    told = attempt.heard.usage = Usage(prompt_tokens=1, completion_tokens=2)
    assert used(exchange, attempt) is told
