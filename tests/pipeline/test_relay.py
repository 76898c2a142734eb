"""From provider to caller: who is asked, with which key, and what the caller hears of failures."""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
import pytest
from msgspec.structs import replace

from proxy.dialects import INBOUND
from proxy.errors import CallerGone, GatewayError
from proxy.pipeline.exchange import Exchange
from proxy.pipeline.race import Means
from proxy.pipeline.relay import Relay, stream_head
from proxy.routing.health import Outcome, Pool
from proxy.routing.plan import Plan
from proxy.wire.frames import PROCESSING
from proxy.wire.request import Ask
from tests.clock import play
from tests.plain import ASK, BILL
from tests.scripted import Carried, carry, served
from tests.stage import (
    DONE,
    END,
    GOOD,
    HEAD,
    JSON,
    JSON_HEAD,
    ONLY_SEND,
    USAGE,
    Client,
    Headed,
    Providers,
    Script,
    Stage,
    asked,
    chunk,
    endpoint,
    model,
    snapshot,
    tell,
    whole,
)
from tests.stage import (
    way as way,
)

pytestmark = pytest.mark.usefixtures("way")

HEALTHY: Script = [(0.1, HEAD), (0.2, GOOD), (0.3, END)]


def refusing(status: int, message: str = "no", **headers: str) -> Script:
    body = orjson.dumps({"error": {"message": message}})
    return [(0.1, Headed(status, {**JSON, **headers})), (0.1, body), (0.1, END)]


ONE = model("test/one", endpoint("p0"), endpoint("p1"))
TWO = model("test/two", endpoint("p2"))
ENDPOINTS = [served("p0"), served("p1"), served("p2")]


def _kinds(stage: Stage) -> list[str | None]:
    return [note.error for note in stage.row.attempts]


def _providers(stage: Stage) -> list[str]:
    return [note.provider for note in stage.row.attempts]


# Who is asked next.


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, "provider_credential"),
        (403, "provider_credential"),
        (404, "provider_lacks_model"),
        (408, "provider_timeout"),
        (429, "provider_rate_limited"),
        (500, "provider_unavailable"),
        (503, "provider_overloaded"),
        (529, "provider_overloaded"),
    ],
)
def test_a_providers_own_trouble_moves_on_to_the_next_endpoint(status: int, kind: str) -> None:
    client, stage = tell(refusing(status), HEALTHY, models=[ONE])
    assert client.text == "hello world"
    assert (_kinds(stage), _providers(stage)) == ([kind, None], ["p0", "p1"])


@pytest.mark.parametrize(("status", "told"), [(400, 400), (413, 413), (422, 422)])
def test_the_callers_mistake_is_not_tried_elsewhere(status: int, told: int) -> None:
    client, stage = tell(refusing(status), models=[ONE])
    assert client.status == told
    assert _kinds(stage) == ["provider_rejected"]
    assert len(stage.providers.calls) == 1


def test_the_callers_mistake_may_be_none_for_another_model() -> None:
    """The next of `models[]` may have a longer context, or take what this one refused."""
    client, stage = tell(
        refusing(400), HEALTHY, models=[ONE, TWO], body=asked(models=["test/one", "test/two"])
    )
    assert client.text == "hello world"
    assert _providers(stage) == ["p0", "p2"]
    assert stage.row.model == "test/two"
    assert {event["model"] for event in client.events} == {"test/two"}


def test_all_fail_and_all_are_named() -> None:
    client, stage = tell(
        refusing(500, "first"), refusing(429, "second", **{"Retry-After": "9"}), models=[ONE]
    )
    assert client.status == 429
    assert client.headers["retry-after"] == "9"
    assert "second" in str(client.error)
    assert client.error["metadata"]["previous_errors"] == [
        {"provider": "P0", "code": "provider_unavailable", "status": 500}
    ]
    assert (stage.row.status, stage.row.provider) == (429, "p1")


def test_one_failure_has_none_before_it() -> None:
    client, _ = tell(refusing(500), models=[model("test/one", endpoint())])
    assert "previous_errors" not in client.error["metadata"]


# Keys.


def _with_keys(*scripts: Script, keys: int = 2) -> tuple[Client, Stage]:
    async def story() -> tuple[Client, Stage]:
        shown = snapshot(ONE, keys={"p0": [f"key-{n}" for n in range(keys)]})
        stage = Stage(Providers(*scripts), shown=shown)
        client = Client(asked())
        await stage.ask(client)
        return client, stage

    return play(story())


def _sent_keys(stage: Stage) -> list[str | None]:
    return [played.call.headers.get("Authorization") for played in stage.providers.calls]


@pytest.mark.parametrize("status", [401, 403, 402, 429])
def test_the_next_key_of_a_provider_is_tried(status: int) -> None:
    client, stage = _with_keys(refusing(status), HEALTHY)
    assert client.text == "hello world"
    assert _providers(stage) == ["p0", "p0"]
    assert _sent_keys(stage) == ["Bearer key-0", "Bearer key-1"]


def test_when_all_keys_are_refused_the_next_provider_is_asked() -> None:
    client, stage = _with_keys(refusing(401), refusing(429), HEALTHY)
    assert client.text == "hello world"
    assert _providers(stage) == ["p0", "p0", "p1"]
    assert _sent_keys(stage) == ["Bearer key-0", "Bearer key-1", None]


def test_another_key_does_not_mend_a_provider() -> None:
    _, stage = _with_keys(refusing(500), HEALTHY)
    assert _providers(stage) == ["p0", "p1"]


# What is sent.


def test_what_a_provider_is_sent() -> None:
    _, stage = _with_keys(HEALTHY)
    call = stage.providers.calls[0].call
    assert call.url == "http://p0.test/v1/chat/completions"
    assert call.headers == {
        "Accept": "text/event-stream",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "User-Agent": "test",
        "Authorization": "Bearer key-0",
    }
    assert call.body is not None
    assert orjson.loads(call.body)["model"] == "p0-model"


def test_who_wants_it_whole_asks_for_it() -> None:
    script: Script = [(0.1, JSON_HEAD), (0.2, whole()), (0.3, END)]
    client, stage = tell(script, body=asked(stream=False))
    assert stage.providers.calls[0].call.headers["Accept"] == "application/json"
    assert client.status == 200
    assert client.headers["content-length"] == str(len(client.body))


# What the caller hears.


def test_the_head_of_a_stream() -> None:
    exchange = Exchange(id="gen-1", created_at=1.0, started_at=1.0, snapshot=snapshot())
    exchange.ask = replace(ASK, stream=True)
    assert dict(stream_head(exchange, INBOUND["chat"])) == {
        b"content-type": b"text/event-stream",
        b"cache-control": b"no-cache",
        b"x-accel-buffering": b"no",
        b"x-generation-id": b"gen-1",
    }


def test_content_is_not_held_back_for_company() -> None:
    script: Script = [
        (0.1, HEAD),
        *((0.2 + n / 10, chunk(str(n))) for n in range(5)),
        (0.9, chunk(finish="stop", usage={}) + DONE),
        (1.0, END),
    ]
    client, _ = tell(script)
    assert [client.times_of(f'"content":"{n}"'.encode()) for n in range(5)] == [
        [pytest.approx(0.2 + n / 10)] for n in range(5)
    ]


def test_a_cut_after_content_is_an_event_and_the_last_word() -> None:
    client, stage = tell(
        [(0.1, HEAD), (0.2, chunk("hel")), (0.3, GatewayError("provider_cut", "no"))],
        models=[ONE],
    )
    *_, last = client.events
    assert last["error"]["code"] == 502
    assert last["choices"][0]["finish_reason"] == "error"
    assert stage.row.finish_reason == "error"
    assert stage.row.cost_nano == 0


def test_comments_until_the_first_content() -> None:
    client, _ = tell([(7, HEAD), (7.5, GOOD), (8, END)], models=[ONE])
    assert client.times_of(PROCESSING) == [1.0, 6.0]


def test_what_runs_out_moves_on() -> None:
    slow = model("test/one", endpoint("p0", first_byte_s=0.5), endpoint("p1"))
    client, stage = tell([], HEALTHY, models=[slow])
    assert client.said[0][0] == 0.7
    assert _kinds(stage) == ["provider_timeout", None]


def test_the_first_piece_may_shorten_the_wait() -> None:
    """Whoever handed it over, what is waited for now is the next one."""
    script: Script = [(0.1, HEAD), (6.1, chunk("a"))]
    endpoints = [served(first_byte_s=60.0, first_token_s=60.0, between_chunks_s=2.0)]
    told = carry(script, endpoints=endpoints)
    assert isinstance(told.error, GatewayError)
    assert told.error.kind == "provider_timeout"
    assert told.settled_at == [pytest.approx(8.1)]


def test_a_hang_up_before_the_first_attempt_is_harmless() -> None:
    async def story() -> None:
        exchange = Exchange(id="gen-1", created_at=1.0, started_at=1.0, snapshot=snapshot())
        exchange.ask = Ask(models=("m",), body={})
        exchange.plan = Plan(())
        Relay(
            exchange,
            Client().caller,
            INBOUND["chat"],
            Means(Providers(), {}, lambda note: None, Pool(), asyncio.get_running_loop().time),
        ).hang_up()

    play(story())


def test_hanging_up_before_anything_was_asked() -> None:
    _, stage = tell([], models=[ONE], act=lambda client, stage: client.hang_up())
    # Who listens through `receive` has its turn only once something is waited for, so one call may
    # have begun.
    assert all(played.cancelled_at == 0 for played in stage.providers.calls)
    assert [row.cancelled for row in stage.books.rows] == [True] * len(stage.providers.calls)


def test_stopping_before_the_head_has_a_status() -> None:
    client, stage = tell(
        [], models=[ONE], act=lambda client, stage: client.later(0.5, stage.flow.stop)
    )
    assert (client.status, client.ended_at) == (503, 0.5)
    assert stage.row.error == "draining"


# Who may not be asked now.


def test_who_may_not_be_tried_is_skipped_and_told() -> None:
    def act(carried: Carried) -> None:
        carried.pool.shut = {"p0": "out", "p2": "busy"}

    told = carry(HEALTHY, endpoints=ENDPOINTS, act=act)
    assert told.pool.begun == [("p1", False, False)]
    assert [(one.tag, why) for one, why in told.exchange.skips] == [("p0", "out")]


def test_when_nobody_may_the_first_is_tried_all_the_same() -> None:
    def act(carried: Carried) -> None:
        carried.pool.shut = dict.fromkeys(("p0", "p1", "p2"), "out")
        carried.pool.never.add("p0")

    told = carry(HEALTHY, endpoints=ENDPOINTS, act=act)
    assert told.error is None
    assert told.pool.begun == [("p1", False, True)]
    assert [one.tag for one, _ in told.exchange.skips] == ["p0", "p2"]


def test_after_a_failure_who_is_shut_stays_shut() -> None:
    """Else a storm of failures would go on at those that are known to fail."""

    def act(carried: Carried) -> None:
        carried.pool.shut = {"p0": "out", "p2": "spent"}

    told = carry(refusing(500), endpoints=ENDPOINTS, act=act)
    assert isinstance(told.error, GatewayError)
    assert told.error.kind == "provider_unavailable"
    assert [one.tag for one, _ in told.exchange.skips] == ["p0", "p2"]


def test_what_the_pool_is_told_of_failures() -> None:
    told = carry(refusing(500), refusing(429), HEALTHY, endpoints=ENDPOINTS)
    assert told.pool.begun == [("p0", False, False), ("p1", True, False), ("p2", True, False)]
    assert told.pool.outcomes == [
        ("p0", Outcome.FAILED),
        ("p1", Outcome.LIMITED),
        ("p2", Outcome.GOOD),
    ]


def test_the_callers_mistake_says_nothing_of_the_endpoint() -> None:
    told = carry(refusing(400), endpoints=ENDPOINTS)
    assert told.pool.outcomes == [("p0", Outcome.CALLER)]


# The growing hold.


def _covered(*, at_once: int, more: Sequence[int] = (), takes_s: float = 0.0) -> Any:
    """A hold of `at_once` tokens that may be grown to those of `more`, one after the other."""

    def act(carried: Carried) -> None:
        limits, asked = [at_once], iter(more)

        async def cover_more(tokens: int) -> bool:
            await asyncio.sleep(takes_s)
            limits.append(next(asked, limits[-1]))
            return limits[-1] > limits[-2]

        carried.exchange.cover = lambda tokens: tokens <= limits[-1]
        carried.exchange.cover_more = cover_more

    return act


WORDS: Script = [
    (0.1, HEAD),
    *((0.2 + n / 10, chunk("abcdef")) for n in range(8)),  # two tokens each, at most
    (1.1, chunk(finish="stop", usage=USAGE) + DONE),
    (1.2, END),
]


@pytest.mark.parametrize(
    ("at_once", "more", "words", "curtailed"),
    [
        (100, [], 8, False),
        (2, [4, 8, 100], 8, False),
        (2, [3, 100], 8, False),
        (16, [], 8, False),
        (6, [], 3, True),
        (2, [6], 3, True),
        (7, [], 3, True),
        (0, [], 0, True),
    ],
)
def test_an_answer_goes_as_far_as_it_is_paid_for(
    at_once: int, more: list[int], words: int, curtailed: bool
) -> None:
    told = carry(WORDS, endpoints=ENDPOINTS, act=_covered(at_once=at_once, more=more))
    assert told.error is None
    assert told.attempt is not None
    assert told.contents.count("abcdef") == words
    exchange = told.exchange
    assert (exchange.finish_reason == "length", exchange.said_bytes) == (curtailed, 6 * words)
    end = told.attempt.outlet.encode_end(BILL)
    if curtailed:
        assert told.cancelled == [pytest.approx(0.2 + words / 10)]
        assert (exchange.finish_reason, exchange.native_finish_reason) == ("length", None)
        assert end.count(b'"finish_reason":"length","native_finish_reason":null') == 2
    else:
        assert exchange.finish_reason == "stop"
    assert told.pool.outcomes == [("p0", Outcome.GOOD)]
    assert exchange.content_at is not None


def test_without_a_way_to_more_what_is_covered_is_all() -> None:
    def act(carried: Carried) -> None:
        carried.exchange.cover = lambda tokens: tokens <= 4

    told = carry(WORDS, endpoints=ENDPOINTS, act=act)
    assert told.contents.count("abcdef") == 2
    assert told.exchange.finish_reason == "length"


def test_what_came_while_more_was_asked_for_is_covered_or_dropped() -> None:
    told = carry(WORDS, endpoints=ENDPOINTS, act=_covered(at_once=3, more=[5], takes_s=0.25))
    assert told.contents.count("abcdef") == 2
    assert told.exchange.said_bytes == 12


def test_of_a_complete_answer_what_is_not_covered_is_cut_too() -> None:
    """Who reads slowly enough would else have it for nothing."""
    script: Script = [(0.1, HEAD), (0.2, b"".join(chunk("abcdef") for _ in range(8)) + DONE)]
    told = carry(script, endpoints=ENDPOINTS, act=_covered(at_once=6))
    assert told.contents.count("abcdef") == 3
    assert told.exchange.finish_reason == "length"


def test_an_answer_whose_provider_counts_more_is_not_cut_when_all_is_out() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 500}
    script: Script = [
        (0.1, HEAD),
        (0.2, chunk("a")),
        (0.3, chunk(finish="stop", usage=usage) + DONE),
        (0.4, END),
    ]
    told = carry(script, endpoints=ENDPOINTS, act=_covered(at_once=6))
    assert told.exchange.finish_reason == "stop"


def test_images_are_paid_for_where_the_provider_counts_more_than_was_said() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}
    drawn = chunk(choices=[{"index": 0, "delta": {"images": [image]}}])
    script: Script = [
        (0.1, HEAD),
        (0.2, chunk("abc")),
        (0.3, chunk("", usage={"prompt_tokens": 1, "completion_tokens": 3000})),
        (0.4, drawn),
        *((0.5 + n / 10, chunk("x" * 1000)) for n in range(9)),
        (1.5, chunk(finish="stop", usage=USAGE) + DONE),
        (1.6, END),
    ]
    told = carry(script, endpoints=ENDPOINTS, act=_covered(at_once=3500))
    assert told.contents.count("x" * 1000) == 7
    assert (told.exchange.said_bytes, told.exchange.finish_reason) == (7003, "length")


def test_every_open_choice_ends_by_its_length() -> None:
    def piece(index: int, text: str, finish: str | None = None) -> bytes:
        delta = {"content": text}
        return chunk(choices=[{"index": index, "delta": delta, "finish_reason": finish}])

    script: Script = [
        (0.1, HEAD),
        (0.2, piece(0, "abc", "stop") + piece(1, "abc")),
        (0.3, piece(1, "abcdef")),
    ]
    told = carry(script, endpoints=ENDPOINTS, choices=3, act=_covered(at_once=2))
    assert told.attempt is not None
    reasons = [
        (choice["index"], choice["finish_reason"])
        for choice in orjson.loads(
            told.attempt.outlet.encode_end(BILL).split(b"\n\n")[-3].removeprefix(b"data: ")
        )["choices"]
    ]
    assert reasons == [(0, "stop"), (1, "length"), (2, "length")]


def test_a_hang_up_while_more_is_asked_for() -> None:
    def act(carried: Carried) -> None:
        _covered(at_once=1, more=[100], takes_s=2.0)(carried)
        carried.client.later(1.0, carried.client.hang_up)

    told = carry(WORDS, endpoints=[served(stops=True)], act=act)
    assert isinstance(told.error, CallerGone)
    assert told.cancelled == [1.0]


# Hanging up: who is told at once, and who is heard out.


class Gone(NamedTuple):
    """A hang-up: when, from what kind of endpoint, and whether it is heard out."""

    at: float
    stream: bool = True
    stops: bool = False
    price: str | None = "0.001"
    drained: bool = False


GONE = {
    "before content": Gone(0.15),
    "in a stream": Gone(0.5, drained=True),
    "in a stream that may be stopped": Gone(0.5, stops=True),
    "in a stream that is free": Gone(0.5, price="0"),
    "in a stream without a price": Gone(0.5, price=None),
    "in a whole answer": Gone(0.5, stream=False, drained=True),
    "before the head of one": Gone(0.05, stream=False, drained=True),
    "in one that may be stopped": Gone(0.5, stream=False, stops=True),
}


@pytest.mark.parametrize("gone", GONE.values(), ids=GONE)
def test_who_is_heard_out(gone: Gone) -> None:
    script: Script = [(0.1, JSON_HEAD), (2.0, whole()), (2.1, END)]
    endpoint = served(stops=gone.stops, price=gone.price)
    told = carry(
        [*WORDS[:-2], (2.0, WORDS[-2][1]), (2.1, END)] if gone.stream else script,
        endpoints=[endpoint],
        stream=gone.stream,
        act=lambda carried: carried.client.later(gone.at, carried.client.hang_up),
    )
    assert isinstance(told.error, CallerGone)
    assert told.drained == gone.drained
    if gone.drained:
        assert told.settled_at[0] == pytest.approx(2.0 if gone.stream else 2.1)
        assert told.exchange.usage is not None
        assert told.exchange.usage.completion_tokens == USAGE["completion_tokens"]
        assert told.cancelled == [None]
    else:
        assert told.settled_at == told.cancelled == [gone.at]
    assert told.pool.outcomes == [("p0", Outcome.ABANDONED)]
    assert told.exchange.endpoint is endpoint


@ONLY_SEND
def test_a_caller_that_stalls_has_hung_up() -> None:
    def act(carried: Carried) -> None:
        async def stall(message: Any) -> None:
            if b"abcdef" in message.get("body", b""):
                await asyncio.sleep(30)
                raise CallerGone

        carried.client.caller._send = stall

    words = "word " * 5000
    script: Script = [
        (0.1, HEAD),
        (0.2, chunk("abcdef")),
        *((0.3 + n / 10, chunk(words)) for n in range(6)),
        (31, chunk(finish="stop", usage=USAGE) + DONE),
    ]
    told = carry(script, endpoints=ENDPOINTS, act=act)
    assert told.drained
    (call,) = told.providers.calls
    assert call.paused == [pytest.approx(0.5)]
    assert call.resumed == [pytest.approx(30.2)]
    assert told.settled_at == [pytest.approx(31)]


@ONLY_SEND
def test_a_complete_answer_is_not_drained() -> None:
    def act(carried: Carried) -> None:
        async def gone(message: Any) -> None:
            raise CallerGone

        carried.client.caller._send = gone

    told = carry(HEALTHY, endpoints=ENDPOINTS, act=act)
    assert isinstance(told.error, CallerGone)
    assert not told.drained
    assert told.exchange.usage is not None
    assert told.pool.outcomes == [("p0", Outcome.GOOD)]
