"""Which key of a provider and which provider of a model is asked, over sockets.

    WEIR_ROUNDS=40 pytest tests/story/test_choice.py -s

asks so many times as often as it must; without it, twice.
"""

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.upstream.fake import Answer as Flow
from proxy.upstream.fake import Fake, Rule, Scenario, fake
from tests.calling import Answer, Calls, at_once, calling
from tests.running import config_text, model_text, provider, serving, weir

ROUNDS = int(os.environ.get("WEIR_ROUNDS", "2"))
QUICK = Scenario(models=(), answer=Flow(tokens=4))


class Keyed(NamedTuple):
    """A gateway whose only provider knows two keys, and what each of them is answered."""

    calls: Calls
    fakes: Mapping[str, Fake]

    async def ask(self) -> Answer:
        return await self.calls.ask("test/keys", stream=True)


def _by_key(fakes: Mapping[str, Fake]) -> ASGIApp:
    """One provider that answers each key in its own way."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers: Any = dict(scope.get("headers") or ())
        name = headers.get(b"authorization", b"Bearer one").decode().removeprefix("Bearer ")
        await fakes[name](scope, receive, send)

    return app


@contextlib.asynccontextmanager
async def keyed(folder: Path, **scenarios: Scenario) -> AsyncIterator[Keyed]:
    fakes = {name: fake(scenario) for name, scenario in scenarios.items()}
    async with serving(_by_key(fakes)) as url:
        text = config_text(folder) + (
            f'[[providers]]\nslug = "p0"\nname = "P0"\nbase_url = "{url}/v1"\n'
            f"api_key = {list(fakes)}\n" + model_text("test/keys", ("p0", "m"))
        )
        async with weir(folder, text) as running, calling(running) as calls:
            yield Keyed(calls, fakes)


@pytest.mark.slow
@pytest.mark.parametrize("together", [1, 10])
async def test_a_refused_key_is_not_used_again_and_no_request_fails(
    tmp_path: Path, together: int
) -> None:
    refused = Scenario(models=(), rules=(Rule(fault="bad-key"),))
    async with keyed(tmp_path, one=refused, two=QUICK) as asked:
        bad = asked.fakes["one"]
        listed = bad.requests
        answers = await at_once(together, asked.ask, 10)  # keys take turns
        refusals = bad.requests - listed
        assert 1 <= refusals <= together
        answers += await at_once(10, asked.ask, 50 * ROUNDS)
        assert all(answer.complete for answer in answers)
        assert bad.requests - listed == refusals
        attempts = asked.calls.running.gateway.office.metrics.attempts
        assert attempts == {("p0", "provider_credential"): refusals, ("p0", "ok"): len(answers)}
        pool, now = asked.calls.running.gateway.pool, asyncio.get_running_loop().time()
        assert pool.standing(("p0", "m"), now).word == "well"


@pytest.mark.slow
async def test_a_key_that_was_told_to_wait_waits(tmp_path: Path) -> None:
    pause_s = 2
    limited = Scenario(
        models=(), answer=QUICK.answer,
        rules=(Rule(fault="rate-limit", times=1, retry_after_s=pause_s),),
    )  # fmt: skip
    async with keyed(tmp_path, one=limited, two=QUICK) as asked:
        first, other = asked.fakes["one"], asked.fakes["two"]
        listed = first.requests
        answers: list[Answer] = []
        while first.requests == listed:
            answers.append(await asked.ask())
        told = answers[-1]
        while first.requests == listed + 1:
            answers.append(await asked.ask())
        waited_s = answers[-1].ended_at - told.asked_at
        print(f"\nthe key rested {waited_s:.2f} s of {pause_s}; {len(answers)} requests meanwhile")
        assert pause_s <= waited_s
        assert all(answer.complete for answer in answers)
        assert other.requests >= len(answers) - 1
        again = await at_once(10, asked.ask, 20)  # both take turns again
        assert all(answer.complete for answer in again)
        assert first.requests >= listed + 2 + 8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prices", "shares", "times"),
    [
        (("1", "3"), (0.9, 0.1), 200),
        (("0", "5", "0"), (0.5, 0.0, 0.5), 50),
        (("0", "0", "0"), (1 / 3, 1 / 3, 1 / 3), 50),
    ],
    ids=["1 and 3 dollars", "free ones first", "all free"],
)
async def test_the_choice_goes_by_price(
    tmp_path: Path, prices: tuple[str, ...], shares: tuple[float, ...], times: int
) -> None:
    asked = times * ROUNDS
    async with provider(QUICK) as (_, url):
        endpoints = "".join(
            f'[[models.endpoints]]\nprovider = "p{number}"\nmodel = "m"\n'
            f'pricing = {{ prompt = "{price}e-6", completion = "{price}e-6" }}\n'
            for number, price in enumerate(prices)
        )
        text = config_text(tmp_path, *[url] * len(prices)) + (
            f'[[models]]\nid = "test/choice"\ncontext_length = 4096\n{endpoints}'
        )
        async with weir(tmp_path, text) as running, calling(running) as calls:
            answers = await at_once(20, lambda: calls.ask("test/choice", stream=True), asked)
            assert all(answer.complete for answer in answers)
            chosen = Counter(row.provider for row in calls.rows.values())
    print(f"\n{prices}: {dict(sorted(chosen.items()))} of {asked}")
    for number, share in enumerate(shares):
        deviation = (asked * share * (1 - share)) ** 0.5
        assert abs(chosen[f"p{number}"] - asked * share) <= 7 * deviation
