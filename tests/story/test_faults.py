"""Every fault of the simulated provider, through a gateway, over sockets: what the caller sees, who
is asked next, what is written down, and that nothing stays open.
"""

import asyncio
import contextlib
import itertools
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
import orjson
import pytest

from proxy.errors import KINDS, Retry
from proxy.pipeline import reading, relay
from proxy.serving import listener
from proxy.upstream.fake import FAULTS, Answer, Rule, Scenario
from proxy.wire.frames import Splitter
from proxy.wire.record import Generation
from tests.running import Running, config_text, eventually, model_text, provider, weir

# Only where the fault is that nothing comes does anybody wait for a clock. It is short there, so
# that a thousand runs take seconds; elsewhere clocks are far above what a busy machine needs.
TIMEOUTS = """
[timeouts]
connect_s = 20
first_byte_s = 30
first_token_s = 30
between_chunks_s = 30
answer_s = 30
"""
WAITS: Mapping[str, str] = {
    "no-head": "first_byte_s = 0.7, answer_s = 0.9",
    "stall": "between_chunks_s = 0.5, answer_s = 0.9",
}


class Expected(NamedTuple):
    """What the caller sees: a status and an error kind, in the stream where `within`."""

    status: int
    kind: str | None = None
    within: bool = False


OK = Expected(200)
EMPTY = Expected(502, "provider_empty")
CUT = Expected(502, "provider_cut")
MALFORMED = Expected(502, "provider_malformed")
FAILING = Expected(502, "provider_unavailable")
LATE = Expected(504, "provider_timeout")
OUR_KEY = Expected(502, "provider_credential")


def _within(expected: Expected) -> Expected:
    return expected._replace(within=True)


STREAMED: Mapping[str, Expected] = {
    "no-head": LATE,
    "slow-head": OK,
    "cut-head": CUT,
    "status": FAILING,
    "rate-limit": Expected(429, "provider_rate_limited"),
    "overloaded": Expected(503, "provider_overloaded"),
    "bad-key": OUR_KEY,
    "echoes-key": OUR_KEY,
    "unknown-model": Expected(404, "provider_lacks_model"),
    "too-long": Expected(400, "provider_context_length"),
    "gateway-page": FAILING,
    "html": MALFORMED,
    "html-disguised": CUT,
    "redirect": FAILING,
    "empty": CUT,
    "error-200": FAILING,
    "wrong-json": MALFORMED,
    "other-form": OK,
    "slow-first-token": OK,
    "slow-tokens": OK,
    "stall": _within(LATE),
    "cut": _within(CUT),
    "truncated": _within(CUT),
    "early-end": _within(CUT),
    "no-finish": OK,
    "no-done": OK,
    "done-only": EMPTY,
    "no-content": OK,
    "null-choices": EMPTY,
    "after-done": OK,
    "error-first": FAILING,
    "error-event": _within(FAILING),
    "error-named": _within(Expected(400, "provider_rejected")),
    "bad-json": _within(MALFORMED),
    "bad-utf8": _within(MALFORMED),
    "binary": _within(CUT),
    "garbage-lines": OK,
    "usage-missing": OK,
    "usage-twice": OK,
    "usage-cumulative": OK,
    "one-byte": OK,
    "slices": OK,
    "crlf": OK,
    "cr": OK,
    "bom": OK,
    "comments": OK,
    "multi-line": OK,
    "no-space": OK,
    "fields": OK,
    "no-last-blank": OK,
    "gzip": MALFORMED,
    "giant": OK,
    "endless": MALFORMED,
}

# A whole answer has no first content, so everything that fails has a status of its own.
WHOLE: Mapping[str, Expected] = {
    **{fault: expected._replace(within=False) for fault, expected in STREAMED.items()},
    "html-disguised": MALFORMED,
    "empty": MALFORMED,
    "truncated": MALFORMED,
    "early-end": MALFORMED,
    "done-only": MALFORMED,
    "null-choices": MALFORMED,
    "after-done": MALFORMED,
    "error-event": MALFORMED,
    "error-named": MALFORMED,
    "binary": MALFORMED,
}

FORMS = [pytest.param(True, id="streamed"), pytest.param(False, id="whole")]
HEALTHY_WORDS = 32
SMALL_BYTES = 2 * 1024 * 1024
PROVIDER_KEY = "provider-key-0"


def scenario() -> Scenario:
    """A rule for each fault, as short as it can be and still be itself."""
    return Scenario(answer=Answer(tokens=HEALTHY_WORDS), rules=tuple(map(_rule, FAULTS)))


def _rule(fault: str) -> Rule:
    rule = Rule(model=f"fault/{fault}", fault=fault, delay_s=0.05)
    if STREAMED[fault].within:  # the first word must be out before the next breaks
        return msgspec.structs.replace(rule, tokens=4, tokens_per_s=20)
    if fault == "slow-tokens":
        return msgspec.structs.replace(rule, tokens_per_s=400)
    if fault in ("rate-limit", "overloaded"):
        return msgspec.structs.replace(rule, retry_after_s=7)
    return rule


@pytest.fixture(autouse=True)
def _small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What never ends is refused after 2 MiB, which is soon; and however long a busy machine takes,
    no comment is sent before the status.
    """
    monkeypatch.setattr(relay, "FIRST_COMMENT_S", 30.0)
    monkeypatch.setattr(reading, "ANSWER_BYTES_MAX", SMALL_BYTES)
    monkeypatch.setattr(Splitter.__init__, "__defaults__", (SMALL_BYTES,))


class Bench(NamedTuple):
    """A gateway in front of a provider with faults and of a healthy one."""

    running: Running
    session: aiohttp.ClientSession
    rows: dict[str, list[Generation]]
    healthy: Any
    folder: Path

    async def ask(self, model: str, *, stream: bool) -> "Answered":
        body = {
            "model": model,
            "messages": [{"role": "user", "content": "hello"}],
            "stream": stream,
        }
        headers = {"Authorization": f"Bearer {self.running.key}"}
        url = f"{self.running.base_url}/chat/completions"
        async with self.session.post(url, json=body, headers=headers) as response:
            raw = await response.read()
            return Answered(response.status, response.headers, raw)

    def row_of(self, answered: "Answered") -> Generation:
        (row,) = self.rows[answered.headers["X-Generation-Id"]]
        return row


class Answered(NamedTuple):
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events of a stream, which must end with its end mark."""
        *frames, last = [
            frame for frame in self.raw.split(b"\n\n") if frame and not frame.startswith(b":")
        ]
        assert last == b"data: [DONE]"
        return [orjson.loads(frame.removeprefix(b"data: ")) for frame in frames]

    @property
    def text(self) -> str:
        if self.headers["Content-Type"] == "application/json":
            return str(orjson.loads(self.raw)["choices"][0]["message"]["content"])
        return "".join(
            choice["delta"]["content"] for event in self.events for choice in event["choices"]
        )

    @property
    def usage(self) -> dict[str, Any]:
        if self.headers["Content-Type"] == "application/json":
            return dict(orjson.loads(self.raw)["usage"])
        (usage,) = [event["usage"] for event in self.events if "usage" in event]
        return dict(usage)

    @property
    def error(self) -> dict[str, Any]:
        if self.headers["Content-Type"] == "application/json":
            return dict(orjson.loads(self.raw)["error"])
        last = self.events[-1]
        assert last["choices"][0]["finish_reason"] == "error"
        return dict(last["error"])


@contextlib.asynccontextmanager
async def bench(folder: Path) -> AsyncIterator[Bench]:
    async with provider(scenario()) as (_, faulty_url), provider() as (healthy, healthy_url):
        models = "".join(
            model_text(f"alone/{name}", faulty, waits=WAITS.get(name, ""))
            + model_text(f"both/{name}", faulty, ("p1", "weir/lorem"), waits=WAITS.get(name, ""))
            for name in FAULTS
            for faulty in [("p0", f"fault/{name}")]
        )
        text = config_text(folder, faulty_url, healthy_url, more=TIMEOUTS) + models
        # However long a busy machine takes, no connection is used again that the gateway closes.
        connector = aiohttp.TCPConnector(keepalive_timeout=0.1)
        async with (
            weir(folder, text) as running,
            aiohttp.ClientSession(connector=connector) as session,
        ):
            rows: dict[str, list[Generation]] = {}
            finished = running.gateway.office.metrics.record

            def keep(row: Generation) -> None:
                rows.setdefault(row.id, []).append(row)
                finished(row)

            running.gateway.office.metrics.record = keep  # type: ignore[method-assign]
            yield Bench(running, session, rows, healthy, folder)


def test_no_fault_is_left_out() -> None:
    assert {fault for fault, expected in STREAMED.items() if expected.kind == LATE.kind} == set(
        WAITS
    )
    assert set(STREAMED) == set(WHOLE) == set(FAULTS)
    for expected in [*STREAMED.values(), *WHOLE.values()]:
        assert expected.kind is None or KINDS[expected.kind].status == expected.status


def _check(answered: Answered, expected: Expected, fault: str, *, stream: bool) -> None:
    """The answer of a gateway whose only provider has this fault."""
    assert PROVIDER_KEY.encode() not in answered.raw, fault
    assert answered.headers["X-Generation-Id"].startswith("gen-")
    if expected == OK:
        assert answered.status == 200, (fault, answered.raw)
        form = "text/event-stream" if stream else "application/json"
        assert answered.headers["Content-Type"] == form
        assert (answered.usage["cost"] > 0) == (fault != "no-content")
        if fault == "no-content":
            assert answered.text == ""
        elif fault == "giant":
            assert len(answered.text) >= 1024 * 1024
        else:
            assert len(answered.text.split()) == HEALTHY_WORDS, fault
        return
    assert expected.kind is not None
    assert answered.status == (200 if expected.within else expected.status), (fault, answered.raw)
    assert answered.error["code"] == expected.status, (fault, answered.error)
    assert answered.error["metadata"]["error_type"] == KINDS[expected.kind].error_type
    if expected.within:
        assert answered.text != ""
    if fault == "overloaded":
        assert 1 <= int(answered.headers["Retry-After"]) <= 7  # what is left of it, the next time
    elif fault == "rate-limit":  # later callers are told what is left of the pause
        assert 1 <= int(answered.headers["Retry-After"]) <= 7


def _check_row(row: Generation, expected: Expected, fault: str) -> None:
    assert row.error == expected.kind, fault
    assert row.status == expected.status
    assert not row.cancelled
    assert [note.error for note in row.attempts] == [expected.kind]
    assert (row.finish_reason == "error") == (expected.kind is not None)
    assert (row.cost_nano == 0) == (expected.kind is not None or fault == "no-content")
    # Usage in a stream comes only to those who ask for it, and a stream was not asked for.
    guessed = fault == "usage-missing" or (fault == "other-form" and not row.streamed)
    assert row.usage_estimated == guessed, fault


@pytest.mark.parametrize("stream", FORMS)
async def test_what_the_caller_of_a_faulty_provider_sees(tmp_path: Path, stream: bool) -> None:
    table = STREAMED if stream else WHOLE
    async with bench(tmp_path) as tried:

        async def check(fault: str) -> None:
            answered = await tried.ask(f"alone/{fault}", stream=stream)
            _check(answered, table[fault], fault, stream=stream)
            _check_row(tried.row_of(answered), table[fault], fault)

        await _at_most(8, check, zip(FAULTS, strict=True))
        assert len(tried.rows) == len(FAULTS)


@pytest.mark.parametrize("stream", FORMS)
async def test_the_next_provider_is_asked_where_that_is_allowed(
    tmp_path: Path, stream: bool
) -> None:
    table = STREAMED if stream else WHOLE
    async with bench(tmp_path) as tried:

        async def check(fault: str) -> None:
            expected = table[fault]
            answered = await tried.ask(f"both/{fault}", stream=stream)
            row = tried.row_of(answered)
            kind = expected.kind
            if kind is None or expected.within or KINDS[kind].retry is not Retry.ENDPOINT:
                _check(answered, expected, fault, stream=stream)
                _check_row(row, expected, fault)
                return
            _check(answered, OK, "", stream=stream)
            assert [note.error for note in row.attempts] == [kind, None]
            assert [note.provider for note in row.attempts] == ["p0", "p1"]
            assert (row.provider, row.status, row.error) == ("p1", 200, None)
            assert row.cost_nano == round(answered.usage["cost"] * 1e9)

        await _at_most(8, check, zip(FAULTS, strict=True))
        kinds = [expected.kind for expected in table.values() if not expected.within]
        moved_on = [kind for kind in kinds if kind and KINDS[kind].retry is Retry.ENDPOINT]
        assert tried.healthy.requests == 1 + len(moved_on)  # the list of models is the one


async def _at_most(
    limit: int, job: Callable[..., Awaitable[None]], plans: Iterable[tuple[Any, ...]]
) -> None:
    """Does `job` with each of `plans`, so many at a time."""
    left = iter(plans)

    async def work() -> None:
        for plan in left:
            await job(*plan)

    async with asyncio.TaskGroup() as group:
        for _ in range(limit):
            group.create_task(work())


def _open_now(tried: Bench) -> dict[str, int]:
    gateway: Any = tried.running.gateway
    return {
        "tasks": len(asyncio.all_tasks()),
        "files": len(os.listdir("/proc/self/fd")),
        "calls": gateway._transport.open_calls,
        "relays": len(gateway._flow._relays),
        "under way": gateway.app.under_way,
    }


@pytest.mark.slow
async def test_a_thousand_faults_leave_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Idle connections are kept for a while on purpose; here that while is short, though not so
    # short that a busy machine lets no request begin in it.
    monkeypatch.setattr(listener, "KEEP_ALIVE_S", 2.0)
    runs = 1000
    async with bench(tmp_path) as tried:
        await tried.ask("alone/fields", stream=True)
        await asyncio.sleep(3.0)  # until the idle connections of this first request are gone
        before = _open_now(tried)
        began = time.monotonic()
        plans = itertools.cycle(itertools.product(("alone", "both"), FAULTS, (True, False)))

        async def run(kind: str, fault: str, stream: bool) -> None:
            answered = await tried.ask(f"{kind}/{fault}", stream=stream)
            if kind == "alone":
                table = STREAMED if stream else WHOLE
                _check(answered, table[fault], fault, stream=stream)

        await _at_most(20, run, itertools.islice(plans, runs))
        took_s = time.monotonic() - began

        def same() -> bool:
            now = _open_now(tried)
            return all(now[name] <= before[name] for name in before)

        try:
            await eventually(same, within_s=10)
        finally:
            print(f"\n{runs} runs in {took_s:.1f} s; before {before}, after {_open_now(tried)}")
        assert len(tried.rows) == runs + 1
        assert all(len(rows) == 1 for rows in tried.rows.values())
    with contextlib.closing(sqlite3.connect(tmp_path / "weir.db")) as store:
        counts = store.execute("select count(*), count(distinct id) from generations").fetchone()
    assert counts == (runs + 1, runs + 1)


def test_a_scenario_is_what_a_file_could_say() -> None:
    assert msgspec.convert(msgspec.to_builtins(scenario()), Scenario) == scenario()
