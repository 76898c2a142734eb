"""Callers of a gateway in this process: they ask, read to the end, and find the row that was kept.

What a campaign over sockets counts is taken from these rows and from the simulated providers, two
witnesses that know nothing of each other.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, NamedTuple, TypeVar

import aiohttp
import orjson

from proxy.wire.record import Generation
from tests.running import Running, eventually


class Answer(NamedTuple):
    """An answer, read to its end; times are seconds of the monotonic clock."""

    status: int
    id: str
    retry_after: str | None
    raw: bytes
    asked_at: float
    content_at: float
    ended_at: float

    @property
    def took_s(self) -> float:
        return self.ended_at - self.asked_at

    @property
    def complete(self) -> bool:
        """Whether it is a good answer, whole or a stream, from its first word to its end mark."""
        if self.status != 200:
            return False
        if self.raw.startswith(b"{"):
            return bool(orjson.loads(self.raw)["choices"][0]["message"]["content"])
        spoken = b'"content":"' in self.raw and b'"finish_reason":"stop"' in self.raw
        return spoken and self.raw.endswith(b"data: [DONE]\n\n")

    @property
    def error(self) -> dict[str, Any]:
        """What an answer says that is an error: by its status, or in a stream as its last event."""
        if self.raw.startswith(b"{"):
            return dict(orjson.loads(self.raw)["error"])
        *_, last, end, nothing = self.raw.split(b"\n\n")
        assert (end, nothing) == (b"data: [DONE]", b"")
        return dict(orjson.loads(last.removeprefix(b"data: "))["error"])


class Calls:
    """What callers of one gateway do. `rows` are the generations it kept, by id."""

    def __init__(self, running: Running, session: aiohttp.ClientSession) -> None:
        self.running = running
        self.rows: dict[str, Generation] = {}
        self._session = session

    async def ask(self, model: str, *, stream: bool) -> Answer:
        """One request of `model`."""
        body = {
            "model": model,
            "stream": stream,
            "messages": [{"role": "user", "content": "How does water cross a weir?"}],
        }
        headers = {"Authorization": f"Bearer {self.running.key}"}
        url = f"{self.running.base_url}/chat/completions"
        asked_at = time.monotonic()
        content_at, raw = 0.0, b""
        async with self._session.post(url, json=body, headers=headers) as response:
            async for piece in response.content.iter_any():
                raw += piece
                if not content_at and b'"content":"' in raw:
                    content_at = time.monotonic()
        said = response.headers
        return Answer(
            response.status, said.get("X-Generation-Id", ""), said.get("Retry-After"), raw,
            asked_at, content_at, time.monotonic(),
        )  # fmt: skip

    def row_of(self, answer: Answer) -> Generation:
        """What was kept of it."""
        return self.rows[answer.id]

    def attempts_at(self, provider: str, answers: Iterable[Answer]) -> int:
        """How often `provider` was asked for them."""
        notes = (note for answer in answers for note in self.row_of(answer).attempts)
        return sum(note.provider == provider for note in notes)

    def open_now(self) -> dict[str, int]:
        """What requests under way hold open."""
        gateway: Any = self.running.gateway
        return {
            "calls": gateway._transport.open_calls,
            "relays": len(gateway._flow._relays),
            "drains": len(gateway._flow._drains),
            "under way": gateway.app.under_way,
            "held": gateway.office.treasury.held_nano,
        }

    async def nothing_left(self) -> None:
        """All is closed soon, and the books are right."""
        await eventually(lambda: not any(self.open_now().values()), within_s=10)
        writer: Any = self.running.gateway.office._writer
        assert (await writer.call(lambda store: store.ledger.verify())).differences == ()


@contextlib.asynccontextmanager
async def calling(running: Running) -> AsyncIterator[Calls]:
    """Callers of that gateway; when they are through nothing may be open."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2)  # less than the gateway's
    async with aiohttp.ClientSession(connector=connector) as session:
        calls = Calls(running, session)
        metrics = running.gateway.office.metrics
        record = metrics.record

        def keep(row: Generation) -> None:
            assert row.id not in calls.rows
            calls.rows[row.id] = row
            record(row)

        metrics.record = keep  # type: ignore[method-assign]
        yield calls
        await calls.nothing_left()


T = TypeVar("T")


async def at_once(limit: int, job: Callable[[], Awaitable[T]], times: int) -> list[T]:
    """What `job` gives when it is done so many times, at most `limit` at once."""
    turns = asyncio.Semaphore(limit)

    async def work() -> T:
        async with turns:
            return await job()

    return await asyncio.gather(*(work() for _ in range(times)))
