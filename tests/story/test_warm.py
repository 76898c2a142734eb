"""Conversations stay where their prompt is cached, over sockets, before providers that cache.

Two simulated providers speak Anthropic's dialect, each with a cache of its own. Who is asked first
is drawn anew for every request, so that by chance nobody stays anywhere for long.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from proxy.upstream.fake import Answer, Rule, Scenario
from proxy.wire.record import Generation
from tests.calling import Calls, calling
from tests.running import eventually, provider, weir

Json = dict[str, Any]

NAME = "claude-sonnet-4-5"
QUICK = Answer(tokens=4)
CHEAP = Scenario(models=(), answer=QUICK)
SESSIONS = 34  # so many that they all go one way less than once in 10**10 times
DEARER = 100_000  # so is who is so much dearer asked first
PROMPT_USD, READ_USD = 0.000003, 0.0000003


def prices(times: int = 1) -> str:
    """Of tokens that are cached a tenth, and a quarter more to cache them."""
    usd = {
        "prompt": PROMPT_USD, "completion": 0.000015,
        "input_cache_read": READ_USD, "input_cache_write": 0.00000375,
    }  # fmt: skip
    return "{ " + ", ".join(f'{name} = "{price * times:.9f}"' for name, price in usd.items()) + " }"


class Asked:
    """A gateway before two providers that cache, and a caller of it."""

    def __init__(self, calls: Calls, session: aiohttp.ClientSession) -> None:
        self._calls = calls
        self._session = session
        self.turns = itertools.count()

    def word(self, slug: str) -> str:
        """How a provider is doing."""
        pool, now = self._calls.running.gateway.pool, asyncio.get_running_loop().time()
        return pool.look((slug, NAME), now)[0]

    def counted(self, name: str) -> float:
        """What a metric of the model says."""
        dump = self._calls.running.gateway.office.metrics.dump({})
        return next(values[0] for labels, values in dump[name] if labels == ["test/warm"])

    async def get(self, path: str) -> Any:
        async with self._session.get(f"{self._calls.running.base_url}{path}") as response:
            assert response.status == 200, await response.text()
            return (await response.json())["data"]

    async def turn(self, conversation: str, **more: Any) -> Generation:
        """One more request of a conversation; what was kept of it."""
        text = {"type": "text", "text": f"{conversation} is about weirs. " * 40}
        system = {"role": "system", "content": [text | {"cache_control": {"type": "ephemeral"}}]}
        said = [
            {"role": role, "content": content}
            for number in range(next(self.turns) % 5)
            for role, content in (("assistant", "Yes."), ("user", f"And then? {number}"))
        ]
        body = {"model": "test/warm", "max_tokens": 50, **more}
        body["messages"] = [system, {"role": "user", "content": "Is it?"}, *said]
        url = f"{self._calls.running.base_url}/chat/completions"
        async with self._session.post(url, json=body) as response:
            assert response.status == 200, await response.text()
            row = self._calls.rows[response.headers["X-Generation-Id"]]
        assert row.provider in ("p0", "p1")
        return row


@contextlib.asynccontextmanager
async def asking(folder: Path, first: Scenario = CHEAP, *, dearer: int = 1) -> AsyncIterator[Asked]:
    """The second provider costs so many times what the first one does."""
    async with provider(first) as (_, url0), provider(CHEAP) as (_, url1):
        text = f'[store]\nurl = "sqlite:///{folder}/weir.db"\n'
        for number, url in enumerate((url0, url1)):
            text += (
                f'[[providers]]\nslug = "p{number}"\nname = "P{number}"\ndialect = "anthropic"\n'
                f'base_url = "{url.removesuffix("/v1")}"\napi_key = "k"\n'
            )
        text += '[[models]]\nid = "test/warm"\n'
        for number, times in enumerate((1, dearer)):
            text += (
                f'[[models.endpoints]]\nprovider = "p{number}"\nmodel = "{NAME}"\n'
                f"pricing = {prices(times)}\n"
            )
        async with weir(folder, text) as running, calling(running) as calls:
            headers = {"Authorization": f"Bearer {running.key}"}
            async with aiohttp.ClientSession(headers=headers) as session:
                yield Asked(calls, session)


async def test_a_session_stays_where_it_was_answered_and_its_cache_pays(tmp_path: Path) -> None:
    async with asking(tmp_path) as asked:
        places = set()
        kept: list[Generation] = []
        for number in range(SESSIONS):
            rows = [await asked.turn(f"Story {number}", session_id=f"s-{number}") for _ in range(3)]
            assert len({row.provider for row in rows}) == 1
            assert [row.stayed for row in rows] == [False, True, True]
            written, *read = rows
            assert written.cache_write_tokens > written.cached_tokens == 0 > written.saved_nano
            assert all(row.cached_tokens == written.cache_write_tokens for row in read)
            places.add(written.provider)
            kept += rows
        assert places == {"p0", "p1"}
        cached = read[-1].cached_tokens
        saved_usd = cached * (PROMPT_USD - READ_USD)
        told = await asked.get(f"/generation?id={read[-1].id}")
        assert abs(told["cache_discount"] - saved_usd) < 2e-9
        assert told["native_tokens_cached"] == cached
        assert asked.counted("weir_cache_stays_total") == 2 * SESSIONS
        for name, tokens in (
            ("weir_prompt_tokens_total", [row.prompt_tokens for row in kept]),
            ("weir_cached_tokens_total", [row.cached_tokens for row in kept]),
            ("weir_cache_saved_usd_total", [max(0, row.saved_nano) for row in kept]),
            ("weir_cache_extra_usd_total", [max(0, -row.saved_nano) for row in kept]),
        ):
            assert asked.counted(name) == sum(tokens) > 0


async def test_a_conversation_without_a_name_stays_after_its_first_cache_hit(
    tmp_path: Path,
) -> None:
    async with asking(tmp_path) as asked:
        for number in range(5):
            row = await asked.turn(f"Story {number}")
            assert (row.cached_tokens, row.stayed) == (0, False)
            while not row.cached_tokens:
                row = await asked.turn(f"Story {number}")
                assert not row.stayed
            later = [await asked.turn(f"Story {number}") for _ in range(6)]
            assert {one.provider for one in later} == {row.provider}
            assert all(one.stayed and one.cached_tokens for one in later)


async def test_an_order_of_the_callers_own_is_kept_however_warm_it_is_elsewhere(
    tmp_path: Path,
) -> None:
    async with asking(tmp_path) as asked:
        warm = (await asked.turn("Story", session_id="s")).provider
        other = {"p0": "p1", "p1": "p0"}[warm]
        row = await asked.turn("Story", session_id="s", provider={"order": [other]})
        assert (row.provider, row.stayed) == (other, False)
        row = await asked.turn("Story", session_id="s")
        assert (row.provider, row.stayed) == (warm, True)


async def test_an_outage_moves_a_session_to_where_it_is_answered(tmp_path: Path) -> None:
    """Though that is dearer: who failed a moment ago is not asked first."""
    fails = Scenario(models=(), answer=QUICK, rules=(Rule(after=2, times=1, fault="overloaded"),))
    async with asking(tmp_path, fails, dearer=DEARER) as asked:
        rows = [await asked.turn("Story", session_id="s") for _ in range(4)]
        assert [row.provider for row in rows] == ["p0", "p0", "p1", "p1"]
        assert [row.stayed for row in rows] == [False, True, True, True]
        assert [row.cached_tokens > 0 for row in rows] == [False, True, False, True]


async def test_a_session_leaves_for_a_much_cheaper_endpoint_that_is_cold(tmp_path: Path) -> None:
    paused = Rule(times=1, fault="rate-limit", retry_after_s=1)
    first = Scenario(models=(), answer=QUICK, rules=(paused,))
    async with asking(tmp_path, first, dearer=DEARER) as asked:
        rows = [await asked.turn("Story", session_id="s") for _ in range(2)]
        assert [(row.provider, row.stayed) for row in rows] == [("p1", False), ("p1", True)]
        await eventually(lambda: asked.word("p0") == "well", within_s=10)
        row = await asked.turn("Story", session_id="s")
        assert (row.provider, row.stayed) == ("p0", False)
