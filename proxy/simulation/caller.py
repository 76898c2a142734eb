"""Callers of the whole house: patient, hasty, slow to read, gone in the middle.

A caller speaks ASGI to a process, keeps what it was sent, and judges nothing; `checks` does.
"""

import asyncio
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final, NamedTuple

import orjson

from proxy.serving.caller import Caller
from proxy.simulation.loop import Loop

FOREVER_S: Final = 1e6
STALL_S: Final = 30.0  # after so long without reading the server hangs up


class Wish(NamedTuple):
    """What a caller asks for, and how it behaves: it hangs up after `gone_s` seconds or `gone_at`
    pieces, and stops to read for `pause_s` at the piece `pause_at`.
    """

    name: str
    secret: str
    body: dict[str, Any]
    gone_s: float
    gone_at: int
    pause_s: float
    pause_at: int

    @property
    def body_bytes(self) -> int:
        """The size of what is sent."""
        return len(orjson.dumps(self.body))


def wish(rng: Random, name: str, *, secret: str, models: tuple[str, ...]) -> Wish:
    """Some wish by the seed."""
    text = f"{name} " + "please " * rng.choice((1, 1, 10, 300))
    body: dict[str, Any] = {
        "model": rng.choice(models),
        "messages": [{"role": "user", "content": text}],
        "stream": rng.random() < 0.7,
    }
    if rng.random() < 0.3:
        body["models"] = [rng.choice(models)]
    if rng.random() < 0.5:
        body["max_tokens"] = rng.choice((1, 10, 100, 3000))
    if rng.random() < 0.15:
        body["n"] = rng.choice((2, 3))
    leaves = rng.random() < 0.25
    stalls = rng.random() < 0.1
    return Wish(
        name=name,
        secret=secret,
        body=body,
        gone_s=rng.choice((0.0, 0.005, 0.1, 1.0)) if leaves and rng.random() < 0.5 else FOREVER_S,
        gone_at=rng.choice((0, 1, 2, 5, 20)) if leaves else 10**9,
        pause_s=rng.choice((0.05, 2.0, 100.0)) if stalls else 0.0,
        pause_at=rng.choice((0, 1, 5)) if stalls else 10**9,
    )


class Client:
    """The other side of one request. `on_end` is called when it has seen the end of its answer."""

    def __init__(self, wish: Wish, loop: Loop, *, on_end: Callable[["Client"], None]) -> None:
        self.wish = wish
        self._on_end = on_end
        self._loop = loop
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._inbox.put_nowait({"type": "http.request", "body": orjson.dumps(wish.body)})
        self._pieces = 0
        self._body: list[bytes] = []
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self.gone_at: float | None = None
        self.ended = False
        headers = [(b"authorization", f"Bearer {wish.secret}".encode())]
        scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
        self.caller = Caller(scope, self._inbox.get, self._hear)
        if wish.gone_s < FOREVER_S:
            loop.call_later(wish.gone_s, self.hang_up)

    @property
    def gone(self) -> bool:
        """Whether it has hung up."""
        return self.gone_at is not None

    def hang_up(self) -> None:
        """Leave, whatever is under way."""
        if not self.gone and not self.ended:
            self.gone_at = self._loop.time()
            self._inbox.put_nowait({"type": "http.disconnect"})

    async def _hear(self, message: Any) -> None:
        if self.gone:
            return
        if self._pieces == self.wish.pause_at:
            await asyncio.sleep(min(self.wish.pause_s, STALL_S))
            if self.wish.pause_s > STALL_S:
                self.hang_up()
                return
        self._pieces += 1
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {key.decode(): value.decode() for key, value in message["headers"]}
        else:
            self._body.append(message.get("body", b""))
            self.ended = not message.get("more_body", False)
            if self.ended:
                self._on_end(self)
        if self._pieces > self.wish.gone_at:
            self.hang_up()

    # What it saw.

    @property
    def generation(self) -> str | None:
        """The id that the answer had."""
        return self.headers.get("x-generation-id")

    @property
    def body(self) -> bytes:
        """All bytes of the answer."""
        return b"".join(self._body)

    def events(self) -> list[dict[str, Any]]:
        """The objects of a streamed answer; or the one that came whole, if it came."""
        if self.headers.get("content-type") == "application/json":
            return [orjson.loads(self.body)] if self.ended else []
        frames = [part.removeprefix(b"data: ") for part in self.body.split(b"\n\n")]
        return [orjson.loads(frame) for frame in frames if frame.startswith(b"{")]
