"""Images over HTTP: the SDKs `openai` and `openrouter`, a gateway, and simulated providers that
know nothing of it; every charge is in the books.
"""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import openai
import pytest
from openrouter import OpenRouter

from proxy.stores.sql import SqlStore
from proxy.upstream.fake import FAULTS, Fake, Scenario, fake
from proxy.upstream.fake.scenario import Rule
from tests.calling import Calls, at_once, calling
from tests.running import Running, config_text, eventually, mint_key, serving, weir

pytestmark = pytest.mark.sdk

PNG = b"\x89PNG\r\n\x1a\n"
DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
BY_TOKEN = '{ prompt = "0.000005", completion = "0.00004" }'
BY_IMAGE = '{ prompt = "0", completion = "0", output_image = "0.04" }'
PROMPT = "Water over a weir"


def models() -> str:
    """The models of the tests: what they cost, whose they are and what they are called there."""
    rows = (
        ("gpt-image-1", BY_TOKEN, ("p0", "gpt-image-1")),
        ("dall-e-3", BY_IMAGE, ("p0", "dall-e-3")),
        ("two-gpt-image", BY_TOKEN, ("p0", "gpt-image-1-a"), ("p1", "gpt-image-1-b")),
        ("gemini-2.5-flash-image", BY_TOKEN, ("g0", "gemini-2.5-flash-image")),
        ("imagen-4", BY_IMAGE, ("g0", "imagen-4.0-generate-001")),
        ("slow-image", BY_TOKEN, ("p0", "gpt-image-slow")),
        ("heard-image", BY_TOKEN, ("p1", "gpt-image-slow")),
        ("unpriced-image", None, ("p0", "gpt-image-unpriced")),
    )
    text = ""
    for name, pricing, *endpoints in rows:
        text += f'[[models]]\nid = "test/{name}"\n'
        for slug, model in endpoints:
            text += f'[[models.endpoints]]\nprovider = "{slug}"\nmodel = "{model}"\n'
            text += f"pricing = {pricing}\n" if pricing else ""
    return text


class World(NamedTuple):
    """A gateway before two providers of OpenAI's dialect and one of Google's. `slow` is a key for
    one request a minute, `poor` one whose account has nothing.
    """

    running: Running
    calls: Calls
    first: Fake
    second: Fake
    slow: str
    poor: str

    @property
    def client(self) -> openai.AsyncOpenAI:
        return self.by(self.running.key)

    def by(self, key: str) -> openai.AsyncOpenAI:
        """A client with another key."""
        return openai.AsyncOpenAI(
            base_url=self.running.base_url, api_key=key, max_retries=0, timeout=20
        )

    def charged(self) -> int:
        """What the only request so far was charged, in nano-dollars."""
        (row,) = self.calls.rows.values()
        assert row.cost_nano is not None
        return row.cost_nano


def mint_keys(path: Path) -> tuple[str, str]:
    """The keys `slow` and `poor`."""
    slow = mint_key(path, "slow", requests_per_minute=1)
    store = SqlStore.open(f"sqlite:///{path}")
    store.ledger.create_account("poor", 0.0)
    store.close()
    return slow, mint_key(path, "poor", usd=0, account="poor")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with contextlib.AsyncExitStack() as stack:
        first, second = fake(keep=8), fake(keep=8)
        url0, url1 = [
            f"{await stack.enter_async_context(serving(one))}/v1" for one in (first, second)
        ]
        google = (
            f'[[providers]]\nslug = "g0"\nname = "G0"\nbase_url = "{url1.removesuffix("/v1")}"\n'
            'dialect = "gemini"\nauth = "x-goog-api-key"\napi_key = "k"\nauthor = "test"\n'
        )
        text = config_text(tmp_path, url0, url1) + google + models()
        text = text.replace('slug = "p0"', 'slug = "p0"\ncancel_stops_billing = true', 1)
        keys = mint_keys(tmp_path / "weir.db")
        running = await stack.enter_async_context(weir(tmp_path, text))
        calls = await stack.enter_async_context(calling(running))
        yield World(running, calls, first, second, *keys)


def decoded(images: openai.types.ImagesResponse) -> list[bytes]:
    return [base64.b64decode(one.b64_json or "") for one in images.data or ()]


async def test_images_are_made_and_charged_by_their_tokens(world: World) -> None:
    async with world.client as client:
        said = await client.images.generate(
            model="test/gpt-image-1", prompt=PROMPT, n=2, quality="low", size="1024x1024"
        )
    assert [one[:8] for one in decoded(said)] == [PNG, PNG]
    assert said.usage is not None
    assert said.usage.output_tokens == 544
    assert said.created > 10**9
    usage: Any = said.usage
    assert usage.cost == world.charged() / 1e9
    assert world.charged() == said.usage.input_tokens * 5000 + 544 * 40_000


async def test_an_image_has_a_price_of_its_own(world: World) -> None:
    async with world.client as client:
        said = await client.images.generate(
            model="test/dall-e-3", prompt=PROMPT, quality="high", response_format="url"
        )
    assert said.data
    (image,) = said.data
    assert image.url is not None
    assert image.url.startswith("data:image/png;base64,iVBORw0KGgo")
    assert image.revised_prompt == f"A picture of water: {PROMPT}"
    assert world.charged() == 40_000_000
    assert b'"quality":"hd"' in world.first.seen[-1].body


async def test_partial_images_stream_and_cost_nothing_more(world: World) -> None:
    async with world.client as client:
        stream = await client.images.generate(
            model="test/gpt-image-1", prompt=PROMPT, stream=True, partial_images=2, quality="low"
        )
        events = [event async for event in stream]
    kinds = [event.type for event in events]
    assert kinds == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    assert [getattr(event, "partial_image_index", None) for event in events] == [0, 1, None]
    last: Any = events[-1]
    assert base64.b64decode(last.b64_json).startswith(PNG)
    assert last.usage.output_tokens == 272
    assert last.usage.cost == world.charged() / 1e9


async def test_an_edit_is_sent_as_a_form(world: World) -> None:
    async with world.client as client:
        said = await client.images.edit(
            model="test/gpt-image-1",
            image=[("a.png", DOT, "image/png"), ("b.png", DOT, "image/png")],
            mask=("m.png", DOT, "image/png"),
            prompt=PROMPT,
            quality="low",
        )
        stream = await client.images.edit(
            model="test/gpt-image-1", image=("a.png", DOT, "image/png"), prompt=PROMPT, stream=True
        )
        kinds = [event.type async for event in stream]
    assert decoded(said)[0].startswith(PNG)
    sent = next(one for one in world.first.seen if one.path == "/v1/images/edits")
    assert sent.body.count(DOT) == 3
    assert kinds == ["image_edit.completed"]


@pytest.mark.parametrize("model", ["gpt-image-1", "gemini-2.5-flash-image"])
async def test_references_of_openrouters_own_sdk(world: World, model: str) -> None:
    url = f"data:image/png;base64,{base64.b64encode(DOT).decode()}"
    reference: Any = {"type": "image_url", "image_url": {"url": url}}
    async with OpenRouter(
        api_key=world.running.key, server_url=world.running.base_url, timeout_ms=20_000
    ) as client:
        said = await client.images.generate_async(
            model=f"test/{model}", prompt=PROMPT, input_references=[reference], aspect_ratio="16:9"
        )
    (image,) = said.data
    assert base64.b64decode(image.b64_json).startswith(PNG)
    assert image.media_type == "image/png"
    assert said.usage is not None
    assert said.usage.cost == world.charged() / 1e9 > 0


async def test_openrouters_own_sdk_streams(world: World) -> None:
    async with OpenRouter(
        api_key=world.running.key, server_url=world.running.base_url, timeout_ms=20_000
    ) as client:
        stream = await client.images.generate_async(
            model="test/gemini-2.5-flash-image", prompt=PROMPT, stream=True
        )
        rows = [event.model_dump() async for event in stream]
    assert [row["type"] for row in rows] == ["image_generation.completed"]
    assert rows[0]["usage"]["cost"] == world.charged() / 1e9


async def test_images_of_google(world: World) -> None:
    async with world.client as client:
        made = await client.images.generate(model="test/imagen-4", prompt=PROMPT, n=3)
        assert len(decoded(made)) == 3
        assert world.charged() == 120_000_000
        with pytest.raises(openai.BadRequestError, match="more than one image"):
            await client.images.generate(model="test/gemini-2.5-flash-image", prompt=PROMPT, n=2)


@pytest.mark.parametrize("model", ["gpt-image-1", "gemini-2.5-flash-image", "imagen-4"])
async def test_a_refusal_by_moderation_costs_nothing(world: World, model: str) -> None:
    async with world.client as client:
        with pytest.raises(openai.BadRequestError) as told:
            await client.images.generate(model=f"test/{model}", prompt="something forbidden")
    body: Any = told.value.body
    assert body["metadata"]["error_type"] == "content_policy_violation"
    assert world.charged() == 0


async def test_what_a_provider_fails_at_another_does(world: World) -> None:
    world.first.play(Scenario(rules=(Rule(fault="status"),)))
    async with world.client as client:
        said = await client.images.generate(model="test/two-gpt-image", prompt=PROMPT)
        assert decoded(said)[0].startswith(PNG)
        with pytest.raises(openai.InternalServerError):
            await client.images.generate(model="test/gpt-image-1", prompt=PROMPT)
    rows = list(world.calls.rows.values())
    assert [row.provider for row in rows] == ["p1", "p0"]
    assert rows[0].cost_nano
    assert rows[1].cost_nano == 0


@pytest.mark.parametrize("fault", ["cut", "error-event", "bad-json", "truncated"])
async def test_a_stream_that_fails_half_way_costs_nothing(world: World, fault: str) -> None:
    world.first.play(Scenario(rules=(Rule(fault=fault, events=1),)))
    async with world.client as client:
        with pytest.raises(openai.APIError):  # a reset may take the first event with it
            async for _ in await client.images.generate(
                model="test/gpt-image-1", prompt=PROMPT, stream=True, partial_images=3
            ):
                pass
    assert world.charged() == 0


async def test_limits_and_credit(world: World) -> None:
    async with world.by(world.slow) as client:
        await client.images.generate(model="test/dall-e-3", prompt=PROMPT)
        with pytest.raises(openai.RateLimitError):
            await client.images.generate(model="test/dall-e-3", prompt=PROMPT)
    async with world.by(world.poor) as client:
        with pytest.raises(openai.APIStatusError) as told:
            await client.images.generate(model="test/dall-e-3", prompt=PROMPT)
        assert told.value.status_code == 402
    async with world.client as client:
        with pytest.raises(openai.APIStatusError) as told:
            await client.images.generate(model="test/unpriced-image", prompt=PROMPT)
        assert told.value.status_code == 402
    assert [row.cost_nano for row in world.calls.rows.values()] == [40_000_000]


async def hang_up(world: World, model: str, stream: bool) -> None:
    """Asks, and goes away: after the first partial image, or while nothing came yet."""
    body = {"model": f"test/{model}", "prompt": PROMPT, "stream": stream, "partial_images": 3}
    headers = {"Authorization": f"Bearer {world.running.key}"}
    url = f"{world.running.base_url}/images"
    async with aiohttp.ClientSession() as session:
        asking = asyncio.ensure_future(session.post(url, json=body, headers=headers))
        if stream:
            response = await asking
            assert response.status == 200
            assert b"partial_image" in await response.content.readany()
            response.close()
        else:
            await eventually(lambda: world.first.open == 1)
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asking
    await eventually(lambda: world.calls.rows)


@pytest.mark.parametrize("stream", [True, False])
async def test_who_hangs_up_pays_for_what_was_shown(world: World, stream: bool) -> None:
    rule = Rule(fault="stall", events=1) if stream else Rule(fault="no-head")
    world.first.play(Scenario(rules=(rule,)))
    await hang_up(world, "slow-image", stream)
    (row,) = world.calls.rows.values()
    assert row.cancelled
    assert row.usage_estimated == stream
    # The simulated provider says of every image that it is of medium quality.
    assert world.charged() == (1584 * 40_000 if stream else 0)


async def test_a_provider_that_goes_on_is_heard_out(world: World) -> None:
    world.second.play(Scenario(rules=(Rule(tokens_per_s=10),)))
    await hang_up(world, "heard-image", stream=True)
    (row,) = world.calls.rows.values()
    assert (row.cancelled, row.completion_tokens) == (True, 1056)
    assert world.charged() == row.prompt_tokens * 5000 + 1056 * 40_000


async def test_the_catalogue_tells_of_images(world: World) -> None:
    async with OpenRouter(
        api_key=world.running.key, server_url=world.running.base_url, timeout_ms=20_000
    ) as client:
        listed = await client.images.list_models_async()
        told = await client.images.list_model_endpoints_async(author="test", slug="dall-e-3")
    rows = {row.id: row for row in listed.data}
    assert rows["test/gpt-image-1"].supports_streaming
    assert not rows["test/imagen-4"].supports_streaming
    (endpoint,) = told.endpoints
    (price,) = endpoint.pricing
    assert (price.billable, price.unit, price.cost_usd) == ("output_image", "image", 0.04)


async def heard(url: str, key: str, body: dict[str, Any]) -> tuple[int, str, bytes]:
    """Status, generation and body of one answer."""
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json=body, headers=headers) as response,
    ):
        raw = await response.read()
        return response.status, response.headers["X-Generation-Id"], raw


@pytest.mark.parametrize("stream", [True, False])
async def test_only_an_image_costs_anything(tmp_path: Path, stream: bool) -> None:
    """Whatever a provider does wrong, the caller has the image, or an error and no charge."""
    rules = tuple(
        Rule(model=f"gpt-image-{name}", fault=name, delay_s=0.1, events=1) for name in FAULTS
    )
    text = "".join(
        f'[[models]]\nid = "test/{name}"\n[[models.endpoints]]\nprovider = "p0"\n'
        f'model = "gpt-image-{name}"\npricing = {BY_TOKEN}\n'
        for name in FAULTS
    )
    waits = "first_byte_s = 1.0\nfirst_token_s = 1.0\nbetween_chunks_s = 1.0\nanswer_s = 1.5"
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(serving(fake(Scenario(rules=rules))))
        config = config_text(tmp_path, f"{url}/v1", more=f"[timeouts]\n{waits}\n") + text
        running = await stack.enter_async_context(weir(tmp_path, config))
        calls = await stack.enter_async_context(calling(running))
        body = {"prompt": PROMPT, "stream": stream, "partial_images": 2, "quality": "low"}
        url = f"{running.base_url}/images"
        turns = iter(FAULTS)

        async def ask() -> tuple[str, tuple[int, str, bytes]]:
            name = next(turns)
            said = body | {"model": f"test/{name}"}
            return name, await heard(url, running.key, said)

        answers = await at_once(8, ask, len(FAULTS))
    good = set[str]()
    for name, (status, id, raw) in answers:
        row = calls.rows[id]
        whole = b'"b64_json"' in raw and b'"error"' not in raw
        assert status == 200 if whole else status != 500, name
        tokens = 408 if row.usage_estimated else 272
        assert (row.cost_nano == row.prompt_tokens * 5000 + tokens * 40_000) is whole, name
        good |= {name} if whole else set()
    assert {"one-byte", "slices", "crlf", "comments", "usage-twice"} <= good
    assert good.isdisjoint({"status", "cut", "no-content", "empty", "stall", "bad-json"})
