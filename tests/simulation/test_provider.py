"""Simulated providers: moods change, books are kept, and a hang-up ends only what it ends."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import orjson
import pytest

from proxy.simulation.loop import Life, Loop, bury
from proxy.simulation.network import Network
from proxy.simulation.provider import MOODS, Provider, town
from proxy.upstream.transport import Call
from tests.simulation.test_network import Ear

BODY = {
    "model": "m",
    "messages": [{"role": "user", "content": "r7 please"}],
    "stream": True,
    "max_tokens": 20,
}
CALL = Call("http://p0.sim/v1/chat/completions", {}, orjson.dumps(BODY), 1.0)


def play(story: Callable[[Loop], Coroutine[Any, Any, None]]) -> None:
    loop = Loop(Random(1))
    try:
        loop.run_until_complete(story(loop))
    finally:
        loop.run_until_complete(bury(loop))
        loop.close()


def test_moods_name_kinds_that_differ() -> None:
    for kinds in MOODS.values():
        names = [name for name, _ in kinds]
        assert len(set(names)) == len(names)


def test_a_provider_is_of_its_mood_until_it_changes() -> None:
    async def story(loop: Loop) -> None:
        changes = ((0.0, "gone"), (loop.time() + 100, "well"))
        provider = Provider("p0", Random(1), loop, cancels=True, slow_s=0.01, moods=changes)
        network = Network(town([provider]), Life("w", loop), Random(1))
        for _ in range(2):
            for _ in range(30):
                network.send(CALL, Ear())
            await asyncio.sleep(200)
        kinds = [{entry.kind for entry in provider.book[start:][:30]} for start in (0, 30)]
        assert kinds[0] <= {"unreachable", "refuses", "silent"}
        assert "good" in kinds[1]
        assert {entry.request for entry in provider.book} == {"r7"}

    play(story)


@pytest.mark.parametrize("cancels", [True, False])
def test_a_hang_up_ends_what_is_billed_where_it_does(cancels: bool) -> None:
    async def story(loop: Loop) -> None:
        moods = ((0.0, "well"),)
        provider = Provider("p0", Random(4), loop, cancels=cancels, slow_s=0.1, moods=moods)
        network = Network(town([provider]), Life("w", loop), Random(1))
        wires = [network.send(CALL, Ear()) for _ in range(20)]
        await asyncio.sleep(1.5)
        made = [entry.made_tokens for entry in provider.book]
        for wire in wires:
            wire.cancel()
        await asyncio.sleep(100)
        assert ([entry.made_tokens for entry in provider.book] == made) is cancels
        assert {entry.ended for entry in provider.book} >= {"cancelled"}

    play(story)
