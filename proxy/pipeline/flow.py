"""The story of one request, and every way it can end.

authenticate → decode → plan → admit → relay → settle → finish. Each phase may end it; settling
happens on every way out, exactly once. On the common path nothing is awaited before the provider is
called but the caller's own body: all else is dictionary work in memory, or is in `errands`.
"""

import asyncio
import logging
from collections.abc import Callable

from proxy.accounts import refusals
from proxy.accounts.keys import Key, check, credential, fingerprint, well_formed
from proxy.dialects import Inbound
from proxy.errors import CallerGone, GatewayError
from proxy.pipeline.admit import Gate
from proxy.pipeline.attempt import Attempt
from proxy.pipeline.drains import Drains
from proxy.pipeline.errands import CLOSING, Errands
from proxy.pipeline.exchange import Exchange, Snapshot, origin
from proxy.pipeline.relay import Relay, stream_head
from proxy.pipeline.settle import estimate, reckon
from proxy.pipeline.till import Books, Till
from proxy.routing.health import Pool
from proxy.routing.plan import Plan, plan
from proxy.serving.caller import Caller
from proxy.upstream.transport import Transport
from proxy.wire.events import Usage
from proxy.wire.request import Ask

log = logging.getLogger(__name__)


class Flow:
    """Serves requests. `clock` is the loop's, `wall` the calendar's, `new_id` makes generation ids
    of the second they begin in.
    """

    def __init__(
        self,
        *,
        snapshot: Callable[[], Snapshot],
        books: Books,
        gate: Gate,
        pool: Pool,
        lag_s: Callable[[], float] = lambda: 0.0,
        transport: Transport,
        clock: Callable[[], float],
        wall: Callable[[], float],
        rng: Callable[[], float],
        new_id: Callable[[float], str],
        agent: str,
    ) -> None:
        self._snapshot = snapshot
        self._books = books
        self._gate = gate
        self._pool = pool
        self._lag_s = lag_s
        self._till = Till(books, gate, clock)
        self._drains = Drains()
        self._errands = Errands(gate, clock)
        self._rng = rng
        self._transport = transport
        self._clock = clock
        self._wall = wall
        self._new_id = new_id
        self._headers = {"User-Agent": agent}
        self._relays: set[Relay] = set()
        self.draining = False
        self.under_way = 0

    async def serve(self, caller: Caller, dialect: Inbound) -> None:
        """One request, from its head to the row that is kept of it."""
        wall = self._wall()
        exchange = Exchange(
            id=self._new_id(wall),
            created_at=wall,
            started_at=self._clock(),
            snapshot=self._snapshot(),
        )
        exchange.origin = origin(caller)
        self.under_way += 1
        try:
            self._refuse_new()  # 503
            exchange.key = self.authenticate(exchange.snapshot, caller)  # 400, 401
            if exchange.key is not None and exchange.key.management:
                raise refusals.management_key()  # 403
            body = await caller.read_body(exchange.snapshot.body_bytes_max)  # 408, 413, 415
            exchange.ask = dialect.decode_request(body, caller.scope["headers"])  # 400
            exchange.plan = self._plan(exchange, exchange.ask)  # 400, 402, 404, 503
            caller.watch(lambda: exchange.on_gone())
            await self._gate.admit(exchange)  # 402, 403, 429
            exchange.admitted = not caller.gone
            await self._errands.run(exchange, caller)  # 402, 403
            attempt = await self._relay(exchange, caller, dialect)  # what providers do
            await self._answer(exchange, caller, dialect, attempt)
        except GatewayError as error:
            await self._fail(exchange, caller, dialect, error)
        except CallerGone:
            exchange.cancelled = True
        except Exception:
            log.exception("internal error", extra={"generation": exchange.id})
            fault = GatewayError("internal", "Internal Server Error")
            await self._fail(exchange, caller, dialect, fault)
        except BaseException:
            exchange.cancelled = True
            raise
        finally:
            self.under_way -= 1
            if not exchange.drained:
                self._till.finish(exchange)
            await caller.close()

    def _refuse_new(self) -> None:
        if self.draining:
            raise GatewayError("draining", CLOSING, headers={"Retry-After": "1"})

    def authenticate(self, snapshot: Snapshot, caller: Caller) -> Key | None:
        """Who calls; None where everybody may.

        Raises GatewayError `unauthenticated` or `credentials_differ`.
        """
        if snapshot.anonymous:
            return None
        secret = credential(caller.scope["headers"])
        if secret is None:
            raise GatewayError("unauthenticated", "Missing Authentication header")
        key = self._books.key(fingerprint(secret)) if well_formed(secret) else None
        return check(key, now=self._wall())

    def _plan(self, exchange: Exchange, ask: Ask) -> Plan:
        return plan(
            ask.models,
            exchange.snapshot.catalogue,
            pool=self._pool,
            now=self._clock(),
            rng=self._rng,
            priced_only=exchange.snapshot.enforce,
            required=ask.required,
        )

    async def _relay(self, exchange: Exchange, caller: Caller, dialect: Inbound) -> Attempt:
        relay = Relay(
            exchange,
            caller,
            dialect,
            pool=self._pool,
            lag_s=self._lag_s,
            transport=self._transport,
            headers=self._headers,
            on_try=self._books.tried,
        )
        exchange.on_gone = relay.hang_up
        self._relays.add(relay)
        self._till.note_later(exchange)
        try:
            return await relay.run()
        except (CallerGone, asyncio.CancelledError):
            exchange.cancelled = True
            if relay.detached is not None:
                self._hear_out(exchange, relay.detached)
            raise
        finally:
            self._relays.discard(relay)

    def _hear_out(self, exchange: Exchange, attempt: Attempt) -> None:
        """Settles when the provider has said what it charges; the caller's limits end now."""
        exchange.drained = True
        self._gate.leave(exchange, exchange.usage or estimate(exchange))

        def settled() -> None:
            exchange.error = attempt.error
            self._till.finish(exchange)

        self._drains.take(attempt, then=settled)

    async def _answer(
        self, exchange: Exchange, caller: Caller, dialect: Inbound, attempt: Attempt
    ) -> None:
        """Settles, and only then says the end: many clients stop reading at a finish reason."""
        assert exchange.ask is not None
        await self._gate.top_up(exchange, reckon(exchange))
        await self._till.settle(exchange)
        usage = dialect.encode_usage(exchange.usage or Usage(), exchange.cost)
        if exchange.ask.stream:
            if not caller.started:
                await caller.start(200, stream_head(exchange.id))
            await caller.finish(attempt.encode_end(usage))
            return
        hidden = exchange.ask.thinking is not None and exchange.ask.thinking.hidden
        body = dialect.encode_answer(attempt.events, exchange.head, usage, hidden)
        headers = {"Content-Type": "application/json", "X-Generation-Id": exchange.id}
        await caller.answer(200, headers, body)

    async def _fail(
        self, exchange: Exchange, caller: Caller, dialect: Inbound, error: GatewayError
    ) -> None:
        """Tells the caller: by a status, or by an event once the head is out."""
        exchange.error = error
        try:
            await self._till.withdraw(exchange)
            if caller.finished:
                return
            if caller.started:
                await caller.finish(dialect.encoder(exchange.head, False).encode_failure(error))
                return
            headers = {"Content-Type": "application/json", **error.headers}
            if exchange.admitted:
                headers["X-Generation-Id"] = exchange.id
            await caller.answer(error.status, headers, dialect.encode_error(error))
        except CallerGone:
            exchange.cancelled = True

    def stop(self) -> None:
        """Ends every answer under way with an error; the drain has waited long enough."""
        self._errands.stop()
        for relay in list(self._relays):
            relay.stop(GatewayError("draining", CLOSING))

    async def close(self, *, within_s: float = 0.0) -> None:
        """Waits so long for the drains that are left, then ends them; nothing new comes."""
        await self._drains.close(within_s)
