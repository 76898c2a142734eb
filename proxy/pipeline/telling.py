"""What a caller is told of how its request was routed: OpenRouter's `openrouter_metadata`.

Contract, section 2.5; asked for by the header `X-OpenRouter-Metadata`.
"""

from typing import Any

from proxy.pipeline.exchange import Exchange


def told(exchange: Exchange) -> dict[str, Any]:
    """The object, as far as the request has come."""
    ask, plan, endpoint = exchange.ask, exchange.plan, exchange.endpoint
    attempts = plan.attempts if plan is not None else ()
    available = [
        {"provider": one.provider.name, "model": model.id, "selected": one is endpoint}
        for model, one in attempts
    ]
    requested = ask.models[0] if ask is not None else ""
    selected = endpoint.provider.name if endpoint is not None else "none"
    return {
        "requested": requested,
        "strategy": "fallback" if ask is not None and len(ask.models) > 1 else "direct",
        "region": None,
        "summary": f"available={len(available)}, selected={selected}",
        "attempt": len(exchange.tries),
        "is_byok": False,
        "endpoints": {"total": len(available), "available": available},
        "attempts": [
            {"provider": one.provider, "model": one.model, "status": one.status}
            for one in exchange.tries
        ],
    }
