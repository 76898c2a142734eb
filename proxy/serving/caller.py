"""One caller: its request's head and body, its answer, and the moment it goes away.

Where the server offers its connection in plain calls (`serving.direct`), they are used. Elsewhere
something sits in `receive()` from the end of the body to the end of the answer: Hypercorn's `send`
says nothing when the caller has hung up, and a provider nobody listens to costs money.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from proxy.errors import CallerGone, GatewayError
from proxy.serving.direct import DIRECT, Direct

BODY_IDLE_S = 10.0  # between two pieces of a body
BODY_TOTAL_S = 60.0  # for all of it: 32 MiB in a minute is a slow home connection

HeaderPairs = Iterable[tuple[bytes, bytes]]


_FORGOTTEN: Final[dict[str, Any]] = {}
"""The head of a request whose answer has begun: nobody asks for it, and a stream may be long."""


def meet(scope: Scope, receive: Receive, send: Send, headers: HeaderPairs = ()) -> "Caller":
    """The caller of one request, reached in the best way that its server offers. `headers` are
    those that every answer to it has.
    """
    extensions = scope.get("extensions")
    direct = extensions.get(DIRECT) if extensions else None
    if direct is None:
        return Caller(scope, receive, send, headers)
    return DirectCaller(scope, receive, send, headers, direct)


def _nothing() -> None:
    pass


class Caller:
    """The caller of one request, over plain ASGI."""

    started = False  # the head of the answer is out
    finished = False
    gone = False
    _watch: asyncio.Task[None] | None = None
    _on_gone: Callable[[], None] = staticmethod(_nothing)

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, headers: HeaderPairs = ()
    ) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self._headers = headers
        self.kept: dict[str, Any] = {}  # see `serving.direct`

    @property
    def ready(self) -> bool:
        """Whether `open` and `push` may be used: its server takes plain calls, and it reads."""
        return False

    def header(self, name: bytes) -> str | None:
        """The first header of that (lower-case) name."""
        for key, value in self.scope["headers"]:
            if key == name:
                return str(value.decode("latin-1"))
        return None

    async def read_body(self, bytes_max: int) -> bytes:
        """The whole body.

        Raises GatewayError `body_too_large`, `body_too_slow` or `encoding_unsupported`; CallerGone.
        """
        encoding = self.header(b"content-encoding")
        if encoding is not None and encoding.lower() != "identity":
            raise GatewayError("encoding_unsupported", "A compressed body is not supported.")
        declared = self.header(b"content-length") or ""
        if declared.isdigit() and int(declared) > bytes_max:
            raise _too_large(bytes_max)
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_TOTAL_S):
                while True:
                    async with asyncio.timeout(BODY_IDLE_S):
                        message = await self._receive()
                    if message["type"] == "http.disconnect":
                        raise CallerGone
                    body += message.get("body", b"")
                    if len(body) > bytes_max:
                        body.clear()  # the error's traceback would keep it
                        raise _too_large(bytes_max)
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            raise GatewayError("body_too_slow", "The body came too slowly.") from None

    def watch(self, on_gone: Callable[[], None]) -> None:
        """Calls `on_gone`, once, when the caller hangs up before `finish`. Body read by then."""
        self._on_gone = on_gone
        self._watch = asyncio.get_running_loop().create_task(self._await_disconnect())

    async def _await_disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self.finished:
            self.gone = True
            self._on_gone()

    def wake(self, on_drained: Callable[[], None]) -> None:
        """Calls `on_drained` each time when `ready` has become true again."""

    async def start(self, status: int, headers: HeaderPairs) -> None:
        """The head. Raises CallerGone, as do all that follow."""
        self.started = True
        told = [*headers, *self._headers]
        await self._say({"type": "http.response.start", "status": status, "headers": told})

    def open(self, status: int, headers: HeaderPairs) -> None:
        """The same as a plain call; only where `ready`."""
        raise AssertionError("this server takes no plain calls")

    async def write(self, data: bytes) -> None:
        """A piece of the answer; returns when the server took it, so that we can not outrun it."""
        await self._say({"type": "http.response.body", "body": data, "more_body": True})

    def push(self, data: bytes) -> None:
        """The same as a plain call; only where `ready`."""
        raise AssertionError("this server takes no plain calls")

    def offer(self, data: bytes) -> bool:
        """The same where it is `ready`, and else nothing; whether it was."""
        return False

    async def finish(self, data: bytes = b"") -> None:
        """The last piece."""
        self.finished = True
        await self._say({"type": "http.response.body", "body": data})

    async def answer(self, status: int, headers: HeaderPairs, body: bytes) -> None:
        """A whole answer."""
        await self.start(status, (*headers, (b"content-length", b"%d" % len(body))))
        await self.finish(body)

    def break_off(self) -> None:
        """No last piece: servers then close the connection, which tells the caller that the answer
        is not whole.
        """
        self.finished = True

    async def _say(self, message: dict[str, object]) -> None:
        if self.gone:
            raise CallerGone
        await self._send(message)

    async def close(self) -> None:
        """Stops watching. Safe at any time, any number of times."""
        self._on_gone = _nothing  # whoever was to be told refers to us
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)


class DirectCaller(Caller):
    """The same where the server offers its connection in plain calls."""

    _drained: asyncio.Future[None] | None = None
    _on_drained: Callable[[], None] = staticmethod(_nothing)

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        headers: HeaderPairs,
        direct: Direct,
    ) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self._headers = headers
        self._direct = direct
        self.kept = direct.kept

    @property
    def ready(self) -> bool:
        return not (self._direct.full or self.gone)

    async def read_body(self, bytes_max: int) -> bytes:
        body = self._direct.body()
        if body is None:
            return await super().read_body(bytes_max)
        if len(body) > bytes_max:
            raise _too_large(bytes_max)
        return body

    def watch(self, on_gone: Callable[[], None]) -> None:
        self._on_gone = on_gone
        self._direct.watch(self._lost, self._emptied)

    def wake(self, on_drained: Callable[[], None]) -> None:
        self._on_drained = on_drained

    def _lost(self) -> None:
        if not self.finished:
            self.gone = True
            self._emptied()
            self._on_gone()

    def _emptied(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)
        self._on_drained()

    async def start(self, status: int, headers: HeaderPairs) -> None:
        self.open(status, headers)

    def open(self, status: int, headers: HeaderPairs) -> None:
        if self.gone:
            raise CallerGone
        self.started = True
        self.scope = self.kept = _FORGOTTEN
        self._direct.start(status, (*headers, *self._headers))

    async def write(self, data: bytes) -> None:
        while self._direct.full and not self.gone:
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained
        self.push(data)

    def push(self, data: bytes) -> None:
        if self.gone:
            raise CallerGone
        self._direct.write(data)

    def offer(self, data: bytes) -> bool:
        direct = self._direct
        if direct.full or self.gone:
            return False
        direct.write(data)
        return True

    async def finish(self, data: bytes = b"") -> None:
        self.finished = True
        if self.gone:
            raise CallerGone
        self._direct.finish(data)

    async def answer(self, status: int, headers: HeaderPairs, body: bytes) -> None:
        if self.gone:
            raise CallerGone
        self.started = self.finished = True
        length = (b"content-length", b"%d" % len(body))
        self._direct.start(status, (*headers, length, *self._headers))
        self._direct.finish(body)

    def break_off(self) -> None:
        self.finished = True
        self._direct.break_off()

    async def close(self) -> None:
        self._direct.unwatch()
        self._on_gone = self._on_drained = _nothing


def _too_large(bytes_max: int) -> GatewayError:
    return GatewayError("body_too_large", f"The body is larger than {bytes_max} bytes.")
