"""One request and its answer on our own HTTP/1.1: in ASGI's words, or in plain calls.

The plain calls are those of `proxy.serving.direct`; `receive` and `send` are the same in coroutines
and so cost a task's turn. Only the request whose turn it is has a running cycle.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from starlette.types import Message, Scope

from proxy.errors import CallerGone, GatewayError
from proxy.serving.framing import CHUNKED, NO_BODY, UNTIL_CLOSE, Pairs, head_of
from proxy.serving.line import Guarding, Line, Place

log = logging.getLogger(__name__)

TURN_BYTES: Final = 64 * 1024  # that one request may send before the loop goes round

_UNSTARTED: Final = -4
_FORGOTTEN: Final[dict[str, Any]] = {}  # a stream is long
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


def _nothing() -> None:
    pass


class Gone(CallerGone, OSError):
    """The same as ASGI has it, which wants an OSError (HTTP, "disconnected client")."""


class Cycle:
    """One request's connection, until its answer is complete or the caller is gone.

    What the connection tells it: `hear`, `heard_all`, `drained`, `lose`.
    """

    __slots__ = (
        "_connection", "_expects", "_head", "_left", "_news", "_on_drained", "_on_gone", "_pieces",
        "_received", "_told", "_unyielded", "bodiless", "coded", "full", "gone", "heard_out",
        "kept", "last", "old", "scope", "task", "unread",
    )  # fmt: skip

    def __init__(self, connection: Line, *, expects: bool) -> None:
        self._connection: Line | None = connection
        self._expects = expects  # the caller waits for a word before it sends the body
        self._head = b""  # of the answer, not sent yet
        self._left = _UNSTARTED  # bytes of the answer's body to come, or how it is framed
        self._news: asyncio.Event | None = None
        self._on_drained: Callable[[], None] = _nothing
        self._on_gone: Callable[[], None] = _nothing
        self._pieces: list[bytes] = []
        self._received = False  # somebody took the body, or waits for it
        self._told = False  # all of the body was given
        self._unyielded = 0  # bytes sent since others had their turn
        self.bodiless = False  # HEAD
        self.coded = False  # the body has a content-encoding
        self.full = False
        self.gone = False
        self.heard_out = False  # the whole request is here
        self.kept: dict[str, Any] = {}
        self.last = False  # the connection ends with the answer
        self.old = False  # HTTP/1.0
        self.scope: Scope | None = None
        self.task: asyncio.Task[None] | None = None
        self.unread = 0  # bytes of the body that nobody took

    # What the connection says.

    def hear(self, data: bytes) -> None:
        """A piece of the request's body."""
        self._pieces.append(data)
        self.unread += len(data)
        self._expects = False
        if self._news is not None:
            self._news.set()

    def heard_all(self) -> None:
        """The request is complete."""
        self.heard_out = True
        if self._news is not None:
            self._news.set()

    def drained(self) -> None:
        """The caller reads again."""
        self.full = False
        if self._news is not None:
            self._news.set()
        self._on_drained()

    def lose(self) -> None:
        """The caller is gone, or what it says can not be understood."""
        if self._connection is not None:
            on_gone = self._on_gone
            self.gone = True
            self._leave()
            on_gone()

    def _leave(self) -> None:
        self._connection = None
        self.full = False
        self._on_gone = self._on_drained = _nothing
        if self._news is not None:
            self._news.set()

    @property
    def unsaid(self) -> bool:
        """Whether nothing of the answer is out, so that another one can be given."""
        return self._left == _UNSTARTED or bool(self._head)

    # Plain calls: see `proxy.serving.direct`.

    def guarded(self, guard: Guarding) -> None:
        """Who says how long a caller may not read, and whether answers end their connections."""
        if self._connection is not None:
            self._connection.hall.guard = guard

    def body(self) -> bytes | None:
        """The whole body, if all of it is here as it is and nobody took of it."""
        if self._received or self.coded or not self.heard_out:
            return None
        self._received = self._told = True
        return self._take()

    def _take(self) -> bytes:
        pieces, self._pieces, self.unread = self._pieces, [], 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def watch(self, on_gone: Callable[[], None], on_drained: Callable[[], None]) -> None:
        """Has both called from now on."""
        if self.gone:
            on_gone()
        elif self._connection is not None:
            self._on_gone, self._on_drained = on_gone, on_drained

    def unwatch(self) -> None:
        """Has them called no more."""
        self._on_gone = self._on_drained = _nothing

    def start(self, status: int, headers: Pairs) -> None:
        """The head. Raises ValueError for one that can not be sent, and RuntimeError, as do all
        that follow, for what is out of order.
        """
        connection = self._connection
        if connection is None:
            return
        if self._left != _UNSTARTED:
            raise RuntimeError("the answer has begun already")
        hall = connection.hall
        lines, framing, close = head_of(status, headers, date=hall.date, bodiless=self.bodiless)
        if framing == CHUNKED and self.old:
            framing = UNTIL_CLOSE
        elif framing == CHUNKED:
            lines.append(b"transfer-encoding: chunked\r\n")
        self.last |= close or connection.last or hall.guard.ending or framing == UNTIL_CLOSE
        if self.last or not self.heard_out:
            self.last = True
            lines.append(b"connection: close\r\n\r\n")
        else:
            lines.append(b"connection: keep-alive\r\n\r\n" if self.old else b"\r\n")
        self._head = b"".join(lines)
        self._left = framing
        self._expects = False
        self.kept = _FORGOTTEN

    def write(self, data: bytes) -> None:
        """A piece of the answer, with the head where that is not out."""
        connection = self._connection
        if connection is None:
            return
        left = self._left
        if left == CHUNKED:
            if data:
                data = b"%x\r\n%b\r\n" % (len(data), data)
        elif left >= 0:
            left -= len(data)
            if left < 0:
                raise RuntimeError("the answer is longer than its content-length")
            self._left = left
        elif left == NO_BODY:
            data = b""
        elif left == _UNSTARTED:
            raise RuntimeError("the answer has not begun")
        if self._head:
            data, self._head = self._head + data, b""
        if data:
            connection.write(data)

    def finish(self, data: bytes = b"") -> None:
        """The last piece, in one write with all that is not out."""
        connection = self._connection
        if connection is None:
            return
        left = self._left
        if left == CHUNKED:
            data = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data) if data else b"0\r\n\r\n"
        elif left >= 0:
            if len(data) != left:
                raise RuntimeError(f"the answer is not as long as its content-length: {left}")
        elif left == NO_BODY:
            data = b""
        elif left == _UNSTARTED:
            raise RuntimeError("the answer has not begun")
        if self._head:
            data, self._head = self._head + data, b""
        if data:
            connection.write(data)
        self._leave()
        connection.answered(last=self.last)

    def break_off(self) -> None:
        """Ends the connection once what was written is out."""
        connection = self._connection
        if connection is not None:
            if self._head:
                connection.write(self._head)
            self._leave()
            connection.quit()

    # ASGI.

    async def run(self, hall: Place, scope: Scope) -> None:
        """Has the application answer; what it leaves undone ends the connection."""
        try:
            answering = hall.answer(scope, self.receive, self.send)
            del scope  # so that the application can forget it
            await answering
            if self._connection is not None:
                self._give_up("the application gave no answer")
        except CallerGone:
            self.break_off()
        except Exception:
            log.exception("the application failed")
            self._give_up("")
        except BaseException:
            self.break_off()
            raise
        finally:
            hall.done(self)

    def _give_up(self, why: str) -> None:
        connection = self._connection
        if connection is None:
            return
        if not self.unsaid:
            self.break_off()
            return
        if why:
            log.error(why)
        self._leave()
        error = GatewayError("internal", "Internal Server Error")
        connection.fail(error, bodiless=self.bodiless)

    async def receive(self) -> Message:
        """The next piece of the body, or that there is nobody any more."""
        self._received = True
        while True:
            connection = self._connection
            if connection is None:
                return {"type": "http.disconnect"}
            if self._pieces or (self.heard_out and not self._told):
                self._told = self.heard_out
                data = self._take()
                connection.relieve()
                return {"type": "http.request", "body": data, "more_body": not self.heard_out}
            if self._expects:
                self._expects = False
                connection.write(_CONTINUE)
            await self._wait()

    async def _wait(self) -> None:
        if self._news is None:
            self._news = asyncio.Event()
        self._news.clear()
        await self._news.wait()

    async def send(self, message: Message) -> None:
        """Returns once there is room for more; raises Gone where more will never be read."""
        if message["type"] == "http.response.start":
            self.start(message["status"], message.get("headers", ()))
        elif message["type"] != "http.response.body":
            raise RuntimeError(f"not a message of this server: {message['type']}")
        elif message.get("more_body", False):
            data = message.get("body", b"")
            self.write(data)
            self._unyielded += len(data)
            if self._unyielded > TURN_BYTES:  # others have their turn, and a hang-up is heard of
                self._unyielded = 0
                await asyncio.sleep(0)
            while self.full:
                await self._wait()
            if self.gone:
                raise Gone
        else:
            self.finish(message.get("body", b""))
