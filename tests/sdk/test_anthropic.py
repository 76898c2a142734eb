"""The official Python SDK `anthropic`, both of its kinds, before providers of every dialect.

Each test ends with the ledger verified and nothing open.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import anthropic
import pytest
from anthropic.types import Message

from proxy.accounts.keys import fingerprint
from tests.calling import Calls, calling
from tests.running import TIMES_DEARER, Running, eventually, mint_key, serving
from tests.sdk.dialects import DIALECTS
from tests.sdk.scenarios import PICTURE, PIXEL, _show
from tests.sdk.script import (
    ARGUMENTS,
    FORMATTED,
    PICTURES,
    QUESTION,
    RESULTS,
    SEEN,
    SHORT,
    SHORT_TOKENS,
    TEXT,
    THOUGHT,
    WEATHER,
)
from tests.sdk.upstreams import KINDS, LACKS, FakeUpstream, Spoken, Upstream
from tests.sdk.world import SCHEMA, tool

pytestmark = pytest.mark.sdk

JSONObject = dict[str, Any]
COUNTING = ("anthropic", "gemini", "vertex", "bedrock")
NAMES = list(ARGUMENTS)
BOTH = "What are the weather and the time in Oslo? Call both tools."
TOOLS = [{"name": name, "input_schema": tool(name)["function"]["parameters"]} for name in ARGUMENTS]
PDF = base64.b64encode(b"%PDF-1.4 and what follows").decode()

every_dialect = pytest.mark.parametrize(
    "upstream", [Spoken("fake", dialect) for dialect in DIALECTS], indirect=True, ids=list(DIALECTS)
)


def at(*dialects: str) -> pytest.MarkDecorator:
    """With providers of these dialects alone."""
    spoken = [Spoken("fake", dialect) for dialect in dialects]
    return pytest.mark.parametrize("upstream", spoken, indirect=True, ids=dialects)


class Way(NamedTuple):
    """How the SDK is used."""

    name: str
    ask: Callable[[JSONObject, JSONObject], Awaitable[Message]]
    stream: bool


async def _whole(options: JSONObject, request: JSONObject) -> Message:
    async with anthropic.AsyncAnthropic(**options) as client:
        message: Message = await client.messages.create(**request)
        return message


async def _streamed(options: JSONObject, request: JSONObject) -> Message:
    async with (
        anthropic.AsyncAnthropic(**options) as client,
        client.messages.stream(**request) as events,
    ):
        return await events.get_final_message()


async def _whole_blocking(options: JSONObject, request: JSONObject) -> Message:
    def run() -> Message:
        with anthropic.Anthropic(**options) as client:
            message: Message = client.messages.create(**request)
            return message

    return await asyncio.to_thread(run)


async def _streamed_blocking(options: JSONObject, request: JSONObject) -> Message:
    def run() -> Message:
        with anthropic.Anthropic(**options) as client, client.messages.stream(**request) as events:
            return events.get_final_message()

    return await asyncio.to_thread(run)


WAYS = (
    Way("whole", _whole, False),
    Way("streamed", _streamed, True),
    Way("whole-blocking", _whole_blocking, False),
    Way("streamed-blocking", _streamed_blocking, True),
)
blocking = pytest.mark.parametrize("way", WAYS[2:], ids=[way.name for way in WAYS[2:]])
both = pytest.mark.parametrize("way", WAYS[:2], ids=["whole", "streamed"])


def by_turns(*dialects: str, kinds: tuple[str, ...] = ("fake",)) -> pytest.MarkDecorator:
    """Each of these providers once, every other one streamed; where there are two of a dialect,
    one of them. What each dialect does both ways is `test_a_message`'s.
    """
    pairs = [
        (Spoken(kind, dialect), WAYS[(number + kinds.index(kind)) % 2])
        for number, dialect in enumerate(dialects or DIALECTS)
        for kind in kinds
        if (Spoken(kind, dialect), "thoughtful_tools") not in LACKS
    ]
    names = ["-".join((*spoken, way.name)) for spoken, way in pairs]
    return pytest.mark.parametrize(("upstream", "way"), pairs, indirect=["upstream"], ids=names)


class Place(NamedTuple):
    """A gateway before providers of one dialect."""

    options: JSONObject
    gateway: Running
    upstream: Upstream
    calls: Calls

    async def ask(self, way: Way, text: Any = QUESTION, **more: Any) -> Message:
        return await way.ask(self.options, request(text, **more))

    async def charged(self) -> list[int | None]:
        """What the requests so far were charged, in nano-dollars."""
        await eventually(lambda: not any(self.calls.open_now().values()))
        return [row.cost_nano for row in self.calls.rows.values()]


@pytest.fixture
async def place(gateway: Running, upstream: Upstream) -> AsyncIterator[Place]:
    options = {
        "base_url": f"{gateway.url}/api",
        "api_key": gateway.key,
        "max_retries": 0,
        "timeout": 20,
    }
    async with calling(gateway) as calls:
        yield Place(options, gateway, upstream, calls)


def request(content: Any = QUESTION, **more: Any) -> JSONObject:
    said = [{"role": "user", "content": content}]
    return {"model": "test/lorem", "max_tokens": 4000, "messages": said, **more}


def text_of(message: Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


@at("anthropic", "openai")
@blocking
async def test_a_message_by_the_synchronous_client(place: Place, way: Way) -> None:
    assert text_of(await place.ask(way)) == TEXT
    calls = (await place.ask(way, BOTH, tools=TOOLS)).content
    assert [one.input for one in calls if one.type == "tool_use"] == list(ARGUMENTS.values())
    with pytest.raises(anthropic.RateLimitError):
        await place.ask(way, model="test/limited")


@every_dialect
@both
async def test_a_message(place: Place, way: Way) -> None:
    message = await place.ask(way, system="Be brief.")
    assert text_of(message) == TEXT
    assert (message.stop_reason, message.model, message.role) == (
        "end_turn",
        "test/lorem",
        "assistant",
    )
    assert message.model_extra is not None
    assert message.model_extra["provider"] == "P0"
    own = place.upstream.dialect == "anthropic"
    assert message.id.startswith("msg_" if own else "gen-")
    usage = message.usage
    assert (usage.input_tokens, usage.output_tokens) == (7, 32)
    assert (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (0, 0)
    (charged,) = await place.charged()
    assert charged == 7 * 1000 + 32 * 2000
    if not way.stream:  # this SDK keeps of the last event only what it knows
        assert usage.model_dump()["cost"] == pytest.approx(charged / 1e9)
    (asked,) = await place.upstream.asked()
    assert asked.stream == way.stream
    assert asked.model == DIALECTS[place.upstream.dialect].model("lorem")


@by_turns(kinds=KINDS)
async def test_parallel_tools_with_thoughts(place: Place, way: Way) -> None:
    """What it thought and called goes back as the SDK dumps it, and its provider knows it again."""
    thinking = {"type": "enabled", "budget_tokens": 2000}
    more: JSONObject = {"model": "test/reason", "tools": TOOLS, "thinking": thinking}
    first = await place.ask(way, BOTH, **more)
    assert first.stop_reason == "tool_use"
    thoughts = [block for block in first.content if block.type == "thinking"]
    thought = "".join(block.thinking for block in thoughts)
    assert thought.partition("about")[0] == THOUGHT.partition("about")[0]
    assert all(block.signature for block in thoughts)
    calls = [block for block in first.content if block.type == "tool_use"]
    assert [(call.name, call.input) for call in calls] == list(ARGUMENTS.items())
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": RESULTS[call.name]}
        for call in calls
    ]
    said = [
        {"role": "user", "content": BOTH},
        {"role": "assistant", "content": [one.to_dict(mode="json") for one in first.content]},
        {"role": "user", "content": results},
    ]
    told = await way.ask(place.options, request(**more) | {"messages": said})
    assert text_of(told) == "The tool said: " + "; ".join(RESULTS[name] for name in NAMES)
    _, seen = await place.upstream.asked()
    assert [name for _, name in seen.calls] == NAMES
    assert seen.results == [RESULTS[name] for name in NAMES]
    signs = ("anthropic", "gemini", "bedrock", "responses", "cohere")
    if place.upstream.dialect in signs and isinstance(place.upstream, FakeUpstream):
        assert seen.thoughts > 0
    assert len(await place.charged()) == 2


@by_turns()
async def test_one_tool(place: Place, way: Way) -> None:
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    told = await place.ask(way, "What is the weather in Oslo?", tools=TOOLS[:1], tool_choice=choice)
    call = told.content[-1]  # Cohere says what it plans before
    assert call.type == "tool_use"
    assert (call.name, call.input) == ("get_weather", ARGUMENTS["get_weather"])


@by_turns()
async def test_a_limit(place: Place, way: Way) -> None:
    message = await place.ask(way, "Be short", max_tokens=SHORT_TOKENS)
    assert (text_of(message), message.stop_reason) == (SHORT, "max_tokens")
    assert (await place.upstream.asked())[0].max_tokens == SHORT_TOKENS


@by_turns()
async def test_a_schema(place: Place, way: Way) -> None:
    format_ = {"type": "json_schema", "schema": SCHEMA}
    message = await place.ask(way, FORMATTED, output_config={"format": format_})
    assert json.loads(text_of(message)) == WEATHER
    assert (await place.upstream.asked())[0].schema == SCHEMA


@by_turns()
async def test_pictures(place: Place, way: Way) -> None:
    """Who does not fetch pictures is sent what the gateway has fetched."""
    async with serving(_show) as site:
        url = f"{site}/weir.jpg"
        inline = {"type": "base64", "media_type": "image/png", "data": PIXEL.partition(",")[2]}
        parts = [
            {"type": "text", "text": PICTURES},
            {"type": "image", "source": inline},
            {"type": "image", "source": {"type": "url", "url": url}},
        ]
        assert text_of(await place.ask(way, parts)) == SEEN
    (asked,) = await place.upstream.asked()
    fetched = "data:image/jpeg;base64," + base64.b64encode(PICTURE).decode()
    assert [fetched if one == url else one for one in asked.images] == [PIXEL, fetched]


@by_turns("anthropic", "openai", "gemini", "bedrock", "responses")
async def test_a_pdf(place: Place, way: Way) -> None:
    source = {"type": "base64", "media_type": "application/pdf", "data": PDF}
    parts = [
        {"type": "document", "source": source, "title": "Paper"},
        {"type": "text", "text": QUESTION},
    ]
    assert text_of(await place.ask(way, parts)).endswith(TEXT)
    (body,) = await place.upstream.bodies()
    assert PDF in json.dumps(body)


@by_turns("anthropic", "bedrock")
async def test_marks_for_caches(place: Place, way: Way) -> None:
    mark = {"type": "ephemeral", "ttl": "1h"}
    system = [{"type": "text", "text": "Be brief.", "cache_control": mark}]
    assert text_of(await place.ask(way, system=system)) == TEXT
    (body,) = await place.upstream.bodies()
    if place.upstream.dialect == "anthropic":
        assert body["system"] == system
    else:
        assert body["system"][-1]["cachePoint"]["ttl"] == "1h"


@by_turns("anthropic", "vertex")
async def test_a_provider_of_the_same_words_is_sent_the_callers_own(place: Place, way: Way) -> None:
    """All but what is the gateway's; of another dialect nothing of it arrives."""
    more = {"provider": {}, "session_id": "s", "speed": "fast", "service_tier": "priority"}
    edits: JSONObject = {"context_management": {"edits": []}}
    await place.ask(way, extra_body=more | edits, metadata={"user_id": "me"})
    (body,) = await place.upstream.bodies()
    if place.upstream.dialect == "anthropic":
        assert body.items() >= {**edits, "metadata": {"user_id": "me"}}.items()
    else:
        assert edits.keys().isdisjoint(body)
    assert more.keys().isdisjoint(body)


@at("anthropic")
async def test_betas(place: Place) -> None:
    async with anthropic.AsyncAnthropic(**place.options) as client:
        message = await client.beta.messages.create(
            **request(), betas=["one-2026-01-01"], extra_headers={"x-anthropic-beta": "two"}
        )
    assert message.content[0].type == "text"
    upstream: Any = place.upstream
    assert upstream._app.seen[-1].headers["anthropic-beta"] == "one-2026-01-01,two"


@at("anthropic", "openai")
@both
async def test_the_route_is_told(place: Place, way: Way) -> None:
    headers = {"X-OpenRouter-Metadata": "enabled"}
    asked = request(model="test/rescued")
    async with (
        anthropic.AsyncAnthropic(**place.options) as client,
        client.messages.with_streaming_response.create(
            **asked, stream=way.stream, extra_headers=headers
        ) as response,
    ):
        body = await response.text()
    last = body.strip().rpartition("data: ")[2] if way.stream else body
    assert json.loads(last)["openrouter_metadata"]["attempt"] == 2


@pytest.mark.parametrize("upstream", ["fake"], indirect=True)
async def test_a_key_with_less_to_spend(place: Place, tmp_path: Path) -> None:
    poor = mint_key(tmp_path / "weir.db", "poor", limit_nano=1000)
    await eventually(lambda: place.gateway.gateway.office.key(fingerprint(poor)) is not None)
    with pytest.raises(anthropic.PermissionDeniedError) as caught:
        await _whole(place.options | {"api_key": poor}, request())
    assert caught.value.type == "permission_error"
    assert await place.upstream.bodies() == []


@pytest.mark.parametrize("upstream", ["fake"], indirect=True)
@pytest.mark.parametrize("base", ["", "/api", "/api/v1", "/v1"])
async def test_every_base_url(place: Place, base: str) -> None:
    options = place.options | {"base_url": place.gateway.url + base}
    assert text_of(await _whole(options, request())) == TEXT


@pytest.mark.parametrize("upstream", ["fake"], indirect=True)
async def test_the_next_model(place: Place) -> None:
    body = {"fallbacks": [{"model": "test/cut-head"}, {"model": "test/lorem"}]}
    message = await place.ask(WAYS[0], model="test/limited", extra_body=body)
    assert (message.model, text_of(message)) == ("test/lorem", TEXT)


@by_turns()
async def test_another_provider_answers(place: Place, way: Way) -> None:
    message = await place.ask(way, model="test/rescued")
    assert text_of(message) == TEXT
    assert (message.model_extra or {})["provider"] == "P1"
    assert await place.charged() == [(5 * 1000 + 32 * 2000) * TIMES_DEARER]


FAILURES = (
    ("test/nothing", anthropic.BadRequestError, "not_found_error", 0),
    ("test/limited", anthropic.RateLimitError, "rate_limit_error", 2),
    ("test/too-long", anthropic.BadRequestError, "invalid_request_error", 1),
    ("test/bad-key", anthropic.InternalServerError, "api_error", 1),
)


@by_turns("anthropic", "openai")
@pytest.mark.parametrize(("model", "error", "type_", "times"), FAILURES)
async def test_errors_before_the_first_token(
    place: Place,
    way: Way,
    model: str,
    error: type[anthropic.APIStatusError],
    type_: str,
    times: int,
) -> None:
    with pytest.raises(error) as caught:
        await place.ask(way, model=model)
    assert caught.value.type == type_
    body: Any = caught.value.body
    assert body["type"] == "error"
    assert (body["request_id"] or "").startswith("gen-") == (times > 0)
    assert len(await place.upstream.bodies()) == times
    assert not any(await place.charged())
    if model == "test/too-long":
        assert "prompt is too long" in body["error"]["message"]


@every_dialect
async def test_an_error_after_the_first_token(place: Place) -> None:
    """It comes as an event, after the text that did come; nobody else is asked by then."""
    said = list[str]()

    async def listen() -> None:
        async with (
            anthropic.AsyncAnthropic(**place.options) as client,
            client.messages.stream(**request(model="test/cut")) as events,
        ):
            async for piece in events.text_stream:
                said.append(piece)

    with pytest.raises(anthropic.APIStatusError) as caught:
        await listen()
    assert 0 < len("".join(said)) < len(TEXT)
    assert TEXT.startswith("".join(said))
    assert caught.value.type == "api_error"
    assert await place.charged() == [0]
    assert len(await place.upstream.bodies()) == 1


@pytest.mark.parametrize("upstream", ["fake"], indirect=True)
async def test_a_key_that_nobody_made(place: Place) -> None:
    options = place.options | {"api_key": "sk-or-v1-" + "0" * 64}
    with pytest.raises(anthropic.AuthenticationError) as caught:
        await _whole(options, request())
    assert caught.value.type == "authentication_error"


@pytest.mark.parametrize("upstream", ["fake"], indirect=True)
async def test_another_method(place: Place) -> None:
    async with anthropic.AsyncAnthropic(**place.options) as client:
        with pytest.raises(anthropic.APIStatusError) as caught:
            await client.get("/v1/messages", cast_to=object)
    assert (caught.value.status_code, caught.value.type) == (405, "invalid_request_error")


@pytest.mark.parametrize("upstream", ["fake"], indirect=True)
async def test_the_models(place: Place) -> None:
    async with anthropic.AsyncAnthropic(**place.options) as client:
        page = await client.models.list(limit=2)
        assert (len(page.data), page.has_more) == (2, True)
        every = [one.id async for one in page]
        assert {"test/lorem", "test/limited"} < {*every}
        assert len(every) == len({*every}) == len((await client.models.list(limit=1000)).data)
        first = page.data[0]
        back = await client.models.list(limit=1, before_id=page.data[1].id)
        assert [first] == back.data == [await client.models.retrieve(first.id)]
        with pytest.raises(anthropic.NotFoundError) as caught:
            await client.models.retrieve("test/nothing")
        assert caught.value.type == "not_found_error"


@at("anthropic", "openai")
async def test_a_hang_up(place: Place) -> None:
    before = await place.upstream.hangups()
    async with (
        anthropic.AsyncAnthropic(**place.options) as client,
        client.messages.stream(**request(model="test/slow")) as events,
    ):
        async for piece in events.text_stream:
            assert TEXT.startswith(piece)
            break

    async def noticed() -> bool:
        return await place.upstream.hangups() == before + 1

    await eventually(noticed)
    (charged,) = await place.charged()
    assert charged


@every_dialect
async def test_a_count(place: Place) -> None:
    async with anthropic.AsyncAnthropic(**place.options) as client:
        raw = await client.messages.with_raw_response.count_tokens(
            model="test/lorem", messages=[{"role": "user", "content": QUESTION}]
        )
    counted = place.upstream.dialect in COUNTING
    assert raw.headers["x-token-count"] == ("provider" if counted else "estimate")
    tokens = (await raw.parse()).input_tokens
    assert tokens == 5 if counted else 5 <= tokens < 40
    assert await place.charged() == []


@both
@at("anthropic", "openai")
async def test_the_generation_is_named_in_the_head(place: Place, way: Way) -> None:
    async with (
        anthropic.AsyncAnthropic(**place.options) as client,
        client.messages.with_streaming_response.create(**request(), stream=way.stream) as response,
    ):
        body = await response.text()
        assert response.headers["x-generation-id"].startswith("gen-")
    ends = '"cost":6.9e-05', '"cost":0.000069'
    assert any(end in body for end in ends)
