"""Connections without sockets, for a gateway on stage: bytes go from one end to the other at once.

A `StillLoop` connects to nobody but the canned provider, whose answers lie ready, and its clock
stands still between requests: nothing of what is counted depends on another program.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from bench.canned import ANTHROPIC, OPENAI, STREAM_HEAD, Format, chunk, wished

TICK_S: Final = 0.001  # by which the clock moves with each request
_END: Final = b"0\r\n\r\n"
_ADDRESS: Final = ("127.0.0.1", 50000)


class Wire(asyncio.Transport):
    """One end of a connection, for the protocol that holds it; the other end is a subclass."""

    def __init__(self) -> None:
        super().__init__()
        self._closing = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return _ADDRESS if name in ("peername", "sockname") else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """What is written is read at once."""

    def get_write_buffer_size(self) -> int:
        return 0

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.write(b"".join(list_of_data))

    def pause_reading(self) -> None:
        """What comes has come already."""

    def resume_reading(self) -> None:
        """The same."""

    def can_write_eof(self) -> bool:
        return False

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True

    def abort(self) -> None:
        self._closing = True


class ToProvider(Wire):
    """To a provider who has answered before anybody asked. The head of an answer that is streamed
    comes with its opening, each event by itself.
    """

    _ready: Final[dict[tuple[bool, int], list[bytes]]] = {}

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._protocol = protocol
        self._call_soon = asyncio.get_running_loop().call_soon

    def write(self, data: Any) -> None:
        form = ANTHROPIC if b"/messages" in data[:64] else OPENAI
        if b'"stream":true' in data:
            for piece in self._pieces(form, wished(data)[0]):
                self._call_soon(self._protocol.data_received, piece)
        else:
            self._call_soon(self._protocol.data_received, form.whole)

    def _pieces(self, form: Format, events: int) -> list[bytes]:
        key = form.openai, events
        if key not in self._ready:
            said = [chunk(form.piece % (number, 1000 + number)) for number in range(events)]
            end = chunk(form.closing(events)) + _END
            self._ready[key] = [STREAM_HEAD + chunk(form.opening), *said, end]
        return self._ready[key]


class ToCaller(Wire):
    """To a caller who waits for one answer after the other; `answered` is done with the last piece
    of one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.answered = asyncio.get_running_loop().create_future()

    def expect(self) -> asyncio.Future[None]:
        """Ready for the next answer."""
        self.pieces = []
        self.answered = asyncio.get_running_loop().create_future()
        return self.answered

    def write(self, data: Any) -> None:
        whole = not self.pieces and b"ransfer-" not in data[:1024]  # the head has no such header
        self.pieces.append(data)
        if (whole or data.endswith(_END)) and not self.answered.done():
            self.answered.set_result(None)

    def close(self) -> None:
        super().close()
        if not self.answered.done():
            self.answered.set_exception(ConnectionError("the gateway closed the connection"))


class StillLoop(asyncio.SelectorEventLoop):
    """A loop that has no other connections, and whose clock is moved by hand."""

    now_s = 1000.0

    def time(self) -> float:
        return self.now_s

    def tick(self) -> None:
        """Time goes on."""
        self.now_s += TICK_S

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Reached at once."""

    async def create_connection(  # type: ignore[override]
        self, factory: Callable[[], asyncio.Protocol], *_args: Any, **more: Any
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        if (sock := more.get("sock")) is not None:
            sock.close()
        protocol = factory()
        wire = ToProvider(protocol)
        protocol.connection_made(wire)
        return wire, protocol


def still() -> StillLoop:
    """The running loop, which must be such a one."""
    return cast("StillLoop", asyncio.get_running_loop())
