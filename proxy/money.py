"""Prices and charges: exact decimals in, integer nano-dollars out, one rounding, upwards.

Price keys and their meaning are OpenRouter's (`GET /models`, `pricing`): decimal strings in USD per
token, per request or per image. A nano-dollar is 1e-9 USD; a balance of ten billion dollars still
fits 64 bits.
"""

from bisect import bisect_left
from decimal import Decimal
from operator import ge
from typing import Final, NamedTuple

import msgspec

from proxy.wire.events import Usage

NANO_PER_USD = 1_000_000_000
NANO_MAX: Final = 2**62
"""No amount is larger, so that sums of two stay within the 64 bits of a database."""

NO_MARGIN: Final = (0, 1)


class PriceOverride(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices that hold when the prompt has more than `min_prompt_tokens`; unset keys stay."""

    min_prompt_tokens: int
    prompt: Decimal | None = None
    completion: Decimal | None = None
    input_cache_read: Decimal | None = None
    input_cache_write: Decimal | None = None
    input_cache_write_1h: Decimal | None = None


class Pricing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The prices of one endpoint in USD. A key left out is charged like its general neighbour:
    cached and written tokens as prompt, those written for an hour as written, reasoning as
    completion, audio, images and videos like text. `web_search` is a search that the provider makes
    by itself. `video_token` is ours, as are the last four, for what is not sold by tokens: an image
    made, a search unit of a reranking, a character spoken, a second of audio heard.
    """

    prompt: Decimal
    completion: Decimal
    request: Decimal = Decimal(0)
    web_search: Decimal | None = None
    image: Decimal | None = None
    image_token: Decimal | None = None
    video_token: Decimal | None = None
    audio: Decimal | None = None
    audio_output: Decimal | None = None
    image_output: Decimal | None = None
    internal_reasoning: Decimal | None = None
    input_cache_read: Decimal | None = None
    input_cache_write: Decimal | None = None
    input_cache_write_1h: Decimal | None = None
    output_image: Decimal | None = None
    search_unit: Decimal | None = None
    character: Decimal | None = None
    audio_second: Decimal | None = None
    overrides: tuple[PriceOverride, ...] = ()


FREE = Pricing(prompt=Decimal(0), completion=Decimal(0))


class Cost(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one request cost, in nano-dollars: `total` by the provider's prices, `charge` what the
    caller pays for it. Both were rounded once; the parts of the total, rounded each for itself, are
    for display and may add up to a nano-dollar more.
    """

    total_nano: int
    charge_nano: int
    prompt_nano: int
    completion_nano: int


class _Level(NamedTuple):
    """Prices per token for prompts of some length, as integers of the tariff's scale; None where
    a part is charged like the whole, as all are without `parts`. The dearest are of this level and
    all below it.
    """

    prompt: int
    completion: int
    cache_read: int | None
    cache_write: int | None
    cache_write_1h: int | None
    audio: int | None
    image: int | None
    video: int | None
    reasoning: int | None
    audio_output: int | None
    image_output: int | None
    dearest_text: int
    dearest_prompt: int
    dearest_completion: int
    parts_in: bool
    parts_out: bool


class Tariff:
    """The prices of one endpoint as integers, exact whatever their decimals: `tariff_of` has it.

    A margin is a fraction, as `Decimal.as_integer_ratio` gives it.
    """

    def __init__(self, pricing: Pricing) -> None:
        prices = [pricing, *pricing.overrides]
        named = [getattr(one, key) for one in prices for key in one.__struct_fields__]
        digits = [-int(price.as_tuple().exponent) for price in named if isinstance(price, Decimal)]
        self._power = max(9, *digits)
        self._scale: int = 10 ** (self._power - 9)
        self._request = self._whole(pricing.request)
        units = (
            pricing.output_image, pricing.search_unit, pricing.character, pricing.audio_second,
            pricing.web_search,
        )  # fmt: skip
        self._units = tuple(0 if price is None else self._whole(price) for price in units)
        self._by_units = any(self._units)
        self._thresholds = sorted({one.min_prompt_tokens for one in pricing.overrides})
        self._levels: list[_Level] = []
        for threshold in (-1, *self._thresholds):
            self._levels.append(self._level(pricing, threshold))
        self._dearest = [self._request, *self._units]
        for level in self._levels:
            self._dearest += level.dearest_text, level.dearest_prompt, level.dearest_completion

    def _whole(self, usd: Decimal) -> int:
        sign, digits, exponent = usd.as_tuple()
        number: int = int("".join(map(str, digits))) * 10 ** (self._power + int(exponent))
        return -number if sign else number

    def _level(self, pricing: Pricing, threshold: int) -> _Level:
        base = {key: getattr(pricing, key) for key in pricing.__struct_fields__}
        for override in pricing.overrides:  # a later one wins, key by key (contract, section 3)
            if override.min_prompt_tokens <= threshold:
                said = msgspec.structs.asdict(override)
                base |= {key: price for key, price in said.items() if price is not None}

        def price(key: str) -> int | None:
            return None if base[key] is None else self._whole(base[key])

        prompt, completion = self._whole(base["prompt"]), self._whole(base["completion"])
        cache_read, cache_write = price("input_cache_read"), price("input_cache_write")
        cache_write_1h = price("input_cache_write_1h")
        if cache_write_1h is None:
            cache_write_1h = cache_write
        audio, image, video = price("audio"), price("image_token"), price("video_token")
        reasoning = price("internal_reasoning")
        audio_output, image_output = price("audio_output"), price("image_output")
        below = self._levels[-1] if self._levels else None
        parts_in = (cache_read, cache_write, cache_write_1h, audio, image, video)
        texts = (prompt, cache_read, cache_write, cache_write_1h, below and below.dearest_text)
        ins = (prompt, *parts_in, below and below.dearest_prompt)
        most = below and below.dearest_completion
        outs = (completion, reasoning, audio_output, image_output, most)
        return _Level(
            prompt, completion, cache_read, cache_write, cache_write_1h, audio, image, video,
            reasoning, audio_output, image_output,
            max(one or 0 for one in texts),
            max(one or 0 for one in ins),
            max(one or 0 for one in outs),
            any(one is not None for one in parts_in),
            (reasoning, audio_output, image_output) != (None, None, None),
        )  # fmt: skip

    def cost(self, usage: Usage, margin: tuple[int, int] = NO_MARGIN) -> Cost:
        """The exact price of `usage`, rounded up to a whole nano-dollar."""
        level = self._levels[bisect_left(self._thresholds, usage.prompt_tokens)]
        spent_in = usage.prompt_tokens * level.prompt
        if level.parts_in:
            lasting = min(usage.cache_write_1h_tokens, usage.cache_write_tokens)
            spent_in = _priced(
                usage.prompt_tokens,
                level.prompt,
                (usage.cached_tokens, level.cache_read),
                (lasting, level.cache_write_1h),
                (usage.cache_write_tokens - lasting, level.cache_write),
                (usage.prompt_audio_tokens, level.audio),
                (usage.prompt_image_tokens, level.image),
                (usage.prompt_video_tokens, level.video),
            )
        spent_out = usage.completion_tokens * level.completion
        if level.parts_out:
            spent_out = _priced(
                usage.completion_tokens,
                level.completion,
                (usage.reasoning_tokens, level.reasoning),
                (usage.completion_audio_tokens, level.audio_output),
                (usage.completion_image_tokens, level.image_output),
            )
        spent = spent_in + spent_out + self._request
        if self._by_units:
            made, heard = self._spent_units(usage)
            spent_in, spent_out, spent = spent_in + heard, spent_out + made, spent + made + heard
        scale, total_nano = self._scale, self._nano(spent)
        return Cost(
            total_nano=total_nano,
            charge_nano=self._nano(spent, margin) if margin[0] else total_nano,
            prompt_nano=min(-(-spent_in // scale), NANO_MAX),
            completion_nano=min(-(-spent_out // scale), NANO_MAX),
        )

    def _spent_units(self, usage: Usage) -> tuple[int, int]:
        """What is made, and what goes in, of all that is not counted in tokens."""
        image, search_unit, character, second, search = self._units
        heard = usage.search_units * search_unit + usage.characters * character
        made = usage.images * image + usage.web_searches * search
        return made, heard + -(-usage.audio_ms * second // 1000)

    def most_nano(self, most: Usage, margin: tuple[int, int] = NO_MARGIN) -> int:
        """No usage within `most` is charged more; its tokens are of whatever kinds, except that a
        prompt without any of sound, images and videos is text.
        """
        level = self._levels[bisect_left(self._thresholds, most.prompt_tokens)]
        media = most.prompt_audio_tokens, most.prompt_image_tokens, most.prompt_video_tokens
        spent = most.prompt_tokens * (level.dearest_prompt if any(media) else level.dearest_text)
        spent += most.completion_tokens * level.dearest_completion + self._request
        return self._nano(spent, margin) + self._nano(sum(self._spent_units(most)), margin)

    def bound_nano(
        self,
        prompt_tokens: int,
        completion_tokens: int,
        margin: tuple[int, int] = NO_MARGIN,
        searches: int = 0,
    ) -> int:
        """No usage of at most so many tokens, of whatever kinds, and searches is charged more."""
        level = self._levels[bisect_left(self._thresholds, prompt_tokens)]
        spent = prompt_tokens * level.dearest_prompt + completion_tokens * level.dearest_completion
        spent += self._request + searches * self._units[-1]
        return self._nano(spent, margin)

    def covers(self, other: "Tariff") -> bool:
        """Whether a bound by `other` is surely no higher than the same bound by this one."""
        if (self._scale, self._thresholds) != (other._scale, other._thresholds):
            return False
        return all(map(ge, self._dearest, other._dearest))

    def tokens_within(
        self, nano: int, prompt_tokens: int, margin: tuple[int, int], *, searches: int = 0
    ) -> int:
        """How many completion tokens `nano` surely pays for, after a prompt of `prompt_tokens` and
        so many searches of the web.
        """
        level = self._levels[bisect_left(self._thresholds, prompt_tokens)]
        above, below = margin
        left = nano * self._scale * below // (above + below)
        left -= prompt_tokens * level.dearest_prompt + self._request + searches * self._units[-1]
        return max(0, left // level.dearest_completion) if level.dearest_completion else 0

    def _nano(self, scaled: int, margin: tuple[int, int] = NO_MARGIN) -> int:
        above, below = margin
        nano = -(-scaled * (above + below) // (self._scale * below))
        return nano if nano < NANO_MAX else NANO_MAX

    @property
    def free(self) -> bool:
        """Whether nothing is ever charged."""
        top = self._levels[-1]
        return not (top.dearest_prompt or top.dearest_completion or self._request or self._by_units)


_tariffs: dict[int, tuple[Tariff, Pricing]] = {}  # by the id of what is kept beside it


def tariff_of(pricing: Pricing) -> Tariff:
    """The tariff of these prices, made once for each such object: to hash decimals is slow."""
    known = _tariffs.get(id(pricing))
    if known is None:
        if len(_tariffs) >= 4096:
            _tariffs.clear()
        known = _tariffs[id(pricing)] = Tariff(pricing), pricing
    return known[0]


def cost_of(usage: Usage, pricing: Pricing, margin: tuple[int, int] = NO_MARGIN) -> Cost:
    """What `usage` costs by `pricing`."""
    return tariff_of(pricing).cost(usage, margin)


def _priced(tokens: int, price: int, *parts: tuple[int, int | None]) -> int:
    """`tokens` at `price`, except for those parts of them that have a price of their own.

    A provider that reports a part greater than the whole can not make the rest negative.
    """
    spent, plain = 0, tokens
    for count, own in parts:
        if own is not None:
            taken = min(count, plain)
            spent += taken * own
            plain -= taken
    return spent + plain * price


def to_usd(nano: int) -> float:
    """Nano-dollars as the float of dollars that OpenRouter's JSON carries."""
    return nano / NANO_PER_USD
