"""A running gateway and its presets: made of a request, used by others in every format at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import orjson
import pytest

from proxy.stores.sql import SqlStore
from proxy.upstream.fake import Fake
from proxy.upstream.fake import fake as made_up
from proxy.wire.presets import Draft, id_of
from tests.running import config_text, eventually, mint_key, model_text, serving, weir

Json = dict[str, Any]
HELLO = [{"role": "user", "content": "hello"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


class World(NamedTuple):
    """A gateway before a provider; `post` and `get` answer with status and body."""

    fake: Fake
    folder: Path
    post: Callable[..., Awaitable[tuple[int, Json]]]
    get: Callable[..., Awaitable[tuple[int, Json]]]

    @property
    def sent(self) -> Json:
        """What the provider was sent last."""
        body: Json = orjson.loads(self.fake.seen[-1].body)
        return body


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    fake = made_up(keep=9)
    async with serving(fake) as served:
        url = f"{served}/v1"
        models = model_text("test/lorem", ("p0", "lorem-1")) + model_text("test/b", ("p0", "b-1"))
        async with (
            weir(tmp_path, config_text(tmp_path, url, more=models)) as running,
            aiohttp.ClientSession() as session,
        ):

            async def post(path: str, *, key: str = running.key, **fields: Any) -> tuple[int, Json]:
                headers = {"Authorization": f"Bearer {key}"}
                url = f"{running.base_url}/{path}"
                async with session.post(url, json=fields, headers=headers) as answer:
                    return answer.status, await answer.json()

            async def get(path: str) -> tuple[int, Json]:
                headers = {"Authorization": f"Bearer {running.key}"}
                async with session.get(f"{running.base_url}/{path}", headers=headers) as answer:
                    return answer.status, await answer.json()

            yield World(fake, tmp_path, post, get)


async def test_a_preset_is_used_in_every_format(world: World) -> None:
    system = {"role": "system", "content": "Be kind."}
    status, _ = await world.post(
        "presets/mine/chat/completions",
        model="test/lorem", temperature=0.25, tools=[TOOL], messages=[system, *HELLO],
    )  # fmt: skip
    assert status == 200
    for path, fields in (
        ("chat/completions", {"messages": HELLO, "model": "@preset/mine"}),
        ("messages", {"messages": HELLO, "model": "@preset/mine", "max_tokens": 9}),
        ("responses", {"input": "hello", "preset": "mine"}),
    ):
        status, answer = await world.post(path, **fields)
        assert (status, answer["model"]) == (200, "test/lorem")
        sent = world.sent
        assert (sent["temperature"], sent["messages"]) == (0.25, [system, *HELLO])
        assert [tool["function"]["name"] for tool in sent["tools"]] == ["f"]
        assert not {"preset", "cache_enabled"} & sent.keys()


async def test_a_request_wins_over_its_preset(world: World) -> None:
    await world.post(
        "presets/mine/messages", model="test/lorem", temperature=0.25, top_p=0.5, system="Be kind."
    )
    system = {"role": "system", "content": "Be brief."}
    status, answer = await world.post(
        "chat/completions", model="test/b@preset/mine", temperature=1, messages=[system, *HELLO]
    )
    assert (status, answer["model"]) == (200, "test/b")
    assert (world.sent["temperature"], world.sent["top_p"]) == (1, 0.5)
    assert world.sent["messages"] == [system, *HELLO]


async def test_the_latest_version_of_a_preset_always_counts(world: World) -> None:
    for temperature in (0.25, 0.5):
        await world.post("presets/mine/responses", model="test/lorem", temperature=temperature)
        await world.post("chat/completions", model="@preset/mine", messages=HELLO)
        assert world.sent["temperature"] == temperature


async def test_a_preset_of_another_process_is_heard_of_within_a_second(world: World) -> None:
    def write() -> None:
        store = SqlStore.open(f"sqlite:///{world.folder}/weir.db")
        draft = Draft(config=b'{"model":"test/lorem"}')
        store.presets.add("default", "theirs", draft, creator="ab", now=1.0)
        store.close()

    await asyncio.to_thread(write)

    async def known() -> bool:
        status, _ = await world.post("chat/completions", model="@preset/theirs", messages=HELLO)
        return status == 200

    await eventually(known, within_s=5.0)


async def test_what_nobody_made_is_not_found(world: World) -> None:
    status, answer = await world.post("chat/completions", model="@preset/none", messages=HELLO)
    assert (status, answer["error"]["message"]) == (404, "Preset 'none' not found")
    status, answer = await world.post("messages", model="@preset/none", messages=HELLO)
    assert (status, answer["type"]) == (404, "error")
    assert all(one.method == "GET" for one in world.fake.seen)


async def test_presets_are_those_of_an_account(world: World) -> None:
    await world.post("presets/mine/messages", model="test/lorem")

    def stranger() -> str:
        path = world.folder / "weir.db"
        store = SqlStore.open(f"sqlite:///{path}")
        store.ledger.create_account("team", 1.0)
        store.close()
        return mint_key(path, "stranger", account="team")

    key = await asyncio.to_thread(stranger)

    async def refused() -> bool:
        status, _ = await world.post(
            "chat/completions", key=key, model="@preset/mine", messages=HELLO
        )
        assert status in (401, 404)  # at first the key itself is unknown
        return status == 404

    await eventually(refused)


async def test_a_generation_tells_its_preset(world: World) -> None:
    await world.post("presets/mine/messages", model="test/lorem")
    _, answer = await world.post("chat/completions", model="@preset/mine", messages=HELLO)
    status, row = await world.get(f"generation?id={answer['id']}")
    assert (status, row["data"]["preset_id"]) == (200, id_of("default", "mine"))
    _, shown = await world.get("presets/mine")
    assert shown["data"]["id"] == row["data"]["preset_id"]
