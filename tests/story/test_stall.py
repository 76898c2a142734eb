"""A caller that stops reading costs little memory, is cut in time, and disturbs nobody."""

import asyncio
import socket
import sqlite3
import time
from pathlib import Path

import aiohttp
import orjson
import pytest

from proxy.upstream.fake import Rule, Scenario
from tests.running import config_text, eventually, mint_key, model_text, process, provider

STALL_S = 2.0
LATE_S = 6.0  # on a busy machine; nothing else would cut it in a minute
MIB = 1024 * 1024
GROWTH_BYTES_MAX = 8 * MIB
EVENT_BYTES = 16 * 1024
ANSWER_BYTES = 50 * MIB
SCENARIO = Scenario(
    rules=(Rule(model="long", event_bytes=EVENT_BYTES, tokens=ANSWER_BYTES // EVENT_BYTES),)
)


@pytest.mark.slow
async def test_a_caller_that_stops_reading(tmp_path: Path) -> None:
    async with provider(SCENARIO) as (fake, base_url):
        more = f"[timeouts]\nclient_stall_s = {STALL_S}\n"
        models = model_text("test/long", ("p0", "long"))
        models += model_text("test/short", ("p0", "weir/lorem"))
        (tmp_path / "config.toml").write_text(config_text(tmp_path, base_url, more=more) + models)
        key = mint_key(tmp_path / "weir.db")
        headers = {"Authorization": f"Bearer {key}"}
        async with (
            process("serve", "--bind", "127.0.0.1:0", cwd=tmp_path) as running,
            aiohttp.ClientSession(headers=headers) as session,
        ):
            for _ in range(20):  # what is loaded once is loaded now
                await _read_all(session, running.url, "test/short")
            before_bytes, open_before = running.rss_bytes, running.open_files
            asked_at = time.monotonic()
            stalled = await _ask_and_stop_reading(running.url, key)
            peak_bytes, served = 0, 0
            while fake.disconnects == 0:
                assert time.monotonic() < asked_at + STALL_S + LATE_S, "it was never cut"
                assert await _read_all(session, running.url, "test/short") < MIB
                peak_bytes, served = max(peak_bytes, running.rss_bytes), served + 1
            cut_s = fake.disconnect_times[-1] - asked_at
            grown = (peak_bytes - before_bytes) / MIB
            print(
                f"\ncut after {cut_s:.2f} s, {grown:.1f} MiB of RSS more at most, "
                f"{served} other requests served meanwhile"
            )
            assert peak_bytes - before_bytes <= GROWTH_BYTES_MAX
            assert STALL_S * 0.9 <= cut_s <= STALL_S + LATE_S
            assert served > 20
            delivered = await _drain(stalled)
            assert delivered < ANSWER_BYTES / 2
            await eventually(lambda: fake.open == 0)
            await eventually(lambda: running.open_files <= open_before + 1)
    with sqlite3.connect(tmp_path / "weir.db") as store:
        cancelled = store.execute(
            "select status, cost_nano > 0, usage_estimated from generations where cancelled"
        ).fetchall()
    store.close()
    assert cancelled == [(499, 1, 1)]


@pytest.mark.slow
async def test_a_slow_reader_gets_it_all(tmp_path: Path) -> None:
    """Reading slowly is no stall: the provider is held back and nothing is lost."""
    words = 400
    scenario = Scenario(rules=(Rule(model="long", event_bytes=EVENT_BYTES, tokens=words),))
    async with provider(scenario) as (_, base_url):
        more = f"[timeouts]\nclient_stall_s = {STALL_S}\nbetween_chunks_s = 1.5\n"
        models = model_text("test/long", ("p0", "long"))
        (tmp_path / "config.toml").write_text(config_text(tmp_path, base_url, more=more) + models)
        key = mint_key(tmp_path / "weir.db")
        async with process("serve", "--bind", "127.0.0.1:0", cwd=tmp_path) as running:
            sock = await _ask_and_stop_reading(running.url, key)
            loop = asyncio.get_running_loop()
            answer = bytearray()
            while not answer.endswith(b"0\r\n\r\n"):
                piece = await asyncio.wait_for(loop.sock_recv(sock, 512 * 1024), 20)
                assert piece, "the answer was cut"
                answer += piece
                await asyncio.sleep(0.15)  # longer waits than between_chunks_s add up behind it
            sock.close()
    assert answer.count(b'"finish_reason":null') == words
    assert b"data: [DONE]" in answer


async def _ask_and_stop_reading(url: str, key: str) -> socket.socket:
    """A socket on which the long answer was asked for; the system's buffers are small."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    body = orjson.dumps(
        {"model": "test/long", "stream": True, "messages": [{"role": "user", "content": "?"}]}
    )
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, (host, int(port)))
    request = (
        f"POST /api/v1/chat/completions HTTP/1.1\r\nHost: weir\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    await loop.sock_sendall(sock, request.encode() + body)
    return sock


async def _drain(sock: socket.socket) -> int:
    """How many bytes were on the way to a caller that was cut."""
    loop = asyncio.get_running_loop()
    size = 0
    try:
        while data := await loop.sock_recv(sock, MIB):
            size += len(data)
    except ConnectionResetError:
        pass
    finally:
        sock.close()
    return size


async def _read_all(session: aiohttp.ClientSession, url: str, model: str) -> int:
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    size = 0
    async with session.post(f"{url}/api/v1/chat/completions", json=body) as response:
        assert response.status == 200
        async for data in response.content.iter_any():
            size += len(data)
    return size
