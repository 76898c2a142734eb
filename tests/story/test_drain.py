"""The end of a gateway: answers are finished, new requests refused, and nobody waits for ever."""

import asyncio
import contextlib
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import orjson
import pytest

from proxy.gateway import HURRY_S
from proxy.upstream.fake import Fake, Rule, Scenario, fake
from tests.gate import Gate
from tests.running import (
    Process,
    config_text,
    eventually,
    mint_key,
    model_text,
    process,
    serving,
)

WORDS = 40
SCENARIO = Scenario(
    rules=(
        Rule(model="paced", tokens=WORDS, tokens_per_s=100),
        Rule(model="stalling", fault="stall", events=3),
        Rule(model="silent", fault="no-head"),
    )
)
STREAMS = 50
ENDS_S = 4.0  # what a busy machine takes to end a process, and less than an idle connection is kept


class Bench(NamedTuple):
    """A gateway as a process of its own, in front of a provider of this one."""

    running: Process
    session: aiohttp.ClientSession
    fake: Fake
    gate: Gate

    def post(self, model: str, *, stream: bool = True) -> Any:
        body = {
            "model": f"test/{model}",
            "stream": stream,
            "messages": [{"role": "user", "content": "hello"}],
        }
        return self.session.post(f"{self.running.url}/api/v1/chat/completions", json=body)

    async def status(self, path: str) -> int:
        async with aiohttp.ClientSession() as fresh, fresh.get(self.running.url + path) as answer:
            return answer.status

    def end(self) -> None:
        self.running.process.send_signal(signal.SIGTERM)

    async def ended(self, within_s: float) -> None:
        assert await asyncio.wait_for(self.running.process.wait(), within_s) == 0


@contextlib.asynccontextmanager
async def bench(folder: Path, timeouts: str = "") -> AsyncIterator[Bench]:
    played = fake(SCENARIO)
    gate = Gate(played)
    async with serving(gate) as url:
        names = ("paced", "stalling", "silent")
        models = "".join(model_text(f"test/{name}", ("p0", name)) for name in names)
        more = f"[timeouts]\n{timeouts}\n"
        (folder / "config.toml").write_text(config_text(folder, f"{url}/v1", more=more) + models)
        headers = {"Authorization": f"Bearer {mint_key(folder / 'weir.db')}"}
        connector = aiohttp.TCPConnector(limit=0)
        async with (
            process("serve", "--bind", "127.0.0.1:0", cwd=folder) as running,
            aiohttp.ClientSession(headers=headers, connector=connector) as session,
        ):
            yield Bench(running, session, played, gate)


def _errors(folder: Path) -> list[str | None]:
    with contextlib.closing(sqlite3.connect(folder / "weir.db")) as store:
        return [row[0] for row in store.execute("select error from generations")]


def _last_words(raw: bytes) -> dict[str, Any]:
    """The error that ends a stream, which must be followed by its end mark and nothing else."""
    *_, last, done, rest = raw.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    event = orjson.loads(last.removeprefix(b"data: "))
    assert event["choices"][0]["finish_reason"] == "error"
    return dict(event["error"])


async def test_no_stream_is_lost(tmp_path: Path) -> None:
    async with bench(tmp_path) as tried:
        tried.gate.open.clear()
        begun = 0

        async def one() -> bytes:
            nonlocal begun
            async with tried.post("paced") as response:
                assert response.status == 200
                raw: bytes = await response.content.readany()
                begun += 1
                while data := await response.content.readany():
                    raw += data
                return raw

        streams = [asyncio.create_task(one()) for _ in range(STREAMS)]
        await eventually(lambda: begun == STREAMS)
        assert await tried.status("/ready") == 200
        tried.end()
        await eventually(lambda: any("draining" in line for line in tried.running.lines))
        assert await tried.status("/ready") == 503
        assert await tried.status("/health") == 200
        async with tried.post("paced") as response:
            assert response.status == 503
            assert response.headers["Retry-After"] == "1"
            assert response.headers["Connection"] == "close"
            assert (await response.json())["error"]["code"] == 503
        assert not any(stream.done() for stream in streams)
        tried.gate.open.set()
        for raw in await asyncio.gather(*streams):
            assert raw.count(b'"finish_reason":null') == WORDS
            assert raw.endswith(b"data: [DONE]\n\n")
        await tried.ended(within_s=ENDS_S)
    assert _errors(tmp_path) == [None] * STREAMS


@pytest.mark.slow
@pytest.mark.parametrize("how", ["drain_s is over", "a second signal"])
async def test_what_takes_too_long_ends_with_an_error(tmp_path: Path, how: str) -> None:
    drain_s = 0.5 if how == "drain_s is over" else 60
    async with bench(tmp_path, f"drain_s = {drain_s}") as tried:
        begun = asyncio.Event()
        stalled, silent, whole = (
            asyncio.create_task(_read(tried, model, stream=stream, on_first=on_first))
            for model, stream, on_first in (
                ("stalling", True, begun.set),
                ("silent", True, None),
                ("silent", False, None),
            )
        )
        await eventually(lambda: tried.fake.open == 3)
        await begun.wait()
        began = time.monotonic()
        tried.end()
        await eventually(lambda: any("draining" in line for line in tried.running.lines))
        if how == "a second signal":
            assert not stalled.done()
            tried.end()
        status, raw = await stalled
        assert status == 200
        assert _last_words(raw)["code"] == 503
        status, raw = await whole  # nothing was sent, so it has a status
        assert (status, orjson.loads(raw)["error"]["code"]) == (503, 503)
        status, raw = await silent  # nothing but comments, once a second was over
        waited = raw.startswith(b":")
        assert waited or how != "a second signal"
        assert status == (200 if waited else 503)
        assert (_last_words(raw) if waited else orjson.loads(raw)["error"])["code"] == 503
        await tried.ended(within_s=HURRY_S + ENDS_S)
        hurry_s = HURRY_S if how == "a second signal" else 0
        assert hurry_s <= time.monotonic() - began < hurry_s + ENDS_S
        await eventually(lambda: tried.fake.open == 0)
    assert _errors(tmp_path) == ["draining"] * 3


async def _read(
    tried: Bench, model: str, *, stream: bool, on_first: Callable[[], None] | None = None
) -> tuple[int, bytes]:
    async with tried.post(model, stream=stream) as response:
        raw: bytes = await response.content.readany()
        if on_first is not None:
            on_first()
        return response.status, raw + await response.read()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_idle_gateway_ends_at_once(tmp_path: Path, number: signal.Signals) -> None:
    async with bench(tmp_path) as tried:
        async with tried.post("paced") as response:  # its connection stays open, and idle
            await response.read()
        assert len(tried.session.connector._conns) == 1  # type: ignore[union-attr]
        began = time.monotonic()
        tried.running.process.send_signal(number)
        await tried.ended(within_s=20)
        took_s = time.monotonic() - began
    assert took_s < ENDS_S
    assert tried.running.traces == ""


@pytest.mark.slow
async def test_a_caller_that_never_finishes_its_request_does_not_hold_the_end_up(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path, "drain_s = 0.2") as tried:
        host, _, port = tried.running.url.removeprefix("http://").rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        key = tried.session.headers["Authorization"]
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: weir\r\nContent-Length: 9\r\n"
            b"Authorization: " + key.encode() + b"\r\n\r\n{"
        )
        await eventually(lambda: _in_progress(tried))
        tried.end()
        await tried.ended(within_s=20)
        writer.close()
        assert tried.running.traces == ""


async def _in_progress(tried: Bench) -> bool:
    async with tried.session.get(tried.running.url + "/metrics") as response:
        return "weir_requests_in_progress 1.0" in await response.text()
