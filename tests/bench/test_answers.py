"""Answers are judged: one that is wrong, cut or out of order does not count."""

import json
from typing import Any

import pytest

from bench.answers import StreamAnswer, WholeAnswer
from bench.canned import MODEL, TEXT

FINISH: dict[str, Any] = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
USAGE: dict[str, Any] = {"choices": [], "usage": {"completion_tokens": 2}}


def event(data: Any) -> bytes:
    return b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"


def piece(number: int) -> bytes:
    return event({"model": MODEL, "choices": [{"delta": {"content": f" {number}@1000"}}]})


DONE = b"data: [DONE]\n\n"
RIGHT = [b": a comment\n\n", piece(0), piece(1), event(FINISH), event(USAGE), DONE]


def judged(stream: bytes, *, status: int = 200, size: int = 4096) -> StreamAnswer:
    answer = StreamAnswer(2, [])
    for start in range(0, len(stream), size):
        answer.feed(stream[start : start + size], 5000)
    answer.status = status
    return answer


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_a_complete_stream_counts_however_it_is_cut(size: int) -> None:
    answer = judged(b"".join(RIGHT), size=size)
    assert answer.fault() == ""
    assert (answer.events, answer.first_ns) == (2, 5000)


def test_every_event_tells_how_long_it_took() -> None:
    delays_ns: list[int] = []
    answer = StreamAnswer(2, delays_ns)
    answer.feed(piece(0), 1500)
    answer.feed(piece(1), 3000)
    assert delays_ns == [500, 2000]


def test_a_finish_may_be_repeated_with_the_usage() -> None:
    assert judged(b"".join([*RIGHT[:4], event(FINISH | USAGE | FINISH), *RIGHT[4:]])).fault() == ""


@pytest.mark.parametrize(
    ("parts", "fault"),
    [
        (RIGHT[:5], "without done"),
        ([*RIGHT[:4], DONE], "without usage"),
        ([*RIGHT[:3], *RIGHT[4:]], "without finish"),
        ([piece(0), *RIGHT[3:]], "1 of 2 events"),
        ([piece(1), piece(0), *RIGHT[3:]], "events out of order"),
        ([piece(0), event(FINISH), piece(1), *RIGHT[4:]], "events out of order"),
        ([*RIGHT, DONE], "an event after the end"),
        ([*RIGHT[:3], event({"error": {"code": 502}, **FINISH}), *RIGHT[4:]], "an error event"),
        ([*RIGHT[:3], b"data: {\n\n", *RIGHT[3:]], "an event that is not JSON"),
        ([*RIGHT, b"data: "], "bytes after the end"),
    ],
)
def test_a_stream_with_a_fault_does_not_count(parts: list[bytes], fault: str) -> None:
    assert judged(b"".join(parts)).fault() == fault


def test_another_status_does_not_count() -> None:
    assert judged(b"".join(RIGHT), status=503).fault() == "status 503"
    answer = WholeAnswer()
    answer.status = 429
    assert answer.fault() == "status 429"


@pytest.mark.parametrize(
    ("text", "tokens", "fault"),
    [(TEXT, 1, ""), (TEXT[:-1], 1, "another answer"), (TEXT, 2, "another answer")],
)
def test_a_whole_answer_is_compared(text: str, tokens: int, fault: str) -> None:
    body = {
        "choices": [{"message": {"content": text}, "finish_reason": "stop"}],
        "usage": {"completion_tokens": tokens},
    }
    answer = WholeAnswer()
    answer.status = 200
    answer.feed(json.dumps(body).encode(), 1)
    assert answer.fault() == fault


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"choices":[]}', b'{"choices":[1]}'])
def test_what_is_no_answer_does_not_count(body: bytes) -> None:
    answer = WholeAnswer()
    answer.status = 200
    answer.feed(body, 1)
    assert answer.fault().startswith("not an answer")
