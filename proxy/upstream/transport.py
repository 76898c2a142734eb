"""Bytes to and from providers: one interface of plain calls, and aiohttp behind it.

A `Sink` is told what arrives; a `Sent` can hold the provider back or hang up. Nothing is awaited by
the caller of either, so bytes can be handed on from inside the callback. aiohttp needs one task a
stream to pump them; its own buffer is bounded and closes the provider's window when nobody reads.

    send(call, sink) ──► sink.head(status, headers) ──► sink.data(bytes)* ──► sink.end(error | None)
                         sent.pause()   sent.resume()   sent.cancel()

What aiohttp does by itself and must not: its total timeout of 300 s, redirects, proxies from the
environment, cookies, decompression without a bound, and lines of at most 512 KiB.
"""

import asyncio
import logging
from collections.abc import Mapping
from types import SimpleNamespace
from typing import NamedTuple, Protocol

import aiohttp
from aiohttp import hdrs
from yarl import URL

from proxy.errors import GatewayError

READ_BYTES = 64 * 1024  # aiohttp keeps at most twice this of an answer nobody reads
IDLE_S = 30.0  # an idle connection older than this is more likely closed than useful
STALE_S = 1.0  # several round trips to anywhere
DNS_S = 60.0

log = logging.getLogger(__name__)


class Call(NamedTuple):
    """One request to a provider. `body` None means GET."""

    url: str
    headers: Mapping[str, str]
    body: bytes | None
    connect_s: float

    def __repr__(self) -> str:
        return "Call(…)"  # its headers hold a key, its body a prompt


class Sink(Protocol):
    """Who is told what a provider answers. Calls come in order; `end` is last and comes once,
    unless the call was cancelled: then nothing comes any more.
    """

    def head(self, status: int, headers: Mapping[str, str]) -> None: ...

    def data(self, data: bytes) -> None: ...

    def end(self, error: GatewayError | None) -> None: ...


class Sent(Protocol):
    """A call under way."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def cancel(self) -> None: ...


class Transport(Protocol):
    """Sends calls."""

    def send(self, call: Call, sink: Sink) -> Sent: ...

    async def close(self) -> None: ...


class AiohttpTransport:
    """The transport over aiohttp: one connector, kept-alive connections per provider."""

    def __init__(self) -> None:
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_mark_reused)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, keepalive_timeout=IDLE_S, ttl_dns_cache=int(DNS_S)
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=READ_BYTES,
            skip_auto_headers=(hdrs.USER_AGENT, hdrs.CONTENT_TYPE),
            trace_configs=[trace],
        )
        self._open: set[_Stream] = set()

    @property
    def open_calls(self) -> int:
        """How many calls have neither ended nor been cancelled."""
        return len(self._open)

    def send(self, call: Call, sink: Sink) -> Sent:
        """Begins `call`; `sink` is told the rest from the event loop."""
        stream = _Stream(self._session, call, sink)
        self._open.add(stream)
        stream.task.add_done_callback(lambda _: self._open.discard(stream))
        return stream

    async def close(self) -> None:
        """Hangs up every call and closes all connections."""
        streams = list(self._open)
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*(stream.task for stream in streams), return_exceptions=True)
        await self._session.close()


class _Stream:
    """One call and the task that pumps its answer."""

    def __init__(self, session: aiohttp.ClientSession, call: Call, sink: Sink) -> None:
        self._session = session
        self._call = call
        self._sink = sink
        self._reading = asyncio.Event()
        self._reading.set()
        self.task = asyncio.get_running_loop().create_task(self._run())

    def pause(self) -> None:
        self._reading.clear()

    def resume(self) -> None:
        self._reading.set()

    def cancel(self) -> None:
        self.task.cancel()

    async def _run(self) -> None:
        error: GatewayError | None = None
        try:
            await self._exchange()
        except (aiohttp.ClientError, OSError, TimeoutError) as fault:
            error = _translated(fault)
        except Exception:  # ours, or of the sink; whoever waits must not wait for ever
            log.exception("internal error")
            error = GatewayError("internal", "Internal Server Error")
        self._sink.end(error)

    async def _exchange(self) -> None:
        """The exchange, once more on a new connection if a kept-alive one turned out stale.

        A provider that closed an idle connection has not read what was sent on it, so nothing is
        done twice (RFC 9112, section 9.3.1, allows this where no byte of an answer came). It shows
        at once: where a connection ends later, somebody was at work at its other end.
        """
        trace = SimpleNamespace(reused=False)
        clock = asyncio.get_running_loop().time
        began_at = clock()
        try:
            await self._attempt(trace)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            if not trace.reused or trace.answered or clock() - began_at > STALE_S:
                raise
            await self._attempt(SimpleNamespace(reused=False), {hdrs.CONNECTION: "close"})

    async def _attempt(
        self, trace: SimpleNamespace, more_headers: Mapping[str, str] | None = None
    ) -> None:
        trace.answered = False
        call, sink = self._call, self._sink
        async with self._session.request(
            hdrs.METH_GET if call.body is None else hdrs.METH_POST,
            URL(call.url, encoded=True),  # byte for byte: a signature may cover it
            data=call.body,
            headers={**call.headers, **(more_headers or {})},
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=call.connect_s),
            trace_request_ctx=trace,
        ) as response:
            trace.answered = True
            sink.head(response.status, response.headers)
            async for data in response.content.iter_any():
                sink.data(data)
                if not self._reading.is_set():
                    await self._reading.wait()


async def _mark_reused(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _params: object
) -> None:
    if context.trace_request_ctx is not None:
        context.trace_request_ctx.reused = True


def _translated(fault: Exception) -> GatewayError:
    """aiohttp's exceptions end here. Their texts may hold addresses, so none is passed on."""
    if isinstance(fault, aiohttp.ServerTimeoutError | TimeoutError):
        return GatewayError("provider_timeout", "The provider could not be reached in time.")
    if isinstance(fault, aiohttp.ClientPayloadError):
        return GatewayError("provider_cut", "The provider broke off its answer.")
    if isinstance(fault, aiohttp.ClientResponseError):
        return GatewayError("provider_malformed", "The provider's answer is not valid HTTP.")
    if isinstance(fault, aiohttp.ClientConnectorError):
        return GatewayError("provider_unreachable", "The provider could not be reached.")
    if isinstance(fault, aiohttp.ClientConnectionError):
        return GatewayError("provider_cut", "The provider closed the connection.")
    return GatewayError("provider_unreachable", "The provider could not be reached.")
