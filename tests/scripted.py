"""One exchange carried by a relay alone: a plan, a pool that does what it is told, no money."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from msgspec.structs import replace

from proxy.dialects import INBOUND
from proxy.errors import CallerGone, GatewayError
from proxy.money import Pricing
from proxy.pipeline.attempt import Attempt
from proxy.pipeline.drains import Drains
from proxy.pipeline.exchange import Exchange, Snapshot
from proxy.pipeline.race import Means
from proxy.pipeline.relay import Relay
from proxy.routing.catalogue import Endpoint, Model
from proxy.routing.health import EndpointId, Outcome, Pool, Ticket
from proxy.routing.plan import Plan
from proxy.upstream.signing import Signer, Signing
from proxy.wire.record import Try
from proxy.wire.request import Ask
from tests.clock import play
from tests.stage import Client, Providers, Script, endpoint, model, snapshot


class ScriptedPool(Pool):
    """Remembers what it was told. The tables are by slug: who may not be tried and why, learned
    limits, and when to race.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shut: dict[str, str] = {}
        self.never: set[str] = set()
        self.limits_s: dict[str, float] = {}
        self.hedges_s: dict[str, float] = {}
        self.hedge_budget = 1
        self.begun: list[tuple[str, bool, bool]] = []
        self.contents: list[tuple[float, float]] = []
        self.ended: list[tuple[str, Outcome, int, float | None]] = []
        self.held: dict[Ticket, str] = {}

    def begin(
        self,
        id: EndpointId,
        now: float,
        *,
        retry: bool,
        last: bool,
        whole: bool = False,
        rival: bool = False,
    ) -> Ticket | str:
        if id[0] in self.never or (id[0] in self.shut and not last):
            return self.shut.get(id[0], "never")
        self.begun.append((id[0], retry, last))
        ticket = super().begin(id, now, retry=False, last=True, whole=whole)
        assert isinstance(ticket, Ticket)
        self.held[ticket] = id[0]
        return ticket

    def content(self, ticket: Ticket, now: float, *, lag_s: float = 0.0) -> None:
        assert ticket in self.held
        self.contents.append((round(now - ticket.began_at, 3), lag_s))

    def end(
        self,
        ticket: Ticket,
        outcome: Outcome,
        now: float,
        *,
        tokens: int = 0,
        retry_after_s: float | None = None,
    ) -> None:
        """A ticket that ends twice is a KeyError."""
        self.ended.append((self.held.pop(ticket), outcome, tokens, retry_after_s))
        super().end(ticket, outcome, now, tokens=tokens, retry_after_s=retry_after_s)

    def first_content_limit_s(self, id: EndpointId, bound_s: float) -> float:
        return min(bound_s, self.limits_s.get(id[0], bound_s))

    def hedge_after_s(self, id: EndpointId) -> float | None:
        return self.hedges_s.get(id[0])

    def may_hedge(self, share_max: float, now: float) -> bool:
        return self.hedge_budget > 0

    def hedged(self, now: float) -> None:
        self.hedge_budget -= 1

    @property
    def outcomes(self) -> list[tuple[str, Outcome]]:
        return [(slug, outcome) for slug, outcome, _, _ in self.ended]


def served(
    slug: str = "p0",
    *,
    stops: bool = False,
    price: str | None = "0.001",
    **timeouts: float,
) -> Endpoint:
    """`stops` says that hanging up ends the provider's bill; without `price` nobody knows it."""
    plain = endpoint(slug, **timeouts)
    pricing = None if price is None else Pricing(prompt=Decimal(price), completion=Decimal(price))
    provider = replace(plain.provider, cancel_stops_billing=stops)
    return replace(plain, provider=provider, pricing=pricing)


class Told(NamedTuple):
    """What became of an exchange."""

    exchange: Exchange
    client: Client
    providers: Providers
    pool: ScriptedPool
    attempt: Attempt | None
    error: BaseException | None
    tries: list[Try]
    settled_at: list[float]
    drained: bool

    @property
    def notes(self) -> list[tuple[str, str | None, int, bool]]:
        return [(one.provider, one.error, one.began_ms, one.hedge) for one in self.tries]

    @property
    def cancelled(self) -> list[float | None]:
        return [played.cancelled_at for played in self.providers.calls]

    @property
    def contents(self) -> str:
        """The text that the caller got of a stream."""
        return "".join(part.decode() for part in self.client.body.split(b'"content":"')[1:])


class Carried:
    """A relay with everything around it; `run` lets it run, and drains what it leaves."""

    def __init__(self, *scripts: Script, models: Sequence[Model], shown: Snapshot) -> None:
        self.loop = asyncio.get_running_loop()
        self.began_at = self.loop.time()
        self.exchange = Exchange(
            id="gen-1", created_at=1.0, started_at=self.began_at, snapshot=shown
        )
        pairs = [(one, served) for one in models for served in one.endpoints]
        self.exchange.plan = Plan(tuple(pairs))
        self.providers = Providers(*scripts)
        self.pool = ScriptedPool()
        self.client = Client()
        self.client._pending.get_nowait()  # the body was read
        self.drains = Drains()
        self.tries: list[Try] = []
        self.settled_at: list[float] = []
        self.lag_s = 0.0
        self.relay: Relay

    def prepare(self, ask: Ask) -> None:
        self.exchange.ask = ask
        means = Means(
            transport=self.providers,
            headers={"User-Agent": "test"},
            on_try=self.tries.append,
            pool=self.pool,
            clock=self.loop.time,
            lag_s=lambda: self.lag_s,
        )
        self.relay = Relay(self.exchange, self.client.caller, INBOUND["chat"], means)

    @property
    def now(self) -> float:
        return round(self.loop.time() - self.began_at, 3)

    def settle(self) -> None:
        self.settled_at.append(self.now)

    async def run(self) -> Told:
        """The flow's part of the story: see `Relay.detached` and `Drains.take`."""
        caller, relay, error, attempt = self.client.caller, self.relay, None, None
        caller.watch(relay.hang_up)
        try:
            attempt = await relay.run()
        except (GatewayError, CallerGone, asyncio.CancelledError) as fault:
            error = fault
        finally:
            if relay.detached is not None:
                self.drains.take(relay.detached, then=self.settle)
            else:
                self.settle()
            with contextlib.suppress(asyncio.CancelledError):
                await caller.close()
        drained = len(self.drains) > 0
        with contextlib.suppress(asyncio.CancelledError):
            await self.drains.close(1000.0)
        return Told(
            self.exchange,
            self.client,
            self.providers,
            self.pool,
            attempt,
            error,
            self.tries,
            self.settled_at,
            drained,
        )


def carry(
    *scripts: Script,
    endpoints: Sequence[Endpoint] = (),
    models: Sequence[Model] = (),
    stream: bool = True,
    choices: int = 1,
    hedge: bool = False,
    keys: Mapping[str, Sequence[str | Signer]] | None = None,
    act: Callable[[Carried], Awaitable[None] | None] = lambda carried: None,
) -> Told:
    """One exchange from plan to settling; `act` arranges what happens meanwhile."""

    async def story() -> Told:
        told = await carried(
            *scripts,
            models=models or [model("test/one", *endpoints)],
            stream=stream,
            choices=choices,
            hedge=hedge,
            keys=keys,
            act=act,
        )
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, "a task is left"
        assert told.pool.held == {}, "a ticket is left"
        assert len(told.settled_at) == 1
        return told

    return play(story())


async def carried(
    *scripts: Script,
    models: Sequence[Model],
    stream: bool,
    choices: int,
    hedge: bool,
    keys: Mapping[str, Sequence[str | Signer]] | None,
    act: Callable[[Carried], Awaitable[None] | None],
) -> Told:
    """The same on a loop that runs already."""
    shown = snapshot(keys=keys)._replace(signing=Signing(keys or {}), hedge=hedge)
    carried = Carried(*scripts, models=models, shown=shown)
    messages: list[Any] = [{"role": "user", "content": "hello"}]
    carried.prepare(Ask(models=("m",), body={"messages": messages}, stream=stream, choices=choices))
    arranged = act(carried)
    if arranged is not None:
        await arranged
    return await carried.run()
