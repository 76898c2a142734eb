"""The pool on virtual time: who may be tried, and what a storm of failures costs."""

from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import KINDS, GatewayError
from proxy.routing.health import EndpointId, Outcome, Pool, Rules, Ticket, outcome_of

A, B, C = ("a", "m"), ("b", "m"), ("c", "m")
GOOD, FAILED, ABANDONED = Outcome.GOOD, Outcome.FAILED, Outcome.ABANDONED


def begun(
    pool: Pool,
    id: EndpointId = A,
    now: float = 0.0,
    *,
    retry: bool = False,
    last: bool = False,
    whole: bool = False,
) -> Ticket:
    ticket = pool.begin(id, now, retry=retry, last=last, whole=whole)
    assert isinstance(ticket, Ticket), ticket
    return ticket


def fail(pool: Pool, id: EndpointId = A, now: float = 0.0, *, count: int = 5) -> None:
    for _ in range(count):
        pool.end(begun(pool, id, now, last=True), FAILED, now)


OUTCOMES = {
    "provider_rate_limited": Outcome.LIMITED,
    "provider_credential": Outcome.CREDENTIAL,
    "provider_rejected": Outcome.CALLER,
    "provider_lacks_model": Outcome.FAILED,
    "provider_unavailable": Outcome.FAILED,
    "provider_unreachable": Outcome.FAILED,
    "provider_malformed": Outcome.FAILED,
    "provider_cut": Outcome.FAILED,
    "provider_empty": Outcome.FAILED,
    "provider_overloaded": Outcome.FAILED,
    "provider_timeout": Outcome.FAILED,
    "internal": Outcome.ABANDONED,
    "draining": Outcome.ABANDONED,
    "rate_limited": Outcome.CALLER,
    "credits_short": Outcome.CALLER,
}


@pytest.mark.parametrize(("kind", "outcome"), OUTCOMES.items())
def test_what_an_error_says_of_the_endpoint(kind: str, outcome: Outcome) -> None:
    assert outcome_of(GatewayError(kind, "x")) is outcome


def test_every_error_has_an_outcome_and_none_is_good() -> None:
    assert outcome_of(None) is GOOD
    assert all(outcome_of(GatewayError(kind, "x")) is not GOOD for kind in KINDS)


def test_the_unknown_is_well_and_asking_makes_no_state() -> None:
    pool = Pool()
    standing = pool.standing(A, 0.0)
    assert (standing.word, standing.weight, standing.in_flight, standing.cap) == (
        "well",
        1,
        0,
        1024,
    )
    assert standing.first_content_p95_s is standing.success_rate is standing.throughput_tps is None
    assert pool.look(A, 0.0) == ("well", 1.0, 0.0)
    assert pool.hedge_after_s(A) is None
    assert pool.first_content_limit_s(A, 60.0) == 60.0


def test_a_standing_tells_what_was_measured() -> None:
    pool = Pool()
    ticket = begun(pool, now=10.0)
    assert pool.standing(A, 10.0).in_flight == 1
    pool.content(ticket, 11.2, lag_s=0.2)
    pool.content(ticket, 19.0)  # only the first is the first
    pool.end(ticket, GOOD, 13.2, tokens=21)
    pool.end(ticket, FAILED, 14.0)
    pool.content(ticket, 15.0)
    standing = pool.standing(A, 14.0)
    assert standing.first_content_p95_s == pytest.approx(1.0, rel=0.21)
    assert standing.throughput_tps == pytest.approx(10.0)
    assert (standing.success_rate, standing.in_flight) == (1.0, 0)


def test_what_is_shut_is_refused_in_words_and_one_probe_is_let_through() -> None:
    pool = Pool()
    fail(pool)
    assert pool.begin(A, 9.9, retry=False, last=False) == "shut after failures"
    probe = begun(pool, now=10.0)
    assert probe.probe
    assert pool.begin(A, 10.0, retry=False, last=False) == (
        "shut after failures, and another request is trying it"
    )
    assert not begun(pool, now=10.0, last=True).probe
    pool.end(probe, GOOD, 11.0)
    assert not begun(pool, now=11.0).probe


def test_a_pause_is_kept_but_by_whoever_has_nothing_else() -> None:
    pool = Pool()
    pool.end(begun(pool), Outcome.LIMITED, 0.0)
    assert pool.begin(A, 4.9, retry=False, last=False) == "asked for a pause (429)"
    begun(pool, now=4.9, last=True)
    begun(pool, now=5.0)
    pool.end(begun(pool, B), Outcome.LIMITED, 0.0, retry_after_s=20.0)
    assert pool.standing(B, 19.9).word == "limited"


def test_whoever_is_full_is_refused_but_by_whoever_has_nothing_else() -> None:
    pool = Pool(Rules(cap_start=4))
    tickets = [begun(pool) for _ in range(4)]
    assert pool.begin(A, 0.0, retry=False, last=False) == (
        "has as much under way as it answers quickly"
    )
    begun(pool, last=True)
    pool.end(tickets[0], GOOD, 0.0)
    pool.end(tickets[1], GOOD, 0.0)
    begun(pool)


def test_a_first_fallback_to_the_steady_is_free_one_to_the_troubled_is_not() -> None:
    pool = Pool()
    for _ in range(1000):
        begun(pool, B, 0.0, retry=True)
    fail(pool, count=1)
    taken = 0
    while isinstance(pool.begin(A, 0.0, retry=True, last=False), Ticket):
        taken += 1
    assert taken == 10  # the reserve; a fifth of one request is nothing
    spent = "failed a moment ago, and enough requests were tried again"
    assert pool.begin(A, 0.0, retry=True, last=True) == spent
    begun(pool, retry=False)
    begun(pool, now=30.0, retry=True)


def test_the_budget_grows_with_the_requests() -> None:
    pool = Pool()
    fail(pool, B, count=1)
    for _ in range(999):
        begun(pool, A)
    taken = sum(isinstance(pool.begin(B, 0.0, retry=True, last=False), Ticket) for _ in range(999))
    assert taken == 210


def test_a_learned_deadline_is_a_multiple_of_the_usual_within_its_bounds() -> None:
    pool = Pool()
    for took_s, id in ((0.1, A), (4.0, B)):
        for _ in range(20):
            ticket = begun(pool, id)
            pool.content(ticket, took_s)
            pool.end(ticket, GOOD, took_s)
    assert pool.first_content_limit_s(A, 60.0) == 5.0
    assert pool.first_content_limit_s(A, 2.0) == 2.0
    assert 12.0 <= pool.first_content_limit_s(B, 60.0) <= 14.5
    assert pool.hedge_after_s(B) == pytest.approx(4.4, rel=0.1)


def test_hedges_keep_their_share() -> None:
    pool = Pool()
    assert not pool.may_hedge(1.0)
    for _ in range(200):
        begun(pool)
    assert sum(pool.may_hedge(0.05) for _ in range(100)) == 10
    assert not pool.may_hedge(0.0)


def test_a_reload_forgets_and_tickets_of_the_forgotten_still_end() -> None:
    pool = Pool()
    fail(pool, A)
    fail(pool, B)
    ticket = begun(pool, A, last=True)
    pool.forget([B])
    assert (pool.standing(A, 0.0).word, pool.standing(B, 0.0).word) == ("well", "out")
    pool.end(ticket, FAILED, 0.0)
    assert pool.standing(A, 0.0).in_flight == 0


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "begin", "content", "end", "end", "again", "forget"]),
        st.integers(0, 9),
        st.sampled_from(list(Outcome)),
        st.booleans(),
        st.booleans(),
        st.sampled_from([0.0, 0.1, 2.0, 11.0]),
    ),
    max_size=120,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_whatever_happens(steps: list[tuple[str, int, Outcome, bool, bool, float]]) -> None:
    """Never two probes of one endpoint, every figure in its bounds, all tickets given back."""
    pool, now = Pool(), 0.0
    live: list[tuple[EndpointId, Ticket]] = []
    ended: list[Ticket] = []
    for step, number, outcome, retry, last, later_s in steps:
        now += later_s
        if step == "begin":
            id = (A, B, C)[number % 3]
            ticket = pool.begin(id, now, retry=retry, last=last)
            assert isinstance(ticket, Ticket) or not (last and not retry)
            if isinstance(ticket, Ticket):
                live.append((id, ticket))
        elif live and step in ("content", "end"):
            id, ticket = live[number % len(live)]
            if step == "content":
                pool.content(ticket, now, lag_s=0.05)
            else:
                live.remove((id, ticket))
                ended.append(ticket)
                pool.end(ticket, outcome, now, tokens=number, retry_after_s=later_s * 10)
        elif step == "again" and ended:
            pool.end(ended[number % len(ended)], outcome, now)
        elif step == "forget" and not live:
            pool.forget([A])
        flying = Counter(id for id, _ in live)
        for id in (A, B, C):
            standing = pool.standing(id, now)
            assert 0.0 <= standing.weight <= 1.0
            assert standing.success_rate is None or 0.0 <= standing.success_rate <= 1.0
            assert standing.in_flight == flying[id]
            assert standing.cap >= 4
            probes = [one.epoch for one_id, one in live if one_id == id and one.probe]
            assert len(probes) == len(set(probes))  # one for each time that it was shut
    for _, ticket in live:
        pool.end(ticket, GOOD, now)
    assert all(pool.standing(id, now).in_flight == 0 for id in (A, B, C))


class Street:
    """Requests that walk along their endpoints as the relay does, on virtual time."""

    def __init__(self, *ids: EndpointId, works: Callable[[EndpointId, float], bool]) -> None:
        self.pool = Pool(rng=Random(1).random)
        self.attempts: list[tuple[float, EndpointId]] = []
        self.answered: list[float] = []
        self._ids = ids
        self._works = works

    def run(self, *, until: float, rate: float, answer_s: float) -> None:
        due: list[tuple[float, int, frozenset[EndpointId], EndpointId | None, Ticket | None]] = []
        requests = int(until * rate)
        for number in range(requests):
            heappush(due, (number / rate, number, frozenset(), None, None))
        while due:
            now, number, tried, id, ticket = heappop(due)
            if ticket is not None and id is not None:
                good = self._works(id, ticket.began_at)
                if good:
                    self.pool.content(ticket, now)
                    self.answered.append(now)
                self.pool.end(ticket, GOOD if good else FAILED, now, tokens=10)
                if good:
                    continue
            found = self._next(tried, now)
            if found is not None:
                id, ticket = found
                self.attempts.append((now, id))
                heappush(due, (now + answer_s, number, tried | {id}, id, ticket))

    def _next(self, tried: frozenset[EndpointId], now: float) -> tuple[EndpointId, Ticket] | None:
        left = [id for id in self._ids if id not in tried]
        left.sort(key=lambda id: self.pool.look(id, now)[:2] != ("probing", 1.0))
        for last in (False, True):
            for id in left:
                ticket = self.pool.begin(id, now, retry=bool(tried), last=last)
                if isinstance(ticket, Ticket):
                    return id, ticket
        return None


@pytest.mark.parametrize("ids", [(A,), (A, B), (A, B, C)])
@pytest.mark.parametrize("answer_s", [0.0, 0.05, 1.0])
def test_when_all_fail_attempts_stay_few(ids: tuple[EndpointId, ...], answer_s: float) -> None:
    street = Street(*ids, works=lambda id, now: False)
    street.run(until=30.0, rate=200.0, answer_s=answer_s)
    after = [at for at, _ in street.attempts if 5.0 <= at < 30.0]
    assert 1.0 <= len(after) / (25.0 * 200.0) <= 1.25


@pytest.mark.parametrize("heals_at", [10.1, 17.3, 45.0, 99.9])
def test_one_dies_and_heals(heals_at: float) -> None:
    """All requests are answered; while it is out nobody asks it but a probe now and then."""
    dies_at = 5.0
    street = Street(A, B, works=lambda id, now: id != A or not dies_at <= now < heals_at)
    street.run(until=170.0, rate=50.0, answer_s=0.2)
    assert len(street.answered) == 170 * 50
    to_a = [at for at, id in street.attempts if id == A]
    assert len([at for at in to_a if dies_at <= at < dies_at + 1.0]) <= 20  # it had 10 under way
    probes = [at for at in to_a if dies_at + 1.0 <= at < heals_at]
    assert len(probes) <= (heals_at - dies_at) / 8.0  # 10 s less the jitter
    back_at = min(at for at in to_a if at >= heals_at)
    assert back_at <= heals_at + 30.0
    assert street.pool.standing(A, back_at + 30.2).word == "well"
    share = len([at for at in to_a if heals_at + 60.0 <= at < heals_at + 61.0])
    assert share == 50
