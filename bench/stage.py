"""A whole gateway in one thread, without sockets: for figures that no other program disturbs.

It is built from a configuration as `weir serve` builds it, and asked in HTTP/1.1 by one caller, one
request after the other. What is beyond it plays a part: its connections lead nowhere (see `wires`),
and its store is written in groups between requests instead of beside them.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast

from bench.canned import MODEL
from bench.relays import LIMITS, Place, weir_config
from bench.target import Asking, Target
from bench.wires import ToCaller, still
from proxy import hosting
from proxy.accounts.keys import mint
from proxy.accounts.ledger import Settlement
from proxy.app import refuse
from proxy.gateway import Gateway
from proxy.serving.hall import Hall
from proxy.serving.http1 import Connection
from proxy.stores.sql import SqlStore
from proxy.stores.writer import Writer
from proxy.wire.record import Generation

GROUP: Final = 25  # settlements that are written together
CREDIT_NANO: Final = 10**15
KEEP_ALIVE_S: Final = 3600.0
NO_EDITS: Final[Mapping[str, str]] = MappingProxyType({})


class InlineWriter:
    """The writer's work done by who asks for it, in groups; what it is handed counts as durable."""

    healthy, dropped, pending = True, 0, 0

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self._rows: list[Settlement] = []

    def settle(self, settlement: Settlement) -> asyncio.Future[None]:
        """Keep it; done at once."""
        self.submit(settlement)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future

    def submit(self, settlement: Settlement) -> None:
        """Keep it with the next group."""
        self._rows.append(settlement)
        if len(self._rows) == GROUP:
            self._flush()

    def stuck(self) -> bool:
        """It never is."""
        return False

    def checkpoint(self, settlement: Settlement) -> None:
        """Nothing dies here."""

    def pending_generation(self, id: str) -> Generation | None:
        """Nobody asks for one."""
        return None

    async def call(self, fn: Callable[[SqlStore], Any]) -> Any:
        """Called at once."""
        return fn(self._store)

    async def close(self) -> None:
        """Writes what is left."""
        self._flush()
        self._store.close()

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        if rows:
            self._store.ledger.settle(rows)


class Stage:
    """A gateway on stage, and the caller who asks it."""

    def __init__(self, gateway: Gateway, hall: Hall, secret: str) -> None:
        self.gateway = gateway
        self._target = Target(8080, secret, None)
        self._wire = ToCaller()
        self._connection = Connection(hall)
        self._connection.connection_made(self._wire)

    def request(self, events: int = 0, model: str = MODEL) -> bytes:
        """A request for so many events, each in a write of its own."""
        return Asking(self._target, events, 0.0, model).request

    async def ask(self, request: bytes) -> list[bytes]:
        """The pieces of the answer as they were written, the head with the first one."""
        still().tick()
        answered = self._wire.expect()
        self._connection.data_received(request)
        await answered
        pieces = self._wire.pieces
        if not pieces[0].startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(f"it was answered: {b''.join(pieces)[:500]!r}")
        return pieces


@contextlib.asynccontextmanager
async def stage(
    folder: Path, endpoints: int = 3, edits: Mapping[str, str] = NO_EDITS
) -> AsyncIterator[Stage]:
    """A gateway set up like `weir` of the bench, with its store in `folder`, on a `StillLoop`.
    `edits` are changes to what its configuration says.
    """
    file = weir_config(Place(folder, 8080, 1, None), more=LIMITS, endpoints=endpoints)
    said = file.read_text(encoding="utf-8")
    for before, after in edits.items():
        said = said.replace(before, after)
    file.write_text(said, encoding="utf-8")
    config = hosting.parse(hosting.read(file), {}, bind=(), workers=None)
    store = SqlStore.open(config.store.url)
    limits = {"limit_nano": CREDIT_NANO, "requests_per_minute": 10**9, "concurrent_requests": 10**6}
    secret, key = mint("bench", token_hex=lambda size: "ab" * size, now=1.0, **limits)
    store.add_key(key)
    store.ledger.grant("default", CREDIT_NANO, id="bench", at=1.0)
    gateway = Gateway(config, cast("Writer", InlineWriter(store)), lambda: config, None)
    hall = Hall(gateway.app, state={}, refuse=refuse, keep_alive_s=KEEP_ALIVE_S)
    try:
        await gateway.office.open()
        await gateway._rebuild()
        yield Stage(gateway, hall, secret)
    finally:
        hall.close()
        await gateway.close()
