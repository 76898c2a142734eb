"""A ranking as OpenRouter's callers read it.

Contract: `createRerank` in OpenRouter's API description, and recorded traffic.
"""

from collections.abc import Iterable
from typing import Any

import orjson

from proxy.dialects.asking import Encoded
from proxy.dialects.chat.stream import encode_usage
from proxy.dialects.forms import Bill
from proxy.errors import GatewayError
from proxy.wire.events import Event, Produced
from proxy.wire.request import Ask, Head


def encode_answer(events: Iterable[Event], head: Head, ask: Ask, bill: Bill) -> Encoded:
    """The best documents first, each as the caller sent it; no more than were asked for."""
    ranked = [one for event in events if isinstance(event, Produced) for one in event.value]
    documents = ask.body["documents"]
    named = {one["index"]: one for one in reversed(ranked) if one["index"] < len(documents)}
    best = sorted(named.values(), key=lambda one: -one["relevance_score"])
    answer: dict[str, Any] = {
        "model": head.model,
        "results": [
            {**one, "document": _document(documents[one["index"]])}
            for one in best[: ask.body.get("top_n")]
        ],
        "usage": _usage(bill),
        "provider": head.provider,
        "id": head.id,
    }
    if bill.routing is not None:
        answer["openrouter_metadata"] = bill.routing
    return Encoded(orjson.dumps(answer))


def check(events: Iterable[Event], ask: Ask) -> None:
    """Raises GatewayError `provider_malformed` where it ranks nothing, or what was not sent."""
    for event in events:
        if isinstance(event, Produced):
            places, documents = {one["index"] for one in event.value}, len(ask.body["documents"])
            if not places or max(places) >= documents:
                raise GatewayError(
                    "provider_malformed", "The provider's ranking is not of these documents."
                )


def _document(said: Any) -> dict[str, Any]:
    if isinstance(said, str):
        return {"text": said}
    return {name: said[name] for name in ("text", "image") if said.get(name) is not None}


def _usage(bill: Bill) -> dict[str, Any]:
    """What was counted: tokens, or search units, or both."""
    whole = encode_usage(bill.usage, bill.cost)
    usage: dict[str, Any] = {}
    if whole["total_tokens"]:
        usage["total_tokens"] = whole["total_tokens"]
    if bill.usage.search_units:
        usage["search_units"] = bill.usage.search_units
    return usage | {"cost": whole["cost"]}
