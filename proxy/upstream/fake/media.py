"""Pictures and sounds that the simulated provider makes up: small, and real where that is easy."""

import hashlib
import io
import math
import struct
import wave
import zlib
from base64 import b64decode
from functools import cache
from typing import Final

RATE_HZ: Final = 24_000
WORD_S: Final = 0.24
"""How long the made-up voice takes for a word."""

_SIDE_PIXELS = 16
_SAMPLES: Final = int(RATE_HZ * WORD_S)
_TONE_HZ = 250
_MP3_FRAME: Final = b"\xff\xf3\x84\xc4" + bytes(188)  # silence: MPEG-2 layer III, 64 kb/s
_MP3_FRAME_S = 0.024
_JPEG: Final = b64decode(
    "/9j/4AAQSkZJRgABAQEASABIAAD/2wBDAP////////////////////////////////////////////////////////////"
    "//////////////////////////wgALCAABAAEBAREA/8QAFBABAAAAAAAAAAAAAAAAAAAAAP/aAAgBAQABPxA="
)
_WEBP: Final = b64decode("UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==")
_OPENINGS: Final = {
    "opus": b"OggS\x00\x02",
    "flac": b"fLaC\x00\x00\x00\x22",
    "aac": b"\xff\xf1\x50\x80",
}


def picture(words: str, output_format: str = "png") -> bytes:
    """A picture of one colour, which is made of `words`: png, jpeg or webp."""
    if output_format in ("jpeg", "jpg", "webp"):
        return _WEBP if output_format == "webp" else _JPEG
    colour = hashlib.sha256(words.encode("utf-8", "surrogatepass")).digest()[:3]
    size = struct.pack(">IIBBBBB", _SIDE_PIXELS, _SIDE_PIXELS, 8, 2, 0, 0, 0)
    lines = (b"\x00" + colour * _SIDE_PIXELS) * _SIDE_PIXELS
    chunks = ((b"IHDR", size), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    length, check = struct.pack(">I", len(data)), struct.pack(">I", zlib.crc32(kind + data))
    return length + kind + data + check


@cache
def tone() -> bytes:
    """The sound of one word: 16 bits, one channel, `RATE_HZ`, little end first."""
    turns = (2 * math.pi * _TONE_HZ * at / RATE_HZ for at in range(_SAMPLES))
    return struct.pack(f"<{_SAMPLES}h", *(round(8_000 * math.sin(turn)) for turn in turns))


def wav_head(sound_bytes: int) -> bytes:
    """What stands before so many bytes of sound in a WAV file."""
    form = struct.pack("<IHHIIHH", 16, 1, 1, RATE_HZ, RATE_HZ * 2, 2, 16)
    total = struct.pack("<I", 36 + sound_bytes)
    return b"RIFF" + total + b"WAVEfmt " + form + b"data" + struct.pack("<I", sound_bytes)


def sounds(words: int, output_format: str) -> list[bytes]:
    """A voice saying so many words, a piece for each; only wav, pcm and mp3 can be played."""
    if output_format == "mp3":
        return [_MP3_FRAME * round(WORD_S / _MP3_FRAME_S)] * words
    said, opening = tone(), _OPENINGS.get(output_format, b"")
    if output_format == "wav":
        opening = wav_head(len(said) * words)
    return [opening * (at == 0) + said for at in range(words)]


def seconds_of(recording: bytes) -> float:
    """How long `recording` is; a guess where it is no WAV."""
    try:
        with wave.open(io.BytesIO(recording)) as opened:
            seconds: float = opened.getnframes() / opened.getframerate()
            return round(seconds, 2)
    except (wave.Error, EOFError, ZeroDivisionError):
        return max(1.0, round(len(recording) / 16_000, 2))
