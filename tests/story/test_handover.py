"""A provider's bytes handed to the caller from inside its callback: what must hold in every state.

An answer is in one of three states when something happens to it: its events are decoded and encoded
again, they are spliced (learned templates), or its tail is held because its choices have finished
and the charge is not durable yet. Whatever the state: what is out stays out and nobody else is
asked; who cancels ends it with an error in the stream; and a caller that hangs up is charged for
what it was given, once, and its provider hears of it in the same moment.
"""

import asyncio
import gc
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.errors import GatewayError
from proxy.pipeline.attempt import Attempt
from proxy.pipeline.bell import Bell
from proxy.pipeline.exchange import Exchange
from proxy.pipeline.race import Race
from proxy.pipeline.relay import Relay
from proxy.pipeline.visits import Visit
from proxy.routing.catalogue import Endpoint
from tests.clock import play
from tests.stage import (
    DONE,
    HEAD,
    JSON_HEAD,
    KEY,
    SECRET,
    USAGE,
    Client,
    Providers,
    Script,
    Stage,
    asked,
    chunk,
    endpoint,
    model,
    whole,
)


def _hung_up_on(one: Endpoint) -> Endpoint:
    """Its provider charges no more for an answer that is hung up on, so nobody hears it out."""
    return replace(one, provider=replace(one.provider, cancel_stops_billing=True))


MODEL = model("test/one", *(_hung_up_on(endpoint(slug)) for slug in ("p0", "p1")))
CREDIT_NANO = 10**12
TEXT = [chunk("one "), chunk("two "), chunk("three "), chunk("four ")]


def _call(arguments: str, **first: Any) -> bytes:
    piece = {"index": 0, "function": {"arguments": arguments, **first}}
    delta = {"role": "assistant", "tool_calls": [{**piece, "id": "call-1"} if first else piece]}
    return chunk(choices=[{"index": 0, "delta": delta, "finish_reason": None}])


STATES = {
    "spliced": TEXT,
    "decoded": [_call("", name="look"), _call('{"at":'), _call("1"), _call("2")],
    "held": [*TEXT[:3], chunk(finish="stop")],
}
SAID = {"spliced": b"four ", "decoded": b'"arguments":"2"', "held": b"three "}
PIECE_S = 0.1
THEN_S = 0.65  # after all pieces of a state, and before anything else comes
END = chunk(finish="stop") + chunk(choices=[], usage=USAGE) + DONE


class Told:
    """One streamed request of a caller with credit, and how it went on from a state."""

    def __init__(self, state: str, *then: tuple[float, Any]) -> None:
        pieces = [(0.2 + n * PIECE_S, piece) for n, piece in enumerate(STATES[state])]
        self.state = state
        self.script: Script = [(0.1, HEAD), *pieces, *then]
        self.out_at_once: list[bool] = []

    async def play(self, act: Any = None) -> "Told":
        self.stage = await Stage(
            Providers(self.script), MODEL, credit_nano=CREDIT_NANO, key=KEY
        ).open()
        self.client = Client(asked(), {"Authorization": f"Bearer {SECRET}"})
        if act is not None:
            self.client.later(THEN_S, lambda: act(self))
        await self.stage.ask(self.client)
        await self.stage.close()
        return self

    @property
    def charged(self) -> int:
        (settlement,) = self.stage.books.settlements
        assert self.stage.vault.balance("default").charged_nano == settlement.charge_nano
        return settlement.charge_nano


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "direct", True)


@pytest.mark.parametrize("state", STATES)
def test_what_is_out_stays_out(state: str) -> None:
    """The content has committed the answer: a failure after it is told, and nobody else asked."""
    told = play(Told(state, (1.0, GatewayError("provider_cut", "cut"))).play())
    assert len(told.stage.providers.calls) == 1
    assert SAID[state] in told.client.body
    assert told.client.status == 200
    if state == "held":  # complete without its usage
        assert told.client.events[-1]["usage"]["cost"] > 0
        assert told.charged > 0
    else:
        assert told.client.error["code"] == 502
        assert told.charged == 0
        assert told.client.body.index(SAID[state]) < told.client.body.index(b'"error"')


@pytest.mark.parametrize("state", STATES)
def test_who_cancels_ends_it_in_words(state: str) -> None:
    told = play(Told(state, (9.0, END)).play(lambda told: told.stage.flow.stop()))
    assert told.stage.providers.calls[0].cancelled_at == pytest.approx(THEN_S, abs=0.01)
    assert told.client.ended_at == pytest.approx(THEN_S, abs=0.01)
    assert SAID[state] in told.client.body
    assert told.client.error["code"] == 503
    assert told.client.body.count(b"[DONE]") == 1
    assert told.charged == 0


@pytest.mark.parametrize("state", STATES)
def test_a_hang_up_is_heard_at_once_and_charged_once(state: str) -> None:
    def hang_up(told: Told) -> None:
        told.client.hang_up()
        (call,) = told.stage.providers.calls
        told.out_at_once.append(call.cancelled_at is not None)

    told = play(Told(state, (9.0, END)).play(hang_up))
    assert told.out_at_once == [True]  # in the caller's own callback, not a turn later
    row = told.stage.row
    assert (row.cancelled, row.status, row.usage_estimated) == (True, 499, True)
    assert told.charged > 0
    assert b"[DONE]" not in told.client.body
    assert b'"finish_reason":"stop"' not in told.client.body


@pytest.mark.parametrize("state", STATES)
def test_no_task_wakes_for_a_piece(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece is out when the provider's callback returns; the story wakes for the end alone."""
    rings: list[float] = []
    ring = Bell.ring

    def counted(bell: Bell) -> None:
        rings.append(asyncio.get_running_loop().time())
        ring(bell)

    monkeypatch.setattr(Bell, "ring", counted)
    told = play(Told(state, (1.0, END), (1.1, None)).play())
    began_at = told.stage.providers.calls[0].began_at
    last_at = 0.2 + (len(STATES[state]) - 1) * PIECE_S
    quiet = [at - began_at for at in rings if 0.15 < at - began_at < last_at - PIECE_S / 2]
    assert quiet == []
    said = [at for at, message in told.client.said if b"data:" in message.get("body", b"")]
    pieces = len(STATES[state]) - (state == "held")
    assert [round(at, 1) for at in said[:pieces]] == [
        round(0.2 + n * PIECE_S, 1) for n in range(pieces)
    ]
    assert told.client.events[-1]["usage"]["completion_tokens"] == USAGE["completion_tokens"]


@pytest.mark.parametrize("stream", [True, False])
def test_nothing_of_a_request_is_left_for_the_collector(stream: bool) -> None:
    async def story() -> list[object]:
        script: Script = [(0.1, HEAD), (0.2, TEXT[0]), (0.3, TEXT[1]), (0.4, END), (0.5, None)]
        if not stream:
            script = [(0.1, JSON_HEAD), (0.2, whole()), (0.3, None)]
        stage = await Stage(Providers(script), MODEL).open()
        gc.disable()
        try:
            client = Client(asked(stream=stream))
            await stage.ask(client)
            assert client.status == 200
            for call in stage.providers.calls:
                del call._sink  # what is left of a call knows its attempt
            await asyncio.sleep(60.0)
            return [type(one) for one in left() if id(one) not in known]
        finally:
            gc.enable()
            await stage.close()

    def left() -> list[object]:
        kinds = (Exchange, Relay, Race, Visit, Attempt)
        return [one for one in gc.get_objects() if isinstance(one, kinds)]

    gc.collect()
    others = left()  # of other tests, which somebody still holds
    known = set(map(id, others))
    assert play(story()) == []


def test_thoughts_that_the_caller_will_not_see_are_kept_from_it() -> None:
    """The first of them commits the answer, but its head goes out with what the caller sees."""
    deltas = [{"role": "assistant", "reasoning": f"hm {n} "} for n in range(3)]
    thoughts = [chunk(choices=[{"index": 0, "delta": delta}]) for delta in deltas]

    async def story() -> Client:
        told = [*thoughts, *TEXT]
        pieces = [(0.2 + n * PIECE_S, piece) for n, piece in enumerate(told)]
        script: Script = [(0.1, HEAD), *pieces, (1.2, END), (1.3, None)]
        stage = await Stage(Providers(script), MODEL).open()
        client = Client(asked(reasoning={"exclude": True}))
        await stage.ask(client)
        await stage.close()
        return client

    client = play(story())
    assert b"hm" not in client.body
    heads = [at for at, message in client.said if message["type"] == "http.response.start"]
    assert heads == [pytest.approx(0.2 + len(thoughts) * PIECE_S)]
    assert [one["choices"][0]["delta"]["content"] for one in client.events[: len(TEXT)]] == [
        "one ", "two ", "three ", "four ",
    ]  # fmt: skip


@pytest.mark.parametrize("state", STATES)
def test_a_slow_caller_loses_nothing_of_it(state: str) -> None:
    """It stops reading in the state, and reads on later: the story waits for it, all comes."""
    told = Told(state, (1.0, END), (1.1, None))

    async def story() -> None:
        told.stage = await Stage(
            Providers(told.script), MODEL, credit_nano=CREDIT_NANO, key=KEY
        ).open()
        told.client = Client(asked(), {"Authorization": f"Bearer {SECRET}"})
        told.client.later(0.25, told.client.reads.clear)
        told.client.later(5.0, told.client.reads.set)
        await told.stage.ask(told.client)
        await told.stage.close()

    play(story())
    fast = play(Told(state, (1.0, END), (1.1, None)).play())
    assert told.client.events == fast.client.events
    assert told.charged == fast.charged > 0
