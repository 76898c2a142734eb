"""The line of a finished request: what `logging` would say, in its order with all other lines."""

import asyncio
import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy import logs
from proxy.journal import FLUSH_S, LINES_MAX, Journal
from proxy.wire.record import Generation, Try

TRY = Try(provider="p", provider_name="P", model="m", status=200, latency_ms=3)
ROW = Generation(
    id="gen-1",
    created_at=1_750_000_000.25,
    model="acme/large",
    provider="acme",
    generation_time_ms=900,
    latency_ms=300,
    prompt_tokens=10,
    completion_tokens=5,
    cost_nano=20,
    attempts=(TRY, TRY),
)
other = logging.getLogger("proxy.test")


@pytest.fixture(autouse=True)
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Standard error while logging is as `setup` leaves it; undone afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("proxy")
    before = root.handlers[:], root.level, ours.level
    for name in ("_known", "known_words"):
        monkeypatch.setattr(logs, name, type(getattr(logs, name))())
    monkeypatch.setattr(logs, "_known_form", None)
    monkeypatch.setattr(logs, "_lines", None)
    stream = io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        logs.setup("info")
    yield stream
    logging.captureWarnings(False)
    root.handlers[:], root.level = before[0], before[1]
    ours.setLevel(before[2])


def record(row: Generation, label: str | None) -> logging.LogRecord:
    """What `logging` would be told of the row."""
    fields = {
        "generation": row.id,
        "status": row.status,
        "error": row.error,
        "model": row.model,
        "provider": row.provider,
        "streamed": row.streamed,
        "cancelled": row.cancelled,
        "latency_ms": row.latency_ms,
        "time_ms": row.generation_time_ms,
        "prompt_tokens": row.prompt_tokens,
        "completion_tokens": row.completion_tokens,
        "cost_nano": row.cost_nano,
        "house_nano": row.house_nano,
        "attempts": len(row.attempts),
        "key": label,
    }
    ended_at = row.created_at + (row.generation_time_ms or 0) / 1000
    usual = {"name": "proxy.pipeline.notes", "levelname": "INFO", "msg": "request"}
    return logging.makeLogRecord(usual | {"created": ended_at} | fields)


ROWS = st.builds(
    Generation,
    id=st.from_regex("gen-[0-9A-Za-z]{20}", fullmatch=True),
    created_at=st.integers(0, 2**33).map(float),
    status=st.integers(100, 599),
    error=st.none() | st.sampled_from(["provider_cut"]),
    model=st.text(),
    provider=st.text("ab-é\n"),
    streamed=st.booleans(),
    cancelled=st.booleans(),
    latency_ms=st.none() | st.integers(0, 10**9),
    generation_time_ms=st.none() | st.integers(0, 10**6).map(lambda s: s * 1000),
    prompt_tokens=st.integers(0, 2**60),
    cost_nano=st.none() | st.integers(0, 2**60),
    attempts=st.sampled_from([(), (TRY,), (TRY, TRY)]),
)


@given(ROWS, st.none() | st.text())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_line_is_what_logging_would_say(row: Generation, label: str | None) -> None:
    handler = logs._lines
    assert handler is not None
    Journal(asyncio.get_running_loop()).tell(row, label)
    assert handler.waiting.pop() == handler.format(record(row, label)) + "\n"


async def test_lines_wait_for_each_other_and_go_at_once(stream: io.StringIO) -> None:
    journal = Journal(asyncio.get_running_loop())
    for number in range(3):
        journal.tell(ROW, f"key {number}")
    assert stream.getvalue() == ""
    await asyncio.sleep(2 * FLUSH_S)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["key"] for line in lines] == ["key 0", "key 1", "key 2"]
    assert lines[0]["time"] == "2025-06-15T15:06:41.150Z"
    assert (lines[0]["status"], lines[0]["attempts"], lines[0]["cost_nano"]) == (200, 2, 20)


async def test_many_do_not_wait(stream: io.StringIO) -> None:
    journal = Journal(asyncio.get_running_loop())
    for _ in range(LINES_MAX):
        journal.tell(ROW, None)
    assert len(stream.getvalue().splitlines()) == LINES_MAX


async def test_what_waits_is_written_before_all_else_and_at_the_end(stream: io.StringIO) -> None:
    journal = Journal(asyncio.get_running_loop())
    journal.tell(ROW, None)
    other.warning("after")
    journal.tell(ROW, None)
    logging.getLogger().handlers[0].flush()  # as the interpreter does at its end
    lines = [json.loads(line)["message"] for line in stream.getvalue().splitlines()]
    assert lines == ["request", "after", "request"]


async def test_a_worker_says_which_it_is(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    logs.setup("info", worker=3)
    Journal(asyncio.get_running_loop()).tell(ROW, None)
    other.info("x", extra={"worker": "me"})
    assert [json.loads(line)["worker"] for line in stream.getvalue().splitlines()] == [3, 3]


async def test_a_secret_is_hidden_also_where_it_was_shown_before(stream: io.StringIO) -> None:
    journal = Journal(asyncio.get_running_loop())
    journal.tell(ROW, "top-secret-label")
    logs.hide(["top-secret-label"])
    journal.tell(ROW, "top-secret-label")
    journal.tell(ROW, "sk-" + "a" * 40)
    logs.flush()
    keys = [json.loads(line)["key"] for line in stream.getvalue().splitlines()]
    assert keys == ["top-secret-label", logs.HIDDEN, logs.HIDDEN]


async def test_words_that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_WORDS_MAX", 3)
    for number in range(10):
        assert logs.shown(str(number)) == f'"{number}"'
        assert len(logs.known_words) <= 3


async def test_below_its_level_nothing_is_told(stream: io.StringIO) -> None:
    logging.getLogger("proxy").setLevel("WARNING")
    Journal(asyncio.get_running_loop()).tell(ROW, None)
    logs.flush()
    assert stream.getvalue() == ""


async def test_without_a_log_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_lines", None)
    Journal(asyncio.get_running_loop()).tell(ROW, None)
    logs.flush()


async def test_a_closed_standard_error_harms_nobody(stream: io.StringIO) -> None:
    stream.close()
    Journal(asyncio.get_running_loop()).tell(ROW, None)
    logs.flush()
    other.warning("lost")
