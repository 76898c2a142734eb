"""Reading on our own HTTP/1.1: from the bytes of a connection to its requests.

httptools (llhttp, strict) reads; what it lets through and must not be is found in
`proxy.serving.framing`. While a request waits for its turn nothing behind it is parsed, so that a
connection holds no more than one slice of pipelined requests, and some bytes.
"""

import asyncio
from abc import abstractmethod
from typing import Any, Final
from urllib.parse import unquote

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from proxy.errors import GatewayError
from proxy.serving import guard
from proxy.serving.cycle import Cycle
from proxy.serving.direct import DIRECT
from proxy.serving.familiar import Familiar, familiar
from proxy.serving.framing import HEAD_BYTES_MAX, METHODS, TARGET_BYTES_MAX, fault, joined
from proxy.serving.hall import Hall
from proxy.serving.line import Line

UNREAD_BYTES_MAX: Final = 64 * 1024  # that wait for the application, or behind a request
SLICE_BYTES: Final = 8 * 1024  # what is parsed at once: no more requests wait than it holds
FED_BYTES_MAX: Final = HEAD_BYTES_MAX + SLICE_BYTES  # without a head's end, or a body's bytes

_ASGI: Final = {"version": "3.0", "spec_version": "2.4"}
_METHODS: Final = {method.encode(): method for method in METHODS}


class _Stop(Exception):
    """Has the parser read no further."""


class Intake(asyncio.Protocol, Line):
    """The half of a connection that listens; the other half is `proxy.serving.http1`."""

    hall: Hall
    _transport: asyncio.Transport
    _client: Any
    _server: Any
    _scheme: str
    # What few connections have is no attribute of each: with more than 30 its dict is not shared.
    _overheard = 0  # bytes that the caller said since what it says is not for us
    _refusal: GatewayError | None = None

    def __init__(self) -> None:
        self._parser = HttpRequestParser(self)
        self._cycle: Cycle | None = None  # whose turn it is
        self._coming: Cycle | None = None  # whose body is not all here
        self._waiting: list[Cycle] = []
        self._kept = bytearray()  # what came behind a request that waits
        self._paused = False
        self._full = False  # all is answered, and not read: nothing more is
        self._deaf = False  # what the caller says is no longer for us
        self._length = 0  # of the body, as far as it was told and is still to come
        self._upgrading = False
        self._coded = False  # the body is chunked
        self._between = True  # the parser is between two requests
        self._again = False  # there was a request before
        self._familiar: Familiar | None = None  # the head of the last one
        self._clear()

    def _clear(self) -> None:
        """Expects another head."""
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._heard = False  # the head is complete
        self._late = False  # it came in pieces, and has a time of its own
        self._fed = 0  # bytes of it, and what was read with them

    @abstractmethod
    def _part(self, error: GatewayError) -> None:
        """Tells what is wrong when all before is answered, and ends the connection."""

    # Bytes.

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            self._overheard += len(data)
            if self._overheard > guard.LINGER_BYTES:
                self.reset()
        elif self._waiting or self._kept or self._full:
            self._kept += data
            self._listen()
        elif self._familiar is None or not self._recognise(self._familiar, data):
            self._read(data)

    def _recognise(self, familiar: Familiar, data: bytes) -> bool:
        """Begins the request that `data` is, if it has the same head as the one before."""
        if self._cycle is not None or not self._between:
            return False
        request = familiar.request(data)
        if request is None:
            return False
        scope, body = request
        self._cycle = cycle = Cycle(self, expects=False)
        cycle.hear(body)
        cycle.heard_out = True
        cycle.full = self.blocked
        cycle.kept = familiar.kept
        hall = self.hall
        hall.heard(self)
        scope["state"] = hall.state.copy()
        scope["extensions"] = {DIRECT: cycle, guard.ABORT: self.reset}
        hall.begin(cycle, scope)
        return True

    def _read(self, data: bytes) -> None:
        """Reads until a request has to wait; what is behind that is kept."""
        alone = self._between and self._cycle is None
        try:
            if len(data) <= SLICE_BYTES:
                self._fed += len(data)
                self._parser.feed_data(data)
            else:
                self._read_in_slices(memoryview(data))
        except HttpParserUpgrade as upgrade:
            self._go_on(data[upgrade.args[0] :])
        except HttpParserError as error:
            if not self._deaf:  # else it is what follows the last request
                refusal, self._refusal = self._refusal, None
                self._part(refusal or GatewayError("invalid_request", f"Malformed: {error}."))
        if self._fed > FED_BYTES_MAX and not self._deaf:
            self._part(_too_large())
        if self._cycle is not None:
            if alone and self._between and len(data) <= SLICE_BYTES:
                self._remember(self._cycle, data)
            self._begin()
        elif self._target and not self._late:
            self._late = True
            self.hall.wait(self)

    def _remember(self, cycle: Cycle, data: bytes) -> None:
        """Knows the head again, if it may come again: not before a second request came."""
        special = cycle.bodiless or cycle.old or cycle.last
        if self._again and not special and cycle.scope is not None:
            self._familiar = familiar(data, cycle.scope, cycle.kept)
        self._again = True

    def _read_in_slices(self, data: memoryview) -> None:
        while data and not self._waiting and not self._deaf and self._fed <= FED_BYTES_MAX:
            size = max(SLICE_BYTES, self._length)
            self._fed += min(size, len(data))
            try:
                self._parser.feed_data(data[:size])
            except HttpParserUpgrade as upgrade:
                self._go_on(bytes(data[upgrade.args[0] :]))
                return
            data = data[size:]
        if data and not self._deaf:
            self._kept += data
            self._listen()

    def _go_on(self, rest: bytes) -> None:
        """llhttp leaves what follows an `Upgrade` to another protocol. None is spoken here, and the
        request goes on as if it had not asked; its framing is told to a parser of its own.
        """
        self._upgrading = False
        self._parser = HttpRequestParser(self)
        if self._coming is not None:
            framing = b"Transfer-Encoding: chunked"
            if self._length:
                framing = b"Content-Length: %d" % self._length
            self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n\r\n" % framing)
        if rest and not self._deaf:
            if self._waiting:
                self._kept += rest
                self._listen()
            else:
                self._read(rest)

    def _listen(self) -> None:
        """Reads from the connection as long as there is room for what comes: only who reads hears
        that the caller hangs up.
        """
        coming = self._coming
        full = len(self._kept) > UNREAD_BYTES_MAX or (
            coming is not None and coming.unread > UNREAD_BYTES_MAX
        )
        if full != self._paused and not self._transport.is_closing():
            self._paused = full
            if full:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def relieve(self) -> None:
        """The application took what was there of a body."""
        if self._paused:
            self._listen()

    # What the parser finds.

    def on_message_begin(self) -> None:
        self._between = False

    def on_url(self, url: bytes) -> None:
        if not self._heard:
            self._target += url
            if len(self._target) > TARGET_BYTES_MAX:
                self._refuse(GatewayError("invalid_request", "The target is too long.", status=414))

    def _refuse(self, error: GatewayError | None) -> None:
        if error is not None:
            self._refusal = error
            raise _Stop

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value.strip()))

    def on_headers_complete(self) -> None:
        if self._heard:
            return
        parser, headers = self._parser, self._headers
        noted = dict(headers)
        if len(noted) != len(headers):
            noted = joined(headers)
        verb, version = parser.get_method(), parser.get_http_version()
        method = _METHODS.get(verb) or verb.decode()
        if self._fed > HEAD_BYTES_MAX - SLICE_BYTES and self._size() > HEAD_BYTES_MAX:
            self._refuse(_too_large())
        self._refuse(fault(method, self._target, version, noted, len(headers)))
        expects = b"expect" in noted and noted[b"expect"].lower() == b"100-continue"
        cycle = Cycle(self, expects=expects and version == "1.1")
        cycle.bodiless = method == "HEAD"
        cycle.coded = b"content-encoding" in noted
        cycle.old = version == "1.0"
        cycle.last = not parser.should_keep_alive()
        cycle.scope = self._scope(cycle, method, version)
        self._heard = True
        self._headers = []  # for what stands behind the body, and is not looked at
        self._coded = b"transfer-encoding" in noted
        self._length = int(noted.get(b"content-length", 0))
        self._upgrading = b"upgrade" in noted and parser.should_upgrade()
        self._coming = cycle
        if self._cycle is None:
            self._cycle = cycle
            cycle.full = self.blocked
            self.hall.heard(self)
        else:
            self._waiting.append(cycle)

    def _size(self) -> int:
        lines = sum(len(name) + len(value) + 4 for name, value in self._headers)
        return lines + len(self._target)

    def _scope(self, cycle: Cycle, method: str, version: str) -> dict[str, Any]:
        raw_path, _, query = self._target.partition(b"?")
        path = raw_path.decode("ascii")  # llhttp takes no other
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "method": method,
            "scheme": self._scheme,
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": self._headers,
            "client": self._client,
            "server": self._server,
            "state": self.hall.state.copy(),
            "extensions": {DIRECT: cycle, guard.ABORT: self.reset},
        }

    def on_body(self, data: bytes) -> None:
        self._fed = 0
        self._length -= len(data)
        cycle = self._coming
        if cycle is not None:
            cycle.hear(data)
            if cycle.unread > UNREAD_BYTES_MAX:
                self._listen()

    def on_message_complete(self) -> None:
        cycle = self._coming
        if cycle is None or (self._upgrading and (self._length or self._coded)):
            return
        cycle.heard_all()
        self._coming = None
        self._deaf = cycle.last
        self._between = True
        self._clear()
        if self._paused:  # whether or not the body is taken: who hangs up is heard
            self._listen()

    def _begin(self) -> None:
        """Has the application answer the request whose turn it is, if it does not already."""
        cycle = self._cycle
        if cycle is not None and cycle.scope is not None:
            scope, cycle.scope = cycle.scope, None
            self.hall.begin(cycle, scope)


def _too_large() -> GatewayError:
    return GatewayError("invalid_request", "The head is too large.", status=431)
