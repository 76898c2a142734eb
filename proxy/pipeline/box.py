"""What waits for a caller that reads more slowly than its provider sends.

Every piece remembers how much of the answer it is, so that an answer can be cut where the account's
money ends.
"""

from typing import TypeAlias

from proxy.wire.events import Event

Piece: TypeAlias = tuple[Event, int, int, int, int]
"""An event for the caller, its choice, how many bytes of text it says, how many images it is, and
how many bytes of the provider it took: a plain tuple, because there is one for every event of every
stream."""


class Box:
    """Pieces in their order."""

    def __init__(self) -> None:
        self._pieces: list[Piece] = []
        self.size_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def put(self, piece: Piece) -> None:
        self._pieces.append(piece)
        self.size_bytes += piece[4]

    def take(self) -> list[Event]:
        """All that waits."""
        events = [piece[0] for piece in self._pieces]
        self._pieces.clear()
        self.size_bytes = 0
        return events

    def drop_last(self) -> Piece:
        """The last piece, which nobody gets."""
        piece = self._pieces.pop()
        self.size_bytes -= piece[4]
        return piece
