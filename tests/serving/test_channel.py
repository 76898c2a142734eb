"""Two ends of a channel: questions, notices, floods, faults and the death of the peer."""

import asyncio
import contextlib
import gc
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from proxy.serving import channel as module
from proxy.serving.channel import Channel, Handler, Refused
from tests.running import eventually

WITHIN_S = 20.0

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@contextlib.asynccontextmanager
async def pair(
    here: dict[str, Handler] | None = None, there: dict[str, Handler] | None = None
) -> AsyncIterator[tuple[Channel, Channel]]:
    ends = socket.socketpair()
    one = await Channel.open(ends[0], here or {})
    other = await Channel.open(ends[1], there or {})
    try:
        yield one, other
    finally:
        await one.close()
        await other.close()


@contextlib.asynccontextmanager
async def raw(handlers: dict[str, Handler] | None = None) -> AsyncIterator[tuple[Channel, Any]]:
    """A channel, and its peer as the loop's plain calls on a socket."""
    end, sock = socket.socketpair()
    sock.setblocking(False)
    channel = await Channel.open(end, handlers or {})
    with sock:
        yield channel, sock
    await channel.close()


async def soon(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


async def test_both_sides_ask_and_answer() -> None:
    async with pair({"double": lambda n: 2 * n}, {"later": soon}) as (one, other):
        assert await other.request("double", 21, timeout_s=WITHIN_S) == 42
        assert await one.request("later", {"a": [1, None, b"x"]}, timeout_s=WITHIN_S) == {
            "a": [1, None, b"x"]
        }


@given(st.lists(plain, max_size=5))
def test_payloads_come_back_as_they_went(payloads: list[Any]) -> None:
    async def story() -> None:
        async with pair(there={"echo": soon}) as (one, _):
            asked = (one.request("echo", payload, timeout_s=WITHIN_S) for payload in payloads)
            assert await asyncio.gather(*asked) == payloads

    asyncio.run(story())


@pytest.mark.parametrize("loop_factory", [None, uvloop.new_event_loop])
def test_big_payloads_and_many_at_once(loop_factory: Any) -> None:
    big = b"x" * (8 * 1024 * 1024)

    async def story() -> None:
        async with pair({"echo": soon}, {"echo": lambda payload: payload}) as (one, other):
            asked = [end.request("echo", big, timeout_s=30) for end in (one, other) for _ in "123"]
            asked += [one.request("echo", number, timeout_s=30) for number in range(1000)]
            answers = await asyncio.gather(*asked)
            assert answers[:6] == [big] * 6
            assert answers[6:] == list(range(1000))

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(story())


async def test_notices_come_in_order_and_are_not_answered() -> None:
    heard: list[int] = []
    async with pair(there={"count": heard.append}) as (one, _):
        for number in range(100):
            one.notify("count", number)
        one.notify("nobody knows this")
        await eventually(lambda: len(heard) == 100)
        assert heard == list(range(100))


async def test_handlers_may_come_later() -> None:
    async with pair() as (one, other):
        with pytest.raises(Refused, match="nothing is called 'new'"):
            await one.request("new", timeout_s=WITHIN_S)
        other.handlers["new"] = lambda _: "here"
        assert await one.request("new", timeout_s=WITHIN_S) == "here"


def fail(_: Any) -> None:
    raise ValueError("no such thing")


async def fail_later(_: Any) -> None:
    raise ValueError("no such thing")


@pytest.mark.parametrize("handler", [fail, fail_later, lambda _: object()])
async def test_a_handler_that_fails_fails_its_request_alone(
    handler: Handler, caplog: pytest.LogCaptureFixture
) -> None:
    async with pair(there={"fail": handler, "well": lambda _: 1}) as (one, _):
        with pytest.raises(Refused, match=r"fail: (ValueError: no such thing|TypeError)"):
            await one.request("fail", timeout_s=WITHIN_S)
        one.notify("fail")
        assert await one.request("well", timeout_s=WITHIN_S) == 1
        await eventually(lambda: len(caplog.records) in (1, 2))


async def test_what_can_not_be_sent_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with pair(there={"echo": soon}) as (one, _):
        with pytest.raises(TypeError):
            await one.request("echo", object(), timeout_s=WITHIN_S)
        with monkeypatch.context() as patched:
            patched.setattr(module, "FRAME_BYTES_MAX", 10)
            with pytest.raises(ValueError, match="too many"):
                one.notify("echo", "x" * 20)
        assert await one.request("echo", 1, timeout_s=WITHIN_S) == 1


async def test_a_late_answer_is_nobodys() -> None:
    go = asyncio.Event()
    late: list[asyncio.Task[None]] = []

    async def wait(payload: Any) -> Any:
        late.append(asyncio.current_task())  # type: ignore[arg-type]
        await go.wait()
        return payload

    async with pair(there={"wait": wait, "echo": soon}) as (one, _):
        with pytest.raises(TimeoutError):
            await one.request("wait", 1, timeout_s=0.01)
        task = asyncio.create_task(one.request("wait", 2, timeout_s=WITHIN_S))
        await eventually(lambda: len(late) == 2)
        task.cancel()
        go.set()
        assert await one.request("echo", 3, timeout_s=WITHIN_S) == 3
        assert one._asked == {}
        assert task.cancelled()


async def test_an_answer_may_cross_with_a_cancellation() -> None:
    async with raw() as (channel, sock):
        asked = [asyncio.create_task(channel.request("x", timeout_s=WITHIN_S)) for _ in range(2)]
        await asyncio.sleep(0)
        for task in asked:
            task.cancel()
        channel.data_received(frame([1]))
        sock.close()
        channel.connection_lost(None)
        assert [type(one) for one in await asyncio.gather(*asked, return_exceptions=True)] == [
            asyncio.CancelledError
        ] * 2


# The peer's death.


async def test_pending_questions_fail_when_the_peer_dies() -> None:
    async with raw() as (channel, sock):
        asked = [asyncio.create_task(channel.request("x", timeout_s=WITHIN_S)) for _ in range(3)]
        # One more waits until there is room to write.
        asked.append(asyncio.create_task(channel.request("x", b"x" * 2**20, timeout_s=WITHIN_S)))
        asked.append(asyncio.create_task(channel.request("x", timeout_s=WITHIN_S)))
        await asyncio.sleep(0.01)
        asked.append(asyncio.create_task(channel.request("x", timeout_s=WITHIN_S)))
        await asyncio.sleep(0.01)
        sock.close()
        await asyncio.wait_for(channel.closed.wait(), WITHIN_S)
        for task in asked:
            with pytest.raises(ConnectionError):
                await task
        with pytest.raises(ConnectionError):
            await channel.request("x", timeout_s=WITHIN_S)
        channel.notify("x")
        await channel.close()


async def test_the_last_words_arrive() -> None:
    heard: list[int] = []
    async with pair(there={"words": lambda words: heard.append(len(words))}) as (one, other):
        one.notify("words", "x" * 2**20)
        await one.close()
        await eventually(lambda: other.closed.is_set())
        assert heard == [2**20]


async def test_a_peer_that_does_not_read_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_CLOSE_S", 0.05)
    async with raw() as (channel, _):
        channel.notify("words", "x" * 2**22)
        await asyncio.wait_for(channel.close(), WITHIN_S)


async def test_a_peer_that_never_reads_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "UNREAD_BYTES_MAX", 2**22)
    async with raw() as (channel, _):
        for _ in range(8):
            channel.notify("words", "x" * 2**20)
        await asyncio.wait_for(channel.closed.wait(), WITHIN_S)
    assert [record.message for record in caplog.records] == [
        "the peer does not read, its channel is closed"
    ]


async def test_a_handler_outlives_the_channel_in_peace(caplog: pytest.LogCaptureFixture) -> None:
    go = asyncio.Event()

    async def wait(_: Any) -> int:
        await go.wait()
        return 1

    async with pair(there={"wait": wait}) as (one, other):
        one.notify("wait")
        task = asyncio.create_task(one.request("wait", timeout_s=WITHIN_S))
        await eventually(lambda: len(other._handling) == 2)
        await one.close()
        await other.closed.wait()
        go.set()
        with pytest.raises(ConnectionError):
            await task
        await eventually(lambda: not other._handling)
    gc.collect()
    assert caplog.records == []


# Frames.


def frame(value: Any) -> bytes:
    body = msgspec.msgpack.encode(value)
    return len(body).to_bytes(4, "big") + body


async def test_a_frame_in_single_bytes() -> None:
    heard: list[Any] = []
    async with raw({"count": heard.append}) as (_, sock):
        for byte in frame([0, "count", {"a": 1}]) + frame([0, "count", 2]):
            await asyncio.get_running_loop().sock_sendall(sock, bytes([byte]))
            await asyncio.sleep(0)
        await eventually(lambda: heard == [{"a": 1}, 2])


@pytest.mark.parametrize(
    "malformed",
    [
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x00",
        frame("text"),
        frame(["no number"]),
        frame([1, 2, 3]),
        b"\x00\x00\x00\x01\xc1",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
async def test_a_malformed_frame_ends_the_channel(
    malformed: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with raw() as (channel, sock):
        task = asyncio.create_task(channel.request("x", timeout_s=WITHIN_S))
        await asyncio.sleep(0)
        await asyncio.get_running_loop().sock_sendall(sock, malformed)
        await asyncio.wait_for(channel.closed.wait(), WITHIN_S)
        with pytest.raises(ConnectionError):
            await task
    (record,) = caplog.records
    assert (record.levelno, record.name) == (logging.ERROR, module.__name__)


async def test_a_reply_that_nobody_waits_for_is_passed_over() -> None:
    heard: list[Any] = []
    async with raw({"count": heard.append}) as (channel, sock):
        await asyncio.get_running_loop().sock_sendall(sock, frame([99]) + frame([0, "count", 1]))
        await eventually(lambda: heard == [1])
        assert not channel.closed.is_set()


async def test_the_end_in_the_middle_of_a_frame_is_an_end() -> None:
    async with raw({"count": pytest.fail}) as (channel, sock):
        await asyncio.get_running_loop().sock_sendall(sock, frame([0, "count", 1])[:-1])
        sock.close()
        await asyncio.wait_for(channel.closed.wait(), WITHIN_S)
