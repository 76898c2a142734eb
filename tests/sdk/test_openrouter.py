"""The official Python SDK `openrouter`, whose strict models check every answer's shape."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import pytest
from openrouter import OpenRouter, errors
from openrouter.utils import BackoffStrategy, RetryConfig

from tests.running import Running, eventually
from tests.sdk.clients import Client, Failure, JSONObject, Outcome
from tests.sdk.scenarios import Scenario, every_scenario
from tests.sdk.script import TEXT
from tests.sdk.upstreams import Upstream
from tests.sdk.world import World, ask, check_usage

pytestmark = pytest.mark.sdk

AT_ONCE = RetryConfig("none", BackoffStrategy(1, 1, 1, 1), False)


def open_client(base_url: str, key: str) -> OpenRouter:
    return OpenRouter(api_key=key, server_url=base_url, retry_config=AT_ONCE, timeout_ms=20_000)


def outcome(result: Any) -> Outcome:
    """A whole answer."""
    dumped = result.model_dump(by_alias=True)
    (choice,) = dumped["choices"]
    return _outcome(dumped, choice["message"], choice["finish_reason"])


def joined(chunks: Iterable[Any]) -> Outcome:
    """A stream, put together as a caller of this SDK has to do it."""
    rows = [chunk.model_dump(by_alias=True) for chunk in chunks]
    message: JSONObject = {"role": "assistant", "content": "", "reasoning": "", "tool_calls": []}
    finish_reason = ""
    for row in rows:
        (choice,) = row["choices"]
        delta = choice["delta"]
        assert delta["role"] == "assistant"
        message["content"] += delta["content"] or ""
        message["reasoning"] += delta.get("reasoning") or ""
        for piece in delta.get("tool_calls") or ():
            if piece["index"] == len(message["tool_calls"]):
                message["tool_calls"].append(
                    {"id": piece["id"], "type": "function", "function": piece["function"]}
                )
            else:
                call = message["tool_calls"][piece["index"]]
                call["function"]["arguments"] += piece["function"]["arguments"]
        finish_reason = choice["finish_reason"] or finish_reason
    assert len({row["id"] for row in rows}) == 1
    assert not any("usage" in row for row in rows[:-1])
    return _outcome(rows[-1], {k: v for k, v in message.items() if v}, finish_reason)


def _outcome(row: JSONObject, message: JSONObject, finish_reason: str) -> Outcome:
    return Outcome(
        id=row["id"],
        model=row["model"],
        provider=None,
        text=message.get("content") or "",
        reasoning=message.get("reasoning") or "",
        calls=[
            (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in message.get("tool_calls") or ()
        ],
        finish_reason=finish_reason,
        usage=row["usage"],
        message=message,
    )


def refused(error: errors.OpenRouterError) -> Failure:
    detail = error.data.error  # type: ignore[attr-defined]
    return Failure(
        type(error).__name__, error.status_code, str(detail.code), detail.message, said=""
    )


def broken(chunk: Any, said: str) -> Failure:
    """This SDK hands an error inside a stream to its caller as a field of the event."""
    assert chunk.choices[0].finish_reason == "error"
    return Failure(
        type(chunk.error).__name__, None, str(chunk.error.code), chunk.error.message, said
    )


class Common:
    errors: Mapping[int, str] = {
        400: "BadRequestResponseError",
        401: "UnauthorizedResponseError",
        429: "TooManyRequestsResponseError",
        502: "BadGatewayResponseError",
    }
    broken_stream = "ChatStreamChunkError"
    provider_named = False

    def __init__(self, base_url: str, key: str) -> None:
        self._where = (base_url, key)

    def _open(self) -> OpenRouter:
        return open_client(*self._where)


class Synchronous(Common):
    """The methods that block, each on a thread."""

    async def models(self) -> list[str]:
        def run() -> list[str]:
            with self._open() as client:
                page = client.models.list()
                assert page is not None
                return [model.id for model in page.result.data]

        return await asyncio.to_thread(run)

    async def chat(self, request: JSONObject, *, stream: bool) -> Outcome:
        def run() -> Outcome:
            with self._open() as client:
                if not stream:
                    return outcome(client.chat.send(**request))
                with client.chat.send(**request, stream=True) as events:
                    return joined(events)

        return await asyncio.to_thread(run)

    async def fail(self, request: JSONObject, *, stream: bool) -> Failure:
        def run() -> Failure:
            said = ""
            with self._open() as client:
                try:
                    answer: Any = client.chat.send(**request, stream=stream)
                except errors.OpenRouterError as error:
                    return refused(error)
                for chunk in answer if stream else ():
                    if chunk.error:
                        return broken(chunk, said)
                    said += chunk.choices[0].delta.content or ""
            raise AssertionError("no error came")

        return await asyncio.to_thread(run)

    async def hang_up(self, request: JSONObject) -> str:
        def run() -> str:
            with self._open() as client, client.chat.send(**request, stream=True) as events:
                for chunk in events:
                    if said := chunk.choices[0].delta.content:
                        return str(said)
            raise AssertionError("no content came")

        return await asyncio.to_thread(run)


class Asynchronous(Common):
    """The methods that end with `_async`."""

    async def models(self) -> list[str]:
        async with self._open() as client:
            page = await client.models.list_async()
        assert page is not None
        return [model.id for model in page.result.data]

    async def chat(self, request: JSONObject, *, stream: bool) -> Outcome:
        async with self._open() as client:
            if not stream:
                return outcome(await client.chat.send_async(**request))
            async with await client.chat.send_async(**request, stream=True) as events:
                return joined([chunk async for chunk in events])

    async def fail(self, request: JSONObject, *, stream: bool) -> Failure:
        said = ""
        async with self._open() as client:
            try:
                answer: Any = await client.chat.send_async(**request, stream=stream)
            except errors.OpenRouterError as error:
                return refused(error)
            if stream:
                async for chunk in answer:
                    if chunk.error:
                        return broken(chunk, said)
                    said += chunk.choices[0].delta.content or ""
        raise AssertionError("no error came")

    async def hang_up(self, request: JSONObject) -> str:
        async with (
            self._open() as client,
            await client.chat.send_async(**request, stream=True) as events,
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


@pytest.fixture
async def client(gateway: Running) -> AsyncIterator[OpenRouter]:
    async with open_client(gateway.base_url, gateway.key) as client:
        yield client


@pytest.mark.parametrize("stream", [False, True])
async def test_the_generation(client: OpenRouter, stream: bool) -> None:
    answer: Any = await client.chat.send_async(**ask(), stream=stream)
    whole = joined([chunk async for chunk in answer]) if stream else outcome(answer)

    async def recorded() -> bool:
        try:
            await client.generations.get_generation_async(id=whole.id)
        except errors.NotFoundResponseError:
            return False
        return True

    await eventually(recorded)  # the row is written behind the answer
    row = (await client.generations.get_generation_async(id=whole.id)).data
    assert (row.id, row.model, row.provider_name) == (whole.id, "test/lorem", "P0")
    assert (row.streamed, row.finish_reason, row.cancelled) == (stream, "stop", False)
    assert row.tokens_prompt == whole.usage["prompt_tokens"]
    assert row.tokens_completion == whole.usage["completion_tokens"]
    assert row.total_cost == pytest.approx(whole.usage["cost"])


async def test_a_generation_that_never_was(client: OpenRouter) -> None:
    with pytest.raises(errors.NotFoundResponseError):
        await client.generations.get_generation_async(id="gen-0-nothing")


@pytest.mark.filterwarnings("ignore:.*DEPRECATED:DeprecationWarning")  # fields the SDK insists on
async def test_the_key(client: OpenRouter, gateway: Running) -> None:
    before = (await client.api_keys.get_current_key_metadata_async()).data
    assert before.label.startswith("sk-or-v1-")
    assert gateway.key not in before.label
    assert (before.usage, before.limit, before.is_management_key) == (0, None, False)
    whole = outcome(await client.chat.send_async(**ask()))

    async def charged() -> bool:
        key = (await client.api_keys.get_current_key_metadata_async()).data
        return key.usage == pytest.approx(whole.usage["cost"])

    await eventually(charged)


async def test_the_key_of_nobody(gateway: Running) -> None:
    async with open_client(gateway.base_url, "sk-or-v1-nobody") as stranger:
        with pytest.raises(errors.UnauthorizedResponseError):
            await stranger.api_keys.get_current_key_metadata_async()


async def test_the_catalogue(client: OpenRouter) -> None:
    page = await client.models.list_async()
    assert page is not None
    models = {model.id: model for model in page.result.data}
    assert models["test/lorem"].pricing.prompt == "0.000001"
    assert models["test/lorem"].context_length == 32768
    assert (await client.models.count_async()).data.count == len(models)
    endpoints = (await client.endpoints.list_async(author="test", slug="limited")).data
    assert endpoints.id == "test/limited"
    assert [endpoint.provider_name for endpoint in endpoints.endpoints] == ["P0", "P1"]
    prices = [endpoint.pricing.completion for endpoint in endpoints.endpoints]
    assert prices == ["0.000002", "0.2"]
    providers = (await client.providers.list_async()).data
    assert [(provider.slug, provider.name) for provider in providers] == [
        ("p0", "P0"),
        ("p1", "P1"),
    ]


async def test_the_catalogue_in_pages(client: OpenRouter) -> None:
    ids: list[str] = []
    page: Any = await client.models.list_async(limit=3)
    while page is not None:
        ids += [model.id for model in page.result.data]
        page = await page.next()
    assert len(ids) == len(set(ids)) == (await client.models.count_async()).data.count


async def test_no_such_model_has_no_endpoints(client: OpenRouter) -> None:
    with pytest.raises(errors.NotFoundResponseError):
        await client.endpoints.list_async(author="test", slug="nothing")


async def test_wishes_of_this_sdk(client: OpenRouter, upstream: Upstream) -> None:
    """A second model, a session, reasoning by effort: what only OpenRouter's clients send."""
    result = await client.chat.send_async(
        **ask(model="test/limited"),
        models=["test/lorem"],
        reasoning={"effort": "low"},
        session_id="s-1",
        user="u-1",
        metadata={"a": "b"},
        provider={"allow_fallbacks": True},
        http_referer="https://app.example",
    )
    assert result.model == "test/lorem"
    assert outcome(result).text == TEXT
    body = (await upstream.bodies())[-1]
    assert "models" not in body
    assert "provider" not in body
    assert body["user"] == "u-1"
    assert "metadata" not in body  # OpenAI takes it only of what it is to store
    check_usage(outcome(result).usage)
