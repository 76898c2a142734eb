"""A caller that hangs up, however it does so and whenever: the provider is told within 100 ms, or
heard out for its usage where it would go on to charge.
"""

import asyncio
import contextlib
import socket
import sqlite3
import statistics
import struct
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest

from proxy.pipeline import relay
from proxy.upstream.fake import Fake, Rule, Scenario
from proxy.wire.record import Generation
from tests.running import (
    config_text,
    eventually,
    mint_key,
    model_text,
    process,
    provider,
    weir,
)

RUNS = 300
STOPS = 'name = "P0"\ncancel_stops_billing = true'
DRAINS = 40
WITHIN_S = 0.1


class Moment(NamedTuple):
    """When a caller hangs up: `heard` is what it waits for of the answer before it does."""

    model: str
    stream: bool
    heard: bytes
    charged: bool


MOMENTS = {
    "before the head": Moment("test/silent", True, b"", False),
    "mid-stream": Moment("test/flowing", True, b'"content":"', True),
    "in a stream that stalls": Moment("test/stalling", True, b'"content":"', True),
    "in a whole answer": Moment("test/silent", False, b"", False),
}
SCENARIO = Scenario(
    rules=(
        Rule(model="silent", fault="no-head"),
        Rule(model="flowing", tokens=10_000, tokens_per_s=50),
        Rule(model="stalling", fault="stall", events=3),
        Rule(model="paced", tokens=40, tokens_per_s=80),
    )
)


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
@pytest.mark.parametrize("own", [False, True], ids=["in this process", "weir serve"])
async def test_the_provider_sees_a_hang_up_at_once(
    tmp_path: Path, moment: Moment, own: bool
) -> None:
    async with provider(SCENARIO) as (fake, base_url):
        names = ("silent", "flowing", "stalling")
        models = "".join(model_text(f"test/{name}", ("p0", name)) for name in names)
        text = config_text(tmp_path, base_url).replace('name = "P0"', STOPS) + models
        async with (_served if own else _hosted)(tmp_path, text) as (url, key):
            took_s = [
                await _hang_up(url, key, fake, moment, reset=number % 2 == 1)
                for number in range(RUNS)
            ]
    p50, p99 = statistics.median(took_s), statistics.quantiles(took_s, n=100)[98]
    print(f"\n{moment}: p50 {p50 * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms")
    assert p99 < WITHIN_S
    rows = _rows(tmp_path)
    assert len({row["id"] for row in rows}) == len(rows) == RUNS
    for row in rows:
        assert row["cancelled"] == 1
        assert (row["status"], row["error"]) == (499, None)
        assert len(orjson.loads(row["attempts"])) == 1
        if moment.charged:
            assert row["usage_estimated"] == 1
            assert row["completion_tokens"] > 0
            assert row["cost_nano"] > 0
        else:
            assert (row["cost_nano"], row["completion_tokens"], row["prompt_tokens"]) == (0, 0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_who_goes_on_to_charge_is_heard_out(tmp_path: Path, stream: bool) -> None:
    moment = Moment("test/paced", stream, b'"content":"' if stream else b"", True)
    async with provider(SCENARIO) as (fake, base_url):
        text = config_text(tmp_path, base_url) + model_text("test/paced", ("p0", "paced"))
        async with weir(tmp_path, text) as running:
            for number in range(DRAINS):
                reader, writer = await _call(running.url, running.key, moment)
                await _until(lambda: fake.open > 0)
                await _hear(reader, moment)
                _leave(writer, reset=number % 2 == 1)
            await eventually(lambda: running.gateway.app.under_way == 0)
            assert fake.open > 0
            await eventually(lambda: fake.open == 0)
        assert fake.disconnects == 0
    rows = _rows(tmp_path)
    assert len({row["id"] for row in rows}) == len(rows) == DRAINS
    for row in rows:
        assert (row["cancelled"], row["status"], row["usage_estimated"]) == (1, 499, 0)
        assert row["completion_tokens"] == 40
        assert row["cost_nano"] > 0


@contextlib.asynccontextmanager
async def _hosted(folder: Path, text: str) -> AsyncIterator[tuple[str, str]]:
    async with weir(folder, text) as running:
        yield running.url, running.key
        await eventually(lambda: running.gateway.app.under_way == 0)


@contextlib.asynccontextmanager
async def _served(folder: Path, text: str) -> AsyncIterator[tuple[str, str]]:
    (folder / "config.toml").write_text(text)
    key = mint_key(folder / "weir.db")
    async with process("serve", "--bind", "127.0.0.1:0", cwd=folder) as running:
        yield running.url, key


def _rows(folder: Path) -> list[sqlite3.Row]:
    with contextlib.closing(sqlite3.connect(folder / "weir.db")) as store:
        store.row_factory = sqlite3.Row
        return store.execute("select * from generations").fetchall()


async def _hang_up(url: str, key: str, fake: Fake, moment: Moment, *, reset: bool) -> float:
    """One call that is hung up, by a FIN or a reset; the seconds until the provider saw it."""
    before = fake.disconnects
    reader, writer = await _call(url, key, moment)
    await _until(lambda: fake.open > 0)
    await _hear(reader, moment)
    hung_up_at = _leave(writer, reset=reset)
    await _until(lambda: fake.disconnects > before and fake.open == 0)
    return fake.disconnect_times[-1] - hung_up_at


async def _hear(reader: asyncio.StreamReader, moment: Moment) -> None:
    heard = b""
    while moment.heard not in heard:
        heard += await reader.read(65536)


def _leave(writer: asyncio.StreamWriter, *, reset: bool) -> float:
    """Hangs up, and tells when."""
    if reset:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    hung_up_at = time.monotonic()
    writer.transport.abort()
    return hung_up_at


async def _until(condition: Callable[[], bool]) -> None:
    """As `eventually`, but looking often enough for what takes a fraction of a millisecond."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        await asyncio.sleep(0.0005)


async def _call(
    url: str, key: str, moment: Moment
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = {
        "model": moment.model,
        "stream": moment.stream,
        "messages": [{"role": "user", "content": "hello"}],
    }
    writer.write(_request(key, orjson.dumps(body)))
    return reader, writer


def _request(key: str, body: bytes, more: bytes = b"") -> bytes:
    return (
        b"POST /api/v1/chat/completions HTTP/1.1\r\nHost: weir\r\n"
        b"Authorization: Bearer " + key.encode() + b"\r\n"
        b"Content-Type: application/json\r\n"
        b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body + more
    )


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
async def test_a_caller_that_sent_more_than_its_request_may_hang_up_too(
    tmp_path: Path, reset: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipelined request must not keep the server from reading the end of the connection."""
    monkeypatch.setattr(relay, "FIRST_COMMENT_S", 60.0)  # to write would show it as well
    async with provider(SCENARIO) as (fake, base_url):
        models = model_text("test/silent", ("p0", "silent"))
        async with weir(tmp_path, config_text(tmp_path, base_url) + models) as running:
            _, writer = await _call(running.url, running.key, MOMENTS["before the head"])
            writer.write(b"GET /health HTTP/1.1\r\nHost: weir\r\n\r\n")
            await eventually(lambda: fake.open == 1)
            if reset:
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            await eventually(lambda: fake.disconnects == 1)
            await eventually(lambda: running.gateway.app.under_way == 0)


@pytest.mark.parametrize("moment", ["request line", "headers", "body"])
async def test_a_caller_that_hangs_up_within_its_request_leaves_nothing(
    tmp_path: Path, moment: str
) -> None:
    async with provider(SCENARIO) as (fake, base_url):
        models = model_text("test/silent", ("p0", "silent"))
        async with weir(tmp_path, config_text(tmp_path, base_url) + models) as running:
            rows: list[Generation] = []
            running.gateway.office.metrics.record = rows.append  # type: ignore[assignment, method-assign]
            asked = fake.requests
            whole = _request(running.key, b'{"model": "test/silent"}')
            sent = {"request line": 9, "headers": 70, "body": len(whole) - 5}[moment]
            host, _, port = running.url.removeprefix("http://").rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(whole[:sent])
            if moment == "body":
                await eventually(lambda: running.gateway.app.under_way == 1)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await reader.read()
            await eventually(lambda: running.gateway.app.under_way == 0)
            assert fake.requests == asked
            assert rows == []
