"""Simulated callers: what they ask for, when they leave, what they saw."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import orjson
import pytest

from proxy.errors import CallerGone
from proxy.simulation.caller import FOREVER_S, Client, Wish, wish
from proxy.simulation.loop import Loop, bury

PATIENT = Wish("r1", "secret", {"model": "m"}, FOREVER_S, 10**9, 0.0, 10**9)
SSE = [(b"content-type", b"text/event-stream"), (b"x-generation-id", b"gen-1")]


def play(story: Callable[[Loop], Coroutine[Any, Any, None]]) -> None:
    loop = Loop(Random(1))
    try:
        loop.run_until_complete(story(loop))
    finally:
        loop.run_until_complete(bury(loop))
        loop.close()


def test_wishes_are_of_all_kinds() -> None:
    kinds: Counter[str] = Counter()
    for seed in range(300):
        one = wish(Random(seed), f"r{seed}", secret="s", models=("a", "b"))
        assert one.body["messages"][0]["content"].split()[0] == f"r{seed}"
        assert one.body_bytes == len(orjson.dumps(one.body))
        kinds.update(list(one.body))
        kinds["leaves in time"] += one.gone_s < FOREVER_S
        kinds["leaves at a piece"] += one.gone_at < 10**9
        kinds["stalls"] += one.pause_s > 0
    assert min(kinds.values()) > 5
    assert len(kinds) == 9


def test_who_is_patient_sees_the_whole_answer() -> None:
    async def story(loop: Loop) -> None:
        ended: list[Client] = []
        client = Client(PATIENT, loop, on_end=ended.append)
        assert client.generation is None
        assert await client.caller.read_body(1000) == b'{"model":"m"}'
        assert client.caller.header(b"authorization") == "Bearer secret"
        await client.caller.start(200, SSE)
        await client.caller.write(b': comment\n\ndata: {"a":1}\n\n')
        assert ended == []
        await client.caller.finish(b"data: [DONE]\n\n")
        assert ended == [client]
        assert client.status == 200
        assert client.headers["x-generation-id"] == "gen-1"
        assert client.events() == [{"a": 1}]

    play(story)


def test_a_whole_answer_is_an_object_when_it_is_whole() -> None:
    async def story(loop: Loop) -> None:
        client = Client(PATIENT, loop, on_end=lambda client: None)
        await client.caller.start(400, [(b"content-type", b"application/json")])
        assert client.events() == []
        await client.caller.finish(b'{"error":1}')
        assert client.events() == [{"error": 1}]

    play(story)


@pytest.mark.parametrize(
    "left", [PATIENT._replace(gone_s=0.5), PATIENT._replace(gone_at=1)], ids=["time", "piece"]
)
def test_who_leaves_hears_no_more(left: Wish) -> None:
    async def story(loop: Loop) -> None:
        client = Client(left, loop, on_end=lambda client: None)
        await client.caller.read_body(1000)
        gone: list[bool] = []
        client.caller.watch(lambda: gone.append(True))
        await client.caller.start(200, SSE)
        await client.caller.write(b"data: {}\n\n")
        await asyncio.sleep(1)
        assert (client.gone, gone, client.events()) == (True, [True], [{}])
        with pytest.raises(CallerGone):
            await client.caller.write(b"data: {}\n\n")
        client.hang_up()
        await client._hear({"type": "http.response.body", "body": b"data: {}\n\n"})
        assert client.events() == [{}]
        await client.caller.close()

    play(story)


@pytest.mark.parametrize(("pause_s", "gone"), [(2.0, False), (100.0, True)])
def test_who_stalls_too_long_is_hung_up_on(pause_s: float, gone: bool) -> None:
    async def story(loop: Loop) -> None:
        stalls = PATIENT._replace(pause_s=pause_s, pause_at=1)
        client = Client(stalls, loop, on_end=lambda client: None)
        began_at = loop.time()
        await client.caller.start(200, SSE)
        await client.caller.write(b"data: {}\n\n")
        assert round(loop.time() - began_at) == min(pause_s, 30.0)
        assert client.gone is gone

    play(story)
