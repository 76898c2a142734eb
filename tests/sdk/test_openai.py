"""The official Python SDK `openai`, synchronous and asynchronous, through a running gateway."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Literal

import openai
import pytest
from pydantic import BaseModel

from tests.running import SERVERS, Running
from tests.sdk.clients import Client, Failure, JSONObject, Outcome
from tests.sdk.scenarios import Scenario, abroad, every_scenario
from tests.sdk.script import FORMATTED, TEXT, WEATHER
from tests.sdk.upstreams import Upstream
from tests.sdk.world import World, ask, check_usage

pytestmark = pytest.mark.sdk


def outcome(completion: Any) -> Outcome:
    """What both forms of the SDK understood."""
    choice = completion.choices[0]
    return Outcome(
        id=completion.id,
        model=completion.model,
        provider=completion.provider,
        text=choice.message.content or "",
        reasoning=getattr(choice.message, "reasoning", None) or "",
        calls=[
            (call.id, call.function.name, json.loads(call.function.arguments))
            for call in choice.message.tool_calls or ()
        ],
        finish_reason=choice.finish_reason,
        usage=completion.usage.model_dump(),
        # OpenRouter's deltas all have a role; this SDK's stream helper strings them together.
        message=choice.message.model_dump(exclude_none=True) | {"role": "assistant"},
    )


def failure(error: openai.APIError, said: str) -> Failure:
    return Failure(
        name=type(error).__name__,
        status=getattr(error, "status_code", None),
        code=error.code,
        message=error.message,
        said=said,
    )


def options(base_url: str, key: str, *, max_retries: int = 0) -> JSONObject:
    return {"base_url": base_url, "api_key": key, "max_retries": max_retries, "timeout": 60}


class Common:
    errors: Mapping[int, str] = {
        400: "BadRequestError",
        401: "AuthenticationError",
        429: "RateLimitError",
        502: "InternalServerError",
    }
    broken_stream = "APIError"
    provider_named = True

    def __init__(self, base_url: str, key: str) -> None:
        self._options: JSONObject = options(base_url, key)


class Synchronous(Common):
    """`openai.OpenAI`; its calls block, so each runs on a thread."""

    def _open(self) -> openai.OpenAI:
        return openai.OpenAI(**self._options)

    async def models(self) -> list[str]:
        def run() -> list[str]:
            with self._open() as client:
                return [model.id for model in client.models.list()]

        return await asyncio.to_thread(run)

    async def chat(self, request: JSONObject, *, stream: bool) -> Outcome:
        def run() -> Outcome:
            with self._open() as client:
                if not stream:
                    return outcome(client.chat.completions.create(**request))
                with client.chat.completions.stream(**request) as events:
                    pieces = [event.delta for event in events if event.type == "content.delta"]
                    # What it has put together; the final completion is refused at "length".
                    told = outcome(events.current_completion_snapshot)
            assert "".join(pieces) == told.text
            return told

        return await asyncio.to_thread(run)

    async def fail(self, request: JSONObject, *, stream: bool) -> Failure:
        def run() -> Failure:
            said = ""
            with self._open() as client:
                try:
                    answer: Any = client.chat.completions.create(**request, stream=stream)
                    for chunk in answer if stream else ():
                        said += chunk.choices[0].delta.content or ""
                except openai.APIError as error:
                    return failure(error, said)
            raise AssertionError("no error came")

        return await asyncio.to_thread(run)

    async def hang_up(self, request: JSONObject) -> str:
        def run() -> str:
            with (
                self._open() as client,
                client.chat.completions.create(**request, stream=True) as events,
            ):
                for chunk in events:
                    if said := chunk.choices[0].delta.content:
                        return str(said)
            raise AssertionError("no content came")

        return await asyncio.to_thread(run)


class Asynchronous(Common):
    """`openai.AsyncOpenAI`."""

    def _open(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(**self._options)

    async def models(self) -> list[str]:
        async with self._open() as client:
            return [model.id async for model in client.models.list()]

    async def chat(self, request: JSONObject, *, stream: bool) -> Outcome:
        async with self._open() as client:
            if not stream:
                return outcome(await client.chat.completions.create(**request))
            async with client.chat.completions.stream(**request) as events:
                pieces = [event.delta async for event in events if event.type == "content.delta"]
                told = outcome(events.current_completion_snapshot)
        assert "".join(pieces) == told.text
        return told

    async def fail(self, request: JSONObject, *, stream: bool) -> Failure:
        said = ""
        async with self._open() as client:
            try:
                answer: Any = await client.chat.completions.create(**request, stream=stream)
                if stream:
                    async for chunk in answer:
                        said += chunk.choices[0].delta.content or ""
            except openai.APIError as error:
                return failure(error, said)
        raise AssertionError("no error came")

    async def hang_up(self, request: JSONObject) -> str:
        async with (
            self._open() as client,
            await client.chat.completions.create(**request, stream=True) as events,
        ):
            async for chunk in events:
                if said := chunk.choices[0].delta.content:
                    return str(said)
        raise AssertionError("no content came")


@every_scenario
@pytest.mark.parametrize("client", [Synchronous, Asynchronous])
async def test_scenario(
    client: type[Client], scenario: Scenario, gateway: Running, upstream: Upstream
) -> None:
    await scenario.run(World.meet(client, gateway, upstream))


@pytest.mark.parametrize("scenario", abroad(0), ids=lambda one: one.name)
@pytest.mark.parametrize("upstream", ["fake"], indirect=True)
@pytest.mark.parametrize("gateway", [name for name in SERVERS if name != "weir"], indirect=True)
async def test_scenario_on_other_servers(
    scenario: Scenario, gateway: Running, upstream: Upstream
) -> None:
    await scenario.run(World.meet(Asynchronous, gateway, upstream))


@pytest.fixture
async def client(gateway: Running) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(**options(gateway.base_url, gateway.key)) as client:
        yield client


class Weather(BaseModel):
    city: Literal["Oslo"]
    degrees: int
    sky: Literal["clear", "cloudy"]


async def test_parse(client: openai.AsyncOpenAI) -> None:
    completion = await client.chat.completions.parse(**ask(FORMATTED), response_format=Weather)
    assert completion.choices[0].message.parsed == Weather.model_validate(WEATHER)
    async with client.chat.completions.stream(**ask(FORMATTED), response_format=Weather) as events:
        streamed = await events.get_final_completion()
    assert streamed.choices[0].message.parsed == Weather.model_validate(WEATHER)


async def test_every_event_of_a_stream(client: openai.AsyncOpenAI) -> None:
    chunks = [
        chunk.model_dump()
        async for chunk in await client.chat.completions.create(**ask(), stream=True)
    ]
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert {(chunk["model"], chunk["provider"]) for chunk in chunks} == {("test/lorem", "P0")}
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert len(deltas) == len(chunks)
    assert {delta["role"] for delta in deltas} == {"assistant"}
    assert "".join(delta["content"] for delta in deltas) == TEXT
    assert [bool(chunk["usage"]) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    check_usage(chunks[-1]["usage"])


@pytest.mark.parametrize("stream", [False, True])
async def test_the_generation_id_is_in_the_head(client: openai.AsyncOpenAI, stream: bool) -> None:
    async with client.chat.completions.with_streaming_response.create(
        **ask(), stream=stream
    ) as response:
        id_ = response.headers["x-generation-id"]
        body = await response.text()
    assert id_.startswith("gen-")
    assert body.count(id_) == (body.count("data: {") or 1)


async def test_extra_fields_travel_on(client: openai.AsyncOpenAI, upstream: Upstream) -> None:
    extra = {"safe_prompt": True, "vendor": {"depth": [1, {"a": None}]}}
    await client.chat.completions.create(**ask(), extra_body=extra)
    (body,) = await upstream.bodies()
    assert body.items() >= extra.items()


async def test_the_next_model(client: openai.AsyncOpenAI) -> None:
    extra = {"models": ["test/cut-head", "test/lorem"]}
    completion = await client.chat.completions.create(**ask(model="test/limited"), extra_body=extra)
    assert completion.model == "test/lorem"
    assert completion.choices[0].message.content == TEXT


async def test_the_client_tries_again_by_itself(gateway: Running, upstream: Upstream) -> None:
    """The SDK's own retries, switched on by default, work on what the gateway answers."""
    async with openai.AsyncOpenAI(
        **options(gateway.base_url, gateway.key, max_retries=1)
    ) as client:
        with pytest.raises(openai.RateLimitError) as caught:
            await client.chat.completions.create(**ask(model="test/limited"))
    assert caught.value.response.headers["retry-after"] == "1"
    assert len(await upstream.bodies()) == 4
