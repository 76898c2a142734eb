"""The scenarios that every official SDK goes through, with either provider behind the gateway."""

import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.running import Running, config_text, eventually, model_text
from tests.sdk.clients import Client, JSONObject, Outcome
from tests.sdk.upstreams import (
    ARGUMENTS,
    ODD,
    PICTURES,
    QUESTION,
    QUESTION_USAGE,
    RESULTS,
    SEEN,
    SHORT,
    TEXT,
    THOUGHT,
    WEATHER,
    Upstream,
)

PIXEL = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(60)).decode()
PICTURE = "https://pictures.example/weir.jpg"

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "enum": ["Oslo"]},
        "degrees": {"type": "integer"},
        "sky": {"type": "string", "enum": ["clear", "cloudy"]},
    },
    "required": ["city", "degrees", "sky"],
    "additionalProperties": False,
}
RESPONSE_FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "weather", "strict": True, "schema": SCHEMA},
}


def tool(name: str) -> JSONObject:
    """A function whose only possible arguments are `ARGUMENTS`."""
    properties = {
        parameter: {"type": "string", "enum": [value]}
        for parameter, value in ARGUMENTS[name].items()
    }
    parameters = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return {
        "type": "function",
        "function": {"name": name, "strict": True, "parameters": parameters},
    }


TOOLS = [tool(name) for name in ARGUMENTS]


class World(NamedTuple):
    """A client of a gateway before a provider: as it should be, with a key that nobody made, and
    with the other base URL.
    """

    client: Client
    stranger: Client
    elsewhere: Client
    upstream: Upstream

    @classmethod
    def meet(cls, client: type[Client], gateway: Running, upstream: Upstream) -> "World":
        return cls(
            client(gateway.base_url, gateway.key),
            client(gateway.base_url, "sk-or-v1-" + "0" * 64),
            client(f"{gateway.url}/v1", gateway.key),
            upstream,
        )


def config(folder: Path, upstream: Upstream) -> str:
    """Two providers at the same address, so that there is somewhere to fall back to."""

    def model(name: str, *names: str) -> str:
        return model_text(
            f"test/{name}", *[(f"p{number}", theirs) for number, theirs in enumerate(names)]
        )

    more = (
        model("lorem", "weir/lorem")
        + model("reason", "weir/reason")
        + model("slow", "weir/slow")
        + model("limited", "fault/rate-limit", "fault/rate-limit")
        + model("rescued", "fault/rate-limit", "weir/lorem")
        + model("too-long", "fault/too-long", "weir/lorem")
        + model("bad-key", "fault/bad-key")
        + model("cut", "fault/cut", "weir/lorem")
        + model("cut-head", "fault/cut-head")
        + model("cut-rescued", "fault/cut-head", "weir/lorem")
        + model("bad-json", "fault/bad-json")
        + "".join(model_text(name, ("p0", name)) for name in ODD)
    )
    text = config_text(folder, upstream.base_url, upstream.base_url, more=more)
    return text.replace('name = "P0"\n', 'name = "P0"\ncancel_stops_billing = true\n')


def ask(text: str | list[JSONObject] = QUESTION, model: str = "test/lorem", **more: Any) -> Any:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def check(outcome: Outcome, text: str, *, finish_reason: str = "stop", times: int = 1) -> None:
    """What holds for every answer: who it is from, what it says, and that its usage adds up."""
    assert outcome.id.startswith("gen-")
    assert outcome.text == text
    assert outcome.finish_reason == finish_reason
    check_usage(outcome.usage, times)


def check_usage(usage: JSONObject, times: int = 1) -> None:
    """`times` is how much dearer than `tests.running.PRICING` it was."""
    prompt, completion = usage["prompt_tokens"], usage["completion_tokens"]
    assert prompt > 0 < completion
    assert usage["total_tokens"] == prompt + completion
    assert usage["is_byok"] is False
    details = usage["cost_details"]
    asked, said = prompt * 1e-6 * times, completion * 2e-6 * times
    assert details["upstream_inference_prompt_cost"] == pytest.approx(asked)
    assert details["upstream_inference_completions_cost"] == pytest.approx(said)
    assert usage["cost"] == pytest.approx(asked + said)
    assert details["upstream_inference_cost"] == pytest.approx(usage["cost"])


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
    (body,) = await world.upstream.bodies()
    assert body["model"] == "weir/lorem"
    assert body.get("stream", False) is stream


async def other_prefix(world: World, stream: bool) -> None:
    check(await world.elsewhere.chat(ask(), stream=stream), TEXT)


async def length(world: World, stream: bool) -> None:
    request = ask("Be short", max_tokens=3)
    check(await world.client.chat(request, stream=stream), SHORT, finish_reason="length")
    assert (await world.upstream.bodies())[0]["max_tokens"] == 3


async def reasoning(world: World, stream: bool) -> None:
    outcome = await world.client.chat(ask(model="test/reason"), stream=stream)
    check(outcome, TEXT)
    assert outcome.reasoning == THOUGHT


async def one_tool(world: World, stream: bool) -> None:
    await _converse(world, "What is the weather in Oslo?", ["get_weather"], stream=stream)


async def parallel_tools(world: World, stream: bool) -> None:
    question = "What are the weather and the time in Oslo? Call both tools."
    await _converse(world, question, ["get_weather", "get_time"], stream=stream)


async def _converse(world: World, question: str, names: list[str], *, stream: bool) -> None:
    """The model calls, the caller answers with its SDK's own dump, the model has the last word."""
    request = ask(question, tools=TOOLS, tool_choice="auto", parallel_tool_calls=True)
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
    seen = (await world.upstream.bodies())[1]["messages"]
    assert [message["role"] for message in seen] == ["user", "assistant"] + ["tool"] * len(names)
    assert [(call["id"], call["function"]["name"]) for call in seen[1]["tool_calls"]] == [
        (id_, name) for id_, name, _ in asked.calls
    ]


async def structured(world: World, stream: bool) -> None:
    outcome = await world.client.chat(ask(response_format=RESPONSE_FORMAT), stream=stream)
    check(outcome, json.dumps(WEATHER))
    assert json.loads(outcome.text) == WEATHER
    seen = (await world.upstream.bodies())[0]["response_format"]
    assert seen["json_schema"]["schema"] == SCHEMA


async def pictures(world: World, stream: bool) -> None:
    parts: list[JSONObject] = [
        {"type": "text", "text": PICTURES},
        {"type": "image_url", "image_url": {"url": PIXEL}},
        {"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}},
    ]
    check(await world.client.chat(ask(parts), stream=stream), SEEN)
    (body,) = await world.upstream.bodies()
    assert body["messages"][0]["content"] == parts


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
    check(outcome, TEXT, times=1000)
    assert outcome.provider == ("P1" if world.client.provider_named else None)


async def cut_head_rescued(world: World, stream: bool) -> None:
    outcome = await world.client.chat(ask(model="test/cut-rescued"), stream=stream)
    check(outcome, TEXT, times=1000)


async def caller_at_fault(world: World, stream: bool) -> None:
    failure = await world.client.fail(ask(model="test/too-long"), stream=stream)
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

    await eventually(noticed, within_s=1.0)


TWICE: list[Callable[[World, bool], Awaitable[None]]] = [
    chat, other_prefix, length, reasoning, one_tool, parallel_tools, structured, pictures, bad_key,
    unknown_model, everywhere_limited, rescued, cut_head_rescued, caller_at_fault, gateway_at_fault,
    provider_gone,
]  # fmt: skip
ONCE: list[Callable[[World], Awaitable[None]]] = [
    models, broken_body, death_in_the_middle, hang_up,
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
