"""Prices and charges: exact decimals in, integer nano-dollars out, one rounding, upwards.

Price keys and their meaning are OpenRouter's (`GET /models`, `pricing`): decimal strings in USD per
token, per request or per image. A nano-dollar is 1e-9 USD; a balance of ten billion dollars still
fits 64 bits.
"""

from decimal import ROUND_CEILING, Decimal

import msgspec

from proxy.wire.events import Usage

NANO_PER_USD = 1_000_000_000


class PriceOverride(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices that hold when the prompt has more than `min_prompt_tokens`; unset keys stay."""

    min_prompt_tokens: int
    prompt: Decimal | None = None
    completion: Decimal | None = None
    input_cache_read: Decimal | None = None
    input_cache_write: Decimal | None = None


class Pricing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The prices of one endpoint in USD. A key left out is charged like its general neighbour:
    cached and written tokens as prompt, reasoning as completion, audio like text.
    """

    prompt: Decimal
    completion: Decimal
    request: Decimal = Decimal(0)
    image: Decimal | None = None
    audio: Decimal | None = None
    audio_output: Decimal | None = None
    image_output: Decimal | None = None
    internal_reasoning: Decimal | None = None
    input_cache_read: Decimal | None = None
    input_cache_write: Decimal | None = None
    overrides: tuple[PriceOverride, ...] = ()


FREE = Pricing(prompt=Decimal(0), completion=Decimal(0))


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What one request cost, in nano-dollars. `total` was rounded once; the parts, rounded each
    for itself, are for display and may add up to a nano-dollar more.
    """

    total_nano: int
    prompt_nano: int
    completion_nano: int


def cost_of(usage: Usage, pricing: Pricing) -> Cost:
    """The exact price of `usage`, rounded up to a whole nano-dollar."""
    prompt, completion = pricing.prompt, pricing.completion
    cache_read, cache_write = pricing.input_cache_read, pricing.input_cache_write
    for override in pricing.overrides:  # a later one wins, key by key (contract, section 3)
        if usage.prompt_tokens > override.min_prompt_tokens:
            prompt = prompt if override.prompt is None else override.prompt
            completion = completion if override.completion is None else override.completion
            if override.input_cache_read is not None:
                cache_read = override.input_cache_read
            if override.input_cache_write is not None:
                cache_write = override.input_cache_write

    parts_in = (
        (usage.cached_tokens, cache_read),
        (usage.cache_write_tokens, cache_write),
        (usage.prompt_audio_tokens, pricing.audio),
    )
    parts_out = (
        (usage.reasoning_tokens, pricing.internal_reasoning),
        (usage.completion_audio_tokens, pricing.audio_output),
        (usage.completion_image_tokens, pricing.image_output),
    )
    spent_in = _priced(usage.prompt_tokens, prompt, parts_in)
    spent_out = _priced(usage.completion_tokens, completion, parts_out)
    return Cost(
        total_nano=_nano(spent_in + spent_out + pricing.request),
        prompt_nano=_nano(spent_in),
        completion_nano=_nano(spent_out),
    )


def _priced(tokens: int, price: Decimal, parts: tuple[tuple[int, Decimal | None], ...]) -> Decimal:
    """`tokens` at `price`, except for those parts of them that have a price of their own.

    A provider that reports a part greater than the whole can not make the rest negative.
    """
    spent, plain = Decimal(0), tokens
    for count, own in parts:
        if own is not None:
            taken = min(count, plain)
            spent += taken * own
            plain -= taken
    return spent + plain * price


def _nano(usd: Decimal) -> int:
    return int((usd * NANO_PER_USD).to_integral_value(ROUND_CEILING))


def to_usd(nano: int) -> float:
    """Nano-dollars as the float of dollars that OpenRouter's JSON carries."""
    return nano / NANO_PER_USD
