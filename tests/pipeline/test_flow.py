"""The story of one request and every way it can end, each with exactly one row or none."""

import asyncio
import logging
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from proxy import dialects
from proxy.accounts.keys import fingerprint
from proxy.dialects import INBOUND, OUTBOUND, Bill, Inbound
from proxy.dialects.asking import Encoded
from proxy.dialects.chat.stream import Encoder
from proxy.dialects.reading import NoStream
from proxy.errors import CallerGone, GatewayError
from proxy.pipeline import till, where
from proxy.pipeline.exchange import TEXT_CHARS_MAX
from proxy.pipeline.settle import settle
from proxy.routing.catalogue import Endpoint, Model
from proxy.wire.events import Echo, Ended, Event, Finished, Produced, Text
from proxy.wire.request import Ask, Head
from tests.clock import play
from tests.stage import (
    END,
    GOOD,
    HEAD,
    JSON_HEAD,
    KEY,
    ONLY_SEND,
    SECRET,
    Client,
    Headed,
    Providers,
    Script,
    Stage,
    asked,
    chunk,
    endpoint,
    model,
    tell,
    whole,
)
from tests.stage import (
    way as way,
)

pytestmark = pytest.mark.usefixtures("way")

HEALTHY: Script = [(0.1, HEAD), (0.2, GOOD), (0.3, END)]
ONE = model("test/one", endpoint("p0"))


def test_a_good_stream() -> None:
    client, stage = tell(HEALTHY)
    assert client.status == 200
    assert client.text == "hello world"
    row = stage.row
    assert client.headers["x-generation-id"] == row.id == "gen-1750000000-0"
    assert (row.status, row.streamed, row.cancelled) == (200, True, False)
    assert row.cost_nano == 20_000_000
    (usage,) = [event["usage"] for event in client.events if "usage" in event]
    assert usage["cost"] == 0.02
    assert [note.error for note in stage.books.tries] == [None]


def test_a_good_whole_answer() -> None:
    script: Script = [(0.1, JSON_HEAD), (0.2, whole()), (0.3, END)]
    client, stage = tell(script, body=asked(stream=False))
    answer = orjson.loads(client.body)
    assert answer["id"] == client.headers["x-generation-id"] == stage.row.id
    assert answer["usage"]["cost"] == 0.02
    assert not stage.row.streamed


def test_a_stream_without_content_has_its_head_all_the_same() -> None:
    client, stage = tell([(0.1, HEAD), (0.2, chunk(finish="stop", usage={})), (0.3, END)])
    assert client.status == 200
    assert client.text == ""
    assert stage.row.finish_reason == "stop"


@ONLY_SEND
def test_the_row_is_kept_before_the_end_is_said() -> None:
    """Many clients stop reading at a finish reason, and ask for the generation at once."""
    order: list[str] = []

    def act(client: Client, stage: Stage) -> None:
        finished = stage.books.finished
        stage.books.finished = lambda row: (order.append("row"), finished(row))[1]  # type: ignore
        send = client.caller._send

        async def say(message: Any) -> None:
            order.append("end" if b"[DONE]" in message.get("body", b"") else "more")
            await send(message)

        client.caller._send = say

    tell(HEALTHY, act=act)
    assert order[-2:] == ["row", "end"]


# Who is refused before a provider is asked.


def _client(body: bytes = b"", **headers: str) -> Any:
    async def make() -> Client:
        return Client(body, {name.replace("_", "-"): value for name, value in headers.items()})

    return make()


def _meet(make: Any, *, keys: bool = False, draining: bool = False) -> tuple[Client, Stage]:
    async def story() -> tuple[Client, Stage]:
        client = await make
        stage = Stage(Providers(HEALTHY), ONE, key=KEY if keys else None)
        stage.flow.draining = draining
        await stage.ask(client)
        return client, stage

    return play(story())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer sk-or-v1-unknown"}, 401),
        ({"Authorization": f"Bearer sk-or-v1-{'0' * 64}"}, 401),
        ({"Authorization": f"Bearer {SECRET}", "x_api_key": "other"}, 400),
        ({"Authorization": f"Bearer {SECRET}"}, 200),
        ({"x_api_key": SECRET}, 200),
    ],
)
def test_who_may_ask(headers: dict[str, str], status: int) -> None:
    client, stage = _meet(_client(asked(), **headers), keys=True)
    assert client.status == status
    assert SECRET.encode() not in client.body
    assert len(stage.providers.calls) == len(stage.books.rows) == (1 if status == 200 else 0)
    if status == 200:
        assert stage.row.key_hash == fingerprint(SECRET)


def test_who_is_known_by_the_head_is_looked_up_anew() -> None:
    """What is kept of a head is no more than a fingerprint, and a key may be revoked meanwhile."""

    async def story() -> None:
        caller = (await _client(asked(), Authorization=f"Bearer {SECRET}")).caller
        stage = Stage(Providers(HEALTHY), ONE, key=KEY)
        snapshot = stage.flow._snapshot()
        for _ in range(2):
            key = stage.flow.authenticate(snapshot, caller)
            assert key is not None
            assert key.hash == fingerprint(SECRET)
            caller.scope["headers"].clear()
        assert SECRET[9:] not in repr(caller.kept)
        stage.books._keys.clear()
        with pytest.raises(GatewayError, match="User not found"):
            stage.flow.authenticate(snapshot, caller)

    play(story())


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"\xff", 400),
        (b"[" * 50_000, 400),
        (b"{}", 400),
        (b" " * 100_001, 413),
        (asked("test/unknown"), 400),
        (asked(temperature="hot"), 400),
    ],
)
def test_what_is_no_request_reaches_nobody(body: bytes, status: int) -> None:
    client, stage = _meet(_client(body))
    assert client.status == status
    assert client.error["code"] == status
    assert client.headers["content-type"] == "application/json"
    assert "x-generation-id" not in client.headers
    assert (stage.providers.calls, stage.books.rows) == ([], [])
    assert len(stage.books.refusals) == 1


def test_a_model_nobody_serves() -> None:
    async def story() -> tuple[Client, Stage]:
        stage = Stage(Providers(), model("test/one"))
        return await stage.ask(Client(asked())), stage

    client, stage = play(story())
    assert client.status in (400, 503)
    assert stage.books.rows == []


def test_nothing_new_begins_in_a_drain() -> None:
    client, stage = _meet(_client(asked()), draining=True)
    assert (client.status, client.headers["retry-after"]) == (503, "1")
    assert stage.books.rows == []


@ONLY_SEND
def test_a_caller_that_leaves_within_its_body_leaves_no_row() -> None:
    async def story() -> tuple[Client, Stage]:
        stage = Stage(Providers(), ONE)
        client = Client()
        client._pending.get_nowait()
        client.hang_up()
        return await stage.ask(client), stage

    client, stage = play(story())
    assert (client.said, stage.books.rows) == ([], [])


# What callers say about themselves.


def test_what_callers_say_about_themselves_is_kept_and_cut() -> None:
    headers = {
        "HTTP_Referer": "https://app.test/",
        "X_Title": "App",
        "User_Agent": "a" * 1000,
        "X_Session_Id": "s-1",
    }
    _, stage = _meet(_client(asked(), **headers))
    row = stage.row
    assert (row.http_referer, row.title, row.session_id) == ("https://app.test/", "App", "s-1")
    assert row.user_agent == "a" * TEXT_CHARS_MAX


def test_the_newer_names_come_first() -> None:
    headers = {
        "Referer": "https://old.test/",
        "X_Title": "Old",
        "X_OpenRouter_Title": "New",
    }
    _, stage = _meet(_client(asked(), **headers))
    assert (stage.row.http_referer, stage.row.title) == ("https://old.test/", "New")


# What goes wrong inside.


def test_a_bug_is_logged_and_answered(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("secret prompt")

    monkeypatch.setattr(where, "plan", broken)
    client, stage = tell()
    assert client.status == 500
    assert client.error["message"] == "Internal Server Error"
    assert "KeyError" in caplog.text
    assert stage.books.rows == []


def test_a_bug_after_the_head_is_the_last_event(monkeypatch: pytest.MonkeyPatch) -> None:
    def act(client: Client, stage: Stage) -> None:
        client.later(0.25, lambda: monkeypatch.setattr(till, "settle", _failing_once()))

    script: Script = [(0.1, HEAD), (0.2, chunk("hel")), (0.3, GOOD), (0.4, END)]
    client, stage = tell(script, act=act)
    assert client.error["code"] == 500
    assert (stage.row.status, stage.row.error) == (500, "internal")


def _failing_once() -> Any:
    """`settle`, which fails the first time before it does anything."""
    failed = False

    def act(*arguments: Any, **named: Any) -> Any:
        nonlocal failed
        if not failed:
            failed = True
            raise KeyError("bug")
        return settle(*arguments, **named)

    return act


def test_a_request_that_is_cancelled_is_settled() -> None:
    """Weir's own start cancels what does not end."""

    async def story() -> Stage:
        stage = Stage(Providers([(0.1, HEAD), (0.2, chunk("hello"))]), ONE)
        client = Client(asked())
        task = asyncio.create_task(stage.ask(client))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert stage.books.rows == []  # its provider bills on, and is heard out
        await stage.close()
        assert stage.providers.calls[0].cancelled_at == 1
        assert len(asyncio.all_tasks()) == 1
        return stage

    row = play(story()).row
    assert (row.cancelled, row.status, row.usage_estimated) == (True, 499, True)


@ONLY_SEND
def test_a_caller_that_leaves_before_it_hears_of_an_error() -> None:
    def act(client: Client, stage: Stage) -> None:
        async def gone(message: Any) -> None:
            raise CallerGone

        client.caller._send = gone

    _, stage = tell([(0.1, GatewayError("provider_cut", "no"))], act=act)
    assert (stage.row.cancelled, stage.row.error, stage.row.status) == (True, "provider_cut", 502)


def test_an_end_that_nobody_hears_is_paid_for() -> None:
    """The answer was settled as it was: complete. It is not settled again."""

    def act(client: Client, stage: Stage) -> None:
        send = client.caller._send

        async def gone_at_the_end(message: Any) -> None:
            if b"[DONE]" in message.get("body", b""):
                raise CallerGone
            await send(message)

        client.caller._send = gone_at_the_end

    _, stage = tell(HEALTHY, act=act)
    assert (stage.row.cancelled, stage.row.status, stage.row.cost_nano) == (False, 200, 20_000_000)


@ONLY_SEND
def test_a_server_that_fails_at_the_end_gets_no_second_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    said: list[Any] = []

    def act(client: Client, stage: Stage) -> None:
        async def failing(message: Any) -> None:
            said.append(message)
            if not message.get("more_body", True) or b"[DONE]" in message.get("body", b""):
                raise RuntimeError

        client.caller._send = failing

    _, stage = tell(HEALTHY, act=act)
    assert sum(b"[DONE]" in message.get("body", b"") for message in said) == 1
    assert len(stage.books.rows) == 1


# The log.


def test_neither_the_log_nor_the_row_has_the_prompt(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        _, stage = _meet(
            _client(asked(user="someone"), Authorization=f"Bearer {SECRET}"), keys=True
        )
    kept = str(stage.row) + caplog.text
    assert stage.row.key_hash == KEY.hash
    assert "hello" not in kept
    assert SECRET not in kept


def test_many_at_once_are_all_stopped() -> None:
    async def story() -> list[int]:
        stage = Stage(Providers(*([[]] * 20)), ONE)
        clients = [Client(asked()) for _ in range(20)]
        tasks = [asyncio.create_task(stage.ask(client)) for client in clients]
        await asyncio.sleep(0.5)
        stage.flow.stop()
        await asyncio.gather(*tasks)
        assert len(stage.books.rows) == 20
        return [client.status for client in clients]

    assert play(story()) == [503] * 20


# Money: what is held before, charged at the end, and durable before the end is seen.

MUCH = 10**12
HELD_NANO = 1_000_000 * len(asked(max_tokens=100)) + 100 * 2_000_000
NOT_CANCELLED = endpoint("p0")
CANCELLED = replace(
    NOT_CANCELLED, provider=replace(NOT_CANCELLED.provider, cancel_stops_billing=True)
)


def _balanced(stage: Stage, charged_nano: int, *, granted_nano: int = MUCH) -> None:
    balance = stage.vault.balance("default")
    assert balance.charged_nano == charged_nano
    assert balance.available_nano == granted_nano - charged_nano
    assert stage.treasury.held_nano == 0
    assert not stage.vault.overdrawn


def test_a_charge_is_taken_and_told() -> None:
    client, stage = tell(HEALTHY, body=asked(max_tokens=100), credit_nano=MUCH, key=KEY)
    assert client.events[-1]["usage"]["cost"] == 0.02
    assert stage.row.held_nano == HELD_NANO
    _balanced(stage, 20_000_000)


@pytest.mark.parametrize("credit", [HELD_NANO - 1, 0])
def test_without_the_credit_nobody_is_asked(credit: int) -> None:
    client, stage = tell(HEALTHY, body=asked(max_tokens=100), credit_nano=credit, key=KEY)
    assert (client.status, client.error["code"]) == (402, 402)
    assert client.error["metadata"]["error_type"] == "payment_required"
    assert "x-generation-id" not in client.headers
    assert (stage.providers.calls, stage.books.rows) == ([], [])
    assert stage.books.refusals == ["credits_short"]
    _balanced(stage, 0, granted_nano=credit)


def test_a_model_without_a_price_is_not_sold() -> None:
    one = model("test/one", replace(endpoint(), pricing=None))
    client, stage = tell(HEALTHY, models=[one], credit_nano=MUCH, key=KEY)
    assert (client.status, stage.books.refusals) == (402, ["no_price"])
    client, stage = tell(HEALTHY, models=[one])
    assert client.status == 200
    assert stage.row.cost_nano is None


def test_a_management_key_asks_for_no_answer() -> None:
    client, stage = tell(HEALTHY, key=replace(KEY, management=True))
    assert (client.status, stage.books.refusals) == (403, ["management_key"])


def test_the_end_is_not_seen_before_the_charge_is_durable() -> None:
    def act(client: Client, stage: Stage) -> None:
        stage.books.durable_s = 2.0

    at_once: Script = [(0.1, JSON_HEAD), (0.2, whole()), (0.2, END)]
    for stream, script in ((True, HEALTHY), (False, at_once)):
        body = asked(max_tokens=100, stream=stream)
        client, stage = tell(script, body=body, act=act, credit_nano=MUCH, key=KEY)
        assert client.ended_at == pytest.approx(2.2, abs=0.01)
        assert client.times_of(b'finish_reason":"stop') == [client.ended_at]
        _balanced(stage, 20_000_000)


def test_a_charge_that_can_not_be_written_is_told_and_taken_later() -> None:
    def act(client: Client, stage: Stage) -> None:
        stage.books.durable_s = 9.0

    client, stage = tell(HEALTHY, body=asked(max_tokens=100), act=act, credit_nano=MUCH, key=KEY)
    assert client.ended_at == pytest.approx(5.2, abs=0.01)
    assert client.error["code"] == 503
    assert b"stop" not in client.body
    _balanced(stage, 20_000_000)


def test_an_answer_ends_where_the_credit_does() -> None:
    start = 1_000_000 * len(asked()) + 512 * 2_000_000
    words = chunk("x" * 300)  # a hundred tokens at most
    script: Script = [(0.1, HEAD), *((0.2 + number / 10, words) for number in range(50))]
    client, stage = tell(script, body=asked(), credit_nano=start + 100_000_000, key=KEY)
    assert client.events[-1]["choices"][0]["finish_reason"] == "length"
    assert len(client.text) % 300 == 0
    assert client.text
    row = stage.row
    assert (row.status, row.error, row.finish_reason) == (200, None, "length")
    assert row.usage_estimated
    assert stage.providers.calls[0].cancelled_at is not None
    assert row.cost_nano is not None
    assert row.cost_nano == client.events[-1]["usage"]["cost"] * 1e9 > 0
    _balanced(stage, row.cost_nano, granted_nano=start + 100_000_000)


def test_a_long_answer_is_paid_for_as_it_comes() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 1200}
    words = chunk("x" * 300)
    script: Script = [
        (0.1, HEAD),
        *((0.2 + number / 10, words) for number in range(50)),
        (9.0, chunk(finish="stop") + chunk(choices=[], usage=usage)),
        (9.1, END),
    ]
    client, stage = tell(script, body=asked(), credit_nano=10**13, key=KEY)
    assert client.events[-1]["choices"][0]["finish_reason"] == "stop"
    assert stage.row.held_nano > 1_000_000 * len(asked()) + 4 * 512 * 2_000_000
    _balanced(stage, 2_410_000_000, granted_nano=10**13)
    assert [note.generation.recovered for note in stage.books.notes] == [True] * 9
    costs = [note.charge_nano for note in stage.books.notes]
    assert costs == sorted(costs)
    assert {note.generation.id for note in stage.books.notes} == {stage.row.id}


HEARD: Script = [(0.1, HEAD), (0.2, chunk("hello ")), (2.0, GOOD), (2.1, END)]


@pytest.mark.parametrize(
    ("one", "at", "charged", "estimated"),
    [
        pytest.param(CANCELLED, 0.15, 0, False, id="before content"),
        pytest.param(NOT_CANCELLED, 0.15, 0, False, id="before content, billed on"),
        pytest.param(CANCELLED, 1.0, 10_000_000, True, id="what was delivered"),
        pytest.param(NOT_CANCELLED, 1.0, 20_000_000, False, id="what the provider counts"),
    ],
)
def test_who_pays_for_a_hang_up(one: Endpoint, at: float, charged: int, estimated: bool) -> None:
    async def story() -> Stage:
        stage = await Stage(
            Providers(HEARD), model("test/one", one), credit_nano=MUCH, key=KEY
        ).open()
        client = Client(asked(max_tokens=100), {"Authorization": f"Bearer {SECRET}"})
        client.later(at, client.hang_up)
        await stage.ask(client)
        assert client.now == at
        await asyncio.sleep(5)
        await stage.close()
        return stage

    stage = play(story())
    row = stage.row
    assert (row.status, row.cancelled, row.usage_estimated) == (499, True, estimated)
    assert row.cost_nano == charged
    _balanced(stage, charged)


def test_a_drain_that_the_end_cuts_short_is_estimated() -> None:
    async def story() -> Stage:
        stage = await Stage(Providers(HEARD), ONE, credit_nano=MUCH, key=KEY).open()
        client = Client(asked(max_tokens=100), {"Authorization": f"Bearer {SECRET}"})
        client.later(1.0, client.hang_up)
        await stage.ask(client)
        assert stage.books.rows == []
        await stage.close()
        return stage

    stage = play(story())
    assert stage.row.usage_estimated
    _balanced(stage, 10_000_000)


@pytest.mark.parametrize("step", range(1, 60))
def test_a_request_that_is_cancelled_anywhere_leaves_nothing_held(step: int) -> None:
    async def story() -> Stage:
        stage = await Stage(Providers(HEALTHY), ONE, credit_nano=MUCH, key=KEY).open()
        client = Client(asked(max_tokens=100), {"Authorization": f"Bearer {SECRET}"})
        task = asyncio.create_task(stage.flow.serve(client.caller, INBOUND["chat"]))
        for _ in range(step):
            await asyncio.sleep(0 if step < 40 else 0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(40)
        await stage.close()
        return stage

    stage = play(story())
    assert stage.flow.under_way == 0
    assert len(stage.books.rows) <= 1
    charged = sum(row.cost_nano or 0 for row in stage.books.rows)
    _balanced(stage, charged)
    assert all(call.cancelled_at is not None for call in stage.providers.calls) or charged


# Formats of callers that are none of a conversation, or are told more than usual.

CHAT = INBOUND["chat"]


def _tell_in(dialect: Inbound, *scripts: Script, body: bytes = b"", one: Model = ONE) -> Any:
    """One request of a caller that speaks `dialect`."""

    async def story() -> tuple[Client, Stage]:
        stage = await Stage(Providers(*scripts), one, credit_nano=MUCH, key=KEY).open()
        client = Client(body or asked(), {"Authorization": f"Bearer {SECRET}"})
        await stage.flow.serve(client.caller, dialect)
        await stage.close()
        return client, stage

    return play(story())


def _asking(**changes: Any) -> Inbound:
    """Chat, of callers whose requests have these in them, too."""

    def decode(body: bytes, headers: Any) -> Ask:
        return replace(CHAT.decode_request(body, headers), **changes)

    return CHAT._replace(decode_request=decode)


CUT: Script = [(0.1, HEAD), (0.2, chunk("hel")), (0.3, GatewayError("provider_cut", "no"))]


def test_an_answer_that_has_no_words_for_an_error_is_broken_off() -> None:
    client, stage = _tell_in(CHAT._replace(breaks=True, waiting=b""), CUT)
    assert client.status == 200
    assert b"hel" in client.body
    assert client.ended_at is None, "it has no last piece"
    assert b"error" not in client.body
    assert (stage.row.status, stage.row.error) == (502, "provider_cut")
    _balanced(stage, 0)


def test_before_it_began_an_error_is_told_in_words_all_the_same() -> None:
    script: Script = [(0.1, GatewayError("provider_cut", "no"))]
    client, _ = _tell_in(CHAT._replace(breaks=True, waiting=b""), script)
    assert client.status == 502
    assert client.error["code"] == 502
    assert client.ended_at is not None


@pytest.mark.parametrize("at_s", [0.1, 3.0])
@pytest.mark.parametrize("stream", [True, False])
def test_an_error_that_is_none_to_a_format_ends_the_answer(stream: bool, at_s: float) -> None:
    """Whether its head is out or not, for the sake of the comments."""
    script: Script = [(at_s, GatewayError("provider_context_length", "too long"))]
    dialect = INBOUND["responses"]
    body = asked(input="hi", stream=stream)
    client, stage = _tell_in(dialect, script, body=body)
    assert client.status == 200
    assert (b"response.incomplete" in client.body) == stream
    assert b'"incomplete_details":{"reason":"max_output_tokens"}' in client.body
    assert b'"cost":0,' in client.body
    assert (stage.row.status, stage.row.error) == (400, "provider_context_length")
    _balanced(stage, 0)


def test_what_has_no_comments_is_silent_while_it_waits() -> None:
    script: Script = [(0.1, HEAD), (20.0, GOOD), (20.1, END)]
    client, _ = _tell_in(CHAT._replace(waiting=b""), script)
    assert client.said[0][0] == pytest.approx(20.0)
    assert not any(part.startswith(b":") for part in client.body.split(b"\n\n"))
    assert client.text == "hello world"


def test_an_error_is_told_by_the_encoder_of_the_answer_that_began() -> None:
    """Some formats can only end what they began."""
    told: list[tuple[Encoder, list[Event]]] = []

    class Remembering(Encoder):
        def encode(self, event: Event) -> bytes:
            told.append((self, [event]))
            return super().encode(event)

        def encode_failure(
            self, error: GatewayError, routing: dict[str, Any] | None = None
        ) -> bytes:
            assert [encoder for encoder, _ in told] == [self] * len(told)
            assert any(isinstance(event, Text) for _, [event] in told)
            return super().encode_failure(error, routing)

    client, _ = _tell_in(CHAT._replace(encoder=Remembering), CUT)
    assert client.error["code"] == 502
    assert told


@pytest.mark.parametrize("stream", [True, False])
def test_who_asks_for_it_is_told_of_the_routing(stream: bool) -> None:
    script: Script = [(0.1, HEAD), (0.2, GOOD), (0.3, END)]
    for wished in (True, False):
        client, _ = _tell_in(_asking(told=wished), script, body=asked(stream=stream))
        answer = client.events[-1] if stream else orjson.loads(client.body)
        assert ("openrouter_metadata" in answer) == wished


def test_of_a_failure_the_routing_is_told_too() -> None:
    script: Script = [(0.1, GatewayError("provider_cut", "no"))]
    client, _ = _tell_in(_asking(told=True), script)
    assert orjson.loads(client.body)["openrouter_metadata"]["attempt"] == 1


def test_who_debugs_is_shown_what_each_provider_was_sent() -> None:
    shown: list[Echo] = []

    class Showing(Encoder):
        def encode(self, event: Event) -> bytes:
            if isinstance(event, Echo):
                shown.append(event)
            return super().encode(event)

    failing: Script = [(0.1, GatewayError("provider_cut", "no"))]
    two = model("test/one", endpoint("p0"), endpoint("p1"))
    dialect = _asking(echo=True)._replace(encoder=Showing)
    client, _ = _tell_in(dialect, failing, HEALTHY, one=two)
    assert client.text == "hello world"
    assert [echo.body["model"] for echo in shown] == ["p0-model", "p1-model"]
    shown.clear()
    _tell_in(dialect._replace(decode_request=CHAT.decode_request), HEALTHY)
    assert shown == []


def _counting() -> Inbound:
    def encode_answer(events: Any, head: Head, ask: Ask, bill: Bill) -> Encoded:
        (value,) = [event.value for event in events if isinstance(event, Produced)]
        return Encoded(orjson.dumps(value))

    return _asking(task="count", stream=False)._replace(encode_answer=encode_answer)


@pytest.mark.parametrize("url", [None, "https://pictures.test/a.png"])
def test_a_prompt_that_nobody_counts_is_estimated_and_costs_nothing(
    url: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is asked, nobody failed, and nothing is fetched for it."""
    picture = {"type": "image_url", "image_url": {"url": url}}
    said = {"messages": [{"role": "user", "content": [picture] if url else "hello"}]}
    shown = _asking(task="count", stream=False, body=said, media_prompt=int(url is not None))
    with caplog.at_level(logging.INFO):
        client, stage = _tell_in(shown._replace(encode_answer=_counting().encode_answer))
    assert not any(record.levelno > logging.INFO for record in caplog.records)
    assert stage.books.tries == []
    assert client.status == 200
    assert client.headers["content-type"] == "application/json"
    said = orjson.loads(client.body)
    assert said["estimated"] is True
    assert said["input_tokens"] > 0
    assert stage.providers.calls == []
    assert stage.books.rows == []
    _balanced(stage, 0)


@pytest.mark.parametrize(
    ("script", "counted"),
    [
        ([(0.1, JSON_HEAD), (0.2, b'{"input_tokens":7}'), (0.3, END)], {"input_tokens": 7}),
        ([(0.1, GatewayError("provider_cut", "no"))], None),
        ([(0.1, Headed(500, {})), (0.2, b"{}"), (0.3, END)], None),
        ([(0.1, Headed(429, {})), (0.2, b"{}"), (0.3, END)], None),
    ],
)
def test_a_prompt_is_counted_by_its_provider_or_estimated(
    monkeypatch: pytest.MonkeyPatch, script: Script, counted: dict[str, int] | None
) -> None:
    _teach_to_count(monkeypatch)
    client, stage = _tell_in(_counting(), script)
    assert client.status == 200
    said = orjson.loads(client.body)
    assert said == counted or (counted is None and said["estimated"] and said["input_tokens"] > 0)
    assert len(stage.providers.calls) == 1
    assert stage.books.rows == []
    _balanced(stage, 0)


def test_a_prompt_that_its_provider_refuses_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    _teach_to_count(monkeypatch)
    refusal: Script = [(0.1, Headed(400, {})), (0.2, b'{"error":{"message":"bad"}}'), (0.3, END)]
    client, stage = _tell_in(_counting(), refusal)
    assert (client.status, client.error["code"]) == (400, 400)
    assert stage.books.rows == []
    _balanced(stage, 0)


def _teach_to_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives dialect `openai` a way to count prompts."""

    def decode_answer(body: bytes, quirks: Any) -> list[Event]:
        return [Produced(0, orjson.loads(body)), Finished(0, "stop", None), Ended()]

    row = OUTBOUND["openai"]._replace(decoder=NoStream, decode_answer=decode_answer)
    monkeypatch.setattr(dialects, "TASKS", {("openai", "count"): row})
