"""The scenarios in OpenAI's Responses, by the official `openai` of Python, over every dialect."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Literal

import aiohttp
import openai
import pytest
from _pytest.mark import ParameterSet
from openrouter.errors import OpenRouterError
from pydantic import BaseModel

from tests.order import listen
from tests.running import Running
from tests.sdk.clients import Client, Failure, JSONObject, Outcome
from tests.sdk.dialects import DIALECTS
from tests.sdk.scenarios import PIXEL, SCENARIOS, Scenario
from tests.sdk.script import ARGUMENTS, FORMATTED, QUESTION, RESULTS, TEXT, THOUGHT, WEATHER
from tests.sdk.test_openai import options
from tests.sdk.test_openrouter import open_client
from tests.sdk.upstreams import LACKS, Spoken, Upstream
from tests.sdk.world import TOOLS, World

pytestmark = pytest.mark.sdk

CODES = {"rate_limit_exceeded": "429", "invalid_prompt": "400", "server_error": "502"}
FINISH = {"max_output_tokens": "length", "content_filter": "content_filter"}
PARTS = {"text": "input_text", "image_url": "input_image"}


def said(request: JSONObject) -> JSONObject:
    """A scenario's request in the words of Responses."""
    same = ("model", "tool_choice", "parallel_tool_calls")
    asked: JSONObject = {name: request[name] for name in same if name in request}
    asked["input"] = [item for message in request["messages"] for item in items_of(message)]
    if "tools" in request:
        asked["tools"] = [{"type": "function", **tool["function"]} for tool in request["tools"]]
    if "max_tokens" in request:
        asked["max_output_tokens"] = request["max_tokens"]
    if "reasoning_effort" in request:
        asked["reasoning"] = {"effort": request["reasoning_effort"], "summary": "auto"}
    if "response_format" in request:
        schema = request["response_format"]["json_schema"]
        asked["text"] = {"format": {"type": "json_schema", **schema}}
    return asked


def items_of(message: JSONObject) -> list[JSONObject]:
    if message["role"] == "tool":
        result = {"call_id": message["tool_call_id"], "output": message["content"]}
        return [{"type": "function_call_output", **result}]
    if message["role"] == "assistant":
        items: list[JSONObject] = message["items"]
        return items
    content = message["content"]
    if not isinstance(content, str):
        content = [
            {"type": "input_text", "text": part["text"]}
            if part["type"] == "text"
            else {"type": "input_image", "detail": "auto"}
            | {key: value for key, value in part["image_url"].items() if key != "url"}
            | {"image_url": part["image_url"]["url"]}
            for part in content
        ]
    return [{"role": "user", "content": content}]


def outcome(response: Any) -> Outcome:
    """What the SDK understood."""
    told = response.model_dump(exclude_none=True)
    usage, costs = told["usage"], told["usage"]["cost_details"]
    thoughts = [item for item in told["output"] if item["type"] == "reasoning"]
    calls = [
        (item["call_id"], item["name"], json.loads(item["arguments"]))
        for item in told["output"]
        if item["type"] == "function_call"
    ]
    cut = {"reason": "max_output_tokens"} if told["status"] == "incomplete" else {}
    details = told.get("incomplete_details") or cut  # aimock tells none
    return Outcome(
        id=response.id,
        model=response.model,
        provider=None,
        text=response.output_text,
        reasoning="".join(
            part["text"] for one in thoughts for part in one.get("content") or one["summary"]
        ),
        calls=calls,
        finish_reason=FINISH.get(str(details.get("reason")), "tool_calls" if calls else "stop"),
        usage={
            "prompt_tokens": usage["input_tokens"],
            "completion_tokens": usage["output_tokens"],
            "total_tokens": usage["total_tokens"],
            "cost": usage["cost"],
            "is_byok": usage["is_byok"],
            "cost_details": {
                "upstream_inference_cost": costs["upstream_inference_cost"],
                "upstream_inference_prompt_cost": costs["upstream_inference_input_cost"],
                "upstream_inference_completions_cost": costs["upstream_inference_output_cost"],
            },
        },
        message={
            "role": "assistant",
            "items": [sendable(item) for item in told["output"]],
            "reasoning_details": [
                {"data": one["encrypted_content"]} for one in thoughts if "encrypted_content" in one
            ],
        },
    )


def sendable(item: JSONObject) -> JSONObject:
    """An item as the strictest clients send it back: in OpenAI's own fields, and no others."""
    ours = ("format", "signature", "content") if item["type"] == "reasoning" else ()
    gone = (*ours, "status", "parsed_arguments")
    return {name: value for name, value in item.items() if name not in gone}


def failure(error: openai.APIStatusError, text: str) -> Failure:
    code = CODES[str(error.code)]
    return Failure(type(error).__name__, error.status_code, code, error.message, text)


class Hearer:
    """Events of a stream, until it fails."""

    def __init__(self) -> None:
        self.text = ""
        self.response: Any = None
        self.failure: Failure | None = None

    def hear(self, event: Any) -> None:
        if event.type == "response.output_text.delta":
            self.text += event.delta
        self.response = getattr(event, "response", self.response)
        if event.type == "response.failed":
            error = event.response.error
            code = CODES[error.code]
            self.failure = Failure("response.failed", None, code, error.message, self.text)

    def outcome(self) -> Outcome:
        told = outcome(self.response)
        assert told.text == self.text
        return told

    def fault(self) -> Failure:
        assert self.failure is not None, "no error came"
        return self.failure


class Common:
    errors: Mapping[int, str] = {
        400: "BadRequestError",
        401: "AuthenticationError",
        429: "RateLimitError",
        502: "InternalServerError",
    }
    broken_stream = "response.failed"
    provider_named = False

    def __init__(self, base_url: str, key: str) -> None:
        self._options: JSONObject = options(base_url, key)


class Asynchronous(Common):
    """`openai.AsyncOpenAI`."""

    def _open(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(**self._options)

    async def models(self) -> list[str]:
        async with self._open() as client:
            return [model.id async for model in client.models.list()]

    async def chat(self, request: JSONObject, *, stream: bool) -> Outcome:
        hearer = Hearer()
        async with self._open() as client:
            if not stream:
                return outcome(await client.responses.create(**said(request)))
            async with client.responses.stream(**said(request)) as events:
                async for event in events:
                    hearer.hear(event)
        return hearer.outcome()

    async def fail(self, request: JSONObject, *, stream: bool) -> Failure:
        hearer = Hearer()
        async with self._open() as client:
            try:
                answer: Any = await client.responses.create(**said(request), stream=stream)
                if stream:
                    async for event in answer:
                        hearer.hear(event)
            except openai.APIStatusError as error:
                return failure(error, hearer.text)
        return hearer.fault()

    async def hang_up(self, request: JSONObject) -> str:
        async with (
            self._open() as client,
            await client.responses.create(**said(request), stream=True) as events,
        ):
            async for event in events:
                if event.type == "response.output_text.delta":
                    return event.delta
        raise AssertionError("no content came")


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
            hearer = Hearer()
            with self._open() as client:
                if not stream:
                    return outcome(client.responses.create(**said(request)))
                with client.responses.stream(**said(request)) as events:
                    for event in events:
                        hearer.hear(event)
            return hearer.outcome()

        return await asyncio.to_thread(run)

    async def fail(self, request: JSONObject, *, stream: bool) -> Failure:
        def run() -> Failure:
            hearer = Hearer()
            with self._open() as client:
                try:
                    answer: Any = client.responses.create(**said(request), stream=stream)
                    for event in answer if stream else ():
                        hearer.hear(event)
                except openai.APIStatusError as error:
                    return failure(error, hearer.text)
            return hearer.fault()

        return await asyncio.to_thread(run)

    async def hang_up(self, request: JSONObject) -> str:
        def run() -> str:
            with (
                self._open() as client,
                client.responses.create(**said(request), stream=True) as events,
            ):
                for event in events:
                    if event.type == "response.output_text.delta":
                        return event.delta
            raise AssertionError("no content came")

        return await asyncio.to_thread(run)


AT_HOME = "responses"
SYNCHRONOUS = ("reasoning-whole", "parallel_tools-streamed", "bad_key-streamed", "hang_up")
ABROAD = (
    "length-streamed", "reasoning-whole", "reasoning-streamed", "thoughtful_tools",
    "parallel_tools-whole", "parallel_tools-streamed", "structured-whole", "pictures-streamed",
    "everywhere_limited-streamed", "death_in_the_middle",
)  # fmt: skip
"""What a dialect may have an influence on, here; `test_callers` asks all of aimock."""


def _rows() -> Iterator[ParameterSet]:
    for dialect in DIALECTS:
        for scenario in SCENARIOS:
            clients: list[type[Client]] = []
            if dialect == AT_HOME or scenario.name in ABROAD:
                clients.append(Asynchronous)
            if dialect == AT_HOME and scenario.name in SYNCHRONOUS:
                clients.append(Synchronous)
            for client in clients:
                spoken = Spoken("fake", dialect)
                assert (spoken, scenario.name) not in LACKS
                id_ = "-".join((dialect, client.__name__, scenario.name))
                yield pytest.param(spoken, client, scenario, id=id_)


@pytest.mark.parametrize(("upstream", "client", "scenario"), list(_rows()), indirect=["upstream"])
async def test_scenario(
    client: type[Client], scenario: Scenario, gateway: Running, upstream: Upstream
) -> None:
    await scenario.run(World.meet(client, gateway, upstream))


@pytest.fixture
async def client(gateway: Running) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(**options(gateway.base_url, gateway.key)) as client:
        yield client


@pytest.mark.parametrize("upstream", [Spoken("fake", "responses"), "fake"], indirect=True)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_context_that_is_too_long_ends_the_answer(
    client: openai.AsyncOpenAI, upstream: Upstream, stream: bool
) -> None:
    """It is no error here; nobody is charged, and no other endpoint would have had more room."""
    request: Any = {"model": "test/too-long", "input": QUESTION}
    if stream:
        hearer = Hearer()
        async for event in await client.responses.create(**request, stream=True):
            hearer.hear(event)
        response = hearer.response
    else:
        response = await client.responses.create(**request)
    assert (response.status, response.output) == ("incomplete", [])
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.usage.cost == 0
    assert len(await upstream.bodies()) == 1


every_dialect = pytest.mark.parametrize(
    "upstream", [Spoken("fake", dialect) for dialect in DIALECTS], indirect=True,
    ids=list(DIALECTS),
)  # fmt: skip


class Weather(BaseModel):
    city: Literal["Oslo"]
    degrees: int
    sky: Literal["clear", "cloudy"]


@every_dialect
async def test_parse(client: openai.AsyncOpenAI) -> None:
    request: Any = {"model": "test/lorem", "input": FORMATTED, "text_format": Weather}
    assert (await client.responses.parse(**request)).output_parsed == Weather.model_validate(
        WEATHER
    )
    async with client.responses.stream(**request) as events:
        assert (await events.get_final_response()).output_parsed == Weather.model_validate(WEATHER)


@every_dialect
async def test_every_event_is_in_order(gateway: Running, upstream: Upstream) -> None:
    question = "What are the weather and the time in Oslo? Call both tools."
    tools = [{"type": "function", **tool["function"]} for tool in TOOLS]
    request = {"model": "test/reason", "input": question, "tools": tools, "stream": True}
    headers = {"Authorization": f"Bearer {gateway.key}"}
    url = f"{gateway.base_url}/responses"
    wish = {"reasoning": {"effort": "medium"}}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(url, json=request | wish) as answer,
    ):
        assert answer.headers["content-type"] == "text/event-stream"
        id_, body = answer.headers["x-generation-id"], await answer.read()
    if upstream.dialect == "responses":
        assert body.count(b"event: ") == body.count(b"data: {")
        body = b"\n".join(line for line in body.split(b"\n") if not line.startswith(b"event: "))
    else:
        assert b"event: " not in body
    response = listen(body)
    assert response["id"] == id_
    calls = [item for item in response["output"] if item["type"] == "function_call"]
    assert {call["name"]: json.loads(call["arguments"]) for call in calls} == ARGUMENTS


@pytest.mark.parametrize(
    "upstream",
    [
        Spoken("fake", dialect)
        for dialect in ("anthropic", "gemini", "vertex", "bedrock", "responses")
    ],
    indirect=True,
)
@pytest.mark.parametrize("stream", [False, True])
async def test_thoughts_come_back_to_who_had_them(
    client: openai.AsyncOpenAI, upstream: Upstream, stream: bool
) -> None:
    """Signed or encrypted, as they were, though this caller knows nothing but OpenAI's fields."""
    tools: Any = [{"type": "function", **tool["function"]} for tool in TOOLS]
    request: Any = {"model": "test/reason", "tools": tools, "reasoning": {"effort": "medium"}}
    turns: list[Any] = [{"role": "user", "content": "weather and the time, both tools"}]
    if stream:
        async with client.responses.stream(**request, input=turns) as events:
            response: Any = await events.get_final_response()
    else:
        response = await client.responses.create(**request, input=turns)
    items = [sendable(item) for item in response.model_dump(exclude_none=True)["output"]]
    assert any("encrypted_content" in item for item in items)
    turns += items
    for item in items:
        if item["type"] == "function_call":
            result = {"call_id": item["call_id"], "output": RESULTS[item["name"]]}
            turns.append({"type": "function_call_output", **result})
    told = await client.responses.create(**request, input=turns)
    assert told.output_text.startswith("The tool said")
    assert (await upstream.asked())[1].thoughts > 0
    sealed = [item["encrypted_content"] for item in items if "encrypted_content" in item]
    if upstream.dialect == "responses":
        body = (await upstream.bodies())[1]
        assert [
            item["encrypted_content"] for item in body["input"] if "encrypted_content" in item
        ] == sealed


@every_dialect
async def test_files(client: openai.AsyncOpenAI, upstream: Upstream) -> None:
    """A picture and a paper; who reads no papers is told what is in it."""
    parts: Any = [
        {"type": "input_text", "text": QUESTION},
        {"type": "input_image", "image_url": PIXEL, "detail": "low"},
        {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,SGVsbG8="},
    ]
    turn: Any = {"role": "user", "content": parts}
    response = await client.responses.create(model="test/lorem", input=[turn])
    assert response.status == "completed"
    (asked,) = await upstream.asked()
    assert asked.images[0] == PIXEL


@every_dialect
async def test_a_tool_that_takes_free_text_is_known_everywhere(
    client: openai.AsyncOpenAI, upstream: Upstream
) -> None:
    tool: Any = {"type": "custom", "name": "patch", "description": "Change a file"}
    turns: Any = [
        {"role": "user", "content": QUESTION},
        {"type": "custom_tool_call", "call_id": "call_1", "name": "patch", "input": "*** Begin"},
        {"type": "custom_tool_call_output", "call_id": "call_1", "output": "done"},
    ]
    response = await client.responses.create(model="test/lorem", input=turns, tools=[tool])
    assert response.status == "completed"
    if upstream.dialect != "responses":  # who is asked in these very words, and has its own answer
        assert response.output_text == "The tool said: done"


@pytest.mark.parametrize(
    "more",
    [{"store": True}, {"previous_response_id": "resp_1"}, {"background": True}],
    ids=lambda more: next(iter(more)),
)
@pytest.mark.parametrize("upstream", ["fake"], indirect=True)
async def test_nothing_is_stored(
    client: openai.AsyncOpenAI, upstream: Upstream, more: JSONObject
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(model="test/lorem", input="hi", **more)
    assert caught.value.code == "invalid_prompt"
    assert next(iter(more)) in caught.value.message
    assert await upstream.bodies() == []


@pytest.mark.parametrize("upstream", ["fake"], indirect=True)
async def test_the_reasoning_of_another_is_not_sent_to_openai(
    client: openai.AsyncOpenAI, upstream: Upstream
) -> None:
    response = await client.responses.create(
        model="test/reason", input=QUESTION, reasoning={"effort": "low"}
    )
    assert response.output_text == TEXT
    (thought, _) = response.output
    assert thought.type == "reasoning"
    assert thought.content is not None
    assert thought.content[0].text == THOUGHT


@every_dialect
async def test_openrouters_own_sdk(gateway: Running, upstream: Upstream) -> None:
    """Its types are strict for answers. Its types of errors are those of chats; what OpenRouter's
    pages tell of errors here, and so we, is an error to it all the same.
    """
    async with open_client(gateway.base_url, gateway.key) as sdk:
        request: Any = {"model": "test/reason", "input": QUESTION, "reasoning": {"effort": "low"}}
        whole: Any = await sdk.responses.send_async(**request)
        (message,) = [item for item in whole.output if item.type == "message"]
        assert (message.content[0].text, whole.status) == (TEXT, "completed")
        text = ""
        async with await sdk.responses.send_async(**request, stream=True) as events:
            async for event in events:
                text += event.delta if event.type == "response.output_text.delta" else ""
        assert text == TEXT
        with pytest.raises(OpenRouterError) as caught:
            await sdk.responses.send_async(model="test/nothing", input=QUESTION)
        assert caught.value.status_code == 400
