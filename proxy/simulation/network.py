"""The connections between simulated processes and providers: a little slow, and cut by death."""

import asyncio
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, Final

from proxy.simulation.loop import Life
from proxy.upstream.transport import Call, Sink

DELAY_S: Final = 0.002


class Wire:
    """A connection between a process and a provider; the `Sent` of the process's transport."""

    def __init__(self, sink: Sink, life: Life, rng: Random) -> None:
        self._sink = sink
        self._life = life
        self._rng = rng
        self._queue: deque[tuple[str, Any]] = deque()
        self._paused = False
        self.over = False
        self.hung_up = asyncio.Event()
        self.on_cut: Callable[[], object] = lambda: None  # the provider's

    @property
    def cut(self) -> bool:
        """Whether the other side hung up."""
        return self.hung_up.is_set()

    def say(self, what: str, said: Any) -> None:
        """From the provider: `head`, `data` or `end`, a moment later at the other side."""
        if not self.cut:
            self._queue.append((what, said))
            self._life.call_later(self._rng.random() * DELAY_S, self._deliver)

    def _deliver(self) -> None:
        while self._queue and not self._paused and not self.cut:
            what, said = self._queue.popleft()
            if what == "head":
                self._sink.head(*said)
            elif what == "end":
                self.over = True
                self._sink.end(said)
            elif len(said) > 1 and self._rng.random() < 0.1:
                middle = self._rng.randrange(1, len(said))
                self._queue.appendleft(("data", said[middle:]))
                self._sink.data(said[:middle])
            else:
                self._sink.data(said)

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._life.call_later(0.0, self._deliver)

    def cancel(self) -> None:
        if not self.cut:
            self.hung_up.set()
            self._queue.clear()
            self.on_cut()


class Network:
    """The transport of one process; `answer` is that of whom it calls."""

    def __init__(self, answer: Callable[[Call, Wire], None], life: Life, rng: Random) -> None:
        self._answer = answer
        self._life = life
        self._rng = rng
        self._wires: list[Wire] = []

    def send(self, call: Call, sink: Sink) -> Wire:
        """Begins `call`, unless the process is dead."""
        wire = Wire(sink, self._life, self._rng)
        if self._life.dead:
            wire.hung_up.set()
        else:
            self._wires.append(wire)
            self._answer(call, wire)
        return wire

    @property
    def open_calls(self) -> int:
        """How many calls neither ended nor were hung up on."""
        return sum(not (wire.over or wire.cut) for wire in self._wires)

    def down(self) -> None:
        """Break every connection."""
        for wire in self._wires:
            wire.cancel()

    async def close(self) -> None:
        """As a transport's."""
        self.down()
