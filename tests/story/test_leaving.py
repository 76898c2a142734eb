"""Callers that leave at any byte of an answer: the provider hears of it, or is heard out, as its
row says; what is charged is what `docs/money.md` says; and nothing is left behind.
"""

import asyncio
import contextlib
import os
import random
import socket
import statistics
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp
import orjson
import pytest
from starlette.types import Message, Receive, Scope, Send

from proxy.pipeline import drains
from proxy.upstream.fake import Fake, Rule, Scenario, fake
from proxy.wire.record import Generation
from tests.campaign import (
    PROMPT,
    body_of,
    callers,
    known,
    new_key,
    opened,
    rounds,
    rows_of,
    served,
)
from tests.running import config_text, eventually, model_text, serving, weir

WITHIN_S: Final = 0.1
WORDS: Final = 40
PROMPT_NANO: Final = 1000  # per token, as tests.running.PRICING says
COMPLETION_NANO: Final = 2000
FULL_NANO: Final = PROMPT_NANO + COMPLETION_NANO * WORDS
RICH: Final = 10**12
SLOTS: Final = 5
BUFFERS_BYTES: Final = 16 * 2**20  # of sockets, between a provider that floods and the gateway
SCENARIO = Scenario(
    rules=(
        Rule(model="paced", tokens=WORDS, tokens_per_s=400, first_token_s=0.02),
        Rule(model="stalling", fault="stall", events=4),
        Rule(model="flood", tokens=10**6, event_bytes=1000),
        Rule(model="endless", tokens=10**6, tokens_per_s=5),
    )
)
NAMES: Final = ("paced", "stalling", "flood", "endless")


class Watch:
    """In front of the simulated provider: the text that it sent of its last answer, in bytes, all
    bytes that it ever sent, and when answers were cancelled.
    """

    def __init__(self) -> None:
        self.fake: Fake = fake(SCENARIO)
        self.text_bytes = 0
        self.sent_bytes = 0
        self.cancelled_at: list[float] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def watched(message: Message) -> None:
            body = message.get("body", b"")
            self.sent_bytes += len(body)
            self.text_bytes += len(_text(body))
            await send(message)

        self.text_bytes = 0
        try:
            await self.fake(scope, receive, watched if scope["type"] == "http" else send)
        except asyncio.CancelledError:  # the server may say so instead of a disconnect
            self.cancelled_at.append(time.monotonic())
            raise

    def gone_at(self, since: float) -> float | None:
        """When, from then on, it first knew that its caller had gone."""
        times = [*self.fake.disconnect_times, *self.cancelled_at]
        return min((at for at in times if at >= since), default=None)


class Served(NamedTuple):
    """A gateway, in this process or its own. `rest` tells what it holds: requests under way and
    credit; `files` how many it has open.
    """

    url: str
    rest: Callable[[], Awaitable[tuple[float, float]]]
    files: Callable[[], int]
    tasks: Callable[[], int]


@contextlib.asynccontextmanager
async def _hosted(folder: Path, text: str) -> AsyncIterator[Served]:
    async with weir(folder, text) as running:
        gateway = running.gateway

        async def rest() -> tuple[float, float]:
            drained = len(gateway._flow._drains)
            return gateway.app.under_way + drained, gateway.office.treasury.held_nano

        def files() -> int:
            return len(os.listdir("/proc/self/fd"))

        yield Served(running.url, rest, files, lambda: len(asyncio.all_tasks()))


@contextlib.asynccontextmanager
async def _own(folder: Path, text: str) -> AsyncIterator[Served]:
    async with served(folder, text) as running, aiohttp.ClientSession() as session:

        async def rest() -> tuple[float, float]:
            async with session.get(f"{running.url}/metrics") as response:
                lines = (await response.text()).splitlines()
            values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
            return float(values["weir_requests_in_progress"]), float(values["weir_held_usd"])

        yield Served(running.url, rest, lambda: running.open_files, lambda: 0)


def _configured(folder: Path, url: str) -> str:
    """Each model once at a provider that stops charging, and once at another that does not."""
    models = "".join(model_text(f"stops/{name}", ("p0", name)) for name in NAMES)
    models += "".join(model_text(f"drains/{name}", ("p1", name)) for name in NAMES)
    text = config_text(folder, f"{url}/v1", f"{url}/v1") + models
    return text.replace('slug = "p0"\n', 'slug = "p0"\ncancel_stops_billing = true\n')


class Left(NamedTuple):
    """One that left: the text it had read, what the provider had sent by the end, all that there
    was to send, and the seconds until the provider knew, if it had not finished before.
    """

    model: str
    read_bytes: int
    sent_bytes: int
    whole_bytes: int
    heard_s: float | None


@pytest.mark.slow
@pytest.mark.parametrize("own", [False, True], ids=["in this process", "weir serve"])
async def test_who_leaves_at_any_byte_pays_what_is_documented(tmp_path: Path, own: bool) -> None:
    runs = rounds(20)
    rng = random.Random()
    watch = Watch()
    left: list[Left] = []
    with opened(tmp_path) as store:
        key = new_key(store, "leaving", RICH, concurrent_requests=SLOTS)
        async with serving(watch) as url:
            text = _configured(tmp_path, url)
            async with (_own if own else _hosted)(tmp_path, text) as gateway:
                await _known(gateway, key)
                whole = await _all(gateway, key)
                whole_bytes = len(_text(whole))
                files, tasks = gateway.files(), gateway.tasks()
                for number in range(1, runs + 1):
                    model = ("stops/paced", "drains/paced")[number % 2]
                    at = rng.randrange(len(whole)) if rng.random() < 0.8 else 0
                    reset = rng.random() < 0.5
                    one = await _leave(
                        gateway, watch, key, model, at=at, number=number, reset=reset
                    )
                    left.append(one._replace(whole_bytes=whole_bytes))
                await eventually(lambda: _resting(gateway))
                # Every slot is free again: as many as there are can be held at once.
                full = await asyncio.gather(*(_all(gateway, key) for _ in range(SLOTS)))
                assert all(b'"finish_reason":"stop"' in one for one in full)
                await eventually(lambda: _resting(gateway))
                await eventually(lambda: gateway.files() <= files + SLOTS)
                await eventually(lambda: gateway.tasks() <= tasks)
        rows = rows_of(store, "leaving")
        by_number = {row.session_id: row for row in rows.generations.values()}
        kinds: Counter[str] = Counter()
        for number, one in enumerate(left, start=1):
            row = by_number[str(number)]
            assert rows.charges.get(row.id, 0) == row.cost_nano
            kinds[_judge(one, row)] += 1
        assert store.ledger.balance("leaving").leased_nano == 0
        assert store.ledger.verify().differences == ()
    heard_s = [one.heard_s for one in left if one.heard_s is not None]
    # Of a few, one that a busy machine held up is more than a hundredth.
    few = len(heard_s) < 100
    heard = statistics.median(heard_s) if few else statistics.quantiles(heard_s, n=100)[98]
    print(
        f"\n{runs} left: {dict(kinds)}; heard {'p50' if few else 'p99'} {heard * 1e3:.1f}, "
        f"max {max(heard_s) * 1e3:.1f} ms"
    )
    assert heard <= WITHIN_S


def _judge(left: Left, row: Generation) -> str:
    """What the caller paid for, in a word."""
    stops = left.model.startswith("stops")
    kind = left.model.partition("/")[0]
    if not row.cost_nano:
        assert left.read_bytes == 0
        assert (row.prompt_tokens, row.completion_tokens, row.house_nano) == (0, 0, 0)
        return f"{kind}: nothing, before content"
    if row.usage_estimated:
        assert stops
        assert left.heard_s is not None or left.sent_bytes == left.whole_bytes
        least, most = _estimate(left.read_bytes), _estimate(left.sent_bytes)
        assert least <= row.cost_nano <= most, (left, row)
        return f"{kind}: what was delivered"
    assert row.cost_nano == FULL_NANO
    assert row.completion_tokens == WORDS
    assert left.heard_s is None
    return f"{kind}: the whole" if row.cancelled else f"{kind}: was complete"


def _estimate(text_bytes: int) -> int:
    prompt = -(-len(PROMPT) // 4) + 4
    return PROMPT_NANO * prompt + COMPLETION_NANO * -(-text_bytes // 4)


async def _known(gateway: Served, key: str) -> None:
    async with callers() as session:
        await known(session, gateway.url, key)


async def _resting(gateway: Served) -> bool:
    return await gateway.rest() == (0, 0)


async def _leave(
    gateway: Served, watch: Watch, key: str, model: str, *, at: int, number: int, reset: bool
) -> Left:
    """One request whose caller leaves after `at` bytes of the answer; returns when all is over."""
    asked = watch.fake.requests
    reader, writer = await _call(gateway.url, key, model, number)
    await _until(lambda: watch.fake.requests > asked)
    read = b""
    with contextlib.suppress(ConnectionError):
        while len(read) < at and (data := await reader.read(min(65536, at - len(read)))):
            read += data
            if b"data: [DONE]" in read:
                break
    left_at = _close(writer, reset=reset)
    await _until(lambda: watch.fake.open == 0)
    gone_at = watch.gone_at(left_at)
    heard_s = None if gone_at is None else gone_at - left_at
    await eventually(lambda: _resting(gateway))
    return Left(model, len(_text(read)), watch.text_bytes, 0, heard_s)


async def _all(gateway: Served, key: str) -> bytes:
    """A whole answer, head and all."""
    reader, writer = await _call(gateway.url, key, "stops/paced", 0)
    read = b""
    while b"data: [DONE]" not in read:
        read += (data := await reader.read(65536))
        assert data, read
    writer.close()
    return read


def _text(raw: bytes) -> bytes:
    """The text in whole events of an answer, whatever stands between them."""
    words = []
    for event in raw.split(b"\n\n")[:-1]:
        _, found, data = event.partition(b"data: {")
        if found:
            choices = orjson.loads(b"{" + data.rpartition(b"}")[0] + b"}").get("choices") or ()
            words += [one.get("delta", {}).get("content") or "" for one in choices]
    return "".join(words).encode()


async def _call(
    url: str, key: str, model: str, number: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = orjson.dumps(body_of(model, stream=True))
    head = (
        f"POST /api/v1/chat/completions HTTP/1.1\r\nHost: weir\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"X-Session-Id: {number}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    return reader, writer


def _close(writer: asyncio.StreamWriter, *, reset: bool) -> float:
    if reset:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    left_at = time.monotonic()
    writer.transport.abort()
    return left_at


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
async def test_who_sent_more_than_a_request_is_heard_out_as_well(
    tmp_path: Path, reset: bool
) -> None:
    """A pipelined request keeps the server from reading, and so from seeing the end."""
    watch = Watch()
    with opened(tmp_path) as store:
        key = new_key(store, "leaving", RICH)
        async with serving(watch) as url, _hosted(tmp_path, _configured(tmp_path, url)) as gateway:
            await _known(gateway, key)
            reader, writer = await _call(gateway.url, key, "drains/paced", 1)
            writer.write(b"GET /health HTTP/1.1\r\nHost: weir\r\n\r\n")
            while b'"content":"' not in await reader.read(4096):
                pass
            _close(writer, reset=reset)
            await eventually(lambda: watch.fake.open == 0)
            await eventually(lambda: _resting(gateway))
        (row,) = rows_of(store, "leaving").generations.values()
    assert row.cancelled
    assert (row.completion_tokens, row.usage_estimated) == (WORDS, False)
    assert row.cost_nano == FULL_NANO


async def _until(condition: Callable[[], bool]) -> None:
    """As `eventually`, but looking often enough for what takes a fraction of a millisecond."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        await asyncio.sleep(0.0005)


@pytest.mark.slow
@pytest.mark.parametrize("bound", ["seconds", "bytes", "number"])
async def test_nobody_is_heard_out_beyond_the_bounds(
    tmp_path: Path, bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = {"seconds": "stalling", "bytes": "flood", "number": "endless"}[bound]
    count = drains.DRAINS_MAX + 10 if bound == "number" else 3
    if bound != "bytes":
        monkeypatch.setattr(drains, "DRAIN_S", 0.3 if bound == "seconds" else 3.0)
    watch = Watch()
    with opened(tmp_path) as store:
        key = new_key(store, "leaving", RICH)
        async with serving(watch) as url, _hosted(tmp_path, _configured(tmp_path, url)) as gateway:
            await _known(gateway, key)
            calls = [await _call(gateway.url, key, f"drains/{model}", n) for n in range(count)]
            for reader, _ in calls:
                read = b""
                while b'"content":"' not in read:
                    read += await reader.read(4096)
            sent_before = watch.sent_bytes
            left_at = min(_close(writer, reset=False) for _, writer in calls)
            ended = watch.fake
            if bound == "number":
                await eventually(lambda: ended.disconnects == count - drains.DRAINS_MAX)
                assert ended.open == drains.DRAINS_MAX
            else:
                await eventually(lambda: ended.disconnects == count)
                await eventually(lambda: _resting(gateway))
                took_s = ended.disconnect_times[-1] - left_at
                print(f"\n{bound}: {took_s:.2f} s, {watch.sent_bytes - sent_before} bytes", end="")
            if bound == "seconds":
                assert min(ended.disconnect_times) - left_at >= 0.25
            if bound == "bytes":
                most = count * (drains.DRAIN_BYTES_MAX + BUFFERS_BYTES)
                assert watch.sent_bytes - sent_before <= most
        rows = rows_of(store, "leaving").generations
        assert len(rows) == count
        for row in rows.values():
            assert (row.cancelled, row.usage_estimated) == (True, True)
            assert (row.cost_nano or 0) > 0
        assert store.ledger.verify().differences == ()
        assert store.ledger.balance("leaving").leased_nano == 0
