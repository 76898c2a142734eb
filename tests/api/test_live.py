"""Live figures of endpoints, in the units of OpenRouter's rows."""

import pytest
from openrouter.components import PublicEndpoint

from proxy.api.live import NOTHING, Live
from proxy.api.rows import endpoint_row
from proxy.routing.health import Outcome, Pool, Ticket
from tests.wares import endpoint, model

ONE = endpoint()
ID = (ONE.tag, ONE.model)


def begun(pool: Pool, now: float) -> Ticket:
    ticket = pool.begin(ID, now, retry=False, last=True)
    assert isinstance(ticket, Ticket)
    return ticket


def asked(pool: Pool, now: float, times: int, *, outcome: Outcome = Outcome.GOOD) -> None:
    """So many streamed answers: content after half a second, then 100 tokens in two."""
    for _ in range(times):
        ticket = begun(pool, now)
        pool.content(ticket, now + 0.5)
        pool.end(ticket, outcome, now + 2.5, tokens=100)


def test_nothing_is_known_of_what_nobody_asked() -> None:
    live = Live(Pool(), lambda: 0.0)
    assert live.row(ONE, speed=True) == NOTHING
    assert live.lately(ONE) is None


def test_uptime_is_percent_latency_milliseconds_and_throughput_tokens_a_second() -> None:
    pool = Pool()
    asked(pool, 60.0, 30)
    live = Live(pool, lambda: 100.0)
    row = live.row(ONE, speed=True)
    assert (row["uptime_last_5m"], row["uptime_last_30m"], row["uptime_last_1d"]) == (100,) * 3
    assert row["status"] == 0
    assert list(row["latency_last_30m"]) == ["p50", "p75", "p90", "p99"]
    for value in row["latency_last_30m"].values():
        assert value == pytest.approx(500, rel=0.05)
    for value in row["throughput_last_30m"].values():
        assert value == pytest.approx(50, rel=0.05)
    lately = live.lately(ONE)
    assert lately is not None
    assert lately.latency_at(0.5) == pytest.approx(0.5, rel=0.05)
    PublicEndpoint.model_validate(endpoint_row(model(), ONE, row))


def test_who_shows_no_key_is_told_no_speed() -> None:
    pool = Pool()
    asked(pool, 60.0, 5)
    row = Live(pool, lambda: 100.0).row(ONE, speed=False)
    assert row["uptime_last_5m"] == 100
    assert row["latency_last_30m"] is row["throughput_last_30m"] is None


def test_figures_are_forgotten_by_their_windows() -> None:
    pool = Pool()
    asked(pool, 60.0, 12)
    for minutes, known in ((4, (100, 100, 100)), (20, (None, 100, 100)), (60, (None, None, 100))):
        row = Live(pool, lambda minutes=minutes: 60.0 * (minutes + 1)).row(ONE, speed=True)  # type: ignore[misc]
        told = (row["uptime_last_5m"], row["uptime_last_30m"], row["uptime_last_1d"])
        assert told == known
        assert (row["latency_last_30m"] is None) is (minutes == 60)


def test_an_endpoint_that_fails_says_so() -> None:
    pool = Pool()
    asked(pool, 60.0, 40, outcome=Outcome.FAILED)
    row = Live(pool, lambda: 64.0).row(ONE, speed=True)
    assert row["status"] < 0
    assert row["uptime_last_5m"] == 0
    assert row["latency_last_30m"] is None


def test_answers_too_short_to_tell_have_no_throughput() -> None:
    pool = Pool()
    ticket = begun(pool, 60.0)
    pool.content(ticket, 60.5)
    pool.end(ticket, Outcome.GOOD, 60.6, tokens=1)
    row = Live(pool, lambda: 61.0).row(ONE, speed=True)
    assert row["latency_last_30m"] is not None
    assert row["throughput_last_30m"] is None


def test_calls_that_can_be_used_are_a_share_of_all_of_a_model() -> None:
    pool = Pool()
    begun(pool, 0.0)
    for number in range(9):
        pool.called(ID, 0.0, sound=number > 2)
    live = Live(pool, lambda: 0.0)
    assert live.sound_calls(model()) is None
    pool.called(ID, 0.0, sound=False)
    assert live.sound_calls(model()) == pytest.approx(0.6)
    assert live.sound_calls(model("acme/other", endpoint(tag="other"))) is None
