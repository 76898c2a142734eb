"""From provider to caller: who is asked, with which key, and what the caller hears of failures."""

import orjson
import pytest

from proxy.dialects import INBOUND
from proxy.errors import GatewayError
from proxy.pipeline.exchange import Exchange
from proxy.pipeline.relay import Relay, stream_head
from proxy.wire.frames import PROCESSING
from proxy.wire.request import Ask
from tests.stage import (
    DONE,
    END,
    GOOD,
    HEAD,
    JSON,
    JSON_HEAD,
    Client,
    Headed,
    Providers,
    Script,
    Stage,
    asked,
    chunk,
    endpoint,
    model,
    play,
    snapshot,
    tell,
    whole,
)

HEALTHY: Script = [(0.1, HEAD), (0.2, GOOD), (0.3, END)]


def refusing(status: int, message: str = "no", **headers: str) -> Script:
    body = orjson.dumps({"error": {"message": message}})
    return [(0.1, Headed(status, {**JSON, **headers})), (0.1, body), (0.1, END)]


ONE = model("test/one", endpoint("p0"), endpoint("p1"))
TWO = model("test/two", endpoint("p2"))


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
    assert dict(stream_head("gen-1")) == {
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


def test_a_hang_up_before_the_first_attempt_is_harmless() -> None:
    async def story() -> None:
        exchange = Exchange(id="gen-1", created_at=1.0, started_at=1.0, snapshot=snapshot())
        exchange.ask = Ask(models=("m",), body={})
        Relay(
            exchange,
            Client().caller,
            INBOUND["chat"],
            transport=Providers(),
            headers={},
            on_try=lambda note: None,
        ).hang_up()

    play(story())


def test_hanging_up_before_anything_was_asked() -> None:
    _, stage = tell([], models=[ONE], act=lambda client, stage: client.hang_up())
    # The watch has its turn only once something is waited for, so one call may have begun.
    assert all(played.cancelled_at == 0 for played in stage.providers.calls)
    assert stage.row.cancelled


def test_stopping_before_the_head_has_a_status() -> None:
    client, stage = tell(
        [], models=[ONE], act=lambda client, stage: client.later(0.5, stage.flow.stop)
    )
    assert (client.status, client.ended_at) == (503, 0.5)
    assert stage.row.error == "draining"
