"""What is left of an attempt when it is over: a note in the row, a line in the log, its usage."""

import logging
from typing import Final

from proxy.accounts.keys import Key
from proxy.errors import GatewayError
from proxy.pipeline.attempt import Attempt
from proxy.pipeline.exchange import Exchange
from proxy.pipeline.settle import estimate
from proxy.pipeline.visits import Visit
from proxy.wire.events import Usage
from proxy.wire.record import Try

log = logging.getLogger(__name__)

LOST: Final = "lost"
"""The `error` of an attempt that another one was faster than."""

HUNG_UP: Final = "hung_up"
"""The `error` of an attempt that was hung up on because its caller was gone."""

DRAINED: Final = "drained"
"""The same where it was then heard out for its usage; its time is that of the hang-up."""


def note(exchange: Exchange, visit: Visit, error: GatewayError | str | None, now: float) -> Try:
    """Puts one attempt down among those of its exchange; a failure is logged as well."""
    attempt, provider = visit.attempt, visit.endpoint.provider
    noted = Try(
        provider=visit.endpoint.tag,
        provider_name=provider.name,
        model=visit.endpoint.model,
        status=attempt.status,
        latency_ms=int((now - attempt.began_at) * 1000),
        error=error.kind if isinstance(error, GatewayError) else error,
        began_ms=int((attempt.began_at - exchange.started_at) * 1000),
        hedge=visit.hedge,
        dropped=exchange.dropped.get((visit.endpoint.tag, visit.endpoint.model), ()),
    )
    exchange.tries.append(noted)
    if isinstance(error, GatewayError):
        # The provider's words may repeat the prompt: what it answered is enough for the log.
        log.warning(
            "attempt failed",
            extra={
                "generation": exchange.id,
                "provider": noted.provider,
                "model": noted.model,
                "status": noted.status,
                "error": noted.error,
                "code": error.metadata.get("provider_code"),
                "time_ms": noted.latency_ms,
            },
        )
    return noted


def name_failures(exchange: Exchange, failed: GatewayError) -> None:
    """Tells the caller of the attempts before the last, as OpenRouter does (contract, 2.4)."""
    earlier = [
        {"provider": noted.provider_name, "code": noted.error, "status": noted.status}
        for noted in exchange.tries[:-1]
    ]
    if earlier:
        failed.metadata["previous_errors"] = earlier


def used(exchange: Exchange, attempt: Attempt) -> Usage:
    """What an attempt may have used: the provider's word, or else an estimate of the prompt and of
    what was said so far.
    """
    if attempt.heard.usage is not None:
        return attempt.heard.usage
    return estimate(exchange, attempt.heard)


def log_refusal(error: GatewayError, key: Key | None) -> None:
    """The one line of a request that was not admitted."""
    label = key.label if key else None
    log.info("refused", extra={"status": error.status, "error": error.kind, "key": label})
