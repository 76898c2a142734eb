"""What stands beside an answer, as the official SDKs understand it."""

from typing import Any

import openai
import pytest
from openrouter import OpenRouter, components

from tests.running import Running
from tests.sdk.script import TEXT
from tests.sdk.test_openai import options
from tests.sdk.test_openrouter import open_client
from tests.sdk.upstreams import Upstream
from tests.sdk.world import TOOLS, ask, check_usage

pytestmark = [pytest.mark.sdk, pytest.mark.parametrize("upstream", ["fake"], indirect=True)]

both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


async def last(client: OpenRouter, *, stream: bool, **more: Any) -> Any:
    """An answer, or the last event of one; the SDK's own models check its shape."""
    answer: Any = await client.chat.send_async(
        **ask(model="test/rescued"), stream=stream, x_open_router_metadata="enabled", **more
    )
    if not stream:
        return answer
    return [chunk async for chunk in answer][-1]


@both
async def test_the_route(gateway: Running, upstream: Upstream, stream: bool) -> None:
    async with open_client(gateway.base_url, gateway.key) as client:
        told = (await last(client, stream=stream)).openrouter_metadata
    assert isinstance(told, components.OpenRouterMetadata)
    assert (told.requested, told.strategy, told.attempt) == ("test/rescued", "direct", 2)
    assert told.summary == "available=2, selected=P1"
    assert [(one.provider, one.status) for one in told.attempts or ()] == [("P0", 429), ("P1", 200)]
    assert [one.selected for one in told.endpoints.available] == [False, True]
    assert told.generation_time is not None


async def test_the_route_of_a_failure(gateway: Running, upstream: Upstream) -> None:
    async with openai.AsyncOpenAI(**options(gateway.base_url, gateway.key)) as client:
        with pytest.raises(openai.RateLimitError) as caught:
            await client.chat.completions.create(
                **ask(model="test/limited"), extra_headers={"X-OpenRouter-Metadata": "Enabled"}
            )
    told = caught.value.response.json()["openrouter_metadata"]
    assert components.OpenRouterMetadata.model_validate(told).attempt == 2
    assert "x-provider-name" not in caught.value.response.headers


async def test_what_was_sent(gateway: Running, upstream: Upstream) -> None:
    async with open_client(gateway.base_url, gateway.key) as client:
        answer = await client.chat.send_async(
            **ask(), stream=True, debug={"echo_upstream_body": True}
        )
        chunks = [chunk async for chunk in answer]
    assert chunks[0].choices == []
    said = "".join(one.delta.content or "" for chunk in chunks for one in chunk.choices)
    assert said == TEXT
    async with openai.AsyncOpenAI(**options(gateway.base_url, gateway.key)) as other:
        stream: Any = await other.chat.completions.create(
            **ask(), stream=True, extra_body={"debug": {"echo_upstream_body": True}}
        )
        events = [chunk.model_dump() async for chunk in stream]
    echoed = [one["debug"]["echo_upstream_body"] for one in events if "debug" in one]
    assert echoed == [(await upstream.bodies())[-1]]


@both
async def test_several_answers(gateway: Running, upstream: Upstream, stream: bool) -> None:
    async with openai.AsyncOpenAI(**options(gateway.base_url, gateway.key)) as client:
        answer: Any = await client.chat.completions.create(**ask(), n=3, stream=stream)
        if stream:
            texts = ["", "", ""]
            async for chunk in answer:
                for one in chunk.choices:
                    texts[one.index] += one.delta.content or ""
            usage = chunk.usage
        else:
            texts = [one.message.content for one in answer.choices]
            usage = answer.usage
    assert [sorted(text.split()) for text in texts] == [sorted(TEXT.split())] * 3
    assert len(set(texts)) == 3
    assert usage.completion_tokens == 3 * 32
    check_usage(usage.model_dump())


@both
async def test_who_answers_is_in_the_head(
    gateway: Running, upstream: Upstream, stream: bool
) -> None:
    async with (
        openai.AsyncOpenAI(**options(gateway.base_url, gateway.key)) as client,
        client.chat.completions.with_streaming_response.create(**ask(), stream=stream) as response,
    ):
        assert response.headers["x-provider-name"] == "P0"
        assert "X-Provider-Name" in response.headers["access-control-expose-headers"]
        await response.text()


async def test_functions_of_old(gateway: Running, upstream: Upstream) -> None:
    functions = [one["function"] for one in TOOLS]
    async with openai.AsyncOpenAI(**options(gateway.base_url, gateway.key)) as client:
        answer = await client.chat.completions.create(
            **ask("weather"), functions=functions, function_call={"name": "get_weather"}
        )
        (call,) = answer.choices[0].message.tool_calls or [None]
        assert call is not None
        assert call.type == "function"
        assert call.function.name == "get_weather"
        spoken: list[Any] = [
            {"role": "user", "content": "What is the weather in Oslo?"},
            {"role": "assistant", "content": None,
             "function_call": {"name": "get_weather", "arguments": call.function.arguments}},
            {"role": "function", "name": "get_weather", "content": "4 degrees"},
        ]  # fmt: skip
        told = await client.chat.completions.create(
            model="test/lorem", messages=spoken, functions=functions
        )
    assert told.choices[0].message.content == "The tool said: 4 degrees"
    assert (await upstream.asked())[-1].results == ["4 degrees"]
