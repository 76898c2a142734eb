"""The pool on virtual time: who may be tried, and what a storm of failures costs."""

from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import KINDS, GatewayError
from proxy.metrics import NAMES
from proxy.routing.health import FULL, EndpointId, Outcome, Pool, Rules, Ticket, outcome_of

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
    rival: bool = False,
) -> Ticket:
    ticket = pool.begin(id, now, retry=retry, last=last, whole=whole, rival=rival)
    assert isinstance(ticket, Ticket), ticket
    return ticket


def fail(pool: Pool, id: EndpointId = A, now: float = 0.0, *, count: int = 5) -> None:
    for _ in range(count):
        pool.end(begun(pool, id, now, last=True), FAILED, now)


def under_way(pool: Pool, id: EndpointId = A) -> int:
    condition = pool._conditions.get(id)
    return condition.in_flight if condition else 0


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
    assert (standing.word, standing.weight, standing.service) == ("well", 1.0, 1.0)
    assert standing.first_content_p95_s is standing.success_rate is standing.throughput_tps is None
    assert pool.look(A, 0.0) == ("well", 1.0, 0.0)
    assert pool.hedge_after_s(A) is None
    assert pool.pause_s(A, 0.0) == 0.0
    assert pool.gauges(0.0) == {}
    assert pool.first_content_limit_s(A, 60.0) == 60.0


def test_a_standing_tells_what_was_measured() -> None:
    pool = Pool()
    ticket = begun(pool, now=10.0)
    assert under_way(pool) == 1
    pool.content(ticket, 11.2, lag_s=0.2)
    pool.content(ticket, 19.0)  # only the first is the first
    pool.end(ticket, GOOD, 13.2, tokens=21)
    pool.end(ticket, FAILED, 14.0)
    pool.content(ticket, 15.0)
    standing = pool.standing(A, 14.0)
    assert standing.first_content_p95_s == pytest.approx(1.0, rel=0.21)
    assert standing.throughput_tps == pytest.approx(10.0)
    assert (standing.success_rate, under_way(pool)) == (1.0, 0)


def test_gauges_tell_what_is_known_of_whoever_was_tried() -> None:
    pool = Pool()
    ticket = begun(pool)
    pool.content(ticket, 1.0)
    pool.end(ticket, GOOD, 3.0, tokens=21)
    pool.end(begun(pool, B), Outcome.LIMITED, 3.0)
    begun(pool, C)
    gauges = pool.gauges(3.0)
    assert set(gauges) == {name for name in NAMES if name.startswith("weir_endpoint_")}
    assert gauges == {
        "weir_endpoint_in_service": [(["a", "m"], [1.0]), (["b", "m"], [0.0]), (["c", "m"], [1.0])],
        "weir_endpoint_success_ratio": [(["a", "m"], [1.0])],
        "weir_endpoint_first_content_p95_seconds": [(["a", "m"], [pytest.approx(1.0, rel=0.2)])],
        "weir_endpoint_tokens_per_second": [(["a", "m"], [pytest.approx(10.0)])],
    }


def test_how_far_it_is_in_service() -> None:
    pool = Pool()
    services = [pool.standing(A, 0.0).service]
    fail(pool, count=1)
    services.append(pool.standing(A, 0.0).service)
    fail(pool, count=4)
    services += [pool.standing(A, now).service for now in (0.0, 10.0)]  # shut, and due for a probe
    pool.end(begun(pool, now=10.0), GOOD, 10.0)
    services += [pool.standing(A, now).service for now in (25.0, 40.0)]
    assert services == [1.0, 0.1, 0.0, 0.0, 0.5, 1.0]


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


@pytest.mark.parametrize("last", [False, True])
def test_a_pause_is_kept_even_by_whoever_has_nothing_else(last: bool) -> None:
    pool = Pool()
    pool.end(begun(pool), Outcome.LIMITED, 0.0, retry_after_s=5.0)
    assert pool.begin(A, 4.9, retry=False, last=last) == "asked for a pause (429)"
    assert pool.pause_s(A, 3.0) == pytest.approx(2.0)
    begun(pool, now=5.0)
    assert pool.pause_s(A, 5.0) == 0.0
    pool.end(begun(pool, B), Outcome.LIMITED, 0.0, retry_after_s=20.0)
    assert pool.standing(B, 19.9).word == "limited"


def test_a_pause_that_nobody_asked_for_is_only_a_preference() -> None:
    pool = Pool()
    pool.end(begun(pool), Outcome.LIMITED, 0.0)
    assert pool.pause_s(A, 3.0) == 0.0
    assert pool.begin(A, 3.0, retry=False, last=False) == "asked for a pause (429)"
    begun(pool, now=3.0, last=True)


def test_panic_keeps_the_pause_of_what_is_shut() -> None:
    pool = Pool()
    fail(pool)
    pool.end(begun(pool, now=10.0), Outcome.LIMITED, 10.0, retry_after_s=20.0)
    assert pool.begin(A, 29.0, retry=False, last=False) == "shut after failures"
    assert pool.begin(A, 29.0, retry=False, last=True) == "asked for a pause (429)"
    assert begun(pool, now=30.0).probe


def test_whoever_is_full_takes_retries_but_no_first_attempts_and_no_rivals() -> None:
    pool = Pool(Rules(cap_start=4))
    tickets = [begun(pool) for _ in range(4)]
    full = "has as much under way as it answers quickly"
    assert full == FULL
    assert pool.begin(A, 0.0, retry=False, last=False) == full
    assert pool.begin(A, 0.0, retry=True, last=False, rival=True) == full
    begun(pool, retry=True)
    begun(pool, last=True)
    pool.end(tickets[0], GOOD, 0.0)
    for ticket in tickets[1:]:
        pool.end(ticket, GOOD, 0.0)
    begun(pool)
    begun(pool, retry=True, rival=True)


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


@pytest.mark.parametrize(("idle_s", "retries"), [(0.0, 209), (10.0, 83), (100.0, 10)])
def test_requests_count_as_of_when_they_came(idle_s: float, retries: int) -> None:
    """Also those that nobody had a reason to add up since; one more is the one that fails."""
    pool = Pool()
    for number in range(1000):
        begun(pool, A, now=100.0 + number * 0.00002)
    later = 100.02 + idle_s
    fail(pool, B, later, count=1)
    asked = (pool.begin(B, later, retry=True, last=False) for _ in range(999))
    assert sum(isinstance(one, Ticket) for one in asked) == retries


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
    assert not pool.may_hedge(1.0, 0.0)
    for _ in range(200):
        begun(pool)
    assert not pool.may_hedge(0.0, 0.0)
    raced = 0
    while pool.may_hedge(0.05, 0.0):  # asking costs nothing
        assert pool.may_hedge(0.05, 0.0)
        pool.hedged(0.0)
        raced += 1
    assert raced == 10
    assert not pool.may_hedge(0.05, 60.0)  # both have faded
    assert pool.may_hedge(0.06, 60.0)


def test_a_reload_forgets_and_tickets_of_the_forgotten_still_end() -> None:
    pool = Pool()
    fail(pool, A)
    fail(pool, B)
    ticket = begun(pool, A, last=True)
    pool.forget([B])
    assert (pool.standing(A, 0.0).word, pool.standing(B, 0.0).word) == ("well", "out")
    pool.end(ticket, FAILED, 0.0)
    assert under_way(pool) == 0


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
    """Never two probes of one endpoint that hold its place, every figure in its bounds, all tickets
    given back.
    """
    pool, now = Pool(), 0.0
    live: list[tuple[EndpointId, Ticket]] = []
    ended: list[Ticket] = []
    for step, number, outcome, retry, last, later_s in steps:
        now += later_s
        if step == "begin":
            id = (A, B, C)[number % 3]
            ticket = pool.begin(id, now, retry=retry, last=last)
            refusable = retry or not last or pool.pause_s(id, now) > 0.0
            assert isinstance(ticket, Ticket) or refusable
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
            assert under_way(pool, id) == flying[id]
            holding = [
                one.epoch
                for one_id, one in live
                if one_id == id and one.probe and (one.content_at or now) < one.began_at + 5.0
            ]
            assert len(holding) == len(set(holding))  # one for each time that it was shut
    for _, ticket in live:
        pool.end(ticket, GOOD, now)
    assert all(under_way(pool, id) == 0 for id in (A, B, C))


class Street:
    """Requests that walk along their endpoints as the relay does, on virtual time. `fails_s` is how
    long a failure takes, if it is not as long as an answer.
    """

    def __init__(
        self,
        *ids: EndpointId,
        works: Callable[[EndpointId, float], bool],
        fails_s: float | None = None,
        whole: bool = False,
    ) -> None:
        self.pool = Pool(rng=Random(1).random)
        self.attempts: list[tuple[float, EndpointId]] = []
        self.answered: list[float] = []
        self._ids = ids
        self._works = works
        self._fails_s = fails_s
        self._whole = whole

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
                    if not self._whole:
                        self.pool.content(ticket, now)
                    self.answered.append(now)
                self.pool.end(ticket, GOOD if good else FAILED, now, tokens=10)
                if good:
                    continue
            found = self._next(tried, now)
            if found is not None:
                id, ticket = found
                self.attempts.append((now, id))
                took_s = answer_s if self._works(id, now) else self._fails_s or answer_s
                heappush(due, (now + took_s, number, tried | {id}, id, ticket))

    def _next(self, tried: frozenset[EndpointId], now: float) -> tuple[EndpointId, Ticket] | None:
        left = [id for id in self._ids if id not in tried]
        left.sort(key=lambda id: self.pool.look(id, now)[:2] != ("probing", 1.0))
        for last in (False, True):
            for id in left:
                ticket = self.pool.begin(id, now, retry=bool(tried), last=last, whole=self._whole)
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


def test_when_all_fail_who_asked_for_a_pause_keeps_it() -> None:
    street = Street(A, B, works=lambda id, now: False)
    street.pool.end(begun(street.pool), Outcome.LIMITED, 0.0, retry_after_s=20.0)
    street.run(until=30.0, rate=200.0, answer_s=0.05)
    asked = Counter(id for at, id in street.attempts if at < 20.0)
    assert asked == {B: 20 * 200}
    assert {id for at, id in street.attempts if at >= 20.0} == {A, B}


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


@pytest.mark.parametrize("later_s", [0.5, 8.5, 11.1, 26.6, 31.0, 64.2])
@pytest.mark.parametrize(("whole", "fails_s"), [(False, 60.0), (True, 600.0)])
def test_one_hangs_and_heals(whole: bool, fails_s: float, later_s: float) -> None:
    """What was sent to it while it was dead stays unanswered, a probe that went out a moment before
    it healed as well: none of it keeps it out.
    """
    dies_at = 5.0
    heals_at = dies_at + fails_s + later_s
    street = Street(
        A,
        B,
        works=lambda id, now: id != A or not dies_at <= now < heals_at,
        fails_s=fails_s,
        whole=whole,
    )
    street.run(until=heals_at + 90.0, rate=4.0, answer_s=2.0)
    assert len(street.answered) == int((heals_at + 90.0) * 4.0)
    to_a = [at for at, id in street.attempts if id == A]
    probes = [at for at in to_a if dies_at + fails_s + 1.0 <= at < heals_at]
    assert len(probes) <= 1 + later_s / 16.0
    back_at = min(at for at in to_a if at >= heals_at)
    assert back_at <= heals_at + 30.0
    in_full = [at for at in to_a if heals_at + 60.0 <= at < heals_at + 80.0]
    assert len(in_full) == 80
    assert street.pool.look(A, heals_at + 90.0)[0] == "well"


@given(
    st.lists(st.tuples(st.sampled_from(list(Outcome)), st.floats(0.0, 20.0)), max_size=30),
    st.integers(0, 5),
)
def test_all_are_calm_where_each_is_well_and_has_room(
    story: list[tuple[Outcome, float]], more: int
) -> None:
    pool, now = Pool(Rules(cap_start=4)), 0.0
    for outcome, later_s in story:
        ticket = pool.begin(A, now, retry=False, last=True)
        if isinstance(ticket, Ticket):
            pool.end(ticket, outcome, now, retry_after_s=later_s)
        now += later_s
    for _ in range(more):
        pool.begin(A, now, retry=True, last=True)
    word, weight, load = pool.look(A, now)
    assert pool.calm([A], now) is (word == "well" and load < 1.0)
    assert pool.calm([A, C], now) is pool.calm([C, A], now) is pool.calm([A], now)
    assert pool.calm([C], now)
    assert pool.calm([], now)
    assert weight == 1.0 or not pool.calm([A], now)


def test_what_was_measured_is_stamped_by_the_second_and_the_pool() -> None:
    one, other = Pool(), Pool()
    first = one.stamp(100.0)
    assert one.stamp(100.9) is first
    second = one.stamp(101.0)
    assert second is not first
    assert one.stamp(50.0) is not second  # another clock
    assert other.stamp(100.0) is not first


def test_speed_is_that_of_five_minutes_and_the_usual_one_of_thirty() -> None:
    pool = Pool()
    assert (pool.speed(A, 0.0), pool.usual(A, 0.0), pool.history(A)) == (None, None, None)
    ticket = begun(pool, A, 0.0)
    pool.content(ticket, 2.0, lag_s=1.0)
    pool.end(ticket, GOOD, 12.0, tokens=101)
    for now in (12.0, 900.0):
        usual = pool.usual(A, now)
        assert usual is not None
        assert usual.latency_at(0.5) == pytest.approx(1.0, rel=0.05)  # our own delay apart
        assert usual.throughput_at(0.5) == pytest.approx(10.0, rel=0.05)
    assert pool.speed(A, 900.0) is None
    history = pool.history(A)
    assert history is not None
    assert history.uptime(12.0, 5) == 1.0


def test_answers_at_once_say_nothing_of_speed() -> None:
    pool = Pool()
    ticket = begun(pool, A, 0.0, whole=True)
    pool.content(ticket, 2.0)
    pool.end(ticket, GOOD, 2.0, tokens=101)
    assert pool.usual(A, 2.0) is None


@pytest.mark.parametrize(
    ("outcome", "uptime"),
    [
        (GOOD, 1.0),
        (FAILED, 0.0),
        (Outcome.LIMITED, 0.0),
        (ABANDONED, None),
        (Outcome.CALLER, None),
        (Outcome.CREDENTIAL, None),
    ],
)
def test_uptime_counts_what_says_something_of_the_endpoint(
    outcome: Outcome, uptime: float | None
) -> None:
    pool = Pool()
    pool.end(begun(pool), outcome, 1.0)
    history = pool.history(A)
    assert history is not None
    assert history.uptime(1.0, 5) == uptime


def test_calls_are_a_share_that_fades() -> None:
    pool = Pool()
    pool.end(begun(pool), GOOD, 0.0)
    for sound in (True, True, False, True):
        pool.called(A, 0.0, sound=sound)
    assert pool.calls(A, 0.0) == (0.75, 4.0)
    share, count = pool.calls(A, 3600.0)
    assert share == pytest.approx(0.75)
    assert count == pytest.approx(4 / 2.718, rel=0.01)
