"""Server-sent events: bytes cut into frames, however a provider sliced them.

The splitter follows the WHATWG algorithm (html.spec.whatwg.org, "Interpreting an event stream"):
lines end with LF, CR or CRLF, a leading BOM is dropped, `data:` lines of one event are joined, a
space after the colon is optional, a comment begins with a colon, an event ends at a blank line.
It departs once: what stands unfinished at the end of the bytes is handed out too, because several
providers leave the last blank line away; the reader decides whether it is whole.
"""

from typing import NamedTuple

FRAME_BYTES_MAX = 16 * 1024 * 1024
"""One event may carry a base64 image, which took other gateways down at 128 KiB; 16 MiB holds any
recorded one many times over and still bounds what a provider can make us keep."""

_BOM = b"\xef\xbb\xbf"
_JOINED_BYTES_MAX = 4096  # of an unfinished line that is copied to what comes next
_frame = tuple.__new__


class Frame(NamedTuple):
    """One event of a stream: its name (`message` where none was given) and its joined data."""

    name: str
    data: bytes


class FrameTooLong(Exception):
    """A single event is longer than `FRAME_BYTES_MAX`. `frames` are those that came before it."""

    def __init__(self, frames: list[Frame]) -> None:
        super().__init__()
        self.frames = frames


class Splitter:
    """Cuts bytes into frames. Feed it anything; the frames do not depend on the slicing."""

    __slots__ = (
        "_at_start", "_between", "_data", "_frame_bytes_max", "_name", "_pending", "_scanned",
        "_size", "_skip_lf", "comments",
    )  # fmt: skip

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._frame_bytes_max = frame_bytes_max
        self._pending = bytearray()  # an unfinished line, or lines that end with LF
        self._scanned = 0  # how much of it is known to have no line end
        self._size = 0  # bytes of the event so far, finished lines included
        self._name = b""
        self._data: list[bytes] = []
        self._at_start = True
        self._between = False  # nothing is unfinished
        self._skip_lf = False  # the last line ended with CR: a LF that follows belongs to it
        self.comments = 0

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes.

        Raises FrameTooLong when an event outgrows the limit.
        """
        frames: list[Frame] = []
        if self._between:
            plain = data.replace(b"\r\n", b"\n") if b"\r" in data else data
            if plain.endswith(b"\n\n") and b"\r" not in plain:
                self._take_events(plain, frames)
                return frames
        if self._at_start:
            self._pending += data
            if len(self._pending) < len(_BOM) and _BOM.startswith(self._pending):
                return []
            self._at_start = False
            data = bytes(self._pending).removeprefix(_BOM)
            self._pending.clear()
        try:
            return self._feed(self._feed_events(data, frames), frames)
        finally:
            self._between = not (self._size or self._skip_lf or self._pending)

    def _feed_events(self, data: bytes, frames: list[Frame]) -> bytes:
        """Takes whole events, where lines end with LF or CRLF. What is to be read line by line."""
        if self._size or self._skip_lf or len(self._pending) > _JOINED_BYTES_MAX:
            return data
        if self._pending:
            data = bytes(self._pending) + data
            self._pending.clear()
            self._scanned = 0
        plain = data.replace(b"\r\n", b"\n") if b"\r" in data else data
        cut = plain.rfind(b"\n\n") + 2
        if cut == 1 or b"\r" in plain:
            return data
        self._take_events(plain[:cut], frames)
        return plain[cut:]

    def _take_events(self, data: bytes, frames: list[Frame]) -> None:
        """Whole events whose lines all end with LF; most have one or two, of a known form."""
        events = data.split(b"\n\n")
        events.pop()
        for event in events:
            name, said = "message", event
            if event.startswith(b"event: "):
                line, _, said = event.partition(b"\n")
                name = str(line[7:], "utf-8", "replace") or "message"
            if said.startswith(b"data: ") and b"\n" not in said:
                frames.append(_frame(Frame, (name, said[6:])))
            elif event:
                for line in event.split(b"\n"):
                    self._take_line(line, frames)
                self._take_line(b"", frames)

    def _feed(self, data: bytes, frames: list[Frame]) -> list[Frame]:
        """Bytes of any kind, line by line."""
        pending = self._pending
        pending += data
        start = 0
        while (end := self._line_end(start)) >= 0:
            if end == start and self._skip_lf and pending[end] == 0x0A:
                self._skip_lf = False
            else:
                self._skip_lf = pending[end] == 0x0D
                self._take_line(bytes(pending[start:end]), frames)
            start = end + 1
            self._scanned = start
        if start:
            del pending[:start]
        self._scanned = len(pending)
        if self._size + len(pending) > self._frame_bytes_max:
            raise FrameTooLong(frames)
        return frames

    def end(self) -> list[Frame]:
        """What was left unfinished when the bytes ended: at most one frame, maybe half of one."""
        frames: list[Frame] = []
        if self._pending:
            self._take_line(bytes(self._pending), frames)
            self._pending.clear()
        self._take_line(b"", frames)
        return frames

    def _line_end(self, start: int) -> int:
        begin = max(start, self._scanned)
        lf = self._pending.find(b"\n", begin)
        cr = self._pending.find(b"\r", begin, lf if lf >= 0 else len(self._pending))
        return cr if cr >= 0 else lf

    def _take_line(self, line: bytes, frames: list[Frame]) -> None:
        if line == b"":
            if self._data:
                name = self._name.decode("utf-8", "replace") or "message"
                frames.append(Frame(name, b"\n".join(self._data)))
            self._name, self._data, self._size = b"", [], 0
            return
        self._size += len(line)
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._name = value
        elif field == b"":
            self.comments += 1
            self._size -= len(line)


def encode_data(data: bytes) -> bytes:
    """One event as OpenRouter writes it: no name, LF line ends."""
    return b"data: " + data + b"\n\n"


PROCESSING = b": OPENROUTER PROCESSING\n\n"
DONE = b"data: [DONE]\n\n"
