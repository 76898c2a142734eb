"""How long a recording lasts, as far as its first bytes tell, and what holds where they do not."""

import io
import math
from typing import Final

READS_MAX: Final = 50_000
"""Of pieces of a file, for its length: some 50 ms. An hour of Ogg takes a third of them."""

BYTES_PER_SECOND: Final = 4000
"""Of a recording whose length nothing tells: speech at 32 kbit/s."""

BYTES_PER_SECOND_MIN: Final = 1000
"""The same at the least: at 8 kbit/s nobody is understood any more."""

_NARROWEST: Final = 500  # bytes a second; a file that tells less tells wrong
_SLACK: Final = 1.05  # encoders pad, and providers round
_SLACK_MS: Final = 1000


class Length:
    """`likely_ms` is what a recording is charged as where nobody counts, `most_ms` the most that
    a provider can have heard in it. A head that lies about the length gains little by it, and that
    of bare samples nothing: nobody hears more in them than it says.
    """

    __slots__ = ("likely_ms", "most_ms")

    def __init__(self, data: bytes) -> None:
        told, size = seconds(data), len(data)
        if told is None:
            self.likely_ms = size * 1000 // BYTES_PER_SECOND
            self.most_ms = size * 1000 // BYTES_PER_SECOND_MIN + _SLACK_MS
        else:
            told_s, sure = told
            self.likely_ms = math.ceil(told_s * 1000)
            by_size_ms = 0 if sure else size * 1000 // BYTES_PER_SECOND
            self.most_ms = max(int(self.likely_ms * _SLACK), by_size_ms) + _SLACK_MS


class _Counted(io.BytesIO):
    """A file of which only so many pieces are read: what leads through more is no recording, and
    would hold up everybody else.
    """

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        if self.reads > READS_MAX:
            raise EOFError
        return super().read(size)


def seconds(data: bytes) -> tuple[float, bool] | None:
    """How long it lasts by its own word, and whether that is how it is heard; None where it does
    not say, or says what can not be.
    """
    from tinytag import TinyTag, TinyTagException

    try:
        tag = TinyTag.get(file_obj=_Counted(data), tags=False)
    except (TinyTagException, EOFError):
        return None
    told_s, rate = tag.duration, tag.bitrate
    if told_s is None or not math.isfinite(told_s) or told_s <= 0:
        return None
    samples = bool(tag.is_lossless) and (tag.mime_type or "").startswith("audio/wav")
    if samples and rate:
        # Who wrote it as a stream did not know its length.
        told_s = min(told_s, len(data) * 8 / (rate * 1000))
    return None if told_s > len(data) / _NARROWEST else (told_s, samples)
