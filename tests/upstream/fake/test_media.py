"""Pictures that are ones, sounds that can be played, and how long a recording is."""

import io
import struct
import wave
import zlib

import pytest

from proxy.upstream.fake.media import RATE_HZ, WORD_S, picture, seconds_of, sounds, wav_head


def test_a_picture_is_a_png_of_one_colour() -> None:
    data = picture("a weir")
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    found, at = {}, 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length]) == (
            zlib.crc32(kind + content),
        )
        found[kind], at = content, at + 12 + length
    assert list(found) == [b"IHDR", b"IDAT", b"IEND"]
    width, height = struct.unpack(">II", found[b"IHDR"][:8])
    lines = zlib.decompress(found[b"IDAT"])
    assert len(lines) == height * (1 + 3 * width)
    assert lines[1:4] * width == lines[1 : 1 + 3 * width]
    assert picture("a weir") == data != picture("another")


def test_other_formats() -> None:
    assert picture("x", "jpeg")[:3] == b"\xff\xd8\xff"
    assert picture("x", "webp")[8:12] == b"WEBP"


def test_a_wav_says_how_long_it_is() -> None:
    data = b"".join(sounds(10, "wav"))
    with wave.open(io.BytesIO(data)) as opened:
        assert (opened.getframerate(), opened.getnchannels(), opened.getsampwidth()) == (
            RATE_HZ, 1, 2
        )  # fmt: skip
        assert opened.getnframes() == round(10 * WORD_S * RATE_HZ)
    assert seconds_of(data) == 2.4


@pytest.mark.parametrize(
    ("output_format", "opening"),
    [
        ("mp3", b"\xff\xf3"),
        ("opus", b"OggS"),
        ("flac", b"fLaC"),
        ("aac", b"\xff\xf1"),
        ("wav", b"RIFF"),
        ("pcm", b"\x00\x00"),
    ],
)
def test_sounds_come_word_by_word(output_format: str, opening: bytes) -> None:
    pieces = sounds(3, output_format)
    assert len(pieces) == 3
    assert pieces[0].startswith(opening)
    assert pieces[1] == pieces[2] != b""
    assert sounds(0, output_format) == []


def test_mp3_frames_are_whole() -> None:
    (piece,) = sounds(1, "mp3")
    assert [piece[at : at + 2] for at in range(0, len(piece), 192)] == [b"\xff\xf3"] * 10


def test_the_length_of_what_is_no_wav_is_guessed() -> None:
    assert seconds_of(b"x") == 1
    assert seconds_of(b"x" * 48_000) == 3
    assert seconds_of(b"RIFF") == 1
    assert seconds_of(wav_head(0)[:24] + bytes(4) + wav_head(0)[28:]) == 1
