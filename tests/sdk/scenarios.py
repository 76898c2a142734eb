"""The scenarios that every official SDK goes through, with either provider behind the gateway."""

import base64
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

import pytest
from starlette.types import Receive, Scope, Send

from tests.running import TIMES_DEARER, eventually, serving
from tests.sdk.clients import JSONObject, Outcome
from tests.sdk.dialects import DIALECTS
from tests.sdk.script import (
    ARGUMENTS,
    FORMATTED,
    PICTURES,
    QUESTION_USAGE,
    RESULTS,
    SEEN,
    SHORT,
    SHORT_TOKENS,
    TEXT,
    THOUGHT,
    WEATHER,
)
from tests.sdk.world import RESPONSE_FORMAT, SCHEMA, TOOLS, World, ask, check

PIXEL = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(60)).decode()
PICTURE = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(60)


# The scenarios: each has its own name, and `stream` where both forms of an answer are asked for.


async def models(world: World) -> None:
    ids = await world.client.models()
    assert {"test/lorem", "test/reason", "test/slow"} <= set(ids)
    assert len(ids) == len(set(ids))


async def chat(world: World, stream: bool) -> None:
    outcome = await world.client.chat(ask(), stream=stream)
    check(outcome, TEXT)
    assert outcome.model == "test/lorem"
    assert outcome.provider == ("P0" if world.client.provider_named else None)
    assert outcome.usage.items() >= QUESTION_USAGE.items()
    assert outcome.usage["cost"] == pytest.approx(0.000069)
    (asked,) = await world.upstream.asked()
    assert asked.model == DIALECTS[world.upstream.dialect].model("lorem")
    assert (asked.stream, asked.turns) == (stream, ["user"])


async def other_prefix(world: World, stream: bool) -> None:
    check(await world.elsewhere.chat(ask(), stream=stream), TEXT)


async def length(world: World, stream: bool) -> None:
    request = ask("Be short", max_tokens=SHORT_TOKENS)
    check(await world.client.chat(request, stream=stream), SHORT, finish_reason="length")
    assert (await world.upstream.asked())[0].max_tokens == SHORT_TOKENS


async def reasoning(world: World, stream: bool) -> None:
    request = ask(model="test/reason", reasoning_effort="medium")
    outcome = await world.client.chat(request, stream=stream)
    check(outcome, TEXT)
    assert outcome.reasoning == THOUGHT


async def one_tool(world: World, stream: bool) -> None:
    await _converse(world, "What is the weather in Oslo?", ["get_weather"], stream=stream)


async def parallel_tools(world: World, stream: bool) -> None:
    question = "What are the weather and the time in Oslo? Call both tools."
    await _converse(world, question, ["get_weather", "get_time"], stream=stream)


async def thoughtful_tools(world: World) -> None:
    """What the model thought goes back to it with its calls, as its provider wants it. SDKs put the
    details of a streamed thought together as they please, so this is not streamed.
    """
    question = "What are the weather and the time in Oslo? Call both tools."
    thinks = {"model": "test/reason", "reasoning_effort": "medium"}
    names = ["get_weather", "get_time"]
    outcome = await _converse(world, question, names, stream=False, **thinks)
    assert outcome.reasoning
    details = outcome.message.get("reasoning_details") or ()
    signed = sum(bool(one.get("signature") or one.get("data")) for one in details)
    assert (await world.upstream.asked())[1].thoughts >= signed


async def _converse(
    world: World, question: str, names: list[str], *, stream: bool, **more: Any
) -> Outcome:
    """The model calls, which is the outcome, the caller answers with its SDK's own dump, and the
    model has the last word.
    """
    request = ask(question, tools=TOOLS, tool_choice="auto", parallel_tool_calls=True, **more)
    asked = await world.client.chat(request, stream=stream)
    check(asked, "", finish_reason="tool_calls")
    assert [(name, arguments) for _, name, arguments in asked.calls] == [
        (name, ARGUMENTS[name]) for name in names
    ]
    assert len({id_ for id_, _, _ in asked.calls}) == len(names)
    request["messages"] += [
        asked.message,
        *(
            {"role": "tool", "tool_call_id": id_, "content": RESULTS[name]}
            for id_, name, _ in asked.calls
        ),
    ]
    told = await world.client.chat(request, stream=stream)
    check(told, "The tool said: " + "; ".join(RESULTS[name] for name in names))
    assert told.calls == []
    (_, seen) = await world.upstream.asked()
    assert seen.turns == ["user", "assistant"] + ["tool"] * len(names)
    assert [name for _, name in seen.calls] == names
    assert [id_ for id_, _ in seen.calls] in (
        [id_ for id_, _, _ in asked.calls],
        [None] * len(names),  # not every provider knows ids
    )
    assert seen.results == [RESULTS[name] for name in names]
    return asked


async def structured(world: World, stream: bool) -> None:
    request = ask(FORMATTED, response_format=RESPONSE_FORMAT)
    outcome = await world.client.chat(request, stream=stream)
    check(outcome, json.dumps(WEATHER))
    assert json.loads(outcome.text) == WEATHER
    assert (await world.upstream.asked())[0].schema == SCHEMA


async def pictures(world: World, stream: bool) -> None:
    """Who does not fetch pictures is sent what the gateway has fetched."""
    async with serving(_show) as site:
        url = f"{site}/weir.jpg"
        parts: list[JSONObject] = [
            {"type": "text", "text": PICTURES},
            {"type": "image_url", "image_url": {"url": PIXEL}},
            {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
        ]
        check(await world.client.chat(ask(parts), stream=stream), SEEN)
    (asked,) = await world.upstream.asked()
    fetched = "data:image/jpeg;base64," + base64.b64encode(PICTURE).decode()
    assert [fetched if one == url else one for one in asked.images] == [PIXEL, fetched]


async def _show(scope: Scope, receive: Receive, send: Send) -> None:
    """A web site of one picture."""
    if scope["type"] != "http":
        return
    headers = [(b"content-type", b"image/jpeg")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": PICTURE})


async def bad_key(world: World, stream: bool) -> None:
    failure = await world.stranger.fail(ask(), stream=stream)
    assert (failure.name, failure.status) == (world.client.errors[401], 401)
    assert await world.upstream.bodies() == []


async def unknown_model(world: World, stream: bool) -> None:
    failure = await world.client.fail(ask(model="test/nothing"), stream=stream)
    assert (failure.name, failure.status) == (world.client.errors[400], 400)
    assert "test/nothing" in failure.message
    assert await world.upstream.bodies() == []


async def everywhere_limited(world: World, stream: bool) -> None:
    failure = await world.client.fail(ask(model="test/limited"), stream=stream)
    assert (failure.name, failure.status) == (world.client.errors[429], 429)
    assert failure.code == "429"
    assert len(await world.upstream.bodies()) == 2


async def rescued(world: World, stream: bool) -> None:
    outcome = await world.client.chat(ask(model="test/rescued"), stream=stream)
    check(outcome, TEXT, times=TIMES_DEARER)
    assert outcome.provider == ("P1" if world.client.provider_named else None)


async def cut_head_rescued(world: World, stream: bool) -> None:
    outcome = await world.client.chat(ask(model="test/cut-rescued"), stream=stream)
    check(outcome, TEXT, times=TIMES_DEARER)


async def caller_at_fault(world: World, stream: bool) -> None:
    failure = await world.client.fail(ask(model="test/refused"), stream=stream)
    assert (failure.name, failure.status) == (world.client.errors[400], 400)
    assert len(await world.upstream.bodies()) == 1


async def gateway_at_fault(world: World, stream: bool) -> None:
    """The provider refuses the gateway's key: no caller may believe that it is about his own."""
    failure = await world.client.fail(ask(model="test/bad-key"), stream=stream)
    assert (failure.name, failure.status) == (world.client.errors[502], 502)


async def provider_gone(world: World, stream: bool) -> None:
    failure = await world.client.fail(ask(model="test/cut-head"), stream=stream)
    assert (failure.name, failure.status) == (world.client.errors[502], 502)


async def broken_body(world: World) -> None:
    failure = await world.client.fail(ask(model="test/bad-json"), stream=False)
    assert (failure.name, failure.status) == (world.client.errors[502], 502)


async def death_in_the_middle(world: World) -> None:
    """An error for the SDK, after the text that did come; nobody else is asked by then."""
    failure = await world.client.fail(ask(model="test/cut"), stream=True)
    assert failure.name == world.client.broken_stream
    assert failure.code == "502"
    assert 0 < len(failure.said) < len(TEXT)
    assert TEXT.startswith(failure.said)
    assert len(await world.upstream.bodies()) == 1


async def hang_up(world: World) -> None:
    before = await world.upstream.hangups()
    said = await world.client.hang_up(ask(model="test/slow"))
    assert TEXT.startswith(said)

    async def noticed() -> bool:
        return await world.upstream.hangups() == before + 1

    await eventually(noticed)


TWICE: list[Callable[[World, bool], Awaitable[None]]] = [
    chat, other_prefix, length, reasoning, one_tool, parallel_tools, structured, pictures, bad_key,
    unknown_model, everywhere_limited, rescued, cut_head_rescued, caller_at_fault, gateway_at_fault,
    provider_gone,
]  # fmt: skip
ONCE: list[Callable[[World], Awaitable[None]]] = [
    models, thoughtful_tools, broken_body, death_in_the_middle, hang_up,
]  # fmt: skip


class Scenario(NamedTuple):
    """One scenario, ready to be run with any world."""

    name: str
    run: Callable[[World], Awaitable[None]]


def _streaming(run: Callable[[World, bool], Awaitable[None]], stream: bool) -> Scenario:
    name = f"{run.__name__}-{'streamed' if stream else 'whole'}"
    return Scenario(name, lambda world: run(world, stream))


SCENARIOS = [
    *(Scenario(run.__name__, run) for run in ONCE),
    *(_streaming(run, stream) for run in TWICE for stream in (False, True)),
]
every_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)

LONG: Final = "WEIR_ROUNDS" in os.environ


def abroad(place: int, share: int = 3) -> list[Scenario]:
    """Those that a caller goes through before a provider that speaks other words: all of them where
    `WEIR_ROUNDS` is set, else one in `share`, of each place others.
    """
    if LONG:
        return SCENARIOS
    return [one for number, one in enumerate(SCENARIOS) if (place + number) % share == 0]
