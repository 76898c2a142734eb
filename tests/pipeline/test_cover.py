"""The hold of an answer whose length nobody said."""

from typing import Any

import pytest

from proxy.errors import GatewayError
from proxy.pipeline.cover import STEP_TOKENS_MAX, Cover
from proxy.stores.schema import StoreUnavailable


class Price:
    """A nano-dollar a token."""

    def nano(self, tokens: int) -> int:
        return tokens


class Account:
    """A hold, and who grows it, out of `left_nano` at hand and `more_nano` to be asked for."""

    def __init__(self, held: int, *, left: int = 0, more: int = 0, broken: bool = False) -> None:
        self.amount_nano, self.left, self.more, self.broken = held, left, more, broken

    def grow(self, nano: int) -> bool:
        if nano > self.left:
            return False
        self.left -= nano
        self.amount_nano += nano
        return True

    async def wait_grow(self, hold: object, nano: int) -> bool:
        assert hold is self
        if self.broken:
            raise StoreUnavailable("no")
        self.left, self.more = self.left + self.more, 0
        return self.grow(nano)


def covering(account: Account, tokens: int) -> Cover:
    told: Any = account
    price: Any = Price()
    return Cover(told, told, price, tokens)


async def test_it_doubles_a_step_ahead_of_what_arrived() -> None:
    account = Account(100, left=10**6)
    cover = covering(account, 100)
    assert cover.now(75)
    assert account.amount_nano == 100
    assert cover.now(76)
    assert account.amount_nano == 200
    for tokens in range(200, 3 * STEP_TOKENS_MAX, 100):
        assert cover.now(tokens)
        assert tokens <= account.amount_nano <= 2 * tokens + STEP_TOKENS_MAX


async def test_it_ends_where_the_money_does() -> None:
    account = Account(100, left=0, more=100)
    cover = covering(account, 100)
    assert not cover.now(90)
    assert await cover.more(90)
    assert account.amount_nano == 200
    assert not await cover.more(201)
    assert await cover.more(200)
    assert cover.now(200)
    assert not cover.now(201)


async def test_a_hold_that_is_larger_than_asked_for_is_used_first() -> None:
    account = Account(1000)
    cover = covering(account, 100)
    assert cover.now(390)
    assert account.amount_nano == 1000


async def test_a_store_that_does_not_answer_ends_only_what_is_not_covered() -> None:
    cover = covering(Account(100, broken=True), 100)
    assert await cover.more(100)
    with pytest.raises(GatewayError) as told:
        await cover.more(101)
    assert told.value.kind == "store_unavailable"
