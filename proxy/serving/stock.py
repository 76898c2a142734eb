"""What Hypercorn is given, where it serves: HTTP/2, the context of TLS, and lifespan.

It has no way to reset the connection of a caller that stopped reading, or to break off an answer
over HTTP/2: that is added here.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from hypercorn.config import Config
from starlette.types import ASGIApp

from proxy.serving.guard import ABORT

KEEP_ALIVE_S = 5.0  # also the bound on a request's head


class Reader(asyncio.StreamReader):
    """Calls `on_lost` when the connection ends while nobody reads it.

    Hypercorn stops reading while a pipelined request waits for its turn, or a body for the
    application, and would learn of the end only by writing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.on_lost: Callable[[], object] = lambda: None
        self._read_by_someone = False

    async def read(self, n: int = -1) -> bytes:
        self._read_by_someone = True
        try:
            return await super().read(n)
        finally:
            self._read_by_someone = False

    def feed_eof(self) -> None:
        super().feed_eof()
        self._ended()

    def set_exception(self, exc: Exception) -> None:
        super().set_exception(exc)
        self._ended()

    def _ended(self) -> None:
        if not self._read_by_someone:
            self.on_lost()


class Application:
    """The application in the form Hypercorn's protocols call, with our scope extension."""

    def __init__(self, app: ASGIApp, abort: Callable[[], None] | None) -> None:
        self._app = app
        self._abort = abort

    async def __call__(self, scope: Any, receive: Any, send: Any, *_: Any) -> None:
        if self._abort is not None:
            scope.setdefault("extensions", {})[ABORT] = self._abort
        if scope.get("http_version") != "2":
            await self._app(scope, receive, send)
            return
        unended = False

        async def watched(message: Any) -> None:
            nonlocal unended
            await send(message)
            unended = message["type"] == "http.response.start" or message.get("more_body", False)

        await self._app(scope, receive, watched)
        if unended:
            await _break_off(send)


async def _break_off(send: Any) -> None:
    """Resets the stream of an answer without end. With HTTP/1.1 its connection is closed then; over
    HTTP/2 Hypercorn says nothing, and the client would wait for ever.
    """
    stream = send.__self__  # both are Hypercorn's own, an HTTPStream and its H2Protocol
    protocol = stream.send.__self__
    with contextlib.suppress(ProtocolError):  # the client was faster
        protocol.connection.reset_stream(stream.stream_id, ErrorCodes.INTERNAL_ERROR)
        await protocol._window_updated(stream.stream_id)  # what waits to be sent is dropped
    await protocol._flush()


def configured(certificate: str | None, key: str | None) -> Config:
    config = Config()
    config.certfile, config.keyfile = certificate, key
    config.keep_alive_timeout = KEEP_ALIVE_S
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    return config
