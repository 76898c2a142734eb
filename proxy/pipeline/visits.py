"""Who is asked next: the endpoints of a plan in their order, as the pool lets them be tried.

A visit is one endpoint asked for one request, by one of its keys after another. It has a ticket of
the pool, which ends with it, once, however it ends.
"""

from collections.abc import Callable
from math import ceil
from typing import Final, NamedTuple

from proxy.errors import GatewayError
from proxy.pipeline.attempt import Attempt
from proxy.pipeline.exchange import Exchange
from proxy.routing.catalogue import Endpoint, Model
from proxy.routing.health import FULL, EndpointId, Outcome, Pool, Ticket, outcome_of
from proxy.upstream.signing import NEVER, Credential

_REFUSES: Final = "would refuse the same request"


def id_of(endpoint: Endpoint) -> EndpointId:
    """What the pool calls it."""
    return endpoint.tag, endpoint.model


class Visit:
    """One endpoint, its ticket, and its `attempt`, the latest of those by its keys. `id` is the
    pool's name for it, `hedge` says that it races another one.
    """

    __slots__ = (
        "_asked_at", "_keys", "_of", "_ticket", "attempt", "credential", "endpoint", "hedge", "id",
        "model", "slug",
    )  # fmt: skip
    attempt: Attempt

    def __init__(
        self,
        of: "Visits",
        pair: tuple[Model, Endpoint],
        id: EndpointId,
        ticket: Ticket,
        *,
        hedge: bool,
    ) -> None:
        self.model, self.endpoint = pair
        self.id = id
        self.slug = self.endpoint.provider.slug
        self.hedge = hedge
        self._of = of
        self._ticket = ticket
        self._asked_at = ticket.began_at
        self._keys = of.signing.credentials(self.slug, ticket.began_at)
        self.credential: Credential = next(self._keys)

    def next_key(self, error: GatewayError, now: float) -> bool:
        """Whether `error` is the fault of a key and there is another one: `credential` is it."""
        if self._of.aside or not self._blame(error, now):
            return False
        credential = next(self._keys, None)
        if credential is None:
            return False
        self.credential, self._asked_at = credential, now
        return True

    def _blame(self, error: GatewayError, now: float) -> bool:
        slug, number = self.slug, self.credential.number
        if error.kind == "provider_rate_limited":
            self._of.signing.limited(slug, number, now, retry_after_s(error))
        elif error.kind == "provider_credential":
            self._of.signing.refused(slug, number, now, asked_at=self._asked_at)
        else:
            return False
        return True

    def content(self, at: float, lag_s: float) -> None:
        """Its first content came, streamed."""
        self._of.pool.content(self._ticket, at, lag_s=lag_s)

    def succeed(self, now: float, tokens: int, sound: bool | None = None) -> None:
        """It answered well; `sound` as `Heard.sound`."""
        if self.credential.refused_until != NEVER:
            self._of.signing.accepted(self.slug, self.credential.number)
        outcome = Outcome.ABANDONED if self._of.aside else Outcome.GOOD
        self._of.pool.end(self._ticket, outcome, now, tokens=tokens)
        if sound is not None:
            self._of.pool.called(self.id, now, sound=sound)

    def fail(self, error: GatewayError, now: float) -> None:
        """It ended with `error`. That all keys are refused is the endpoint's failure; that one of
        them must wait is not, where another one is ready; where none is, the endpoint waits for the
        first of them.
        """
        if self._of.aside:
            self.abandon(now)
            return
        self._blame(error, now)
        outcome, slug, signing = outcome_of(error), self.slug, self._of.signing
        pause_s = retry_after_s(error)
        if outcome is Outcome.CREDENTIAL and signing.all_refused(slug, now):
            outcome = Outcome.FAILED
        elif outcome is Outcome.LIMITED and signing.ready(slug, now):
            outcome = Outcome.CREDENTIAL
        elif outcome is Outcome.LIMITED and pause_s is not None:
            pause_s = signing.soonest_s(slug, now) or pause_s
        self._of.pool.end(self._ticket, outcome, now, retry_after_s=pause_s)

    def abandon(self, now: float) -> None:
        """Nobody wants its answer any more."""
        self._of.pool.end(self._ticket, Outcome.ABANDONED, now)


class _Passed(NamedTuple):
    """An endpoint that the pool did not let be tried, and why."""

    pair: tuple[Model, Endpoint]
    why: str


class Visits:
    """The visits of one exchange, in the order of its plan. `aside` says that nothing follows of
    them for others: who does not count prompts, or not so many of them, may answer them.
    """

    __slots__ = (
        "_begun", "_clock", "_exchange", "_next", "_pairs", "_passed", "_useless", "_whole",
        "aside", "pool", "signing",
    )  # fmt: skip

    def __init__(self, exchange: Exchange, pool: Pool, clock: Callable[[], float]) -> None:
        assert exchange.plan is not None
        assert exchange.ask is not None
        ask = exchange.ask
        self.pool = pool
        self.signing = exchange.snapshot.signing
        self.aside = ask.task == "count"
        self._exchange = exchange
        self._clock = clock
        self._pairs = exchange.plan.attempts
        self._next = 0
        self._passed: list[_Passed] = []
        self._useless: set[str] = set()
        self._whole = not ask.stream or ask.at_once
        self._begun = False

    def more_of(self, model: Model) -> bool:
        """Whether the next endpoint that was not looked at is one of `model`."""
        return self._next < len(self._pairs) and self._pairs[self._next][0] is model

    def give_up(self, model: Model) -> None:
        """Another endpoint of `model` would refuse the same request."""
        self._useless.add(model.id)

    def next(self, *, hedge_of: Model | None = None) -> Visit | None:
        """The next endpoint that may be tried now; beside one of `hedge_of` that is still at work
        only one of the same model, which has room. When no other is left, whoever is full is asked,
        and of a request that nobody was asked for even whoever is shut.

        Raises GatewayError `provider_rate_limited` where nobody was asked and all want a pause.
        """
        rival = hedge_of is not None
        while self._next < len(self._pairs):
            pair = model, endpoint = self._pairs[self._next]
            if rival and model is not hedge_of:
                break
            self._next += 1
            if self._useless and model.id in self._useless:
                self._exchange.skips.append((endpoint, _REFUSES))
                continue
            id = endpoint.tag, endpoint.model
            ticket = self.pool.begin(
                id,
                self._clock(),
                retry=self._begun,
                last=False,
                whole=self._whole,
                rival=rival,
            )
            if isinstance(ticket, Ticket):
                self._begun = True
                return Visit(self, pair, id, ticket, hedge=rival)
            self._exchange.skips.append((endpoint, ticket))
            self._passed.append(_Passed(pair, ticket))
        return None if rival else self._last_resort()

    def _last_resort(self) -> Visit | None:
        now, first = self._clock(), not self._begun
        full = [one for one in self._passed if one.why == FULL]
        full.sort(key=lambda one: self.pool.look(id_of(one.pair[1]), now)[2])
        shut = [one for one in self._passed if one.why != FULL] if first else []
        for passed in (*full, *shut):
            model, endpoint = passed.pair
            if model.id in self._useless:
                continue
            id = id_of(endpoint)
            ticket = self.pool.begin(id, now, retry=not first, last=first, whole=self._whole)
            if isinstance(ticket, Ticket):
                self._begun = True
                self._passed.remove(passed)
                self._exchange.skips.remove((endpoint, passed.why))
                return Visit(self, passed.pair, id, ticket, hedge=False)
        if first:
            self._keep_pause(now)
        return None

    def _keep_pause(self, now: float) -> None:
        """Who alone could answer asked for a pause: to ask all the same would prolong it."""
        pauses_s = [self.pool.pause_s(id_of(one.pair[1]), now) for one in self._passed]
        asked_s = [pause_s for pause_s in pauses_s if pause_s > 0.0]
        if asked_s:
            wait_s = ceil(min(asked_s))
            raise GatewayError(
                "provider_rate_limited",
                f"Every provider that could answer asked for a pause: try again in {wait_s} s.",
                headers={"Retry-After": str(wait_s)},
            )


def retry_after_s(error: GatewayError) -> float | None:
    """What a provider asked for in seconds, where it did."""
    said = error.headers.get("Retry-After")
    return float(said) if said is not None and said.isdigit() else None
