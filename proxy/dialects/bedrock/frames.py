"""Amazon's binary event stream: bytes cut into messages, however they were sliced.

A message is a prelude (its length, that of its headers, a CRC32 of both), headers with typed
values, a payload and a CRC32 of all before. Source: "Amazon Event Stream" in the specification of
Smithy; tests prove this equal to botocore's reader, which takes too long to import.
"""

from collections.abc import Callable
from struct import Struct, error
from typing import Final, NamedTuple
from zlib import crc32

MESSAGE_BYTES_MAX: Final = 16 * 1024 * 1024
"""As for server-sent events: room for any picture, and an end to what we can be made to keep."""

HEADERS_BYTES_MAX: Final = 128 * 1024

Value = bool | int | bytes | str

_PRELUDE = Struct("!III")
_CRC = Struct("!I")
_LENGTH = Struct("!H")
_LEAST = _PRELUDE.size + _CRC.size


class Message(NamedTuple):
    """One message. Its headers may be shared with others: they are not to be changed."""

    headers: dict[str, Value]
    payload: bytes


class Broken(Exception):
    """The bytes are no event stream, or no longer. `messages` are those before the fault."""

    def __init__(self, reason: str, messages: list[Message]) -> None:
        super().__init__(reason)
        self.messages = messages


class Splitter:
    """Cuts bytes into messages. Feed it anything; the messages do not depend on the slicing."""

    def __init__(self, message_bytes_max: int = MESSAGE_BYTES_MAX) -> None:
        self._message_bytes_max = message_bytes_max
        self._pending = bytearray()
        self._known: tuple[bytes, dict[str, Value]] = (b"", {})

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` completes.

        Raises Broken, now and ever after, for a wrong checksum, a message that is too long, or
        headers that are none.
        """
        pending, start = self._pending, 0
        pending += data
        messages: list[Message] = []
        try:
            while (end := self._end(start)) is not None:
                messages.append(self._message(start, end))
                start = end
        except (ValueError, KeyError, error) as fault:
            raise Broken(str(fault), messages) from None
        finally:
            if start:
                del pending[:start]
        return messages

    def _end(self, start: int) -> int | None:
        """Where the message ends that begins at `start`; None where it is not all there."""
        pending = self._pending
        if len(pending) - start < _PRELUDE.size:
            return None
        total, headers, checksum = _PRELUDE.unpack_from(pending, start)
        if crc32(pending[start : start + 8]) != checksum:
            raise ValueError("the checksum of a prelude is wrong")
        if not _LEAST + headers <= total <= self._message_bytes_max or headers > HEADERS_BYTES_MAX:
            raise ValueError("a message has an impossible length")
        return start + total if len(pending) - start >= total else None

    def _message(self, start: int, end: int) -> Message:
        data = bytes(self._pending[start:end])
        (checksum,) = _CRC.unpack_from(data, len(data) - _CRC.size)
        if crc32(data[: -_CRC.size]) != checksum:
            raise ValueError("the checksum of a message is wrong")
        between = _PRELUDE.size + int.from_bytes(data[4:8])
        raw = data[_PRELUDE.size : between]
        if raw != self._known[0]:  # those of most messages are the same
            self._known = raw, _headers(raw)
        return Message(self._known[1], data[between : -_CRC.size])


def _headers(data: bytes) -> dict[str, Value]:
    headers: dict[str, Value] = {}
    start = 0
    while start < len(data):
        end = start + 1 + data[start]
        name = _slice(data, start + 1, end).decode()
        if name in headers:
            raise ValueError("a header comes twice")
        (kind,) = _slice(data, end, end + 1)
        headers[name], start = _VALUES[kind](data, end + 1)
    return headers


def _slice(data: bytes, start: int, end: int) -> bytes:
    if end > len(data):
        raise ValueError("a header ends too late")
    return data[start:end]


def _sized(data: bytes, start: int) -> tuple[bytes, int]:
    (size,) = _LENGTH.unpack_from(data, start)
    start += _LENGTH.size
    return _slice(data, start, start + size), start + size


def _text(data: bytes, start: int) -> tuple[str, int]:
    value, end = _sized(data, start)
    return value.decode(), end


def _uuid(data: bytes, start: int) -> tuple[bytes, int]:
    return _slice(data, start, start + 16), start + 16


def _number(size: int) -> Callable[[bytes, int], tuple[int, int]]:
    def read(data: bytes, start: int) -> tuple[int, int]:
        end = start + size
        return int.from_bytes(_slice(data, start, end), signed=True), end

    return read


_VALUES: Final[dict[int, Callable[[bytes, int], tuple[Value, int]]]] = {
    0: lambda data, start: (True, start),
    1: lambda data, start: (False, start),
    2: _number(1),
    3: _number(2),
    4: _number(4),
    5: _number(8),
    6: _sized,
    7: _text,
    8: _number(8),  # milliseconds since 1970
    9: _uuid,
}
