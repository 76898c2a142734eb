"""The callers: raw connections that ask, read and judge as cheaply as Python can."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import httptools

from bench.answers import Answer, StreamAnswer, WholeAnswer
from bench.target import Asking

STUCK_S = 20.0  # past its end, after which an answer counts as stuck
PATIENCE_S = 3.0  # the same for a peer, whose answers then count as unfinished


@dataclass
class Tally:
    """What came back: complete answers and their events; and why others do not count. Those that a
    peer had not finished in time, because it was offered more than it can do, are no faults.
    """

    answers: int = 0
    events: int = 0
    unfinished: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    begun_ns: list[int] = field(default_factory=list)
    first_ns: list[int] = field(default_factory=list)
    took_ns: list[int] = field(default_factory=list)
    delays_ns: list[int] = field(default_factory=list)

    def add(self, answer: Answer, fault: str) -> None:
        """One answer that is over."""
        if fault:
            self.faults[fault] += 1
            return
        self.answers += 1
        self.events += answer.events
        self.begun_ns.append(answer.begun_ns - answer.asked_ns)
        self.first_ns.append(answer.first_ns - answer.asked_ns)
        self.took_ns.append(time.monotonic_ns() - answer.asked_ns)


def judge(asking: Asking, tally: Tally) -> Answer:
    """The judge of one answer to it."""
    return StreamAnswer(asking.events, tally.delays_ns) if asking.events else WholeAnswer()


class Client(asyncio.Protocol):
    """One kept-alive connection that asks again as soon as it has its answer.

    `following` gives the judge of the next answer, or None to stop.
    """

    def __init__(self, asking: Asking, tally: Tally, following: Callable[[], Answer | None]):
        self._request = asking.request
        self._tally = tally
        self._following = following
        self._answer: Answer | None = None
        self._parser = httptools.HttpResponseParser(self)
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def events(self) -> int:
        """How many events the answer under way has brought so far."""
        return self._answer.events if self._answer is not None else 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def _ask(self) -> None:
        self._answer = self._following()
        if self._answer is None:
            self._transport.close()
            return
        self._answer.asked_ns = time.monotonic_ns()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._now_ns = time.monotonic_ns()
        if self._answer is not None and not self._answer.begun_ns:
            self._answer.begun_ns = self._now_ns
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.give_up(f"not HTTP: {type(error).__name__}")

    def on_body(self, data: bytes) -> None:
        if self._answer is not None:
            self._answer.feed(data, self._now_ns)

    def on_message_complete(self) -> None:
        if (answer := self._answer) is None:
            return
        answer.status = self._parser.get_status_code()
        self._answer = None
        self._tally.add(answer, answer.fault())
        if self._parser.should_keep_alive():
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.give_up("connection closed")
        self.gone.set_result(None)

    def give_up(self, fault: str) -> None:
        """The answer under way, if any, counts as that fault."""
        if self._answer is not None:
            self._tally.add(self._answer, fault)
            self._answer = None
        self._transport.abort()

    def leave(self) -> None:
        """The answer under way, if any, is not waited for."""
        if self._answer is not None:
            self._tally.unfinished += 1
            self._answer = None
        self._transport.abort()


async def ask_for(
    asking: Asking,
    *,
    seconds: float,
    connections: int,
    answers_max: int,
    spread_s: float = 0.0,
) -> Tally:
    """Every connection asks again and again for `seconds`, `answers_max` in all at most, and until
    an answer fails. They begin spread over `spread_s`.
    """
    tally = Tally()
    loop = asyncio.get_running_loop()
    ends_s, asked = loop.time() + seconds, 0

    def more() -> bool:
        return loop.time() < ends_s and asked < answers_max and not tally.faults

    def following() -> Answer | None:
        nonlocal asked
        if not more():
            return None
        asked += 1
        return judge(asking, tally)

    async def caller(number: int) -> None:
        await asyncio.sleep(spread_s * number / connections)
        # A server may close a connection after so many answers; the caller then takes a new one.
        while more():
            client = await connect(asking, tally, following)
            await over([client], ends_s, peer=asking.target.peer)

    await asyncio.gather(*(caller(number) for number in range(connections)))
    return tally


async def connect(asking: Asking, tally: Tally, following: Callable[[], Answer | None]) -> Client:
    """A connection that has asked; raises OSError where nobody listens."""
    _, client = await asyncio.get_running_loop().create_connection(
        lambda: Client(asking, tally, following), "127.0.0.1", asking.target.port
    )
    return client


async def over(clients: list[Client], until_s: float, *, peer: bool) -> None:
    """Until the connections are closed, which they should be by `until_s` (loop time). What is not
    some time later counts as stuck, a peer's as unfinished.
    """
    latest_s = until_s + (PATIENCE_S if peer else STUCK_S)
    timeout_s = max(0.0, latest_s - asyncio.get_running_loop().time())
    await asyncio.wait([client.gone for client in clients], timeout=timeout_s)
    for client in clients:
        if not client.gone.done():
            client.leave() if peer else client.give_up("stuck")
    await asyncio.gather(*(client.gone for client in clients))
