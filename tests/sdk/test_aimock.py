"""aimock as the provider: what it says through the gateway is what it says to its own callers.

It is a real HTTP server that this project did not write. The scenarios of all SDKs run before it
too, beside the simulated provider, in the files of those SDKs.
"""

import json
from collections.abc import AsyncIterator
from typing import Any, Final

import openai
import pytest

from tests.running import Running
from tests.sdk.dialects import DIALECTS
from tests.sdk.script import ODD, QUESTION
from tests.sdk.upstreams import Spoken, Upstream
from tests.sdk.world import ask, check_usage

pytestmark = pytest.mark.sdk

in_its_own_words = pytest.mark.parametrize("upstream", ["aimock"], indirect=True)
in_other_words = pytest.mark.parametrize(
    "upstream",
    [Spoken("aimock", dialect) for dialect in DIALECTS if dialect != "openai"],
    ids=lambda spoken: spoken.dialect,
    indirect=True,
)

_WORD: Final = "it gives OpenAI's finish reason, which that dialect does not have"
_PLAN: Final = "it tells a plan before calls, but only in a stream"
UNLIKE: Final = {
    ("responses", "odd/filtered"): "it calls the answer failed, not incomplete",
    ("anthropic", "odd/filtered"): _WORD,
    ("bedrock", "odd/filtered"): _WORD,
    ("cohere", "odd/filtered"): _WORD,
    ("cohere", "odd/thought"): "it has no thinking blocks there",
    ("cohere", "odd/words-call"): _PLAN,
    ("cohere", "odd/call-words"): _PLAN,
    ("cohere", "odd/calls"): _PLAN,
    ("cohere", "odd/bare-call"): _PLAN,
}
"""Where aimock itself says something else in that dialect than in OpenAI's chat."""


@pytest.fixture
async def direct(aimock: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{aimock}/v1", api_key="-") as client:
        yield client


@pytest.fixture
async def through(gateway: Running) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key=gateway.key) as client:
        yield client


async def whole(client: openai.AsyncOpenAI, model: str) -> dict[str, Any]:
    completion = await client.chat.completions.create(**ask(model=model))
    (choice,) = completion.choices
    message: Any = choice.message
    return {
        "text": message.content or "",
        # aimock has it by DeepSeek's name, the gateway by OpenRouter's.
        "reasoning": getattr(message, "reasoning_content", None)
        or getattr(message, "reasoning", None),
        "calls": [
            [call.function.name, call.function.arguments] for call in message.tool_calls or ()
        ],
        "finish_reason": choice.finish_reason,
        "usage": _counts(completion.usage),
    }


async def streamed(client: openai.AsyncOpenAI, model: str) -> dict[str, Any]:
    told: dict[str, Any] = {"text": "", "reasoning": "", "calls": [], "finish_reason": None}
    request = ask(model=model, stream=True, stream_options={"include_usage": True})
    async for chunk in await client.chat.completions.create(**request):
        if chunk.usage:
            told["usage"] = _counts(chunk.usage)
        for choice in chunk.choices:
            delta = choice.delta.model_dump()
            told["text"] += delta["content"] or ""
            told["reasoning"] += delta.get("reasoning_content") or delta.get("reasoning") or ""
            told["finish_reason"] = choice.finish_reason or told["finish_reason"]
            for piece in delta["tool_calls"] or ():
                if piece["index"] == len(told["calls"]):
                    told["calls"].append([piece["function"]["name"], ""])
                told["calls"][piece["index"]][1] += piece["function"]["arguments"]
    return told | {"reasoning": told["reasoning"] or None}


def _counts(usage: Any) -> list[int]:
    return [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens]


@in_its_own_words
@pytest.mark.parametrize("model", ODD)
@pytest.mark.parametrize("take", [whole, streamed])
async def test_nothing_is_lost(
    take: Any, model: str, direct: openai.AsyncOpenAI, through: openai.AsyncOpenAI
) -> None:
    expected = await take(direct, model)
    assert expected["text"] or expected["calls"]
    assert await take(through, model) == mended(expected)


@in_other_words
async def test_nothing_is_lost_in_other_words(
    direct: openai.AsyncOpenAI, through: openai.AsyncOpenAI, upstream: Upstream
) -> None:
    unlike = set()
    for model in ODD:
        for take in (whole, streamed):
            expected = mended(await take(direct, model))
            try:
                told = await take(through, model)
            except openai.APIError:
                unlike.add((upstream.dialect, model))
                continue
            # It counts nothing in other dialects, unless it is told what.
            if model != "odd/counted":
                told["usage"] = expected["usage"]
            if told != expected:
                unlike.add((upstream.dialect, model))
    assert unlike == {row for row in UNLIKE if row[0] == upstream.dialect}


def mended(value: Any) -> Any:
    """aimock counts in UTF-16 and cuts characters in two; what they are when joined again."""
    return json.loads(json.dumps(value))


@in_its_own_words
async def test_its_models_are_offered(
    direct: openai.AsyncOpenAI, through: openai.AsyncOpenAI
) -> None:
    theirs = {model.id async for model in direct.models.list()}
    assert theirs >= set(ODD)  # the others are in the gateway's configuration, under its own names
    assert {model.id async for model in through.models.list()} >= set(ODD)


@in_its_own_words
async def test_it_sees_an_ordinary_request(through: openai.AsyncOpenAI, upstream: Upstream) -> None:
    request = ask(temperature=0.5, stop=["."], seed=7, logit_bias={"50256": -100})
    completion = await through.chat.completions.create(**request)
    check_usage(json.loads(completion.model_dump_json())["usage"])
    (body,) = await upstream.bodies()
    assert body | {"model": "test/lorem"} == request
    assert body["messages"] == [{"role": "user", "content": QUESTION}]
