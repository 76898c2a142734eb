"""A gateway on stage answers as one with sockets would, and the canned provider as real ones do."""

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.answers import Answer, StreamAnswer, WholeAnswer
from bench.canned import ANTHROPIC, MODEL, OPENAI, OTHER, wish, wished
from bench.instructions import FIGURES, KINDS, MARGIN, worse
from bench.stage import stage
from bench.wires import StillLoop
from proxy.dialects import OUTBOUND
from proxy.providers import Quirks
from proxy.wire.events import Text

DELAYS: list[int] = []


def judged(answer: Answer, pieces: list[bytes]) -> str:
    """What a caller finds wrong with an answer as it was written."""
    head, _, body = b"".join(pieces).partition(b"\r\n\r\n")
    answer.status = int(head.split(b" ")[1])
    if b"chunked" in head:
        body = b"".join(re.split(rb"\r\n[0-9a-f]+\r\n", b"\r\n" + body)).removesuffix(b"\r\n")
    answer.feed(body, 5000)
    return answer.fault()


@pytest.mark.parametrize(
    ("model", "events"), [(MODEL, 0), (MODEL, 1), (MODEL, 40), (OTHER, 0), (OTHER, 40)]
)
def test_the_answers_on_stage_are_whole(tmp_path: Path, model: str, events: int) -> None:
    async def asked() -> list[bytes]:
        async with stage(tmp_path) as stand:
            await stand.ask(stand.request(2, model))
            return await stand.ask(stand.request(events, model))

    with asyncio.Runner(loop_factory=StillLoop) as runner:
        pieces = runner.run(asked())
    answer: Answer = StreamAnswer(events, DELAYS) if events else WholeAnswer()
    assert judged(answer, pieces) == ""
    assert len(pieces) >= events, "events come one by one"


def test_an_answer_that_is_no_success_is_an_error(tmp_path: Path) -> None:
    async def asked() -> None:
        async with stage(tmp_path) as stand:
            await stand.ask(stand.request(0, "nobody/knows"))

    with (
        asyncio.Runner(loop_factory=StillLoop) as runner,
        pytest.raises(RuntimeError, match=r"it was answered: b'HTTP/1\.1 40"),
    ):
        runner.run(asked())


@pytest.mark.parametrize(("events", "rate"), [(0, 0.0), (1, 0.0), (200, 50.0), (7, 0.5)])
def test_a_wish_is_understood_wherever_it_stands(events: int, rate: float) -> None:
    body = json.dumps({"messages": [{"content": wish(events, rate).decode() + " Explain"}]})
    assert wished(body.encode()) == (events, rate)
    assert wished(b"{}") == (1, 0.0)


@pytest.mark.parametrize(("form", "dialect"), [(OPENAI, "openai"), (ANTHROPIC, "anthropic")])
def test_the_provider_speaks_its_dialect(form: Any, dialect: str) -> None:
    decoder = OUTBOUND[dialect].decoder(Quirks())
    said = [form.opening, form.piece % (0, 1000), form.piece % (1, 1000), form.closing(2)]
    events = [event for piece in said for event in decoder.feed(piece)]
    assert [event.text for event in events if isinstance(event, Text)] == [" 0@1000", " 1@1000"]
    whole = form.whole.partition(b"\r\n\r\n")[2]
    assert OUTBOUND[dialect].decode_answer(whole, Quirks())


def test_only_more_instructions_than_the_margin_are_worse() -> None:
    known = {"request": 1000, "event": 100, "gone": 5}
    most = round(1000 * (1 + MARGIN))
    assert worse({"request": most, "event": 50, "new": 9}, known) == []
    assert worse({"request": most + 1, "event": 200}, known) == [
        "request: 1,051 instructions, +5.1%",
        "event: 200 instructions, +100.0%",
    ]


def test_the_kept_figures_are_of_versions_of_python() -> None:
    for version, figures in json.loads(FIGURES.read_text()).items():
        assert re.fullmatch(r"3\.\d+\.\d+ \w+", version)
        assert all(isinstance(figure, int) and figure > 0 for figure in figures.values())


def test_each_kind_of_request_is_served_by_a_child() -> None:
    command = [sys.executable, "-m", "bench.instructions", "--drive"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    assert len(set(ended.stdout.split())) == 1 + len(KINDS)


@pytest.mark.debian("valgrind")
@pytest.mark.slow
def test_instructions_are_not_above_what_is_known() -> None:
    command = [sys.executable, "-m", "bench.instructions"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"(?m)^event: [\d,]+ instructions", ended.stdout)
