"""What only our own transport promises: its bounds, its sweep, and a send that does not wait."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from proxy.errors import GatewayError
from proxy.upstream import client as module
from proxy.upstream import origin
from proxy.upstream.client import Client
from proxy.upstream.origin import Origin
from tests.running import eventually
from tests.upstream.hostile import CHUNKED, OK, Connection, Told, ask, call, server


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    made = Client()
    yield made
    assert made.open_calls == 0
    await made.close()


async def answers(connection: Connection) -> None:
    while True:
        await connection.hear()
        connection.say(OK + b"Content-Length: 2\r\n\r\nok")


def origin_of(client: Client) -> Origin:
    (only,) = client._origins.values()
    return only


async def test_a_send_on_a_kept_connection_makes_no_task(client: Client) -> None:
    async with server(answers) as url:
        await ask(client, url)
        before = asyncio.all_tasks()
        told = Told()
        client.send(call(url), told)
        assert asyncio.all_tasks() == before
        assert origin_of(client).idle == []
        await told.end_of_it()
        assert len(origin_of(client).idle) == 1
        await client.close()


async def test_a_call_may_follow_from_within_the_end_of_another(client: Client) -> None:
    last = Told()

    class First(Told):
        def end(self, error: GatewayError | None) -> None:
            super().end(error)
            client.send(call(url), last)

    async with server(answers) as url:
        client.send(call(url), First())
        await last.end_of_it()
        assert last.body == b"ok"
        assert len(origin_of(client).open) == 1
        await client.close()


@pytest.mark.parametrize(
    "wrong",
    [
        call("ftp://acme.test/"),
        call("http://acme.test/a b"),
        call("http://acme.test/", X="a\r\nY: b"),
        call(f"http://{'a' * 64}.test/"),
        call("http://a..b.test/"),
    ],
)
async def test_what_can_not_be_sent_is_told_and_never_at_once(client: Client, wrong: Any) -> None:
    told = Told()
    client.send(wrong, told)
    assert told.calls == []
    await told.end_of_it()
    assert told.error is not None
    assert told.error.kind == "provider_unreachable"


async def test_what_was_cancelled_before_it_is_refused_is_told_nothing(client: Client) -> None:
    told = Told()
    client.send(call("ftp://acme.test/"), told).cancel()
    await asyncio.sleep(0)
    assert told.calls == []


async def test_a_connection_that_is_closed_at_once_is_none(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    connect = loop.create_connection

    async def closing(*arguments: Any, **options: Any) -> Any:
        transport, protocol = await connect(*arguments, **options)
        transport.close()
        return transport, protocol

    async with server(answers) as url:
        monkeypatch.setattr(loop, "create_connection", closing)
        told = await ask(client, url)
    assert told.error is not None
    assert told.error.kind == "provider_unreachable"


async def test_there_are_so_many_connections_and_no_more(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(origin, "CONNECTIONS_MAX", 1)
    go = asyncio.Event()

    async def handler(connection: Connection) -> None:
        await connection.hear()
        await go.wait()
        connection.say(OK + b"Content-Length: 2\r\n\r\nok")
        await connection.gone()

    async with server(handler) as url:
        first = Told()
        client.send(call(url), first)
        await eventually(lambda: origin_of(client).full)
        second = await ask(client, url)
        assert second.error is not None
        assert second.error.kind == "provider_unreachable"
        go.set()
        await first.end_of_it()
        await client.close()


async def test_only_so_many_connections_wait(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(origin, "IDLE_MAX", 1)
    async with server(answers) as url:
        both = Told(), Told()
        for told in both:
            client.send(call(url), told)
        for told in both:
            await told.end_of_it()
        assert len(origin_of(client).idle) == 1
        await eventually(lambda: len(origin_of(client).open) == 1)
        await client.close()


async def test_who_waits_too_long_is_hung_up(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SWEEP_S", 0.01)
    gone = asyncio.Event()

    async def handler(connection: Connection) -> None:
        await connection.hear()
        connection.say(OK + b"Content-Length: 2\r\n\r\nok")
        await connection.gone()
        gone.set()

    async with server(handler) as url:
        await ask(client, url)
        await asyncio.sleep(0.03)
        assert origin_of(client).idle
        assert client._sweeper is not None
        monkeypatch.setattr(module, "IDLE_S", 0.0)
        await asyncio.wait_for(gone.wait(), 20)
        assert not origin_of(client).open
        await eventually(lambda: client._sweeper is None)


async def test_connecting_may_take_longer_than_the_time_between_two_sweeps(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SWEEP_S", 0.01)
    connect = client._dialer.connect

    async def slowly(origin: Origin) -> Any:
        await asyncio.sleep(0.03)
        return await connect(origin)

    monkeypatch.setattr(client._dialer, "connect", slowly)

    async def handler(connection: Connection) -> None:
        await connection.hear()
        connection.say(OK + b"Content-Length: 2\r\n\r\nok")
        await connection.gone()

    async with server(handler) as url:
        await ask(client, url)
        swept = client._sweeper is not None
        await client.close()
    assert swept


async def test_a_waiting_connection_that_ends_is_not_used(client: Client) -> None:
    connections = 0

    async def handler(connection: Connection) -> None:
        nonlocal connections
        connections += 1
        await connection.hear()
        connection.say(OK + b"Content-Length: 2\r\n\r\nok")

    async with server(handler) as url:
        for number in (1, 2):
            assert (await ask(client, url)).body == b"ok"
            await eventually(lambda: not origin_of(client).open)
            assert connections == number


async def test_a_call_held_back_before_it_is_connected(client: Client) -> None:
    async def handler(connection: Connection) -> None:
        await connection.hear()
        connection.say(CHUNKED)
        connection.say_chunk(b"abc")
        connection.say(b"0\r\n\r\n")
        await connection.gone()

    async with server(handler) as url:
        told = Told()
        sent = client.send(call(url), told)
        sent.pause()
        await asyncio.sleep(0.05)
        assert told.calls == []
        sent.resume()
        await told.end_of_it()
        assert told.body == b"abc"
        sent.pause()
        sent.resume()
        sent.cancel()
        assert len(origin_of(client).idle) == 1
        await client.close()


async def test_a_call_cancelled_behind_its_answer_keeps_the_connection(client: Client) -> None:
    class Leaving(Told):
        def data(self, data: bytes) -> None:
            super().data(data)
            sent.cancel()

    async with server(answers) as url:
        told = Leaving()
        sent = client.send(call(url), told)
        await eventually(lambda: told.body == b"ok")
        assert told.calls == ["head", "data"]
        assert len(origin_of(client).idle) == 1
        await client.close()


async def test_a_bug_while_connecting_is_told(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def connect(_: object) -> None:
        raise KeyError("bug")

    monkeypatch.setattr(client, "connect", connect)
    told = await ask(client, "http://127.0.0.1:1/")
    assert told.error is not None
    assert told.error.kind == "internal"
    assert "internal error" in caplog.text


async def test_a_sink_that_fails_at_its_end_harms_nobody(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Told):
        def end(self, error: GatewayError | None) -> None:
            super().end(error)
            raise KeyError("bug")

    async with server(answers) as url:
        await ask(client, url)
        told = Failing()
        client.send(call(url), told)
        await told.end_of_it()
        assert (await ask(client, url)).body == b"ok"
        assert "internal error" in caplog.text
        await client.close()


async def test_few_urls_are_remembered(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "URLS_MAX", 2)
    async with server(answers) as url:
        for number in range(5):
            assert (await ask(client, f"{url}?{number}")).body == b"ok"
            assert len(client._openings) <= 2
        assert len(origin_of(client).open) == 1
        await client.close()
