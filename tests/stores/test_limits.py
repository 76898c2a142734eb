"""Limiters on virtual time: callers by the hundred, cancellations, a supervisor that is silent."""

import asyncio
import heapq
import logging
from collections.abc import Awaitable, Callable, Coroutine
from random import Random
from typing import Any, TypeVar

import pytest

from proxy.accounts.bucket import moment
from proxy.accounts.lending import Borrower, Lender
from proxy.accounts.limits import Book, Claim, Kind, Taken
from proxy.errors import GatewayError
from proxy.stores.limits import (
    ASK_S,
    CHANNEL,
    RECALL_S,
    Lending,
    LentLimiter,
    Limiter,
    LocalLimiter,
)

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time passes only while nobody has anything to do, and then at once."""

    def __init__(self) -> None:
        super().__init__()
        self._virtual_s = 0.0

    def time(self) -> float:
        return self._virtual_s

    def _run_once(self) -> None:
        loop: Any = self
        timers = loop._scheduled
        while timers and timers[0].cancelled():
            heapq.heappop(timers)._scheduled = False
            loop._timer_cancelled_count -= 1
        if timers and not loop._ready:
            self._virtual_s = max(self._virtual_s, timers[0].when())
        base: Any = super()
        base._run_once()


def virtually(story: Callable[[], Coroutine[Any, Any, T]]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(story())


def now_s() -> float:
    return asyncio.get_running_loop().time()


def wall() -> float:
    return 1_777_000_000.0


def one(kind: Kind, limit: int, amount: int = 1) -> tuple[Claim, ...]:
    return (Claim(f"x:{kind}", kind, limit, amount, "full"),)


class House:
    """A supervisor, its workers' limiters, and the channel between them."""

    def __init__(self, workers: int, *, seed: int | None = None) -> None:
        self.rng = None if seed is None else Random(seed)
        self.book = Book()
        self.silent = asyncio.Event()
        self.silent.set()  # set: it speaks
        self.asked = 0
        self.lending = Lending(Lender(self.book), notify=self.notify, clock=now_s, wall=wall)
        self.limiters = {f"w{n}": self.limiter(f"w{n}") for n in range(workers)}

    def limiter(self, name: str) -> LentLimiter:
        async def request(channel: str, payload: Any) -> Any:
            assert channel == CHANNEL
            self.asked += 1
            await self.delay()
            await self.silent.wait()
            reply = self.lending.handle(name, payload)
            await self.delay()
            return reply

        self.lending.join(name)
        return LentLimiter(Borrower(), request, clock=now_s, wall=wall)

    async def delay(self) -> None:
        """A millisecond; in disorder up to twenty, and sometimes the line breaks."""
        if self.rng is None:
            await asyncio.sleep(0.001)
            return
        await asyncio.sleep(self.rng.random() * 0.02)
        if self.rng.random() < 0.1:
            raise ConnectionResetError

    def notify(self, worker: str, payload: Any) -> None:
        asyncio.get_running_loop().call_later(0.001, self.limiters[worker].recall, payload)

    def left(self, claims: tuple[Claim, ...]) -> int:
        lender: Any = self.lending
        return self.book.left(claims[0], lender._at())

    async def close(self) -> None:
        for limiter in self.limiters.values():
            await limiter.close()


async def taken(limiter: Limiter, claims: tuple[Claim, ...]) -> Taken:
    return limiter.take(claims) or await limiter.ask(claims)


async def refused(waiting: Awaitable[Taken]) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await waiting
    return caught.value


async def crowd(limiters: list[Limiter], callers: int, seconds: float, limit: int) -> list[float]:
    """Callers that all ask without end; when each request was let in. Slots are checked."""
    claims, rng = (
        one("slots", 7) + one("requests", limit) + one("tokens", 50 * limit, 30),
        Random(1),
    )
    let_in: list[float] = []
    running, kinds = 0, set[str]()

    async def caller(limiter: Limiter) -> None:
        nonlocal running
        while now_s() < seconds:
            try:
                got = await taken(limiter, claims)
            except GatewayError as error:
                kinds.add(error.kind)
                await asyncio.sleep(0.05 + rng.random() * 0.5)
                continue
            running += 1
            assert running <= 7
            let_in.append(now_s())
            await asyncio.sleep(rng.random() * 0.2)
            running -= 1
            limiter.finish(got, tokens=rng.randint(0, 60))

    await asyncio.gather(*(caller(limiters[n % len(limiters)]) for n in range(callers)))
    assert kinds == {"rate_limited"}
    return let_in


def test_200_callers_get_what_the_buckets_allow_in_one_process() -> None:
    async def story() -> None:
        book = Book()
        limiter = LocalLimiter(book, clock=now_s, wall=wall)
        let_in = await crowd([limiter], 200, 12.0, 600)
        assert 710 <= len(let_in) <= 720  # all of the bucket, and its refill of twelve seconds
        assert book.left(one("slots", 7)[0], moment(now_s(), wall())) == 7

    virtually(story)


@pytest.mark.parametrize("workers", [1, 4, 8])
@pytest.mark.parametrize("seed", [None, 5])
def test_200_callers_get_what_the_buckets_allow_over_workers(
    workers: int, seed: int | None
) -> None:
    async def story() -> None:
        house = House(workers, seed=seed)
        let_in = await crowd(list(house.limiters.values()), 200, 5.0, 200)
        assert (len(let_in) - 200) * 60 <= 200 * max(let_in)
        if seed is None:
            assert len(let_in) >= 210
        await house.close()
        assert house.left(one("slots", 7)) == 7

    virtually(story)


def test_one_slot_serves_four_workers_in_turn() -> None:
    async def story() -> None:
        house, claims = House(4), one("slots", 1)
        for _ in range(3):
            for limiter in house.limiters.values():
                got = await limiter.ask(claims)
                for other in house.limiters.values():
                    assert (await refused(other.ask(claims))).message == "full"
                limiter.finish(got, tokens=0)
                limiter.finish(got, tokens=0)
                await asyncio.sleep(0.002)
        assert house.left(claims) == 1

    virtually(story)


def test_parts_serve_without_asking_and_go_back_when_idle() -> None:
    async def story() -> None:
        house, claims = House(2), one("requests", 640)
        limiter = house.limiters["w0"]
        assert limiter.take(claims) is None
        await limiter.ask(claims)
        await asyncio.sleep(0.4)
        assert limiter.take(claims) is not None
        assert house.asked == 1
        await asyncio.sleep(0.8)
        assert limiter.take(claims) is not None  # used a moment ago: the parts stay
        await asyncio.sleep(1.7)
        assert limiter.take(claims) is None
        assert house.left(claims) == 640

    virtually(story)


def test_a_short_worker_waits_for_what_idles_at_another() -> None:
    async def story() -> None:
        house, claims = House(2), one("slots", 640)
        await house.limiters["w0"].ask(claims)
        lender: Any = house.lending
        house.book.take(one("slots", 640, 629), lender._at())
        got = await house.limiters["w1"].ask(one("slots", 640, 10))
        assert now_s() < RECALL_S
        assert got.claims[0].amount == 10

    virtually(story)


def test_a_recall_that_nobody_answers_is_waited_for_a_moment_only() -> None:
    async def story() -> None:
        house, claims = House(2), one("slots", 640)
        await house.limiters["w0"].ask(claims)
        house.limiters["w0"] = house.limiters["w1"]  # recalls go astray
        lender: Any = house.lending
        house.book.take(one("slots", 640, 629), lender._at())
        began_s = now_s()
        assert (await refused(house.limiters["w1"].ask(claims))).message == "full"
        assert RECALL_S <= now_s() - began_s < RECALL_S + 0.1

    virtually(story)


def test_who_is_cancelled_while_asking_loses_nothing() -> None:
    async def story() -> None:
        house, claims = House(1), one("slots", 1) + one("tokens", 10, 10)
        for moment_s in (0.0, 0.0005, 0.0015, 0.002, 0.0025):
            asking = asyncio.create_task(house.limiters["w0"].ask(claims))
            await asyncio.sleep(moment_s)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            if not asking.cancelled():
                house.limiters["w0"].finish(asking.result(), tokens=0)
            await asyncio.sleep(0.01)
            assert house.left(claims) == 1
            assert house.left(claims[1:]) == 10

    virtually(story)


def test_cancelled_in_the_very_step_of_the_answer_loses_nothing() -> None:
    async def story() -> None:
        house, claims = House(1), one("slots", 1)
        limiter: Any = house.limiters["w0"]
        asking = asyncio.create_task(limiter.ask(claims))
        await asyncio.sleep(0)
        (inner,) = limiter._tasks
        inner.add_done_callback(lambda _: asking.cancel())
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.sleep(0.01)
        assert house.left(claims) == 1

    virtually(story)


def test_a_refusal_that_nobody_waits_for_is_dropped() -> None:
    async def story() -> None:
        house, claims = House(1), one("slots", 1)
        await house.limiters["w0"].ask(claims)
        asking = asyncio.create_task(house.limiters["w0"].ask(claims))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.sleep(0.01)
        assert house.left(claims) == 0

    virtually(story)


def test_a_silent_supervisor_leaves_what_was_lent_and_refuses_the_rest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story() -> None:
        house, claims, other = House(1), one("slots", 64), one("tokens", 10)
        limiter = house.limiters["w0"]
        await limiter.ask(claims)
        house.silent.clear()
        waiting = [asyncio.create_task(refused(limiter.ask(other))) for _ in range(3)]
        for error in await asyncio.gather(*waiting):
            assert (error.kind, error.status) == ("store_unavailable", 503)
            assert error.headers == {"Retry-After": "1"}
        assert now_s() == pytest.approx(ASK_S, abs=0.01)
        for _ in range(100):
            assert (await refused(limiter.ask(other))).kind == "store_unavailable"
        assert now_s() == pytest.approx(ASK_S, abs=0.01)  # at once, and nothing piles up
        house.silent.set()
        await asyncio.sleep(0.1)
        assert house.left(other) == 10  # the late answers went back
        await limiter.ask(other)

    async def lent() -> None:
        house, claims = House(1), one("slots", 64)
        limiter = house.limiters["w0"]
        await limiter.ask(claims)
        house.silent.clear()
        assert limiter.take(claims) is not None
        assert limiter.take(claims) is not None
        assert limiter.take(claims) is None
        closing = asyncio.create_task(limiter.close())
        await asyncio.sleep(ASK_S + 0.1)
        assert closing.done()

    with caplog.at_level(logging.ERROR):
        virtually(story)
    assert "does not answer" in caplog.text
    virtually(lent)


def test_a_worker_taken_for_dead_is_told_so(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        house, claims = House(2), one("slots", 3)
        got = await house.limiters["w0"].ask(claims)
        house.lending.drop("w0")
        assert house.left(claims) == 3
        house.limiters["w0"].finish(got, tokens=0)
        await asyncio.sleep(0.01)
        assert house.left(claims) == 3
        assert (await refused(house.limiters["w0"].ask(claims))).kind == "store_unavailable"
        await house.close()

    virtually(story)
    assert "knows this worker no more" in caplog.text


def test_one_process_asks_nobody() -> None:
    async def story() -> None:
        limiter: Limiter = LocalLimiter(Book(), clock=now_s, wall=wall)
        claims = one("slots", 1)
        got = limiter.take(claims)
        assert got is not None
        assert (await refused(limiter.ask(claims))).headers["Retry-After"] == "1"
        limiter.finish(got, tokens=0)
        limiter.finish(await limiter.ask(claims), tokens=0)

    virtually(story)
