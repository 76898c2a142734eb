"""The provider that everything is measured against: canned answers, far cheaper than any relay.

It speaks as OpenAI does, and as Anthropic below `/messages`. A rate of 0 sends all events in one
write; at any other each event is one write, at its time.

`python -m bench.upstream` listens on a free loopback port and prints it.
"""

import asyncio
import time
from typing import cast

import httptools
import msgspec
import uvloop

from bench.canned import ANTHROPIC, LIST, OPENAI, STREAM_HEAD, chunk, wished

_EVENTS_MAX = 1_000_000  # 20 minutes at 1,000 events a second; a bench is bounded


class _Ask(msgspec.Struct):
    stream: bool = False


_decode_ask = msgspec.json.Decoder(_Ask).decode


class Provider(asyncio.Protocol):
    """One connection, requests one after the other."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._format = OPENAI
        self._body: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._events = self._number = 0
        self._pause_s = self._due_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def on_url(self, url: bytes) -> None:
        self._format = ANTHROPIC if url.endswith(b"/messages") else OPENAI

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        body = b"".join(self._body)
        self._body.clear()
        if not body:
            self._transport.write(LIST)
            return
        if not _decode_ask(body).stream:
            self._transport.write(self._format.whole)
            return
        events, events_per_s = wished(body)
        self._events = min(events, _EVENTS_MAX)
        if events_per_s <= 0:
            self._transport.write(self._at_once())
        else:
            self._pause_s = 1.0 / events_per_s
            self._begin()

    def _at_once(self) -> bytes:
        now_ns, form = time.monotonic_ns(), self._format
        pieces = b"".join(form.piece % (number, now_ns) for number in range(self._events))
        said = form.opening + pieces + form.closing(self._events)
        return STREAM_HEAD + chunk(said) + b"0\r\n\r\n"

    def _begin(self) -> None:
        """Head, opening and first piece now, the others at the rate."""
        self._number = 0
        self._due_s = self._loop.time()
        self._transport.write(STREAM_HEAD + chunk(self._format.opening))
        self._tick()

    def _tick(self) -> None:
        if self._number == self._events:
            self._transport.write(chunk(self._format.closing(self._number)) + b"0\r\n\r\n")
            return
        self._transport.write(chunk(self._format.piece % (self._number, time.monotonic_ns())))
        self._number += 1
        self._due_s += self._pause_s
        self._timer = self._loop.call_at(self._due_s, self._tick)


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Provider, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())
