"""May this request be made now: limits first, then a hold on credit that covers what it may cost.

A hold covers the prompt's bound and `max_tokens` at the dearest endpoint of the plan. Without
`max_tokens` a streamed answer begins with a few tokens and its hold grows as they arrive; an answer
that comes whole can not be stopped on the way, so as much is held as its endpoints may answer, if
the account has it.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from msgspec.structs import replace

from proxy.accounts import refusals
from proxy.accounts.ledger import Pot, Short, account_pot, allowance_pot
from proxy.accounts.limits import claims
from proxy.accounts.purse import Hold
from proxy.errors import GatewayError
from proxy.money import Tariff, tariff_of
from proxy.pipeline.exchange import Exchange
from proxy.stores.limits import Limiter
from proxy.stores.periods import end_of, start_of
from proxy.stores.schema import StoreUnavailable
from proxy.stores.treasury import Treasury
from proxy.wire.events import Usage
from proxy.wire.request import Ask

START_TOKENS: Final = 512
STEP_TOKENS_MAX: Final = 8192
WHOLE_TOKENS: Final = 4096
TOKENS_PER_MEDIUM_MAX: Final = 4096
TOKENS_PER_TOOLS_MAX: Final = 1024  # what providers themselves add to a prompt with tools
BYTES_PER_TOKEN: Final = 4  # for the estimate that limits go by; a hold goes by the bound
FREE_SUFFIX: Final = ":free"


def prompt_bound(ask: Ask) -> int:
    """No prompt of `ask` is counted as more tokens: a byte of text is at most one."""
    if ask.most is not None:
        return ask.most.prompt_tokens
    media = TOKENS_PER_MEDIUM_MAX * (ask.media_prompt + ask.audio_prompt)
    return ask.text_bytes + media + (TOKENS_PER_TOOLS_MAX if ask.body.get("tools") else 0)


def account_of(exchange: Exchange) -> str:
    """Whose credit and limits a request draws on."""
    return exchange.key.account if exchange.key else "default"


class Gate:
    """Admits requests; what it grants stands on the exchange, for `settle` to end. `bought` tells
    what an account ever bought, `stuck` that charges can not be written.
    """

    def __init__(
        self,
        treasury: Treasury,
        limiter: Limiter,
        *,
        bought: Callable[[str], int],
        clock: Callable[[], float],
        stuck: Callable[[], bool] = lambda: False,
    ) -> None:
        self._treasury = treasury
        self._limiter = limiter
        self._bought = bought
        self._clock = clock
        self._stuck = stuck

    async def admit(self, exchange: Exchange) -> None:
        """Takes limits and credit. Awaits only where a lent limit or a lease runs short.

        Raises GatewayError `rate_limited`, `credits_short`, `key_limit`, `store_unavailable`.
        """
        ask, plan = exchange.ask, exchange.plan
        assert ask is not None
        assert plan is not None
        account = account_of(exchange)
        exchange.free = any(model.id.endswith(FREE_SUFFIX) for model, _ in plan.attempts)
        tokens = ask.text_bytes // BYTES_PER_TOKEN
        if ask.most is None:
            tokens += (ask.max_tokens or START_TOKENS) * ask.choices
        wanted = claims(
            exchange.key,
            account,
            rules=exchange.snapshot.rules,
            tokens=tokens,
            free=exchange.free,
            bought_nano=self._bought(account),
        )
        if wanted:
            exchange.taken = self._limiter.take(wanted)
            if exchange.taken is None:
                began_at = self._clock()
                exchange.taken = await self._limiter.ask(wanted)
                exchange.waited_s += self._clock() - began_at
        pots = _pots(exchange, account)
        if pots:
            if self._stuck():
                raise _no_ledger()
            await self._hold(exchange, ask, pots)

    async def top_up(self, exchange: Exchange, owed_nano: int) -> None:
        """Tries to bring the hold to what is owed, where an answer was dearer than it."""
        hold = exchange.hold
        if hold is not None and owed_nano > hold.amount_nano:
            with suppress(StoreUnavailable):
                await self._treasury.wait_grow(hold, owed_nano - hold.amount_nano)

    async def hold_anew(self, exchange: Exchange) -> None:
        """Holds for a request that has grown since it was admitted. Raises as `admit` does."""
        if exchange.hold is not None:
            assert exchange.ask is not None
            exchange.hold.void()
            exchange.hold = None
            await self._hold(exchange, exchange.ask, _pots(exchange, account_of(exchange)))

    def leave(self, exchange: Exchange, usage: Usage | None) -> None:
        """Ends what was taken of limits, of which `usage` was used; once."""
        if exchange.taken is not None:
            tokens = usage.prompt_tokens + usage.completion_tokens if usage else 0
            self._limiter.finish(exchange.taken, tokens=tokens)

    @property
    def owner(self) -> str:
        """Who this process is in the ledger."""
        return self._treasury.owner

    async def _hold(self, exchange: Exchange, ask: Ask, pots: Sequence[Pot]) -> None:
        assert exchange.plan is not None
        price = _Price(exchange, ask)
        sizes = _sizes(exchange, ask)
        for tokens in sizes:
            hold = self._treasury.hold(pots, price.nano(tokens))
            if hold is not None:
                break
        else:
            tokens, hold = await self._wait_hold(exchange, pots, price, sizes)
        exchange.hold = hold
        if ask.most is None and ask.max_tokens is None and ask.stream:
            cover = Cover(self._treasury, hold, price, tokens)
            exchange.cover, exchange.cover_more = cover.now, cover.more

    async def _wait_hold(
        self, exchange: Exchange, pots: Sequence[Pot], price: "_Price", sizes: Sequence[int]
    ) -> tuple[int, Hold]:
        began_at = self._clock()
        try:
            for tokens in sizes:
                try:
                    return tokens, await self._treasury.wait_hold(pots, price.nano(tokens))
                except Short as error:
                    short = error
        except StoreUnavailable:
            raise _no_ledger() from None
        finally:
            exchange.waited_s += self._clock() - began_at
        raise _refusal(exchange, short, price, sizes[-1])


class _Price:
    """What so many completion tokens may cost at the dearest endpoint of a plan."""

    def __init__(self, exchange: Exchange, ask: Ask) -> None:
        assert exchange.plan is not None
        self.margin = exchange.snapshot.margin
        self.prompt_tokens = prompt_bound(ask)
        self._most = ask.most
        self._tariffs: list[Tariff] = [
            tariff_of(endpoint.pricing)
            for _, endpoint in exchange.plan.attempts
            if endpoint.pricing is not None
        ]

    def nano(self, tokens: int) -> int:
        if self._most is not None:
            most = replace(self._most, completion_tokens=tokens)
            return max((one.most_nano(most, self.margin) for one in self._tariffs), default=0)
        return max(
            (one.bound_nano(self.prompt_tokens, tokens, self.margin) for one in self._tariffs),
            default=0,
        )

    def affordable(self, nano: int) -> int:
        """How many completion tokens `nano` pays for at every endpoint."""
        return min(
            (one.tokens_within(nano, self.prompt_tokens, self.margin) for one in self._tariffs),
            default=0,
        )


class Cover:
    """The hold of an answer whose length nobody said: it doubles, a step ahead of what arrived."""

    def __init__(self, treasury: Treasury, hold: Hold, price: _Price, tokens: int) -> None:
        self._treasury = treasury
        self._hold = hold
        self._price = price
        self._tokens = tokens
        self._last_step = False  # the account could not grow it: what is covered is all there is

    def now(self, tokens: int) -> bool:
        """Whether `tokens` are covered, with some to spare while there is more to be had."""
        if tokens <= self._tokens - (0 if self._last_step else self._tokens // 4):
            return True
        return not self._last_step and self._take(self._hold.grow(self._missing()))

    async def more(self, tokens: int) -> bool:
        """The same after asking for more: False ends the answer. Raises GatewayError
        `store_unavailable` where more is needed and nobody knows whether it is there.
        """
        if not self._last_step:
            try:
                if self._take(await self._treasury.wait_grow(self._hold, self._missing())):
                    return True
            except StoreUnavailable:
                if tokens > self._tokens:
                    raise _no_ledger() from None
                return True
            self._last_step = True
        return tokens <= self._tokens

    def _next(self) -> int:
        return self._tokens + min(self._tokens, STEP_TOKENS_MAX)

    def _missing(self) -> int:
        return max(0, self._price.nano(self._next()) - self._hold.amount_nano)

    def _take(self, grown: bool) -> bool:
        if grown:
            self._tokens = self._next()
        return grown


def _sizes(exchange: Exchange, ask: Ask) -> list[int]:
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


def _pots(exchange: Exchange, account: str) -> list[Pot]:
    pots = [account_pot(account)] if exchange.snapshot.enforce else []
    key = exchange.key
    if key is not None and key.limit_nano is not None:
        since = start_of(key.limit_reset, exchange.created_at)
        pots.append(allowance_pot(key.hash, limit_nano=key.limit_nano, since=since))
    return pots


def _no_ledger() -> GatewayError:
    """Nothing is run up that could not be written down."""
    headers = {"Retry-After": "1"}
    return GatewayError("store_unavailable", "The ledger does not answer.", headers=headers)


def _refusal(exchange: Exchange, short: Short, price: _Price, tokens: int) -> GatewayError:
    affordable = price.affordable(short.affordable_nano)
    key = exchange.key
    if short.pot.key_hash is None or key is None:
        return refusals.credits_short(
            wanted_tokens=tokens, affordable_tokens=affordable, needed_nano=price.nano(tokens)
        )
    return refusals.key_limit(
        key.limit_reset,
        limit_nano=key.limit_nano or 0,
        affordable_tokens=affordable,
        resets_at=end_of(key.limit_reset, exchange.created_at),
    )
