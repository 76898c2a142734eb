"""From provider to caller: endpoints are tried in order until one's content reached the caller.

Only the first content commits. Before it any failure may move on, as far as its kind allows; the
caller has then seen nothing but, after a second of waiting, the head and comments. After it nothing
moves on: what fails then ends the answer with an error event.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping

from proxy.dialects import OUTBOUND, Inbound, Outbound
from proxy.errors import CallerGone, GatewayError, Retry
from proxy.pipeline.attempt import USAGE_WAIT_S, Attempt
from proxy.pipeline.bell import Bell
from proxy.pipeline.exchange import Exchange
from proxy.routing.catalogue import Endpoint, Model
from proxy.serving.caller import Caller
from proxy.upstream.transport import Call, Transport
from proxy.wire.frames import PROCESSING
from proxy.wire.record import Try

log = logging.getLogger(__name__)

FIRST_COMMENT_S = 1.0
COMMENT_S = 5.0
STREAM_S_MAX = 3600.0  # no answer takes longer; all attempts of one request share it
KEY_FAULTS = ("provider_credential", "provider_rate_limited")

EVENT_STREAM = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx in front of us must not collect events
)


def stream_head(generation: str) -> list[tuple[bytes, bytes]]:
    """The headers of a streamed answer."""
    return [*EVENT_STREAM, (b"x-generation-id", generation.encode())]


class Relay:
    """Carries one exchange. `hang_up` and `stop` may be called from outside at any time."""

    def __init__(
        self,
        exchange: Exchange,
        caller: Caller,
        dialect: Inbound,
        *,
        transport: Transport,
        headers: Mapping[str, str],
        on_try: Callable[[Try], None],
    ) -> None:
        assert exchange.ask is not None
        self._exchange = exchange
        self._ask = exchange.ask
        self._caller = caller
        self._dialect = dialect
        self._transport = transport
        self._headers = headers
        self._on_try = on_try
        self._bell = Bell()
        self._clock = asyncio.get_running_loop().time
        self._attempt: Attempt | None = None
        self._stopped: GatewayError | None = None
        self._comment_at = exchange.started_at + FIRST_COMMENT_S
        self._last_at = exchange.started_at + STREAM_S_MAX

    def hang_up(self) -> None:
        """The caller is gone: the provider is told at once, the story a moment later."""
        if self._attempt is not None:
            self._attempt.cancel()
        self._bell.ring()

    def stop(self, error: GatewayError) -> None:
        """Ends the exchange with `error`, whatever it is doing."""
        self._stopped = error
        self._bell.ring()

    async def run(self) -> Attempt:
        """The attempt that answered, its content sent, its end held.

        Raises the GatewayError of the last attempt, or of the one that may not be followed;
        CallerGone.
        """
        assert self._exchange.plan is not None
        failed: GatewayError | None = None
        for model, endpoint in self._exchange.plan.attempts:
            if failed is not None and failed.retry is Retry.MODEL and model is self._exchange.model:
                continue
            self._exchange.model, self._exchange.endpoint = model, endpoint
            try:
                return await self._try_keys(model, endpoint)
            except GatewayError as error:
                committed = self._attempt is not None and self._attempt.committed
                if committed or error.retry is Retry.NEVER or self._clock() >= self._last_at:
                    raise
                failed = error
        assert failed is not None
        self._name_failures(failed)
        raise failed

    async def _try_keys(self, model: Model, endpoint: Endpoint) -> Attempt:
        """One endpoint, with its next key where the fault was the last key's."""
        failed: GatewayError | None = None
        for credentials in self._exchange.snapshot.signing.headers(endpoint.provider.slug):
            try:
                return await self._try(endpoint, credentials)
            except GatewayError as error:
                if error.kind not in KEY_FAULTS:
                    raise
                failed = error
        assert failed is not None
        raise failed

    async def _try(self, endpoint: Endpoint, credentials: Mapping[str, str]) -> Attempt:
        dialect = OUTBOUND[endpoint.provider.dialect]
        body = dialect.encode_request(self._ask, endpoint.model, endpoint.provider.quirks)
        exchange = self._exchange
        exchange.begin_again()
        hidden = self._ask.thinking is not None and self._ask.thinking.hidden
        attempt = self._attempt = Attempt(
            exchange,
            endpoint,
            dialect,
            encoder=self._dialect.encoder(exchange.head, hidden) if self._ask.stream else None,
            ring=self._bell.ring,
            clock=self._clock,
        )
        error: GatewayError | None = None
        try:
            call = self._call(endpoint, dialect, credentials, body)
            attempt.sent = self._transport.send(call, attempt)
            await self._follow(attempt)
        except GatewayError as fault:
            error = fault
            raise
        finally:
            self._leave(attempt)
            self._note(attempt, endpoint, error)
        return attempt

    def _call(
        self, endpoint: Endpoint, dialect: Outbound, credentials: Mapping[str, str], body: bytes
    ) -> Call:
        accept = "text/event-stream" if self._ask.stream else "application/json"
        headers = {
            "Accept": accept,
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            **self._headers,
            **credentials,
        }
        url = endpoint.provider.base_url.rstrip("/") + dialect.path
        return Call(url, headers, body, endpoint.timeouts.connect_s)

    async def _follow(self, attempt: Attempt) -> None:
        """Until the attempt is over: hands on what comes, keeps the caller's wait and ours bounded.

        Raises the attempt's GatewayError, or CallerGone.
        """
        while True:
            if self._caller.gone:
                raise CallerGone
            if self._stopped is not None:
                raise self._stopped
            if attempt.waiting:
                await self._write(attempt.take())
                continue
            if attempt.over:
                break
            now = self._clock()
            deadline, what = attempt.deadline()
            if now >= deadline or now >= self._last_at:
                attempt.expire(what)
                continue
            until = min(deadline, self._last_at)
            if self._ask.stream and attempt.finished_at is None:
                if now >= self._comment_at:
                    await self._write(PROCESSING)
                    continue
                until = min(until, self._comment_at)
            await self._bell.wait(until)
        if attempt.error is not None:
            raise attempt.error

    async def _write(self, data: bytes) -> None:
        if not self._caller.started:
            await self._caller.start(200, stream_head(self._exchange.id))
        await self._caller.write(data)
        self._comment_at = self._clock() + COMMENT_S

    def _leave(self, attempt: Attempt) -> None:
        """A good answer may end by itself, so that its connection is used again; others may not."""
        if attempt.error is not None or not attempt.over:
            attempt.cancel()
        elif attempt.sent is not None:
            asyncio.get_running_loop().call_later(USAGE_WAIT_S, attempt.cancel)

    def _note(self, attempt: Attempt, endpoint: Endpoint, error: GatewayError | None) -> None:
        note = Try(
            provider=endpoint.provider.slug,
            provider_name=endpoint.provider.name,
            model=endpoint.model,
            status=attempt.status,
            latency_ms=int((self._clock() - attempt.began_at) * 1000),
            error=error.kind if error else None,
        )
        self._exchange.tries.append(note)
        self._on_try(note)
        if error is not None:
            # The provider's words may repeat the prompt: what it answered is enough for the log.
            log.warning(
                "attempt failed",
                extra={
                    "generation": self._exchange.id,
                    "provider": note.provider,
                    "model": note.model,
                    "status": note.status,
                    "error": note.error,
                    "code": error.metadata.get("provider_code"),
                    "time_ms": note.latency_ms,
                },
            )

    def _name_failures(self, failed: GatewayError) -> None:
        """Tells the caller of the other attempts, as OpenRouter does (contract, 2.4)."""
        earlier = [
            {"provider": note.provider_name, "code": note.error, "status": note.status}
            for note in self._exchange.tries[:-1]
        ]
        if earlier:
            failed.metadata["previous_errors"] = earlier
