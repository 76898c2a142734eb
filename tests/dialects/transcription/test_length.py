"""How long recordings last, by their own word, and what holds where they say nothing."""

import io
import struct
import time
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.transcription.length import Length, seconds


def wav(length_s: float, rate: int = 8000) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(bytes(2 * int(length_s * rate)))
    return file.getvalue()


def sized(data: bytes, size: int) -> bytes:
    """A WAV whose head says that so many bytes of samples follow."""
    return data[:40] + struct.pack("<I", size) + data[44:]


MP3 = (b"\xff\xf3\x84\xc4" + bytes(188)) * 100  # 24 ms each, MPEG-2 layer III, 64 kbit/s


def lying_mp3(frames: int) -> bytes:
    """A first frame that counts the others."""
    xing = b"Xing" + struct.pack(">iii", 3, frames, 192 * frames + 192)
    return b"\xff\xf3\x84\xc4" + bytes(9) + xing + bytes(192) + MP3


def test_recordings_that_tell() -> None:
    assert seconds(wav(3)) == (3.0, True)
    told = seconds(MP3)
    assert told is not None
    assert told[0] == pytest.approx(2.4)
    assert not told[1]


@pytest.mark.parametrize(
    "data",
    [b"", b"abc", bytes(1000), wav(0), b"RIFF\0\0\0\0WAVEfmt ", b"OggS\0", b"\xff\xfb\x90\0"],
)
def test_recordings_that_do_not(data: bytes) -> None:
    assert seconds(data) is None
    length = Length(data)
    assert length.most_ms == len(data) + 1000
    assert length.likely_ms == len(data) // 4


def test_a_stream_of_samples_lasts_as_long_as_it_is() -> None:
    told = seconds(sized(wav(3), 0xFFFF_FFFF))
    assert told is not None
    assert told[0] == pytest.approx(3, abs=0.01)


def test_bounds() -> None:
    bare = Length(wav(10, 16_000))
    assert (bare.likely_ms, bare.most_ms) == (10_000, 11_500)
    narrow = Length(MP3)
    assert (narrow.likely_ms, narrow.most_ms) == (2400, 5800)


@pytest.mark.parametrize("frames", [1, 10_000_000])
def test_a_lie_gains_little(frames: int) -> None:
    length = Length(lying_mp3(frames))
    assert 4000 <= length.most_ms <= 25_000


@given(
    st.binary(max_size=400), st.sampled_from([b"", b"RIFF\0\0\0\0WAVE", b"OggS\0", b"fLaC", b"ID3"])
)
def test_rubbish_is_measured_all_the_same(data: bytes, begin: bytes) -> None:
    length = Length(begin + data)
    assert 0 <= length.likely_ms <= length.most_ms


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xfb\x90\0" + b"\xff" * 5_000_000,
        b"RIFF\0\0\0\0WAVE" + b"abcd\0\0\0\0" * 1_000_000,
        b"\0\0\0\x08ftyp" * 1_000_000,
        b"fLaC" + b"\x01\0\0\0" * 1_000_000,
    ],
    ids=["mp3", "wav", "mp4", "flac"],
)
def test_nothing_takes_long(data: bytes) -> None:
    began_at = time.process_time()
    assert seconds(data) is None
    assert time.process_time() - began_at < 0.5
