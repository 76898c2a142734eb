"""What a caller is told of how its request was routed, and of what a provider was sent.

`openrouter_metadata` is described in the contract, section 2.5; it is asked for by the header
`X-OpenRouter-Metadata`, as `debug.echo_upstream_body` is by the request.
"""

from typing import Any, Final

import orjson

from proxy.errors import KINDS
from proxy.pipeline.exchange import Exchange
from proxy.wire.record import Try

MEDIA_CHARS_MAX: Final = 4096  # of text without a space in it: no prose is so long, media is
_SHOWN_CHARS: Final = 64
_UNREACHED: Final = 502  # for an attempt that had no answer, and no error either


def told(exchange: Exchange) -> dict[str, Any]:
    """The object, as far as the request has come."""
    ask, plan = exchange.ask, exchange.plan
    endpoint = exchange.endpoint if exchange.error is None else None
    attempts = plan.attempts if plan is not None else ()
    seen = max(len(attempts), len(plan.candidates)) if plan is not None else 0
    models = {(one.provider.slug, one.model): model.id for model, one in attempts}
    available = [
        {"provider": one.provider.name, "model": model.id, "selected": one is endpoint}
        for model, one in attempts
    ]
    selected = endpoint.provider.name if endpoint is not None else "none"
    said = {
        "requested": ask.models[0] if ask is not None else "",
        "strategy": "fallback" if ask is not None and len(ask.models) > 1 else "direct",
        "region": None,
        "summary": f"available={len(available)}, selected={selected}",
        "attempt": len(exchange.tries),
        "is_byok": False,
        "endpoints": {"total": seen, "available": available},
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


def _status(tried: Try) -> int:
    """The provider's status; where it sent none, that which its error would have here."""
    if tried.status is not None:
        return tried.status
    kind = KINDS.get(tried.error or "")
    return _UNREACHED if kind is None else kind.status


def shown(body: bytes | None) -> dict[str, Any]:
    """A request's body as it can be shown: without its media. Keys are never part of a body; one
    that is no JSON is not shown.
    """
    try:
        said = _shortened(orjson.loads(body or b"{}"))
    except orjson.JSONDecodeError:
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
