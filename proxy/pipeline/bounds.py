"""How much a request may use, and what that costs at the dearest endpoint of its plan."""

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

from msgspec.structs import replace

from proxy.dialects import hosted
from proxy.dialects.chat.request import TOKENS_MAX
from proxy.money import Tariff, tariff_of
from proxy.pipeline.exchange import Exchange
from proxy.routing.catalogue import Endpoint, Model
from proxy.wire.events import Usage
from proxy.wire.request import WEB_SEARCH, Ask
from proxy.wire.tokens import TOKENS_PER_MEDIUM_MAX

FREE_SUFFIX: Final = ":free"
TERMS_MAX: Final = 1024  # of how many orders of endpoints it is kept what they ask for

START_TOKENS: Final = 512
WHOLE_TOKENS: Final = 4096
SEARCHES_HELD: Final = 10  # of the web, where the caller sets no limit
SEARCHES_MAX: Final = 100  # that one request is ever charged for
TOKENS_PER_TOOLS_MAX: Final = 1024  # what providers themselves add to a prompt with tools

Attempts: TypeAlias = tuple[tuple[Model, Endpoint], ...]

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


class Terms(NamedTuple):
    """What holds for all requests of a plan with these `attempts`. `tariffs` are those that may be
    the dearest for some request, each with no searches of the web: where one is `searched`, how
    many there may be depends on the request.
    """

    attempts: Attempts
    free: bool
    whole_tokens: int
    tariffs: tuple[tuple[Tariff, int], ...]
    searched: bool


def terms_of(exchange: Exchange) -> Terms:
    """Those of the exchange's plan, made once for each such tuple of attempts."""
    plan, kept = exchange.plan, exchange.snapshot.catalogue.terms
    assert plan is not None
    terms: Terms | None = kept.get(id(plan.attempts))
    if terms is None:
        terms = _terms(plan.attempts)
        if len(kept) >= TERMS_MAX:
            kept.clear()
        kept[id(plan.attempts)] = terms  # it has the attempts in it: no others can get their id
    return terms


def _terms(attempts: Attempts) -> Terms:
    prices = [one.pricing for _, one in attempts if one.pricing is not None]
    dearest: list[Tariff] = []
    for tariff in map(tariff_of, prices):
        if not any(other.covers(tariff) for other in dearest):
            dearest = [other for other in dearest if not tariff.covers(other)]
            dearest.append(tariff)
    return Terms(
        attempts,
        any(model.id.endswith(FREE_SUFFIX) for model, _ in attempts),
        max([WHOLE_TOKENS, *(one.max_completion_tokens or 0 for _, one in attempts)]),
        tuple([(tariff, 0) for tariff in dearest]),
        any(pricing.web_search for pricing in prices),
    )


def _searched(attempts: Attempts, ask: Ask) -> list[tuple[Tariff, int]]:
    """The tariffs of all endpoints, each with the searches it may be charged for."""
    tariffs = []
    for _, endpoint in attempts:
        if (pricing := endpoint.pricing) is not None:
            searches = searches_of(ask, endpoint, SEARCHES_HELD) if pricing.web_search else 0
            tariffs.append((tariff_of(pricing), searches))
    return tariffs


class Price:
    """What so many completion tokens may cost at the dearest endpoint of a plan."""

    __slots__ = ("_ask", "_attempts", "_tariffs", "margin", "prompt_tokens")

    def __init__(self, exchange: Exchange, terms: Terms, prompt_tokens: int) -> None:
        assert exchange.ask is not None
        self.margin = exchange.snapshot.margin
        self.prompt_tokens = prompt_tokens
        self._ask = exchange.ask
        self._attempts = terms.attempts
        self._tariffs: Sequence[tuple[Tariff, int]] = terms.tariffs
        if terms.searched:
            self._tariffs = _searched(terms.attempts, exchange.ask)

    def nano(self, tokens: int) -> int:
        """In nano-dollars, with the margin."""
        nano, margin = 0, self.margin
        if self._ask.most is not None:
            most = replace(self._ask.most, completion_tokens=tokens)
            for tariff, _ in self._tariffs:
                nano = max(nano, tariff.most_nano(most, margin))
            return nano
        for tariff, searches in self._tariffs:
            bound = tariff.bound_nano(self.prompt_tokens, tokens, margin, searches)
            if bound > nano:
                nano = bound
        return nano

    def affordable(self, nano: int) -> int:
        """How many completion tokens `nano` pays for at every endpoint."""
        return min(
            (
                one.tokens_within(nano, self.prompt_tokens, self.margin, searches=searches)
                for one, searches in _searched(self._attempts, self._ask)
            ),
            default=0,
        )


def sizes_of(ask: Ask, terms: Terms) -> tuple[int, ...]:
    """For how many completion tokens to hold, the first wish first."""
    if ask.most is not None:
        return (ask.most.completion_tokens,)
    if ask.max_tokens is not None:
        return (ask.max_tokens * ask.choices,)
    start = START_TOKENS * ask.choices
    return (start,) if ask.stream else (terms.whole_tokens * ask.choices, start)


def within(usage: Usage, most: Usage) -> Usage:
    """`usage`, no count of it above that of `most`; parts of tokens are bounded by their whole."""
    over = {
        name: getattr(most, name) for name in _BOUNDED if getattr(usage, name) > getattr(most, name)
    }
    return replace(usage, **over) if over else usage
