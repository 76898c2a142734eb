"""A provider that is dead, in every way it can be, beside one that is well: nobody notices.

    WEIR_ROUNDS=2000 pytest tests/story/test_outage.py -s

asks so many times for each way with the clocks as they ship, which takes minutes; without it the
pool's clocks run faster.
"""

import asyncio
import contextlib
import functools
import os
import statistics
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from proxy import gateway
from proxy.errors import KINDS, Retry
from proxy.pipeline import reading
from proxy.routing.health import Pool, Rules
from proxy.upstream.fake import Fake, Rule, Scenario, fake
from proxy.wire.frames import Splitter
from tests.calling import Answer, Calls, at_once, calling
from tests.running import (
    PRICING,
    config_text,
    eventually,
    free_port,
    model_text,
    provider,
    serving,
    weir,
)
from tests.story.test_faults import STREAMED, WHOLE, Expected

LONG = "WEIR_ROUNDS" in os.environ
ROUNDS = int(os.environ.get("WEIR_ROUNDS", "10"))
HASTE = 1.0 if LONG else 30.0
WAYS_AT_ONCE = 1 if LONG else 6
AT_ONCE = 16 if LONG else 6
STAYS_DEAD_S = 70.0 / HASTE
BACK_S_MAX = 60.0
RETRY_AFTER_S = 2
REFUSED = "refused connection"
SHIPPED = Rules()
RULES = msgspec.structs.replace(
    SHIPPED,
    **{
        name: getattr(SHIPPED, name) / HASTE
        for name in ("shaky_s", "out_s", "out_s_max", "probe_again_s", "slow_start_s")
    },
)
HEALTHY = Scenario(models=())

# The silence of the dead is soon noticed, and who is well on a busy machine is not taken for them.
CLOCKS = ("first_byte_s", "first_token_s", "between_chunks_s", "answer_s")
TIMEOUTS = "[timeouts]\n" + "".join(f"{name} = 30\n" for name in CLOCKS)
WAITS = ", ".join(f"{name} = {5.0 if LONG else 2.0}" for name in CLOCKS)


def _ways(table: Mapping[str, Expected]) -> list[str]:
    """The faults after which another endpoint is asked, where nothing of the answer went out."""
    kinds = {fault: expected.kind for fault, expected in table.items()}
    return [name for name, kind in kinds.items() if kind and KINDS[kind].retry is Retry.ENDPOINT]


def _scenario(faults: list[str]) -> Scenario:
    """One model for each fault. What strikes inside of a stream does so before any content."""
    return Scenario(
        models=(),
        rules=tuple(
            Rule(model=name, fault=name, events=1, retry_after_s=RETRY_AFTER_S) for name in faults
        ),
    )


class Bench(NamedTuple):
    """A gateway whose every model is at the well provider `p0` and at a dead one of its own."""

    calls: Calls
    dead: Fake
    healthy: Fake
    slugs: Mapping[str, str]
    refused_port: int


@contextlib.asynccontextmanager
async def bench(folder: Path, faults: list[str]) -> AsyncIterator[Bench]:
    port = free_port()
    async with provider(_scenario(faults)) as (dead, dead_url), provider(HEALTHY) as (well, url):
        urls = [url, *[dead_url] * len(faults), f"http://127.0.0.1:{port}/v1"]
        slugs = {name: f"p{at}" for at, name in enumerate([*faults, REFUSED], start=1)}
        models = model_text("test/alone", ("p0", "lorem")) + "".join(
            model_text(
                _model(name),
                (slug, name.replace(" ", "-")),
                ("p0", "lorem"),
                pricing=PRICING,
                waits=WAITS,
            )
            for name, slug in slugs.items()
        )
        async with (
            weir(folder, config_text(folder, *urls, more=TIMEOUTS) + models) as running,
            calling(running) as calls,
        ):
            yield Bench(calls, dead, well, slugs, port)
        await eventually(lambda: dead.open == 0)


def _model(fault: str) -> str:
    return "test/" + fault.replace(" ", "-")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What never ends is refused after 2 MiB; in the short form the pool is in a hurry."""
    monkeypatch.setattr(reading, "ANSWER_BYTES_MAX", 2 * 1024 * 1024)
    monkeypatch.setattr(Splitter.__init__, "__defaults__", (2 * 1024 * 1024,))
    monkeypatch.setattr(gateway, "Pool", functools.partial(Pool, RULES))


@pytest.mark.slow
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_a_dead_provider_beside_a_healthy_one_is_not_noticed(
    tmp_path: Path, stream: bool
) -> None:
    faults = _ways(STREAMED if stream else WHOLE)
    async with bench(tmp_path, faults) as tried:
        alone = await _asked(tried, "test/alone", stream=stream)
        print(f"\n{'only a healthy one':20} {_figures(alone)}")
        (charge_nano,) = {tried.calls.row_of(one).cost_nano for one in alone}
        names = iter(tried.slugs)

        async def work() -> None:
            for name in names:
                await _check_outage(tried, name, charge_nano, stream=stream)

        await asyncio.gather(*(work() for _ in range(WAYS_AT_ONCE)))
        took_s = sorted(await _healed(tried, stream=stream))
        print(f"back in service after {took_s[0]:.1f} to {took_s[-1]:.1f} s")
        assert took_s[-1] <= BACK_S_MAX


async def _asked(tried: Bench, model: str, *, stream: bool) -> list[Answer]:
    return await at_once(AT_ONCE, lambda: tried.calls.ask(model, stream=stream), ROUNDS)


async def _check_outage(tried: Bench, name: str, charge_nano: int | None, *, stream: bool) -> None:
    began_at = time.monotonic()
    slug = tried.slugs[name]
    answers: list[Answer] = []
    asked = 0
    # Half of the calls begin with the healthy one; now and then all of a short form's do.
    while asked == 0 and len(answers) < 10 * ROUNDS:
        answers += await _asked(tried, _model(name), stream=stream)
        asked = tried.calls.attempts_at(slug, answers)
    took_s = time.monotonic() - began_at
    unanswered = [(one.status, one.raw[-500:]) for one in answers if not one.complete]
    assert unanswered == [], name
    later = [one for one in answers if len(tried.calls.row_of(one).attempts) == 1]
    print(f"{name:20} {_figures(later)}, asked {asked} times in {took_s:.1f} s")
    # Those that were under way before the first failure was seen, and each time it is forgotten;
    # else only probes. All others went to the healthy one at once.
    again_s = RETRY_AFTER_S if name == "rate-limit" else RULES.shaky_s
    probes = took_s / (RULES.out_s * (1 - RULES.out_jitter))
    assert 1 <= asked <= AT_ONCE * (1 + took_s // again_s) + probes, name
    assert len(later) == len(answers) - asked
    for row in map(tried.calls.row_of, answers):
        assert (row.provider, row.status, row.error) == ("p0", 200, None)
        assert [note.provider for note in row.attempts][:-1] in ([], [slug])
        assert row.cost_nano == row.upstream_nano == charge_nano


def _figures(answers: list[Answer]) -> str:
    times = [answer.took_s * 1e3 for answer in answers]
    p99 = statistics.quantiles(times, n=100)[98]
    return f"p50 {statistics.median(times):.1f} ms, p99 {p99:.1f} ms"


async def _healed(tried: Bench, *, stream: bool) -> list[float]:
    """They stay dead for so long that they are shut for as long as ever, then all come back; how
    long it takes until each of them answers again.
    """
    healed: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        backs = [
            group.create_task(_back_s(tried, name, healed, stream=stream)) for name in tried.slugs
        ]
        await asyncio.sleep(STAYS_DEAD_S)
        healed.set_result(time.monotonic())
        tried.dead.play(HEALTHY)
        async with serving(fake(HEALTHY), bind=f"127.0.0.1:{tried.refused_port}"):
            return list(await asyncio.gather(*backs))


async def _back_s(tried: Bench, name: str, healed: asyncio.Future[float], *, stream: bool) -> float:
    """Callers keep coming, and none of them notices anything."""
    while True:
        answer = await tried.calls.ask(_model(name), stream=stream)
        assert answer.complete, name
        if tried.calls.row_of(answer).provider == tried.slugs[name]:
            return answer.ended_at - healed.result()
        assert not healed.done() or answer.ended_at - healed.result() <= BACK_S_MAX, name
        await asyncio.sleep(0.5)
