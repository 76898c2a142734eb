"""An answer with embeddings, as OpenRouter's callers read it.

Contract: `createEmbeddings` in OpenRouter's API description, and recorded traffic.
"""

from collections.abc import Iterable
from typing import Any

import orjson

from proxy.dialects.asking import Encoded
from proxy.dialects.chat.stream import encode_usage
from proxy.dialects.embeddings.vectors import floats, packed
from proxy.dialects.forms import Bill
from proxy.errors import GatewayError
from proxy.wire.events import Event, Produced
from proxy.wire.request import Ask, Head


def encode_answer(events: Iterable[Event], head: Head, ask: Ask, bill: Bill) -> Encoded:
    """The vectors in the order of their inputs, as numbers or, where asked for, as base64."""
    vectors = [event.value for event in events if isinstance(event, Produced)]
    vectors.sort(key=lambda one: one["index"])
    written = packed if ask.body.get("encoding_format") == "base64" else floats
    data = [
        {"object": "embedding", "embedding": written(one["embedding"]), "index": one["index"]}
        for one in vectors
    ]
    answer: dict[str, Any] = {
        "object": "list",
        "data": data,
        "model": head.model,
        "usage": _usage(bill),
        "provider": head.provider,
        "id": head.id,
    }
    if bill.routing is not None:
        answer["openrouter_metadata"] = bill.routing
    return Encoded(orjson.dumps(answer))


def check(events: Iterable[Event], ask: Ask) -> None:
    """Raises GatewayError `provider_malformed` where not every input has one vector: whoever pairs
    them by their places would take one for another's.
    """
    places = sorted(event.value["index"] for event in events if isinstance(event, Produced))
    inputs = ask.body.get("messages") or ask.body["input"]
    if places and places != list(range(len(inputs))):
        raise GatewayError("provider_malformed", "The provider's vectors are not of these inputs.")


def _usage(bill: Bill) -> dict[str, Any]:
    """OpenRouter's `usage` where there is no completion; kinds of input where there are several."""
    counted, whole = bill.usage, encode_usage(bill.usage, bill.cost)
    names = ("prompt_tokens", "total_tokens", "cost", "is_byok", "cost_details")
    usage = {name: whole[name] for name in names}
    media = {
        "image_tokens": counted.prompt_image_tokens,
        "audio_tokens": counted.prompt_audio_tokens,
        "video_tokens": counted.prompt_video_tokens,
    }
    text = {"text_tokens": counted.prompt_tokens - sum(media.values())}
    kinds = {name: count for name, count in (text | media).items() if count > 0}
    return usage | {"prompt_tokens_details": kinds} if len(kinds) > 1 else usage
