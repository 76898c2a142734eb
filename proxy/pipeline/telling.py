"""What a caller is told of how its request was routed, and of what a provider was sent.

`openrouter_metadata` is described in the contract, section 2.5; it is asked for by the header
`X-OpenRouter-Metadata`, as `debug.echo_upstream_body` is by the request.
"""

from contextlib import suppress
from typing import Any, Final

import orjson

from proxy.errors import KINDS, GatewayError
from proxy.pipeline.exchange import Exchange
from proxy.routing import availability
from proxy.routing.names import resolve
from proxy.wire.record import Try

MEDIA_CHARS_MAX: Final = 4096  # of text without a space in it: no prose is so long, media is
_SHOWN_CHARS: Final = 64
_ROUTERS: Final = {
    "openrouter/auto": "auto",
    "openrouter/auto-beta": "auto",
    "openrouter/free": "free",
}
_UNREACHED: Final = 502  # for an attempt that had no answer, and no error either


def told(exchange: Exchange) -> dict[str, Any]:
    """The object, as far as the request has come."""
    plan = exchange.plan
    endpoint = exchange.endpoint if exchange.error is None else None
    attempts = plan.attempts if plan is not None else ()
    models = {(one.tag, one.model): model.id for model, one in attempts}
    available = [
        {"provider": one.provider.name, "model": model.id, "selected": one is endpoint}
        for model, one in attempts
    ]
    selected = endpoint.provider.name if endpoint is not None else "none"
    said = {
        "requested": exchange.requested,
        "strategy": _strategy(exchange),
        "region": None,
        "summary": f"available={len(available)}, selected={selected}",
        "attempt": len(exchange.tries),
        "is_byok": False,
        "endpoints": {"total": _total(exchange), "available": available},
        "attempts": [
            {
                "provider": one.provider_name,
                "model": models.get((one.provider, one.model), one.model),
                "status": _status(one),
            }
            for one in exchange.tries
        ],
    }
    if exchange.read_bytes:
        said["pipeline"] = [{"type": "plugin", "name": "file-parser", "summary": "Files were read"}]
    answered = [one.latency_ms for one in exchange.tries if one.error is None]
    if answered:
        said["generation_time"] = answered[-1]
    return said


def _total(exchange: Exchange) -> int:
    """How many endpoints the models have that were asked for; where nobody was left, all of them
    were looked at.
    """
    plan, ask = exchange.plan, exchange.ask
    if plan is not None:
        return max(len(plan.attempts), len(plan.candidates))
    total = 0
    for name in ask.models if ask is not None else ():
        with suppress(GatewayError):
            total += len(resolve(name, exchange.snapshot.catalogue).model.endpoints)
    return total


def _strategy(exchange: Exchange) -> str:
    """By what the model was chosen, in OpenRouter's words."""
    base = exchange.requested.partition(":")[0]
    if base in _ROUTERS:
        return _ROUTERS[base]
    if base.startswith("~"):
        return "latest"
    if exchange.arm is not None:
        return "alias"
    ask = exchange.ask
    return "fallback" if ask is not None and len(ask.models) > 1 else "direct"


def explain(exchange: Exchange, error: GatewayError) -> None:
    """Puts `availability` beside an error of who could answer, once the request is read."""
    if exchange.ask is not None:
        tried = [one.provider.partition("/")[0] for one in exchange.tries]
        passed = [endpoint.provider.slug for endpoint, _ in exchange.skips]
        availability.explain(error, exchange.ask.models, tried or passed)


def _status(tried: Try) -> int:
    """The provider's status; where it sent none, that which its error would have here."""
    if tried.status is not None:
        return tried.status
    kind = KINDS.get(tried.error or "")
    return _UNREACHED if kind is None else kind.status


def shown(body: bytes | None) -> dict[str, Any]:
    """A request's body as it can be shown: without its media. Keys are never part of a body; one
    that is no JSON, or too deep, is not shown.
    """
    try:
        said = _shortened(orjson.loads(body or b"{}"))
    except (orjson.JSONDecodeError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shortened(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_shortened(one) for one in value]
    if isinstance(value, str) and len(value) > MEDIA_CHARS_MAX and " " not in value:
        return f"{value[:_SHOWN_CHARS]}… ({len(value)} characters)"
    return value
