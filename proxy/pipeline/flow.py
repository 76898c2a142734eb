"""The story of one request, and every way it can end.

authenticate → decode → plan → relay → settle → finish. Each phase may end it; settling happens on
every way out, exactly once. On the common path nothing is awaited before the provider is called
but the caller's own body: keys and plan are dictionary work in memory.
"""

import logging
from collections.abc import Callable
from typing import Protocol

from proxy.accounts.keys import Key, check, credential, fingerprint, well_formed
from proxy.dialects import Inbound
from proxy.dialects.fields import refuse_unbuilt_headers
from proxy.errors import CallerGone, GatewayError
from proxy.pipeline.attempt import Attempt
from proxy.pipeline.exchange import Exchange, Snapshot
from proxy.pipeline.relay import Relay, stream_head
from proxy.pipeline.settle import settle
from proxy.routing.plan import plan
from proxy.serving.caller import Caller
from proxy.upstream.transport import Transport
from proxy.wire.events import Usage
from proxy.wire.record import Generation, Try

log = logging.getLogger(__name__)

TEXT_CHARS_MAX = 512  # of what callers say about themselves, which is kept


class Books(Protocol):
    """What a flow is given to know callers by and to leave its traces in; none of it waits."""

    def key(self, hash: str) -> Key | None: ...

    def tried(self, note: Try) -> None: ...

    def finished(self, row: Generation) -> None: ...

    def refused(self, kind: str) -> None: ...


class Flow:
    """Serves requests. `clock` is the loop's, `wall` the calendar's, `new_id` makes generation ids
    of the second they begin in.
    """

    def __init__(
        self,
        *,
        snapshot: Callable[[], Snapshot],
        books: Books,
        transport: Transport,
        clock: Callable[[], float],
        wall: Callable[[], float],
        new_id: Callable[[float], str],
        agent: str,
    ) -> None:
        self._snapshot = snapshot
        self._books = books
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
        exchange.origin = _origin(caller)
        self.under_way += 1
        try:
            self._admit()  # 503
            exchange.key = self.authenticate(exchange.snapshot, caller)  # 400, 401
            refuse_unbuilt_headers(caller.scope["headers"])  # 400
            body = await caller.read_body(exchange.snapshot.body_bytes_max)  # 408, 413, 415
            exchange.ask = dialect.decode_request(body)  # 400
            exchange.plan = plan(exchange.ask.models, exchange.snapshot.catalogue)  # 400, 503
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
            self._settle(exchange)
            await caller.close()

    def _admit(self) -> None:
        if self.draining:
            headers = {"Retry-After": "1"}
            raise GatewayError("draining", "The gateway is shutting down.", headers=headers)

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

    async def _relay(self, exchange: Exchange, caller: Caller, dialect: Inbound) -> Attempt:
        relay = Relay(
            exchange,
            caller,
            dialect,
            transport=self._transport,
            headers=self._headers,
            on_try=self._books.tried,
        )
        caller.watch(relay.hang_up)
        self._relays.add(relay)
        try:
            return await relay.run()
        finally:
            self._relays.discard(relay)

    async def _answer(
        self, exchange: Exchange, caller: Caller, dialect: Inbound, attempt: Attempt
    ) -> None:
        """Settles, and only then says the end: many clients stop reading at a finish reason."""
        assert exchange.ask is not None
        self._settle(exchange)
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
            if caller.finished:
                return
            if caller.started:
                await caller.finish(dialect.encoder(exchange.head, False).encode_failure(error))
                return
            headers = {"Content-Type": "application/json", **error.headers}
            if exchange.plan is not None:
                headers["X-Generation-Id"] = exchange.id
            await caller.answer(error.status, headers, dialect.encode_error(error))
        except CallerGone:
            exchange.cancelled = True

    def _settle(self, exchange: Exchange) -> None:
        """Fixes what is owed and keeps the row; nothing is left to do the second time. A request
        that never reached a plan was no generation: it is counted, and leaves no row.
        """
        if exchange.plan is None and exchange.error is not None:
            self._refuse(exchange, exchange.error)
        if exchange.settled or exchange.plan is None:
            return
        row = settle(exchange, now=self._clock())
        self._books.finished(row)
        log.info(
            "request",
            extra={
                "generation": row.id,
                "status": row.status,
                "error": row.error,
                "model": row.model,
                "provider": row.provider,
                "streamed": row.streamed,
                "cancelled": row.cancelled,
                "latency_ms": row.latency_ms,
                "time_ms": row.generation_time_ms,
                "prompt_tokens": row.prompt_tokens,
                "completion_tokens": row.completion_tokens,
                "cost_nano": row.cost_nano,
                "attempts": len(row.attempts),
                "key": exchange.key.label if exchange.key else None,
            },
        )

    def _refuse(self, exchange: Exchange, error: GatewayError) -> None:
        self._books.refused(error.kind)
        key = exchange.key.label if exchange.key else None
        log.info("refused", extra={"status": error.status, "error": error.kind, "key": key})

    def stop(self) -> None:
        """Ends every answer under way with an error; the drain has waited long enough."""
        for relay in list(self._relays):
            relay.stop(GatewayError("draining", "The gateway is shutting down."))


def _origin(caller: Caller) -> dict[str, str | None]:
    """What callers say about themselves (contract, section 0)."""
    named = {
        "http_referer": caller.header(b"http-referer") or caller.header(b"referer"),
        "title": caller.header(b"x-openrouter-title") or caller.header(b"x-title"),
        "user_agent": caller.header(b"user-agent"),
        "session_id": caller.header(b"x-session-id"),
    }
    return {name: value and value[:TEXT_CHARS_MAX] for name, value in named.items()}
