"""What of an answer waits for its caller: whole, in a box, or held until the request is settled.

Events are encoded when they are taken out, so that an encoder knows only what its caller has seen:
a piece that is dropped was never said. The end of an answer begins when every choice asked for has
a finish reason; it is no part of what waits, and is asked for when the request is settled.
"""

from collections.abc import Iterable

from proxy.dialects import Bill, StreamEncoder
from proxy.pipeline.box import Box
from proxy.wire.events import Event, Finished, Verbatim

BOX_BYTES_MAX = 64 * 1024  # of a provider's, while its caller reads slowly


class Outlet:
    """The side of an attempt that its caller draws from. Without an encoder the answer is wanted in
    one piece: its `events` are kept.
    """

    def __init__(self, encoder: StreamEncoder | None) -> None:
        self.encoder = encoder
        self.box = Box()
        self.events: list[Event] = []
        self._tail: list[Event] = []
        self._weighed_bytes = 0
        self._forgetting = False

    @property
    def full(self) -> bool:
        """Whether the provider must wait."""
        return self.box.size_bytes > BOX_BYTES_MAX

    def put(
        self, event: Event, meant: Iterable[Event], said: tuple[int, int, int], data_bytes: int
    ) -> None:
        """Keeps an event for the caller. `meant` is what it means, `said` its choice, bytes of text
        and images; `data_bytes` is all that the provider sent so far.
        """
        if self._forgetting:
            return
        if self.encoder is None:
            self.events.append(event)
        elif self._ends(event, meant):
            self._tail.append(event)
        else:
            weight, self._weighed_bytes = data_bytes - self._weighed_bytes, data_bytes
            self.box.put((event, *said, weight))

    def _ends(self, event: Event, meant: Iterable[Event]) -> bool:
        """Whether it belongs to the end; of a provider's own words all that follows does, too."""
        if self._tail and isinstance(event, Verbatim):
            return True
        return any(isinstance(one, Finished) for one in meant)

    def take(self) -> bytes:
        """What waits. Raises GatewayError where it can not be said."""
        events = self.box.take()
        return b"" if self.encoder is None else b"".join(map(self.encoder.encode, events))

    def encode_end(self, bill: Bill) -> bytes:
        """The held end. Raises GatewayError where it can not be said."""
        assert self.encoder is not None
        return b"".join(map(self.encoder.encode, self._tail)) + self.encoder.encode_end(bill)

    def forget(self) -> None:
        """Nobody listens any more: nothing is kept."""
        self._forgetting = True
        self.box.take()
        self._tail.clear()
        self.events.clear()
