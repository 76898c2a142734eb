"""Who is well: what every endpoint's own attempts say of it, and whether it may be tried now.

One pool serves all requests of a process. An attempt takes a ticket, tells when its first content
came, and gives the ticket back with its outcome, exactly once. Times are seconds of a monotonic
clock; nothing here waits.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Final

import msgspec

from proxy.errors import GatewayError, Source
from proxy.metrics import Dump
from proxy.routing.condition import Condition, Look, Outcome, Ticket
from proxy.routing.figures import Fading
from proxy.routing.history import FRESH_S, History, Speed
from proxy.routing.rules import Rules

__all__ = [
    "FULL",
    "EndpointId",
    "Look",
    "Outcome",
    "Pool",
    "Rules",
    "Standing",
    "Ticket",
    "outcome_of",
]

EndpointId = tuple[str, str]
"""`(endpoint.tag, endpoint.model)`."""

_RULES: Final = Rules()
_NEW: Final[Look] = ("well", 1.0, 0.0)
_SHUT: Final = {
    "out": "shut after failures",
    "probing": "shut after failures, and another request is trying it",
    "limited": "asked for a pause (429)",
}
FULL: Final = "has as much under way as it answers quickly"
COUNT_S: Final = 0.05  # requests that begin together are counted together
_SPENT: Final = "failed a moment ago, and enough requests were tried again"
_OUTCOMES: Final = {
    Source.PROVIDER: Outcome.FAILED,
    Source.CREDENTIAL: Outcome.CREDENTIAL,
    Source.CALLER: Outcome.CALLER,
    Source.GATEWAY: Outcome.ABANDONED,
}


def outcome_of(error: GatewayError | None) -> Outcome:
    """The outcome of an attempt that ended with `error`, None for one that ended well.

    Who knows the keys corrects two of them: CREDENTIAL is FAILED where every key is refused, and
    LIMITED is CREDENTIAL where another key is ready.
    """
    if error is None:
        return Outcome.GOOD
    if error.kind == "provider_rate_limited":
        return Outcome.LIMITED
    return _OUTCOMES[error.source]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How an endpoint is doing. `word`: "well"; "shaky", a significant failure in the last 30 s;
    "recovering", in slow start; "probing", one probe is due or under way; "out", shut; "limited",
    paused by a 429. `weight` is 0..1: the ramp of slow start; the share of successes of what is
    shaky or out; of a probe 1 where it is due, 0 where it is under way. None is not known yet.
    """

    word: str
    weight: float
    first_content_p95_s: float | None
    throughput_tps: float | None
    success_rate: float | None

    @property
    def service(self) -> float:
        """How far it is in service: 1 well, 0 shut or paused."""
        return 0.0 if self.word in _SHUT else self.weight


class Pool:
    """All endpoints that were ever tried. `rng` gives the jitter of the times they stay shut."""

    def __init__(self, rules: Rules = _RULES, *, rng: Callable[[], float] = lambda: 0.0) -> None:
        self._rules = rules
        self._rng = rng
        self._conditions: dict[EndpointId, Condition] = {}
        self._requests = Fading(rules.retry_window_s)
        self._retries = Fading(rules.retry_window_s)
        self._hedged_of = Fading(rules.hedge_window_s)
        self._hedges = Fading(rules.hedge_window_s)
        self._uncounted = 0  # requests since `_counted_at`, as whose they count
        self._counted_at = 0.0
        self._stamp = object()
        self._stamped_at = 0.0

    def look(self, id: EndpointId, now: float) -> Look:
        """The word, the weight and the load of an endpoint: `standing` for who is in a hurry."""
        condition = self._conditions.get(id)
        return _NEW if condition is None else condition.look(now)

    def calm(self, ids: Iterable[EndpointId], now: float) -> bool:
        """Whether all of them are well and have room: every plan asks this first."""
        conditions = self._conditions
        for id in ids:
            one = conditions.get(id)
            if one is not None and (now < one.calm_at or one.in_flight >= one.cap):
                return False
        return True

    def standing(self, id: EndpointId, now: float) -> Standing:
        """How an endpoint is doing; one that was never tried is well."""
        condition = self._conditions.get(id) or Condition(self._rules, self._rng)
        word, weight, _ = condition.look(now)
        samples = condition.first_content.samples
        return Standing(
            word=word,
            weight=weight,
            first_content_p95_s=condition.first_content.percentile_s(0.95) if samples else None,
            throughput_tps=condition.throughput_tps,
            success_rate=condition.success(now),
        )

    def speed(self, id: EndpointId, now: float) -> Speed | None:
        """How fast an endpoint was in the last five minutes; None where nothing was streamed."""
        condition = self._conditions.get(id)
        return None if condition is None else condition.history.speed(now)

    def usual(self, id: EndpointId, now: float) -> Speed | None:
        """The same, or in the last half hour where that is unknown."""
        condition = self._conditions.get(id)
        return None if condition is None else condition.history.usual(now)

    def stamp(self, now: float) -> object:
        """What is found of speed and quality holds as long as this is the same object: a second."""
        if not self._stamped_at <= now < self._stamped_at + FRESH_S:
            self._stamp, self._stamped_at = object(), now
        return self._stamp

    def called(self, id: EndpointId, now: float, *, sound: bool) -> None:
        """An answer called tools, or should have; `sound` where that can be used."""
        if condition := self._conditions.get(id):
            condition.calls.add(now, float(sound))

    def calls(self, id: EndpointId, now: float) -> tuple[float, float]:
        """The share of answers whose calls were sound, and of how many; those of an hour ago count
        a third.
        """
        condition = self._conditions.get(id)
        if condition is None:
            return 0.0, 0.0
        return condition.calls.value(now), condition.calls.count(now)

    def history(self, id: EndpointId) -> History | None:
        """Its minutes; None of one that was never tried."""
        condition = self._conditions.get(id)
        return None if condition is None else condition.history

    def gauges(self, now: float) -> Dump:
        """What `/metrics` tells of every endpoint that was tried, as far as it is known."""
        gauges: Dump = {}
        for id in self._conditions:
            standing = self.standing(id, now)
            values = {
                "weir_endpoint_in_service": standing.service,
                "weir_endpoint_success_ratio": standing.success_rate,
                "weir_endpoint_first_content_p95_seconds": standing.first_content_p95_s,
                "weir_endpoint_tokens_per_second": standing.throughput_tps,
            }
            for name, value in values.items():
                if value is not None:
                    gauges.setdefault(name, []).append((list(id), [value]))
        return gauges

    def pause_s(self, id: EndpointId, now: float) -> float:
        """How long the pause that an endpoint asked for still lasts; 0 where there is none."""
        condition = self._conditions.get(id)
        return max(0.0, condition.asked_until - now) if condition else 0.0

    def begin(
        self,
        id: EndpointId,
        now: float,
        *,
        retry: bool,
        last: bool,
        whole: bool = False,
        rival: bool = False,
    ) -> Ticket | str:
        """The ticket for an attempt, or in words why it may not be made now.

        `retry` is False for the first attempt of a request. Whoever is full takes retries, but no
        first attempts, which another endpoint may have room for. `last` is True when nothing else
        is left: then what is shut or full is tried all the same, the budget of retries apart; only
        a pause that was asked for is kept. `whole` is for a call that is not streamed, whose first
        content is its last: its times are not learned from. `rival` is for a retry while another
        attempt is still at work, which is worth it only where there is room.
        """
        condition = self._conditions.get(id)
        if condition is None:
            condition = self._conditions[id] = Condition(self._rules, self._rng)
        probe = False
        if now < condition.calm_at or condition.in_flight >= condition.cap:
            word, weight, load = condition.look(now)
            probe = word == "probing" and weight > 0.0
            crowded = load >= 1.0 and (rival or not retry)
            if not probe and not last and (word in _SHUT or crowded):
                return _SHUT.get(word, FULL)
            if not probe and now < condition.asked_until:
                return _SHUT["limited"]
        if retry and not probe and condition.troubled(now) and not self._may_retry(now):
            return _SPENT
        if not retry:
            if now >= self._counted_at + COUNT_S:
                self._count(now)
            self._uncounted += 1
        return Ticket(condition, now, probe, whole)

    def content(self, ticket: Ticket, now: float, *, lag_s: float = 0.0) -> None:
        """The first content came; `lag_s` is how long our own loop let it lie. Later calls, and
        calls for a ticket that was given back, do nothing.
        """
        if ticket.content_at is None and not ticket.ended:
            ticket.of.content(ticket, now, lag_s)

    def end(
        self,
        ticket: Ticket,
        outcome: Outcome,
        now: float,
        *,
        tokens: int = 0,
        retry_after_s: float | None = None,
    ) -> None:
        """The attempt is over. To be called exactly once; further calls do nothing. `tokens` are
        those of the answer, `retry_after_s` is what a 429 asked for.
        """
        if ticket.ended:
            return
        ticket.ended = True
        ticket.of.end(ticket, outcome, now, retry_after_s)
        if outcome is Outcome.GOOD and ticket.content_at is not None:
            ticket.of.note_speed(ticket, now, tokens)

    def first_content_limit_s(self, id: EndpointId, bound_s: float) -> float:
        """How long to wait for the first content where another endpoint could be asked instead:
        a multiple of what this one usually takes, `bound_s` at most and as long as that is unknown.
        """
        rules, condition = self._rules, self._conditions.get(id)
        usual_s = condition.learned_s(rules.limit_percentile) if condition else None
        if usual_s is None:
            return bound_s
        return min(bound_s, max(rules.limit_s_min, usual_s * rules.limit_factor))

    def hedge_after_s(self, id: EndpointId) -> float | None:
        """After how long without content a race is worth it; None as long as that is unknown."""
        condition = self._conditions.get(id)
        return condition.learned_s(self._rules.hedge_percentile) if condition else None

    def may_hedge(self, share_max: float, now: float) -> bool:
        """Whether one more request may be raced. `share_max` is of all requests."""
        self._count(now)
        return self._hedges.sum(now) + 1.0 <= self._hedged_of.sum(now) * share_max

    def hedged(self, now: float) -> None:
        """A request is raced."""
        self._hedges.add(now)

    def forget(self, keep: Collection[EndpointId]) -> None:
        """Drops what is known of all endpoints but `keep`, as after a reload."""
        kept = set(keep)
        self._conditions = {id: one for id, one in self._conditions.items() if id in kept}

    def _count(self, now: float) -> None:
        if self._uncounted:
            self._requests.add(self._counted_at, self._uncounted)
            self._hedged_of.add(self._counted_at, self._uncounted)
        self._uncounted, self._counted_at = 0, now

    def _may_retry(self, now: float) -> bool:
        """Takes one retry from the budget. The reserve, ten in ten seconds, is also the least that
        is always allowed; a number of concurrent ones would let a storm of quick failures through.
        """
        self._count(now)
        rules = self._rules
        reserve = rules.retry_reserve_per_s * rules.retry_window_s
        if self._retries.sum(now) + 1.0 > self._requests.sum(now) * rules.retry_share + reserve:
            return False
        self._retries.add(now)
        return True
