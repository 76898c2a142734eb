"""The official npm package `openai` through a running gateway, in one Node process of its own."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import pytest

from tests.running import Running
from tests.sdk.clients import Failure, JSONObject, Outcome
from tests.sdk.scenarios import Scenario, every_scenario
from tests.sdk.script import FORMATTED, RESULTS, TEXT, WEATHER
from tests.sdk.upstreams import Upstream, node
from tests.sdk.world import RESPONSE_FORMAT, TOOLS, World, ask, check_usage

pytestmark = pytest.mark.sdk

Do = Callable[[JSONObject], Any]


@pytest.fixture(scope="session")
def do(packages: None) -> Iterator[Do]:
    """Has the process do a job and returns what came of it; it blocks meanwhile."""
    with node("client.mjs") as started:

        def run(job: JSONObject) -> Any:
            assert started.stdin is not None
            assert started.stdout is not None
            print(json.dumps(job), file=started.stdin, flush=True)
            answer = json.loads(started.stdout.readline())
            assert "bug" not in answer, answer["bug"]
            return answer["ok"]

        yield run


class Node:
    """npm's `openai`."""

    errors: Mapping[int, str] = {
        400: "BadRequestError",
        401: "AuthenticationError",
        429: "RateLimitError",
        502: "InternalServerError",
    }
    broken_stream = "APIError"
    provider_named = True
    do: ClassVar[Do]

    def __init__(self, base_url: str, key: str) -> None:
        self._base = {"base_url": base_url, "key": key}

    async def _do(self, verb: str, **job: Any) -> Any:
        return await asyncio.to_thread(type(self).do, {"verb": verb, **self._base, **job})

    async def models(self) -> list[str]:
        return list(await self._do("models"))

    async def chat(self, request: JSONObject, *, stream: bool) -> Outcome:
        row = await self._do("chat", request=request, stream=stream)
        return Outcome(**row | {"calls": [tuple(call) for call in row["calls"]]})

    async def fail(self, request: JSONObject, *, stream: bool) -> Failure:
        row = await self._do("fail", request=request, stream=stream)
        return Failure(**row | {"code": str(row["code"])})

    async def hang_up(self, request: JSONObject) -> str:
        return str(await self._do("hang_up", request=request))

    async def parse(self, request: JSONObject) -> Any:
        """The structured answer, decoded by the SDK."""
        return await self._do("parse", request=request)

    async def events(self, request: JSONObject) -> list[JSONObject]:
        """The events of a stream."""
        return list(await self._do("events", request=request))

    async def run_tools(self, request: JSONObject, results: Mapping[str, str]) -> str:
        """The last word after the SDK itself called the tools, whose `results` are known."""
        return str(await self._do("run_tools", request=request, results=results))


@pytest.fixture
def client(do: Do) -> type[Node]:
    return type("Node", (Node,), {"do": staticmethod(do)})


@every_scenario
async def test_scenario(
    client: type[Node], scenario: Scenario, gateway: Running, upstream: Upstream
) -> None:
    await scenario.run(World.meet(client, gateway, upstream))


async def test_parse(client: type[Node], gateway: Running) -> None:
    request = ask(FORMATTED, response_format=RESPONSE_FORMAT)
    parsed = await client(gateway.base_url, gateway.key).parse(request)
    assert parsed == WEATHER


@pytest.mark.parametrize("stream", [False, True])
async def test_tools_called_by_the_sdk(client: type[Node], gateway: Running, stream: bool) -> None:
    question = "What are the weather and the time in Oslo? Call both tools."
    request = ask(question, tools=TOOLS, stream=stream)
    said = await client(gateway.base_url, gateway.key).run_tools(request, RESULTS)
    assert said == "The tool said: 4 degrees; noon"


async def test_every_event_of_a_stream(client: type[Node], gateway: Running) -> None:
    chunks = await client(gateway.base_url, gateway.key).events(ask())
    assert {(chunk["model"], chunk["provider"]) for chunk in chunks} == {("test/lorem", "P0")}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks) == TEXT
    assert ["usage" in chunk for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    check_usage(chunks[-1]["usage"])
