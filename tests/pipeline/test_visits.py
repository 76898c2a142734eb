"""Who is asked next, by which key, and what pool and keyring hear of it."""

import asyncio
from typing import Any

import pytest

from proxy.errors import GatewayError
from proxy.pipeline.exchange import Exchange
from proxy.pipeline.visits import Visit, Visits, id_of, retry_after_s
from proxy.routing.health import FULL, EndpointId, Outcome, Pool, Rules, Ticket
from proxy.routing.plan import Plan
from proxy.upstream.signing import Signing
from proxy.wire.request import Ask, Task
from tests.scripted import ScriptedPool
from tests.stage import Client, Stage, endpoint, model, snapshot, tell

ONE = model("test/one", endpoint("p0"), endpoint("p1"))
TWO = model("test/two", endpoint("p2"))
KEYS = {"p0": ["key-0", "key-1"]}
LIMITED = GatewayError("provider_rate_limited", "no", headers={"Retry-After": "9"})
REFUSED = GatewayError("provider_credential", "no")
CUT = GatewayError("provider_cut", "no")


class Asked:
    """The visits of one exchange at a clock of their own."""

    def __init__(self, *, stream: bool = True, keys: Any = KEYS, task: Task = "chat") -> None:
        self.pool = ScriptedPool()
        self.signing = Signing(keys)
        exchange = self.exchange = Exchange(
            id="gen-1",
            created_at=1.0,
            started_at=1.0,
            snapshot=snapshot()._replace(signing=self.signing),
        )
        exchange.ask = Ask(models=("m",), body={}, stream=stream, task=task)
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
    assert [one.tag for one, _ in asked.exchange.skips] == ["p0", "p2"]
    asked = Asked()
    asked.pool.never = {"p0", "p1", "p2"}
    assert asked.visits.next() is None


def test_a_model_that_refused_is_given_up() -> None:
    asked = Asked()
    asked.visits.give_up(asked.next().model)
    assert asked.next().endpoint.tag == "p2"
    skips = [(one.tag, why) for one, why in asked.exchange.skips]
    assert skips == [("p1", "would refuse the same request")]


def test_a_rival_is_of_the_same_model() -> None:
    asked = Asked()
    assert not asked.next().hedge
    assert asked.visits.more_of(ONE)
    assert asked.next(hedge_of=ONE).hedge
    assert not asked.visits.more_of(ONE)
    assert asked.visits.next(hedge_of=ONE) is None
    assert asked.next().endpoint.tag == "p2"
    assert not asked.visits.more_of(TWO)


# The pool as it is.

P0, P1, P2 = IDS = [(f"p{number}", f"p{number}-model") for number in range(3)]


class Real:
    """The visits of one exchange at time 5, at endpoints that something was done to before."""

    def __init__(self, *, shut: Any = (), full: Any = (), paused: Any = ()) -> None:
        self.pool = Pool(Rules(cap_start=4))
        self.shut(*shut)
        for id, count in dict(full).items():
            self.fill(id, count)
        for id, pause_s in dict(paused).items():
            self.pause(id, pause_s)
        exchange = self.exchange = Exchange(
            id="gen-1", created_at=1.0, started_at=1.0, snapshot=snapshot()
        )
        exchange.ask = Ask(models=("m",), body={}, stream=True)
        exchange.plan = Plan(tuple((one, served) for one in (ONE, TWO) for served in one.endpoints))
        self.visits = Visits(exchange, self.pool, lambda: 5.0)

    def ticket(self, id: EndpointId, *, last: bool = True) -> Ticket:
        ticket = self.pool.begin(id, 5.0, retry=False, last=last)
        assert isinstance(ticket, Ticket)
        return ticket

    def shut(self, *ids: EndpointId) -> None:
        for id in ids:
            for _ in range(5):
                self.pool.end(self.ticket(id), Outcome.FAILED, 5.0)

    def fill(self, id: EndpointId, count: int = 4) -> list[Ticket]:
        return [self.ticket(id) for _ in range(count)]

    def pause(self, id: EndpointId, pause_s: float) -> None:
        self.pool.end(self.ticket(id), Outcome.LIMITED, 5.0, retry_after_s=pause_s)

    def walk(self) -> str:
        """Who is asked, one after another, each of them failing."""
        asked = []
        while visit := self.visits.next():
            visit.fail(CUT, 5.0)
            asked.append(visit.endpoint.tag)
        return " ".join(asked)

    @property
    def skips(self) -> dict[str, str]:
        return {one.tag: why for one, why in self.exchange.skips}


WALKS: dict[str, tuple[dict[str, Any], str]] = {
    "all are well": ({}, "p0 p1 p2"),
    "a full one is asked when the others failed": ({"full": {P0: 4}}, "p1 p2 p0"),
    "and before the next model, once one has failed": ({"full": {P1: 4}}, "p0 p1 p2"),
    "all are full": ({"full": {P0: 6, P1: 5, P2: 4}}, "p2 p1 p0"),
    "full ones before what is shut": ({"shut": [P0, P1], "full": {P2: 4}}, "p2"),
    "full ones before what is paused": ({"paused": {P0: 9, P1: 9}, "full": {P2: 4}}, "p2"),
    "all are shut": ({"shut": IDS}, "p0"),
    "what is shut before what is paused": ({"paused": {P0: 9, P2: 9}, "shut": [P1]}, "p1"),
}


@pytest.mark.parametrize(("state", "asked"), WALKS.values(), ids=WALKS)
def test_who_is_asked_when_not_all_are_well(state: dict[str, Any], asked: str) -> None:
    real = Real(**state)
    assert real.walk() == asked
    assert not set(real.skips) & set(asked.split())
    assert len(real.skips) == 3 - len(asked.split())
    assert all(real.pool._conditions[id].in_flight >= 4 for id in state.get("full", {}))


def test_a_full_one_that_was_shut_meanwhile_stays_shut() -> None:
    real = Real(full={P0: 4})
    first = real.visits.next()
    assert first is not None
    assert first.endpoint.tag == "p1"
    real.shut(P0)
    first.fail(CUT, 5.0)
    assert real.walk() == "p2"
    assert real.skips == {"p0": FULL}


def test_a_full_one_of_a_model_that_refused_is_not_asked() -> None:
    real = Real(full={P0: 4})
    first = real.visits.next()
    assert first is not None
    real.visits.give_up(first.model)
    assert real.walk() == "p2"
    assert real.visits.next() is None


def test_a_rival_must_have_room() -> None:
    real = Real(full={P1: 4})
    assert real.visits.next() is not None
    assert real.visits.next(hedge_of=ONE) is None
    assert real.skips == {"p1": FULL}


PAUSES: list[tuple[dict[EndpointId, float], list[EndpointId], str]] = [
    ({P0: 30.0, P1: 9.4, P2: 20.0}, [], "10"),
    ({P0: 3600.0, P1: 3600.0, P2: 3600.0}, [], "60"),
    ({P0: 30.0, P1: 20.0, P2: 2.0}, [P2, P1], "2"),
]


@pytest.mark.parametrize(("paused", "shut", "wait_s"), PAUSES)
def test_a_pause_that_all_asked_for_is_passed_on(
    paused: dict[EndpointId, float], shut: list[EndpointId], wait_s: str
) -> None:
    real = Real(shut=shut, paused=paused)
    with pytest.raises(GatewayError) as caught:
        real.visits.next()
    assert (caught.value.kind, caught.value.status) == ("provider_rate_limited", 429)
    assert caught.value.headers == {"Retry-After": wait_s}
    assert f"try again in {wait_s} s" in caught.value.message
    assert set(real.skips) == {"p0", "p1", "p2"}


# Keys.


@pytest.mark.parametrize("fault", [LIMITED, REFUSED])
def test_a_key_at_fault_gives_way_and_rests(fault: GatewayError) -> None:
    asked = Asked()
    visit = asked.next()
    first = visit.credential.number
    assert visit.next_key(fault, 5.0)
    assert visit.credential.number != first
    assert [one.number for one in asked.signing.credentials("p0", 6.0)] == [visit.credential.number]
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


@pytest.mark.parametrize("error", [CUT, LIMITED, REFUSED, None])
def test_nothing_follows_from_a_count(error: GatewayError | None) -> None:
    """Providers limit counting for itself, and not every one who answers has it."""
    asked = Asked(task="count")
    visit = asked.next()
    if error is None:
        visit.succeed(5.0, 0)
    else:
        assert not visit.next_key(error, 5.0)
        visit.fail(error, 5.0)
    assert asked.pool.outcomes == [("p0", Outcome.ABANDONED)]
    assert {one.number for one in asked.signing.credentials("p0", 5.0)} == {0, 1}


@pytest.mark.parametrize(
    ("sound", "heard"), [(None, (0.0, 0.0)), (True, (1.0, 1.0)), (False, (0.0, 1.0))]
)
def test_whether_tool_calls_can_be_used_is_told(
    sound: bool | None, heard: tuple[float, float]
) -> None:
    asked = Asked()
    visit = asked.next()
    visit.succeed(5.0, 0, sound)
    assert asked.pool.calls(visit.id, 5.0) == heard


def test_the_first_content_is_told() -> None:
    asked = Asked()
    asked.next().content(7.5, 0.25)
    assert [lag_s for _, lag_s in asked.pool.contents] == [0.25]


def test_what_nobody_wants_any_more() -> None:
    asked = Asked()
    asked.next().abandon(5.0)
    assert asked.pool.outcomes == [("p0", Outcome.ABANDONED)]


@pytest.mark.parametrize(
    ("first_s", "last_s", "pause_s"),
    [(2, 30, 2), (30, 2, 2), (30, 30, 30), (0, 9, 1), (900, 90, 60)],
)
def test_an_endpoint_waits_for_the_first_of_its_keys(
    first_s: int, last_s: int, pause_s: int
) -> None:
    """Whichever request it was that the key was limited for."""
    asked = Asked()
    visit = asked.next()
    asked.signing.limited("p0", 1 - visit.credential.number, 5.0, first_s)
    visit.fail(GatewayError("provider_rate_limited", "no", headers=_after(last_s)), 5.0)
    assert asked.pool.ended == [("p0", Outcome.LIMITED, 0, pause_s)]


def _after(seconds: int) -> dict[str, str]:
    return {"Retry-After": str(seconds)}


def test_a_key_limited_by_another_request_is_ready_before() -> None:
    asked = Asked()
    visit = asked.next()
    asked.signing.limited("p0", 1 - visit.credential.number, 0.0, 8.0)
    visit.fail(LIMITED, 5.0)
    assert asked.pool.ended == [("p0", Outcome.LIMITED, 0, 3)]


@pytest.mark.parametrize(("said", "seconds"), [(None, None), ("7", 7.0), ("soon", None)])
def test_how_long_a_provider_asks_to_wait(said: str | None, seconds: float | None) -> None:
    headers = {"Retry-After": said} if said else {}
    assert retry_after_s(GatewayError("internal", "no", headers=headers)) == seconds


# With all that stands around it.


def test_the_caller_is_told_of_the_pause_and_the_provider_left_in_peace() -> None:
    def act(client: Client, stage: Stage) -> None:
        now = asyncio.get_running_loop().time()
        ticket = stage.pool.begin(P0, now, retry=False, last=False)
        assert isinstance(ticket, Ticket)
        stage.pool.end(ticket, Outcome.LIMITED, now, retry_after_s=12.0)

    client, stage = tell(models=[model("test/one", endpoint("p0"))], act=act, credit_nano=10**12)
    assert client.status == 429
    assert client.headers["retry-after"] == "12"
    assert stage.providers.calls == []
    assert (stage.row.error, stage.row.attempts) == ("provider_rate_limited", ())
    (candidate,) = stage.row.candidates
    assert candidate.excluded == "asked for a pause (429)"
