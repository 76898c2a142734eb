"""What stands between the server and the application: hostile requests out, bounded waits in.

The servers this application runs on accept requests that a gateway must refuse, wait for ever for
a body and block for ever in `send`. Wrapped around the application once, the guard

* refuses both lengths at once, `Transfer-Encoding` in HTTP/1.0, CONNECT and other methods, targets
  that are no path, and a `Host` that is none (request smuggling, RFC 9112, section 6.1);
* bounds how long a send may block, and then resets the connection;
* reads on for a moment after an answer that came before the end of the request's body: closing on
  unread bytes resets the connection, and the reset may overtake the answer (nginx calls this
  lingering close); a body that nobody reads also blocks Hypercorn for good;
* counts what is under way, so that a drain knows when it is done, and marks answers
  `connection: close` meanwhile.

Our own HTTP/1.1 (`proxy.serving.http1`) does all but the last by itself: there the guard counts,
and answers what the connection asks of it. Bodies are read in `proxy.serving.caller`.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.errors import CallerGone, GatewayError
from proxy.serving.direct import DIRECT
from proxy.serving.framing import METHODS, is_host

LINGER_S = 2.0
LINGER_BYTES = 64 * 1024 * 1024

_LENGTHS = (b"content-length", b"transfer-encoding")  # a body is announced (RFC 9112, section 6)

ABORT = "weir.abort"
"""ASGI scope extension: a plain call that resets the connection. `serving.doors` offers it."""

Headers = list[tuple[bytes, bytes]]


class Guard:
    """The outermost ASGI application. `refuse` renders an error as (headers, body)."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        refuse: Callable[[GatewayError], tuple[Headers, bytes]],
        client_stall_s: Callable[[], float],
    ) -> None:
        self.app = app
        self._refuse = refuse
        self._client_stall_s = client_stall_s
        self.idle = asyncio.Event()  # set whenever no request is under way any more
        self.under_way = 0  # requests; those of our own HTTP/1.1 are counted by its hall
        self.draining = False
        self.closing = False  # answers end their connections, and nothing else changes

    async def drained(self) -> None:
        """Returns as soon as no request is under way."""
        if self.under_way:
            self.idle.clear()
            await self.idle.wait()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            elif scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1000})
            return
        self.under_way += 1
        extensions = scope.get("extensions")
        direct = extensions.get(DIRECT) if extensions else None
        try:
            if direct is not None:
                direct.guarded(self)
                await self.app(scope, receive, send)
            else:
                await self._bounded(scope, receive, send)
        except CallerGone:
            pass
        finally:
            self.under_way -= 1
            if not self.under_way:
                self.idle.set()

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        bounded = _Bounded(scope, receive, send, self)
        try:
            error = inspect(scope)
            if error is None:
                await self.app(scope, bounded.receive, bounded.send)
            else:
                headers, body = self._refuse(error)
                bounded.close = True
                await bounded.answer(error.status, headers, body)
        finally:
            bounded.discard()

    @property
    def ending(self) -> bool:
        """Whether every answer is the last one of its connection."""
        return self.draining or self.closing

    @property
    def client_stall_s(self) -> float:
        """The bound on one send, as it is configured now."""
        return self._client_stall_s()


class _Bounded:
    """`receive` and `send` for one request, with bounds."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, guard: Guard) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._guard = guard
        self._http1 = scope["http_version"].startswith("1")
        self._heard_out = self._http1 and not any(name in _LENGTHS for name, _ in scope["headers"])
        self._discarding: asyncio.Task[None] | None = None
        self.close = False

    async def receive(self) -> Message:
        message = await self._receive()
        if not message.get("more_body", False):  # the body's end, or a disconnect
            self._heard_out = True
        return message

    async def send(self, message: Message) -> None:
        """Raises CallerGone, after resetting the connection, when the caller does not read."""
        last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if last and not self._heard_out:
            await self._write({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body"}
        await self._write(message)

    async def _linger(self) -> None:
        size = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while not self._heard_out and size < LINGER_BYTES:
                    size += len((await self.receive()).get("body", b""))
        if not self._heard_out:
            abort(self._scope)
            self.discard()

    def discard(self) -> None:
        """Receives what nobody will read, up to the disconnect: Hypercorn's queue is bounded, and
        when it is full neither a cancelled application nor its connection would ever end.
        """
        if not self._heard_out and self._discarding is None:
            self._discarding = asyncio.get_running_loop().create_task(self._discard())

    async def _discard(self) -> None:
        while not self._heard_out:
            await self.receive()

    async def _write(self, message: Message) -> None:
        if message["type"] == "http.response.start" and self._http1 and self._closing:
            message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        try:
            async with asyncio.timeout(self._guard.client_stall_s):
                await self._send(message)
        except TimeoutError:
            abort(self._scope)
            raise CallerGone from None
        except OSError:  # Uvicorn raises where Hypercorn is silent (ASGI, "send" after disconnect)
            raise CallerGone from None

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    @property
    def _closing(self) -> bool:
        """Whether the connection ends with this answer: also where the body is still to come, which
        tells the caller to stop sending it.
        """
        return self.close or self._guard.ending or not self._heard_out


def abort(scope: Scope) -> None:
    """Resets the connection where the server lets us; elsewhere it ends with the application."""
    reset: Any = (scope.get("extensions") or {}).get(ABORT)
    if reset is not None:
        reset()


def inspect(scope: Scope) -> GatewayError | None:
    """What is wrong with a request's head; None for a sound one."""
    if scope["method"] not in METHODS:
        return GatewayError(
            "method_not_allowed",
            f"Method not allowed: {scope['method'][:20]!a}",
            headers={"Allow": ", ".join(sorted(METHODS))},
        )
    # Hypercorn takes the absolute form of a target for a path.
    if not scope["path"].startswith("/"):
        return GatewayError("invalid_request", "The request target is not a path.")
    names = [name for name, _ in scope["headers"]]
    if b"transfer-encoding" in names:
        if b"content-length" in names:
            return GatewayError("invalid_request", "Content-Length and Transfer-Encoding together.")
        if scope["http_version"] == "1.0":
            return GatewayError("invalid_request", "Transfer-Encoding in HTTP/1.0.")
    if any(not is_host(host) for host in _values(scope, b"host")):
        return GatewayError("invalid_request", "The Host header is not a host.")
    return None


def _values(scope: Scope, wanted: bytes) -> Iterable[bytes]:
    return (value for name, value in scope["headers"] if name == wanted)
