"""Connections keep their order, slice what they like, and end when one side does."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from proxy.errors import GatewayError
from proxy.simulation.loop import Life, Loop, bury
from proxy.simulation.network import Network, Wire
from proxy.upstream.transport import Call

CALL = Call("http://p0.sim/v1/chat/completions", {}, b"{}", 1.0)


class Ear:
    """A sink."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def head(self, status: int, headers: Any) -> None:
        self.heard.append(status)

    def data(self, data: bytes) -> None:
        self.heard.append(data)

    def end(self, error: GatewayError | None) -> None:
        self.heard.append(error)


def play(story: Callable[[Life], Coroutine[Any, Any, None]]) -> None:
    loop = Loop(Random(1))
    try:
        loop.run_until_complete(story(Life("w", loop)))
    finally:
        loop.run_until_complete(bury(loop))
        loop.close()


def speak(call: Call, wire: Wire) -> None:
    wire.say("head", (200, {}))
    for number in range(50):
        wire.say("data", b"word %d. " % number)
    wire.say("end", None)


def test_bytes_come_in_order_however_they_are_sliced() -> None:
    async def story(life: Life) -> None:
        ear = Ear()
        Network(speak, life, Random(1)).send(CALL, ear)
        await asyncio.sleep(1)
        status, *pieces, end = ear.heard
        assert (status, end) == (200, None)
        assert b"".join(pieces) == b"".join(b"word %d. " % number for number in range(50))
        assert len(pieces) != 50

    play(story)


def test_a_paused_wire_waits() -> None:
    async def story(life: Life) -> None:
        ear = Ear()
        wire = Network(speak, life, Random(1)).send(CALL, ear)
        wire.pause()
        await asyncio.sleep(1)
        assert ear.heard == []
        wire.resume()
        await asyncio.sleep(1)
        assert ear.heard[-1] is None

    play(story)


def test_who_hangs_up_hears_no_more_and_is_noticed_once() -> None:
    async def story(life: Life) -> None:
        ear, told = Ear(), []
        network = Network(speak, life, Random(1))
        wire = network.send(CALL, ear)
        wire.on_cut = lambda: told.append("cut")
        wire.cancel()
        wire.cancel()
        wire.say("data", b"more")
        await network.close()
        await asyncio.sleep(1)
        assert (ear.heard, told) == ([], ["cut"])

    play(story)


def test_death_breaks_every_connection() -> None:
    async def story(life: Life) -> None:
        asked: list[Wire] = []
        network = Network(lambda call, wire: asked.append(wire), life, Random(1))
        network.send(CALL, Ear())
        life.kill()
        network.down()
        assert network.send(CALL, Ear()).cut
        assert [wire.cut for wire in asked] == [True]

    play(story)
