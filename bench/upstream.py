"""The provider that everything is measured against: canned answers, far cheaper than any relay.

What it sends is shaped like OpenAI's. The request says how much of it, in a field that OpenAI does
not have and that relays hand on: `"bench": {"events": 200, "events_per_s": 50}`. A rate of 0 sends
all events in one write. Every event's text is ` NUMBER@NANOSECONDS`: its place in the answer and
the moment it was written, on the monotonic clock that all processes of a machine share.

`python -m bench.upstream` listens on a free loopback port and prints it.
"""

import asyncio
import time
from typing import Final, cast

import httptools
import msgspec
import uvloop

MODEL: Final = "bench/canned"
TEXT: Final = "Water meets the weir and waits a little, then it finds the lowest place. " * 8
PROMPT_TOKENS: Final = 300
_EVENTS_MAX: Final = 1_000_000  # 20 minutes at 1,000 events a second; a bench is bounded

_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n"
_CHUNK: Final = (
    b'{"id":"chatcmpl-BenchBenchBenchBenchBenchBench","object":"chat.completion.chunk",'
    b'"created":1750000000,"model":"bench/canned","service_tier":"default",'
    b'"system_fingerprint":"fp_0123456789","choices":%b,"usage":%b}'
)
_EVENT: Final = b"data: " + _CHUNK + b"\n\n"
_CHOICE: Final = b'[{"index":0,"delta":%b,"logprobs":null,"finish_reason":%b}]'
_OPENING: Final = _EVENT % (
    _CHOICE % (b'{"role":"assistant","content":"","refusal":null}', b"null"),
    b"null",
)
_PIECE: Final = _EVENT % (_CHOICE % (b'{"content":" %d@%d"}', b"null"), b"null")
_FINISH: Final = _EVENT % (_CHOICE % (b"{}", b'"stop"'), b"null")
_USAGE: Final = (
    b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,'
    b'"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},'
    b'"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0}}'
)
_WHOLE: Final = (
    b'{"id":"chatcmpl-BenchBenchBenchBenchBenchBench","object":"chat.completion",'
    b'"created":1750000000,"model":"bench/canned","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"%b","refusal":null,"annotations":[]},'
    b'"logprobs":null,"finish_reason":"stop"}],"usage":%b,"service_tier":"default",'
    b'"system_fingerprint":"fp_0123456789"}'
)
_LIST: Final = (
    b'{"object":"list","data":[{"id":"bench/canned","object":"model","created":1750000000,'
    b'"owned_by":"bench"}]}'
)


class Wish(msgspec.Struct):
    """How much is wanted: a number of events, and at which rate; 0 is all at once."""

    events: int = 1
    events_per_s: float = 0.0


class _Ask(msgspec.Struct):
    stream: bool = False
    bench: Wish = msgspec.field(default_factory=Wish)


_decode_ask = msgspec.json.Decoder(_Ask).decode


def _usage(events: int) -> bytes:
    return _USAGE % (PROMPT_TOKENS, events, PROMPT_TOKENS + events)


def _closing(events: int) -> bytes:
    return _FINISH + _EVENT % (b"[]", _usage(events)) + b"data: [DONE]\n\n"


def _fixed(content: bytes) -> bytes:
    head = _HEAD % b"application/json" + b"Content-Length: %d\r\n\r\n" % len(content)
    return head + content


def _chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


_WHOLE_ANSWER: Final = _fixed(_WHOLE % (TEXT.encode(), _usage(1)))
_LIST_ANSWER: Final = _fixed(_LIST)
_STREAM_HEAD: Final = _HEAD % b"text/event-stream; charset=utf-8" + (
    b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
)


class Provider(asyncio.Protocol):
    """One connection, requests one after the other."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._body: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._wish = Wish()
        self._number = 0
        self._due_s = 0.0

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

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        body = b"".join(self._body)
        self._body.clear()
        if not body:
            self._transport.write(_LIST_ANSWER)
            return
        ask = _decode_ask(body)
        if not ask.stream:
            self._transport.write(_WHOLE_ANSWER)
            return
        self._wish = Wish(min(ask.bench.events, _EVENTS_MAX), ask.bench.events_per_s)
        if self._wish.events_per_s <= 0:
            self._transport.write(self._at_once())
        else:
            self._begin()

    def _at_once(self) -> bytes:
        now_ns = time.monotonic_ns()
        pieces = b"".join(_PIECE % (number, now_ns) for number in range(self._wish.events))
        closing = _closing(self._wish.events)
        return _STREAM_HEAD + _chunk(_OPENING + pieces + closing) + b"0\r\n\r\n"

    def _begin(self) -> None:
        """Head, opening and first piece now, the others at the rate."""
        self._number = 0
        self._due_s = self._loop.time()
        self._transport.write(_STREAM_HEAD + _chunk(_OPENING))
        self._tick()

    def _tick(self) -> None:
        if self._number == self._wish.events:
            self._transport.write(_chunk(_closing(self._number)) + b"0\r\n\r\n")
            return
        self._transport.write(_chunk(_PIECE % (self._number, time.monotonic_ns())))
        self._number += 1
        self._due_s += 1.0 / self._wish.events_per_s
        self._timer = self._loop.call_at(self._due_s, self._tick)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())
