"""From provider to caller: endpoints are tried in order until one's content reached the caller.

Only the first content commits. Before it any failure may move on, as far as its kind allows, and a
second endpoint may race a slow first one; the caller has then seen nothing but, after a second of
waiting, the head and comments. After it nothing moves on: what fails then ends the answer with an
error event. What waits is decided here; `race` knows who is at work.
"""

import asyncio
from collections.abc import Callable, Mapping

from proxy.dialects import Inbound
from proxy.errors import CallerGone, GatewayError
from proxy.pipeline.attempt import Attempt
from proxy.pipeline.bell import Bell
from proxy.pipeline.exchange import Exchange
from proxy.pipeline.race import Race
from proxy.routing.health import Pool
from proxy.serving.caller import Caller
from proxy.upstream.transport import Transport
from proxy.wire.record import Try

FIRST_COMMENT_S = 1.0
COMMENT_S = 5.0
STREAM_S_MAX = 3600.0  # no answer takes longer; all attempts of one request share it

UNBUFFERED = (
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx in front of us must not collect events
)


def stream_head(exchange: Exchange, dialect: Inbound) -> list[tuple[bytes, bytes]]:
    """The headers of a streamed answer. Until its content comes nobody knows who gives it."""
    assert exchange.ask is not None
    named = exchange.server_headers if exchange.content_at is not None else {}
    return [
        (b"content-type", dialect.media_type(exchange.ask).encode()),
        *UNBUFFERED,
        (b"x-generation-id", exchange.id.encode()),
        *((name.lower().encode(), value.encode()) for name, value in named.items()),
    ]


class Relay:
    """Carries one exchange. `hang_up` and `stop` may be called from outside at any time. `lag_s`
    tells how late the loop is.
    """

    def __init__(
        self,
        exchange: Exchange,
        caller: Caller,
        dialect: Inbound,
        *,
        transport: Transport,
        headers: Mapping[str, str],
        on_try: Callable[[Try], None],
        pool: Pool,
        lag_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        assert exchange.ask is not None
        self._exchange = exchange
        self._stream = exchange.ask.stream
        self._caller = caller
        self._dialect = dialect
        self._bell = Bell()
        self._clock = asyncio.get_running_loop().time
        self._last_at = exchange.started_at + STREAM_S_MAX
        self._race = Race(
            exchange,
            dialect,
            transport=transport,
            headers=headers,
            on_try=on_try,
            pool=pool,
            lag_s=lag_s,
            ring=self._bell.ring,
            clock=self._clock,
            last_at=self._last_at,
        )
        self._stopped: GatewayError | None = None
        self._covered_tokens = 0
        self._comment_at = exchange.started_at + FIRST_COMMENT_S
        self.detached: Attempt | None = None
        """After CallerGone: what must be given to `Drains.take`, if it is anything. Nobody else
        ends it, and the exchange is not to be settled before."""

    def hang_up(self) -> None:
        """The caller is gone: the provider is told at once, the story a moment later."""
        self._race.hang_up()
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
        race, error = self._race, None
        try:
            race.begin()
            return await self._follow()
        except GatewayError as fault:
            error = fault
            raise
        except (CallerGone, asyncio.CancelledError):  # a server may tell of a hang-up so, too
            self.detached = race.detach()
            raise
        finally:
            race.leave(error)

    async def _follow(self) -> Attempt:
        """Until an answer is complete: hands on what comes, keeps the caller's wait and ours
        bounded. Raises as `run` does.
        """
        while True:
            if self._caller.gone:
                raise CallerGone
            if self._stopped is not None:
                raise self._stopped
            won = self._race.won
            if won is not None:
                if await self._serve(won):
                    continue
                if won.error is not None:
                    raise won.error
                if won.over:
                    return won
            elif self._race.move_on():
                continue
            await self._wait(won)

    async def _serve(self, attempt: Attempt) -> bool:
        """Gives the caller what waits for it, as far as the account pays; False: nothing does."""
        cover, tokens = self._exchange.cover, attempt.heard.tokens_max
        if cover is not None and tokens > self._covered_tokens:
            if cover(tokens):
                self._covered_tokens = tokens
            elif not await self._cover_more(tokens):
                attempt.curtail(cover)
                self._covered_tokens = attempt.heard.tokens_max
            return True
        if not attempt.waiting:
            return False
        data = attempt.take()
        if data:
            await self._write(data)
        return True

    async def _cover_more(self, tokens: int) -> bool:
        more = self._exchange.cover_more
        return more is not None and await more(tokens)

    async def _wait(self, won: Attempt | None) -> None:
        """Until something happens; does what is due."""
        now = self._clock()
        until = self._race.due_at
        if now >= until:
            self._race.expire(now)
            return
        if self._stream and (won is None or won.finished_at is None):
            if now >= self._comment_at:
                await self._comment()
                return
            until = min(until, self._comment_at)
        await self._bell.wait(until)

    async def _comment(self) -> None:
        """Says that we live; in what has no words for it, nothing."""
        if self._dialect.waiting:
            await self._write(self._dialect.waiting)
        else:
            self._comment_at = STREAM_S_MAX + self._exchange.started_at

    async def _write(self, data: bytes) -> None:
        if not self._caller.started:
            await self._caller.start(200, stream_head(self._exchange, self._dialect))
        await self._caller.write(data)
        self._comment_at = self._clock() + COMMENT_S
