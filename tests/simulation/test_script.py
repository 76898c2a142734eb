"""What providers do with a call: each kind of script, as the other side of the wire hears it."""

import asyncio
from random import Random
from typing import Any

import orjson
import pytest

from proxy.errors import GatewayError
from proxy.simulation.loop import Life, Loop, bury
from proxy.simulation.network import Wire
from proxy.simulation.script import WORD, Entry, Script
from tests.simulation.test_network import Ear


def run(kind: str, seed: int = 1, *, hang_up: bool = False, **body: Any) -> tuple[Entry, list[Any]]:
    """The book's line, and what was heard: a status, bytes in one piece, an end if it came."""
    loop = Loop(Random(seed))
    entry = Entry(provider="p0", model="m", request="r0", kind=kind, prompt_tokens=3)

    async def story() -> list[Any]:
        ear, life = Ear(), Life("w", loop)
        wire = Wire(ear, life, Random(seed))
        script = Script(Random(seed), loop, entry, body, slow_s=0.01)
        task = loop.create_task(script.play(wire))
        await asyncio.sleep(100)
        if hang_up:
            assert not task.done()
            wire.cancel()
            await asyncio.sleep(1)
        assert task.done()
        data = b"".join(piece for piece in ear.heard if isinstance(piece, bytes))
        return [data if isinstance(one, bytes) else one for one in dict.fromkeys(ear.heard)]

    try:
        return entry, list(dict.fromkeys(loop.run_until_complete(story())))
    finally:
        loop.run_until_complete(bury(loop))
        loop.close()


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("choices", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_a_good_answer(stream: bool, choices: int, seed: int) -> None:
    entry, (status, data, end) = run("good", seed, stream=stream, n=choices, max_tokens=30)
    made = data.count(WORD.encode())
    assert (status, end) == (200, None)
    assert made == entry.made_tokens == entry.billed_tokens - 3
    assert made % choices == 0
    assert entry.reported == {"prompt_tokens": 3, "completion_tokens": made}
    assert made <= 30 * choices
    assert (b'"length"' in data) == (made == 30 * choices)
    assert data.endswith(b"[DONE]\n\n") == stream


def test_kinds_that_end_well() -> None:
    assert run("no usage", stream=True)[0].reported is None
    assert b"[DONE]" not in run("no end mark", stream=True)[1][1]
    assert run("empty", stream=True)[0].made_tokens == 0
    assert run("deaf to max_tokens", 3, stream=True, max_tokens=1)[0].made_tokens > 1
    assert run("endless", stream=True, max_tokens=5)[0].made_tokens == 400
    low, _ = run("low usage", stream=False)
    assert low.reported == {"prompt_tokens": 3, "completion_tokens": 0}
    assert low.made_tokens > 0
    absurd, _ = run("absurd usage", stream=True)
    assert absurd.reported is not None
    assert sum(absurd.reported.values()) > 5000


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("kind", ["error first", "error inside"])
def test_errors_in_the_answer(kind: str, stream: bool) -> None:
    _, (status, data, *end) = run(kind, stream=stream)
    assert status == 200
    assert (b'"error"' in data) or not stream
    assert len(end) == 1


@pytest.mark.parametrize("stream", [True, False])
def test_broken_answers(stream: bool) -> None:
    assert run("cut", stream=stream)[1][-1] is None
    assert isinstance(run("reset", stream=stream)[1][-1], GatewayError)
    entry, heard = run("stops", stream=stream, hang_up=True)
    assert entry.reported is None or not stream
    assert all(one is not None for one in heard)
    assert b"stop" not in (heard[1] if stream else b"")


def test_no_answer_at_all() -> None:
    assert isinstance(run("unreachable")[1][0], GatewayError)
    assert run("silent", hang_up=True)[1] == []
    assert run("web page")[1] == [200, b"<html>", None]
    assert run("hangs after its end", stream=True, hang_up=True)[1][-1] is not None


def test_refusals() -> None:
    said = [run("refuses", seed)[1] for seed in range(30)]
    assert len({status for status, _, _ in said}) > 5
    assert all(orjson.loads(body)["error"]["code"] == status for status, body, _ in said)
