"""Who is asked next, by which key, and what pool and keyring hear of it."""

from typing import Any

import pytest

from proxy.errors import GatewayError
from proxy.pipeline.exchange import Exchange
from proxy.pipeline.visits import Visit, Visits, id_of, retry_after_s
from proxy.routing.health import Outcome
from proxy.routing.plan import Plan
from proxy.upstream.signing import Signing
from proxy.wire.request import Ask
from tests.scripted import ScriptedPool
from tests.stage import endpoint, model, snapshot

ONE = model("test/one", endpoint("p0"), endpoint("p1"))
TWO = model("test/two", endpoint("p2"))
KEYS = {"p0": ["key-0", "key-1"]}
LIMITED = GatewayError("provider_rate_limited", "no", headers={"Retry-After": "9"})
REFUSED = GatewayError("provider_credential", "no")
CUT = GatewayError("provider_cut", "no")


class Asked:
    """The visits of one exchange at a clock of their own."""

    def __init__(self, *, stream: bool = True, keys: Any = KEYS) -> None:
        self.pool = ScriptedPool()
        self.signing = Signing(keys)
        exchange = self.exchange = Exchange(
            id="gen-1",
            created_at=1.0,
            started_at=1.0,
            snapshot=snapshot()._replace(signing=self.signing),
        )
        exchange.ask = Ask(models=("m",), body={}, stream=stream)
        pairs = [(one, served) for one in (ONE, TWO) for served in one.endpoints]
        exchange.plan = Plan(tuple(pairs))
        self.visits = Visits(exchange, self.pool, lambda: 5.0)

    def next(self, **more: Any) -> Visit:
        visit = self.visits.next(**more)
        assert visit is not None
        return visit


def test_endpoints_come_in_the_order_of_the_plan() -> None:
    asked = Asked()
    assert [asked.next().endpoint.tag for _ in range(3)] == ["p0", "p1", "p2"]
    assert asked.visits.next() is None
    assert asked.pool.begun == [("p0", False, False), ("p1", True, False), ("p2", True, False)]
    assert id_of(ONE.endpoints[0]) == ("p0", "p0-model")


@pytest.mark.parametrize("stream", [True, False])
def test_the_pool_knows_whole_answers(stream: bool) -> None:
    asked = Asked(stream=stream)
    asked.next()
    (ticket,) = asked.pool.held
    assert ticket.whole is not stream


def test_who_is_passed_over_is_told_and_not_asked_again() -> None:
    asked = Asked()
    asked.pool.shut = {"p0": "out", "p2": "busy"}
    assert asked.next().endpoint.tag == "p1"
    assert asked.visits.next() is None
    skips = [(one.tag, why) for one, why in asked.exchange.skips]
    assert skips == [("p0", "out"), ("p2", "busy")]


def test_the_last_resort_is_the_first_that_the_pool_lets_pass() -> None:
    asked = Asked()
    asked.pool.shut = dict.fromkeys(("p0", "p1", "p2"), "out")
    asked.pool.never = {"p0"}
    assert asked.next().endpoint.tag == "p1"
    assert asked.pool.begun == [("p1", False, True)]
    asked = Asked()
    asked.pool.never = {"p0", "p1", "p2"}
    assert asked.visits.next() is None


def test_a_model_that_refused_is_given_up() -> None:
    asked = Asked()
    asked.visits.give_up(asked.next().model)
    assert asked.next().endpoint.tag == "p2"


def test_a_rival_is_of_the_same_model() -> None:
    asked = Asked()
    assert not asked.next().hedge
    assert asked.visits.more_of(ONE)
    assert asked.next(hedge_of=ONE).hedge
    assert not asked.visits.more_of(ONE)
    assert asked.visits.next(hedge_of=ONE) is None
    assert asked.next().endpoint.tag == "p2"
    assert not asked.visits.more_of(TWO)


# Keys.


@pytest.mark.parametrize("fault", [LIMITED, REFUSED])
def test_a_key_at_fault_gives_way_and_rests(fault: GatewayError) -> None:
    asked = Asked()
    visit = asked.next()
    first = visit.credential.number
    assert visit.next_key(fault, 5.0)
    assert visit.credential.number != first
    assert [one.number for one in asked.signing.headers("p0", 6.0)] == [visit.credential.number]
    assert not visit.next_key(fault, 5.0)
    assert not asked.signing.ready("p0", 6.0)


def test_a_key_is_not_at_fault_for_everything() -> None:
    asked = Asked()
    assert not asked.next().next_key(CUT, 5.0)
    assert asked.signing.ready("p0", 5.0)


def test_a_key_that_works_is_used_again() -> None:
    asked = Asked()
    visit = asked.next()
    visit.next_key(LIMITED, 5.0)
    visit.succeed(6.0, 12)
    assert asked.signing.ready("p0", 6.0)
    assert asked.pool.ended == [("p0", Outcome.GOOD, 12, None)]


ENDS: dict[str, tuple[list[GatewayError], Outcome, float | None]] = {
    "a failure": ([CUT], Outcome.FAILED, None),
    "the caller's mistake": ([GatewayError("provider_rejected", "no")], Outcome.CALLER, None),
    "a fault of ours": ([GatewayError("internal", "no")], Outcome.ABANDONED, None),
    "one key limited late": ([LIMITED], Outcome.CREDENTIAL, 9.0),
    "all keys limited": ([LIMITED, LIMITED], Outcome.LIMITED, 9.0),
    "one key refused late": ([REFUSED], Outcome.CREDENTIAL, None),
    "all keys refused": ([REFUSED, REFUSED], Outcome.FAILED, None),
    "one refused and one limited": ([REFUSED, LIMITED], Outcome.LIMITED, 9.0),
}


@pytest.mark.parametrize(("errors", "outcome", "pause_s"), ENDS.values(), ids=ENDS)
def test_what_the_pool_hears(
    errors: list[GatewayError], outcome: Outcome, pause_s: float | None
) -> None:
    asked = Asked()
    visit = asked.next()
    for error in errors[:-1]:
        assert visit.next_key(error, 5.0)
    visit.fail(errors[-1], 5.0)
    assert asked.pool.ended == [("p0", outcome, 0, pause_s)]


def test_without_keys_a_refusal_is_the_endpoints_failure() -> None:
    asked = Asked(keys={})
    visit = asked.next()
    assert not visit.next_key(REFUSED, 5.0)
    visit.fail(REFUSED, 5.0)
    assert asked.pool.outcomes == [("p0", Outcome.FAILED)]


def test_the_first_content_is_told() -> None:
    asked = Asked()
    asked.next().content(7.5, 0.25)
    assert [lag_s for _, lag_s in asked.pool.contents] == [0.25]


def test_what_nobody_wants_any_more() -> None:
    asked = Asked()
    asked.next().abandon(5.0)
    assert asked.pool.outcomes == [("p0", Outcome.ABANDONED)]


@pytest.mark.parametrize(("said", "seconds"), [(None, None), ("7", 7.0), ("soon", None)])
def test_how_long_a_provider_asks_to_wait(said: str | None, seconds: float | None) -> None:
    headers = {"Retry-After": said} if said else {}
    assert retry_after_s(GatewayError("internal", "no", headers=headers)) == seconds
