"""Who is asked next: the endpoints of a plan in their order, as the pool lets them be tried.

A visit is one endpoint asked for one request, by one of its keys after another. It has a ticket of
the pool, which ends with it, once, however it ends.
"""

from collections.abc import Callable

from proxy.errors import GatewayError
from proxy.pipeline.exchange import Exchange
from proxy.routing.catalogue import Endpoint, Model
from proxy.routing.health import EndpointId, Outcome, Pool, Ticket, outcome_of
from proxy.upstream.signing import Credential, Signing


def id_of(endpoint: Endpoint) -> EndpointId:
    """What the pool calls it."""
    return endpoint.tag, endpoint.model


class Visit:
    """One endpoint and its ticket. `hedge` says that it races another one."""

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
    ) -> None:
        self.model = model
        self.endpoint = endpoint
        self.hedge = hedge
        self._pool = pool
        self._signing = signing
        self._ticket = ticket
        self._keys = iter(signing.headers(endpoint.provider.slug, now))
        self.credential: Credential = next(self._keys)

    def next_key(self, error: GatewayError, now: float) -> bool:
        """Whether `error` is the fault of a key and there is another one: `credential` is it."""
        if not self._blame(error, now):
            return False
        credential = next(self._keys, None)
        self.credential = credential or self.credential
        return credential is not None

    def _blame(self, error: GatewayError, now: float) -> bool:
        slug, number = self.endpoint.provider.slug, self.credential.number
        if error.kind == "provider_rate_limited":
            self._signing.limited(slug, number, now, retry_after_s(error))
        elif error.kind == "provider_credential":
            self._signing.refused(slug, number, now)
        else:
            return False
        return True

    def content(self, at: float, lag_s: float) -> None:
        """Its first content came, streamed."""
        self._pool.content(self._ticket, at, lag_s=lag_s)

    def succeed(self, now: float, tokens: int) -> None:
        """It answered well."""
        self._signing.accepted(self.endpoint.provider.slug, self.credential.number)
        self._pool.end(self._ticket, Outcome.GOOD, now, tokens=tokens)

    def fail(self, error: GatewayError, now: float) -> None:
        """It ended with `error`. That all keys are refused is the endpoint's failure; that one of
        them must wait is not, where another one is ready.
        """
        self._blame(error, now)
        outcome, slug = outcome_of(error), self.endpoint.provider.slug
        if outcome is Outcome.CREDENTIAL and self._signing.all_refused(slug, now):
            outcome = Outcome.FAILED
        elif outcome is Outcome.LIMITED and self._signing.ready(slug, now):
            outcome = Outcome.CREDENTIAL
        self._pool.end(self._ticket, outcome, now, retry_after_s=retry_after_s(error))

    def abandon(self, now: float) -> None:
        """Nobody wants its answer any more."""
        self._pool.end(self._ticket, Outcome.ABANDONED, now)


class Visits:
    """The visits of one exchange, in the order of its plan."""

    def __init__(self, exchange: Exchange, pool: Pool, clock: Callable[[], float]) -> None:
        assert exchange.plan is not None
        assert exchange.ask is not None
        self._exchange = exchange
        self._pool = pool
        self._clock = clock
        self._rest = list(exchange.plan.attempts)
        self._passed: list[tuple[Model, Endpoint]] = []
        self._useless: set[str] = set()
        self._whole = not exchange.ask.stream
        self._begun = False

    def more_of(self, model: Model) -> bool:
        """Whether the next endpoint that was not looked at is one of `model`."""
        return bool(self._rest) and self._rest[0][0] is model

    def give_up(self, model: Model) -> None:
        """Another endpoint of `model` would refuse the same request."""
        self._useless.add(model.id)

    def next(self, *, hedge_of: Model | None = None) -> Visit | None:
        """The next endpoint that may be tried now, to race one of `hedge_of` only one of the same
        model. Of a request that nobody may be asked for, it is the first that the pool lets pass as
        the last resort.
        """
        while self._rest and (hedge_of is None or self.more_of(hedge_of)):
            model, endpoint = self._rest.pop(0)
            if model.id in self._useless:
                continue
            ticket = self._begin(endpoint, last=False)
            if isinstance(ticket, Ticket):
                return self._visit(model, endpoint, ticket, hedge=hedge_of is not None)
            self._exchange.skips.append((endpoint, ticket))
            self._passed.append((model, endpoint))
        return None if self._begun else self._last_resort()

    def _last_resort(self) -> Visit | None:
        for model, endpoint in self._passed:
            ticket = self._begin(endpoint, last=True)
            if isinstance(ticket, Ticket):
                return self._visit(model, endpoint, ticket, hedge=False)
        return None

    def _begin(self, endpoint: Endpoint, *, last: bool) -> Ticket | str:
        return self._pool.begin(
            id_of(endpoint), self._clock(), retry=self._begun, last=last, whole=self._whole
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
        )


def retry_after_s(error: GatewayError) -> float | None:
    """What a provider asked for in seconds, where it did."""
    said = error.headers.get("Retry-After")
    return float(said) if said is not None and said.isdigit() else None
