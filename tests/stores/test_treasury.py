"""The treasury over the model store, on a clock that jumps: exact with one process and many."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from proxy.accounts.ledger import Fenced, Pot, Settlement, Short, account_pot, allowance_pot
from proxy.accounts.pulse import DEAD_LOOKS
from proxy.accounts.purse import Hold
from proxy.simulation.vault import ModelVault
from proxy.stores.schema import StoreUnavailable
from proxy.stores.treasury import (
    ALONE_POLL_S,
    BEAT_S,
    IDLE_S,
    LATE_S,
    RECALL_POLL_S,
    Treasury,
)
from proxy.wire.record import Generation
from tests.clock import play

POT = account_pot("default")


class Shared:
    """A store that several treasuries use; each call takes a moment, and may fail."""

    def __init__(self, credit_nano: int) -> None:
        self.vault = ModelVault()
        self.vault.create_account("default", 0.0)
        if credit_nano:
            self.vault.grant("default", credit_nano, id="g", at=0.0)
        self.calls = 0
        self.delay_s = 0.001
        self.fail: Callable[[int], bool] = lambda number: False
        self.lose: Callable[[int], bool] = lambda number: False

    async def call(self, work: Callable[[Any], Any]) -> Any:
        self.calls += 1
        number = self.calls
        await asyncio.sleep(self.delay_s)
        if self.fail(number):
            raise StoreUnavailable("test")
        result = work(self.vault)
        if self.lose(number):
            raise StoreUnavailable("nobody knows whether it was done")
        return result

    def settle(self, hold: Hold, cost_nano: int, id: str) -> None:
        """As the story does it, and at once."""
        pots, owner = hold.pots, hold.owner
        bill = hold.settle(cost_nano)
        row = Generation(id=id, created_at=0.0, cost_nano=bill.charge_nano)
        self.vault.settle(
            [
                Settlement(
                    owner=owner,
                    generation=row,
                    charge_nano=bill.charge_nano,
                    house_nano=bill.house_nano,
                    pots=pots,
                )
            ]
        )

    @property
    def left_nano(self) -> int:
        return self.vault.balance("default").available_nano

    @property
    def charged_nano(self) -> int:
        return self.vault.balance("default").charged_nano


def treasury(shared: Shared, name: str = "p") -> Treasury:
    owners = (f"{name}{number}" for number in range(100))
    return Treasury(
        shared.call,
        new_owner=lambda: next(owners),
        clock=asyncio.get_running_loop().time,
        wall=lambda: 0.0,
    )


async def opened(shared: Shared, name: str = "p") -> Treasury:
    made = treasury(shared, name)
    await made.open()
    return made


def test_the_first_hold_asks_and_the_next_does_not() -> None:
    async def story() -> None:
        shared = Shared(10**9)
        one = await opened(shared)
        assert one.hold([POT], 1000) is None
        first = await one.wait_hold([POT], 1000)
        calls = shared.calls
        second = one.hold([POT], 1000)
        assert second is not None
        assert shared.calls == calls
        assert one.held_nano == 2000
        shared.settle(first, 400, "a")
        shared.settle(second, 500, "b")
        await one.close()
        assert (shared.left_nano, shared.charged_nano) == (10**9 - 900, 900)
        assert not shared.vault.leases

    play(story())


def test_what_nobody_has_is_refused_with_what_could_be_had() -> None:
    async def story() -> None:
        shared = Shared(500)
        one = await opened(shared)
        with pytest.raises(Short) as refused:
            await one.wait_hold([POT], 501)
        assert (refused.value.pot, refused.value.affordable_nano) == (POT, 500)
        assert await one.wait_hold([POT], 500)
        await one.close()

    play(story())


@pytest.mark.parametrize("processes", [1, 4])
@pytest.mark.parametrize("seed", range(10))
def test_a_thousand_at_once_get_exactly_what_the_credit_buys(processes: int, seed: int) -> None:
    async def story() -> int:
        shared = Shared(10_000_000)  # 0.01 USD
        chance = random.Random(seed)
        houses = [await opened(shared, f"p{number}-") for number in range(processes)]
        granted = 0

        async def request(number: int) -> None:
            nonlocal granted
            house = chance.choice(houses)
            await asyncio.sleep(chance.random() * 0.02)
            try:
                hold = house.hold([POT], 100_000) or await house.wait_hold([POT], 100_000)
            except Short:
                return
            granted += 1
            await asyncio.sleep(chance.random() * 0.05)
            shared.settle(hold, 100_000, f"g{number}")

        await asyncio.gather(*(request(number) for number in range(1000)))
        assert shared.charged_nano == 10_000_000
        for house in houses:
            await house.close()
        assert shared.left_nano == 0
        return granted

    assert play(story()) == 100


def test_idle_lease_of_another_process_is_called_back() -> None:
    async def story() -> None:
        shared = Shared(1000)
        one, other = await opened(shared, "a"), await opened(shared, "b")
        hold = await one.wait_hold([POT], 900)
        hold.void()
        clock = asyncio.get_running_loop().time
        began_at = clock()
        assert await other.wait_hold([POT], 1000)
        assert clock() - began_at < 0.25
        with pytest.raises(Short):
            await one.wait_hold([POT], 1)
        await one.close()
        await other.close()

    play(story())


def test_who_does_not_answer_a_recall_is_waited_for_only_so_long() -> None:
    async def story() -> None:
        shared = Shared(1000)
        shared.vault.open_owner("asleep", at=0.0)
        shared.vault.resize("asleep", POT, keep_nano=0, least_nano=1000, want_nano=1000, at=0.0)
        one = await opened(shared)
        clock = asyncio.get_running_loop().time
        began_at = clock()
        with pytest.raises(Short):
            await one.wait_hold([POT], 1)
        assert LATE_S <= clock() - began_at < LATE_S + 0.1
        await one.close()

    play(story())


def test_the_dead_are_buried_and_the_living_are_not() -> None:
    async def story() -> None:
        shared = Shared(1000)
        shared.vault.open_owner("dead", at=0.0)
        shared.vault.resize("dead", POT, keep_nano=0, least_nano=1000, want_nano=1000, at=0.0)
        one, other = await opened(shared, "a"), await opened(shared, "b")
        await asyncio.sleep(BEAT_S * (DEAD_LOOKS + 2) + 1)
        assert shared.left_nano == 1000
        assert set(shared.vault.beats) == {one.owner, other.owner}
        await one.close()
        await other.close()

    play(story())


def test_one_that_was_taken_for_dead_begins_anew() -> None:
    async def story() -> None:
        shared = Shared(1000)
        one = await opened(shared)
        hold = await one.wait_hold([POT], 600)
        before = one.owner
        shared.vault.close_owner(before, at=0.0)
        assert await one.wait_hold([POT], 700)
        assert one.owner != before
        assert not await one.wait_grow(hold, 10)
        shared.settle(hold, 600, "late")
        assert shared.left_nano >= 0
        shared.vault.close_owner(one.owner, at=0.0)
        await asyncio.sleep(BEAT_S + 0.1)
        assert one.owner in shared.vault.beats
        await one.close()

    play(story())


def test_a_store_that_always_fences_is_given_up() -> None:
    async def story() -> None:
        shared = Shared(1000)
        one = await opened(shared)

        def fenced(vault: ModelVault) -> None:
            raise Fenced

        shared.vault.resize = lambda *_, **__: fenced(shared.vault)  # type: ignore[method-assign, assignment]
        with pytest.raises(StoreUnavailable):
            await one.wait_hold([POT], 1)
        await one.close()

    play(story())


def test_idle_money_goes_back_and_what_was_settled_is_known_again() -> None:
    async def story() -> None:
        shared = Shared(10**9)
        one = await opened(shared)
        hold = await one.wait_hold([POT], 1000)
        shared.settle(hold, 700, "a")
        await asyncio.sleep(IDLE_S + 2 * BEAT_S)
        assert shared.left_nano == 10**9 - 700
        again = await one.wait_hold([POT], 1000)
        shared.settle(again, 1000, "b")
        assert shared.charged_nano == 1700
        assert not shared.vault.overdrawn
        await one.close()
        assert shared.left_nano == 10**9 - 1700

    play(story())


def test_a_limited_key_holds_in_both_pots() -> None:
    async def story() -> None:
        shared = Shared(10**9)
        one = await opened(shared)
        pots: list[Pot] = [POT, allowance_pot("k", limit_nano=1000, since=0)]
        hold = await one.wait_hold(pots, 600)
        with pytest.raises(Short) as refused:
            await one.wait_hold(pots, 401)
        assert refused.value.pot == pots[1]
        assert await one.wait_grow(hold, 400)
        assert not await one.wait_grow(hold, 1)
        await one.close()

    play(story())


@pytest.mark.parametrize("lost", [False, True], ids=["failed", "done and not known"])
@pytest.mark.parametrize("nth", range(1, 9))
def test_a_call_that_fails_costs_nobody_anything(nth: int, lost: bool) -> None:
    async def story() -> None:
        shared = Shared(10**6)
        one = await opened(shared)
        first = shared.calls
        if lost:
            shared.lose = lambda number: number == first + nth
        else:
            shared.fail = lambda number: number == first + nth
        charged = 0
        for number in range(6):
            try:
                hold = one.hold([POT], 150_000) or await one.wait_hold([POT], 150_000)
            except StoreUnavailable:
                continue
            shared.settle(hold, 100_000, f"g{number}")
            charged += 100_000
        await one.close()
        await one.close()
        assert shared.charged_nano == charged
        assert shared.left_nano == 10**6 - charged
        assert charged >= 500_000

    play(story())


def test_a_caller_that_goes_away_while_it_waits_leaves_nothing_held() -> None:
    async def story() -> None:
        shared = Shared(10**6)
        shared.delay_s = 0.1
        one = await opened(shared)
        waiting = [asyncio.create_task(one.wait_hold([POT], 1000)) for _ in range(3)]
        await asyncio.sleep(0.15)
        for task in waiting[:2]:
            task.cancel()
        await asyncio.gather(*waiting[:2], return_exceptions=True)
        hold = await waiting[2]
        assert one.held_nano == 1000
        hold.void()
        await one.close()
        assert shared.left_nano == 10**6

    play(story())


def test_what_was_spent_before_is_never_free_again() -> None:
    """A hold of nothing makes a purse anew without asking; idle, it once looked full."""

    async def story() -> None:
        shared = Shared(10 * 10**9)
        one = await opened(shared)
        hold = await one.wait_hold([POT], 8 * 10**9)
        shared.settle(hold, 8 * 10**9, "a")
        for _ in range(2):
            await asyncio.sleep(IDLE_S + 2 * BEAT_S)
            free = one.hold([POT], 0) or await one.wait_hold([POT], 0)
            shared.settle(free, 0, f"free-{asyncio.get_running_loop().time()}")
        held = 0
        while (more := one.hold([POT], 10**9)) is not None:
            held += more.amount_nano
        assert held <= 2 * 10**9
        assert shared.left_nano >= 0
        await one.close()

    play(story())


def test_a_crowd_is_told_what_could_be_had() -> None:
    async def story() -> None:
        shared = Shared(500)
        one = await opened(shared)
        refused = await asyncio.gather(
            *(one.wait_hold([POT], 501) for _ in range(3)), return_exceptions=True
        )
        assert [error.affordable_nano for error in refused if isinstance(error, Short)] == [500] * 3
        await one.close()

    play(story())


def test_while_it_begins_anew_nothing_is_granted_from_what_is_gone() -> None:
    async def story() -> None:
        shared = Shared(1000)
        one = await opened(shared)
        (await one.wait_hold([POT], 500)).void()
        shared.vault.close_owner(one.owner, at=0.0)
        begin = shared.vault.open_owner

        def busy(owner: str, *, at: float) -> None:
            raise StoreUnavailable("test")

        shared.vault.open_owner = busy  # type: ignore[method-assign]
        await asyncio.sleep(3 * BEAT_S)
        assert one.hold([POT], 1) is None
        shared.vault.open_owner = begin  # type: ignore[method-assign]
        assert await one.wait_hold([POT], 1)
        await one.close()

    play(story())


def test_a_fault_in_the_store_does_not_stop_the_heart(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        shared = Shared(1000)
        one = await opened(shared)
        beat = shared.vault.beat

        def broken(owner: str) -> dict[str, int]:
            raise ValueError("a row that nobody can read")

        shared.vault.beat = broken  # type: ignore[method-assign]
        await asyncio.sleep(2 * BEAT_S)
        shared.vault.beat = beat  # type: ignore[method-assign]
        await asyncio.sleep(2 * BEAT_S)
        assert shared.vault.beats[one.owner] > 0
        await one.close()

    play(story())
    assert "internal error" in caplog.text


def test_who_is_alone_looks_seldom_and_sees_who_comes() -> None:
    async def story() -> None:
        shared = Shared(10**6)
        one = await opened(shared)
        assert await one.wait_hold([POT], 1000)
        await asyncio.sleep(BEAT_S + ALONE_POLL_S)
        calls = shared.calls
        await asyncio.sleep(4 * ALONE_POLL_S)
        assert 2 <= shared.calls - calls <= 6  # looks, and a beat at most
        two = await opened(shared, "q")
        began_at = asyncio.get_running_loop().time()
        assert await two.wait_hold([POT], 10**6 - 2000)  # which one has leased and does not need
        assert asyncio.get_running_loop().time() - began_at < LATE_S
        await asyncio.sleep(BEAT_S + RECALL_POLL_S)
        calls = shared.calls
        await asyncio.sleep(4 * ALONE_POLL_S)
        assert shared.calls - calls > 10
        await one.close()
        await two.close()

    play(story())
