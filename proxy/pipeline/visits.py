"""Who is asked next: the endpoints of a plan in their order, as the pool lets them be tried.

A visit is one endpoint asked for one request, by one of its keys after another. It has a ticket of
the pool, which ends with it, once, however it ends.
"""

from collections.abc import Callable
from math import ceil
from typing import Final, NamedTuple

from proxy.errors import GatewayError
from proxy.pipeline.exchange import Exchange
from proxy.routing.catalogue import Endpoint, Model
from proxy.routing.health import FULL, EndpointId, Outcome, Pool, Ticket, outcome_of
from proxy.upstream.signing import Credential, Signing

_REFUSES: Final = "would refuse the same request"


def id_of(endpoint: Endpoint) -> EndpointId:
    """What the pool calls it."""
    return endpoint.tag, endpoint.model


class Visit:
    """One endpoint and its ticket. `hedge` says that it races another one, `aside` that nothing
    follows for others: who does not count prompts, or not so many of them, may answer them.
    """

    def __init__(
        self,
        model: Model,
        endpoint: Endpoint,
        *,
        pool: Pool,
        signing: Signing,
        ticket: Ticket,
        now: float,
        hedge: bool,
        aside: bool,
    ) -> None:
        self.model = model
        self.endpoint = endpoint
        self.hedge = hedge
        self._aside = aside
        self._pool = pool
        self._signing = signing
        self._ticket = ticket
        self._asked_at = now
        self._keys = iter(signing.credentials(endpoint.provider.slug, now))
        self.credential: Credential = next(self._keys)

    def next_key(self, error: GatewayError, now: float) -> bool:
        """Whether `error` is the fault of a key and there is another one: `credential` is it."""
        if self._aside or not self._blame(error, now):
            return False
        credential = next(self._keys, None)
        if credential is None:
            return False
        self.credential, self._asked_at = credential, now
        return True

    def _blame(self, error: GatewayError, now: float) -> bool:
        slug, number = self.endpoint.provider.slug, self.credential.number
        if error.kind == "provider_rate_limited":
            self._signing.limited(slug, number, now, retry_after_s(error))
        elif error.kind == "provider_credential":
            self._signing.refused(slug, number, now, asked_at=self._asked_at)
        else:
            return False
        return True

    def content(self, at: float, lag_s: float) -> None:
        """Its first content came, streamed."""
        self._pool.content(self._ticket, at, lag_s=lag_s)

    def succeed(self, now: float, tokens: int) -> None:
        """It answered well."""
        self._signing.accepted(self.endpoint.provider.slug, self.credential.number)
        outcome = Outcome.ABANDONED if self._aside else Outcome.GOOD
        self._pool.end(self._ticket, outcome, now, tokens=tokens)

    def fail(self, error: GatewayError, now: float) -> None:
        """It ended with `error`. That all keys are refused is the endpoint's failure; that one of
        them must wait is not, where another one is ready; where none is, the endpoint waits for the
        first of them.
        """
        if self._aside:
            self.abandon(now)
            return
        self._blame(error, now)
        outcome, slug = outcome_of(error), self.endpoint.provider.slug
        pause_s = retry_after_s(error)
        if outcome is Outcome.CREDENTIAL and self._signing.all_refused(slug, now):
            outcome = Outcome.FAILED
        elif outcome is Outcome.LIMITED and self._signing.ready(slug, now):
            outcome = Outcome.CREDENTIAL
        elif outcome is Outcome.LIMITED and pause_s is not None:
            pause_s = self._signing.soonest_s(slug, now) or pause_s
        self._pool.end(self._ticket, outcome, now, retry_after_s=pause_s)

    def abandon(self, now: float) -> None:
        """Nobody wants its answer any more."""
        self._pool.end(self._ticket, Outcome.ABANDONED, now)


class _Passed(NamedTuple):
    """An endpoint that the pool did not let be tried, and why."""

    model: Model
    endpoint: Endpoint
    why: str


class Visits:
    """The visits of one exchange, in the order of its plan."""

    def __init__(self, exchange: Exchange, pool: Pool, clock: Callable[[], float]) -> None:
        assert exchange.plan is not None
        assert exchange.ask is not None
        self._exchange = exchange
        self._pool = pool
        self._clock = clock
        self._rest = list(exchange.plan.attempts)
        self._passed: list[_Passed] = []
        self._useless: set[str] = set()
        self._whole = exchange.ask.at_once or not exchange.ask.stream
        self._aside = exchange.ask.task == "count"
        self._begun = False

    def more_of(self, model: Model) -> bool:
        """Whether the next endpoint that was not looked at is one of `model`."""
        return bool(self._rest) and self._rest[0][0] is model

    def give_up(self, model: Model) -> None:
        """Another endpoint of `model` would refuse the same request."""
        self._useless.add(model.id)

    def next(self, *, hedge_of: Model | None = None) -> Visit | None:
        """The next endpoint that may be tried now; beside one of `hedge_of` that is still at work
        only one of the same model, which has room. When no other is left, whoever is full is asked,
        and of a request that nobody was asked for even whoever is shut.

        Raises GatewayError `provider_rate_limited` where nobody was asked and all want a pause.
        """
        while self._rest and (hedge_of is None or self.more_of(hedge_of)):
            model, endpoint = self._rest.pop(0)
            if model.id in self._useless:
                self._exchange.skips.append((endpoint, _REFUSES))
                continue
            ticket = self._begin(endpoint, rival=hedge_of is not None)
            if isinstance(ticket, Ticket):
                return self._visit(model, endpoint, ticket, hedge=hedge_of is not None)
            self._exchange.skips.append((endpoint, ticket))
            self._passed.append(_Passed(model, endpoint, ticket))
        return self._last_resort() if hedge_of is None else None

    def _last_resort(self) -> Visit | None:
        now, first = self._clock(), not self._begun
        full = [one for one in self._passed if one.why == FULL]
        full.sort(key=lambda one: self._pool.look(id_of(one.endpoint), now)[2])
        shut = [one for one in self._passed if one.why != FULL] if first else []
        for passed in (*full, *shut):
            if passed.model.id in self._useless:
                continue
            ticket = self._begin(passed.endpoint, last=first)
            if isinstance(ticket, Ticket):
                self._passed.remove(passed)
                self._exchange.skips.remove((passed.endpoint, passed.why))
                return self._visit(passed.model, passed.endpoint, ticket, hedge=False)
        if first:
            self._keep_pause(now)
        return None

    def _keep_pause(self, now: float) -> None:
        """Who alone could answer asked for a pause: to ask all the same would prolong it."""
        pauses_s = [self._pool.pause_s(id_of(one.endpoint), now) for one in self._passed]
        asked_s = [pause_s for pause_s in pauses_s if pause_s > 0.0]
        if asked_s:
            wait_s = ceil(min(asked_s))
            raise GatewayError(
                "provider_rate_limited",
                f"Every provider that could answer asked for a pause: try again in {wait_s} s.",
                headers={"Retry-After": str(wait_s)},
            )

    def _begin(
        self, endpoint: Endpoint, *, last: bool = False, rival: bool = False
    ) -> Ticket | str:
        return self._pool.begin(
            id_of(endpoint),
            self._clock(),
            retry=self._begun,
            last=last,
            whole=self._whole,
            rival=rival,
        )

    def _visit(self, model: Model, endpoint: Endpoint, ticket: Ticket, *, hedge: bool) -> Visit:
        self._begun = True
        return Visit(
            model,
            endpoint,
            pool=self._pool,
            signing=self._exchange.snapshot.signing,
            ticket=ticket,
            now=self._clock(),
            hedge=hedge,
            aside=self._aside,
        )


def retry_after_s(error: GatewayError) -> float | None:
    """What a provider asked for in seconds, where it did."""
    said = error.headers.get("Retry-After")
    return float(said) if said is not None and said.isdigit() else None
