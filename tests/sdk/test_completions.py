"""Text completions by the official Python SDK, before providers that have them, and that have not.

Each test ends with the ledger verified and nothing open.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import openai
import orjson
import pytest
from openai.types import Completion

from proxy.upstream.fake import Fake, Rule, Scenario
from tests.calling import Calls, calling
from tests.running import (
    TIMES_DEARER,
    Running,
    config_text,
    eventually,
    mint_key,
    model_text,
    provider,
    weir,
)
from tests.sdk.dialects import DIALECTS
from tests.sdk.script import TEXT
from tests.sdk.upstreams import Spoken, Upstream
from tests.sdk.world import check_usage

pytestmark = pytest.mark.sdk

SLOW = Rule(model="slow", tokens_per_s=20.0)
CUT = Rule(model="cut", fault="cut", events=6, tokens_per_s=50)
PROMPT = "What does a weir do?"
TOKENS = 32  # of the answer
SEVERAL = dict.fromkeys(DIALECTS, 1) | dict.fromkeys(("openai", "azure"), 2)
"""How many answers are given where two are asked for: who knows of no second gives one, and
the simulated Gemini does not either."""


class Place(NamedTuple):
    """A gateway before two providers: `p0` continues texts, `p1` only chats."""

    client: openai.AsyncOpenAI
    app: Fake
    calls: Calls
    hasty: str  # a key that may ask once a minute
    poor: str  # a key with less to spend than any answer costs

    def sent(self) -> list[tuple[str, dict[str, Any]]]:
        """What came to the providers: path and body."""
        return [(one.path, orjson.loads(one.body)) for one in self.app.seen if one.body]

    async def charged(self) -> list[int | None]:
        """What the requests so far were charged, in nano-dollars."""
        await eventually(lambda: not any(self.calls.open_now().values()))
        return [row.cost_nano for row in self.calls.rows.values()]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with provider(Scenario(rules=(SLOW, CUT))) as (app, url):
        app.seen = type(app.seen)(maxlen=50)
        models = model_text("test/lorem", ("p0", "weir/lorem"))
        models += model_text("test/chat", ("p1", "weir/lorem"))
        models += model_text("test/reason", ("p1", "weir/reason"))
        models += model_text("test/rescued", ("p0", "fault/rate-limit"), ("p1", "weir/lorem"))
        models += model_text("test/either", ("p1", "weir/lorem"), ("p0", "weir/lorem"))
        models += model_text("test/limited", ("p0", "fault/rate-limit"))
        models += model_text("test/too-long", ("p0", "fault/too-long"))
        models += model_text("test/broken", ("p0", "fault/bad-json"))
        models += model_text("test/cut", ("p0", "cut"))
        models += model_text("test/slow", ("p0", "slow"))
        text = config_text(tmp_path, url, url, more=models)
        text = text.replace(
            'name = "P0"\n',
            'name = "P0"\ncancel_stops_billing = true\nquirks = { suffix = true }\n',
        )
        text = text.replace('name = "P1"\n', 'name = "P1"\nquirks = { completes = false }\n')
        hasty = mint_key(tmp_path / "weir.db", "hasty", requests_per_minute=1)
        poor = mint_key(tmp_path / "weir.db", "poor", limit_nano=1000)
        async with (
            weir(tmp_path, text) as running,
            calling(running) as calls,
            openai.AsyncOpenAI(
                base_url=running.base_url, api_key=running.key, max_retries=0, timeout=20
            ) as client,
        ):
            yield Place(client, app, calls, hasty, poor)


async def ask(
    client: openai.AsyncOpenAI, *, stream: bool, model: str = "test/lorem", **more: Any
) -> tuple[list[str], Completion]:
    """The texts of an answer by their index, and its last event, or all of it."""
    fields: dict[str, Any] = {"model": model, "prompt": PROMPT, "max_tokens": 64, **more}
    if not stream:
        answer = await client.completions.create(**fields)
        return [choice.text for choice in answer.choices], answer
    texts: dict[int, str] = {}
    async for chunk in await client.completions.create(**fields, stream=True):
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + choice.text
        last = chunk
    return [texts[index] for index in sorted(texts)], last


both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@both
@pytest.mark.parametrize(
    ("model", "path"), [("test/lorem", "/v1/completions"), ("test/chat", "/v1/chat/completions")]
)
async def test_a_text_is_continued(place: Place, model: str, path: str, stream: bool) -> None:
    texts, last = await ask(place.client, stream=stream, model=model, temperature=0.5)
    assert texts == [TEXT]
    assert (last.object, last.model) == ("text_completion", model)
    assert last.id.startswith("gen-")
    assert last.choices[0].finish_reason == "stop"
    assert last.usage is not None
    check_usage(last.usage.model_dump())
    ((seen, body),) = place.sent()
    assert (seen, body["temperature"]) == (path, 0.5)
    (row,) = place.calls.rows.values()
    assert (row.prompt_tokens, row.completion_tokens) == (5, TOKENS)
    assert await place.charged() == [5 * 1000 + TOKENS * 2000]


@both
async def test_several_prompts_and_choices(place: Place, stream: bool) -> None:
    prompts = ["One.", "And two."]
    texts, last = await ask(
        place.client, stream=stream, prompt=prompts, n=2, echo=True, max_tokens=2
    )
    assert len(texts) == 4
    assert [text.startswith(one) for text, one in zip(texts, "OOAA", strict=True)] == [True] * 4
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (3, 8)
    assert {choice.finish_reason for choice in last.choices} == {"length"}
    ((_, body),) = place.sent()
    assert (body["prompt"], body.get("echo")) == (prompts, None)


@both
@pytest.mark.parametrize("model", ["test/lorem", "test/chat"])
async def test_the_prompt_stands_before_the_answer(place: Place, model: str, stream: bool) -> None:
    texts, _ = await ask(place.client, stream=stream, model=model, echo=True)
    assert texts == [PROMPT + TEXT]
    assert await place.charged() == [5 * 1000 + TOKENS * 2000]


@both
async def test_log_probabilities(place: Place, stream: bool) -> None:
    """The provider shows the prompt itself where it is to be weighed."""
    texts, answer = await ask(place.client, stream=stream, echo=True, logprobs=1, max_tokens=2)
    assert texts[0].startswith("What")
    ((_, body),) = place.sent()
    assert (body["echo"], body["logprobs"]) == (True, 1)
    if not stream:
        told = answer.choices[0].logprobs
        assert told is not None
        assert told.tokens is not None
        assert "".join(told.tokens) == texts[0]
        assert told.text_offset is not None
        assert len(told.text_offset) == len(told.tokens) == 7


async def test_log_probabilities_of_a_chat(place: Place) -> None:
    _, answer = await ask(place.client, stream=False, model="test/chat", logprobs=0, max_tokens=2)
    told = answer.choices[0].logprobs
    assert told is not None
    assert (told.tokens, told.text_offset) == (["Water", " meets"], [0, 5])


@both
async def test_thoughts_are_not_in_the_text(place: Place, stream: bool) -> None:
    texts, answer = await ask(place.client, stream=stream, model="test/reason")
    assert texts == [TEXT]
    if not stream:
        assert answer.choices[0].model_extra is not None
        assert "tokens" in answer.choices[0].model_extra["reasoning"]


@both
async def test_the_best_of_several(place: Place, stream: bool) -> None:
    if stream:
        with pytest.raises(openai.BadRequestError, match="best_of"):
            await ask(place.client, stream=True, best_of=3)
        return
    await ask(place.client, stream=False, best_of=3, max_tokens=4)
    ((_, body),) = place.sent()
    assert (body["best_of"], body["max_tokens"]) == (3, 4)


@both
async def test_a_suffix_goes_to_who_has_it(place: Place, stream: bool) -> None:
    texts, _ = await ask(place.client, stream=stream, model="test/either", suffix="The end.")
    assert texts == [TEXT]
    ((path, body),) = place.sent()
    assert (path, body["suffix"]) == ("/v1/completions", "The end.")


@both
@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"suffix": "x"}, "a suffix"),
        ({"prompt": ["a", "b"]}, "several prompts at once"),
        ({"prompt": [1, 2]}, "tokens for a text"),
    ],
)
async def test_what_nobody_has_is_refused(
    place: Place, more: dict[str, Any], what: str, stream: bool
) -> None:
    with pytest.raises(openai.BadRequestError, match=what):
        await ask(place.client, stream=stream, model="test/chat", **more)
    assert place.sent() == []
    assert await place.charged() == [0]


@both
@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("test/limited", openai.RateLimitError),
        ("test/too-long", openai.BadRequestError),
        ("test/nothing", openai.BadRequestError),
    ],
)
async def test_errors_before_the_answer(
    place: Place, model: str, error: type[openai.APIStatusError], stream: bool
) -> None:
    with pytest.raises(error):
        await ask(place.client, stream=stream, model=model)
    assert set(await place.charged()) <= {0}


async def test_a_broken_answer(place: Place) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        await ask(place.client, stream=False, model="test/broken")
    assert caught.value.status_code == 502
    assert await place.charged() == [0]


@both
async def test_the_next_provider_chats(place: Place, stream: bool) -> None:
    texts, _ = await ask(place.client, stream=stream, model="test/rescued")
    assert texts == [TEXT]
    assert [path for path, _ in place.sent()] == ["/v1/completions", "/v1/chat/completions"]
    (row,) = place.calls.rows.values()
    assert row.provider == "p1"
    assert await place.charged() == [(5 * 1000 + TOKENS * 2000) * TIMES_DEARER]


async def test_an_answer_that_breaks_off(place: Place) -> None:
    said = ""

    async def read() -> None:
        nonlocal said
        fields: Any = {"model": "test/cut", "prompt": PROMPT, "max_tokens": 64}
        async for chunk in await place.client.completions.create(**fields, stream=True):
            said += chunk.choices[0].text

    with pytest.raises(openai.APIError) as caught:
        await read()
    assert 0 < len(said) < len(TEXT)
    assert TEXT.startswith(said)
    assert caught.value.code == "502"
    assert await place.charged() == [0]


async def test_a_hang_up_costs_what_was_delivered(place: Place) -> None:
    stream = await place.client.completions.create(model="test/slow", prompt=PROMPT, stream=True)
    async for chunk in stream:
        if chunk.choices[0].text:
            break
    await stream.close()
    await eventually(lambda: place.app.disconnects == 1)
    (cost,) = await place.charged()
    assert cost is not None
    assert 0 < cost < 5 * 1000 + TOKENS * 2000
    (row,) = place.calls.rows.values()
    assert (row.cancelled, row.usage_estimated) == (True, True)


async def test_limits_and_credit(place: Place) -> None:
    hasty = place.client.with_options(api_key=place.hasty)
    await ask(hasty, stream=False)
    with pytest.raises(openai.RateLimitError):
        await ask(hasty, stream=True)
    poor = place.client.with_options(api_key=place.poor)
    for best_of in (1, 2):
        with pytest.raises(openai.PermissionDeniedError, match="limit exceeded"):
            await ask(poor, stream=False, best_of=best_of)
    assert len(place.sent()) == 1


@both
async def test_what_was_sent_and_how_it_was_routed(place: Place, stream: bool) -> None:
    fields: dict[str, Any] = {
        "model": "test/rescued", "prompt": PROMPT, "stream": stream,
        "extra_headers": {"X-OpenRouter-Metadata": "enabled"},
        "extra_body": {"debug": {"echo_upstream_body": True}},
    }  # fmt: skip
    answer: Any = await place.client.completions.create(**fields)
    chunks = [chunk.model_dump() async for chunk in answer] if stream else [answer.model_dump()]
    echoed = [chunk["debug"]["echo_upstream_body"] for chunk in chunks if "debug" in chunk]
    assert [one.get("prompt") for one in echoed] == ([PROMPT, None] if stream else [])
    told = chunks[-1]["openrouter_metadata"]
    assert told["attempts"] == [
        {"provider": "P0", "model": "test/rescued", "status": 429},
        {"provider": "P1", "model": "test/rescued", "status": 200},
    ]
    assert told["summary"] == "available=2, selected=P1"


@both
@pytest.mark.parametrize(
    "upstream", [Spoken("fake", name) for name in DIALECTS], indirect=True, ids=list(DIALECTS)
)
@pytest.mark.parametrize("model", ["test/lorem", "test/reason"])
async def test_a_provider_of_every_dialect(
    gateway: Running, upstream: Upstream, model: str, stream: bool
) -> None:
    async with (
        calling(gateway),
        openai.AsyncOpenAI(base_url=gateway.base_url, api_key=gateway.key, max_retries=0) as client,
    ):
        fields: dict[str, Any] = {"model": model, "max_tokens": 2000, "echo": True}
        texts, last = await ask(client, stream=stream, **fields)
        assert texts == [PROMPT + TEXT]
        assert last.choices[0].finish_reason == "stop"
        assert last.usage is not None
        check_usage(last.usage.model_dump())
        with pytest.raises(openai.RateLimitError):
            await ask(client, stream=stream, **(fields | {"model": "test/limited"}))
        texts, _ = await ask(client, stream=stream, **(fields | {"model": "test/rescued"}))
        assert texts == [PROMPT + TEXT]
        texts, _ = await ask(client, stream=stream, n=2, **fields)
        assert [len(text) for text in texts] == [len(PROMPT + TEXT)] * SEVERAL[upstream.dialect]


async def test_many_at_once(place: Place) -> None:
    models = ["test/lorem", "test/chat"] * 10
    answers = await asyncio.gather(
        *(
            ask(place.client, stream=number % 3 == 0, model=model)
            for number, model in enumerate(models)
        )
    )
    assert [texts for texts, _ in answers] == [[TEXT]] * len(models)
    assert len(set(await place.charged())) == 1
