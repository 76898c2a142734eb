"""What of an answer waits for its caller: whole, as pieces, or held until the request is settled.

Events are encoded when they are taken out, so that an encoder knows only what its caller has seen:
a piece that is dropped was never said. The end of an answer begins when every choice asked for has
a finish reason; it is no part of what waits, and is asked for when the request is settled.
"""

from collections.abc import Collection
from typing import TypeAlias

from proxy.dialects import Bill, StreamEncoder
from proxy.wire.events import Event, Finished, Spliced, Verbatim

WAITING_BYTES_MAX = 64 * 1024  # of a provider's, while its caller reads slowly

Piece: TypeAlias = tuple[Event, int, int, int, int]
"""An event for the caller, its choice, how many bytes of text it says, how many images it is, and
how many bytes of the provider it took: so an answer can be cut where the account's money ends."""


class Outlet:
    """The side of an attempt that its caller draws from. Without an encoder the answer is wanted in
    one piece: its `events` are kept. Else `pieces` wait, which took `size_bytes` of the provider's.
    """

    __slots__ = (
        "_forgetting", "_tail", "encoder", "events", "pieces", "size_bytes", "weighed_bytes",
    )  # fmt: skip

    def __init__(self, encoder: StreamEncoder | None) -> None:
        self.encoder = encoder
        self.pieces: list[Piece] = []
        self.size_bytes = 0
        self.events: list[Event] = []
        self._tail: list[Event] = []
        self.weighed_bytes = 0  # how much of what came is out, or waits
        self._forgetting = False

    @property
    def full(self) -> bool:
        """Whether the provider must wait."""
        return self.size_bytes > WAITING_BYTES_MAX

    def put(
        self, event: Event, meant: Collection[Event], said: tuple[int, int, int], data_bytes: int
    ) -> None:
        """Keeps an event for the caller. `meant` is what it means where that may be an end, `said`
        its choice, bytes of text and images; `data_bytes` is all that the provider sent so far.
        """
        if self._forgetting:
            return
        if self.encoder is None:
            self.events.append(event)
        elif (meant or self._tail) and self._ends(event, meant):
            self._tail.append(event)
        else:
            weight, self.weighed_bytes = data_bytes - self.weighed_bytes, data_bytes
            self.pieces.append((event, *said, weight))
            self.size_bytes += weight

    def _ends(self, event: Event, meant: Collection[Event]) -> bool:
        """Whether it belongs to the end; of a provider's own words all that follows does, too."""
        if self._tail and isinstance(event, Verbatim):
            return True
        return any(isinstance(one, Finished) for one in meant)

    def take(self) -> bytes:
        """All that waits. Raises GatewayError where it can not be said."""
        pieces = self.pieces
        if not pieces:
            return b""
        assert self.encoder is not None
        self.pieces, self.size_bytes = [], 0
        encode = self.encoder.encode
        return b"".join([encode(piece[0]) for piece in pieces])

    def drop_last(self) -> Piece:
        """The last piece, which nobody gets; of pieces that were spliced together one."""
        piece = self.pieces.pop()
        event, choice, _, images, weight = piece
        if isinstance(event, Spliced) and len(event.sizes) > 1:
            for part in event.parts():
                self.pieces.append((part, choice, part.sizes[0], images, weight))
                weight = 0  # all that the provider sent for them came with the first
            piece = self.pieces.pop()
        self.size_bytes -= piece[4]
        return piece

    def encode_end(self, bill: Bill) -> bytes:
        """The held end. Raises GatewayError where it can not be said."""
        assert self.encoder is not None
        return b"".join(map(self.encoder.encode, self._tail)) + self.encoder.encode_end(bill)

    def forget(self) -> None:
        """Nobody listens any more: nothing is kept."""
        self._forgetting = True
        self.pieces.clear()
        self.size_bytes = 0
        self._tail.clear()
        self.events.clear()
