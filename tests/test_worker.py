"""One worker in this process, and this test for its supervisor."""

import asyncio
import contextlib
import json
import logging
import runpy
import signal
import socket
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest

from proxy import hosting, logs, worker
from proxy.serving.channel import Channel, Handler, Refused
from proxy.serving.sockets import bound, urls
from tests.running import config_text, eventually, model_text, provider

WITHIN_S = 20.0


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Grows when a worker settles, which this process must not do."""
    told: list[bool] = []
    monkeypatch.setattr(hosting, "settle", lambda: told.append(True))
    return told


class Told(NamedTuple):
    """A worker at work, as its supervisor has it."""

    channel: Channel
    code: asyncio.Task[int]
    url: str
    said: dict[str, Any]

    async def models(self) -> list[str]:
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/v1/models") as got:
            return [model["id"] for model in (await got.json())["data"]]

    async def ended(self) -> int:
        return await asyncio.wait_for(asyncio.shield(self.code), WITHIN_S)


@contextlib.asynccontextmanager
async def working(text: str, *, early: str | None = None) -> AsyncIterator[Told]:
    """A worker with that configuration, once it is ready or has failed; `early` is one that it is
    told to take while it starts.
    """
    said: dict[str, Any] = {}
    started = asyncio.Event()

    def note(name: str) -> Handler:
        def hear(payload: Any) -> None:
            said[name] = payload
            started.set()

        return hear

    handlers: dict[str, Handler] = {name: note(name) for name in ("ready", "failed", "ended")}
    reloads: list[asyncio.Task[bool]] = []

    def start(_: Any) -> dict[str, Any]:
        if early is not None:
            asked = channel.request("reload", early, timeout_s=WITHIN_S)
            reloads.append(asyncio.create_task(asked))
        return {"text": text, "bind": ["127.0.0.1:0"], "workers": 2}

    handlers["start"] = start
    ours, theirs = socket.socketpair()
    with bound(["127.0.0.1:0"]) as sockets:
        channel = await Channel.open(ours, handlers)
        code = asyncio.create_task(worker.work(theirs, sockets))
        await asyncio.wait_for(started.wait(), WITHIN_S)
        assert all(await asyncio.gather(*reloads))
        yield Told(channel, code, urls(sockets, secure=False)[0], said)
        await channel.close()
        await asyncio.wait_for(code, WITHIN_S)


async def test_a_worker_does_what_it_is_told(tmp_path: Path, settled: list[bool]) -> None:
    async with provider('models = ["one"]') as (_, base_url):
        text = config_text(tmp_path, base_url)
        more = text + model_text("test/two", ("p0", "one"))
        async with working(text) as told:
            assert settled == [True]
            assert await told.models() == ["test/one"]
            counts = await told.channel.request("counts", timeout_s=WITHIN_S)
            assert counts["weir_ready"] == [[[], [1.0]]]
            assert await told.channel.request("reload", more, timeout_s=WITHIN_S)
            assert await told.models() == ["test/two"]  # configured ones stand for the list
            assert not await told.channel.request("reload", "colour = 1", timeout_s=WITHIN_S)
            assert not await told.channel.request("reload", "[server]\n", timeout_s=WITHIN_S)
            assert await told.models() == ["test/two"]
            with pytest.raises(Refused):
                await told.channel.request("sing", timeout_s=WITHIN_S)
            told.channel.notify("stop")
            told.channel.notify("hurry")
            assert await told.ended() == 0
            await told.channel.closed.wait()
            assert told.said["ended"]["weir_ready"] == [[[], [0.0]]]
            assert "failed" not in told.said


async def test_a_reload_while_it_starts_is_done_when_it_has(tmp_path: Path) -> None:
    async with provider('models = ["one"]') as (_, base_url):
        text = config_text(tmp_path, base_url)
        more = text + model_text("test/two", ("p0", "one"))
        async with working(text, early=more) as told:
            assert await told.models() == ["test/two"]


def test_its_log_has_its_own_name_however_it_is_run() -> None:
    assert runpy.run_path(worker.__file__, run_name="started")["log"].name == "proxy.worker"


async def test_who_retires_serves_its_connections_to_their_end(tmp_path: Path) -> None:
    async with working(config_text(tmp_path)) as told, aiohttp.ClientSession() as session:

        async def ask() -> str:
            async with session.get(f"{told.url}/health") as got:
                assert got.status == 200
                await got.read()
                return got.headers.get("Connection", "")

        assert await ask() == ""
        told.channel.notify("retire")
        await asyncio.sleep(0.05)
        assert not told.code.done()
        assert await ask() == "close"
        assert await told.ended() == 0


async def test_who_retires_too_slowly_is_hurried(tmp_path: Path) -> None:
    text = config_text(tmp_path, more="[timeouts]\ndrain_s = 0.05\n")
    async with working(text) as told, aiohttp.ClientSession() as session:
        async with session.get(f"{told.url}/health") as got:
            await got.read()  # its connection stays open, and idle
        told.channel.notify("retire")
        assert await told.ended() == 0


async def test_a_worker_ends_without_its_supervisor(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with working(config_text(tmp_path)) as told:
        await told.channel.close()
        assert await told.ended() == 0
    assert "the supervisor is gone" in [record.message for record in caplog.records]


@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        ("colour = 1", 2, "$.colour: unknown key"),
        ('[store]\nurl = "sqlite:////nowhere/weir.db"', 1, "The store"),
    ],
)
async def test_why_it_can_not_start_is_told(text: str, code: int, reason: str) -> None:
    async with working(text) as told:
        assert await told.ended() == code
        assert told.said["failed"]["code"] == code
        assert told.said["failed"]["reason"].startswith(reason)


async def test_a_fault_of_ours_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("unheard of")

    monkeypatch.setattr(hosting, "parse", fail)
    async with working("") as told:
        assert await told.ended() == 1
        assert told.said["failed"] == {"reason": "unheard of", "code": 1}
    assert [record.message for record in caplog.records] == ["internal error"]


@pytest.fixture
def untouched() -> Iterator[None]:
    """Signals and loggers are afterwards as they were."""
    handlers = {number: signal.getsignal(number) for number in worker.SUPERVISORS}
    root = logging.getLogger()
    before = root.handlers[:]
    yield
    root.handlers[:] = before
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("untouched")
def test_its_lines_carry_its_number_and_signals_are_not_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[tuple[int, list[int]]] = []

    def setup(level: str, **more: Any) -> None:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logs._Json(more))
        logging.getLogger().handlers[:] = [handler]

    def work(end: socket.socket, sockets: list[socket.socket]) -> Coroutine[Any, Any, int]:
        async def working() -> int:
            seen.append((end.fileno(), [sock.fileno() for sock in sockets]))
            assert not end.get_inheritable()
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGHUP)
            logging.getLogger("proxy").warning("hello")
            end.close()
            for sock in sockets:
                sock.close()
            return 3

        return working()

    monkeypatch.setattr(logs, "setup", setup)
    monkeypatch.setattr(worker, "work", work)
    numbers = [socket.socket().detach() for _ in range(3)]
    assert worker.main([str(one) for one in (7, *numbers)]) == 3
    assert seen == [(numbers[0], numbers[1:])]
    line = json.loads(capsys.readouterr().err)
    assert (line["message"], line["worker"]) == ("hello", 7)


async def test_it_does_not_wait_for_ever_for_its_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "ANSWER_S", 0.05)
    ours, theirs = socket.socketpair()
    with ours:
        assert await worker.work(theirs, []) == 1
    await eventually(lambda: theirs.fileno() == -1)
