"""`python -m bench.budget`: what each step of a request costs, next to what it may cost.

One thread, no sockets, no other process. Steps of the story are timed where they happen, in a
gateway on stage (see `stage`) that answers request after request; what needs no gateway is timed
in loops. All figures are medians of CPU time, in microseconds.
"""

import asyncio
import gc
import inspect
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import click
import orjson

from bench import ledger
from bench.canned import MODEL, OPENAI, OTHER
from bench.dialects import HEAD, PROVIDER, micros
from bench.rows import markdown, number
from bench.stage import Stage, stage
from bench.wires import StillLoop
from proxy.dialects import INBOUND, OUTBOUND, Bill
from proxy.dialects.asking import Target
from proxy.dialects.chat.splice import spliced
from proxy.pipeline import till
from proxy.pipeline.admit import Gate
from proxy.pipeline.flow import Flow
from proxy.pipeline.where import Where
from proxy.providers import Quirks
from proxy.wire.events import Spliced, Usage

WARM: Final = 100
EVENTS: Final = 200
_LENGTH: Final = re.compile(rb"Content-Length: \d+")
POLICIES: Final = {
    'author = "bench"': 'author = "bench"\ntrains_on_data = false\nretains_prompts_days = 0',
    "pricing = { ": 'quantization = "bf16"\n  pricing = { input_cache_read = "0.0000001", ',
}
"""What providers and endpoints must say for those who insist on it."""

_SLUGS: Final = ["claude", *(f"canned-{number}" for number in range(1, 8))]
WISHES: Final[dict[str, Any]] = {
    "models": [OTHER],
    "session_id": "a-conversation",
    "service_tier": "priority",
    "tools": [{"type": "function", "function": {"name": "now", "parameters": {}}}],
    "response_format": {"type": "json_object"},
    "provider": {
        "only": _SLUGS,
        "ignore": ["nobody"],
        "require_parameters": True,
        "data_collection": "deny",
        "zdr": True,
        "quantizations": ["bf16", "fp8"],
        "sort": {"by": "throughput", "partition": "none"},
        "max_price": {"prompt": 5, "completion": 10},
        "preferred_min_throughput": {"p50": 20, "p90": 5},
        "preferred_max_latency": {"p50": 3, "p99": 20},
    },
}
"""Every policy but an order, in which nobody would stay with its conversation."""

SIZES: Final = {"2 kB": 1_500, "212 kB": 211_500, "2.1 MB": 2_099_000}


class Line(NamedTuple):
    """One figure, and its limit where it has one."""

    title: str
    micros: float
    limit: float | None = None


class Watch:
    """Times calls of patched functions; its own cost is measured first, and taken off."""

    def __init__(self) -> None:
        self.spent_ns: dict[str, list[int]] = {}
        self._own_ns = 0.0
        probe = self._timed(_nothing, "watch")
        for _ in range(2000):
            probe()
        self._own_ns = median(self.spent_ns.pop("watch"))

    @contextmanager
    def on(self, owner: Any, name: str) -> Iterator[None]:
        """Times `owner.name` meanwhile, under that name."""
        before = getattr(owner, name)
        timed = self._timed_wait if inspect.iscoroutinefunction(before) else self._timed
        setattr(owner, name, timed(before, name))
        try:
            yield
        finally:
            setattr(owner, name, before)

    def micros(self, *names: str) -> float:
        """The median of a call, of several functions the sum of theirs."""
        return sum(max(0.0, median(self.spent_ns[one]) - self._own_ns) / 1e3 for one in names)

    def _timed(self, fn: Callable[..., Any], name: str) -> Callable[..., Any]:
        note, clock = self.spent_ns.setdefault(name, []).append, time.perf_counter_ns

        def timed(*args: Any, **more: Any) -> Any:
            began_ns = clock()
            value = fn(*args, **more)
            note(clock() - began_ns)
            return value

        return timed

    def _timed_wait(self, fn: Callable[..., Any], name: str) -> Callable[..., Any]:
        note, clock = self.spent_ns.setdefault(name, []).append, time.perf_counter_ns

        async def timed(*args: Any, **more: Any) -> Any:
            began_ns = clock()
            value = await fn(*args, **more)
            note(clock() - began_ns)
            return value

        return timed


def _nothing() -> None:
    pass


# On stage.


async def _steps(requests: int) -> list[Line]:
    """Plan, admission and the end of a JSON request."""
    three, eight, wishes = Watch(), Watch(), Watch()
    with _folder() as folder:
        async with stage(folder) as stand:
            await _serve(stand, WARM)
            with (
                three.on(Flow, "authenticate"),
                three.on(Where, "plan"),
                three.on(Gate, "admit"),
                three.on(till, "settle"),
            ):
                await _serve(stand, requests)
    with _folder() as folder:
        async with stage(folder, endpoints=8) as stand:
            await _serve(stand, WARM)
            with eight.on(Where, "plan"):
                await _serve(stand, requests)
    with _folder() as folder:
        async with stage(folder, endpoints=7, edits=POLICIES) as stand:
            asked = wishful(stand.request())
            await _serve(stand, WARM, asked)
            with wishes.on(Where, "plan"):
                await _serve(stand, requests, asked)
    return [
        Line("plan over 3 endpoints", three.micros("plan"), 5),
        Line("plan over 8 endpoints", eight.micros("plan"), 15),
        Line("plan over 8 endpoints, with every wish", wishes.micros("plan"), 15),
        Line("authenticate, limits and hold", three.micros("authenticate", "admit"), 5),
        Line("– of it authenticate", three.micros("authenticate")),  # noqa: RUF001 - a dash for people
        Line("what is owed, and the row", three.micros("settle")),
    ]


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
        yield Path(folder)


def wishful(request: bytes) -> bytes:
    """The same request with a wish of every kind."""
    head, _, body = request.partition(b"\r\n\r\n")
    asked = orjson.dumps(orjson.loads(body) | WISHES)
    return b"%b\r\n\r\n%b" % (_LENGTH.sub(b"Content-Length: %d" % len(asked), head), asked)


async def _serve(stand: Stage, requests: int, asked: bytes | None = None) -> None:
    asked = asked or stand.request()
    for _ in range(requests):
        await stand.ask(asked)
        gc.collect(0)


async def _carried(rounds: int) -> list[Line]:
    """From the provider's connection to the caller's, each event in a callback of its own."""
    lines = []
    with _folder() as folder:
        async with stage(folder) as stand:
            for title, model in (("spliced", MODEL), ("Anthropic to chat", OTHER)):
                one, many = [await _stream_us(stand, n, model, rounds) for n in (1, 1 + EVENTS)]
                lines.append(Line(f"an event on its way, {title}", (many - one) / EVENTS))
    return lines


async def _stream_us(stand: Stage, events: int, model: str, rounds: int) -> float:
    asked = stand.request(events, model)
    taken = []
    for _ in range(rounds):
        began_s = time.thread_time()
        await stand.ask(asked)
        taken.append(time.thread_time() - began_s)
        gc.collect(0)
    return median(taken[rounds // 5 :]) * 1e6


# In loops.


def _edits(rounds: int) -> list[Line]:
    """A reply from the provider's words to the caller's."""
    chat = INBOUND["chat"]
    body = OPENAI.whole.partition(b"\r\n\r\n")[2]
    ask = chat.decode_request(request(1_500), ())
    decode, quirks, bill = OUTBOUND["openai"].decode_answer, Quirks(), Bill(Usage())

    def whole() -> None:
        chat.encode_answer(decode(body, quirks), HEAD, ask, bill)

    streaming = chat.decode_request(request(1_500, stream=True), ())
    pieces = [OPENAI.piece % (number, 1000 + number) for number in range(EVENTS)]

    def carry() -> None:
        encoder = chat.streaming(HEAD, streaming)
        assert encoder is not None
        decoder = OUTBOUND["openai"].decoder(quirks)
        for piece in pieces:
            for event in decoder.feed(piece):
                encoder.encode(event)

    def splice() -> None:
        encoder = chat.streaming(HEAD, streaming)
        assert encoder is not None
        decoder = spliced(OUTBOUND["openai"].decoder(quirks), encoder)
        assert decoder is not None
        for piece in pieces:
            if decoder.splice(piece) is None:  # what it learns by
                for event in decoder.feed(piece):
                    event.data if isinstance(event, Spliced) else encoder.encode(event)

    return [
        Line("edit of a whole answer", micros(whole, rounds * 20), 4),
        Line("edit of an event, spliced", micros(splice, rounds) / EVENTS, 4),
        Line("edit of an event, decoded", micros(carry, rounds) / EVENTS, 4),
    ]


def request(content_bytes: int, *, stream: bool = False) -> bytes:
    """A chat's body with so much text in it."""
    turns = [{"role": "user", "content": "To the weir, and back. " * (content_bytes // 23)}]
    return orjson.dumps({"model": MODEL, "stream": stream, "messages": turns})


def _requests(rounds: int) -> list[Line]:
    """A request from the caller's words to the provider's."""
    lines = []
    for title, size in SIZES.items():
        body, target = request(size), Target(PROVIDER, "large-1", 8000)

        def handed_on(body: bytes = body, target: Target = target) -> None:
            ask = INBOUND["chat"].decode_request(body, ())
            OUTBOUND["openai"].encode_request(ask, target)

        lines.append(Line(f"request of {title}, decoded and encoded", micros(handed_on, rounds)))
    return lines


def _ledger(batches: int) -> list[Line]:
    figures = ledger.measure(batches)
    return [
        Line("ledger, on the loop", sum(map(figures.median, ledger.ON_LOOP)), 4),
        Line("ledger, in the writer's thread", figures.median("writer"), 12),
    ]


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--rounds", type=click.IntRange(1, 10_000), default=200, help="Of each figure.")
def main(rounds: int) -> None:
    """Print what each step of a request costs, and its limit."""
    gc.disable()
    with asyncio.Runner(loop_factory=StillLoop) as runner:
        lines = runner.run(_steps(rounds * 5))
        lines += _ledger(rounds)
        lines += _edits(rounds)
        lines += _requests(rounds)
        lines += runner.run(_carried(rounds))
    rows = [["step", "µs", "limit", "within"]]
    for line in lines:
        limit = "" if line.limit is None else f"≤ {number(line.limit)}"
        within = "" if line.limit is None else "yes" if line.micros <= line.limit else "no"
        rows.append([line.title, number(line.micros), limit, within])
    click.echo(markdown(rows))


if __name__ == "__main__":
    main()
