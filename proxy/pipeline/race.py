"""Who is at work for one exchange: an attempt, and perhaps a second one that races it.

The first to have content is the answer; the other is hung up on in the same moment, whatever the
caller is doing, and what it may cost is the house's. Every attempt is noted, and every visit's
ticket ended, on every way out.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from proxy.dialects import Inbound
from proxy.errors import GatewayError, Retry
from proxy.pipeline.attempt import Attempt
from proxy.pipeline.dispatch import dispatch
from proxy.pipeline.drains import owed, part
from proxy.pipeline.exchange import Exchange
from proxy.pipeline.notes import DRAINED, HUNG_UP, LOST, name_failures, note, used
from proxy.pipeline.telling import shown
from proxy.pipeline.visits import Visit, Visits, id_of
from proxy.routing.health import Pool
from proxy.upstream.transport import Transport
from proxy.wire.events import Echo
from proxy.wire.record import Try


class _Lane(NamedTuple):
    visit: Visit
    attempt: Attempt


class Race:
    """The attempts of one exchange. Nothing here waits; `ring` wakes the relay, which does."""

    def __init__(
        self,
        exchange: Exchange,
        dialect: Inbound,
        *,
        transport: Transport,
        headers: Mapping[str, str],
        on_try: Callable[[Try], None],
        pool: Pool,
        lag_s: Callable[[], float],
        ring: Callable[[], None],
        clock: Callable[[], float],
        last_at: float,
    ) -> None:
        assert exchange.ask is not None
        self._exchange = exchange
        self._ask = exchange.ask
        self._dialect = dialect
        self._transport = transport
        self._headers = headers
        self._on_try = on_try
        self._pool = pool
        self._lag_s = lag_s
        self._ring_bell = ring
        self._clock = clock
        self._last_at = last_at
        self._visits = Visits(exchange, pool, clock)
        self._lanes: list[_Lane] = []
        self._echoes: list[Echo] = []
        self._won: _Lane | None = None
        self._hedge_at = math.inf
        # How long a whole answer usually takes is not known: only those of streams are learned.
        self._paced = exchange.ask.stream and not exchange.ask.at_once
        self._hedged = not (exchange.snapshot.hedge and self._paced)
        self._dropped: list[Attempt] = []  # given up though they may have worked, and be paid for
        self._detached: Attempt | None = None

    @property
    def won(self) -> Attempt | None:
        """The one whose answer the caller gets."""
        return self._won.attempt if self._won else None

    def begin(self) -> None:
        """Asks the first endpoint. Raises GatewayError where there is nobody to ask."""
        visit = self._visits.next()
        if visit is None:
            raise GatewayError("no_provider", "No provider can take the request now.")
        self._start(visit)

    def _start(self, visit: Visit) -> None:
        call = None
        try:
            attempt = self._prepare(visit)
            try:
                call = dispatch(self._exchange, attempt, visit.credential, self._headers)
                self._echo(call.body, attempt)
            except GatewayError as error:
                if error.retry is Retry.NEVER:
                    raise
                attempt.fail(error)  # another endpoint may have words for what this one has not
        except BaseException:
            visit.abandon(self._clock())
            raise
        if not self._lanes:
            attempt.keep()
        self._lanes.append(_Lane(visit, attempt))
        if call is not None:
            attempt.sent = self._transport.send(call, attempt)

    def _prepare(self, visit: Visit) -> Attempt:
        exchange, ask, endpoint = self._exchange, self._ask, visit.endpoint
        head = exchange.head_of(visit.model, endpoint)
        attempt = Attempt(
            exchange,
            visit.model,
            endpoint,
            encoder=self._dialect.streaming(head, ask),
            ring=self._ring,
            clock=self._clock,
        )
        if self._paced:
            limit_s = self._pool.first_content_limit_s(id_of(endpoint), attempt.first_token_s)
            attempt.first_token_s = min(limit_s, attempt.first_token_s)
        after_s = None if self._hedged else self._pool.hedge_after_s(id_of(endpoint))
        self._hedge_at = math.inf if after_s is None else attempt.began_at + after_s
        return attempt

    def _echo(self, body: bytes | None, attempt: Attempt) -> None:
        """Shows a caller that debugs what every provider was sent so far."""
        if self._ask.echo and not attempt.whole:
            self._echoes.append(Echo(shown(body)))
            for echo in self._echoes:
                attempt.show(echo)

    # Who is ahead.

    def _ring(self) -> None:
        """An attempt has news. The loser is hung up on here, not when the relay finds the time."""
        if self._won is None:
            won = next((lane for lane in self._lanes if lane.attempt.ahead), None)
            if won is not None:
                self._decide(won)
        self._ring_bell()

    def _decide(self, won: _Lane) -> None:
        self._won, self._hedge_at = won, math.inf
        self._exchange.provisions = None  # nobody else is asked
        content_at = won.attempt.heard.content_at
        if content_at is not None and not won.attempt.whole:
            won.visit.content(content_at, self._lag_s())
        for lane in [lane for lane in self._lanes if lane is not won]:
            self._lanes.remove(lane)
            if lane.attempt.error is not None:
                self._fail(lane, lane.attempt.error)
                continue
            lane.attempt.cancel()
            lane.visit.abandon(self._clock())
            self._dropped.append(lane.attempt)
            self._note(lane, LOST)
        won.attempt.keep()

    # Who is next.

    def move_on(self) -> bool:
        """Replaces those that failed before content; False where none did.

        Raises the GatewayError of the last one, or of the one that may not be followed.
        """
        failed = [lane for lane in self._lanes if lane.attempt.error is not None]
        for lane in failed:
            error = lane.attempt.error
            assert error is not None
            self._lanes.remove(lane)
            lane.attempt.keep()
            if lane.visit.next_key(error, self._clock()):
                self._start(lane.visit)
                self._note(lane, error)
                continue
            self._fail(lane, error)
            if error.retry is Retry.MODEL:
                self._visits.give_up(lane.visit.model)
            if not self._lanes:
                self._next(error)
        return bool(failed)

    def _fail(self, lane: _Lane, error: GatewayError) -> None:
        lane.visit.fail(error, self._clock())
        self._note(lane, error)

    def _next(self, failed: GatewayError) -> None:
        if failed.retry is Retry.NEVER or self._clock() >= self._last_at:
            raise failed
        visit = self._visits.next()
        if visit is None:
            name_failures(self._exchange, failed)
            raise failed
        self._start(visit)

    # The clocks.

    @property
    def due_at(self) -> float:
        """When `expire` has something to do."""
        deadlines = [_deadline(lane.attempt) for lane in self._lanes]
        return min(self._last_at, self._hedge_at, *deadlines)

    def expire(self, now: float) -> None:
        """Does what is due: begins the race, or ends a wait."""
        if now >= self._hedge_at:
            self._hedge()
            return
        self._expire(min(self._lanes, key=lambda lane: _deadline(lane.attempt)), now)

    def _hedge(self) -> None:
        """Once per request, and only at an endpoint of the same model: the next model of a request
        is for failures, and slow is none.
        """
        self._hedge_at = math.inf
        model = self._lanes[0].visit.model
        share_max = self._exchange.snapshot.hedge_share_max
        if not self._visits.more_of(model) or not self._pool.may_hedge(share_max, self._clock()):
            return
        self._hedged = True
        visit = self._visits.next(hedge_of=model)
        if visit is not None:
            self._pool.hedged(self._clock())
            self._start(visit)

    def _expire(self, lane: _Lane, now: float) -> None:
        """Who is late only by its own habits is given up where another endpoint of its model is at
        work or may be asked; else it has as long as is configured.
        """
        visit, attempt = None, lane.attempt
        if attempt.hurried(now) and len(self._lanes) == 1 and now < self._last_at:
            visit = self._visits.next(hedge_of=lane.visit.model)
            if visit is None:
                attempt.first_token_s = attempt.endpoint.timeouts.first_token_s
                return
            visit.hedge = False  # it takes the place of the other
        attempt.expire(attempt.deadline()[1])
        if self._won is None:
            self._dropped.append(attempt)
        if visit is not None:
            self._start(visit)

    # The ends.

    def hang_up(self) -> None:
        """The caller is gone: who need not be heard out is told at once."""
        for lane in self._lanes:
            if not owed(lane.attempt):
                lane.attempt.cancel()

    def detach(self) -> Attempt | None:
        """The attempt that must be heard out though the caller is gone; `leave` leaves it be."""
        attempts = [lane.attempt for lane in self._lanes]
        self._detached = next((attempt for attempt in attempts if owed(attempt)), None)
        return self._detached

    def leave(self, error: GatewayError | None) -> None:
        """Ends all that is still open; `error` is what the caller is told, if it is anything."""
        lanes, self._lanes = self._lanes, []
        kept = self._detached or (lanes[0].attempt if lanes else None)
        for lane in lanes:
            attempt = lane.attempt
            if attempt is not self._detached:
                part(attempt)
            if attempt is kept:
                attempt.keep()
            if attempt.error is not None:
                self._fail(lane, attempt.error)
            elif attempt.over:
                tokens = used(self._exchange, attempt).completion_tokens
                lane.visit.succeed(self._clock(), tokens)
                self._note(lane, error)
            else:
                self._dropped.append(attempt)
                lane.visit.abandon(self._clock())
                self._note(lane, error or (DRAINED if attempt is self._detached else HUNG_UP))
        self._book_lost()

    def _book_lost(self) -> None:
        """The house pays for who was given up, but for whom the exchange itself reckons with."""
        exchange = self._exchange
        others = [one for one in self._dropped if one.heard is not exchange.heard]
        exchange.lost.extend((one.endpoint, used(exchange, one)) for one in others)

    def _note(self, lane: _Lane, error: GatewayError | str | None) -> None:
        noted = note(self._exchange, lane.attempt, error, hedge=lane.visit.hedge, now=self._clock())
        self._on_try(noted)


def _deadline(attempt: Attempt) -> float:
    return attempt.deadline()[0]
