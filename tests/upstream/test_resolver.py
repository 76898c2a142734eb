"""Names: asked once a minute, by whoever comes first."""

import asyncio
import socket
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream import resolver as module
from proxy.upstream.resolver import Place, Resolver, interleaved, is_local


def v4(number: int) -> Place:
    return Place(socket.AF_INET, (f"192.0.2.{number}", 80))


def v6(number: int) -> Place:
    return Place(socket.AF_INET6, (f"2001:db8::{number}", 80, 0, 0))


class Names:
    """A name server that answers when it may."""

    def __init__(self, *answers: list[Place] | Exception) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.may = asyncio.Event()
        self.may.set()

    async def __call__(self, host: str, port: int) -> list[Place]:
        self.asked += 1
        await self.may.wait()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("a.localhost", True),
        ("127.3.2.1", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("acme.test", False),
        ("localhost.test", False),
    ],
)
def test_who_is_this_machine(host: str, local: bool) -> None:
    assert is_local(host) is local


async def test_a_literal_address_is_not_asked_for() -> None:
    resolver = Resolver(Names())
    assert resolver.known("192.0.2.1", 80) == (v4(1),)
    assert resolver.known("2001:db8::1", 80) == (v6(1),)
    assert [place.address[0] for place in resolver.known("localhost", 1)] == ["127.0.0.1", "::1"]
    assert resolver.known("acme.test", 80) == ()


async def test_a_name_is_remembered_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names([v4(1)], [v4(2)], [v4(3)])
    resolver = Resolver(names)
    assert await resolver.ask("acme.test", 80) == (v4(1),)
    assert resolver.known("acme.test", 80) == (v4(1),)
    assert resolver.known("acme.test", 81) == ()
    assert resolver.forget("acme.test", 80)
    assert not resolver.forget("acme.test", 80)
    assert resolver.known("acme.test", 80) == ()
    monkeypatch.setattr(module, "DNS_S", 0.0)
    await resolver.ask("acme.test", 80)
    assert resolver.known("acme.test", 80) == ()


async def test_those_who_ask_at_the_same_time_wait_for_one_answer() -> None:
    names = Names([v4(1)])
    names.may.clear()
    resolver = Resolver(names)
    first, second = (asyncio.create_task(resolver.ask("acme.test", 80)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    names.may.set()
    assert await second == (v4(1),)
    assert names.asked == 1
    assert first.cancelled()


async def test_what_fails_is_asked_again() -> None:
    resolver = Resolver(Names(socket.gaierror(), [], [v4(1)]))
    for _ in range(2):
        with pytest.raises(OSError, match=r".*"):
            await resolver.ask("acme.test", 80)
    assert await resolver.ask("acme.test", 80) == (v4(1),)


async def test_closing_waits_for_nobody() -> None:
    names = Names()
    names.may.clear()
    resolver = Resolver(names)
    asking = asyncio.create_task(resolver.ask("acme.test", 80))
    await asyncio.sleep(0)
    await resolver.close()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_the_system_is_asked_in_the_end() -> None:
    assert v4(7) in await Resolver().ask("192.0.2.7", 80)


@given(st.lists(st.builds(v4, st.integers(1, 99))), st.lists(st.builds(v6, st.integers(1, 99))))
def test_families_take_turns(old: list[Place], new: list[Place]) -> None:
    for places in (old + new, new + old):
        mixed = interleaved(places)
        assert sorted(mixed) == sorted(places)
        turns = min(len(old), len(new))
        assert mixed[:1] == tuple(places[:1])
        families = [place.family for place in mixed[: 2 * turns]]
        assert all(one is not two for one, two in pairwise(families))
