"""The story of one request, and every way it can end.

authenticate → decode → plan → admit → relay → settle → finish. Each phase may end it; settling
happens on every way out, exactly once. On the common path nothing is awaited before the provider is
called but the caller's own body: all else is dictionary work in memory, or is in `errands`.
"""

import asyncio
import logging
from collections.abc import Callable

from msgspec.structs import replace

from proxy.accounts import refusals
from proxy.accounts.keys import Key, check, claimed
from proxy.dialects import Bill, Inbound, counts
from proxy.dialects.asking import Encoded
from proxy.dialects.bodies import BIG_BODY_BYTES
from proxy.errors import CallerGone, GatewayError, Source
from proxy.pipeline import presets
from proxy.pipeline.admit import Gate
from proxy.pipeline.attempt import Attempt
from proxy.pipeline.drains import Drains
from proxy.pipeline.errands import CLOSING, Errands
from proxy.pipeline.exchange import ORIGIN, Exchange, Snapshot, nothing, origin
from proxy.pipeline.guess import count_tokens
from proxy.pipeline.race import Means
from proxy.pipeline.relay import Relay, pairs, stream_head
from proxy.pipeline.settle import estimate, reckon
from proxy.pipeline.telling import explain, told
from proxy.pipeline.till import Books, Till
from proxy.pipeline.where import Where
from proxy.routing.health import Pool
from proxy.serving.caller import Caller
from proxy.upstream.transport import Transport
from proxy.wire.events import Event, Finished, Produced, Usage

log = logging.getLogger(__name__)

JSON = (b"content-type", b"application/json")

_KEY = "weir.key"  # what is kept of a head by that name: the fingerprint of who asks

_UNCOUNTED = ("provider_unfit", "provider_lacks_media")  # what can not be sent to who would count


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
        preset: presets.Find = presets.nowhere,
    ) -> None:
        self._snapshot = snapshot
        self._books = books
        self._gate = gate
        self._pool = pool
        self._till = Till(books, gate, clock)
        self._drains = Drains()
        self._errands = Errands(gate, clock)
        self._preset = preset
        self._where = Where(pool, clock, rng)
        self._clock = clock
        self._wall = wall
        self._new_id = new_id
        self._means = Means(transport, {"User-Agent": agent}, books.tried, pool, clock, lag_s)
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
        exchange.origin = caller.kept.get(ORIGIN) or origin(caller)
        self.under_way += 1
        try:
            if self.draining:
                raise GatewayError("draining", CLOSING, headers={"Retry-After": "1"})  # 503
            exchange.key = self.authenticate(exchange.snapshot, caller)  # 400, 401
            if exchange.key is not None and exchange.key.management:
                raise refusals.management_key()  # 403
            body = await caller.read_body(exchange.snapshot.body_bytes_max)  # 408, 413, 415
            headers = caller.scope["headers"]
            if len(body) <= BIG_BODY_BYTES and presets.MARK not in body:
                exchange.ask = dialect.decode_request(body, headers)  # 400
            else:
                named = presets.asked(exchange, dialect, body, headers, self._preset)
                exchange.ask = await named  # 400, 404
            del body, headers  # a stream would keep them as long as it runs
            exchange.plan = self._where.plan(exchange, exchange.ask)  # 400, 402, 404, 503
            caller.watch(exchange.lose)
            await self._gate.admit(exchange)  # 402, 403, 429
            if exchange.ask.task == "count":
                await self._count(exchange, caller, dialect)
                return
            exchange.admitted = not caller.gone
            if caller.gone or self._errands.any(exchange):
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
            if not (exchange.settled or exchange.drained):
                self._till.finish(exchange)
            await caller.close()

    def authenticate(self, snapshot: Snapshot, caller: Caller) -> Key | None:
        """Who calls; None where everybody may.

        Raises GatewayError `unauthenticated` or `credentials_differ`.
        """
        if snapshot.anonymous:
            return None
        kept = caller.kept
        if _KEY not in kept:
            kept[_KEY] = claimed(caller.scope["headers"])
        return check(self._books.key(kept[_KEY]), now=self._wall())

    async def _relay(self, exchange: Exchange, caller: Caller, dialect: Inbound) -> Attempt:
        relay = Relay(exchange, caller, dialect, self._means)
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
            exchange.on_gone = nothing  # else they refer to each other, and stay for a while
            self._relays.discard(relay)

    async def _count(self, exchange: Exchange, caller: Caller, dialect: Inbound) -> None:
        """Counts a prompt: the provider's word, or an estimate where none gives it. Nothing is
        charged, and no row is kept.
        """
        ask = exchange.ask
        assert ask is not None
        events = await self._counted(exchange, caller, dialect)
        if events is None:
            events = [Produced(0, {"input_tokens": count_tokens(ask), "estimated": True})]
        body, own, _ = dialect.encode_answer(events, exchange.head, ask, Bill(Usage()))
        await caller.answer(200, (JSON, *pairs(own)), body)

    async def _counted(
        self, exchange: Exchange, caller: Caller, dialect: Inbound
    ) -> list[Event] | None:
        """The word of a provider that counts; None where none does, or it fails."""
        assert exchange.plan is not None
        able = [pair for pair in exchange.plan.attempts if counts(pair[1].provider, pair[1].model)]
        if not able:
            return None
        exchange.plan = replace(exchange.plan, attempts=tuple(able))
        try:
            await self._errands.run(exchange, caller)
            return (await self._relay(exchange, caller, dialect)).outlet.events
        except GatewayError as error:
            if error.source is Source.CALLER and error.kind not in _UNCOUNTED:
                raise
            return None

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
        owed_nano, hold = reckon(exchange), exchange.hold
        if hold is not None and owed_nano > hold.amount_nano:
            await self._gate.top_up(exchange, owed_nano)
        await self._till.settle(exchange)
        self._where.answered(exchange)
        ask = exchange.ask
        routing = told(exchange) if ask.told else None
        bill = Bill(exchange.usage or Usage(), exchange.cost, routing)
        if ask.stream:
            if not caller.started:
                await caller.start(200, stream_head(exchange, dialect))
            await caller.finish(attempt.outlet.encode_end(bill))
            return
        answer = dialect.encode_answer(attempt.outlet.events, exchange.head, ask, bill)
        await caller.answer(200, _headers(exchange, dialect, answer), answer.body)

    async def _fail(
        self, exchange: Exchange, caller: Caller, dialect: Inbound, error: GatewayError
    ) -> None:
        """Tells the caller: by a status, or by an event once the head is out."""
        exchange.error = error
        explain(exchange, error)
        try:
            await self._till.withdraw(exchange)
            if caller.finished:
                return
            if caller.started or _ends(exchange, dialect, error):
                await self._break_off(exchange, caller, dialect, error)
                return
            id = exchange.id if exchange.admitted else None
            named = {"X-Generation-Id": id} if id is not None else {}
            ask = exchange.ask
            routing = told(exchange) if ask is not None and ask.told else None
            body = dialect.encode_error(error, id, routing)
            await caller.answer(error.status, (JSON, *pairs(error.headers | named)), body)
        except CallerGone:
            exchange.cancelled = True

    async def _break_off(
        self, exchange: Exchange, caller: Caller, dialect: Inbound, error: GatewayError
    ) -> None:
        """Ends an answer that began, or could have, in words where its format has any for that."""
        if dialect.breaks:
            caller.break_off()
            return
        ask = exchange.ask
        assert ask is not None
        encoder = exchange.encoder or dialect.streaming(exchange.head, ask)
        if encoder is None:
            bill = Bill(Usage(), None, told(exchange) if ask.told else None)
            cut = Finished(0, "length", None)
            answer = dialect.encode_answer([cut], exchange.head, ask, bill)
            await caller.answer(200, _headers(exchange, dialect, answer), answer.body)
            return
        if not caller.started:
            await caller.start(200, stream_head(exchange, dialect))
        await caller.finish(encoder.encode_failure(error, told(exchange) if ask.told else None))

    def stop(self) -> None:
        """Ends every answer under way with an error; the drain has waited long enough."""
        self._errands.stop()
        for relay in list(self._relays):
            relay.stop(GatewayError("draining", CLOSING))

    async def close(self, *, within_s: float = 0.0) -> None:
        """Waits so long for the drains that are left, then ends them; nothing new comes."""
        await self._drains.close(within_s)


def _ends(exchange: Exchange, dialect: Inbound, error: GatewayError) -> bool:
    """Whether it is no error to this format, but the end of an answer by its length."""
    return exchange.admitted and error.error_type in dialect.ends


def _headers(exchange: Exchange, dialect: Inbound, answer: Encoded) -> list[tuple[bytes, bytes]]:
    assert exchange.ask is not None
    own = (b"content-type", dialect.media_type(exchange.ask).encode())
    return [own, *exchange.server_headers, *pairs(answer.headers)]
