"""A market that is simulated: sellers who fail, dawdle and cheat, and requests on a virtual clock.

Nothing but the plan, the pool and what is known of conversations is real. A seller is asked, its
answer's first content and its end come when they are due, and a failure goes on to the next of the
plan, as `pipeline.visits` does it.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any

from proxy.pipeline.exchange import Exchange, Snapshot
from proxy.pipeline.heard import Heard
from proxy.pipeline.where import Where
from proxy.routing.catalogue import Endpoint, Model
from proxy.routing.health import Outcome, Pool, Ticket
from proxy.wire.events import Usage
from proxy.wire.preferences import decode
from proxy.wire.request import Ask

CACHED_S = 280.0
"""So long a seller keeps a prompt."""

PROMPT_TOKENS = 2000
TURN_TOKENS = 200
ANSWER_TOKENS = 101


class Manner:
    """How a seller is: each may be a number or change with the time."""

    def __init__(
        self,
        *,
        latency_s: Callable[[float], float] = lambda now: 0.5,
        tps: float = 60.0,
        fails: Callable[[float], float] = lambda now: 0.0,
        sound: float = 1.0,
    ) -> None:
        self.latency_s = latency_s
        self.tps = tps
        self.fails = fails
        self.sound = sound


class Deal:
    """One request, and what became of it."""

    def __init__(self, kind: str, at: float, exchange: Exchange, thread: int | None) -> None:
        self.kind = kind
        self.at = at
        self.exchange = exchange
        self.thread = thread
        self.planned: list[str] = []
        self.asked: list[str] = []
        self.by: str | None = None
        self.prompt_tokens = 0
        self.cached_tokens = 0

    @property
    def first(self) -> str:
        """Who was to be asked first."""
        return self.planned[0]


class Market:
    """`manners` are by tag. Requests of a `thread` grow by turns, and end as their caller says."""

    def __init__(self, shown: Snapshot, manners: dict[str, Manner], seed: int = 1) -> None:
        self._shown = shown
        self._manners = manners
        self._rng = Random(seed)
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._caches: dict[tuple[int, str], tuple[int, float]] = {}
        self._turns: dict[int, int] = {}
        self.now = 1000.0
        self.pool = Pool(rng=self._rng.random)
        self.where = Where(self.pool, lambda: self.now, self._rng.random)
        self.deals: list[Deal] = []

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Have something happen then."""
        self._count += 1
        heappush(self._due, (when, self._count, what))

    def run(self) -> None:
        """Until nothing is left to happen."""
        while self._due:
            self.now, _, what = heappop(self._due)
            what()

    def ask(
        self,
        kind: str,
        model: str,
        provider: dict[str, Any] | None = None,
        *,
        thread: int | None = None,
        **asked: Any,
    ) -> None:
        """A request now."""
        number = len(self.deals)
        exchange = Exchange(
            id=f"gen-{number}", created_at=self.now, started_at=self.now, snapshot=self._shown
        )
        said = f"thread {thread}" if thread is not None else f"number {number}"
        exchange.ask = Ask(
            models=(model,),
            body={"messages": [{"role": "user", "content": said}]},
            stream=True,
            preferences=decode(provider),
            **asked,
        )
        deal = Deal(kind, self.now, exchange, thread)
        self.deals.append(deal)
        if thread is not None:
            turn = self._turns[thread] = self._turns.get(thread, -1) + 1
            deal.prompt_tokens = PROMPT_TOKENS + turn * TURN_TOKENS
        exchange.plan = self.where.plan(exchange, exchange.ask)
        deal.planned = [endpoint.tag for _, endpoint in exchange.plan.attempts]
        self._next(deal, 0)

    def _next(self, deal: Deal, at: int) -> None:
        plan = deal.exchange.plan
        assert plan is not None
        for place in range(at, len(plan.attempts)):
            model, endpoint = plan.attempts[place]
            ticket = self.pool.begin(
                (endpoint.tag, endpoint.model),
                self.now,
                retry=bool(deal.asked),
                last=place + 1 == len(plan.attempts) and not deal.asked,
            )
            if isinstance(ticket, Ticket):
                deal.asked.append(endpoint.tag)
                self._serve(deal, place, (model, endpoint), ticket)
                return

    def _serve(self, deal: Deal, place: int, pair: tuple[Model, Endpoint], ticket: Ticket) -> None:
        manner, rng = self._manners[pair[1].tag], self._rng
        waits_s = manner.latency_s(self.now) * (0.5 + rng.random())
        if rng.random() < manner.fails(self.now):

            def fail() -> None:
                self.pool.end(ticket, Outcome.FAILED, self.now)
                self._next(deal, place + 1)

            self.at(self.now + 0.1, fail)
            return

        def speak() -> None:
            self.pool.content(ticket, self.now)
            self.at(self.now + (ANSWER_TOKENS - 1) / manner.tps, end)

        def end() -> None:
            self.pool.end(ticket, Outcome.GOOD, self.now, tokens=ANSWER_TOKENS)
            if deal.exchange.ask is not None and "tools" in deal.exchange.ask.soft:
                id = pair[1].tag, pair[1].model
                self.pool.called(id, self.now, sound=rng.random() < manner.sound)
            self._answered(deal, pair)

        self.at(self.now + waits_s, speak)

    def _answered(self, deal: Deal, pair: tuple[Model, Endpoint]) -> None:
        exchange = deal.exchange
        deal.by = pair[1].tag
        exchange.model, exchange.endpoint = pair
        if deal.thread is not None:
            key = deal.thread, deal.by
            tokens, kept_at = self._caches.get(key, (0, self.now))
            deal.cached_tokens = tokens if self.now - kept_at < CACHED_S else 0
            self._caches[key] = deal.prompt_tokens, self.now
        exchange.heard = Heard(
            usage=Usage(
                prompt_tokens=deal.prompt_tokens,
                completion_tokens=ANSWER_TOKENS,
                cached_tokens=deal.cached_tokens,
            )
        )
        self.where.answered(exchange)
