"""The story of one request and every way it can end, each with exactly one row or none."""

import asyncio
import logging
from typing import Any

import orjson
import pytest

from proxy.accounts.keys import fingerprint, mint
from proxy.errors import CallerGone, GatewayError
from proxy.pipeline import flow as module
from proxy.pipeline.flow import TEXT_CHARS_MAX
from proxy.pipeline.settle import settle
from tests.stage import (
    END,
    GOOD,
    HEAD,
    JSON_HEAD,
    WALL,
    Client,
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
ONE = model("test/one", endpoint("p0"))
SECRET, KEY = mint("test", token_hex=lambda size: "ab" * size, now=WALL)


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
        stage = Stage(Providers(HEALTHY), shown=snapshot(ONE)._replace(anonymous=not keys))
        stage.books._keys[KEY.hash] = KEY
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
    def broken(*_: object) -> None:
        raise KeyError("secret prompt")

    monkeypatch.setattr(module, "plan", broken)
    client, stage = tell()
    assert client.status == 500
    assert client.error["message"] == "Internal Server Error"
    assert "KeyError" in caplog.text
    assert stage.books.rows == []


def test_a_bug_after_the_head_is_the_last_event(monkeypatch: pytest.MonkeyPatch) -> None:
    def act(client: Client, stage: Stage) -> None:
        client.later(0.25, lambda: monkeypatch.setattr(module, "settle", _failing_once()))

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
        assert stage.providers.calls[0].cancelled_at == 1
        assert len(asyncio.all_tasks()) == 1
        return stage

    row = play(story()).row
    assert (row.cancelled, row.status) == (True, 499)


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


def test_the_log_has_one_line_and_no_prompt(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        _, stage = _meet(
            _client(asked(user="someone"), Authorization=f"Bearer {SECRET}"), keys=True
        )
    (record,) = [record for record in caplog.records if record.message == "request"]
    line: Any = vars(record)
    assert line["generation"] == stage.row.id
    assert line["key"] == KEY.label
    assert (line["status"], line["attempts"], line["cost_nano"]) == (200, 1, 20_000_000)
    assert "hello" not in str(line)
    assert SECRET not in str(line)


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
