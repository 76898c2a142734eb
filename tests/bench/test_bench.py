"""The bench works: it measures what is installed, believes whole answers only, prints a table."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.answers import StreamAnswer, WholeAnswer
from bench.report import faults, table
from bench.targets import NAMES, missing
from bench.upstream import MODEL, TEXT
from bench.visits import Load, Visit, percentile

LEDGER = ("on the loop, hold:", "on the loop:", "in the writer's thread:", "commit of a group")
INSTALLED = [name for name in NAMES if not missing(name)]
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


def test_percentiles_are_of_the_nearest_rank() -> None:
    assert [percentile(list(range(1, 101)), percent) for percent in (50, 99)] == [50, 99]
    assert percentile([7], 99) == 7
    assert percentile([], 50) == 0


def seen(number: int, target: str, **measures: float) -> Visit:
    return Visit(number, target, measures, answers=1, events=0, faults={})


def test_ratios_and_additions_are_taken_within_a_round() -> None:
    visits = [
        seen(0, "direct", first_p50_us=100),
        seen(0, "nginx", json_cpu_us=10, first_p50_us=150),
        seen(0, "weir", json_cpu_us=200, first_p50_us=400),
        seen(1, "direct", first_p50_us=300),
        seen(1, "nginx", json_cpu_us=30, first_p50_us=320),
        seen(1, "weir", json_cpu_us=300, first_p50_us=310),
    ]
    lines = cells(table(visits, Load(1.0, 7)))
    assert lines["CPU per JSON request, µs"] == [
        "–", "20.0 (10.0–30.0)", "250 (200–300)", "15.0 (10.0–20.0)",  # noqa: RUF001
    ]  # fmt: skip
    assert lines["first content, p50, µs"] == [
        "200 (100–300)", "+35.0 (+20.0–+50.0)", "+155 (+10.0–+300)", "",  # noqa: RUF001
    ]  # fmt: skip
    assert lines["complete answers"] == ["2", "2", "2", ""]


def test_failed_answers_are_named() -> None:
    failed = Visit(0, "weir", {}, answers=0, events=0, faults={"status 500": 3})
    assert faults([seen(0, "nginx"), failed]) == ["round 1, weir: 3 answers failed: status 500"]


def cells(text: str) -> dict[str, list[str]]:
    """The lines of a Markdown table by their first cell."""
    rows = [line[2:-2].split(" | ") for line in text.splitlines() if line.startswith("| ")]
    assert len({len(row) for row in rows}) == 1, "a line has another number of cells"
    return {row[0].strip(): row[1:] for row in rows}


def bench(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.slow
def test_the_short_form_measures_all_that_is_installed(tmp_path: Path) -> None:
    ended = bench("--short", "--results", str(tmp_path))
    assert ended.returncode == 0, ended.stderr
    for name in set(NAMES) - set(INSTALLED):
        assert f"{name} is left out" in ended.stderr

    lines = cells(ended.stdout)
    assert lines[""][: len(INSTALLED)] == INSTALLED
    assert lines["answers that failed"][: len(INSTALLED)] == ["0"] * len(INSTALLED)
    relays = slice(1, len(INSTALLED))
    measured = [line for title, line in lines.items() if title.startswith(("CPU", "RSS"))]
    assert len(measured) == 6
    assert all(cell != "–" for line in measured for cell in line[relays])  # noqa: RUF001

    (file,) = tmp_path.iterdir()
    visits = json.loads(file.read_bytes())["visits"]
    assert [visit["target"] for visit in visits] == INSTALLED
    assert all(visit["answers"] > 0 and not visit["faults"] for visit in visits)


@pytest.mark.parametrize("wrong", [["--only", "direct,apache"], ["--rounds", "0"]])
def test_wrong_options_are_refused(wrong: list[str]) -> None:
    ended = bench(*wrong)
    assert ended.returncode == 2
    assert wrong[0] in ended.stderr


def test_the_ledger_has_its_figures() -> None:
    command = [sys.executable, "-m", "bench.ledger", "--batches", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    for line in LEDGER:
        assert line in done.stdout


def test_every_dialect_has_its_figures() -> None:
    command = [sys.executable, "-m", "bench.dialects", "--rounds", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for dialect in ("openai", "anthropic", "gemini", "cohere", "bedrock", "responses"):
        assert re.search(
            rf"(?m)^{dialect} +\d+\.\d+ µs per event, +\d+\.\d µs per request$", done.stdout
        )
