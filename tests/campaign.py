"""What campaigns over money share: a `weir serve` of one or more processes, callers, and its books.

A campaign is short in an ordinary run. `WEIR_ROUNDS=N` makes it N rounds long; with `-s` it prints
its figure.
"""

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import orjson
from sqlalchemy import func, select

from proxy.accounts.keys import mint
from proxy.money import NANO_PER_USD
from proxy.stores import schema
from proxy.stores.sql import SqlStore
from proxy.wire.record import Generation
from tests.running import Process, process

PROMPT = "hello"


def rounds(short: int) -> int:
    """How many rounds a campaign has: `short`, or what the environment asks for."""
    return int(os.environ.get("WEIR_ROUNDS", short))


@contextlib.asynccontextmanager
async def served(
    folder: Path, text: str, workers: int = 1, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Process]:
    """`weir serve` with the configuration `text`, which is a supervisor where there are workers."""
    (folder / "config.toml").write_text(text)
    arguments = ["serve", "--bind", "127.0.0.1:0"]
    if workers > 1:
        arguments += ["--workers", str(workers)]
    async with process(*arguments, cwd=folder, **(environ or {})) as running:
        yield running


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[SqlStore]:
    """The store of `folder`, beside the gateways that use it."""
    store = SqlStore.open(f"sqlite:///{folder}/weir.db")
    try:
        yield store
    finally:
        store.close()


def new_key(store: SqlStore, account: str, nano: int, **more: Any) -> str:
    """A new account with `nano` of credit, and a key of it, whose secret is returned."""
    now = time.time()
    store.ledger.create_account(account, now)
    if nano:
        store.ledger.grant(account, nano, id=secrets.token_hex(8), at=now)
    return another_key(store, account, **more)


def another_key(store: SqlStore, account: str, **more: Any) -> str:
    """One more key of that account."""
    name = secrets.token_hex(8)
    secret, key = mint(name, token_hex=secrets.token_hex, now=time.time(), account=account, **more)
    store.add_key(key)
    return secret


class Answer(NamedTuple):
    """What a caller got. `ended` says that it saw the end of an answer, `failed` that this was an
    error; `nano` is what the answer told that it cost. `headers` have lower-case names; times are
    monotonic seconds.
    """

    status: int
    id: str
    headers: dict[str, str]
    raw: bytes
    ended: bool
    failed: bool
    nano: int | None
    tokens: int
    text: str
    sent_at: float
    head_at: float

    @property
    def error(self) -> Any:
        """The error of an answer that is refused."""
        return orjson.loads(self.raw)["error"]


def body_of(model: str, *, stream: bool = False, **more: Any) -> dict[str, Any]:
    """A request for a chat completion."""
    messages = [{"role": "user", "content": PROMPT}]
    return {"model": model, "stream": stream, "messages": messages, **more}


@contextlib.asynccontextmanager
async def callers(**more: Any) -> AsyncIterator[aiohttp.ClientSession]:
    """As many connections as are asked for, each used once, so that workers share them out."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector, **more) as session:
        yield session


async def ask(
    session: aiohttp.ClientSession, url: str, key: str, body: dict[str, Any], *, leave_at: int = -1
) -> Answer:
    """One request. The caller hangs up after `leave_at` bytes of the answer's body, if that is not
    below zero. A connection that breaks, or never comes about, gives an answer that has not ended.
    """
    sent_at = head_at = time.monotonic()
    status, id, raw, headers = 0, "", b"", dict[str, str]()
    with contextlib.suppress(aiohttp.ClientError, ConnectionError):
        async with session.post(
            f"{url}/api/v1/chat/completions",
            json=body,
            headers={"Authorization": f"Bearer {key}"},
        ) as response:
            head_at = time.monotonic()
            status = response.status
            headers = {name.lower(): value for name, value in response.headers.items()}
            id = headers.get("x-generation-id", "")
            while data := await response.content.readany():
                raw += data
                if 0 <= leave_at <= len(raw):
                    response.close()
                    break
            else:
                return _read(body["stream"], status, id, headers, raw, sent_at, head_at)
    answer = _read(body["stream"], status, id, headers, raw, sent_at, head_at)
    return answer if body["stream"] else answer._replace(ended=False, nano=None)


def _read(
    stream: bool, status: int, id: str, headers: dict[str, str], raw: bytes, *times: float
) -> Answer:
    if status != 200 or not stream:
        told = orjson.loads(raw) if raw.endswith((b"}", b"}\n")) else {}
        failed = "error" in told
        usage = told.get("usage") or {}
        nano = nano_of(usage["cost"]) if "cost" in usage else None
        tokens = usage.get("completion_tokens", 0)
        text = "" if failed or not told else told["choices"][0]["message"]["content"]
        return Answer(
            status, id, headers, raw, bool(told), failed, nano, tokens, text, *times
        )  # fmt: skip
    texts, nano, failed = [], None, False
    for line in raw.split(b"\n\n")[:-1]:
        if not line.startswith(b"data: {"):
            continue
        event = orjson.loads(line.removeprefix(b"data: "))
        failed = failed or "error" in event
        texts += [
            content
            for one in event.get("choices") or ()
            if (content := one["delta"].get("content"))
        ]
        if (usage := event.get("usage")) and "cost" in usage:
            nano = nano_of(usage["cost"])
    ended = raw.endswith(b"data: [DONE]\n\n")
    return Answer(
        status, id, headers, raw, ended, failed, nano, len(texts), "".join(texts), *times
    )  # fmt: skip


def nano_of(usd: float) -> int:
    """Nano-dollars of an amount that JSON told in dollars."""
    return int((Decimal(repr(usd)) * NANO_PER_USD).to_integral_value())


class Rows(NamedTuple):
    """The generations by id, and the sum and number of the charges of each."""

    generations: dict[str, Generation]
    charges: dict[str, int]
    counts: dict[str, int]


def rows_of(store: SqlStore, account: str) -> Rows:
    """What the store has of an account's requests."""
    of = schema.transfers.c
    charged = select(of.id, func.sum(of.amount_nano), func.count()).group_by(of.id)
    with store._reading() as connection:
        kept = {
            row.id: schema.decode(row, Generation)
            for row in connection.execute(
                select(schema.generations).where(schema.generations.c.account == account)
            )
        }
        found = connection.execute(
            charged.where(of.account == account, of.kind.in_(("charge", "unbilled")))
        ).all()
    return Rows(kept, {row[0]: row[1] for row in found}, {row[0]: row[2] for row in found})


def owners_of(store: SqlStore) -> set[str]:
    """The processes that may have leases; the name of each begins with its number."""
    with store._reading() as connection:
        return set(connection.execute(select(schema.owners.c.owner)).scalars())


async def known(session: aiohttp.ClientSession, url: str, key: str, workers: int = 1) -> None:
    """Returns once every process knows a new key: they look four times a second.

    Nobody can choose who answers, and the one that has not looked yet may be the one that never
    does: so several processes are given the time of some looks, too.
    """
    fresh, fresh_at = 0, time.monotonic()
    give_up_at = fresh_at + 30
    while fresh < 4 * workers or (workers > 1 and time.monotonic() - fresh_at < 1):
        async with session.get(
            f"{url}/api/v1/key", headers={"Authorization": f"Bearer {key}"}
        ) as response:
            fresh = fresh + 1 if response.status == 200 else 0
        if not fresh:
            fresh_at = time.monotonic()
            assert fresh_at < give_up_at, "the key is not known"
        await asyncio.sleep(0.02)
