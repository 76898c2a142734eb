"""The text engine, whose reader is another process: whatever a PDF does to that one, this lives."""

import asyncio
import os
from typing import Any

import pytest

from proxy.errors import GatewayError
from proxy.upstream import pdf as module
from proxy.upstream.pdf import Reader
from tests.running import eventually
from tests.upstream.papers import bomb, locked, pdf


async def wrong(data: bytes) -> str:
    with pytest.raises(GatewayError) as caught:
        await Reader().text(data, bytes_max=1000)
    assert caught.value.kind == "provider_lacks_media"
    return caught.value.message.removeprefix("The PDF can not be read as text: ")


async def test_its_text() -> None:
    text = await Reader().text(pdf("Grüße", "zwei"), bytes_max=1000)
    assert text == "Grüße\n\nzwei"


async def test_a_long_one_is_cut() -> None:
    text = await Reader().text(pdf("one", "two", "three"), bytes_max=8)
    assert text == "one\n\ntwo\n\n[The rest of 3 pages is cut.]"


async def test_why_there_is_none() -> None:
    assert await wrong(b"x") == "it is broken, or no PDF."
    assert await wrong(pdf("")) == "it has no text; it may be scanned."
    assert await wrong(locked(pdf("one"), user_password="x")) == "it is encrypted."


async def test_the_reader_sees_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    seen: list[Any] = []
    start = asyncio.create_subprocess_exec

    async def record(*words: Any, **more: Any) -> Any:
        seen.append(more["env"])
        return await start(*words, **more)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", record)
    await Reader().text(pdf("one"), bytes_max=100)
    assert [list(env) for env in seen] == [["PYTHONPATH"]]


async def test_a_bomb() -> None:
    assert await wrong(bomb()) in {
        "it is broken, or no PDF.",
        "it has no text; it may be scanned.",
        "to read it takes too much.",
    }


def _sleeper(monkeypatch: pytest.MonkeyPatch, code: str) -> list[asyncio.subprocess.Process]:
    """The reader is that program instead."""
    started: list[asyncio.subprocess.Process] = []
    start = asyncio.create_subprocess_exec

    async def other(program: str, *_: str, **more: Any) -> asyncio.subprocess.Process:
        started.append(await start(program, "-c", code, **more))
        return started[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", other)
    return started


FOREVER = "import time; time.sleep(60)"


async def test_who_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    (started, _) = _sleeper(monkeypatch, FOREVER), monkeypatch.setattr(module, "GRACE_S", 0.1)
    monkeypatch.setattr(module, "READ_S", 0.0)
    assert await wrong(pdf("one")) == "to read it takes too long."
    assert started[0].returncode == -9


async def test_who_kills_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    _sleeper(monkeypatch, "import os; os.abort()")
    assert await wrong(pdf("one")) == "to read it takes too much."


async def test_nobody_waits_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    started = _sleeper(monkeypatch, FOREVER)
    task = asyncio.create_task(Reader().text(pdf("one"), bytes_max=100))
    await eventually(lambda: bool(started))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(started[0].pid, 0)


async def test_only_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_S", 0.05)
    started = _sleeper(monkeypatch, FOREVER)
    reader = Reader()
    busy = [asyncio.create_task(reader.text(b"x", bytes_max=9)) for _ in range(module.PLACES)]
    await eventually(lambda: len(started) == module.PLACES)
    with pytest.raises(GatewayError, match="too many others"):
        await reader.text(b"x", bytes_max=9)
    for task in busy:
        task.cancel()
    await asyncio.gather(*busy, return_exceptions=True)
    assert len(started) == module.PLACES
