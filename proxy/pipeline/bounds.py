"""How much a request may use, and what that costs at the dearest endpoint of its plan."""

from typing import Final

from msgspec.structs import replace

from proxy.dialects import hosted
from proxy.dialects.chat.request import TOKENS_MAX
from proxy.money import Tariff, tariff_of
from proxy.pipeline.exchange import Exchange
from proxy.routing.catalogue import Endpoint
from proxy.wire.events import Usage
from proxy.wire.request import WEB_SEARCH, Ask
from proxy.wire.tokens import TOKENS_PER_MEDIUM_MAX

START_TOKENS: Final = 512
WHOLE_TOKENS: Final = 4096
SEARCHES_HELD: Final = 10  # of the web, where the caller sets no limit
SEARCHES_MAX: Final = 100  # that one request is ever charged for
TOKENS_PER_TOOLS_MAX: Final = 1024  # what providers themselves add to a prompt with tools

_BOUNDED: Final = (
    "prompt_tokens", "completion_tokens", "prompt_audio_tokens", "prompt_image_tokens",
    "prompt_video_tokens", "images", "search_units", "characters", "audio_ms", "web_searches",
)  # fmt: skip


def prompt_bound(ask: Ask) -> int:
    """No prompt of `ask` is counted as more tokens: a byte of text is at most one."""
    if ask.most is not None:
        return ask.most.prompt_tokens
    media = TOKENS_PER_MEDIUM_MAX * (ask.media_prompt + ask.audio_prompt)
    return ask.text_bytes + media + (TOKENS_PER_TOOLS_MAX if ask.body.get("tools") else 0)


def wide_bound(exchange: Exchange, ask: Ask) -> int:
    """The same where files are read whole: what they may be, but no more than a context holds."""
    assert exchange.plan is not None
    lengths = (endpoint.context_length or TOKENS_MAX for _, endpoint in exchange.plan.attempts)
    usual = prompt_bound(ask)
    return max(usual, min(usual + ask.wide_prompt, max(lengths, default=0)))


def searches_of(ask: Ask, endpoint: Endpoint, unsaid: int) -> int:
    """How many searches of the web the endpoint's provider may make for `ask`: `unsaid` for each
    answer where the caller does not say.
    """
    if WEB_SEARCH not in hosted(endpoint.provider, endpoint.model, ask):
        return 0
    return min(SEARCHES_MAX, unsaid * ask.choices if ask.searches is None else ask.searches)


class Price:
    """What so many completion tokens may cost at the dearest endpoint of a plan."""

    def __init__(self, exchange: Exchange, prompt_tokens: int) -> None:
        assert exchange.plan is not None
        assert exchange.ask is not None
        self.margin = exchange.snapshot.margin
        self.prompt_tokens = prompt_tokens
        self._most = exchange.ask.most
        self._tariffs: list[tuple[Tariff, int]] = [
            (tariff_of(endpoint.pricing), searches_of(exchange.ask, endpoint, SEARCHES_HELD))
            for _, endpoint in exchange.plan.attempts
            if endpoint.pricing is not None
        ]

    def nano(self, tokens: int) -> int:
        if self._most is not None:
            most = replace(self._most, completion_tokens=tokens)
            return max((one.most_nano(most, self.margin) for one, _ in self._tariffs), default=0)
        return max(
            (
                one.bound_nano(self.prompt_tokens, tokens, self.margin, searches=searches)
                for one, searches in self._tariffs
            ),
            default=0,
        )

    def affordable(self, nano: int) -> int:
        """How many completion tokens `nano` pays for at every endpoint."""
        return min(
            (
                one.tokens_within(nano, self.prompt_tokens, self.margin, searches=searches)
                for one, searches in self._tariffs
            ),
            default=0,
        )


def sizes_of(exchange: Exchange, ask: Ask) -> list[int]:
    """For how many completion tokens to hold, the first wish first."""
    assert exchange.plan is not None
    if ask.most is not None:
        return [ask.most.completion_tokens]
    if ask.max_tokens is not None:
        return [ask.max_tokens * ask.choices]
    start = START_TOKENS * ask.choices
    if ask.stream:
        return [start]
    limits = [endpoint.max_completion_tokens or 0 for _, endpoint in exchange.plan.attempts]
    return [max(WHOLE_TOKENS, *limits) * ask.choices, start]


def within(usage: Usage, most: Usage) -> Usage:
    """`usage`, no count of it above that of `most`; parts of tokens are bounded by their whole."""
    over = {
        name: getattr(most, name) for name in _BOUNDED if getattr(usage, name) > getattr(most, name)
    }
    return replace(usage, **over) if over else usage
