"""Where a host is: its addresses, remembered for a minute."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from itertools import chain, zip_longest
from typing import Any, Final, NamedTuple

DNS_S: Final = 60.0


class Place(NamedTuple):
    """An address as a socket takes it."""

    family: int
    address: tuple[Any, ...]


LookUp = Callable[[str, int], Awaitable[Sequence[Place]]]


def is_local(host: str) -> bool:
    """Whether `host` can only be this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class Resolver:
    """Looks names up, each once a minute at most, however many ask at the same time."""

    def __init__(self, look_up: LookUp | None = None) -> None:
        self._look_up = look_up or _look_up
        self._known: dict[tuple[str, int], tuple[float, tuple[Place, ...]]] = {}
        self._asking: dict[tuple[str, int], asyncio.Task[tuple[Place, ...]]] = {}

    def known(self, host: str, port: int) -> tuple[Place, ...]:
        """What need not be asked: a literal address, this machine, what was asked lately; else
        nothing.
        """
        if host == "localhost":
            return (_place("127.0.0.1", port), _place("::1", port))
        until, places = self._known.get((host, port), (0.0, ()))
        if until > asyncio.get_running_loop().time():
            return places
        try:
            return (_place(host, port),)
        except ValueError:
            return ()

    def forget(self, host: str, port: int) -> bool:
        """Whether anything was remembered of a name, which is not any more."""
        return self._known.pop((host, port), None) is not None

    async def ask(self, host: str, port: int) -> tuple[Place, ...]:
        """The addresses of a name, families in turn; raises OSError, and ValueError where the name
        is none.
        """
        where = (host, port)
        task = self._asking.get(where)
        if task is None:
            task = asyncio.create_task(self._ask(where))
            self._asking[where] = task
            task.add_done_callback(lambda _: self._asking.pop(where))
        return await asyncio.shield(task)  # others may wait for it, too

    async def _ask(self, where: tuple[str, int]) -> tuple[Place, ...]:
        places = interleaved(await self._look_up(*where))
        if not places:
            raise OSError("a name without an address")
        self._known[where] = (asyncio.get_running_loop().time() + DNS_S, places)
        return places

    async def close(self) -> None:
        """Waits for no answer any more."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def interleaved(places: Sequence[Place]) -> tuple[Place, ...]:
    """Families in turn, the first one's first (RFC 8305, section 4)."""
    first = [place for place in places if place.family == places[0].family]
    others = [place for place in places if place.family != places[0].family]
    return tuple(filter(None, chain.from_iterable(zip_longest(first, others))))


def _place(host: str, port: int) -> Place:
    """Raises ValueError where `host` is no literal address."""
    if ip_address(host).version == 4:
        return Place(socket.AF_INET, (host, port))
    return Place(socket.AF_INET6, (host, port, 0, 0))


async def _look_up(host: str, port: int) -> list[Place]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [Place(family, address) for family, _, _, _, address in found]
