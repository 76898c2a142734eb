"""One caller: its request's head and body, its answer, and the moment it goes away.

Something sits in `receive()` from the end of the body to the end of the answer: Hypercorn's `send`
says nothing when the caller has hung up, and a provider nobody listens to costs money.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping

from starlette.types import Receive, Scope, Send

from proxy.errors import CallerGone, GatewayError

BODY_IDLE_S = 10.0  # between two pieces of a body
BODY_TOTAL_S = 60.0  # for all of it: 32 MiB in a minute is a slow home connection

HeaderPairs = Iterable[tuple[bytes, bytes]]


class Caller:
    """The caller of one request, over plain ASGI."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self._watch: asyncio.Task[None] | None = None
        self.started = False  # the head of the answer is out
        self.finished = False
        self.gone = False

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
        self._watch = asyncio.get_running_loop().create_task(self._await_disconnect(on_gone))

    async def _await_disconnect(self, on_gone: Callable[[], None]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self.finished:
            self.gone = True
            on_gone()

    async def start(self, status: int, headers: HeaderPairs) -> None:
        """The head. Raises CallerGone, as do all that follow."""
        self.started = True
        await self._say({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def write(self, data: bytes) -> None:
        """A piece of the answer; returns when the server took it, so that we can not outrun it."""
        await self._say({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self, data: bytes = b"") -> None:
        """The last piece."""
        self.finished = True
        await self._say({"type": "http.response.body", "body": data})

    async def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """A whole answer."""
        pairs = [
            (name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()
        ]
        await self.start(status, [*pairs, (b"content-length", str(len(body)).encode())])
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
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)


def _too_large(bytes_max: int) -> GatewayError:
    return GatewayError("body_too_large", f"The body is larger than {bytes_max} bytes.")
