"""Answers heard out when their caller is gone: bounded, and settled exactly once."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from proxy.dialects import OUTBOUND
from proxy.dialects.chat.stream import Encoder
from proxy.errors import GatewayError
from proxy.pipeline import drains as module
from proxy.pipeline.attempt import Attempt
from proxy.pipeline.clocks import USAGE_WAIT_S
from proxy.pipeline.drains import DRAIN_S, Drains, owed, part
from proxy.pipeline.exchange import Exchange
from proxy.upstream.transport import Call
from proxy.wire.request import Ask, Task
from tests.clock import play
from tests.scripted import served
from tests.stage import (
    DONE,
    END,
    HEAD,
    JSON_HEAD,
    USAGE,
    Providers,
    Script,
    chunk,
    model,
    snapshot,
    whole,
)

FINISH = chunk(finish="stop", usage=USAGE)


class Left:
    """An attempt whose caller has gone, and when it was settled; times are since it began."""

    def __init__(
        self, script: Script, *, stream: bool = True, task: Task = "chat", **endpoint: Any
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.began_at = self.loop.time()
        self.exchange = Exchange(
            id="gen-1", created_at=1.0, started_at=self.began_at, snapshot=snapshot()
        )
        self.exchange.ask = Ask(models=("m",), body={"messages": []}, stream=stream, task=task)
        self.endpoint = served(**endpoint)
        self.model = model("test/one", self.endpoint)
        head = self.exchange.head_of(self.model, self.endpoint)
        self.attempt = Attempt(
            self.exchange,
            self.model,
            self.endpoint,
            encoder=Encoder(head, self.exchange.ask) if stream else None,
            ring=lambda: None,
            clock=self.loop.time,
        )
        self.attempt.read_as(OUTBOUND["openai"])
        self.call = Providers(script).send(Call("", {}, b"", 1.0), self.attempt)
        self.attempt.sent = self.call
        self.settled: list[tuple[float, int | None, int]] = []

    def settle(self) -> None:
        usage = self.exchange.usage
        at = round(self.loop.time() - self.began_at, 3)
        tokens = usage.completion_tokens if usage else None
        self.settled.append((at, tokens, self.exchange.said_bytes))


async def _drained(
    script: Script, *, stream: bool = True, gone_at: float = 1.0, within_s: float = 1000.0
) -> Left:
    left, drains = Left(script, stream=stream), Drains()
    await asyncio.sleep(gone_at)
    drains.take(left.attempt, left.settle)
    await drains.close(within_s)
    assert len(drains) == 0
    assert left.exchange.endpoint is left.endpoint
    await asyncio.sleep(USAGE_WAIT_S + 1)
    assert all(handle.cancelled() for handle in left.loop._scheduled)  # type: ignore[attr-defined]
    return left


OPEN: Script = [(0.1, HEAD), (0.2, chunk("four")), (2.0, chunk("more"))]

DRAINED: dict[str, tuple[Script, bool, tuple[float, int | None, int], float | None]] = {
    "usage and finish": ([*OPEN, (3.0, FINISH), (9.0, END)], True, (3.0, 5, 8), 5.0),
    "its own end": ([*OPEN, (3.0, FINISH + DONE), (3.5, END)], True, (3.0, 5, 8), None),
    "a finish without usage": (
        [*OPEN, (3.0, chunk(finish="stop")), (4.0, END)],
        True,
        (4.0, None, 8),
        None,
    ),
    "a cut": ([*OPEN, (3.0, GatewayError("provider_cut", "no"))], True, (3.0, None, 8), None),
    "no end": (OPEN, True, (1 + DRAIN_S, None, 8), 1 + DRAIN_S),
    "a whole answer": ([(2.0, JSON_HEAD), (3.0, whole()), (3.1, END)], False, (3.1, 5, 5), None),
    "over by then": ([(0.1, HEAD), (0.2, chunk("four") + FINISH + DONE)], True, (1.0, 5, 4), 3.0),
}


@pytest.mark.parametrize(("script", "stream", "settled", "cut"), DRAINED.values(), ids=DRAINED)
def test_an_answer_is_heard_out(
    script: Script, stream: bool, settled: tuple[float, int | None, int], cut: float | None
) -> None:
    left = play(_drained(script, stream=stream))
    assert left.settled == [settled]
    assert left.call.cancelled_at == cut


def test_what_is_heard_out_is_not_kept() -> None:
    async def story() -> None:
        left = Left([(0.1, HEAD), *((1.5 + n / 10, chunk("a" * 1000)) for n in range(50))])
        drains = Drains()
        await asyncio.sleep(1.0)
        drains.take(left.attempt, left.settle)
        await asyncio.sleep(20)
        assert not left.attempt.outlet.pieces
        assert left.call.paused == []
        assert left.attempt.outlet.events == []
        assert left.attempt.heard.said_bytes == 50_000
        await drains.close()

    play(story())


def test_who_was_held_back_may_send_again() -> None:
    async def story() -> Left:
        words = chunk("word " * 15_000)
        left = Left([(0.1, HEAD), (0.2, words), (2.0, FINISH), (2.1, END)])
        await asyncio.sleep(1.0)
        assert left.call.paused == [0.2]
        drains = Drains()
        drains.take(left.attempt, left.settle)
        assert left.call.resumed == [1.0]
        await drains.close(1000.0)
        return left

    assert play(story()).settled == [(2.0, 5, 75_000)]


def test_a_flood_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DRAIN_BYTES_MAX", 1000)
    flood: Script = [(0.1, HEAD), *((at / 10, chunk("a" * 100)) for at in range(2, 100))]
    left = play(_drained(flood))
    ((at, tokens, said),) = left.settled
    assert tokens is None
    assert at == left.call.cancelled_at
    assert 100 < said < 2000
    comments: Script = [(0.1, HEAD), *((1 + at / 10, b": hm" * 10 + b"\n\n") for at in range(200))]
    left = play(_drained(comments))
    assert left.settled[0][0] == left.call.cancelled_at == pytest.approx(3.3)


def test_there_is_room_for_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DRAINS_MAX", 2)

    async def story() -> list[Left]:
        drains = Drains()
        lefts = [Left([*OPEN, (3.0, FINISH), (3.1, END)]) for _ in range(3)]
        await asyncio.sleep(1.0)
        for left in lefts:
            drains.take(left.attempt, left.settle)
        assert len(drains) == 2
        await drains.close(1000.0)
        return lefts

    settled = [left.settled for left in play(story())]
    assert settled == [[(3.0, 5, 8)], [(3.0, 5, 8)], [(1.0, None, 4)]]


@pytest.mark.parametrize("within_s", [0.0, 0.5])
def test_closing_ends_what_is_left(within_s: float) -> None:
    left = play(_drained(OPEN, within_s=within_s))
    assert left.settled == [(1 + within_s, None, 4)]
    assert left.call.cancelled_at == 1 + within_s


def test_what_comes_after_the_close_ends_at_once() -> None:
    async def story() -> Left:
        drains, left = Drains(), Left(OPEN)
        await drains.close()
        await asyncio.sleep(1.0)
        drains.take(left.attempt, left.settle)
        assert len(drains) == 0
        return left

    assert play(story()).settled == [(1.0, None, 4)]


def test_a_close_that_is_cancelled_ends_them_too() -> None:
    async def story() -> Left:
        drains, left = Drains(), Left(OPEN)
        drains.take(left.attempt, left.settle)
        closing = asyncio.create_task(drains.close(1000.0))
        await asyncio.sleep(1.0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        return left

    assert play(story()).settled == [(1.0, None, 4)]


def test_one_that_can_not_be_settled_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> Left:
        drains, bad, good = Drains(), Left(OPEN), Left(OPEN)

        def fail() -> None:
            raise KeyError("secret")

        for left, then in ((bad, fail), (good, good.settle)):
            drains.take(left.attempt, then)
        await drains.close()
        assert len(drains) == 0
        return good

    assert len(play(story()).settled) == 1
    assert "internal error" in caplog.text


def test_an_end_that_comes_with_the_last_word_counts_once() -> None:
    """The look that the last word asked for comes when the drain has been closed."""

    async def story() -> Left:
        drains, left = Drains(), Left(OPEN)
        drains.take(left.attempt, left.settle)
        await asyncio.sleep(1.0)
        left.attempt.data(FINISH)
        left.attempt.data(chunk("more"))
        await drains.close()
        left.attempt.data(chunk("more"))
        await asyncio.sleep(0.1)
        return left

    assert len(play(story()).settled) == 1


def test_a_drain_ends_once() -> None:
    async def story() -> Left:
        drains, left = Drains(), Left(OPEN)

        def again() -> None:
            left.settle()
            (drain,) = drains._open
            drain.finish()

        drains.take(left.attempt, again)
        await drains.close()
        return left

    assert len(play(story()).settled) == 1


# Who is heard out, and how one takes leave.


def _try(act: Callable[[Left], object], **more: Any) -> Left:
    async def story() -> Left:
        left = Left([(0.1, HEAD), (0.2, chunk("a"))], **more)
        await asyncio.sleep(1.0)
        act(left)
        return left

    return play(story())


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, True),
        ({"stream": False}, True),
        ({"stops": True}, False),
        ({"price": None}, False),
        ({"price": "0"}, False),
        ({"stream": False, "task": "image"}, True),
        ({"stream": False, "task": "image", "stops": True}, False),
    ],
)
def test_who_is_owed(more: dict[str, Any], expected: bool) -> None:
    assert owed(_try(lambda left: None, **more).attempt) == expected


def test_nothing_is_owed_to_who_is_not_at_work() -> None:
    assert not owed(_try(lambda left: left.attempt.cancel()).attempt)
    assert not owed(_try(lambda left: left.attempt.data(FINISH + DONE)).attempt)

    async def before_content() -> bool:
        return owed(Left([]).attempt)

    assert not play(before_content())

    async def of_an_image() -> bool:
        return owed(Left([], task="image").attempt)

    assert play(of_an_image())


@pytest.mark.parametrize(("task", "heard"), [("image", True), ("chat", False)])
def test_what_is_made_in_one_piece_is_waited_for_longer(task: Task, heard: bool) -> None:
    """However large it is: an image has megabytes, and its provider is paid for it."""
    body = whole() + b" " * (2 * module.DRAIN_BYTES_MAX)

    async def story(at: float) -> Left:
        script: Script = [(1.0, JSON_HEAD), (1.0 + at, body), (2.0 + at, END)]
        left, drains = Left(script, stream=False, task=task), Drains()
        drains.take(left.attempt, left.settle)
        await drains.close(1000.0)
        return left

    for at in (2.0, module.AT_ONCE_S - 3):
        ((_, _, said),) = play(story(at)).settled
        assert bool(said) == heard


def test_only_a_complete_answer_may_end_by_itself() -> None:
    assert _try(lambda left: part(left.attempt)).call.cancelled_at == 1.0

    async def story() -> list[float | None]:
        complete = Left([(0.1, HEAD), (0.2, FINISH + DONE)])
        ended = Left([(0.1, HEAD), (0.2, FINISH + DONE), (0.3, END)])
        await asyncio.sleep(1.0)
        part(complete.attempt)
        part(ended.attempt)
        assert complete.call.cancelled_at is None
        await asyncio.sleep(3.0)
        return [complete.call.cancelled_at, ended.call.cancelled_at]

    assert play(story()) == [3.0, None]
