"""The caller's connection in plain calls: an ASGI scope extension, offered by `serving.http1`.

`send` and `receive` are coroutines: each piece of a stream that goes through them wakes a task.
Who finds `scope["extensions"]["weir.direct"]` may answer with these calls instead, from inside any
callback of the loop, and hears of a hang-up without waiting for it. One request is answered by the
one or by the other; ASGI stays what portable applications use, and what other servers offer.

    start(status, headers) ──► write(data)* ──► finish(data)      or  break_off() at any time

Nothing of it waits. What the caller does not read waits in the connection: `full` says when that
is too much, and a caller that does not read for the server's time limit is cut off and `gone`.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

DIRECT: Final = "weir.direct"


class Direct(Protocol):
    """One request's connection, until `finish` or `break_off`; what is called after them does
    nothing.
    """

    @property
    def gone(self) -> bool:
        """Whether the caller hung up, or was cut off, before the end of the answer."""

    @property
    def full(self) -> bool:
        """Whether more is waiting for the caller than should: write again when `on_drained` is
        called. What is written all the same is kept.
        """

    @property
    def kept(self) -> dict[str, Any]:
        """What the application keeps of the request's head, empty at first: requests of one
        connection whose heads are the same in all but their length may share it.
        """

    def body(self) -> bytes | None:
        """The whole body of the request, if all of it is here as it is (no `content-encoding`), and
        `receive` was not called; it can be had once.
        """

    def watch(self, on_gone: Callable[[], None], on_drained: Callable[[], None]) -> None:
        """`on_gone` is called once when the caller hangs up before the end of the answer, at once
        if it has; `on_drained` each time when `full` is over. Neither is called after `unwatch`.
        """

    def unwatch(self) -> None:
        """Nothing is told any more. Safe at any time."""

    def start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """The head of the answer, which is sent with its first bytes. Without `content-length` the
        answer is chunked, or ends with the connection where the request was HTTP/1.0.
        """

    def write(self, data: bytes) -> None:
        """A piece of the answer, sent at once."""

    def finish(self, data: bytes = b"") -> None:
        """The last piece; head, body and end go out in one write where nothing went before."""

    def break_off(self) -> None:
        """Ends the connection once what was written is out, before the end of the answer: so the
        caller sees that it is not whole.
        """
