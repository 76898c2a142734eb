"""A large request is read and written in steps, and becomes what it would be at once."""

import asyncio
import time
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from proxy.dialects import INBOUND, OUTBOUND, outbound
from proxy.dialects.asking import Target
from proxy.dialects.bodies import BIG_BODY_BYTES
from proxy.errors import CallerGone, GatewayError
from proxy.pipeline.attempt import Attempt
from proxy.pipeline.dispatch import dispatch
from proxy.pipeline.errands import Errands
from proxy.pipeline.exchange import Exchange
from proxy.pipeline.large import in_turns, write_ahead
from proxy.providers import Provider, known
from proxy.quirks import Quirks
from proxy.routing.catalogue import Endpoint
from proxy.routing.plan import Plan
from proxy.upstream.signing import Credential
from proxy.wire.slices import Steps, at_once
from tests.pipeline.test_dispatch import Key
from tests.stage import (
    END,
    JSON_HEAD,
    SECRET,
    Client,
    Providers,
    Stage,
    endpoint,
    model,
    play,
    snapshot,
    whole,
)
from tests.stage import way as way

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TALK: list[dict[str, Any]] = [
    {"role": "user", "content": "x" * 900},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c", "content": "y" * 900},
    {"role": "assistant", "content": "z" * 300},
]
SMALL = orjson.dumps({"model": "a/b", "messages": TALK})
LARGE = orjson.dumps({"model": "a/b", "messages": TALK * 200})
assert len(LARGE) > BIG_BODY_BYTES > len(SMALL)


async def turning(work: Any) -> tuple[Any, int]:
    """What came of it, and how many turns the loop had meanwhile."""
    turns, over = 0, False

    async def count() -> None:
        nonlocal turns
        while not over:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    try:
        return await work, turns
    finally:
        over = True
        await counting


def three(error: Exception | None = None) -> Steps[str]:
    for _ in range(3):
        yield
    if error is not None:
        raise error
    return "done"


async def test_the_loop_turns_between_steps() -> None:
    assert await turning(in_turns(three())) == ("done", 3)
    with pytest.raises(ZeroDivisionError):
        await in_turns(three(ZeroDivisionError()))


async def test_who_is_cancelled_leaves_the_rest() -> None:
    done = 0

    def endless() -> Steps[None]:
        nonlocal done
        while True:
            done += 1
            yield

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.0):
            await in_turns(endless())
    before = done
    await asyncio.sleep(0)
    assert done == before


async def test_only_a_large_body_is_read_in_steps() -> None:
    row = INBOUND["chat"]
    for body, waits in ((SMALL, False), (LARGE, True)):
        ask, turns = await turning(in_turns(row.decode_steps(body, ())))
        assert ask == row.decode_request(body, ())
        assert (turns > 5) is waits


async def test_a_format_without_steps_reads_at_once() -> None:
    body = orjson.dumps({"model": "a/b", "input": ["x" * BIG_BODY_BYTES]})
    ask, turns = await turning(in_turns(INBOUND["embeddings"].decode_steps(body, ())))
    assert ask == INBOUND["embeddings"].decode_request(body, ())
    assert turns == 0


async def test_a_large_body_that_is_wrong() -> None:
    with pytest.raises(GatewayError, match="temperature"):
        await in_turns(INBOUND["chat"].decode_steps(LARGE[:-1] + b',"temperature":3}', ()))


def asked(body: bytes, *endpoints: Endpoint, form: str = "chat") -> Exchange:
    exchange = Exchange(id="gen-1", created_at=1.0, started_at=1.0, snapshot=snapshot())
    exchange.ask = INBOUND[form].decode_request(body, ())
    served = model("a/b", *endpoints)
    exchange.plan = Plan(attempts=tuple((served, one) for one in endpoints))
    return exchange


def sent(exchange: Exchange, place: int) -> bytes:
    """What that endpoint of the plan is sent."""
    assert exchange.plan is not None
    served, one = exchange.plan.attempts[place]
    attempt = Attempt(
        exchange, served, one, encoder=None, ring=lambda: None, clock=lambda: 1.0
    )  # fmt: skip
    body = dispatch(exchange, attempt, Credential(Key(), 0), {}).body
    assert body is not None
    return body


async def test_the_first_endpoint_is_written_for_ahead() -> None:
    first, second = endpoint("p0"), endpoint("p1")
    exchange = asked(LARGE, first, second)
    _, turns = await turning(write_ahead(exchange))
    assert turns > 3
    assert exchange.ahead is not None
    assert exchange.ahead[0] is first
    ahead = exchange.ahead[1]
    assert orjson.loads(sent(exchange, 1))["model"] == "p1-model"
    assert sent(exchange, 0) is ahead.body
    assert vars(exchange)["ahead"] is None, "it is no longer needed"
    assert sent(exchange, 0) == ahead.body


async def test_a_small_request_is_not() -> None:
    exchange = asked(SMALL, endpoint())
    await write_ahead(exchange)
    assert exchange.ahead is None


async def test_nor_one_that_is_carried_as_it_is() -> None:
    body = orjson.dumps({
        "model": "a/b", "max_tokens": 5, "messages": [{"role": "user", "content": "x" * 300_000}],
    })  # fmt: skip
    claude = replace(endpoint(), provider=known()["anthropic"])
    exchange = asked(body, claude, form="messages")
    await write_ahead(exchange)
    assert exchange.ahead is None


async def test_what_can_not_be_written_fails_when_it_is_asked() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}
    talk = [*TALK * 200, {"role": "user", "content": [image]}]
    plain = endpoint()
    blind = replace(plain, provider=replace(plain.provider, quirks=Quirks(attachments=())))
    exchange = asked(orjson.dumps({"model": "a/b", "messages": talk}), blind)
    await write_ahead(exchange)
    assert exchange.ahead is None
    with pytest.raises(GatewayError, match="attachments"):
        sent(exchange, 0)


async def test_who_hung_up_meanwhile_is_gone() -> None:
    client, exchange = Client(), asked(LARGE, endpoint())
    errands = Errands(gate=None, clock=lambda: 1.0)  # type: ignore[arg-type]
    client.caller.watch(lambda: None)
    running = asyncio.create_task(errands.run(exchange, client.caller))
    await asyncio.sleep(0)
    client.hang_up()
    with pytest.raises(CallerGone):
        await running


FORMS = [
    (slug, provider) for slug, provider in known().items() if provider.dialect in OUTBOUND
]  # fmt: skip


@pytest.mark.parametrize(("slug", "provider"), FORMS, ids=[slug for slug, _ in FORMS])
@pytest.mark.parametrize("name", ["claude-sonnet-4-5", "gpt-5", "gemini-2.5-pro"])
def test_every_format_says_the_same_in_steps(slug: str, provider: Provider, name: str) -> None:
    ask = INBOUND["chat"].decode_request(LARGE, ())
    options = {"project": "p", "location": "l", "api_version": "1", "region": "r"}
    target = Target(replace(provider, options=options), name)
    row = outbound(provider, name, ask)
    assert row.encode_steps is not None
    assert at_once(row.encode_steps(ask, target)) == row.encode_request(ask, target)
    steps = sum(1 for _ in row.encode_steps(ask, target))
    assert steps >= len(TALK) * 200 // 256


@pytest.mark.slow
@pytest.mark.parametrize("form", ["chat", "messages", "responses"])
def test_how_long_the_steps_of_2_mb_take(form: str) -> None:
    """Prints; times decide nothing."""
    talk: list[Any] = [{"role": one["role"], "content": one["content"]} for one in TALK[::3]]
    said = talk * 1600
    body = {"model": "a/b", "max_tokens": 9, "input" if form == "responses" else "messages": said}
    longest_ms = 0.0
    steps = INBOUND[form].decode_steps(orjson.dumps(body), ())
    while True:
        began = time.perf_counter()
        done = next(steps, steps) is steps
        longest_ms = max(longest_ms, (time.perf_counter() - began) * 1e3)
        if done:
            break
    print(f"{form}: the longest step took {longest_ms:.2f} ms")


@pytest.mark.usefixtures("way")
def test_a_large_request_from_end_to_end() -> None:
    async def story() -> tuple[Client, Stage]:
        client = Client(LARGE, {"Authorization": f"Bearer {SECRET}"})
        stage = Stage(
            Providers([(0.1, JSON_HEAD), (0.2, whole()), (0.3, END)]), model("a/b", endpoint())
        )
        stage.snapshot = stage.snapshot._replace(body_bytes_max=2 * len(LARGE))
        await stage.ask(client)
        return client, stage

    client, stage = play(story())
    assert orjson.loads(client.body)["choices"][0]["message"]["content"] == "hello"
    body = stage.providers.calls[0].call.body
    ask = INBOUND["chat"].decode_request(LARGE, ())
    provider = endpoint().provider
    assert body == OUTBOUND["openai"].encode_request(ask, Target(provider, "p0-model")).body
