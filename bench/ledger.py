"""`python -m bench.ledger`: what the ledger costs a request, on the loop and beside it.

CPU time of one thread, in batches, over a real SQLite file; the disk's own work for a commit is
told apart, because a group of any size pays it once. Nothing else runs in this process meanwhile.
"""

import asyncio
import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from proxy.accounts.ledger import Settlement, account_pot
from proxy.stores.sql import SqlStore
from proxy.stores.treasury import Treasury
from proxy.stores.writer import Writer
from proxy.wire.record import Candidate, Generation, Try

BATCH = 100
CHARGE_NANO = 1000
HOLD_NANO = 5000
CREDIT_NANO = 10**15
ON_LOOP = ("hold", "end the hold", "row", "hand over")
POT = account_pot("default")
TRIES = (Try(provider="p", provider_name="P", model="m", status=200, latency_ms=300),)
CANDIDATES = tuple(Candidate(provider=f"p{number}", model="m") for number in range(3))


def row(id: str) -> Generation:
    """A generation as an ordinary request leaves it: one attempt, three candidates."""
    return Generation(
        id=id,
        created_at=1_750_000_000.0,
        key_hash="ab" * 32,
        model="acme/large",
        requested_model="acme/large",
        provider="p",
        provider_name="P",
        endpoint_model="m",
        upstream_id="chatcmpl-abcdefghijklmnop",
        streamed=True,
        finish_reason="stop",
        native_finish_reason="stop",
        latency_ms=300,
        generation_time_ms=900,
        prompt_tokens=100,
        completion_tokens=50,
        cost_nano=CHARGE_NANO,
        upstream_nano=CHARGE_NANO,
        held_nano=HOLD_NANO,
        user_agent="openai-python",
        attempts=TRIES,
        candidates=CANDIDATES,
    )


def settlement(id: str, owner: str) -> Settlement:
    """Its charge to the account."""
    return Settlement(owner=owner, generation=row(id), charge_nano=CHARGE_NANO, pots=(POT.name,))


class Figures:
    """Microseconds per request of each part, one figure a batch."""

    def __init__(self) -> None:
        self.parts: dict[str, list[float]] = {}

    @contextmanager
    def of(self, part: str, clock: Callable[[], float] = time.thread_time) -> Iterator[None]:
        began = clock()
        yield
        self.parts.setdefault(part, []).append((clock() - began) / BATCH * 1e6)

    def median(self, part: str) -> float:
        return statistics.median(self.parts[part])


async def loop_costs(url: str, batches: int, figures: Figures) -> None:
    """What a request costs on the loop: its hold, its end, its row, and handing that over."""
    writer = Writer.open(url)

    async def call(work: Callable[[Any], Any]) -> Any:
        return await writer.call(lambda store: work(store.ledger))

    clock = asyncio.get_running_loop().time
    treasury = Treasury(call, new_owner=lambda: "bench", clock=clock, wall=time.time)
    await treasury.open()
    (await treasury.wait_hold([POT], CREDIT_NANO // 100)).void()
    pots = [POT]
    gc.disable()
    for batch in range(batches):
        ids = [f"gen-{batch}-{number}" for number in range(BATCH)]
        with figures.of("hold"):
            holds = [treasury.hold(pots, HOLD_NANO) for _ in ids]
        with figures.of("end the hold"):
            bills = [hold.settle(CHARGE_NANO) for hold in holds if hold is not None]
        with figures.of("row"):
            made = [settlement(id, "bench") for id in ids]
        with figures.of("hand over"):
            durable = [writer.settle(one) for one in made]
        assert len(bills) == BATCH
        await asyncio.gather(*durable)
        gc.collect(0)
    gc.enable()
    await treasury.close()
    await writer.close()


def writer_costs(url: str, batches: int, figures: Figures) -> None:
    """What a request costs in the writer's thread, the commit of its group told apart."""
    store = SqlStore.open(url)
    ledger = store.ledger
    ledger.open_owner("writer", at=0.0)
    want = CREDIT_NANO // 100
    ledger.resize("writer", POT, keep_nano=0, least_nano=want, want_nano=want, at=0.0)
    run, spent = store._database._driver().execute, [0.0]

    class Timed:
        """The driver's connection, whose commits are timed."""

        def execute(self, text: str, *values: Any) -> Any:
            began = time.thread_time()
            cursor = run(text, *values)
            if text == "COMMIT":
                spent[0] += time.thread_time() - began
            return cursor

    store._database._driver = Timed  # type: ignore[assignment,method-assign]
    for batch in range(batches):
        made = [settlement(f"w-{batch}-{number}", "writer") for number in range(BATCH)]
        spent[0] = 0.0
        with figures.of("writer", lambda: time.thread_time() - spent[0]):
            ledger.settle(made)
        figures.parts.setdefault("commit of a group", []).append(spent[0] * 1e6)
    store.close()


def measure(batches: int) -> Figures:
    """All parts, of so many batches, on a store of their own."""
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
        url = f"sqlite:///{Path(folder)}/weir.db"
        store = SqlStore.open(url)
        store.ledger.grant("default", CREDIT_NANO, id="bench", at=0.0)
        store.close()
        collecting = gc.isenabled()
        with asyncio.Runner() as runner:
            runner.run(loop_costs(url, batches, figures))
        if not collecting:
            gc.disable()
        writer_costs(url, batches, figures)
    return figures


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--batches", type=click.IntRange(1, 10_000), default=200, help="Of 100 requests.")
def main(batches: int) -> None:
    """Print what the ledger costs per request."""
    figures = measure(batches)
    for part in ON_LOOP:
        click.echo(f"on the loop, {part}: {figures.median(part):.2f} µs")
    click.echo(f"on the loop: {sum(map(figures.median, ON_LOOP)):.2f} µs per request")
    click.echo(f"in the writer's thread: {figures.median('writer'):.2f} µs per request")
    click.echo(f"commit of a group, CPU: {figures.median('commit of a group'):.0f} µs")


if __name__ == "__main__":
    main()
