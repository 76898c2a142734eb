"""Our own HTTP/1.1: one connection, its requests in order, and its end.

A caller that shuts down its side of the connection has hung up, as with Uvicorn and nginx: the two
look the same, and a provider nobody listens to costs money.
"""

import asyncio
from typing import Any, Final, cast

from proxy.errors import GatewayError
from proxy.serving import guard
from proxy.serving.framing import head_of
from proxy.serving.hall import Hall
from proxy.serving.intake import Intake
from proxy.serving.sockets import reset

HIGH_WATER_BYTES: Final = 64 * 1024  # that wait for the caller to read; who takes less stalls
LOW_WATER_BYTES: Final = 16 * 1024


class Connection(Intake):
    """A connection of the hall."""

    def __init__(self, hall: Hall) -> None:
        super().__init__()
        self.hall = hall
        self.blocked = False  # the caller does not read what was written
        self.last = False  # the answer under way is the last
        self._unsent_bytes = 0  # when it was last looked at
        self._farewell = b""  # what is said when all before is answered

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is of no such class
        self._transport.set_write_buffer_limits(high=HIGH_WATER_BYTES, low=LOW_WATER_BYTES)
        self.write = self._transport.write
        self._client = _address(transport.get_extra_info("peername"))
        self._server = _address(transport.get_extra_info("sockname"))
        self._scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        self.hall.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.hall.left(self)
        del self._parser, self.write  # they refer to us
        self._hang_up()

    def eof_received(self) -> None:
        self._hang_up()
        self._take_leave()  # asyncio closes it; what was written is still sent

    def _hang_up(self) -> None:
        self._fall_silent()
        cycle, self._cycle = self._cycle, None
        if cycle is not None:
            cycle.lose()

    def _fall_silent(self) -> None:
        """Nothing more is asked."""
        self._deaf = True
        self._full = False
        self._coming = None
        self._kept.clear()
        self._waiting.clear()

    def pause_writing(self) -> None:
        self.blocked = True
        if self._cycle is not None:
            self._cycle.full = True
        self.hall.blocked[self] = self.hall.now
        self._unsent_bytes = self._transport.get_write_buffer_size()

    def resume_writing(self) -> None:
        self.blocked = False
        if not self._transport.is_closing():
            self.hall.blocked.pop(self, None)
        if self._cycle is not None:
            self._cycle.drained()
        elif self._full:
            self._full = False
            self._take_turns()

    def stalls(self) -> bool:
        """Whether the caller hardly read anything since that was last asked, or since it began not
        to read all.
        """
        before, self._unsent_bytes = self._unsent_bytes, self._transport.get_write_buffer_size()
        return before - self._unsent_bytes < HIGH_WATER_BYTES

    # What the cycle says whose turn it is.

    def answered(self, *, last: bool) -> None:
        """Its answer is complete: the next one's turn, once it is read."""
        self._cycle = None
        if last or self.last:
            self.quit()
        elif self.blocked:
            self._full = True
            self._unsent_bytes = self._transport.get_write_buffer_size()
        else:
            self._take_turns()

    def _take_turns(self) -> None:
        if self._waiting:
            self._cycle = self._waiting.pop(0)
            self._begin()
            self._go_further()
        elif self._farewell:
            self._say_farewell()
        else:
            self.hall.wait(self)
            if self._kept:
                self._go_further()

    def _go_further(self) -> None:
        if not self._waiting:
            kept, self._kept = self._kept, bytearray()
            if kept:
                self._read(bytes(kept))
            self._listen()

    def quit(self) -> None:
        """Ends the connection once what was written is out."""
        self._cycle = None
        if self._coming is None:
            self.close()
        else:
            self._linger()

    def fail(self, error: GatewayError, *, bodiless: bool) -> None:
        """Tells of an error in place of an answer of which nothing is out, and ends."""
        self.write(self._told(error, bodiless=bodiless))
        self.quit()

    # The end.

    def _told(self, error: GatewayError, *, bodiless: bool = False) -> bytes:
        headers, body = self.hall.refuse(error)
        lines, *_ = head_of(error.status, headers, date=self.hall.date, bodiless=bodiless)
        return b"".join([*lines, b"connection: close\r\n\r\n", b"" if bodiless else body])

    def _part(self, error: GatewayError) -> None:
        self._deaf = True
        self._kept.clear()
        coming, self._coming = self._coming, None
        if coming is not None and coming is self._cycle:
            self._cycle = None
            unsaid = coming.unsaid
            coming.lose()
            if not unsaid:
                self._linger()
                return
        elif coming is not None:
            self._waiting.remove(coming)
        self._farewell = self._told(error)
        if self._cycle is None:
            self._say_farewell()

    def _say_farewell(self) -> None:
        self.write(self._farewell)
        self._linger()

    def _linger(self) -> None:
        """Closing on bytes that were not read would reset the connection, and the reset may
        overtake the answer: what still comes is read for a while, and thrown away.
        """
        self._fall_silent()
        self._listen()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self.hall.linger(self, guard.LINGER_S)

    def close(self) -> None:
        """Ends the connection once what was written is out, or the caller does not take it."""
        self._fall_silent()
        self.hall.heard(self)
        if not self._transport.is_closing():
            self._take_leave()
            self._transport.close()

    def _take_leave(self) -> None:
        """Who does not take what was written is not waited for, however little that is."""
        self.hall.blocked.setdefault(self, self.hall.now)
        self._unsent_bytes = self._transport.get_write_buffer_size()

    def end(self) -> None:
        """Ends the connection as soon as no request is under way."""
        self.last = True
        if self._cycle is None and not self._deaf:
            self.close()

    def reset(self) -> None:
        """Ends the connection at once, and drops what the caller did not read."""
        reset(self._transport)


def _address(name: Any) -> Any:
    """A peer's or our own name as ASGI has it."""
    if isinstance(name, tuple):
        return name[:2]
    return (name, None) if name else None
