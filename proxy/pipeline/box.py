"""What waits for a caller that reads more slowly than its provider sends.

Every piece remembers how much of the answer it is, so that an answer can be cut where the account's
money ends.
"""

from typing import TypeAlias

Piece: TypeAlias = tuple[bytes, int, int, int]
"""Bytes for the caller, their choice, how many bytes of text they say and how many images they
are: a plain tuple, because there is one for every event of every stream."""


class Box:
    """Pieces in their order."""

    def __init__(self) -> None:
        self._pieces: list[Piece] = []
        self.size_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def put(self, piece: Piece) -> None:
        self._pieces.append(piece)
        self.size_bytes += len(piece[0])

    def take(self) -> bytes:
        """All that waits."""
        data = b"".join([piece[0] for piece in self._pieces])
        self._pieces.clear()
        self.size_bytes = 0
        return data

    def drop_last(self) -> Piece:
        """The last piece, which nobody gets."""
        piece = self._pieces.pop()
        self.size_bytes -= len(piece[0])
        return piece
