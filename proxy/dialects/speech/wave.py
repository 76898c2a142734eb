"""WAV: a head before PCM, put on and taken off.

Source: "Multimedia Programming Interface and Data Specifications 1.0" (RIFF, WAVE). Streams give
their length as the largest number: nobody knows it yet.
"""

import struct
from typing import Final

from proxy.errors import GatewayError

UNKNOWN: Final = 0xFFFF_FFFF
HEAD_BYTES_MAX: Final = 64 * 1024


def head(rate_hz: int) -> bytes:
    """The head of a stream of one channel with 16 bits a sample."""
    form = struct.pack("<HHIIHH", 1, 1, rate_hz, rate_hz * 2, 2, 16)
    return (
        struct.pack("<4sI4s", b"RIFF", UNKNOWN, b"WAVE")
        + struct.pack("<4sI", b"fmt ", len(form))
        + form
        + struct.pack("<4sI", b"data", UNKNOWN)
    )


class Bared:
    """A stream of sound without the head of a WAV, if it has one."""

    def __init__(self) -> None:
        self._held: bytearray | None = bytearray()
        self._left = UNKNOWN  # of the samples; what follows them is no sound

    def feed(self, data: bytes) -> bytes:
        """The samples in a piece.

        Raises GatewayError `provider_malformed` for a head without end.
        """
        if self._held is None:
            return self._samples(data)
        self._held += data
        if b"RIFF".startswith(self._held[:4]) and len(self._held) < 12:
            return b""  # it may become one
        begin = 0 if self._held[:4] != b"RIFF" else self._begin(self._held)
        if begin is None:
            if len(self._held) > HEAD_BYTES_MAX:
                raise GatewayError("provider_malformed", "The sound has no samples.")
            return b""
        rest, self._held = bytes(self._held[begin:]), None
        return self._samples(rest)

    def end(self) -> bytes:
        """What was held, being too short for a head."""
        held, self._held = self._held or b"", None
        return b"" if held[:4] == b"RIFF" else bytes(held)

    def _begin(self, held: bytearray) -> int | None:
        """Where the samples begin; None where that did not come yet."""
        place = 12
        while place + 8 <= len(held):
            name, size = struct.unpack_from("<4sI", held, place)
            if name == b"data":
                self._left = size or UNKNOWN
                return place + 8
            place += 8 + size + size % 2
        return None

    def _samples(self, data: bytes) -> bytes:
        if self._left == UNKNOWN:
            return data
        taken = data[: self._left]
        self._left -= len(taken)
        return taken
