"""A stage for the story of one request: a clock that jumps, a provider and a caller by script.

Hours pass in milliseconds, and every time that is asserted is exact: the loop of `play` never
sleeps, it moves its clock to whatever comes next.
"""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
import orjson

from proxy.accounts.keys import Key
from proxy.dialects import INBOUND
from proxy.errors import GatewayError
from proxy.money import Pricing
from proxy.pipeline.exchange import Snapshot
from proxy.pipeline.flow import Flow
from proxy.providers import Provider
from proxy.routing.catalogue import Catalogue, Endpoint, Model, Timeouts
from proxy.serving.caller import Caller
from proxy.upstream.signing import Signing
from proxy.upstream.transport import Call, Sink
from proxy.wire.record import Generation, Try

T = TypeVar("T")
WALL = 1_750_000_000.0
SSE = {"Content-Type": "text/event-stream; charset=utf-8"}
JSON = {"Content-Type": "application/json"}


class _Selector(selectors.DefaultSelector):
    """Waits for nothing: what it should have waited is added to the clock."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everything waits and nothing is due: it would wait for ever"
        self.now += max(0.0, timeout)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def play(story: Coroutine[Any, Any, T]) -> T:
    """Runs `story` on a loop whose clock jumps. It must not wait for anything outside."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(story)


# The provider.


class Headed(NamedTuple):
    """The head of an answer."""

    status: int
    headers: Mapping[str, str]


Step = Headed | bytes | GatewayError | None
HEAD = Headed(200, SSE)
JSON_HEAD = Headed(200, JSON)
END: Step = None
Script = Sequence[tuple[float, Step]]
"""What a provider does: (seconds after the call, step). None is the end, an error a broken one."""


def chunk(content: str | None = None, *, finish: str | None = None, **more: Any) -> bytes:
    """One event of a stream of dialect `openai`; `usage=` and such stand beside the choices."""
    delta = {} if content is None else {"content": content}
    choices = [{"index": 0, "delta": {"role": "assistant", **delta}, "finish_reason": finish}]
    event = {"id": "up-1", "object": "chat.completion.chunk", "choices": choices} | more
    return b"data: " + orjson.dumps(event) + b"\n\n"


def whole(content: str = "hello", **more: Any) -> bytes:
    """A whole answer of dialect `openai`."""
    message = {"role": "assistant", "content": content}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return orjson.dumps({"id": "up-1", "choices": choices, "usage": USAGE} | more)


USAGE = {"prompt_tokens": 10, "completion_tokens": 5}
DONE = b"data: [DONE]\n\n"
GOOD = chunk("hello ") + chunk("world", finish="stop") + chunk(choices=[], usage=USAGE) + DONE


class Played:
    """A call of the script being played."""

    def __init__(self, call: Call, sink: Sink, script: Script) -> None:
        self.call = call
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self.began_at = self._loop.time()
        self.paused: list[float] = []
        self.resumed: list[float] = []
        self.cancelled_at: float | None = None
        self._timers = [  # loops do not keep the order of timers of the same time
            self._loop.call_later(at + number * 1e-6, self._do, step)
            for number, (at, step) in enumerate(script)
        ]

    def _do(self, step: Step) -> None:
        match step:
            case Headed(status, headers):
                self._sink.head(status, headers)
            case bytes():
                self._sink.data(step)
            case _:
                self._sink.end(step)

    def pause(self) -> None:
        self.paused.append(round(self._loop.time() - self.began_at, 3))

    def resume(self) -> None:
        self.resumed.append(round(self._loop.time() - self.began_at, 3))

    def cancel(self) -> None:
        if self.cancelled_at is None:
            self.cancelled_at = round(self._loop.time() - self.began_at, 3)
        for timer in self._timers:
            timer.cancel()


class Providers:
    """A transport that plays one script for each call, in their order."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self.calls: list[Played] = []

    def send(self, call: Call, sink: Sink) -> Played:
        played = Played(call, sink, self._scripts[len(self.calls)])
        self.calls.append(played)
        return played

    async def close(self) -> None:
        """Nothing is open."""


# What is configured.


def endpoint(slug: str = "p0", **timeouts: float) -> Endpoint:
    """One that costs a thousandth and two thousandths of a dollar a token."""
    return Endpoint(
        provider=Provider(slug=slug, name=slug.upper(), base_url=f"http://{slug}.test/v1/"),
        model=f"{slug}-model",
        context_length=None,
        max_completion_tokens=None,
        quantization="unknown",
        supported_parameters=None,
        pricing=msgspec.convert({"prompt": "0.001", "completion": "0.002"}, Pricing),
        timeouts=Timeouts(**timeouts),
    )


def model(id: str, *endpoints: Endpoint) -> Model:
    return Model(
        id=id,
        name=id,
        created=None,
        description=None,
        context_length=None,
        input_modalities=("text",),
        output_modalities=("text",),
        endpoints=endpoints,
    )


def snapshot(*models: Model, keys: Mapping[str, Sequence[str]] | None = None) -> Snapshot:
    return Snapshot(
        catalogue=Catalogue(models),
        signing=Signing(keys or {}),
        anonymous=True,
        body_bytes_max=100_000,
        client_stall_s=30.0,
    )


# The caller.


class Client:
    """A caller as the server shows it; all times are seconds since it was made."""

    def __init__(self, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._began_at = self._loop.time()
        self._pending: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._pending.put_nowait({"type": "http.request", "body": body})
        self.said: list[tuple[float, dict[str, Any]]] = []
        self.reads = asyncio.Event()  # cleared: the caller does not read
        self.reads.set()
        pairs = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
        scope = {"type": "http", "method": "POST", "path": "/", "headers": pairs}
        self.caller = Caller(scope, self._pending.get, self._send)

    async def _send(self, message: Any) -> None:
        await self.reads.wait()
        self.said.append((self.now, dict(message)))

    @property
    def now(self) -> float:
        return round(self._loop.time() - self._began_at, 3)

    def hang_up(self) -> None:
        self._pending.put_nowait({"type": "http.disconnect"})

    def later(self, at: float, what: Callable[[], object]) -> None:
        self._loop.call_later(at, what)

    @property
    def status(self) -> int:
        return int(self.said[0][1]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.said[0][1]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for _, message in self.said)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events of a stream that ended well, or at least in order."""
        frames = [part for part in self.body.split(b"\n\n") if part and not part.startswith(b":")]
        assert frames[-1] == b"data: [DONE]"
        return [orjson.loads(frame.removeprefix(b"data: ")) for frame in frames[:-1]]

    @property
    def text(self) -> str:
        return "".join(
            choice["delta"]["content"] or "" for event in self.events for choice in event["choices"]
        )

    @property
    def error(self) -> dict[str, Any]:
        if self.headers["content-type"] == "application/json":
            return dict(orjson.loads(self.body)["error"])
        return dict(self.events[-1]["error"])

    def times_of(self, fragment: bytes) -> list[float]:
        """When something with `fragment` in it was said."""
        return [at for at, message in self.said if fragment in message.get("body", b"")]

    @property
    def ended_at(self) -> float | None:
        at, message = self.said[-1]
        return None if message.get("more_body") else at


class Books:
    """What a flow leaves behind."""

    def __init__(self, *keys: Key) -> None:
        self._keys = {key.hash: key for key in keys}
        self.tries: list[Try] = []
        self.rows: list[Generation] = []
        self.refusals: list[str] = []

    def key(self, hash: str) -> Key | None:
        return self._keys.get(hash)

    def tried(self, note: Try) -> None:
        self.tries.append(note)

    def finished(self, row: Generation) -> None:
        self.rows.append(row)

    def refused(self, kind: str) -> None:
        self.refusals.append(kind)


class Stage:
    """A flow with everything around it; `ask` serves one request."""

    def __init__(self, providers: Providers, *models: Model, shown: Snapshot | None = None) -> None:
        self.providers = providers
        self.books = Books()
        self.snapshot = shown or snapshot(*models)
        self.flow = Flow(
            snapshot=lambda: self.snapshot,
            books=self.books,
            transport=providers,
            clock=asyncio.get_running_loop().time,
            wall=lambda: WALL,
            new_id=lambda wall: f"gen-{int(wall)}-{len(self.books.rows)}",
            agent="test",
        )

    async def ask(self, client: Client) -> Client:
        await self.flow.serve(client.caller, INBOUND["chat"])
        return client

    @property
    def row(self) -> Generation:
        (row,) = self.books.rows
        return row


def asked(model: str = "test/one", *, stream: bool = True, **more: Any) -> bytes:
    """The body of a request."""
    messages = [{"role": "user", "content": "hello"}]
    return orjson.dumps({"model": model, "messages": messages, "stream": stream} | more)


def tell(
    *scripts: Script,
    models: Sequence[Model] = (),
    body: bytes = b"",
    act: Callable[[Client, Stage], Awaitable[None] | None] = lambda client, stage: None,
) -> tuple[Client, Stage]:
    """One request, from beginning to end; `act` may arrange what happens meanwhile."""

    async def story() -> tuple[Client, Stage]:
        stage = Stage(Providers(*scripts), *(models or [model("test/one", endpoint())]))
        client = Client(body or asked())
        arranged = act(client, stage)
        if arranged is not None:
            await arranged
        await stage.ask(client)
        return client, stage

    return play(story())
