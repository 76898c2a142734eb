"""A conversation begun at one provider goes on at every other one, and back.

The simulated provider speaks each dialect, thinks in its own form, and refuses what a real one
would: a signature that is altered, missing or not its own, a result without its call, roles out of
order. Every pair is tried with tools, a picture and cache marks.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.upstream.fake import Fake, Scenario, fake
from tests.running import Running, model_text, serving, weir

Json = dict[str, Any]

CLAUDE = "claude-sonnet-4-5-reason"
PLACES = {
    "openai": ("openai", "weir/reason"),
    "responses": ("responses", "gpt-5-reason"),
    "anthropic": ("anthropic", CLAUDE),
    "gemini": ("gemini", "gemini-3-reason"),
    "vertex": ("vertex", "gemini-2.5-reason"),
    "vertex-claude": ("vertex", CLAUDE),
    "cohere": ("cohere", "weir/reason"),
    "bedrock": ("bedrock", f"us.anthropic.{CLAUDE}-v1:0"),
    "azure": ("azure", "weir/reason"),
}
"""A dialect, and a model of a family that it treats as it should; all of them reason."""

SIGNING = ("responses", "anthropic", "gemini", "vertex", "vertex-claude", "bedrock")
"""Those whose reasoning is signed, or encrypted, and checked when it comes back."""

MARKING = ("anthropic", "vertex-claude", "bedrock")
"""Those that cache what the caller marks."""

PATHS = {"openai": "/v1", "responses": "/v1"}
PNG = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
MARK = {"cache_control": {"type": "ephemeral"}}
MARKS: list[Json] = [MARK, {"prompt_cache_breakpoint": {"mode": "explicit"}}]
OPENING: list[Json] = [
    {"role": "system", "content": [{"type": "text", "text": "You know the weather. " * 9, **MARK}]},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "Call both tools: what are the weather and the time here?"},
            {"type": "image_url", "image_url": {"url": PNG}},
        ],
    },
]
RESULTS = {"get_weather": "4 degrees", "get_time": "noon"}


def tool(name: str, field: str) -> Json:
    parameters = {"type": "object", "properties": {field: {"type": "string"}}, "required": [field]}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


TOOLS = [tool("get_weather", "city"), tool("get_time", "zone")]


def configuration(folder: Path, url: str) -> str:
    options = 'project = "p", location = "global", region = "eu-west-1", api_version = "v1"'
    rows = [f'[store]\nurl = "sqlite:///{folder}/weir.db"']
    for place, (dialect, model) in PLACES.items():
        rows.append(
            f'[[providers]]\nslug = "at-{place}"\nname = "At {place}"\ndialect = "{dialect}"\n'
            f'base_url = "{url}{PATHS.get(dialect, "")}"\napi_key = "k"\nauth = "bearer"\n'
            f"options = {{ {options} }}\n"
            'quirks = { reasoning_replay = "reasoning_content" }'
        )
        rows.append(model_text(f"test/{place}", (f"at-{place}", model)))
    return "\n".join(rows)


class Table:
    """A gateway before the simulated provider, and a caller."""

    def __init__(self, session: aiohttp.ClientSession, running: Running, app: Fake) -> None:
        self._session = session
        self._running = running
        self.app = app

    async def ask(self, place: str, messages: list[Json], **more: Any) -> tuple[int, Json]:
        """Status and answer of `test/{place}`."""
        body = {
            "model": f"test/{place}",
            "messages": messages,
            "tools": TOOLS,
            "reasoning": {"effort": "medium"},
            "max_tokens": 4000,
            **more,
        }
        url = f"{self._running.base_url}/chat/completions"
        async with self._session.post(url, json=body) as response:
            return response.status, await response.json()

    async def said(self, place: str, messages: list[Json]) -> Json:
        """The message that answers."""
        status, answer = await self.ask(place, messages)
        assert status == 200, (place, answer)
        (choice,) = answer["choices"]
        message: Json = choice["message"]
        return message

    async def called(self, place: str) -> list[Json]:
        """A conversation in which the model called both tools and was told what they gave."""
        message = await self.said(place, OPENING)
        calls = message["tool_calls"]
        assert [call["function"]["name"] for call in calls] == list(RESULTS)
        assert message["reasoning_details"]
        results = [
            {"role": "tool", "tool_call_id": call["id"], "content": RESULTS[name]}
            for call, name in zip(calls, RESULTS, strict=True)
        ]
        return [*OPENING, message, *results]


@asynccontextmanager
async def laid(folder: Path) -> AsyncIterator[Table]:
    app = fake(Scenario(), keep=500)
    async with (
        serving(app) as url,
        weir(folder, configuration(folder, url)) as running,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {running.key}"}) as session,
    ):
        yield Table(session, running, app)


async def goes_on(table: Table, first: str, second: str) -> None:
    """Begun at `first`, on at `second`, back to `first`."""
    told = await table.called(first)
    answer = await table.said(second, told)
    assert answer["content"] == "The tool said: 4 degrees; noon", (first, second)
    told = [*told, answer, {"role": "user", "content": "Thanks. And what does a weir do?"}]
    again = await table.said(first, told)
    assert "Water meets the weir" in again["content"], (first, second)


async def test_every_pair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = list(itertools.product(PLACES, PLACES))
    async with laid(tmp_path) as table, asyncio.TaskGroup() as group:
        for pair in pairs:
            group.create_task(goes_on(table, *pair))
    with capsys.disabled():
        print(f"\n{len(pairs)} pairs of providers, three turns each")


def altered(details: list[Json]) -> Iterator[list[Json]]:
    """The details with one signature changed, or one left out."""
    for number, detail in enumerate(details):
        for key in ("signature", "data"):
            if key in detail:
                changed = detail | {key: detail[key][::-1]}
                yield [*details[:number], changed, *details[number + 1 :]]


@pytest.mark.parametrize("place", SIGNING)
async def test_an_altered_signature_is_refused_by_who_made_it(tmp_path: Path, place: str) -> None:
    """So the provider saw every signature, and at its place."""
    async with laid(tmp_path) as table:
        told = await table.called(place)
        turn = next(n for n, message in enumerate(told) if message["role"] == "assistant")
        forms = list(altered(told[turn]["reasoning_details"]))
        assert forms
        for details in forms:
            changed = told[turn] | {"reasoning_details": details}
            status, answer = await table.ask(place, [*told[:turn], changed, *told[turn + 1 :]])
            assert status == 400, answer


@pytest.mark.parametrize("mark", MARKS, ids=["cache_control", "prompt_cache_breakpoint"])
@pytest.mark.parametrize("place", MARKING)
async def test_a_marked_prefix_is_written_once_and_read_then(
    tmp_path: Path, place: str, mark: Json
) -> None:
    text = {"type": "text", "text": "You know the weather. " * 9, **mark}
    opening = [{"role": "system", "content": [text]}, *OPENING[1:]]
    async with laid(tmp_path) as table:
        counts = []
        for _ in range(2):
            status, answer = await table.ask(place, opening)
            assert status == 200, answer
            details = answer["usage"]["prompt_tokens_details"]
            counts.append((details["cache_write_tokens"], details["cached_tokens"]))
        (written, none), (nothing, read) = counts
        assert written == read > 0 == none == nothing
