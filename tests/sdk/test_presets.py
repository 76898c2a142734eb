"""Presets by the official Python SDK `openrouter`: made, listed, read and used."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from openrouter import OpenRouter, errors

from tests.running import Running
from tests.sdk.test_openrouter import open_client, outcome
from tests.sdk.upstreams import Upstream
from tests.sdk.world import ask

pytestmark = pytest.mark.sdk


@pytest.fixture
async def client(gateway: Running) -> AsyncIterator[OpenRouter]:
    async with open_client(gateway.base_url, gateway.key) as client:
        yield client


async def test_presets_of_this_sdk(client: OpenRouter, upstream: Upstream) -> None:
    """One of each format's request, listed, read, and used by its name."""
    said = ask()
    made = await client.presets.create_presets_chat_completions_async(
        slug="mine", model=said["model"], temperature=0.25, messages=said["messages"]
    )
    assert made.data.designated_version is not None
    assert made.data.designated_version.config == {"model": said["model"], "temperature": 0.25}
    await client.presets.create_presets_messages_async(
        slug="brief", model="test/lorem", max_tokens=9, messages=[], system="Be brief."
    )
    second = await client.presets.create_presets_responses_async(
        slug="mine", model=said["model"], temperature=0.5, input="hello"
    )
    page = await client.presets.list_async()
    assert page is not None
    assert sorted(one.slug for one in page.result.data) == ["brief", "mine"]
    assert (await client.presets.get_async(slug="mine")).data.id == second.data.id
    versions: Any = await client.presets.list_versions_async(slug="mine", limit=1)
    numbers: list[int] = []
    while versions is not None:
        numbers += [one.version for one in versions.result.data if one is not None]
        versions = await versions.next()
    assert numbers == [1, 2]
    first = (await client.presets.get_version_async(slug="mine", version="1")).data
    assert first is not None
    assert first.config["temperature"] == 0.25
    answer = await client.chat.send_async(**ask(model="@preset/mine"))
    assert outcome(answer).model == said["model"]
    assert (await upstream.bodies())[-1]["temperature"] == 0.5


async def test_no_such_preset(client: OpenRouter) -> None:
    with pytest.raises(errors.NotFoundResponseError, match="Preset 'none' not found"):
        await client.chat.send_async(**ask(model="@preset/none"))
    with pytest.raises(errors.NotFoundResponseError):
        await client.presets.get_async(slug="none")
