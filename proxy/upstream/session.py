"""The transport over aiohttp: one connector, kept-alive connections per provider.

It needs one task a stream to pump an answer; its own buffer is bounded and closes the provider's
window when nobody reads. What aiohttp does by itself and must not: its total timeout of 300 s,
redirects, proxies from the environment, cookies, decompression without a bound, and lines of at
most 512 KiB.
"""

import asyncio
import logging
from collections.abc import Mapping
from types import SimpleNamespace

import aiohttp
from aiohttp import hdrs
from yarl import URL

from proxy.errors import GatewayError
from proxy.upstream.dialing import new_tls
from proxy.upstream.resolver import is_local
from proxy.upstream.transport import Call, Sent, Sink

READ_BYTES = 64 * 1024  # aiohttp keeps at most twice this of an answer nobody reads
IDLE_S = 30.0  # an idle connection older than this is more likely closed than useful
STALE_S = 1.0  # several round trips to anywhere
DNS_S = 60.0

log = logging.getLogger(__name__)


class AiohttpTransport:
    """The transport over aiohttp. `ca_file` names certificates that are trusted besides the
    system's; `proxy` is the URL of an HTTP proxy, asked for all that is not on this machine.
    """

    def __init__(self, *, ca_file: str = "", proxy: str = "") -> None:
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_mark_reused)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                keepalive_timeout=IDLE_S,
                ttl_dns_cache=int(DNS_S),
                ssl=new_tls(ca_file) if ca_file else True,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=READ_BYTES,
            skip_auto_headers=(hdrs.USER_AGENT, hdrs.CONTENT_TYPE),
            trace_configs=[trace],
        )
        self._proxy = URL(proxy) if proxy else None
        self._open: set[_Stream] = set()

    @property
    def open_calls(self) -> int:
        """How many calls have neither ended nor been cancelled."""
        return len(self._open)

    def send(self, call: Call, sink: Sink) -> Sent:
        """Begins `call`; `sink` is told the rest from the event loop."""
        stream = _Stream(self._session, self._proxy, call, sink)
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

    def __init__(
        self, session: aiohttp.ClientSession, proxy: URL | None, call: Call, sink: Sink
    ) -> None:
        self._session = session
        self._proxy = proxy
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
        url = URL(call.url, encoded=True)  # byte for byte: a signature may cover it
        async with self._session.request(
            hdrs.METH_GET if call.body is None else hdrs.METH_POST,
            url,
            data=call.body,
            headers={**call.headers, **(more_headers or {})},
            allow_redirects=False,
            proxy=None if is_local(url.host or "") else self._proxy,
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
