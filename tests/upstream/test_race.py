"""Happy eyeballs: the next address is tried soon, and only one wins."""

import asyncio
import socket

import pytest

from proxy.upstream import race as module
from proxy.upstream.race import race
from proxy.upstream.resolver import Place
from tests.running import eventually


class Net:
    """Sockets that connect when, and if, they are told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tried: list[str] = []
        self.answers: dict[str, asyncio.Future[None]] = {}
        self.made: list[socket.socket] = []
        loop = asyncio.get_running_loop()

        async def connect(sock: socket.socket, address: tuple[str, int]) -> None:
            self.made.append(sock)
            self.tried.append(address[0])
            await self.answer(address[0])

        monkeypatch.setattr(loop, "sock_connect", connect)

    def answer(self, host: str) -> "asyncio.Future[None]":
        return self.answers.setdefault(host, asyncio.get_running_loop().create_future())

    def open(self) -> list[socket.socket]:
        return [sock for sock in self.made if sock.fileno() >= 0]


@pytest.fixture
async def net(monkeypatch: pytest.MonkeyPatch) -> Net:
    monkeypatch.setattr(module, "STAGGER_S", 60.0)
    return Net(monkeypatch)


PLACES = [Place(socket.AF_INET, (host, 80)) for host in "abc"]


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_the_first_answers(net: Net) -> None:
    net.answer("a").set_result(None)
    with await race(PLACES) as sock:
        assert net.tried == ["a"]
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert not sock.getblocking()


async def test_where_one_fails_the_next_is_tried_at_once(net: Net) -> None:
    for host in "ab":
        net.answer(host).set_exception(ConnectionRefusedError(host))
    net.answer("c").set_result(None)
    with await race(PLACES) as sock:
        assert net.tried == ["a", "b", "c"]
        assert net.open() == [sock]


async def test_where_one_is_silent_the_next_is_tried_soon(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STAGGER_S", 0.001)
    net.answer("c").set_result(None)
    with await race(PLACES) as sock:
        assert net.tried == ["a", "b", "c"]
        await settled()
        assert net.open() == [sock]


async def test_who_is_late_may_win_all_the_same(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STAGGER_S", 0.001)
    racing = asyncio.create_task(race(PLACES))
    await eventually(lambda: len(net.tried) == 3)
    net.answer("b").set_exception(ConnectionRefusedError)
    await settled()
    net.answer("a").set_result(None)
    net.answer("c").set_result(None)
    with await racing as sock:
        await settled()
        assert net.open() == [sock]


@pytest.mark.parametrize("count", [1, 3])
async def test_where_all_fail_the_last_says_why(net: Net, count: int) -> None:
    for host in "abc":
        net.answer(host).set_exception(ConnectionRefusedError(host))
    with pytest.raises(ConnectionRefusedError, match="abc"[count - 1]):
        await race(PLACES[:count])
    assert net.open() == []


@pytest.mark.parametrize("count", [1, 3])
async def test_a_race_that_is_called_off_leaves_nothing_open(net: Net, count: int) -> None:
    racing = asyncio.create_task(race(PLACES[:count]))
    await settled()
    racing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await racing
    await settled()
    assert net.tried == ["a"]
    assert net.open() == []


async def test_nowhere_to_go() -> None:
    with pytest.raises(OSError, match="without an address"):
        await race([])
