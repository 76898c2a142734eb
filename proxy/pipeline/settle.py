"""The end of a request: what was used, what it cost, and the row that is kept of it.

Where the provider gave no usage it is estimated: four bytes of UTF-8 text are a token, a message
costs four more, an image or file a thousand. Measured against recorded usage this is as near as a
real vocabulary that is not the model's own (docs/decisions), and needs none of the text kept.
"""

from typing import Any

from proxy.money import cost_of
from proxy.pipeline.exchange import Exchange
from proxy.wire.events import Audio, Event, Reasoning, Refusal, Text, ToolCall, Usage
from proxy.wire.record import Generation

BYTES_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4
TOKENS_PER_MEDIUM = 1000

CLIENT_CLOSED = 499  # nginx's status for a caller that hung up; it is only ever in our own record


def settle(exchange: Exchange, *, now: float) -> Generation:
    """Fixes usage and cost of a finished exchange and gives its row. `now` is the loop's clock.

    A request that failed, or was given up before anything of the answer came, costs the caller
    nothing, whatever the provider counted (OpenRouter, "Zero completion insurance"); a hang-up
    later costs what was delivered.
    """
    assert not exchange.settled, "an exchange is settled once"
    exchange.settled = True
    nothing = exchange.cancelled and exchange.content_at is None
    if exchange.error is None and not nothing and exchange.endpoint is not None:
        exchange.usage = exchange.usage or estimate(exchange)
        pricing = exchange.endpoint.pricing
        exchange.cost = cost_of(exchange.usage, pricing) if pricing is not None else None
    else:
        exchange.usage = None
    return _row(exchange, now=now)


def estimate(exchange: Exchange) -> Usage:
    """Usage guessed from the bytes of text, marked as such."""
    ask = exchange.ask
    assert ask is not None
    messages = ask.body["messages"]
    size = sum(_text_bytes(message.get("content")) for message in messages)
    prompt = -(-size // BYTES_PER_TOKEN) + TOKENS_PER_MESSAGE * len(messages)
    prompt += TOKENS_PER_MEDIUM * (ask.media_prompt + ask.audio_prompt)
    completion = -(-exchange.said_bytes // BYTES_PER_TOKEN)
    return Usage(prompt_tokens=prompt, completion_tokens=completion, estimated=True)


def said_bytes(event: Event) -> int:
    """How much text an event of an answer has in it; `estimate` goes by their sum."""
    match event:
        case Text() | Refusal() | Reasoning():
            return len(event.text.encode())
        case ToolCall():
            return len(event.arguments) + len(event.name or "")
        case Audio():
            return len(event.audio.get("transcript") or "")
    return 0


def _text_bytes(content: Any) -> int:
    if isinstance(content, str):
        return len(content.encode())
    if isinstance(content, list):
        return sum(len(str(part.get("text") or "").encode()) for part in content)
    return 0


def _row(exchange: Exchange, *, now: float) -> Generation:
    ask, model, endpoint, key = exchange.ask, exchange.model, exchange.endpoint, exchange.key
    usage = exchange.usage or Usage()
    begun = exchange.started_at
    content_at = exchange.content_at
    error = exchange.error
    return Generation(
        id=exchange.id,
        created_at=exchange.created_at,
        key_hash=key.hash if key else None,
        account=key.account if key else "default",
        model=model.id if model else "",
        requested_model=ask.models[0] if ask else "",
        provider=endpoint.provider.slug if endpoint else "",
        provider_name=endpoint.provider.name if endpoint else "",
        endpoint_model=endpoint.model if endpoint else "",
        upstream_id=exchange.opened.upstream_id,
        streamed=ask.stream if ask else False,
        cancelled=exchange.cancelled,
        status=error.status if error else CLIENT_CLOSED if exchange.cancelled else 200,
        error=error.kind if error else None,
        finish_reason="error" if error else exchange.finish_reason,
        native_finish_reason=exchange.native_finish_reason,
        latency_ms=None if content_at is None else int((content_at - begun) * 1000),
        generation_time_ms=int((now - begun) * 1000),
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        image_tokens=usage.completion_image_tokens,
        usage_estimated=usage.estimated,
        cost_nano=_cost_nano(exchange),
        service_tier=exchange.opened.service_tier,
        media_prompt=ask.media_prompt if ask else 0,
        audio_prompt=ask.audio_prompt if ask else 0,
        session_id=(ask.session_id if ask else None) or exchange.origin.get("session_id"),
        http_referer=exchange.origin.get("http_referer"),
        title=exchange.origin.get("title"),
        user_agent=exchange.origin.get("user_agent"),
        attempts=tuple(exchange.tries),
    )


def _cost_nano(exchange: Exchange) -> int | None:
    """None says that tokens were used and nobody knows their price."""
    if exchange.cost is not None:
        return exchange.cost.total_nano
    return 0 if exchange.usage is None else None
