"""The head of a WAV: put on, and taken off however the bytes are sliced."""

import io
import wave
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.speech.wave import HEAD_BYTES_MAX, Bared, head
from proxy.errors import GatewayError

SAMPLES = bytes(range(40))


def written(samples: bytes) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(24_000)
        sound.writeframes(samples)
    return file.getvalue()


WAV = written(SAMPLES)
STREAMS = [
    (SAMPLES, SAMPLES),
    (b"", b""),
    (b"RIF", b"RIF"),
    (b"RIFF", b""),
    (WAV, SAMPLES),
    (WAV[:20], b""),
    (WAV + b"LIST\x04\0\0\0info", SAMPLES),
    (WAV[:12] + b"LIST\x03\0\0\0abc\0" + WAV[12:], SAMPLES),
    (head(24_000) + SAMPLES, SAMPLES),
]


@given(st.sampled_from(STREAMS), st.lists(st.integers(0, 100), max_size=6))
def test_samples_are_left(stream: tuple[bytes, bytes], cuts: list[int]) -> None:
    data, samples = stream
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    bared = Bared()
    said = [bared.feed(data[begin:end]) for begin, end in pairwise(edges)]
    assert b"".join(said) + bared.end() == samples
    assert bared.end() == b""


def test_a_head_is_one() -> None:
    with wave.open(io.BytesIO(head(16_000) + SAMPLES)) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, 16_000)
        assert sound.readframes(20) == SAMPLES


def test_a_head_ends() -> None:
    bared = Bared()
    with pytest.raises(GatewayError, match="no samples"):
        bared.feed(WAV[:12] + b"junk\xff\xff\0\0" + bytes(HEAD_BYTES_MAX))
