"""The end of a request: what was used, what it cost, who pays, and the row that is kept of it.

Where the provider gave no usage it is estimated: four bytes of UTF-8 text are a token, a message
costs four more, an image or file a thousand. Measured against recorded usage this is as near as a
real vocabulary that is not the model's own (docs/decisions), and needs none of the text kept.
"""

from typing import get_args

from msgspec.structs import replace

from proxy.accounts.ledger import Settlement
from proxy.dialects.chat.request import TOKENS_MAX
from proxy.money import cost_of, tariff_of
from proxy.pipeline.admit import account_of
from proxy.pipeline.bounds import SEARCHES_MAX, prompt_bound, searches_of, within
from proxy.pipeline.exchange import Exchange
from proxy.pipeline.guess import prompt_tokens
from proxy.pipeline.heard import Heard, with_searches, with_units
from proxy.routing.catalogue import Endpoint
from proxy.wire.events import Usage
from proxy.wire.record import Candidate, Generation
from proxy.wire.request import Tier
from proxy.wire.tokens import likely_tokens

_NO_USAGE = Usage()
_TIERS = frozenset(get_args(Tier))
_DEAR = frozenset(("priority", "ultrafast"))
UNSEEN_TOKENS_MAX = 131_072  # of reasoning and media, where the endpoint does not say its limit
MORE_PROMPT_TOKENS = 65_536  # than the prompt's bytes: the most in recorded traffic is 22,399
MORE_TOKENS = 8192  # than the answer's bytes: the most in recorded traffic is 2,528

CLIENT_CLOSED = 499  # nginx's status for a caller that hung up; it is only ever in our own record


def reckon(exchange: Exchange) -> int:
    """Fixes usage and cost of an exchange that is over; what its caller owes in nano-dollars.

    A request that failed, was given up before anything of the answer came, or was answered with
    nothing, costs the caller nothing, whatever the provider counted (OpenRouter, "Zero completion
    insurance"), but for the searches of an answer that went well; a hang-up later costs what was
    delivered. What a provider counts beyond all that
    the request can have used is the house's quarrel with it.
    """
    if exchange.owed_nano is not None:
        return exchange.owed_nano
    margin, heard, endpoint = exchange.snapshot.margin, exchange.heard, billed(exchange)
    for one, usage in exchange.lost:
        if one.pricing is not None:
            exchange.house_nano += cost_of(usage, one.pricing).total_nano
    delivered, well = heard.content_at is not None, exchange.error is None
    good = well and not exchange.cancelled and endpoint is not None
    told, owed = heard.usage, 0
    if told is None and (delivered or good):
        told = estimate(exchange)
    pricing = endpoint.pricing if endpoint is not None else None
    if told is not None:
        told = used(exchange, told)
    if told is not None and pricing is not None:
        tariff = tariff_of(pricing)
        cost = tariff.cost(told, margin)
        if delivered and well:
            possible = plausible(exchange, told)
            owed = cost.charge_nano
            if possible is not told:
                owed = tariff.cost(possible, margin).charge_nano
                exchange.house_nano += cost.charge_nano - owed
            if possible.cached_tokens or possible.cache_write_tokens:
                exchange.saved_nano = tariff.cost(_uncached(possible), margin).charge_nano - owed
        else:
            searches = plausible(exchange, told).web_searches if good else 0
            exchange.house_nano += cost.total_nano
            if searches:  # and nothing else: not even what each request costs
                nothing = tariff.cost(_NO_USAGE, margin)
                work = tariff.cost(Usage(web_searches=searches), margin)
                owed = work.charge_nano - nothing.charge_nano
                exchange.house_nano -= work.total_nano - nothing.total_nano
        exchange.cost = cost if owed == cost.charge_nano else replace(cost, charge_nano=owed)
    heard.usage = told if good or (delivered and well) else None
    exchange.owed_nano = owed
    return owed


def settle(exchange: Exchange, *, now: float, owner: str) -> Settlement:
    """Ends the hold of a finished exchange and gives what is to be kept. `now` is the loop's clock,
    `owner` who answers for one without a hold.
    """
    assert not exchange.settled, "an exchange is settled once"
    exchange.settled = True
    owed, hold = exchange.owed_nano, exchange.hold
    if owed is None:
        owed = reckon(exchange)
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
    """What a running exchange would be charged if its process died now; None before any content,
    and once its caller is told of an error.

    Nothing of the exchange changes.
    """
    endpoint, hold = billed(exchange), exchange.hold
    if hold is None or exchange.content_at is None or exchange.error is not None:
        return None
    if endpoint is None or endpoint.pricing is None:
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


def billed(exchange: Exchange) -> Endpoint | None:
    """The endpoint whose prices hold: that of the service tier that was served, which need not be
    the one that was asked (contract, 4.12); where that one has no row, the one that was asked. A
    dear one counts only where one was asked: no other is ever sent a wish for it, so it is but the
    operator's own arrangement there (Anthropic calls committed capacity `priority`).
    """
    endpoint, model, tier = exchange.endpoint, exchange.model, exchange.opened.service_tier
    if tier is None or endpoint is None or model is None:
        return endpoint
    served = tier if tier in _TIERS else None
    if served == endpoint.tier or (served in _DEAR and endpoint.tier not in _DEAR):
        return endpoint
    return model.sibling(endpoint, served) or endpoint


def used(exchange: Exchange, usage: Usage) -> Usage:
    """`usage`; of what is no conversation, no count by which it would cost nothing is one."""
    ask, endpoint = exchange.ask, billed(exchange)
    if ask is not None and ask.likely is not None:
        usage = with_units(usage, ask)
    if ask is None or endpoint is None or (pricing := endpoint.pricing) is None:
        return usage
    if pricing.web_search:
        usage = with_searches(usage, exchange.heard, endpoint)
    if pricing.output_image and not usage.images:  # a chat may make them, too
        usage = replace(usage, images=exchange.heard.images)
    if ask.likely is None:
        return usage
    if pricing.search_unit and not usage.search_units:
        usage = replace(usage, search_units=ask.likely.search_units)
    nothing = cost_of(_NO_USAGE, pricing)
    guess = usage if cost_of(usage, pricing) != nothing else estimate(exchange)
    return usage if cost_of(guess, pricing) == nothing else guess


def _uncached(usage: Usage) -> Usage:
    return replace(usage, cached_tokens=0, cache_write_tokens=0, cache_write_1h_tokens=0)


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
    if (  # which nearly all are
        usage.prompt_tokens <= MORE_PROMPT_TOKENS
        and usage.completion_tokens <= MORE_TOKENS
        and not usage.web_searches
    ):
        return usage
    prompt_max = prompt_bound(ask) + MORE_PROMPT_TOKENS
    if ask.media_prompt or ask.audio_prompt:
        prompt_max = max(prompt_max, endpoint.context_length or TOKENS_MAX)
    unseen = usage.reasoning_tokens + usage.completion_audio_tokens + usage.completion_image_tokens
    unseen_max = max(endpoint.max_completion_tokens or UNSEEN_TOKENS_MAX, ask.max_tokens or 0)
    completion_max = exchange.said_bytes + MORE_TOKENS + min(unseen, unseen_max * ask.choices)
    searches_max = searches_of(ask, endpoint, SEARCHES_MAX) if usage.web_searches else 0
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


def _row(exchange: Exchange, *, now: float) -> Generation:
    """All fields in their order: to name so many takes three times as long."""
    ask, model, endpoint, key = exchange.ask, exchange.model, exchange.endpoint, exchange.key
    heard, error, cost, plan = exchange.heard, exchange.error, exchange.cost, exchange.plan
    opened, content_at, said = heard.opened, heard.content_at, exchange.origin.get
    cancelled, begun = exchange.cancelled, exchange.started_at
    usage = heard.usage or _NO_USAGE
    # None says that tokens were used and nobody knows their price.
    cost_nano = None if heard.usage is not None else 0
    if cost is not None:
        cost_nano = cost.charge_nano
    return Generation(
        exchange.id,
        exchange.created_at,
        key.hash if key else None,
        account_of(exchange),
        model.id if model else "",
        exchange.requested,
        endpoint.provider.slug if endpoint else "",
        endpoint.provider.name if endpoint else "",
        endpoint.model if endpoint else "",
        opened.upstream_id,
        ask.stream if ask else False,
        cancelled,
        error.status if error else CLIENT_CLOSED if cancelled else 200,
        error.kind if error else None,
        "error" if error else heard.finish_reason,
        heard.native_finish_reason,
        None if content_at is None else int((content_at - begun) * 1000),
        int((now - begun) * 1000),
        usage.prompt_tokens, usage.completion_tokens,
        usage.cached_tokens, usage.cache_write_tokens,
        usage.reasoning_tokens, usage.completion_image_tokens,
        usage.estimated,
        cost_nano,
        opened.service_tier,
        ask.media_prompt if ask else 0,
        ask.audio_prompt if ask else 0,
        (ask.session_id if ask else None) or said("session_id"),
        said("http_referer"), said("title"), said("user_agent"),
        tuple(exchange.tries),
        _candidates(exchange) if exchange.skips or plan is None else plan.candidates,
        cost_nano if cost is None else cost.total_nano,
        exchange.house_nano,
        exchange.hold.most_nano if exchange.hold else 0,
        int(exchange.waited_s * 1000),
        False,  # recovered
        ask.task if ask else "chat",
        ask.words if ask else "chat",
        usage.images or heard.images,
        usage.search_units, usage.characters, usage.audio_ms,
        exchange.arm, exchange.preset, exchange.choice, exchange.stayed, exchange.saved_nano,
    )  # fmt: skip


def _candidates(exchange: Exchange) -> tuple[Candidate, ...]:
    """What the plan looked at, with what was skipped on the way."""
    if exchange.plan is None:
        return ()
    skipped = {(one.tag, one.model): why for one, why in exchange.skips}
    return tuple(
        replace(one, excluded=one.excluded or skipped.get((one.provider, one.model)))
        for one in exchange.plan.candidates
    )
