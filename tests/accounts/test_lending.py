"""Lending: whatever messages and workers suffer, no more is used than the book allows."""

from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.accounts.bucket import MINUTE_NS, Moment
from proxy.accounts.lending import IDLE_NS, PARTS, Borrower, Lender, Message, Reply
from proxy.accounts.limits import Book, Claim, Kind, Taken
from proxy.errors import GatewayError

S = 10**9


def at(now_ns: int) -> Moment:
    return Moment(now_ns, 0)


def one(kind: Kind, limit: int, amount: int = 1) -> tuple[Claim, ...]:
    return (Claim(f"x:{kind}", kind, limit, amount, "full"),)


class House:
    """A supervisor and workers whose messages arrive at once, until a test does otherwise."""

    def __init__(self, workers: int) -> None:
        self.lender, self.now_ns = Lender(Book()), 0
        self.workers = {f"w{n}": Borrower() for n in range(workers)}
        for name in self.workers:
            self.lender.join(name)

    @property
    def at(self) -> Moment:
        return at(self.now_ns)

    def send(self, worker: str, message: Message | None) -> Any:
        assert message is not None
        return self.lender.handle(worker, msgspec.to_builtins(message), self.at)

    def flush(self, worker: str) -> None:
        borrower = self.workers[worker]
        while message := borrower.outbox():
            borrower.absorb(message, self.send(worker, message), self.at)

    def take(self, worker: str, claims: Sequence[Claim], *, last: bool = False) -> Taken | None:
        """From parts, or by asking once; None for `wait`."""
        borrower = self.workers[worker]
        if taken := borrower.take(claims, self.at):
            return taken
        message = borrower.ask(claims, last=last)
        return borrower.absorb(message, self.send(worker, message), self.at)

    def finish(self, worker: str, taken: Taken | None, tokens: int = 0) -> None:
        assert taken is not None
        self.workers[worker].finish(taken, tokens=tokens)
        self.flush(worker)

    def answer_recalls(self) -> list[str]:
        told = self.lender.recalls()
        for worker, names in told:
            self.workers[worker].recall(names)
            self.flush(worker)
        return [worker for worker, _ in told]


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_limit_below_the_number_of_workers_is_exact_and_serves_all_in_turn(limit: int) -> None:
    house, claims = House(4), one("slots", limit)
    for turn in range(12):
        workers = [f"w{(turn + n) % 4}" for n in range(4)]
        held = [(worker, house.take(worker, claims)) for worker in workers[:limit]]
        for worker in house.workers:
            with pytest.raises(GatewayError, match="full"):
                house.take(worker, claims)
        for worker, taken in held:
            house.finish(worker, taken)
    assert house.lender.book.left(claims[0], house.at) == limit


def test_the_error_is_the_books() -> None:
    house, claims = House(2), one("requests", 2)
    house.take("w0", claims)
    house.take("w1", claims)
    with pytest.raises(GatewayError) as caught:
        house.take("w1", claims)
    error = caught.value
    assert (error.kind, error.message) == ("rate_limited", "full")
    assert error.headers["Retry-After"] == "30"
    assert error.metadata["headers"]["X-RateLimit-Limit"] == "2"


@pytest.mark.parametrize("kind", ["requests", "tokens", "slots"])
def test_a_large_limit_is_lent_in_parts(kind: Kind) -> None:
    house, claims = House(2), one(kind, 640)
    taken = [house.take("w0", claims)]
    for _ in range(640 // PARTS // 2):
        local = house.workers["w0"].take(claims, house.at)
        assert local is not None
        taken.append(local)
    assert house.workers["w0"].take(claims, house.at) is None
    for each in taken:
        house.finish("w0", each, tokens=1)
    house.workers["w0"].return_all()
    assert not house.workers["w0"].lent
    house.flush("w0")
    assert house.lender.book.left(claims[0], house.at) == (640 if kind == "slots" else 629)


def test_nothing_is_lent_of_days_nor_of_the_last_quarter() -> None:
    house = House(1)
    house.take("w0", one("day", 1000))
    house.take("w0", one("requests", 1000, 740))
    assert not house.workers["w0"].lent
    house.take("w0", one("slots", 1000, 700))
    assert house.workers["w0"].lent


def test_a_worker_that_asks_often_at_once_gets_no_more_than_its_part() -> None:
    house, claims = House(1), one("requests", 640)
    borrower = house.workers["w0"]
    asked = [borrower.ask(claims) for _ in range(5)]
    for message in asked:
        borrower.absorb(message, house.send("w0", message), house.at)
    assert house.lender.book.left(claims[0], house.at) == 640 - 5 - 20


def test_parts_of_another_limit_or_too_small_are_not_used() -> None:
    house = House(1)
    house.take("w0", one("requests", 640))
    assert house.workers["w0"].take(one("requests", 641), house.at) is None
    assert house.workers["w0"].take(one("requests", 640, 21), house.at) is None
    assert house.workers["w0"].take(one("requests", 640, 20), house.at) is not None
    assert house.workers["w0"].take((), house.at) == Taken(())


def test_what_nobody_uses_goes_back_after_a_second() -> None:
    house, claims = House(2), one("requests", 640)
    house.take("w0", claims)
    borrower = house.workers["w0"]
    borrower.return_idle(at(IDLE_NS - 1))
    assert borrower.outbox() is None
    borrower.return_idle(at(IDLE_NS))
    house.flush("w0")
    assert not borrower.lent
    assert house.lender.book.left(claims[0], house.at) == 639


def test_idle_parts_are_recalled_when_another_worker_is_short() -> None:
    house, claims = House(3), one("slots", 960)
    house.take("w0", claims)
    house.take("w2", claims)
    house.lender.book.take(one("slots", 960, 960 - 2 - 20), house.at)  # all that is left
    assert house.take("w1", claims) is None
    assert house.take("w1", claims) is None
    assert house.answer_recalls() == ["w0", "w2"]  # told once, though asked for twice
    for _ in range(20):
        assert house.take("w1", claims) is not None
    with pytest.raises(GatewayError):
        house.take("w1", claims)


def test_a_worker_short_of_what_it_has_itself_asks_again() -> None:
    house = House(1)
    borrower = house.workers["w0"]
    first = borrower.ask(one("requests", 640, 100))
    second = borrower.ask(one("requests", 640, 540))
    part = house.send("w0", first)  # 20 more, which the second could not return yet
    assert borrower.absorb(second, house.send("w0", second), house.at) is None
    assert house.lender.recalls() == []
    borrower.absorb(first, part, house.at)
    assert house.take("w0", one("requests", 640, 540)) is not None


def test_the_last_asking_is_answered_though_parts_are_about() -> None:
    house, claims = House(2), one("slots", 640)
    house.take("w0", claims)
    house.lender.book.take(one("slots", 640, 629), house.at)
    assert house.take("w1", claims) is None
    with pytest.raises(GatewayError):
        house.take("w1", claims, last=True)


def test_differences_of_tokens_fill_the_parts_up_and_the_rest_is_settled() -> None:
    house, claims = House(1), one("tokens", 3200, 50)
    first, second = house.take("w0", claims), house.take("w0", claims)
    assert house.workers["w0"].take(claims, house.at) is not None  # 50 of 100 spare are left
    assert house.workers["w0"].take(one("tokens", 3200, 1), house.at) is None
    house.finish("w0", first, tokens=20)
    assert house.workers["w0"].take(one("tokens", 3200, 30), house.at) is not None
    house.finish("w0", second, tokens=500)
    house.finish("w0", second, tokens=500)
    house.workers["w0"].return_all()
    house.flush("w0")
    assert house.lender.book.left(claims[0], house.at) == 3200 - 20 - 50 - 30 - 500


def test_a_message_is_applied_once_however_often_it_comes() -> None:
    house, claims = House(1), one("requests", 10)
    borrower = house.workers["w0"]
    message = borrower.ask(claims)
    replies = [house.send("w0", message) for _ in range(3)]
    assert replies[0] == replies[1] == replies[2]
    assert house.lender.book.left(claims[0], house.at) == 9
    borrower.absorb(message, replies[0], house.at)
    house.take("w0", claims)
    house.send("w0", message)  # a copy later than all answers
    assert house.lender.book.left(claims[0], house.at) == 8


def test_a_dead_worker_frees_its_slots_and_is_heard_no_more() -> None:
    house = House(2)
    slots, rate = one("slots", 640), one("requests", 640)
    house.take("w0", slots + rate)
    late = house.workers["w0"].ask(slots)
    house.lender.drop("w0", house.at)
    house.lender.drop("w0", house.at)
    book = house.lender.book
    assert book.left(slots[0], house.at) == 640
    assert book.left(rate[0], house.at) == 640 - 1 - 10
    assert book.left(rate[0], at(2 * S)) == 640  # the refill makes up for its parts
    with pytest.raises(GatewayError) as caught:
        house.workers["w0"].absorb(late, house.send("w0", late), house.at)
    assert caught.value.kind == "store_unavailable"
    assert book.left(slots[0], house.at) == 640


class World(House):
    """Random callers, delays, copies, losses and deaths; what is used is written down."""

    def __init__(self, rng: Random, workers: int, limits: dict[Kind, int], *, deaths: bool) -> None:
        super().__init__(workers)
        self.rng, self.limits, self.deaths = rng, limits, deaths
        self.wire: list[tuple[str, str, Any]] = []  # (what, worker, payload)
        self.asked: dict[tuple[str, int], Message] = {}
        self.running: list[tuple[str, Taken]] = []
        self.granted: set[tuple[str, int]] = set()
        self.uses: list[tuple[int, int]] = []  # when and how much: by a worker, or the supervisor
        self.tokens_used = 0
        self.names = workers

    def claims(self) -> tuple[Claim, ...]:
        return tuple(
            Claim(f"x:{kind}", kind, limit, self.amount(kind, limit))
            for kind, limit in self.limits.items()
        )

    def amount(self, kind: Kind, limit: int) -> int:
        """Some that fit in a part, and some that empty the meter soon."""
        if kind == "tokens":
            return self.rng.randint(0, 40)
        return max(1, self.rng.choice([1, limit // (40 * len(self.workers)), limit // 3]))

    def step(self, *, frozen: bool = False) -> None:
        self.now_ns += 0 if frozen else self.rng.choice([0, 0, 10**6, S // 10, S, 20 * S])
        workers = list(self.workers)
        worker = self.rng.choice(workers)
        act = self.rng.choice("ccccdddddddfffti" + ("k" if self.deaths else ""))
        if act == "c":
            self.call(worker)
        elif act == "d" and self.wire:
            self.deliver(self.rng.randrange(len(self.wire)))
        elif act == "f" and self.running:
            self.end(self.rng.randrange(len(self.running)))
        elif act == "t":
            self.workers[worker].return_idle(self.at)
            self.post(worker, self.workers[worker].outbox())
        elif act == "k" and self.rng.random() < 0.3:
            self.kill(worker)
        for other, names in self.lender.recalls():
            self.wire.append(("recall", other, names))
        self.check_slots()

    def call(self, worker: str) -> None:
        claims = self.claims()
        if taken := self.workers[worker].take(claims, self.at):
            self.uses.append((self.now_ns, claims[0].amount))
            self.running.append((worker, taken))
        else:
            self.post(worker, self.workers[worker].ask(claims, last=self.rng.random() < 0.5))

    def post(self, worker: str, message: Message | None) -> None:
        if message is not None:
            self.asked[worker, message.serial] = message
            self.wire.append(("message", worker, msgspec.to_builtins(message)))

    def deliver(self, index: int) -> None:
        what, worker, payload = self.wire[index]
        copied = what == "message" and self.rng.random() < 0.3
        if not copied:
            del self.wire[index]
        if what == "message":
            reply = self.lender.handle(worker, payload, self.at)
            self.count(worker, msgspec.convert(payload, Message), msgspec.convert(reply, Reply))
            self.wire.append(("reply", worker, (payload[0], reply)))
        elif worker not in self.workers:
            return
        elif what == "recall":
            self.workers[worker].recall(payload)
            self.post(worker, self.workers[worker].outbox())
        else:
            self.reply(worker, *payload)

    def count(self, worker: str, message: Message, reply: Reply) -> None:
        yes = message.claims and reply.refusal is None and not reply.wait
        answered = (worker, message.serial) not in self.asked
        if yes and not answered and (worker, message.serial) not in self.granted:
            self.granted.add((worker, message.serial))
            self.uses.append((self.now_ns, message.claims[0].amount))

    def reply(self, worker: str, serial: int, reply: Any) -> None:
        found = self.asked.pop((worker, serial), None)
        if found is None:
            return  # the answer to a copy
        try:
            taken = self.workers[worker].absorb(found, reply, self.at)
        except GatewayError:
            return
        if taken is not None and taken.claims:
            self.running.append((worker, taken))

    def end(self, index: int) -> None:
        worker, taken = self.running.pop(index)
        tokens = self.rng.randint(0, 60)
        self.tokens_used += tokens
        self.workers[worker].finish(taken, tokens=tokens)
        self.post(worker, self.workers[worker].outbox())

    def kill(self, worker: str) -> None:
        del self.workers[worker]
        self.running = [each for each in self.running if each[0] != worker]
        self.lender.drop(worker, self.at)
        fresh = f"w{self.names}"
        self.names += 1
        self.workers[fresh] = Borrower()
        self.lender.join(fresh)

    def check_slots(self) -> None:
        if "slots" in self.limits:
            held = sum(taken.claims[-1].amount for _, taken in self.running)
            assert held <= self.limits["slots"]

    def settle_down(self) -> None:
        """Everything arrives, and every part goes back."""
        while self.wire or self.running or any(each.lent for each in self.workers.values()):
            while self.wire:
                self.deliver(0)
                for other, names in self.lender.recalls():
                    self.wire.append(("recall", other, names))
            while self.running:
                self.end(0)
            for name, borrower in self.workers.items():
                borrower.return_all()
                self.post(name, borrower.outbox())


LIMITS = st.one_of(st.integers(1, 12), st.integers(100, 3000))


@given(st.integers(0, 2**32), st.integers(1, 8), LIMITS)
def test_slots_hold_and_come_back_through_deaths_and_disorder(
    seed: int, workers: int, limit: int
) -> None:
    world = World(Random(seed), workers, {"slots": limit}, deaths=True)
    for _ in range(150):
        world.step()
    world.settle_down()
    assert world.lender.book.left(Claim("x:slots", "slots", limit, 1), world.at) == limit


@given(st.integers(0, 2**32), st.integers(1, 8), st.integers(1, 3000))
def test_no_span_of_time_sees_more_requests_than_a_bucket_holds_and_gains(
    seed: int, workers: int, limit: int
) -> None:
    world = World(Random(seed), workers, {"requests": limit}, deaths=True)
    for _ in range(150):
        world.step()
    world.settle_down()
    for first, (begin_ns, _) in enumerate(world.uses):
        used = 0
        for end_ns, amount in world.uses[first:]:
            used += amount
            assert (used - limit) * MINUTE_NS <= limit * (end_ns - begin_ns)


@given(st.integers(0, 2**32), st.integers(1, 8), LIMITS)
def test_nothing_is_lost_while_workers_live(seed: int, workers: int, limit: int) -> None:
    rng = Random(seed)
    world = World(rng, workers, {"requests": limit, "tokens": limit, "slots": limit}, deaths=False)
    for _ in range(150):
        world.step(frozen=True)  # no refill: what is used and what is left must add up
    world.settle_down()
    book = world.lender.book
    requests, tokens, slots = world.claims()
    assert book.left(slots, world.at) == limit
    assert book.left(requests, world.at) == limit - sum(amount for _, amount in world.uses)
    assert book.left(tokens, world.at) == max(0, limit - world.tokens_used)
