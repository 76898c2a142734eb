"""Who is at work for one exchange: an attempt, and perhaps a second one that races it.

The first to have content is the answer; the other is hung up on in the same moment, whatever the
caller is doing, and what it may cost is the house's. Every attempt is noted, and every visit's
ticket ended, on every way out.
"""

from collections.abc import Callable, Mapping
from math import inf
from typing import NamedTuple

from proxy.dialects import Inbound
from proxy.errors import GatewayError, Retry
from proxy.pipeline.attempt import Attempt
from proxy.pipeline.dispatch import dispatch
from proxy.pipeline.drains import owed, part
from proxy.pipeline.exchange import Exchange, nothing
from proxy.pipeline.notes import DRAINED, HUNG_UP, LOST, name_failures, note, used
from proxy.pipeline.passing import PassOn
from proxy.pipeline.telling import shown
from proxy.pipeline.visits import Visit, Visits
from proxy.routing.health import EndpointId, Pool
from proxy.upstream.transport import Transport
from proxy.wire.events import Echo
from proxy.wire.record import Try


class Means(NamedTuple):
    """What all exchanges of a flow are carried with. `headers` are those of every call, `on_try` is
    told of every attempt, `lag_s` tells how late the loop is, `clock` is its own.
    """

    transport: Transport
    headers: Mapping[str, str]
    on_try: Callable[[Try], None]
    pool: Pool
    clock: Callable[[], float]
    lag_s: Callable[[], float] = lambda: 0.0


class Race:
    """The attempts of one exchange. Nothing here waits; `ring` wakes the relay, which does, and
    `pass_on` is for the pieces of the one that is ahead.
    """

    won: Attempt | None = None  # the one whose answer the caller gets
    _hedge_at = inf
    _detached: Attempt | None = None

    def __init__(
        self,
        exchange: Exchange,
        dialect: Inbound,
        means: Means,
        *,
        ring: Callable[[], None],
        pass_on: PassOn,
        last_at: float,
    ) -> None:
        assert exchange.ask is not None
        self._exchange, self._ask = exchange, exchange.ask
        self._dialect = dialect
        self._means = means
        self._clock, self._on_try = means.clock, means.on_try
        self._ring_bell = ring
        self._pass_on: PassOn | None = pass_on
        self._last_at = last_at
        self._visits = Visits(exchange, means.pool, means.clock)
        self._under_way: list[Visit] = []
        self._echoes: list[Echo] = []
        # How long a whole answer usually takes is not known: only those of streams are learned.
        self._paced = exchange.ask.stream and not exchange.ask.at_once
        self._hedged = not (exchange.snapshot.hedge and self._paced)
        self._dropped: list[Attempt] = []  # given up though they may have worked, and be paid for

    def begin(self) -> None:
        """Asks the first endpoint. Raises GatewayError where there is nobody to ask."""
        visit = self._visits.next()
        if visit is None:
            raise GatewayError("no_provider", "No provider can take the request now.")
        self._start(visit)

    def _start(self, visit: Visit) -> None:
        exchange, ask, call = self._exchange, self._ask, None
        try:
            encoder, model, endpoint = None, visit.model, visit.endpoint
            if ask.stream:
                encoder = self._dialect.streaming(exchange.head_of(model, endpoint), ask)
            attempt = visit.attempt = Attempt(
                exchange, model, endpoint, encoder=encoder, ring=self._ring, clock=self._clock
            )
            if self._paced:
                self._pace(visit.id, attempt)
            try:
                call = dispatch(exchange, attempt, visit.credential, self._means.headers)
                if ask.echo:
                    self._echo(call.body, attempt)
            except GatewayError as error:
                if error.retry is Retry.NEVER:
                    raise
                attempt.fail(error)  # another endpoint may have words for what this one has not
        except BaseException:
            visit.abandon(self._clock())
            raise
        if not self._under_way:
            attempt.keep()
        self._under_way.append(visit)
        if call is not None:
            attempt.sent = self._means.transport.send(call, attempt)

    def _pace(self, id: EndpointId, attempt: Attempt) -> None:
        """How long its first content is waited for, and when another one begins to race it."""
        pool = self._means.pool
        attempt.first_token_s = pool.first_content_limit_s(id, attempt.first_token_s)
        after_s = None if self._hedged else pool.hedge_after_s(id)
        self._hedge_at = inf if after_s is None else attempt.began_at + after_s

    def _echo(self, body: bytes | None, attempt: Attempt) -> None:
        """Shows a caller that debugs what every provider was sent so far."""
        if not attempt.whole:
            self._echoes.append(Echo(shown(body)))
            for echo in self._echoes:
                attempt.show(echo)

    # Who is ahead.

    def _ring(self) -> None:
        """An attempt has news. The loser is hung up on here, not when the relay finds the time."""
        for visit in self._under_way:
            attempt = visit.attempt
            if attempt.committed or (attempt.over and attempt.error is None):
                self._decide(visit)
                break
        self._ring_bell()

    def _decide(self, won: Visit) -> None:
        exchange = self._exchange
        self.won = winner = won.attempt
        self._hedge_at = inf
        exchange.provisions = exchange.ahead = None  # nobody else is asked
        if not winner.whole and winner.heard.content_at is not None:
            won.content(winner.heard.content_at, self._means.lag_s())
        if len(self._under_way) > 1:
            self._drop_rivals(won)
        if winner.heard is not exchange.heard:
            winner.keep()
        winner.answer_to(self._ring_bell, self._pass_on)  # nobody else is at work

    def _drop_rivals(self, won: Visit) -> None:
        rivals, self._under_way = self._under_way, [won]
        for visit in rivals:
            if visit is won:
                continue
            attempt = visit.attempt
            if attempt.error is not None:
                self._fail(visit, attempt.error)
                continue
            attempt.cancel()
            self._dropped.append(attempt)
            self._abandon(visit, LOST)

    # Who is next.

    def move_on(self) -> bool:
        """Replaces those that failed before content; False where none did.

        Raises the GatewayError of the last one, or of the one that may not be followed.
        """
        failed = False
        for visit in tuple(self._under_way):
            error = visit.attempt.error
            if error is None:
                continue
            failed = True
            self._under_way.remove(visit)
            visit.attempt.keep()
            if visit.next_key(error, self._clock()):
                self._on_try(note(self._exchange, visit, error, self._clock()))
                self._start(visit)
                continue
            self._fail(visit, error)
            if error.retry is Retry.MODEL:
                self._visits.give_up(visit.model)
            if not self._under_way:
                self._next(error)
        return failed

    def _fail(self, visit: Visit, error: GatewayError) -> None:
        now = self._clock()
        visit.fail(error, now)
        self._on_try(note(self._exchange, visit, error, now))

    def _abandon(self, visit: Visit, why: GatewayError | str) -> None:
        now = self._clock()
        visit.abandon(now)
        self._on_try(note(self._exchange, visit, why, now))

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
        due_at = self._hedge_at if self._hedge_at < self._last_at else self._last_at
        for visit in self._under_way:
            late_at = visit.attempt.deadline()[0]
            if late_at < due_at:
                due_at = late_at
        return due_at

    def expire(self, now: float) -> None:
        """Does what is due: begins the race, or ends a wait."""
        if now >= self._hedge_at:
            self._hedge()
            return
        self._expire(min(self._under_way, key=lambda one: one.attempt.deadline()), now)

    def _hedge(self) -> None:
        """Once per request, and only at an endpoint of the same model: the next model of a request
        is for failures, and slow is none.
        """
        self._hedge_at = inf
        model, pool = self._under_way[0].model, self._means.pool
        share_max = self._exchange.snapshot.hedge_share_max
        if not self._visits.more_of(model) or not pool.may_hedge(share_max, self._clock()):
            return
        self._hedged = True
        visit = self._visits.next(hedge_of=model)
        if visit is not None:
            pool.hedged(self._clock())
            self._start(visit)

    def _expire(self, late: Visit, now: float) -> None:
        """Who is late only by its own habits is given up where another endpoint of its model is at
        work or may be asked; else it has as long as is configured.
        """
        visit, attempt = None, late.attempt
        if attempt.hurried(now) and len(self._under_way) == 1 and now < self._last_at:
            visit = self._visits.next(hedge_of=late.model)
            if visit is None:
                attempt.first_token_s = attempt.endpoint.timeouts.first_token_s
                return
            visit.hedge = False  # it takes the place of the other
        attempt.expire(attempt.deadline()[1])
        if self.won is None:
            self._dropped.append(attempt)
        if visit is not None:
            self._start(visit)

    # The ends.

    def hang_up(self) -> None:
        """The caller is gone: who need not be heard out is told at once."""
        for visit in self._under_way:
            if not owed(visit.attempt):
                visit.attempt.cancel()

    def detach(self) -> Attempt | None:
        """The attempt that must be heard out though the caller is gone; `leave` leaves it be."""
        self._detached = next(filter(owed, [one.attempt for one in self._under_way]), None)
        return self._detached

    def leave(self, error: GatewayError | None) -> None:
        """Ends all that is still open; `error` is what the caller is told, if it is anything."""
        left, self._under_way = self._under_way, []
        kept = self._detached or (left[0].attempt if left else None)
        for visit in left:
            attempt = visit.attempt
            if attempt.sent is not None and attempt is not self._detached:
                part(attempt)
            if attempt is kept and attempt.heard is not self._exchange.heard:
                attempt.keep()
            if attempt.error is not None:
                self._fail(visit, attempt.error)
            elif attempt.over:
                now, usage = self._clock(), used(self._exchange, attempt)
                visit.succeed(now, usage.completion_tokens, attempt.heard.sound)
                self._on_try(note(self._exchange, visit, error, now))
            else:
                self._dropped.append(attempt)
                self._abandon(visit, error or (DRAINED if attempt is self._detached else HUNG_UP))
        if self._dropped:
            self._book_lost()
        # Nothing comes any more. What knows each other in a ring would wait for the collector.
        self._dropped, self.won, self._detached = [], None, None
        self._ring_bell, self._pass_on = nothing, None

    def _book_lost(self) -> None:
        """The house pays for who was given up, but for whom the exchange itself reckons with."""
        exchange = self._exchange
        others = [one for one in self._dropped if one.heard is not exchange.heard]
        exchange.lost.extend((one.endpoint, used(exchange, one)) for one in others)
