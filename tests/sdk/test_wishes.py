"""Routing wishes through OpenRouter's own SDKs, unmodified: Python's `openrouter`, npm's
`@openrouter/sdk`, and `@openrouter/ai-sdk-provider` for the AI SDK.

One table of requests and of who has to answer them; each client says them in its own words.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import pytest
from openrouter import OpenRouter, errors

from proxy.upstream.fake import Scenario
from tests.running import Running, config_text, provider, weir
from tests.sdk.clients import JSONObject
from tests.sdk.test_npm import Do, process
from tests.sdk.test_openrouter import open_client

pytestmark = pytest.mark.sdk

POLICIES: Final = {
    "p0": "trains_on_data = false\nretains_prompts_days = 0\n",
    "p1": "trains_on_data = true\nretains_prompts_days = 30\n",
}


def _endpoint(provider: str, usd: str, model: str = "one", **more: str) -> str:
    """At so many dollars for a million tokens each way."""
    price = f"{float(usd) / 10**6:.9f}"
    said = "".join(f"{name} = {value}\n" for name, value in more.items())
    return (
        f'[[models.endpoints]]\nprovider = "{provider}"\nmodel = "{model}"\n{said}'
        f'pricing = {{ prompt = "{price}", completion = "{price}" }}\n'
    )


MODELS: Final = "".join(
    f'[[models]]\nid = "{id}"\ncontext_length = 32768\n{more}' + "".join(endpoints)
    for id, more, endpoints in (
        (
            "acme/one",
            "distillable = true\n",
            (
                _endpoint("p0", "2", quantization='"fp8"'),
                _endpoint("p1", "1", quantization='"bf16"', supported_parameters='["seed"]'),
                _endpoint("p2", "9", variant='"east"'),
            ),
        ),
        ("acme/two", "", (_endpoint("p1", "0.5", "two"),)),
        ("acme/one:free", "", (_endpoint("p2", "0", "free"),)),
        (
            "acme/tiered",
            "",
            (
                _endpoint("p0", "2", "tiered"),
                _endpoint("p0", "4", "tiered", tier='"priority"'),
                _endpoint("p0", "1", "tiered", tier='"flex"'),
            ),
        ),
        ("acme/chat-4.5", "", (_endpoint("p0", "2", "old"),)),
        ("acme/chat-4.10", "", (_endpoint("p0", "2", "new"),)),
    )
)


class Case(NamedTuple):
    """A request without its messages, and who answers it: the provider's name and the model; or the
    status and what the message has.
    """

    request: JSONObject
    answers: tuple[str, str] | None = None
    refused: tuple[int, str] | None = None


def _to(provider: JSONObject, name: str, **more: Any) -> Case:
    return Case({"model": "acme/one", "provider": provider, **more}, (name, "acme/one"))


CASES: Final[Mapping[str, Case]] = {
    "the cheapest is sorted first": _to({"sort": "price"}, "P1"),
    "a sort by an object": _to({"sort": {"by": "price", "partition": "model"}}, "P1"),
    "an order by slugs": _to({"order": ["p2", "p0"]}, "P2"),
    "an order by tags": _to({"order": ["p2/east"]}, "P2"),
    "an order by display names": _to({"order": ["P0"]}, "P0"),
    "only": _to({"only": ["p2"]}, "P2"),
    "ignore": _to({"ignore": ["p1", "p2"]}, "P0"),
    "no fallbacks": _to({"order": ["p0"], "allow_fallbacks": False}, "P0"),
    "quantizations": _to({"quantizations": ["fp8"]}, "P0"),
    "a ceiling": _to({"max_price": {"prompt": "1.5"}}, "P1"),
    "no data collection": _to({"data_collection": "deny"}, "P0"),
    "zero data retention": _to({"zdr": True}, "P0"),
    "text for distillation": _to({"enforce_distillable_text": True, "sort": "price"}, "P1"),
    "parameters": _to({"require_parameters": True, "sort": "price"}, "P0", top_k=3),
    "preferred speeds": _to(
        {"preferred_min_throughput": 1, "preferred_max_latency": {"p90": 100}, "order": ["p2"]},
        "P2",
    ),
    "fallback models": Case(
        {"model": "acme/one", "models": ["acme/two"], "provider": {"sort": "price"}},
        ("P1", "acme/one"),
    ),
    "all models as one": Case(
        {
            "model": "acme/one",
            "models": ["acme/two"],
            "provider": {"sort": {"by": "price", "partition": "none"}},
        },
        ("P1", "acme/two"),
    ),
    "the floor": Case({"model": "acme/one:floor"}, ("P1", "acme/one")),
    "a free model": Case({"model": "acme/one:free"}, ("P2", "acme/one:free")),
    "the newest of a family": Case({"model": "~acme/chat-latest"}, ("P0", "acme/chat-4.10")),
    "flex": Case({"model": "acme/tiered", "service_tier": "flex"}, ("P0", "acme/tiered")),
    "priority": Case({"model": "acme/tiered", "service_tier": "priority"}, ("P0", "acme/tiered")),
    "the free router": Case({"model": "openrouter/free"}, ("P2", "acme/one:free")),
    "nobody of them": Case(
        {"model": "acme/one", "provider": {"only": ["azure"]}}, refused=(404, "azure")
    ),
    "no such price": Case(
        {"model": "acme/one", "provider": {"max_price": {"prompt": "0.1"}}}, refused=(404, "")
    ),
    "online": Case({"model": "acme/one:online"}, refused=(400, "online")),
    "a plugin": Case({"model": "acme/one", "plugins": [{"id": "web"}]}, refused=(400, "plugins")),
    "no such model": Case({"model": "acme/three"}, refused=(400, "not a valid model ID")),
}

Ask = Callable[[JSONObject, bool], Awaitable[JSONObject]]


@pytest.fixture(scope="module")
def node_do(packages: None) -> Iterator[Do]:
    with process("openrouter.mjs") as run:
        yield run


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Running]:
    """Three providers, which differ in what they charge and in what they do with prompts."""
    async with contextlib.AsyncExitStack() as stack:
        _, url = await stack.enter_async_context(provider(Scenario(models=())))
        text = config_text(tmp_path, url, url, url)
        for slug, policy in POLICIES.items():
            text = text.replace(f'slug = "{slug}"\n', f'slug = "{slug}"\n{policy}')
        yield await stack.enter_async_context(weir(tmp_path, text + MODELS))


def _python(gateway: Running) -> Ask:
    def say(request: JSONObject, stream: bool) -> JSONObject:
        with open_client(gateway.base_url, gateway.key) as client:
            return _said(client, request, stream=stream)

    async def ask(request: JSONObject, stream: bool) -> JSONObject:
        return await asyncio.to_thread(say, request, stream)

    return ask


def _said(client: OpenRouter, request: JSONObject, *, stream: bool) -> JSONObject:
    try:
        answer: Any = client.chat.send(**request, stream=stream)
        if not stream:
            return {"id": answer.id, "text": answer.choices[0].message.content}
        chunks = list(answer)
    except errors.OpenRouterError as error:
        return {"status": error.status_code, "error": json.loads(error.body)["error"]}
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    return {"id": chunks[0].id, "text": text}


def _npm(verb: str, do: Do) -> Callable[[Running], Ask]:
    def made(gateway: Running) -> Ask:
        base = {"verb": verb, "base_url": gateway.base_url, "key": gateway.key}

        async def ask(request: JSONObject, stream: bool) -> JSONObject:
            job = base | {"request": request, "stream": stream}
            answer: JSONObject = await asyncio.to_thread(do, job)
            return answer

        return ask

    return made


CLIENTS: Final = ("openrouter", "@openrouter/sdk", "@openrouter/ai-sdk-provider")


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_every_wish_is_honoured(
    gateway: Running, client: str, stream: bool, request: pytest.FixtureRequest
) -> None:
    if client == "openrouter":
        ask = _python(gateway)
    else:
        verb = "sdk" if client == "@openrouter/sdk" else "ai"
        ask = _npm(verb, request.getfixturevalue("node_do"))(gateway)
    found: dict[str, Any] = {}
    for name, case in CASES.items():
        messages = [{"role": "user", "content": "Say something."}]
        found[name] = await ask({"messages": messages, **case.request}, stream)
    for name, case in CASES.items():
        answer = found[name]
        if case.refused is not None:
            status, words = case.refused
            assert answer.get("status") == status, (name, answer)
            assert words in answer["error"]["message"], name
        else:
            assert answer.get("text"), (name, answer)
            assert await _served(gateway, answer["id"]) == case.answers, name


async def _served(gateway: Running, id: str) -> tuple[str, str]:
    """Who answered, as the record has it."""
    headers = {"authorization": f"Bearer {gateway.key}"}
    deadline = time.monotonic() + 20.0
    async with httpx.AsyncClient(headers=headers) as client:
        while True:  # rows are written behind
            told = await client.get(f"{gateway.base_url}/generation", params={"id": id})
            if told.status_code == 200 or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.01)
    row = told.json()["data"]
    return row["provider_name"], row["model"]


async def test_the_catalogue_is_read(gateway: Running, node_do: Do) -> None:
    job = {"verb": "catalogue", "base_url": gateway.base_url, "key": gateway.key}
    told = await asyncio.to_thread(node_do, job | {"slug": "acme/one", "secret": gateway.key})
    assert {"acme/one", "acme/one:free", "acme/two"} <= set(told["models"])
    assert len(told["models"]) == len(set(told["models"])) == told["count"]
    assert set(told["user"]) <= set(told["models"])
    assert told["one"] == "acme/one"
    assert told["providers"] == ["p0", "p1", "p2"]
    assert told["tags"] == ["p0", "p1", "p2/east"]
    assert set(told["zdr"]) == {"p0", "p0/priority", "p0/flex"}
