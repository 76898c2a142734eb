"""The bench works: every command measures what is installed and prints what it promises.

No figure is asserted: what a busy machine does to them proves nothing.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.targets import KINDS, USUAL

INSTALLED = [name for name in USUAL if KINDS[name].lacking(None) is None]
MISSING = [name for name in USUAL if name not in INSTALLED]
LEDGER = ("on the loop, hold:", "on the loop:", "in the writer's thread:", "commit of a group")
BUDGET = (
    "plan over 3 endpoints", "plan over 8 endpoints", "authenticate, limits and hold",
    "ledger, on the loop", "ledger, in the writer's thread", "edit of a whole answer",
    "edit of an event, spliced", "edit of an event, decoded",
)  # fmt: skip


def bench(*options: str, module: str = "bench") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)


def cells(text: str) -> dict[str, list[str]]:
    """The lines of the Markdown tables by their first cell."""
    rows = [line[2:-2].split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {row[0].strip(): row[1:] for row in rows}


@pytest.mark.slow
def test_the_short_form_measures_all_that_is_installed(tmp_path: Path) -> None:
    ended = bench("--short", "--loads", "json,events", "--results", str(tmp_path))
    assert ended.returncode == 0, ended.stderr
    for name in MISSING:
        assert f"{name} is left out" in ended.stderr

    lines = cells(ended.stdout)
    names = [name for name in lines[""] if name]
    assert names[: len(INSTALLED)] == INSTALLED
    assert lines["answers that failed"] == ["0"] * len(names)
    measured = [line for title, line in lines.items() if title.startswith("RSS at start, MB")]
    assert all(cell != "–" for line in measured[:1] for cell in line[1:])  # noqa: RUF001

    (file,) = tmp_path.iterdir()
    visits = json.loads(file.read_bytes())["visits"]
    assert [visit["target"] for visit in visits] == names
    assert all(visit["answers"] > 0 and not visit["faults"] for visit in visits)

    picture = tmp_path / "chart.svg"
    assert bench(str(file), "--out", str(picture), module="bench.chart").returncode == 0
    assert "Weir, complete" in picture.read_text()


@pytest.mark.slow
def test_every_load_is_put_on_weir(tmp_path: Path) -> None:
    ended = bench("--short", "--full", "--only", "weir", "--results", str(tmp_path))
    assert ended.returncode == 0, ended.stderr
    lines = cells(ended.stdout)
    assert lines["answers that failed"] == ["0"]
    titles = [title for title in lines if title.startswith(("CPU", "first byte", "delay", "RSS"))]
    assert len(titles) >= 16
    assert all(lines[title][0] != "–" for title in titles if len(lines[title]) == 1)  # noqa: RUF001


@pytest.mark.parametrize(
    "wrong",
    [["--only", "direct,apache"], ["--loads", "json,rain"], ["--rounds", "0"], ["--crowd", "0"]],
)
def test_wrong_options_are_refused(wrong: list[str]) -> None:
    ended = bench(*wrong)
    assert ended.returncode == 2
    assert wrong[0] in ended.stderr


def test_what_is_not_installed_is_left_out_by_name(tmp_path: Path) -> None:
    ended = bench("--only", "litellm,portkey", "--peers", str(tmp_path))
    assert (ended.returncode, ended.stdout) == (1, "")
    said = [line.partition(" is left out: ")[0] for line in ended.stderr.splitlines()]
    assert said == ["litellm", "portkey"]
    assert ended.stderr.count("python -m bench.peers FOLDER") == 2


def test_the_ledger_has_its_figures() -> None:
    done = bench("--batches", "3", module="bench.ledger")
    assert (done.returncode, done.stderr) == (0, "")
    for line in LEDGER:
        assert line in done.stdout


def test_the_budget_has_its_figures() -> None:
    done = bench("--rounds", "5", module="bench.budget")
    assert done.returncode == 0, done.stderr
    lines = cells(done.stdout)
    for step in BUDGET:
        micros, limit, within = lines[step]
        assert float(micros.replace(",", "")) > 0
        assert limit.startswith("≤ ")
        assert within in ("yes", "no")
    assert [title for title in lines if title.startswith(("request of", "an event on its way"))]


def test_every_dialect_has_its_figures() -> None:
    done = bench("--rounds", "2", module="bench.dialects")
    assert done.returncode == 0, done.stderr
    for dialect in ("openai", "anthropic", "gemini", "cohere", "bedrock", "responses"):
        assert re.search(
            rf"(?m)^{dialect} +\d+\.\d+ µs per event, +\d+\.\d µs per request$", done.stdout
        )


@pytest.mark.slow
def test_the_profile_tells_where_the_time_goes(tmp_path: Path) -> None:
    out = tmp_path / "profile.txt"
    done = bench("--seconds", "0.5", "--streams", "20", "--out", str(out), module="bench.profile")
    assert done.returncode == 0, done.stderr
    text = out.read_text()
    assert text.count("by package") == text.count("by function, alone") == 3
    assert "proxy/pipeline" in text
    assert str(tmp_path.parent) not in text
