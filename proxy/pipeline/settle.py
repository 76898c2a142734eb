"""The end of a request: what was used, what it cost, who pays, and the row that is kept of it.

Where the provider gave no usage it is estimated: four bytes of UTF-8 text are a token, a message
costs four more, an image or file a thousand. Measured against recorded usage this is as near as a
real vocabulary that is not the model's own (docs/decisions), and needs none of the text kept.
"""

from msgspec.structs import replace

from proxy.accounts.ledger import Settlement
from proxy.dialects.chat.request import TOKENS_MAX
from proxy.money import cost_of
from proxy.pipeline.admit import account_of
from proxy.pipeline.bounds import SEARCHES_MAX, prompt_bound, searches_of, within
from proxy.pipeline.exchange import Exchange
from proxy.pipeline.guess import prompt_tokens
from proxy.pipeline.heard import Heard, with_searches, with_units
from proxy.wire.events import (
    Audio,
    Event,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Usage,
)
from proxy.wire.record import Candidate, Generation
from proxy.wire.tokens import likely_tokens

_NO_USAGE = Usage()
UNSEEN_TOKENS_MAX = 131_072  # of reasoning and media, where the endpoint does not say its limit
MORE_PROMPT_TOKENS = 65_536  # than the prompt's bytes: the most in recorded traffic is 22,399
MORE_TOKENS = 8192  # than the answer's bytes: the most in recorded traffic is 2,528

CLIENT_CLOSED = 499  # nginx's status for a caller that hung up; it is only ever in our own record


def reckon(exchange: Exchange) -> int:
    """Fixes usage and cost of an exchange that is over; what its caller owes in nano-dollars.

    A request that failed, was given up before anything of the answer came, or was answered with
    nothing, costs the caller nothing, whatever the provider counted (OpenRouter, "Zero completion
    insurance"); a hang-up later costs what was delivered. What a provider counts beyond all that
    the request can have used is the house's quarrel with it.
    """
    if exchange.owed_nano is not None:
        return exchange.owed_nano
    margin = exchange.snapshot.margin
    lost = [cost_of(usage, one.pricing) for one, usage in exchange.lost if one.pricing]
    exchange.house_nano = sum(cost.total_nano for cost in lost)
    pricing = exchange.endpoint.pricing if exchange.endpoint else None
    delivered = exchange.content_at is not None
    if exchange.usage is None and (delivered or _good(exchange)):
        exchange.usage = estimate(exchange)
    if exchange.usage is not None:
        exchange.usage = used(exchange, exchange.usage)
    owed = 0
    if exchange.usage is not None and pricing is not None:
        cost = cost_of(exchange.usage, pricing, margin)
        if delivered and exchange.error is None:
            possible = plausible(exchange, exchange.usage)
            owed = cost.charge_nano
            if possible is not exchange.usage:
                owed = cost_of(possible, pricing, margin).charge_nano
                exchange.house_nano += cost.charge_nano - owed
        else:
            exchange.house_nano += cost.total_nano
        exchange.cost = cost if owed == cost.charge_nano else replace(cost, charge_nano=owed)
    if not (delivered and exchange.error is None) and not _good(exchange):
        exchange.usage = None
    exchange.owed_nano = owed
    return owed


def _good(exchange: Exchange) -> bool:
    return exchange.error is None and not exchange.cancelled and exchange.endpoint is not None


def settle(exchange: Exchange, *, now: float, owner: str) -> Settlement:
    """Ends the hold of a finished exchange and gives what is to be kept. `now` is the loop's clock,
    `owner` who answers for it.
    """
    assert not exchange.settled, "an exchange is settled once"
    exchange.settled = True
    owed = reckon(exchange)
    hold = exchange.hold
    charge, pots = owed, tuple[str, ...]()
    if hold is not None:
        charge, house = hold.settle(owed)
        exchange.house_nano += house
        owner, pots = hold.owner, hold.pots
    if exchange.cost is not None and charge != owed:
        exchange.cost = replace(exchange.cost, charge_nano=charge)
    return Settlement(
        owner=owner,
        generation=_row(exchange, now=now),
        charge_nano=charge,
        house_nano=exchange.house_nano,
        pots=pots,
        free=exchange.free,
    )


def outlook(exchange: Exchange, *, now: float) -> Settlement | None:
    """What a running exchange would be charged if its process died now; None before any content.

    Nothing of the exchange changes.
    """
    endpoint, hold = exchange.endpoint, exchange.hold
    if hold is None or exchange.content_at is None or endpoint is None or endpoint.pricing is None:
        return None
    usage = used(exchange, exchange.usage or estimate(exchange))
    cost = cost_of(plausible(exchange, usage), endpoint.pricing, exchange.snapshot.margin)
    charge = min(cost.charge_nano, hold.amount_nano)
    row = replace(
        _row(exchange, now=now),
        cancelled=True,
        status=CLIENT_CLOSED,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        usage_estimated=usage.estimated,
        cost_nano=charge,
        upstream_nano=cost.total_nano,
        recovered=True,
    )
    return Settlement(
        owner=hold.owner,
        generation=row,
        charge_nano=charge,
        pots=hold.pots,
        free=exchange.free,
    )


def used(exchange: Exchange, usage: Usage) -> Usage:
    """`usage`; of what is no conversation, no count by which it would cost nothing is one."""
    ask, usage = exchange.ask, with_units(usage, exchange.ask)
    pricing = exchange.endpoint.pricing if exchange.endpoint else None
    if ask is None or pricing is None:
        return usage
    assert exchange.endpoint is not None
    if pricing.web_search:
        usage = with_searches(usage, exchange.heard, exchange.endpoint)
    if pricing.output_image and not usage.images:  # a chat may make them, too
        usage = replace(usage, images=exchange.heard.images)
    if ask.likely is None:
        return usage
    if pricing.search_unit and not usage.search_units:
        usage = replace(usage, search_units=ask.likely.search_units)
    nothing = cost_of(_NO_USAGE, pricing)
    guess = usage if cost_of(usage, pricing) != nothing else estimate(exchange)
    return usage if cost_of(guess, pricing) == nothing else guess


def plausible(exchange: Exchange, usage: Usage) -> Usage:
    """The most of `usage` that the request can have used: a token of text has at least a byte, and
    so much more may be in a prompt (a provider's own tools) or in thoughts that nobody counts apart
    (docs/decisions).
    """
    ask, endpoint = exchange.ask, exchange.endpoint
    assert ask is not None
    assert endpoint is not None
    if ask.most is not None:
        return within(usage, ask.most)
    prompt_max = prompt_bound(ask) + MORE_PROMPT_TOKENS
    if ask.media_prompt or ask.audio_prompt:
        prompt_max = max(prompt_max, endpoint.context_length or TOKENS_MAX)
    unseen = usage.reasoning_tokens + usage.completion_audio_tokens + usage.completion_image_tokens
    unseen_max = max(endpoint.max_completion_tokens or UNSEEN_TOKENS_MAX, ask.max_tokens or 0)
    completion_max = exchange.said_bytes + MORE_TOKENS + min(unseen, unseen_max * ask.choices)
    searches_max = searches_of(ask, endpoint, SEARCHES_MAX)
    possible = replace(
        usage,
        prompt_tokens=min(usage.prompt_tokens, prompt_max),
        completion_tokens=min(usage.completion_tokens, completion_max),
        web_searches=min(usage.web_searches, searches_max),
    )
    return usage if possible == usage else possible


def estimate(exchange: Exchange, heard: Heard | None = None) -> Usage:
    """Usage guessed from the bytes of text, marked as such; the prompt as the provider counted it,
    where it did so before it was cut. `heard` is of an attempt other than the exchange's.
    """
    ask, heard = exchange.ask, heard or exchange.heard
    assert ask is not None
    completion = likely_tokens(heard.said_bytes)
    if ask.most is not None and ask.likely is not None:
        return within(replace(ask.likely, estimated=True), ask.most)
    if ask.most is not None:
        prompt = likely_tokens(ask.text_bytes)
        guessed = replace(
            ask.most, prompt_tokens=prompt, completion_tokens=completion, estimated=True
        )
        return within(guessed, ask.most)
    if (counted := heard.opened.prompt) is not None:
        return replace(counted, completion_tokens=completion, estimated=True)
    prompt = prompt_tokens(ask, exchange.read_bytes)
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


def _row(exchange: Exchange, *, now: float) -> Generation:
    ask, model, endpoint, key = exchange.ask, exchange.model, exchange.endpoint, exchange.key
    heard, origin = exchange.heard, exchange.origin
    usage = heard.usage or _NO_USAGE
    begun = exchange.started_at
    content_at = heard.content_at
    error = exchange.error
    return Generation(
        id=exchange.id,
        created_at=exchange.created_at,
        key_hash=key.hash if key else None,
        account=account_of(exchange),
        model=model.id if model else "",
        requested_model=ask.models[0] if ask else "",
        provider=endpoint.provider.slug if endpoint else "",
        provider_name=endpoint.provider.name if endpoint else "",
        endpoint_model=endpoint.model if endpoint else "",
        upstream_id=heard.opened.upstream_id,
        streamed=ask.stream if ask else False,
        cancelled=exchange.cancelled,
        status=error.status if error else CLIENT_CLOSED if exchange.cancelled else 200,
        error=error.kind if error else None,
        finish_reason="error" if error else heard.finish_reason,
        native_finish_reason=heard.native_finish_reason,
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
        service_tier=heard.opened.service_tier,
        media_prompt=ask.media_prompt if ask else 0,
        audio_prompt=ask.audio_prompt if ask else 0,
        session_id=(ask.session_id if ask else None) or origin.get("session_id"),
        http_referer=origin.get("http_referer"),
        title=origin.get("title"),
        user_agent=origin.get("user_agent"),
        attempts=tuple(exchange.tries),
        candidates=_candidates(exchange),
        upstream_nano=exchange.cost.total_nano if exchange.cost else _cost_nano(exchange),
        house_nano=exchange.house_nano,
        held_nano=exchange.hold.most_nano if exchange.hold else 0,
        waited_ms=int(exchange.waited_s * 1000),
        task=ask.task if ask else "chat",
        words=ask.words if ask else "chat",
        images=usage.images or heard.images,
        search_units=usage.search_units,
        characters=usage.characters,
        audio_ms=usage.audio_ms,
    )


def _candidates(exchange: Exchange) -> tuple[Candidate, ...]:
    """What the plan looked at, with what was skipped on the way."""
    if exchange.plan is None:
        return ()
    skipped = {(one.provider.slug, one.model): why for one, why in exchange.skips}
    if not skipped:
        return exchange.plan.candidates
    return tuple(
        replace(one, excluded=one.excluded or skipped.get((one.provider, one.model)))
        for one in exchange.plan.candidates
    )


def _cost_nano(exchange: Exchange) -> int | None:
    """None says that tokens were used and nobody knows their price."""
    if exchange.cost is not None:
        return exchange.cost.charge_nano
    return 0 if exchange.usage is None else None
