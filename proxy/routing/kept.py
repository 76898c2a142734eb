"""What was found for a kind of request, kept for the next one: as much as there is memory for it.

Callers choose what they wish, and there is no end of wishes. What is kept longest goes first: who
still needs it pays for it once more.
"""

from collections import deque
from typing import Any


class Kept(dict[Any, Any]):
    """Answers by wishes, of `bytes_max` bytes together, by what `keep` is told of each."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__()
        self._sizes: deque[int] = deque()  # in the order of the keys
        self._bytes = 0
        self._bytes_max = bytes_max

    def keep(self, key: Any, value: Any, size_bytes: int) -> None:
        """Keeps what has no place yet; what is larger than all that may be kept is not."""
        if size_bytes > self._bytes_max:
            return
        self._bytes += size_bytes
        while self._bytes > self._bytes_max:
            del self[next(iter(self))]
            self._bytes -= self._sizes.popleft()
        self[key] = value
        self._sizes.append(size_bytes)
