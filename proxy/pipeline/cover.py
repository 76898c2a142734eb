"""The hold of an answer whose length nobody said."""

from typing import Final

from proxy.accounts import refusals
from proxy.accounts.purse import Hold
from proxy.pipeline.bounds import Price
from proxy.stores.schema import StoreUnavailable
from proxy.stores.treasury import Treasury

STEP_TOKENS_MAX: Final = 8192


class Cover:
    """It doubles, a step ahead of what arrived."""

    def __init__(self, treasury: Treasury, hold: Hold, price: Price, tokens: int) -> None:
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
                    raise refusals.no_ledger() from None
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
