"""What visits showed becomes a table, a verdict and a picture."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import aims
from bench.chart import bars, drawn
from bench.loads import Size, percentile
from bench.report import faults, table
from bench.rows import number
from bench.visits import Visit


def seen(round: int, target: str, **measures: float) -> Visit:
    return Visit(round, target, measures, answers=1, events=0, faults={})


def cells(text: str) -> dict[str, list[str]]:
    """The lines of a Markdown table by their first cell."""
    rows = [line[2:-2].split(" | ") for line in text.splitlines() if line.startswith("| ")]
    assert len({len(row) for row in rows}) == 1, "a line has another number of cells"
    return {row[0].strip(): row[1:] for row in rows}


VISITS = [
    seen(0, "direct", first_p50_us=100),
    seen(0, "nginx", json_cpu_us=10, first_p50_us=150),
    seen(0, "weir", json_cpu_us=200, first_p50_us=400),
    seen(1, "direct", first_p50_us=300),
    seen(1, "nginx", json_cpu_us=30, first_p50_us=320),
    seen(1, "weir", json_cpu_us=300, first_p50_us=310),
]


def test_ratios_and_additions_are_taken_within_a_round() -> None:
    lines = cells(table(VISITS, Size(1.0, 7)))
    assert lines["CPU per JSON request, µs"] == [
        "–", "20.0 (10.0–30.0)", "250 (200–300) · 15.0 ×",  # noqa: RUF001
    ]  # fmt: skip
    assert lines["lone caller's first content, p50, µs"] == [
        "200 (100–300)", "+35.0 (+20.0–+50.0)", "+155 (+10.0–+300)",  # noqa: RUF001
    ]  # fmt: skip
    assert lines["complete answers"] == ["2", "2", "2"]
    assert "RSS at start, MB" not in lines, "nobody measured it"


def test_failed_answers_are_named() -> None:
    failed = Visit(0, "weir", {}, answers=0, events=0, faults={"json: status 500": 3})
    assert faults([seen(0, "nginx"), failed]) == [
        "round 1, weir: 3 answers failed: json: status 500"
    ]


def test_percentiles_are_of_the_nearest_rank() -> None:
    assert [percentile(list(range(1, 101)), percent) for percent in (50, 99)] == [50, 99]
    assert percentile([7], 99) == 7
    assert percentile([], 50) == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.0000"), (0.00667, "0.0067"), (0.5, "0.50"), (3.3, "3.30"), (12.34, "12.3"),
     (99_999.5, "100,000")],
)  # fmt: skip
def test_figures_have_as_many_digits_as_mean_something(value: float, text: str) -> None:
    assert number(value) == text
    assert number(value, "+") == f"+{text}"


def test_aims_are_held_against_medians_of_rounds() -> None:
    visits = [
        *(seen(round, "nginx", json_cpu_us=10, event_cpu_us=4) for round in range(3)),
        *(seen(round, "direct", event_p99_us=100) for round in range(3)),
        seen(0, "weir", json_cpu_us=33, event_p99_us=1100, claude_cpu_us=10.4, crowd_served=1.0),
        seen(1, "weir", json_cpu_us=20, event_p99_us=1200, claude_cpu_us=9, crowd_served=0.9),
        seen(2, "weir", json_cpu_us=50, event_p99_us=3000, claude_cpu_us=90, crowd_served=0.9),
    ]
    text = aims.table(visits)
    lines = cells(text)
    assert lines["CPU per JSON request, × nginx"] == ["3.30", "≤ 3.30", "yes"]  # noqa: RUF001
    assert lines["CPU per event, Anthropic to chat, × nginx"] == ["2.60", "≤ 2.50", "no"]  # noqa: RUF001
    assert lines["delay per event, p99, added µs"] == ["1,100", "≤ 1,000", "no"]
    assert lines["the crowd: share served"] == ["0.90", "≥ 1.00", "no"]
    assert "Not measured: CPU per JSON request, × tensorzero; " in text  # noqa: RUF001
    assert text.endswith("two workers, × one.")  # noqa: RUF001


def test_two_workers_are_held_against_one() -> None:
    visits = [seen(0, "weir", json_per_s=100), seen(0, "weir-x2", json_per_s=190)]
    assert cells(aims.table(visits))["two workers, × one"] == ["1.90", "≥ 1.80", "yes"]  # noqa: RUF001


def test_the_picture_has_a_bar_and_a_figure_for_each_relay() -> None:
    visits = [*VISITS, seen(0, "litellm", json_cpu_us=10_000, event_cpu_us=700)]
    assert [bar.name for bar in bars(visits, "json_cpu_us")] == ["nginx", "weir", "litellm"]
    picture = ElementTree.fromstring(drawn(visits, "1 core, <a machine>"))
    space = "{http://www.w3.org/2000/svg}"
    assert len(picture.findall(f"{space}rect")) == 4
    said = [text.text for text in picture.findall(f"{space}text")]
    assert {"Weir, complete", "250", "10,000", "700"} <= set(said)
    described = picture.find(f"{space}desc")
    assert described is not None
    assert "nginx 20.0, Weir, complete 250, LiteLLM 10,000" in str(described.text)


def test_a_run_without_figures_has_no_picture(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text('{"machine": "m", "visits": []}')
    command = [sys.executable, "-m", "bench.chart", str(file), "--out", str(tmp_path / "c.svg")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 1
    assert "no relay has a figure" in ended.stderr
    assert not (tmp_path / "c.svg").exists()
