"""Who is at work for one exchange: learned deadlines, races, and what is left of the losers."""

import asyncio
import gc
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.dialects.asking import Encoded
from proxy.errors import CallerGone, GatewayError
from proxy.pipeline.attempt import Attempt
from proxy.pipeline.clocks import USAGE_WAIT_S
from proxy.pipeline.notes import DRAINED, HUNG_UP, LOST
from proxy.routing.health import Outcome
from proxy.upstream.tokens import Kept, Lent, TokenError
from proxy.wire.request import Ask
from tests.clock import play
from tests.scripted import Carried, Told, carried, carry, served
from tests.stage import (
    DONE,
    END,
    GOOD,
    HEAD,
    JSON_HEAD,
    USAGE,
    Script,
    chunk,
    model,
    whole,
)
from tests.stage import (
    way as way,
)

pytestmark = pytest.mark.usefixtures("way")

HEALTHY: Script = [(0.1, HEAD), (0.2, GOOD), (0.3, END)]
SILENT: Script = []
CUT: Script = [(0.1, GatewayError("provider_cut", "no"))]
CUT_LATER: Script = [(0.5, GatewayError("provider_cut", "no"))]
ONE, TWO, THREE = served("p0"), served("p1"), served("p2")
GOOD_P0, GOOD_P1 = ("p0", Outcome.GOOD), ("p1", Outcome.GOOD)


def _limits(**limits_s: float) -> Any:
    return lambda carried: carried.pool.limits_s.update(limits_s)


def _hedges(**hedges_s: float) -> Any:
    return lambda carried: carried.pool.hedges_s.update(hedges_s)


# Who may follow.


def test_what_was_written_for_another_is_not_kept_as_long_as_a_stream_runs() -> None:
    def act(carried: Carried) -> None:
        carried.exchange.ahead = TWO, Encoded(b"{}")

    told = carry(HEALTHY, endpoints=[ONE], act=act)
    assert told.exchange.ahead is None


def test_what_one_model_refuses_the_next_may_take() -> None:
    rejected: Script = [(0.1, GatewayError("provider_rejected", "no"))]
    models = [model("test/one", ONE, TWO), model("test/two", THREE)]
    told = carry(rejected, HEALTHY, models=models)
    assert [slug for slug, *_ in told.notes] == ["p0", "p2"]
    assert told.exchange.model is models[1]


def test_a_fault_of_ours_is_the_last_word() -> None:
    told = carry([(0.1, GatewayError("internal", "no"))], endpoints=[ONE, TWO])
    assert told.notes == [("p0", "internal", 0, False)]
    assert told.pool.outcomes == [("p0", Outcome.ABANDONED)]


def test_an_answer_that_lacks_its_usage_is_complete_after_a_while() -> None:
    told = carry([(0.1, HEAD), (0.2, chunk("a", finish="stop"))], endpoints=[ONE, TWO])
    assert told.error is None
    assert told.settled_at == [0.2 + USAGE_WAIT_S]
    assert told.exchange.lost == []


def test_content_and_then_a_fault_is_the_answer() -> None:
    told = carry([(0.1, HEAD), (0.2, chunk("a")), *CUT_LATER], endpoints=[ONE, TWO])
    assert isinstance(told.error, GatewayError)
    assert told.pool.outcomes == [("p0", Outcome.FAILED)]
    assert "a" in told.contents


# The learned deadline.


def test_a_learned_deadline_moves_to_the_next_endpoint() -> None:
    told = carry(SILENT, HEALTHY, endpoints=[ONE, TWO], act=_limits(p0=3.0))
    assert told.error is None
    assert told.notes == [("p0", "provider_timeout", 0, False), ("p1", None, 3000, False)]
    assert told.pool.outcomes == [("p0", Outcome.FAILED), GOOD_P1]
    assert told.cancelled[0] == 3.0
    assert told.client.times_of(b"hello") == [3.2]
    ((lost, usage),) = told.exchange.lost
    assert (lost, usage.estimated) == (ONE, True)
    assert told.exchange.endpoint is TWO


@pytest.mark.parametrize("others", ["none", "shut"])
def test_a_learned_deadline_waits_on_where_nobody_else_may_be_asked(others: str) -> None:
    def act(carried: Carried) -> None:
        carried.pool.limits_s["p0"] = 3.0
        carried.pool.shut["p1"] = "out"

    late: Script = [(0.1, HEAD), (40, GOOD), (41, END)]
    told = carry(late, endpoints=[ONE, TWO] if others == "shut" else [ONE], act=act)
    assert told.error is None
    assert told.pool.outcomes == [GOOD_P0]
    assert told.exchange.skips == ([(TWO, "out")] if others == "shut" else [])
    assert told.exchange.lost == []


def test_what_is_made_in_one_piece_is_neither_hurried_nor_raced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Ask, "at_once", True)

    def act(carried: Carried) -> None:
        carried.pool.limits_s["p0"] = 3.0
        carried.pool.hedges_s["p0"] = 2.0

    late: Script = [(0.1, HEAD), (90, GOOD), (91, END)]
    told = carry(late, endpoints=[ONE, TWO], hedge=True, act=act)
    assert told.error is None
    assert told.notes == [("p0", None, 0, False)]


def test_the_configured_deadline_holds_all_the_same() -> None:
    told = carry([(0.1, HEAD)], endpoints=[ONE], act=_limits(p0=3.0))
    assert isinstance(told.error, GatewayError)
    assert told.error.kind == "provider_timeout"
    assert told.cancelled == [60.0]
    assert told.exchange.lost == []  # nobody follows: its usage is the exchange's


def test_a_learned_deadline_does_not_move_to_the_next_model() -> None:
    models = [model("test/one", ONE), model("test/two", TWO)]
    late: Script = [(0.1, HEAD), (20, GOOD), (21, END)]
    told = carry(late, models=models, act=_limits(p0=3.0))
    assert told.notes == [("p0", None, 0, False)]
    told = carry([(0.1, HEAD)], HEALTHY, models=models, act=_limits(p0=3.0))
    assert told.notes == [("p0", "provider_timeout", 0, False), ("p1", None, 60_000, False)]
    assert [lost for lost, _ in told.exchange.lost] == [ONE]


def test_of_those_who_were_late_the_last_is_the_exchanges_own() -> None:
    told = carry(SILENT, CUT, endpoints=[ONE, TWO], act=_limits(p0=3.0))
    assert [lost for lost, _ in told.exchange.lost] == [ONE]
    told = carry(SILENT, SILENT, endpoints=[ONE, TWO], act=_limits(p0=3.0, p1=4.0))
    assert [lost for lost, _ in told.exchange.lost] == [ONE]
    assert told.exchange.endpoint is TWO


def test_who_is_late_after_content_is_no_loss_beside_the_answer() -> None:
    told = carry([(0.1, HEAD), (0.2, chunk("a"))], endpoints=[ONE, TWO])
    assert told.notes == [("p0", "provider_timeout", 0, False)]
    assert told.exchange.lost == []


def test_a_whole_answer_knows_no_learned_deadline() -> None:
    late: Script = [(0.1, JSON_HEAD), (20, whole()), (20.1, END)]
    told = carry(late, endpoints=[ONE, TWO], stream=False, act=_limits(p0=3.0))
    assert told.pool.outcomes == [GOOD_P0]
    assert told.pool.contents == []  # its times would be taken for those of first tokens


def test_the_loops_own_lag_is_told_apart() -> None:
    def act(carried: Carried) -> None:
        carried.lag_s = 0.15

    told = carry(HEALTHY, endpoints=[ONE], act=act)
    assert told.pool.contents == [(0.2, 0.15)]
    assert told.pool.ended == [("p0", Outcome.GOOD, 5, None)]


# Races.


def test_a_race_is_won_by_the_first_content() -> None:
    slow: Script = [(0.1, HEAD), (9, GOOD)]
    told = carry(slow, HEALTHY, endpoints=[ONE, TWO], hedge=True, act=_hedges(p0=2.0))
    assert told.error is None
    assert told.notes == [("p0", LOST, 0, False), ("p1", None, 2000, True)]
    assert told.pool.outcomes == [("p0", Outcome.ABANDONED), GOOD_P1]
    assert told.cancelled[0] == 2.2  # in the same moment
    assert told.contents.count("hello ") == 1
    assert [(lost, usage.estimated) for lost, usage in told.exchange.lost] == [(ONE, True)]
    assert told.exchange.endpoint is TWO
    assert told.exchange.usage is not None
    assert b"P1" in told.client.body
    assert b"P0" not in told.client.body


def test_the_first_may_win_after_all() -> None:
    slow: Script = [
        (0.1, HEAD),
        (2.1, chunk("mine", finish="stop", usage=USAGE) + DONE),
        (2.2, END),
    ]
    told = carry(slow, HEALTHY, endpoints=[ONE, TWO], hedge=True, act=_hedges(p0=2.0))
    assert told.notes == [("p1", LOST, 2000, True), ("p0", None, 0, False)]
    assert "mine" in told.contents
    assert "hello" not in told.contents
    assert told.cancelled[1] == pytest.approx(0.1)
    assert [lost for lost, _ in told.exchange.lost] == [TWO]
    assert told.exchange.endpoint is ONE


def test_a_loser_is_hung_up_on_while_the_caller_does_not_read() -> None:
    def act(carried: Carried) -> None:
        carried.pool.hedges_s["p0"] = 0.5
        carried.client.later(0.9, carried.client.reads.clear)  # the first comment is stuck
        carried.client.later(20, carried.client.reads.set)

    slow: Script = [(0.1, HEAD), (9, GOOD)]
    late: Script = [(0.1, HEAD), (3.5, GOOD), (3.6, END)]
    told = carry(slow, late, endpoints=[ONE, TWO], hedge=True, act=act)
    assert told.error is None
    assert told.cancelled[0] == 4.0


def test_whole_answers_do_not_race() -> None:
    slow: Script = [(0.1, JSON_HEAD), (9, whole("slow")), (9.1, END)]
    told = carry(slow, endpoints=[ONE, TWO], stream=False, hedge=True, act=_hedges(p0=2.0))
    assert told.notes == [("p0", None, 0, False)]
    assert told.pool.hedge_budget == 1


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 0)])
def test_who_fails_leaves_the_race_to_the_other(first: int, second: int) -> None:
    failing: Script = [(2.5 - 2 * first, GatewayError("provider_cut", "no"))]
    good: Script = [(0.1, HEAD), (5, GOOD), (5.1, END)]
    scripts = [failing, good] if first == 0 else [good, failing]
    told = carry(*scripts, endpoints=[ONE, TWO, THREE], hedge=True, act=_hedges(p0=2.0))
    assert told.error is None
    slugs = ["p0", "p1"]
    assert told.pool.outcomes == [
        (slugs[first], Outcome.FAILED),
        (slugs[second], Outcome.GOOD),
    ]
    assert told.exchange.endpoint is [ONE, TWO][second]
    assert told.exchange.lost == []
    assert len(told.providers.calls) == 2


def test_when_both_fail_the_next_is_asked() -> None:
    late: Script = [(2.5, GatewayError("provider_cut", "no"))]
    told = carry(late, CUT, HEALTHY, endpoints=[ONE, TWO, THREE], hedge=True, act=_hedges(p0=2.0))
    assert [(slug, error) for slug, error, _, _ in told.notes] == [
        ("p1", "provider_cut"),
        ("p0", "provider_cut"),
        ("p2", None),
    ]


def test_both_may_fail_in_the_same_turn() -> None:
    def act(carried: Carried) -> None:
        carried.pool.hedges_s["p0"] = 2.0

        def both() -> None:
            for played in carried.providers.calls:
                played._do(GatewayError("provider_cut", "no"))

        carried.loop.call_later(3.0, both)

    told = carry(SILENT, SILENT, endpoints=[ONE, TWO], hedge=True, act=act)
    assert isinstance(told.error, GatewayError)
    assert told.error.metadata["previous_errors"] == [
        {"provider": "P0", "code": "provider_cut", "status": None}
    ]
    assert told.pool.outcomes == [("p0", Outcome.FAILED), ("p1", Outcome.FAILED)]


def test_who_wins_while_the_other_has_just_failed() -> None:
    def act(carried: Carried) -> None:
        carried.pool.hedges_s["p0"] = 2.0

        def both() -> None:
            first, second = carried.providers.calls
            first._do(GatewayError("provider_cut", "no"))
            second._do(HEAD)
            second._do(GOOD)

        carried.loop.call_later(3.0, both)

    told = carry(SILENT, SILENT, endpoints=[ONE, TWO], hedge=True, act=act)
    assert told.notes == [("p0", "provider_cut", 0, False), ("p1", None, 2000, True)]
    assert told.pool.outcomes == [("p0", Outcome.FAILED), GOOD_P1]
    assert told.exchange.lost == []


def test_in_a_race_a_learned_deadline_ends_its_own() -> None:
    def act(carried: Carried) -> None:
        carried.pool.hedges_s["p0"] = 2.0
        carried.pool.limits_s["p0"] = 3.0

    late: Script = [(0.1, HEAD), (5, GOOD), (5.1, END)]
    told = carry(SILENT, late, endpoints=[ONE, TWO], hedge=True, act=act)
    assert told.notes == [("p0", "provider_timeout", 0, False), ("p1", None, 2000, True)]


NO_RACE: dict[str, Any] = {
    "not an option": (False, {"p0": 2.0}, 1, [ONE, TWO], None),
    "nothing learned": (True, {}, 1, [ONE, TWO], None),
    "nobody else": (True, {"p0": 2.0}, 1, [ONE], None),
    "no budget": (True, {"p0": 2.0}, 0, [ONE, TWO], None),
    "the other is shut": (True, {"p0": 2.0}, 1, [ONE, TWO], "out"),
}


@pytest.mark.parametrize(
    ("hedge", "hedges_s", "budget", "endpoints", "shut"), NO_RACE.values(), ids=NO_RACE
)
def test_when_there_is_no_race(
    hedge: bool, hedges_s: dict[str, float], budget: int, endpoints: list[Any], shut: str | None
) -> None:
    def act(carried: Carried) -> None:
        carried.pool.hedges_s = hedges_s
        carried.pool.hedge_budget = budget
        if shut:
            carried.pool.shut["p1"] = shut

    slow: Script = [(0.1, HEAD), (9, GOOD), (9.1, END)]
    told = carry(slow, endpoints=endpoints, hedge=hedge, act=act)
    assert told.pool.outcomes == [GOOD_P0]
    assert told.notes == [("p0", None, 0, False)]


def test_another_model_is_no_rival() -> None:
    slow: Script = [(0.1, HEAD), (9, GOOD), (9.1, END)]
    models = [model("test/one", ONE), model("test/two", TWO)]
    told = carry(slow, models=models, hedge=True, act=_hedges(p0=2.0))
    assert told.notes == [("p0", None, 0, False)]
    assert told.pool.hedge_budget == 1


def test_there_is_one_race_per_request() -> None:
    def act(carried: Carried) -> None:
        carried.pool.hedges_s = {"p0": 2.0, "p1": 1.0, "p2": 1.0}
        carried.pool.hedge_budget = 9

    late: Script = [(0.1, HEAD), (9, GOOD), (9.1, END)]
    told = carry(SILENT, late, endpoints=[ONE, TWO, THREE], hedge=True, act=act)
    assert len(told.providers.calls) == 2


def test_the_loser_is_charged_by_what_it_told() -> None:
    def act(carried: Carried) -> None:
        carried.pool.hedges_s["p0"] = 2.0

    early: Script = [(0.1, HEAD), (0.2, chunk(choices=[], usage=USAGE))]
    told = carry(early, HEALTHY, endpoints=[ONE, TWO], hedge=True, act=act)
    ((lost, usage),) = told.exchange.lost
    assert (lost, usage.prompt_tokens, usage.estimated) == (ONE, 10, False)


# Keys in a race, and nobody to ask.


def test_a_key_that_is_refused_in_a_race_gives_way_to_the_next() -> None:
    refused: Script = [(0.1, GatewayError("provider_credential", "no"))]
    keys = {"p1": ["key-0", "key-1"]}
    told = carry(
        SILENT, refused, HEALTHY, endpoints=[ONE, TWO], hedge=True, keys=keys, act=_hedges(p0=2.0)
    )
    assert [(slug, error) for slug, error, _, _ in told.notes] == [
        ("p1", "provider_credential"),
        ("p0", LOST),
        ("p1", None),
    ]
    assert told.pool.outcomes == [("p0", Outcome.ABANDONED), GOOD_P1]
    assert [hedge for *_, hedge in told.notes] == [True, False, True]


class Signs:
    """A key that signs what it is shown, or one that never gets its token."""

    secrets = ("secret",)

    def __init__(self, kept: Kept[str] | None = None) -> None:
        self.kept = kept
        self.seen: list[tuple[str, bytes | None]] = []

    def sign(self, url: str, body: bytes | None) -> Mapping[str, str]:
        self.seen.append((url, body))
        return {"Authorization": "signed"}


def test_what_is_signed_is_what_is_sent() -> None:
    signs = Signs()
    told = carry(HEALTHY, endpoints=[ONE], keys={"p0": [signs]})
    (call,) = (played.call for played in told.providers.calls)
    assert signs.seen == [(call.url, call.body)]
    assert call.url == "http://p0.test/v1/chat/completions"
    assert call.headers["Authorization"] == "signed"


def test_who_has_no_token_is_passed_over_and_its_key_is_not_blamed() -> None:
    async def no_token() -> Lent[str]:
        raise TokenError("no")

    async def act(carried: Carried) -> None:
        signing = carried.exchange.snapshot.signing
        await signing.prepare(["p0"], asyncio.get_running_loop().time())

    keys = {"p0": [Signs(Kept(no_token, name="p0"))]}
    told = carry(HEALTHY, endpoints=[ONE, TWO], keys=keys, act=act)
    assert [(slug, error) for slug, error, _, _ in told.notes] == [
        ("p0", "provider_credential"),
        ("p1", None),
    ]
    assert told.pool.outcomes == [("p0", Outcome.FAILED), GOOD_P1]
    signing = told.exchange.snapshot.signing
    assert not signing.all_refused("p0", 1010.0), "as soon as it has rested"


def test_nobody_may_be_asked() -> None:
    told = carry(endpoints=[ONE], act=lambda carried: carried.pool.never.add("p0"))
    assert isinstance(told.error, GatewayError)
    assert told.error.kind == "no_provider"
    assert told.notes == []


def test_a_request_that_can_not_be_sent_leaves_no_ticket() -> None:
    def act(carried: Carried) -> None:
        assert carried.exchange.ask is not None
        carried.exchange.ask.body["bad"] = object()

    told = carry(endpoints=[ONE], act=act)
    assert isinstance(told.error, GatewayError)
    assert told.error.kind == "invalid_request"
    assert told.pool.outcomes == [("p0", Outcome.ABANDONED)]


# A race and a caller that is gone.


def _hangs_up(at: float, **hedges_s: float) -> Any:
    def act(carried: Carried) -> None:
        carried.pool.hedges_s.update(hedges_s)
        carried.client.later(at, carried.client.hang_up)

    return act


def test_a_hang_up_in_a_race_ends_both() -> None:
    told = carry(SILENT, SILENT, endpoints=[ONE, TWO], hedge=True, act=_hangs_up(3.0, p0=2.0))
    assert isinstance(told.error, CallerGone)
    assert told.cancelled == [3.0, 1.0]
    assert told.pool.outcomes == [("p0", Outcome.ABANDONED), ("p1", Outcome.ABANDONED)]
    assert told.notes == [("p0", HUNG_UP, 0, False), ("p1", HUNG_UP, 2000, True)]
    assert not told.drained
    assert [lost for lost, _ in told.exchange.lost] == [TWO]


@pytest.mark.parametrize("stops", [False, True])
def test_a_whole_answer_is_heard_out_where_it_is_billed(stops: bool) -> None:
    late: Script = [(0.1, JSON_HEAD), (9, whole()), (9.1, END)]
    told = carry(late, endpoints=[served("p0", stops=stops)], stream=False, act=_hangs_up(3.0))
    assert told.drained is not stops
    assert told.settled_at == [3.0 if stops else 9.1]
    assert told.notes == [("p0", HUNG_UP if stops else DRAINED, 0, False)]
    assert told.cancelled == [3.0 if stops else None]
    assert told.exchange.lost == []
    assert (told.exchange.usage is None) is stops


def test_a_stream_goes_on_to_be_billed_or_not() -> None:
    words = [(0.2 + at, chunk("a")) for at in range(9)]
    flowing: Script = [(0.1, HEAD), *words, (9, GOOD), (9.1, END)]
    told = carry(flowing, endpoints=[ONE], act=_hangs_up(3.0))
    assert told.drained
    assert told.notes == [("p0", DRAINED, 0, False)]
    assert told.tries[0].latency_ms == 3000
    assert told.settled_at == [9.0]


def test_stopping_in_a_race_ends_both() -> None:
    def act(carried: Carried) -> None:
        carried.pool.hedges_s["p0"] = 2.0
        error = GatewayError("draining", "no")
        carried.client.later(3.0, lambda: carried.relay.stop(error))

    told = carry(SILENT, SILENT, endpoints=[ONE, TWO], hedge=True, act=act)
    assert [error for _, error, _, _ in told.notes] == ["draining", "draining"]
    assert told.pool.outcomes == [("p0", Outcome.ABANDONED), ("p1", Outcome.ABANDONED)]
    assert told.cancelled == [3.0, 1.0]


# Cancelled at any step: nothing is left.

STORIES: dict[str, tuple[list[Script], bool]] = {
    "a race": ([[(0.1, HEAD), (9, GOOD), (9.1, END)], [(1, HEAD), (3, GOOD), (3.1, END)]], True),
    "a whole answer": ([CUT, [(0.1, JSON_HEAD), (1, whole()), (1.1, END)]], False),
    "failures": ([CUT, CUT, HEALTHY], True),
    "a learned deadline": ([SILENT, SILENT, HEALTHY], True),
    "a slow stream": (
        [[(0.1, HEAD), *((at, chunk("a")) for at in (0.2, 3.0, 8.0)), (9.0, GOOD), (9.1, END)]],
        True,
    ),
}


@pytest.mark.parametrize(("scripts", "stream"), STORIES.values(), ids=STORIES)
def test_a_story_may_be_cancelled_at_any_step(scripts: list[Script], stream: bool) -> None:
    outcomes = set()
    for step in range(1, 60):
        told = play(_cancelled(scripts, stream, step))
        outcomes.add(type(told.error).__name__)
        if told.error is None:
            break
        assert isinstance(told.error, asyncio.CancelledError)
        assert told.pool.held == {}
        assert told.drained is any(note.error == DRAINED for note in told.tries)
    assert outcomes == {"CancelledError", "NoneType"}


async def _cancelled(scripts: list[Script], stream: bool, step: int) -> Told:
    """The story, cancelled when it has waited `step` times."""

    def act(carried: Carried) -> None:
        carried.pool.hedges_s["p0"] = 2.0
        carried.pool.limits_s["p0"] = carried.pool.limits_s["p1"] = 4.0
        waits = 0
        task = asyncio.current_task()
        assert task is not None
        wait, send = carried.relay.wait, carried.client.caller._send

        async def waited(until: float) -> None:
            count()
            await wait(until)

        async def sent(message: Any) -> None:
            count()
            await asyncio.sleep(0)
            await send(message)

        def count() -> None:
            nonlocal waits
            waits += 1
            if waits == step:
                task.cancel()

        carried.relay.wait = waited  # type: ignore[method-assign]
        carried.client.caller._send = sent

    told = await carried(
        *scripts,
        models=[model("test/one", ONE, TWO, THREE)],
        stream=stream,
        choices=1,
        hedge=True,
        keys=None,
        act=act,
    )
    await asyncio.sleep(USAGE_WAIT_S + 0.1)  # which a complete answer has to end by itself
    assert asyncio.all_tasks() == {asyncio.current_task()}
    now = asyncio.get_running_loop().time()
    for played in told.providers.calls:
        ended = played.cancelled_at is not None or all(one.when() <= now for one in played._timers)
        assert ended or told.error is None
    return told


# Whatever two providers do, and whenever the caller goes.

_MOMENTS = st.integers(1, 80).map(lambda tenths: tenths / 10)


@st.composite
def _scripts(draw: st.DrawFn, text: str) -> Script:
    """A provider that says `text` some times, and then ends, breaks off or falls silent."""
    at = draw(_MOMENTS)
    script: Script = [(at, HEAD)]
    for _ in range(draw(st.integers(0, 4))):
        at += draw(_MOMENTS)
        script = [*script, (at, chunk(text))]
    finish = chunk(finish="stop", usage=USAGE) + DONE
    ends: list[Script] = [
        [(at + 1, finish), (at + 1.1, END)],
        [(at + 1, chunk(finish="stop")), (at + 9, END)],
        [(at + 1, GatewayError("provider_cut", "no"))],
        [(at + 1, b'data: {"error":{"message":"no"}}\n\n')],
        [],
    ]
    return [*script, *draw(st.sampled_from(ends))]


@settings(max_examples=150, deadline=None)
@given(
    scripts=st.tuples(_scripts("aaa"), _scripts("bbb"), _scripts("ccc")),
    stream=st.booleans(),
    limit_s=_MOMENTS,
    hedge_s=_MOMENTS,
    gone_at=st.none() | _MOMENTS,
    stops=st.booleans(),
)
def test_one_answer_at_most_and_nothing_left(
    scripts: tuple[Script, Script, Script],
    stream: bool,
    limit_s: float,
    hedge_s: float,
    gone_at: float | None,
    stops: bool,
) -> None:
    def act(carried: Carried) -> None:
        carried.pool.limits_s = dict.fromkeys(("p0", "p1", "p2"), limit_s)
        carried.pool.hedges_s = dict.fromkeys(("p0", "p1", "p2"), hedge_s)
        if gone_at is not None:
            carried.client.later(gone_at, carried.client.hang_up)

    endpoints = [served(slug, stops=stops) for slug in ("p0", "p1", "p2")]
    told = carry(*scripts, endpoints=endpoints, stream=stream, hedge=True, act=act)
    heard = [text for text in ("aaa", "bbb", "ccc") if text in told.contents]
    assert len(heard) <= 1
    if told.attempt is not None:
        assert told.exchange.endpoint is told.attempt.endpoint
        assert told.exchange.heard is told.attempt.heard
        assert told.attempt.heard.complete
    assert len(told.tries) == len(told.pool.ended) == len(told.providers.calls)
    assert sum(one.hedge for one in told.tries) <= 1
    lost = [note for note in told.tries if note.error == LOST]
    assert len(told.exchange.lost) >= len(lost)
    tags = [one.tag for one, _ in told.exchange.lost]
    assert len(tags) == len(set(tags))  # nobody is paid for twice
    assert told.exchange.endpoint is None or told.exchange.endpoint.tag not in tags
    good = [note for note in told.tries if note.error is None]
    assert bool(good) is (told.attempt is not None or told.error is None)
    if not told.drained and gone_at is not None and told.error is not None:
        assert told.settled_at[0] <= max(gone_at, 0.0) + 1e-6


# What is left in memory.


@pytest.mark.parametrize("scripts", [[HEALTHY], [CUT, HEALTHY], [SILENT, HEALTHY]])
def test_an_attempt_is_gone_with_the_last_who_knows_it(scripts: list[Script]) -> None:
    """Its answer may be large: it must not wait for the collector of what knows itself."""
    gc.collect()
    gc.disable()
    try:
        before = _alive()
        told = carry(*scripts, endpoints=[ONE, TWO], hedge=True, act=_hedges(p0=2.0))
        for played in told.providers.calls:
            vars(played).clear()  # a script knows itself
        del told, played
        assert _alive() == before
    finally:
        gc.enable()


def _alive() -> int:
    return sum(type(one) is Attempt for one in gc.get_objects())
