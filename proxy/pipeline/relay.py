"""From provider to caller: endpoints are tried in order until one's content reached the caller.

Only the first content commits. Before it any failure may move on, as far as its kind allows, and a
second endpoint may race a slow first one; the caller has then seen nothing but, after a second of
waiting, the head and comments. After it nothing moves on: what fails then ends the answer with an
error event. What waits is decided here; `race` knows who is at work.
"""

import asyncio
import sys
from collections.abc import Awaitable, Mapping

from proxy.dialects import Inbound
from proxy.errors import CallerGone, GatewayError
from proxy.pipeline.attempt import Attempt
from proxy.pipeline.bell import Bell
from proxy.pipeline.exchange import Exchange
from proxy.pipeline.heard import Heard
from proxy.pipeline.race import Means, Race
from proxy.serving.caller import Caller

FIRST_COMMENT_S = 1.0
COMMENT_S = 5.0
AHEAD_TOKENS = 32  # a fourth of what the least hold keeps to spare
STREAM_S_MAX = 3600.0  # no answer takes longer; all attempts of one request share it

UNBUFFERED = (
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx in front of us must not collect events
)


def pairs(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers as a server takes them."""
    if not headers:
        return []
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]


def stream_head(exchange: Exchange, dialect: Inbound) -> list[tuple[bytes, bytes]]:
    """The headers of a streamed answer. Until its content comes nobody knows who gives it."""
    assert exchange.ask is not None
    told = exchange.server_headers
    known = told if exchange.content_at is not None else told[:1]
    return [(b"content-type", dialect.media_type(exchange.ask).encode()), *UNBUFFERED, *known]


class Relay(Bell):
    """Carries one exchange, and waits for news of it. `hang_up` and `stop` may be called from
    outside at any time.
    """

    def __init__(self, exchange: Exchange, caller: Caller, dialect: Inbound, means: Means) -> None:
        assert exchange.ask is not None
        self._exchange = exchange
        self._stream = exchange.ask.stream
        self.caller = caller
        self._dialect = dialect
        self._clock = means.clock
        last_at = exchange.started_at + STREAM_S_MAX
        self._race = Race(exchange, dialect, means, ring=self._news, pass_on=self, last_at=last_at)
        self._stopped: GatewayError | None = None
        self._covered_tokens = 0
        self.covered_bytes = 0 if exchange.cover is not None else sys.maxsize  # the same as text
        self.told_at = exchange.started_at + FIRST_COMMENT_S - COMMENT_S
        self._until = last_at  # when what is waited for is due
        caller.wake(self._news)
        self.detached: Attempt | None = None
        """After CallerGone: what must be given to `Drains.take`, if it is anything. Nobody else
        ends it, and the exchange is not to be settled before."""

    def hang_up(self) -> None:
        """The caller is gone: the provider is told at once, the story a moment later."""
        self._race.hang_up()
        self.ring()

    def stop(self, error: GatewayError) -> None:
        """Ends the exchange with `error`, whatever it is doing."""
        self._stopped = error
        self.ring()

    def _news(self) -> None:
        """There is news, told from inside a provider's or the caller's callback: what needs no
        waiting is done here, and no task wakes for it.
        """
        parked = self._stream and self.waiter is not None
        if not (parked and self.caller.ready and self._hand_over()):
            self.ring()

    def _hand_over(self) -> bool:
        """Gives the caller what waits for it; False: the story must go on. It covers what the
        hold pays at once, and leaves all else (more credit, an end, a failure) to `_follow`.
        """
        won = self._race.won
        if won is None or won.over or not self.pays(won.heard):
            return False
        data = won.take()
        if data:
            if not self.caller.started:
                self.caller.open(200, stream_head(self._exchange, self._dialect))
            self.caller.push(data)
            self.told_at = self._clock()
            if self._race.due_at < self._until:  # the next piece may be due before the first was
                return False
        return not won.over and won.finished_at is None

    def pays(self, heard: Heard) -> bool:
        """Whether the account is known to pay for all that was heard. It is asked for a little more
        than that, where there is more: not anew for every piece.
        """
        cover = self._exchange.cover
        if cover is None:
            return True
        tokens, covered = heard.tokens_max, self._covered_tokens
        if tokens > covered:
            if cover(tokens + AHEAD_TOKENS):
                tokens += AHEAD_TOKENS
            elif not cover(tokens):
                return False
            covered = tokens
        self._covered(heard, covered)  # how much text that is may have changed: by an image
        return True

    def _covered(self, heard: Heard, tokens: int) -> None:
        self._covered_tokens = tokens
        self.covered_bytes = heard.bytes_within(tokens)

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
        """Until an answer is complete: hands on what comes as far as the account pays, keeps the
        caller's wait and ours bounded. Raises as `run` does.
        """
        race = self._race
        while True:
            if self.caller.gone:
                raise CallerGone
            if self._stopped is not None:
                raise self._stopped
            won = race.won
            if won is None:
                if not race.move_on():
                    await self._wait(comments=self._stream)
            elif not self.pays(won.heard):
                await self._cover_more(won)
            elif won.outlet.pieces:
                await self._write(won.take())
            elif won.error is not None:
                raise won.error
            elif won.over:
                return won
            else:
                await self._wait(comments=self._stream and won.finished_at is None)

    async def _cover_more(self, won: Attempt) -> None:
        """Asks for credit, and ends the answer where there is none."""
        cover, more = self._exchange.cover, self._exchange.cover_more
        tokens = won.heard.tokens_max
        if more is None or not await more(tokens):
            assert cover is not None
            won.curtail(cover)
            tokens = won.heard.tokens_max
        self._covered(won.heard, tokens)

    def _wait(self, *, comments: bool) -> Awaitable[None]:
        """Until something happens; does what is due."""
        now, until = self._clock(), self._race.due_at
        self._until = until
        if now >= until:
            self._race.expire(now)
            return self.wait(now)  # no longer than for a turn of the loop
        if comments:
            comment_at = self.told_at + COMMENT_S
            if now >= comment_at:
                return self._comment()
            until = min(until, comment_at)
        return self.wait(until)

    async def _comment(self) -> None:
        """Says that we live; in what has no words for it, nothing."""
        if self._dialect.waiting:
            await self._write(self._dialect.waiting)
        else:
            self.told_at = STREAM_S_MAX + self._exchange.started_at

    async def _write(self, data: bytes) -> None:
        if not data:
            return
        if not self.caller.started:
            await self.caller.start(200, stream_head(self._exchange, self._dialect))
        await self.caller.write(data)
        self.told_at = self._clock()
