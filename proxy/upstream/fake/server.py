"""The simulated provider: an ASGI application that speaks every dialect and fails on demand.

It stands in for a provider in tests, in `bench/` and in `weir demo`. It knows nothing of Weir's own
dialects, so that what both say of the wire are two witnesses. `scenario` describes
what it can be told; a request for the model `fault/<name>` shows a fault without being told.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from random import Random
from typing import Final, NamedTuple

from starlette.types import Message, Receive, Scope, Send

from proxy.upstream.fake import mangle
from proxy.upstream.fake.ask import Refused, Request
from proxy.upstream.fake.faults import flow_of, plain, play, refusal
from proxy.upstream.fake.mangle import Cut, Head, Scene, Step, Wait
from proxy.upstream.fake.manner import Failure
from proxy.upstream.fake.reply import Reply
from proxy.upstream.fake.routes import CHAT, route
from proxy.upstream.fake.scenario import FAULTS, Scenario, Script, load_scenario
from proxy.upstream.fake.seals import Larder, Seal

__all__ = ["FAULTS", "Fake", "Scenario", "Seen", "fake", "load_scenario"]

_SENDS_PER_BREATH: Final = 32
_CREATED_S: Final = 1_750_000_000


class ConnectionCut(Exception):
    """Raised in the middle of a response: the server closes the connection without an end mark.

    Where nothing was sent yet, servers answer 500 instead; only `weir.abort` can cut there.
    """


class Seen(NamedTuple):
    """A request as it arrived; `headers` have lower-case names."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Fake:
    """The application, and what a test may read of it while it runs.

    `requests` counts all that came, `open` those being answered, `disconnects` those whose caller
    hung up before the end, at `disconnect_times` (monotonic seconds). `seen` has the last requests.
    """

    def __init__(
        self, scenario: Scenario, *, rng: Random, now: Callable[[], float], keep: int
    ) -> None:
        self._rng = rng
        self._now = now
        self._larder = Larder()
        self.requests = 0
        self.open = 0
        self.disconnects = 0
        self.disconnect_times: deque[float] = deque(maxlen=10_000)
        self.seen: deque[Seen] = deque(maxlen=keep)
        self.play(scenario)

    def play(self, scenario: Scenario) -> None:
        """Begin `scenario`; requests being answered go on as they began."""
        self._script = Script(scenario)
        self._seal = Seal(scenario.seed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            self.requests += 1
            self.open += 1
            try:
                await self._exchange(scope, receive, send)
            finally:
                self.open -= 1

    async def _exchange(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        if body is None:
            self._count_hang_up()
            return
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        seen = Seen(scope["method"], scope["path"], headers, body)
        self.seen.append(seen)
        request = Request(
            *seen,
            raw_path=scope.get("raw_path", b"").decode("latin-1"),
            query=scope.get("query_string", b"").decode("latin-1"),
        )
        # Hypercorn's `send` says nothing after a hang-up, so somebody has to sit in `receive`.
        answering = asyncio.create_task(_perform(self._steps(request), scope, send))
        watching = asyncio.create_task(_hung_up(receive))
        try:
            await asyncio.wait((answering, watching), return_when=asyncio.FIRST_COMPLETED)
        finally:
            answering.cancel()
            watching.cancel()
            await asyncio.wait((answering, watching))
        try:
            answering.result()
        except (asyncio.CancelledError, OSError):  # OSError: ASGI's word for a late `send`
            self._count_hang_up()

    def _count_hang_up(self) -> None:
        self.disconnects += 1
        self.disconnect_times.append(time.monotonic())

    def _steps(self, request: Request) -> Iterator[Step]:
        scenario = self._script.scenario
        rng = Random(self._rng.getrandbits(64))
        found = route(request)
        if found is None:
            message = f"Invalid URL ({request.method} {request.path})"
            return refusal(CHAT, Failure("unknown-model", message))
        manner = found.manner
        credential, is_let_in = manner.credential(request, scenario.api_key)
        if not is_let_in:
            return refusal(manner, Failure("bad-key"))
        if found.lists:
            rule = self._script.choose("models", "*")
            return plain(manner, rule, manner.models(scenario.models, _CREATED_S), rng)
        try:
            ask = manner.decode(request, self._seal)
        except Refused as error:
            return refusal(manner, Failure(error.kind, str(error), code=error.code))
        rule = self._script.choose(ask.task, ask.model)
        answer = flow_of(rule, scenario.answer)
        reply = Reply(
            ask,
            answer,
            rng,
            int(self._now()),
            seal=self._seal,
            cached=self._larder.use(ask),
            mute=rule.fault == "no-content",
        )
        scene = Scene(rule, manner, reply, rng)
        return play(scene, answer, stream=ask.stream, credential=credential)


def fake(
    scenario: Scenario | None = None,
    *,
    rng: Random | None = None,
    now: Callable[[], float] = lambda: _CREATED_S,
    keep: int = 0,
) -> Fake:
    """A simulated provider that plays `scenario`, or what ships with it.

    `rng` makes its ids and random faults (by default from the scenario's seed), `now` its `created`
    (seconds since 1970; by default always the same), `keep` is how many requests `seen` remembers.
    """
    scenario = Scenario() if scenario is None else scenario
    return Fake(scenario, rng=rng or Random(scenario.seed), now=now, keep=keep)


async def _perform(steps: Iterator[Step], scope: Scope, send: Send) -> None:
    """Do what `steps` say. Waits keep to a timetable, so that short ones do not add up to more."""
    due = time.monotonic()
    sends = 0
    for step in steps:
        match step:
            case mangle.FOREVER:
                await asyncio.Event().wait()  # uvloop can not sleep that long
            case Wait(seconds):
                due += seconds
                await asyncio.sleep(max(0, due - time.monotonic()))
            case Cut():
                _abort(scope)
                return
            case Head(status, headers):
                await send(
                    {"type": "http.response.start", "status": status, "headers": list(headers)}
                )
            case _:
                await send({"type": "http.response.body", "body": step, "more_body": True})
                sends += 1
                if sends % _SENDS_PER_BREATH == 0:
                    await asyncio.sleep(0)  # a server's `send` need not let the watcher run
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _abort(scope: Scope) -> None:
    """Reset the connection where the server offers it, else make the server close it."""
    abort = (scope.get("extensions") or {}).get("weir.abort")
    if abort is None:
        raise ConnectionCut
    abort()


async def _body(receive: Receive) -> bytes | None:
    """The whole request body; None where the caller hung up before its end."""
    parts = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


async def _hung_up(receive: Receive) -> None:
    """Returns when the caller is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _live(receive: Receive, send: Send) -> None:
    message: Message = {"type": ""}
    while message["type"] != "lifespan.shutdown":
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
