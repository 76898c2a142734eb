"""What waits for a caller that reads more slowly than its provider sends.

Every piece remembers how much of the answer was said with it, and how much up to its end, so that
an answer can be cut exactly where the account's money ends.
"""

from collections.abc import Callable
from typing import NamedTuple


class Piece(NamedTuple):
    """Bytes for the caller, of `choice`. `said_bytes` and `images` are its own, `tokens_max` is
    the estimate for the answer up to here.
    """

    data: bytes
    choice: int
    said_bytes: int
    images: int
    tokens_max: int


class Box:
    """Pieces in their order."""

    def __init__(self) -> None:
        self._pieces: list[Piece] = []
        self.size_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def put(self, piece: Piece) -> None:
        self._pieces.append(piece)
        self.size_bytes += len(piece.data)

    def take(self) -> bytes:
        """All that waits."""
        data = b"".join([piece.data for piece in self._pieces])
        self._pieces.clear()
        self.size_bytes = 0
        return data

    def cut(self, covered: Callable[[int], bool]) -> list[Piece]:
        """Drops all from the first piece on whose tokens are not covered, and gives it."""
        keep = 0
        while keep < len(self._pieces) and covered(self._pieces[keep].tokens_max):
            keep += 1
        dropped = self._pieces[keep:]
        del self._pieces[keep:]
        self.size_bytes -= sum(len(piece.data) for piece in dropped)
        return dropped
