"""A stage for the story of one request: a clock that jumps, a provider and a caller by script.

Hours pass in milliseconds, and every time that is asserted is exact: the loop of `play` never
sleeps, it moves its clock to whatever comes next.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import orjson
import pytest

from proxy.accounts.keys import Key, mint
from proxy.accounts.ledger import Settlement
from proxy.accounts.limits import Book
from proxy.dialects import INBOUND
from proxy.errors import GatewayError
from proxy.money import Pricing
from proxy.pipeline.admit import Gate
from proxy.pipeline.exchange import Snapshot
from proxy.pipeline.flow import Flow
from proxy.providers import Provider
from proxy.routing.catalogue import Catalogue, Endpoint, Model
from proxy.routing.health import Pool
from proxy.routing.waits import Timeouts
from proxy.serving.caller import meet
from proxy.serving.direct import DIRECT
from proxy.simulation.vault import ModelVault
from proxy.stores.limits import LocalLimiter
from proxy.stores.treasury import Treasury
from proxy.upstream.signing import Signer, Signing
from proxy.upstream.transport import Call, Sink
from proxy.wire.record import Generation, Try
from tests.clock import play as play

WALL = 1_750_000_000.0
SECRET, KEY = mint("app", token_hex=lambda size: "ab" * size, now=WALL)
SSE = {"Content-Type": "text/event-stream; charset=utf-8"}
JSON = {"Content-Type": "application/json"}


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
        tag=slug,
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


def snapshot(*models: Model, keys: Mapping[str, Sequence[str | Signer]] | None = None) -> Snapshot:
    return Snapshot(
        catalogue=Catalogue(models),
        signing=Signing(keys or {}),
        anonymous=True,
        body_bytes_max=100_000,
        client_stall_s=30.0,
    )


# The caller.


class Line:
    """The caller's connection in plain calls, told in the messages of ASGI. A caller that does not
    read has it full after the first piece.
    """

    def __init__(self, client: "Client", body: bytes) -> None:
        self._client = client
        self._body: bytes | None = body
        self._on_gone: Callable[[], None] | None = None
        self._on_drained: Callable[[], None] | None = None
        self._head: dict[str, Any] | None = None
        self._over = False
        self.gone = False
        self.full = False
        self.kept: dict[str, Any] = {}

    def body(self) -> bytes | None:
        body, self._body = self._body, None
        return body

    def watch(self, on_gone: Callable[[], None], on_drained: Callable[[], None]) -> None:
        self._on_gone, self._on_drained = on_gone, on_drained
        if self.gone:
            on_gone()

    def unwatch(self) -> None:
        self._on_gone = self._on_drained = None

    def start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        head = {"type": "http.response.start", "status": status, "headers": list(headers)}
        self._client.said.append((self._client.now, head))

    def write(self, data: bytes) -> None:
        self._say({"type": "http.response.body", "body": data, "more_body": True})
        self.full = not self._client.reads.is_set()

    def finish(self, data: bytes = b"") -> None:
        self._say({"type": "http.response.body", "body": data})
        self._over = True

    def _say(self, message: dict[str, Any]) -> None:
        assert not self._over
        if not self.gone:
            self._client.said.append((self._client.now, message))

    def break_off(self) -> None:
        self._over = True

    # What happens to it.

    def lose(self) -> None:
        if not self._over:
            self.gone = True
            if self._on_gone is not None:
                self._on_gone()

    def drain(self) -> None:
        self.full = False
        if self._on_drained is not None:
            self._on_drained()


class _Reads(asyncio.Event):
    """Cleared: the caller does not read."""

    def __init__(self, on_set: Callable[[], None]) -> None:
        super().__init__()
        self._on_set = on_set

    def set(self) -> None:
        super().set()
        self._on_set()


@pytest.fixture(params=[False, True], ids=["send", "direct"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to a caller: through `send`, and by plain calls to its connection."""
    monkeypatch.setattr(Client, "direct", request.param)


ONLY_SEND = pytest.mark.parametrize("way", [False], indirect=True, ids=["send"])
"""For what only a server's `send` can do."""


class Client:
    """A caller as the server shows it; all times are seconds since it was made. With `direct` its
    server offers its connection in plain calls.
    """

    direct = False

    def __init__(self, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._began_at = self._loop.time()
        self._pending: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._pending.put_nowait({"type": "http.request", "body": body})
        self.said: list[tuple[float, dict[str, Any]]] = []
        self.line = Line(self, body) if self.direct else None
        self.reads = _Reads(self.line.drain if self.line is not None else lambda: None)
        self.reads.set()
        pairs = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
        scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/", "headers": pairs}
        if self.line is not None:
            scope["extensions"] = {DIRECT: self.line}
        self.caller = meet(scope, self._pending.get, self._send)

    async def _send(self, message: Any) -> None:
        await self.reads.wait()
        self.said.append((self.now, dict(message)))

    @property
    def now(self) -> float:
        return round(self._loop.time() - self._began_at, 3)

    def hang_up(self) -> None:
        if self.line is not None:
            self.line.lose()
        else:
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
    """What a flow leaves behind; every charge is durable `durable_s` after it was handed over."""

    def __init__(self, vault: ModelVault, *keys: Key) -> None:
        self._keys = {key.hash: key for key in keys}
        self._vault = vault
        self.durable_s = 0.001
        self.tries: list[Try] = []
        self.settlements: list[Settlement] = []
        self.notes: list[Settlement] = []
        self.refusals: list[str] = []

    @property
    def rows(self) -> list[Generation]:
        return [one.generation for one in self.settlements]

    def key(self, hash: str) -> Key | None:
        return self._keys.get(hash)

    def tried(self, note: Try) -> None:
        self.tries.append(note)

    def noted(self, settlement: Settlement) -> None:
        self.notes.append(settlement)

    def finished(self, settlement: Settlement) -> None:
        self.settlements.append(settlement)
        self._vault.settle([settlement])

    def settled(self, settlement: Settlement) -> asyncio.Future[None]:
        self.finished(settlement)
        durable = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(self.durable_s, durable.set_result, None)
        return durable

    def refused(self, kind: str) -> None:
        self.refusals.append(kind)


class Stage:
    """A flow with everything around it; `ask` serves one request. With `credit_nano` credits are
    enforced, for the key `KEY` of the default account.
    """

    def __init__(
        self,
        providers: Providers,
        *models: Model,
        shown: Snapshot | None = None,
        credit_nano: int | None = None,
        key: Key | None = None,
    ) -> None:
        self.providers = providers
        self.vault = ModelVault()
        self.vault.create_account("default", WALL)
        if credit_nano:
            self.vault.grant("default", credit_nano, id="grant", at=WALL)
        self.books = Books(self.vault, *([key] if key else []))
        self.snapshot = shown or snapshot(*models)
        self.snapshot = self.snapshot._replace(
            anonymous=key is None, enforce=self.snapshot.enforce or credit_nano is not None
        )
        clock = asyncio.get_running_loop().time
        self.treasury = Treasury(
            self._call, new_owner=lambda: "stage", clock=clock, wall=lambda: WALL
        )
        self.book = Book()
        limiter = LocalLimiter(self.book, clock=clock, wall=lambda: WALL)
        self.gate = Gate(self.treasury, limiter, bought=lambda _: 0, clock=clock)
        self.pool = Pool(rng=lambda: 0.5)
        self.flow = Flow(
            snapshot=lambda: self.snapshot,
            books=self.books,
            gate=self.gate,
            pool=self.pool,
            transport=providers,
            clock=clock,
            wall=lambda: WALL,
            rng=lambda: 0.0,
            new_id=lambda wall: f"gen-{int(wall)}-{len(self.books.rows)}",
            agent="test",
        )

    async def _call(self, work: Callable[[ModelVault], Any]) -> Any:
        return work(self.vault)

    async def open(self) -> "Stage":
        """Begin as an owner of the ledger; only what needs credit needs it."""
        await self.treasury.open()
        return self

    async def close(self) -> None:
        """End the drains, return the leases."""
        await self.flow.close()
        await self.treasury.close()

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
    credit_nano: int | None = None,
    key: Key | None = None,
) -> tuple[Client, Stage]:
    """One request, from beginning to end; `act` may arrange what happens meanwhile."""

    async def story() -> tuple[Client, Stage]:
        stage = Stage(
            Providers(*scripts),
            *(models or [model("test/one", endpoint())]),
            credit_nano=credit_nano,
            key=key,
        )
        await stage.open()
        client = Client(body or asked(), {"Authorization": f"Bearer {SECRET}"} if key else None)
        arranged = act(client, stage)
        if arranged is not None:
            await arranged
        await stage.ask(client)
        await stage.close()
        return client, stage

    return play(story())
