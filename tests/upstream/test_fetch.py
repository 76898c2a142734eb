"""One whole answer: its limits, and that nothing of the call is left."""

import asyncio
from collections.abc import Callable

import pytest

from proxy.errors import GatewayError
from proxy.upstream import fetch as module
from proxy.upstream.fetch import fetch
from proxy.upstream.transport import Call, Sink

CALL = Call("http://provider.test/v1/models", {}, None, 1.0)


class Scripted:
    """A transport that does to a sink what it is told, in the next turn of the loop."""

    def __init__(self, act: Callable[[Sink], None]) -> None:
        self._act = act
        self.cancelled = 0
        self.call: Call | None = None

    def send(self, call: Call, sink: Sink) -> "Scripted":
        self.call = call
        asyncio.get_running_loop().call_soon(self._act, sink)
        return self

    def pause(self) -> None:
        raise AssertionError("nobody holds it back")

    def resume(self) -> None:
        raise AssertionError("nobody held it back")

    def cancel(self) -> None:
        self.cancelled += 1

    async def close(self) -> None:
        """Nothing is open."""


def _whole(sink: Sink) -> None:
    sink.head(203, {})
    sink.data(b"one ")
    sink.data(b"two")
    sink.end(None)


async def test_status_and_body() -> None:
    transport = Scripted(_whole)
    assert await fetch(transport, CALL, timeout_s=1) == (203, b"one two")
    assert transport.call == CALL
    assert transport.cancelled == 1


async def test_the_transports_error_is_passed_on() -> None:
    error = GatewayError("provider_cut", "no")

    def act(sink: Sink) -> None:
        sink.head(200, {})
        sink.data(b"half")
        sink.end(error)

    transport = Scripted(act)
    with pytest.raises(GatewayError) as caught:
        await fetch(transport, CALL, timeout_s=1)
    assert caught.value is error
    assert transport.cancelled == 1


async def test_it_waits_no_longer_than_it_may() -> None:
    transport = Scripted(lambda sink: sink.head(200, {}))
    with pytest.raises(GatewayError) as caught:
        await fetch(transport, CALL, timeout_s=0.01)
    assert caught.value.kind == "provider_timeout"
    assert transport.cancelled == 1


async def test_it_takes_no_more_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FETCH_BYTES_MAX", 10)

    def act(sink: Sink) -> None:
        sink.head(200, {})
        for _ in range(5):  # more may be on its way when it is cancelled
            sink.data(b"12345")
        sink.end(None)

    transport = Scripted(act)
    with pytest.raises(GatewayError) as caught:
        await fetch(transport, CALL, timeout_s=1)
    assert caught.value.kind == "provider_malformed"
    assert transport.cancelled == 1


async def test_just_as_much_as_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FETCH_BYTES_MAX", 7)
    assert await fetch(Scripted(_whole), CALL, timeout_s=1) == (203, b"one two")


async def test_who_stops_waiting_hangs_up() -> None:
    transport = Scripted(lambda sink: None)
    waiting = asyncio.create_task(fetch(transport, CALL, timeout_s=60))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert transport.cancelled == 1
