"""May this request be made now: limits first, then a hold on credit that covers what it may cost.

A hold covers the prompt's bound and `max_tokens` at the dearest endpoint of the plan. Without
`max_tokens` a streamed answer begins with a few tokens and its hold grows as they arrive; an answer
that comes whole can not be stopped on the way, so as much is held as its endpoints may answer, if
the account has it.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress

from proxy.accounts import refusals
from proxy.accounts.ledger import Pot, Short, account_pot, allowance_pot
from proxy.accounts.limits import claims
from proxy.accounts.purse import Hold
from proxy.errors import GatewayError
from proxy.pipeline.bounds import (
    START_TOKENS,
    Price,
    Terms,
    prompt_bound,
    sizes_of,
    terms_of,
    wide_bound,
)
from proxy.pipeline.cover import Cover
from proxy.pipeline.exchange import Exchange
from proxy.stores.limits import Limiter
from proxy.stores.periods import end_of, start_of
from proxy.stores.schema import StoreUnavailable
from proxy.stores.treasury import Treasury
from proxy.wire.events import Usage
from proxy.wire.request import Ask
from proxy.wire.tokens import BYTES_PER_TOKEN


def account_of(exchange: Exchange) -> str:
    """Whose credit and limits a request draws on; those who need no key share one account."""
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
        ask = exchange.ask
        assert ask is not None
        key, snapshot, terms = exchange.key, exchange.snapshot, terms_of(exchange)
        account = account_of(exchange)
        exchange.free = free = terms.free
        # Limits go by an estimate; a hold goes by the bound.
        tokens = ask.text_bytes // BYTES_PER_TOKEN
        if ask.likely is not None:
            tokens = ask.likely.prompt_tokens + ask.likely.completion_tokens
        elif ask.most is None:
            tokens += (ask.max_tokens or START_TOKENS) * ask.choices
        wanted = claims(
            key,
            account,
            rules=snapshot.rules,
            tokens=tokens,
            free=free,
            bought_nano=self._bought(account) if free else 0,
        )
        if wanted:
            exchange.taken = taken = self._limiter.take(wanted)
            if taken is None:
                began_at = self._clock()
                exchange.taken = await self._limiter.ask(wanted)
                exchange.waited_s += self._clock() - began_at
        pots = _pots(exchange, account)
        if pots:
            if self._stuck():
                raise refusals.no_ledger()
            await self._hold(exchange, ask, terms, pots)

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
            pots = _pots(exchange, account_of(exchange))
            await self._hold(exchange, exchange.ask, terms_of(exchange), pots)

    def leave(self, exchange: Exchange, usage: Usage | None) -> None:
        """Ends what was taken of limits, of which `usage` was used; once."""
        if exchange.taken is not None:
            tokens = usage.prompt_tokens + usage.completion_tokens if usage else 0
            self._limiter.finish(exchange.taken, tokens=tokens)

    @property
    def owner(self) -> str:
        """Who this process is in the ledger."""
        return self._treasury.owner

    async def _hold(self, exchange: Exchange, ask: Ask, terms: Terms, pots: Sequence[Pot]) -> None:
        price = Price(exchange, terms, prompt_bound(ask))
        sizes = sizes_of(ask, terms)
        if ask.wide_prompt:
            wide = Price(exchange, terms, wide_bound(exchange, ask))
            tokens, price, hold = await self._hold_wide(exchange, pots, (wide, price), sizes)
        else:
            for tokens in sizes:  # what is leased may cover one
                if (found := self._treasury.hold(pots, price.nano(tokens))) is not None:
                    hold = found
                    break
            else:
                tokens, hold = await self._wait_hold(exchange, pots, price, sizes)
        exchange.hold = hold
        if ask.most is None and ask.max_tokens is None and ask.stream:
            cover = Cover(self._treasury, hold, price, tokens)
            exchange.cover, exchange.cover_more = cover.now, cover.more

    async def _hold_wide(
        self,
        exchange: Exchange,
        pots: Sequence[Pot],
        prices: tuple[Price, Price],
        sizes: Sequence[int],
    ) -> tuple[int, Price, Hold]:
        """Holds for a prompt whose files may be the whole context, or all that the account has, if
        that is enough for files as they usually are. `prices` are for the one and the other.
        """
        wide, usual = prices
        tokens = sizes[-1]
        hold = self._treasury.hold(pots, wide.nano(tokens))
        if hold is not None:
            return tokens, wide, hold
        began_at = self._clock()
        try:
            return tokens, *await self._hold_left(pots, prices, tokens)
        except StoreUnavailable:
            raise refusals.no_ledger() from None
        except Short as short:
            raise _refusal(exchange, short, usual, tokens) from None
        finally:
            exchange.waited_s += self._clock() - began_at

    async def _hold_left(
        self, pots: Sequence[Pot], prices: tuple[Price, Price], tokens: int
    ) -> tuple[Price, Hold]:
        """The wide price, or all that is left. Raises Short, StoreUnavailable."""
        wide, usual = prices
        try:
            return wide, await self._treasury.wait_hold(pots, wide.nano(tokens))
        except Short as short:
            left_nano = max(usual.nano(tokens), short.affordable_nano)
        with suppress(Short):  # somebody else may be faster
            return usual, await self._treasury.wait_hold(pots, left_nano)
        return usual, await self._treasury.wait_hold(pots, usual.nano(tokens))

    async def _wait_hold(
        self, exchange: Exchange, pots: Sequence[Pot], price: Price, sizes: Sequence[int]
    ) -> tuple[int, Hold]:
        began_at = self._clock()
        try:
            for tokens in sizes:
                try:
                    return tokens, await self._treasury.wait_hold(pots, price.nano(tokens))
                except Short as error:
                    short = error
        except StoreUnavailable:
            raise refusals.no_ledger() from None
        finally:
            exchange.waited_s += self._clock() - began_at
        raise _refusal(exchange, short, price, sizes[-1])


def _pots(exchange: Exchange, account: str) -> list[Pot]:
    pots = [account_pot(account)] if exchange.snapshot.enforce else []
    key = exchange.key
    if key is not None and key.limit_nano is not None:
        since = start_of(key.limit_reset, exchange.created_at)
        pots.append(allowance_pot(key.hash, limit_nano=key.limit_nano, since=since))
    return pots


def _refusal(exchange: Exchange, short: Short, price: Price, tokens: int) -> GatewayError:
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
