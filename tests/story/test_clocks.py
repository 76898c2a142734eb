"""Every wait is bounded: what runs out when, and what the caller is told until then.

Times are exact: the clock of `tests.stage` jumps from one event to the next.
"""

import asyncio

import pytest

from proxy.errors import GatewayError
from proxy.routing.catalogue import Endpoint, Model
from proxy.wire.frames import PROCESSING
from tests.stage import (
    DONE,
    END,
    GOOD,
    HEAD,
    JSON_HEAD,
    USAGE,
    Client,
    Providers,
    Script,
    Stage,
    asked,
    chunk,
    endpoint,
    model,
    play,
    tell,
    whole,
)
from tests.stage import (
    way as way,
)

pytestmark = pytest.mark.usefixtures("way")

ONE = endpoint("p0", connect_s=5, first_byte_s=30, first_token_s=60, between_chunks_s=20)
TWO = endpoint("p1")
SILENT: Script = []
HEALTHY: Script = [(0.1, HEAD), (0.2, GOOD), (0.3, END)]


def test_the_head_and_comments_go_out_after_a_second_and_then_every_five() -> None:
    client, stage = tell([(11.9, HEAD), (12.0, GOOD), (12.1, END)])
    assert client.said[0][0] == 1.0
    assert client.status == 200
    assert client.times_of(PROCESSING) == [1.0, 6.0, 11.0]
    assert client.headers["x-generation-id"] == stage.row.id
    assert client.text == "hello world"
    assert stage.row.latency_ms == 12_000


def test_an_answer_within_a_second_has_no_comment() -> None:
    client, _ = tell([(0.9, HEAD), (0.95, GOOD), (1.0, END)])
    assert client.times_of(PROCESSING) == []
    assert client.said[0][0] == 0.95  # nothing is promised before there is something to say


def test_comments_fill_the_pauses_of_an_answer_too() -> None:
    script: Script = [
        (0.1, HEAD),
        (0.2, chunk("a")),
        (12.2, chunk("b", finish="stop", usage=USAGE) + DONE),
        (12.3, END),
    ]
    client, _ = tell(script)
    assert client.times_of(PROCESSING) == [5.2, 10.2]
    assert client.text == "ab"


@pytest.mark.parametrize("stream", [True, False])
def test_before_a_second_an_error_has_its_status(stream: bool) -> None:
    error = GatewayError("provider_unreachable", "no")
    client, stage = tell([(0.9, error)], body=asked(stream=stream))
    assert (client.status, client.error["code"], stage.row.status) == (502, 502, 502)


def test_after_a_second_an_error_is_an_event() -> None:
    client, stage = tell([(1.1, GatewayError("provider_unreachable", "no"))])
    assert client.status == 200
    (event,) = client.events
    assert event["error"]["code"] == 502
    assert event["choices"][0]["finish_reason"] == "error"
    assert client.body.endswith(DONE)
    assert (stage.row.status, stage.row.error) == (502, "provider_unreachable")


def test_a_whole_answer_waits_in_silence_and_keeps_its_status() -> None:
    client, _ = tell([(50, GatewayError("provider_unreachable", "no"))], body=asked(stream=False))
    assert client.status == 502
    assert client.times_of(PROCESSING) == []


# What runs out when. Each script is what the only provider does; the answer must end at that time.

RUN_OUT: dict[str, tuple[Script, float, str]] = {
    "no head": (SILENT, 30, "the head"),
    "no first piece": ([(1, HEAD)], 60, "the first piece"),
    "a late head and no piece": ([(29.9, HEAD)], 60, "the first piece"),
    "comments are no piece": (
        [(1, HEAD), *((float(at), b": keep-alive\n\n") for at in range(2, 100))],
        60,
        "the first piece",
    ),
    "an empty opening is no piece": (
        [(1, HEAD), *((float(at), chunk("")) for at in range(2, 100))],
        60,
        "the first piece",
    ),
    "no next piece": ([(1, HEAD), (2, chunk("a")), (21, chunk("b"))], 41, "the next piece"),
    "comments between pieces": (
        [(1, HEAD), (2, chunk("a")), *((float(at), b": hm\n\n") for at in range(3, 100))],
        22,
        "the next piece",
    ),
}


@pytest.mark.parametrize(("script", "at", "what"), RUN_OUT.values(), ids=RUN_OUT)
def test_what_runs_out(script: Script, at: float, what: str) -> None:
    client, stage = tell(script, models=[model("test/one", ONE)])
    assert client.ended_at == at
    assert client.error["code"] == 504
    assert what in client.error["message"]
    assert stage.row.error == "provider_timeout"
    assert stage.providers.calls[0].cancelled_at == at
    assert stage.row.cost_nano == 0


def _thought(text: str) -> bytes:
    delta = {"reasoning_content": text}
    return chunk(choices=[{"index": 0, "delta": delta, "finish_reason": None}])


def test_reasoning_counts_as_content() -> None:
    thoughts: Script = [(float(at), _thought("hm")) for at in range(19, 200, 19)]
    client, stage = tell(
        [(1, HEAD), *thoughts, (200, GOOD), (201, END)],
        models=[model("test/one", ONE, TWO)],
    )
    assert client.text == "hello world"
    assert stage.row.latency_ms == 19_000
    assert len(stage.books.tries) == 1


def test_a_whole_answer_has_one_clock() -> None:
    slow = endpoint("p0", first_byte_s=1, first_token_s=2, between_chunks_s=3, answer_s=100)
    body = asked(stream=False)
    client, _ = tell([(98, JSON_HEAD), (99, whole()), (99.5, END)], models=_alone(slow), body=body)
    assert client.status == 200
    client, stage = tell([(1, JSON_HEAD), (2, b"{")], models=_alone(slow), body=body)
    assert (client.status, client.ended_at) == (504, 100)
    assert stage.providers.calls[0].cancelled_at == 100


def _alone(served: Endpoint) -> list[Model]:
    return [model("test/one", served)]


def test_connecting_has_its_clock_in_the_call() -> None:
    _, stage = tell(HEALTHY, models=[model("test/one", ONE)])
    assert stage.providers.calls[0].call.connect_s == 5


def test_no_answer_takes_longer_than_an_hour_in_all() -> None:
    patient = endpoint("p0", between_chunks_s=10_000, first_token_s=10_000, first_byte_s=10_000)
    script: Script = [(1, HEAD), (2, chunk("a"))]
    client, stage = tell(script, models=[model("test/one", patient, TWO)])
    assert client.ended_at == 3600
    assert client.error["code"] == 504
    assert len(stage.books.tries) == 1


def test_the_hour_is_shared_by_all_attempts() -> None:
    patient = [endpoint(f"p{n}", first_token_s=3000, first_byte_s=3000) for n in range(3)]
    client, stage = tell(SILENT, SILENT, SILENT, models=[model("test/one", *patient)])
    assert client.ended_at == 3600
    assert [note.latency_ms for note in stage.books.tries] == [3_000_000, 600_000]


# The wait for usage.


@pytest.mark.parametrize("stream", [True, False])
def test_the_wait_for_usage_is_two_seconds(stream: bool) -> None:
    """Also where a stream answers a caller that wants the answer whole."""
    script: Script = [(0.1, HEAD), (0.2, chunk("hello", finish="stop"))]
    client, stage = tell(script, body=asked(stream=stream))
    assert client.ended_at == 2.2
    assert client.status == 200
    assert stage.row.usage_estimated
    assert stage.row.finish_reason == "stop"
    assert stage.row.cost_nano


def test_usage_that_comes_in_time_is_not_waited_for_longer() -> None:
    late = chunk(choices=[], usage=USAGE) + DONE
    client, stage = tell([(0.1, HEAD), (0.2, chunk("hello", finish="stop")), (1.5, late)])
    assert client.ended_at == 1.5
    assert not stage.row.usage_estimated
    assert stage.row.completion_tokens == 5


def test_a_connection_that_its_provider_does_not_close_is_closed_later() -> None:
    script: Script = [(0.1, HEAD), (0.2, GOOD)]

    async def story() -> None:
        stage = Stage(Providers(script), model("test/one", ONE))
        client = await stage.ask(Client(asked()))
        assert client.ended_at == 0.2
        (call,) = stage.providers.calls
        assert call.cancelled_at is None  # it may yet end by itself, and be used again
        await asyncio.sleep(5)
        assert call.cancelled_at == 2.2

    play(story())


# Comments and the next provider.


def test_the_next_provider_is_tried_after_comments() -> None:
    client, stage = tell(
        [(3, GatewayError("provider_cut", "no"))], HEALTHY, models=[model("test/one", ONE, TWO)]
    )
    assert client.times_of(PROCESSING) == [1.0]
    assert client.text == "hello world"
    assert {event["provider"] for event in client.events} == {"P1"}
    assert [note.error for note in stage.row.attempts] == ["provider_cut", None]
    assert stage.row.provider == "p1"


def test_all_of_them_may_run_out() -> None:
    client, stage = tell(SILENT, SILENT, models=[model("test/one", ONE, TWO)])
    assert client.ended_at == 60
    assert client.error["metadata"]["previous_errors"] == [
        {"provider": "P0", "code": "provider_timeout", "status": None}
    ]
    assert [note.latency_ms for note in stage.row.attempts] == [30_000, 30_000]


def test_the_first_content_ends_fallback() -> None:
    client, stage = tell(
        [(0.1, HEAD), (0.2, chunk("hel")), (0.3, GatewayError("provider_cut", "no"))],
        HEALTHY,
        models=[model("test/one", ONE, TWO)],
    )
    assert client.text == "hel"
    assert client.error["code"] == 502
    assert len(stage.providers.calls) == 1


def test_content_in_one_piece_with_the_fault_ends_it_too() -> None:
    """What a caller gets must not depend on how the network sliced a provider's bytes."""
    client, stage = tell(
        [(0.1, HEAD), (0.2, chunk("hel") + b'data: {"error":{"message":"no"}}\n\n')],
        HEALTHY,
        models=[model("test/one", ONE, TWO)],
    )
    assert client.text == "hel"
    assert client.error["code"] == 502
    assert [note.error for note in stage.row.attempts] == ["provider_unavailable"]


def test_a_whole_answer_that_breaks_may_always_move_on() -> None:
    """A stream answers a caller that wants it whole, and breaks: nothing was said yet."""
    client, stage = tell(
        [(0.1, HEAD), (5, chunk("hel")), (9, GatewayError("provider_cut", "no"))],
        [(1, JSON_HEAD), (2, whole("all of it")), (3, END)],
        models=[model("test/one", ONE, TWO)],
        body=asked(stream=False),
    )
    assert client.status == 200
    assert b"all of it" in client.body
    assert [note.error for note in stage.row.attempts] == ["provider_cut", None]


# Hanging up and stopping.


@pytest.mark.parametrize("at", [0.05, 0.5, 1.5])
def test_a_hang_up_cancels_the_provider_at_once(at: float) -> None:
    script: Script = [(0.1, HEAD), (1.2, chunk("hello")), (20, END)]
    _, stage = tell(script, act=lambda client, stage: client.later(at, client.hang_up))
    (call,) = stage.providers.calls
    assert call.cancelled_at == at
    row = stage.row
    assert (row.cancelled, row.status, row.error) == (True, 499, None)
    assert (row.cost_nano == 0) == (at < 1.2)
    assert row.usage_estimated == (at > 1.2)


def test_a_hang_up_ends_the_search_for_a_provider() -> None:
    _, stage = tell(
        [(3, GatewayError("provider_cut", "no"))],
        SILENT,
        models=[model("test/one", ONE, TWO, endpoint("p2"))],
        act=lambda client, stage: client.later(5, client.hang_up),
    )
    assert len(stage.providers.calls) == 2
    assert stage.providers.calls[1].cancelled_at == 2


def test_an_answer_under_way_can_be_stopped() -> None:
    client, stage = tell(
        [(0.1, HEAD), (0.2, chunk("hel"))],
        models=[model("test/one", ONE, TWO)],
        act=lambda client, stage: client.later(4, stage.flow.stop),
    )
    assert client.ended_at == 4
    assert client.error["code"] == 503
    assert (stage.row.error, stage.row.cost_nano) == ("draining", 0)
    assert stage.providers.calls[0].cancelled_at == 4


# The slow caller.


def test_a_caller_that_does_not_read_holds_the_provider_back() -> None:
    """What the provider sends while it is held back was under way; its silence is not its fault."""
    words = "word " * 5000  # 25 kB an event: three fill the box
    script: Script = [
        (0.1, HEAD),
        *((0.2 + n / 10, chunk(words)) for n in range(5)),
        (36, GOOD),
        (37, END),
    ]

    def act(client: Client, stage: Stage) -> None:
        client.later(0.15, client.reads.clear)
        client.later(25, client.reads.set)

    client, stage = tell(script, models=[model("test/one", ONE)], act=act)
    (call,) = stage.providers.calls
    assert len(call.paused) == 1
    assert call.paused[0] < 1
    assert call.resumed == [25]
    assert client.text == words * 5 + "hello world"
