"""Embeddings and rankings by official SDKs, over every dialect of providers that has them.

Each test ends with the ledger verified and nothing open.
"""

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest
from openrouter import OpenRouter, errors
from openrouter.utils import BackoffStrategy, RetryConfig
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from proxy.upstream.fake import Fake, Rule, Scenario
from proxy.upstream.fake.vectors import vector
from tests.calling import Calls, calling
from tests.running import config_text, eventually, mint_key, provider, serving, weir

pytestmark = pytest.mark.sdk

AT_ONCE = RetryConfig("none", BackoffStrategy(1, 1, 1, 1), False)
SLOW = Rule(model="slow", delay_s=0.5, fault="slow-head")
HOLD = Rule(model="hold", fault="no-head")
PRICES = '{ prompt = "0.000001", completion = "0" }'
DEAR = '{ prompt = "0.001", completion = "0" }'
UNITS = '{ prompt = "0", completion = "0", search_unit = "0.002" }'
DIALECTS = ("openai", "azure", "cohere", "gemini", "vertex", "bedrock")
ROOTS = {"openai": "/v1"}
OPTIONS = {
    "azure": 'api_version = "2024-12-01-preview"',
    "vertex": 'project = "p", location = "global"',
}
EMBEDDERS = {
    "bedrock": "cohere.embed-v4:0",
    "vertex": "text-embedding-005",
    "gemini": "gemini-embedding-2",
}
RERANKERS = {"openai": "weir/rerank", "cohere": "rerank-v3.5", "bedrock": "cohere.rerank-v3-5:0"}
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQAB"
    "pfZFQAAAAABJRU5ErkJggg=="
)
DOCUMENTS = ["The moon.", "A weir is a low dam.", "How does water cross a weir?"]
QUERY = "How does water cross a weir?"


class Place(NamedTuple):
    """A gateway before a provider of each dialect, all of them one."""

    client: openai.AsyncOpenAI
    router: OpenRouter
    app: Fake
    calls: Calls
    hasty: str  # a key that may ask once a minute
    poor: str  # a key with less to spend than any answer costs

    def sent(self) -> list[dict[str, Any]]:
        """What came to the providers."""
        return [json.loads(one.body) for one in self.app.seen if one.body]

    async def charged(self) -> list[int | None]:
        """What the requests so far were charged, in nano-dollars."""
        await eventually(lambda: not any(self.calls.open_now().values()))
        return [row.cost_nano for row in self.calls.rows.values()]


def model(id_: str, kind: str, *endpoints: tuple[str, str], pricing: str = PRICES) -> str:
    rows = "".join(
        f'[[models.endpoints]]\nprovider = "p-{slug}"\nmodel = "{name}"\n'
        f"pricing = {DEAR if number else pricing}\n"
        for number, (slug, name) in enumerate(endpoints)
    )
    return f'[[models]]\nid = "{id_}"\noutput_modalities = ["{kind}"]\n{rows}\n'


def config(folder: Path, url: str) -> str:
    models = "".join(
        model(f"test/{dialect}", "embeddings", (dialect, EMBEDDERS.get(dialect, "weir/embedding")))
        for dialect in DIALECTS
    )
    for dialect, name in RERANKERS.items():
        units = PRICES if dialect == "openai" else UNITS
        models += model(f"test/rank-{dialect}", "rerank", (dialect, name), pricing=units)
    for kind, other in (("embeddings", "cohere"), ("rerank", "cohere")):
        for fault in ("rate-limit", "too-long", "bad-json", "error-200", "no-content", "cut"):
            models += model(f"test/{kind}-{fault}", kind, ("openai", f"fault/{fault}"))
        name = "weir/lorem"
        models += model(f"test/{kind}-rescued", kind, ("openai", "fault/rate-limit"), (other, name))
        models += model(f"test/{kind}-unsaid", kind, ("openai", "fault/usage-missing"))
        models += model(f"test/{kind}-hold", kind, ("openai", "hold"))
        units = PRICES if kind == "embeddings" else UNITS
        models += model(f"test/{kind}-slow", kind, ("cohere", "slow"), pricing=units)
    models += model("test/titan", "embeddings", ("bedrock", "amazon.titan-embed-text-v2:0"))
    models += model("test/either", "embeddings", ("bedrock", "amazon.titan-embed-text-v2:0"),
                    ("openai", "weir/embedding"))  # fmt: skip
    providers = "".join(
        f'[[providers]]\nslug = "p-{dialect}"\nname = "{dialect.upper()}"\ndialect = "{dialect}"\n'
        f'base_url = "{url}{ROOTS.get(dialect, "")}"\napi_key = "provider-key"\nauth = "bearer"\n'
        f'author = "test"\noptions = {{ {OPTIONS.get(dialect, "")} }}\n'
        for dialect in DIALECTS
    )
    models += '[egress]\nallow = ["127.0.0.1"]\n'
    text = config_text(folder, more=models) + providers
    return text.replace('name = "OPENAI"\n', 'name = "OPENAI"\ncancel_stops_billing = true\n')


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with provider(Scenario(rules=(SLOW, HOLD))) as (app, url):
        app.seen = type(app.seen)(maxlen=50)
        text = config(tmp_path, url.removesuffix("/v1"))
        hasty = mint_key(tmp_path / "weir.db", "hasty", requests_per_minute=1)
        poor = mint_key(tmp_path / "weir.db", "poor", limit_nano=1000)
        async with (
            weir(tmp_path, text) as running,
            calling(running) as calls,
            openai.AsyncOpenAI(
                base_url=running.base_url, api_key=running.key, max_retries=0, timeout=20
            ) as client,
            OpenRouter(
                api_key=running.key,
                server_url=running.base_url,
                retry_config=AT_ONCE,
                timeout_ms=20_000,
            ) as router,
        ):
            yield Place(client, router, app, calls, hasty, poor)


async def embed(place: Place, dialect: str, **more: Any) -> openai.types.CreateEmbeddingResponse:
    """Two vectors, which are as they should be."""
    texts = ["How does water", "cross a weir?"]
    answer = await place.client.embeddings.create(
        model=f"test/{dialect}", input=texts, dimensions=8, **more
    )
    assert (answer.object, answer.model) == ("list", f"test/{dialect}")
    assert [row.index for row in answer.data] == [0, 1]
    for row, text in zip(answer.data, texts, strict=True):
        said: Any = row.embedding
        if isinstance(said, str):
            said = struct.unpack("<8f", base64.b64decode(said))
        assert said == pytest.approx(vector(text, 8), abs=1e-6)
    return answer


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_embeddings(place: Place, dialect: str) -> None:
    """Without a form that SDK asks for base64, and unpacks it itself."""
    numbers = await embed(place, dialect, encoding_format="float")
    packed: Any = await embed(place, dialect, encoding_format="base64")
    assert isinstance(packed.data[0].embedding, str)
    answer = await embed(place, dialect)
    assert answer.usage == numbers.usage
    tokens = answer.usage.prompt_tokens
    assert tokens == answer.usage.total_tokens > 0
    extra = answer.usage.model_extra
    assert extra is not None
    assert extra["cost"] == pytest.approx(tokens * 1e-6)
    assert extra["cost_details"]["upstream_inference_cost"] == extra["cost"]
    assert await place.charged() == [tokens * 1000] * 3
    kept = [*place.calls.rows.values()][-1]
    assert (kept.task, kept.prompt_tokens, kept.completion_tokens) == ("embeddings", tokens, 0)
    assert kept.usage_estimated is (dialect == "bedrock")


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_embeddings_by_openrouters_sdk(place: Place, dialect: str) -> None:
    answer: Any = await place.router.embeddings.generate_async(
        model=f"test/{dialect}", input="One text.", input_type="search_query"
    )
    (row,) = answer.data
    assert len(row.embedding) > 4
    assert answer.id.startswith("gen-")
    assert answer.usage.cost == pytest.approx(answer.usage.prompt_tokens * 1e-6)
    (sent,) = place.sent()
    said = json.dumps(sent)
    assert ("QUERY" in said or "search_query" in said) is (
        dialect in ("cohere", "vertex", "bedrock")
    )


async def test_inputs_of_several_parts(place: Place) -> None:
    dot = {"type": "image_url", "image_url": {"url": PIXEL}}
    inputs: Any = [{"content": [{"type": "text", "text": "A dot."}, dot]}]
    answer: Any = await place.router.embeddings.generate_async(model="test/gemini", input=inputs)
    assert answer.usage.prompt_tokens > 50
    ((request,),) = [sent["requests"] for sent in place.sent()]
    assert [*map(len, request["content"]["parts"])] == [1, 1]
    (row,) = place.calls.rows.values()
    assert row.media_prompt == 1
    with pytest.raises(errors.BadRequestResponseError, match="images, sound or files"):
        await place.router.embeddings.generate_async(model="test/openai", input=inputs)


async def test_what_stands_elsewhere_is_fetched(place: Place) -> None:
    """Google takes no URL: it is sent what stands there."""
    dot = base64.b64decode(PIXEL.partition(",")[2])

    async def image(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await Response(dot, media_type="image/png")(scope, receive, send)

    async with serving(image) as url:
        part = {"type": "image_url", "image_url": {"url": f"{url}/dot.png"}}
        inputs: Any = [{"content": [part]}]
        await place.router.embeddings.generate_async(model="test/gemini", input=inputs)
    ((request,),) = [sent["requests"] for sent in place.sent()]
    inline = {"mimeType": "image/png", "data": PIXEL.partition(",")[2]}
    assert request["content"]["parts"] == [{"inlineData": inline}]


async def test_tokens_are_for_who_takes_them(place: Place) -> None:
    await place.client.embeddings.create(model="test/openai", input=[[1, 2, 3], [4]])
    assert place.sent()[0]["input"] == [[1, 2, 3], [4]]
    with pytest.raises(openai.BadRequestError, match="tokens in place of a text"):
        await place.client.embeddings.create(model="test/cohere", input=[1, 2, 3])


async def test_one_input_at_a_time(place: Place) -> None:
    await place.client.embeddings.create(model="test/titan", input="One.", dimensions=256)
    with pytest.raises(openai.BadRequestError, match="more than one input"):
        await place.client.embeddings.create(model="test/titan", input=["One.", "Two."])
    await place.client.embeddings.create(model="test/either", input=["One.", "Two."])
    assert [*place.calls.rows.values()][-1].provider == "p-openai"


@pytest.mark.parametrize("dialect", RERANKERS)
async def test_rankings(place: Place, dialect: str) -> None:
    answer: Any = await place.router.rerank.rerank_async(
        model=f"test/rank-{dialect}", query=QUERY, documents=DOCUMENTS, top_n=2
    )
    assert [row.index for row in answer.results] == [2, 1]
    assert [row.document.text for row in answer.results] == [DOCUMENTS[2], DOCUMENTS[1]]
    assert answer.results[0].relevance_score > answer.results[1].relevance_score
    assert (answer.model, answer.provider) == (f"test/rank-{dialect}", dialect.upper())
    (row,) = place.calls.rows.values()
    if dialect == "openai":
        assert answer.usage.cost == pytest.approx(answer.usage.total_tokens * 1e-6)
        assert await place.charged() == [answer.usage.total_tokens * 1000]
    else:
        assert answer.usage.search_units == row.search_units == 1
        assert answer.usage.cost == 0.002
        assert await place.charged() == [2_000_000]
    assert row.task == "rerank"


async def ask(place: Place, model: str, key: str | None = None) -> Any:
    """A request of either kind, by OpenAI's client where that has it."""
    client = place.client if key is None else place.client.with_options(api_key=key)
    if "embeddings" in model:
        return await client.embeddings.create(model=model, input="A text.")
    body = {"model": model, "query": QUERY, "documents": DOCUMENTS}
    return await client.post("/rerank", body=body, cast_to=dict[str, Any])


both = pytest.mark.parametrize("kind", ["embeddings", "rerank"])


FAULTS = {"rate-limit": 429, "too-long": 400, "bad-json": 502, "error-200": 502, "cut": 502}


@both
async def test_errors_of_providers(place: Place, kind: str) -> None:
    for fault, status in FAULTS.items():
        with pytest.raises(openai.APIStatusError) as caught:
            await ask(place, f"test/{kind}-{fault}")
        error = caught.value.response.json()["error"]
        assert (caught.value.status_code, error["code"]) == (status, status)
    assert set(await place.charged()) <= {0}


async def test_no_vectors_are_no_answer(place: Place) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        await ask(place, "test/embeddings-no-content")
    assert caught.value.status_code == 502
    assert set(await place.charged()) <= {0}


@both
async def test_the_next_provider_answers(place: Place, kind: str) -> None:
    await ask(place, f"test/{kind}-rescued")
    (row,) = place.calls.rows.values()
    assert (row.provider, len(row.attempts)) == ("p-cohere", 2)
    # Of a ranking it counts search units, which have no price here: its tokens are estimated.
    assert row.usage_estimated is (kind == "rerank")
    assert await place.charged() != [0]


@both
async def test_usage_that_nobody_counts(place: Place, kind: str) -> None:
    """A token for each four bytes; a ranking reads the query beside each document."""
    await ask(place, f"test/{kind}-unsaid")
    read = len("A text.") if kind == "embeddings" else len(QUERY) * 3 + sum(map(len, DOCUMENTS))
    (row,) = place.calls.rows.values()
    assert (row.prompt_tokens, row.usage_estimated) == (-(-read // 4), True)
    assert await place.charged() == [row.prompt_tokens * 1000]


@both
async def test_limits_and_credit(place: Place, kind: str) -> None:
    model = f"test/{kind}-unsaid"
    await ask(place, model, place.hasty)
    with pytest.raises(openai.RateLimitError):
        await ask(place, model, place.hasty)
    with pytest.raises(openai.PermissionDeniedError, match="limit exceeded"):
        await ask(place, model, place.poor)
    assert len(place.sent()) == 1


@both
async def test_a_hang_up_costs_nothing_before_the_answer(place: Place, kind: str) -> None:
    asked = asyncio.create_task(ask(place, f"test/{kind}-hold"))
    await eventually(lambda: place.sent() != [])
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await eventually(lambda: place.app.disconnects == 1)
    assert await place.charged() == [0]
    (row,) = place.calls.rows.values()
    assert row.cancelled


@both
async def test_who_bills_all_the_same_is_heard_out(place: Place, kind: str) -> None:
    asked = asyncio.create_task(ask(place, f"test/{kind}-slow"))
    await eventually(lambda: place.sent() != [])
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await eventually(lambda: place.calls.rows != {})
    assert await place.charged() == [2000 if kind == "embeddings" else 2_000_000]
    (row,) = place.calls.rows.values()
    assert (row.cancelled, row.usage_estimated) == (True, False)
    assert place.app.disconnects == 0


BAD: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "No models provided"),
    ({"model": "test/nothing"}, "test/nothing is not a valid model ID"),
    ({"model": 3}, "model: expected a string, got a number"),
    ({"model": "m", "stream": True}, "stream: the answer to this comes whole"),
    ({"model": "m", "provider": {"zdr": 1}}, "provider.zdr: expected true or false, got a number"),
    ({"model": "m", "session_id": "s" * 257}, "session_id: at most 256 characters"),
)


@both
async def test_bad_requests(place: Place, kind: str) -> None:
    whole = {"input": "x"} if kind == "embeddings" else {"query": "q", "documents": ["d"]}
    for body, message in BAD:
        with pytest.raises(openai.BadRequestError) as caught:
            await place.client.post(f"/{kind}", body=whole | body, cast_to=dict[str, Any])
        assert caught.value.response.json()["error"]["message"] == message
    assert place.sent() == []


async def test_what_does_not_embed_is_not_asked_to(place: Place) -> None:
    for kind, model in (("embeddings", "test/rank-cohere"), ("rerank", "test/cohere")):
        body = {"model": model, "input": "x", "query": "q", "documents": ["d"]}
        with pytest.raises(openai.BadRequestError) as caught:
            await place.client.post(f"/{kind}", body=body, cast_to=dict[str, Any])
        assert caught.value.response.json()["error"]["metadata"]["error_type"] == "invalid_request"
    assert place.sent() == []


async def test_how_it_was_routed(place: Place) -> None:
    told = await place.client.embeddings.create(
        model="test/embeddings-rescued",
        input="x",
        extra_headers={"X-OpenRouter-Metadata": "enabled"},
    )
    assert told.model_extra is not None
    statuses = [one["status"] for one in told.model_extra["openrouter_metadata"]["attempts"]]
    assert statuses == [429, 200]


async def test_the_models(place: Place) -> None:
    listed: Any = await place.router.embeddings.list_models_async()
    ids = [row.id for row in listed.result.data]
    assert "test/openai" in ids
    assert "test/rank-openai" not in ids
    ranks: Any = await place.router.models.list_async(output_modalities="rerank")
    assert "test/rank-cohere" in [row.id for row in ranks.result.data]
    count = await place.router.models.count_async(output_modalities="rerank")
    assert count.data.count == len(ranks.result.data)


async def test_a_provider_of_others(tmp_path: Path, aimock: str) -> None:
    """It gives numbers whatever is asked for; this SDK is sent base64 all the same."""
    text = config(tmp_path, aimock)
    forms: tuple[dict[str, Any], ...] = ({}, {"encoding_format": "float"})
    async with (
        weir(tmp_path, text) as running,
        calling(running) as calls,
        openai.AsyncOpenAI(base_url=running.base_url, api_key=running.key) as client,
    ):
        said = [
            await client.embeddings.create(model=model, input=["a", "b"], **more)
            for model in ("test/openai", "test/cohere")
            for more in forms
        ]
        packed, numbers, *others = ([row.embedding for row in one.data] for one in said)
        assert packed[0] != packed[1]
        for vectors in (packed, *others):
            for one, other in zip(vectors, numbers, strict=True):
                assert one == pytest.approx(other[: len(one)], abs=1e-6)
        await eventually(lambda: len(calls.rows) == len(said))
