"""One connection to a provider: the asyncio protocol that speaks HTTP/1.1, one call at a time.

httptools (llhttp, strict) takes an answer apart inside the socket's callback; what one read brought
is told at once and in one piece, however many chunks it was cut into. llhttp refuses two lengths,
bare line feeds, folded and nul bytes; what it lets pass and is wrong all the same is refused here.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from proxy.errors import GatewayError
from proxy.upstream.transport import Sink

HEAD_BYTES_MAX: Final = 64 * 1024  # of names and values
SILENCE_BYTES_MAX: Final = 2 * HEAD_BYTES_MAX  # without a head, or a body: chunks have extensions
INTERIM_MAX: Final = 8  # answers "100 Continue", "103 Early Hints"
STALE_S: Final = 1.0  # several round trips to anywhere
JOIN_BYTES_MAX: Final = 64 * 1024  # copying a body of this size is cheaper than a second write

log = logging.getLogger(__name__)


class Headers(Mapping[str, str]):
    """Headers as they came, found whatever their case; of several with one name the first."""

    __slots__ = ("_raw",)

    def __init__(self, raw: dict[bytes, bytes]) -> None:
        self._raw = raw

    def __getitem__(self, name: str) -> str:
        return self._raw[name.lower().encode()].decode("latin-1")

    def get(self, name: str, default: Any = None) -> Any:
        value = self._raw.get(name.lower().encode())
        return default if value is None else value.decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return (name.decode() for name in self._raw)

    def __len__(self) -> int:
        return len(self._raw)


class Stream(Protocol):
    """A call as its connection sees it. What is sent, `head` and `payload`, is forgotten when an
    answer begins.
    """

    sink: Sink
    head: bytes
    payload: bytes | None
    retried: bool

    def finish(self, error: GatewayError | None) -> None: ...

    def retry(self) -> None: ...


class Home(Protocol):
    """Where a connection belongs."""

    def keep(self, connection: "Connection") -> bool: ...

    def lose(self, connection: "Connection") -> None: ...


class _Refused(Exception):
    """Raised in a callback of the parser, which then stops."""


class Connection(asyncio.Protocol):
    """One connection. `idle_since` is of the loop's clock: when it came back to its home."""

    def __init__(self, home: Home, loop: asyncio.AbstractEventLoop) -> None:
        self._home = home
        self._clock = loop.time
        self._transport: Any = None
        self._stream: Stream | None = None
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append  # these two spare the parser a call of Python each
        self._raw: dict[bytes, bytes] = {}
        self.on_header = self._raw.setdefault
        self._headers: dict[bytes, bytes] = {}
        self._parser = HttpResponseParser(self)
        self._used = False
        self._paused = False
        self.idle_since = 0.0

    def begin(self, stream: Stream) -> None:
        """Sends the call of `stream`, which is told what comes."""
        self._stream = stream
        self._headed = self._told = self._complete = False
        self._answered = self._interim = self._silence_bytes = 0
        self._raw.clear()
        self._sent_at = self._clock()
        body = stream.payload
        if not body:
            self._transport.write(stream.head)
        elif len(body) <= JOIN_BYTES_MAX:
            self._transport.write(stream.head + body)
        else:
            self._transport.writelines((stream.head, body))

    def pause(self) -> None:
        """Reads nothing more until `resume`."""
        if not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    def leave(self) -> None:
        """Nobody listens any more: what is complete is kept for the next call, else it ends."""
        if self._complete:
            self._release()
        else:
            self.drop()

    def drop(self) -> None:
        """Hangs up."""
        self._stream = None
        self._home.lose(self)
        self._transport.abort()

    # What asyncio tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        stream = self._stream
        if stream is None:
            self.drop()  # it speaks unasked, and whose answer would that be
            return
        if not self._told:
            self._answered += len(data)
        error, pieces = None, self._pieces
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            error = self._malformed()
        try:
            if self._headed and not self._told:
                self._told = True
                stream.head, stream.payload = b"", None
                stream.sink.head(self._status, Headers(self._headers))
                if self._stream is not stream:
                    return
            if pieces:
                self._silence_bytes = 0
                stream.sink.data(pieces.pop() if len(pieces) == 1 else self._joined())
            elif not self._complete and error is None:
                error = self._bear(len(data))
            if (self._complete or error is not None) and self._stream is stream:
                if error is None:
                    self._release()
                else:
                    self.drop()
                stream.finish(error)
        except Exception:  # of the sink; whoever waits must not wait for ever
            log.exception("internal error")
            if self._stream is stream:
                self.drop()
            stream.finish(GatewayError("internal", "Internal Server Error"))

    def _malformed(self) -> GatewayError | None:
        self._keep = False
        if self._complete:  # what follows a whole answer only costs the connection
            return None
        return GatewayError("provider_malformed", "The provider's answer is not valid HTTP.")

    def _joined(self) -> bytes:
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data

    def _bear(self, size: int) -> GatewayError | None:
        """Bytes that say nothing, as long as they are few."""
        self._silence_bytes += size
        return self._malformed() if self._silence_bytes > SILENCE_BYTES_MAX else None

    def _release(self) -> None:
        self._stream = None
        self._pieces.clear()
        if not self._keep or self._transport.get_write_buffer_size():
            self.drop()
            return
        if self._paused:
            self.resume()
        self._used = True
        self.idle_since = self._clock()
        if not self._home.keep(self):
            self.drop()

    def eof_received(self) -> None:
        self._end(None)
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)

    def _end(self, fault: Exception | None) -> None:
        stream, self._stream = self._stream, None
        self._home.lose(self)
        if stream is None:
            return
        if self._headed:
            bounded = b"content-length" in self._headers or b"transfer-encoding" in self._headers
            if fault is None and not bounded:
                stream.finish(None)
                return
            said = "The provider broke off its answer."
        elif self._stale() and not stream.retried:
            stream.retry()
            return
        else:
            said = "The provider closed the connection."
        stream.finish(GatewayError("provider_cut", said))

    def _stale(self) -> bool:
        """Whether it was kept from an earlier call and its other end had closed it meanwhile.

        A provider that closed an idle connection has not read what was sent on it, so nothing is
        done twice (RFC 9112, section 9.3.1, allows this where no byte of an answer came). It shows
        at once: where a connection ends later, somebody was at work at its other end.
        """
        return self._used and not self._answered and self._clock() - self._sent_at <= STALE_S

    # What the parser tells.

    def on_message_begin(self) -> None:
        if self._complete:
            raise _Refused

    def on_headers_complete(self) -> None:
        parser = self._parser
        self._status = status = parser.get_status_code()
        if status < 200:
            self._interim += 1
            if status < 100 or self._interim > INTERIM_MAX:
                raise _Refused
            self._raw.clear()
            return
        raw = self._raw  # trailers come into it, too, and are not looked at
        if self._answered > HEAD_BYTES_MAX and _size(raw) > HEAD_BYTES_MAX:
            raise _Refused
        self._headers = headers = {name.lower(): value for name, value in raw.items()}
        raw.clear()
        if headers.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
            raise _Refused
        self._keep = parser.should_keep_alive()
        if not self._keep and parser.get_http_version() not in ("1.1", "1.0"):
            raise _Refused
        self._headed = True

    def on_message_complete(self) -> None:
        self._complete = self._headed


def _size(headers: dict[bytes, bytes]) -> int:
    return len(b"".join(headers)) + len(b"".join(headers.values()))
