"""The books of a gateway, over a real store: what is counted, kept, and told to accounts."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy import logs
from proxy.accounts.keys import mint
from proxy.accounts.ledger import Settlement, account_pot
from proxy.accounts.limits import Rules
from proxy.office import OWNER, RECALL, Office
from proxy.serving.channel import Channel
from proxy.stores.feedback import Feedback
from proxy.stores.ledger import SqlLedger
from proxy.stores.limits import CHANNEL
from proxy.stores.periods import DAY_S, periods
from proxy.stores.schema import StoreUnavailable
from proxy.stores.sql import SqlStore
from proxy.stores.writer import Writer
from proxy.wire.record import Generation, Try
from tests.running import eventually

NOW = 1_750_000_000.0
USD = 10**9
SECRET, KEY = mint("app", token_hex=lambda size: "ab" * size, now=NOW)


def settlement(id: str, *, cost_nano: int = 7, owner: str = "", **more: Any) -> Settlement:
    row = Generation(id=id, created_at=NOW, key_hash=KEY.hash, cost_nano=cost_nano)
    return Settlement(owner=owner, generation=row, charge_nano=cost_nano, **more)


class Supervised(Channel):
    """The channel to a supervisor who notes what it hears."""

    def __init__(self) -> None:
        super().__init__({})
        self.heard: list[tuple[str, object]] = []

    async def request(self, name: str, payload: object = None, *, timeout_s: float) -> Any:
        self.heard.append((name, payload))
        raise ConnectionError

    def notify(self, name: str, payload: object = None) -> None:
        self.heard.append((name, payload))


@asynccontextmanager
async def office(
    folder: Path,
    *,
    channel: Channel | None = None,
    wall: Callable[[], float] = lambda: NOW,
    rules: Rules | None = None,
) -> AsyncIterator[Office]:
    writer = Writer.open(f"sqlite:///{folder}/weir.db")
    made = Office(
        writer, wall=wall, new_id=lambda: "me", rules=lambda: rules or Rules(), channel=channel
    )
    await writer.call(lambda store: store.add_key(KEY))
    await made.open()
    try:
        yield made
    finally:
        await made.close()


async def test_what_is_finished_is_kept_and_counted_once(tmp_path: Path) -> None:
    async with office(tmp_path) as one:
        assert one.healthy
        assert one.key(KEY.hash) == KEY
        one.finished(settlement("a"))
        await one.settled(settlement("b"))
        row = await one.find("a", KEY)
        assert row is not None
        assert row.cost_nano == 7
        assert await one.find("a", None) is not None
        assert await one.find("c", KEY) is None
        spent = await one.spent(KEY, periods(NOW))
        assert (spent.total_nano, spent.daily_nano) == (14, 14)
        assert (await one.spent(None, periods(NOW))).total_nano == 0
        balance = await one.balance("default")
        assert (balance.unbilled_nano, balance.charged_nano) == (14, 0)
        one.refused("unauthenticated")
        one.tried(Try(provider="p", provider_name="P", model="m", status=200, latency_ms=1))
        assert one.metrics.refusals == {"unauthenticated": 1}
        assert one.metrics.attempts == {("p", "ok"): 1}
        assert set(one.gauges()) >= {"weir_store_healthy", "weir_held_usd"}


async def test_what_was_said_of_an_answer_is_kept(tmp_path: Path) -> None:
    async with office(tmp_path) as one:
        row = Generation(id="a", created_at=NOW, requested_model="team/chat", arm="acme/large")
        await one.settled(Settlement(owner="", generation=row, charge_nano=0, house_nano=0))
        said = Feedback(generation="a", category="other", comment="No.", key_hash=KEY.hash, at=NOW)
        await one.remark(said)
        store = SqlStore.open(f"sqlite:///{tmp_path}/weir.db")
        try:
            (arm,) = store.trial("team/chat", since=0.0)
        finally:
            store.close()
        assert (arm.feedback, arm.remarked) == ({"other": 1}, 1)


async def test_what_is_over_has_one_line_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lines: list[str] = []

    def put(line: str) -> int:
        lines.append(line + "}")
        return len(lines)

    monkeypatch.setattr(logs, "put", put)
    caplog.set_level(logging.INFO, logger="proxy")
    async with office(tmp_path) as one:
        one.finished(settlement("a"))
        await one.settled(settlement("b"))
        one.finished(
            msgspec.structs.replace(settlement("c"), generation=Generation(id="c", created_at=NOW))
        )
    told = [json.loads(line) for line in lines]
    assert [(line["generation"], line["key"]) for line in told] == [
        ("a", KEY.label),
        ("b", KEY.label),
        ("c", None),
    ]


async def test_a_row_that_is_not_yet_written_is_found(tmp_path: Path) -> None:
    async with office(tmp_path) as one:
        one.finished(settlement("a"))
        row = await one.find("a", KEY)
        assert row is not None
        assert row.id == "a"


async def test_what_was_noted_is_charged_when_the_process_dies(tmp_path: Path) -> None:
    async with office(tmp_path) as one:
        one.noted(settlement("a", owner="me"))
        await one._writer.call(lambda store: store.keys())
        await one.treasury.bury("me")
        row = await one._writer.call(lambda store: store.generation("a", key_hash=None))
        assert row is not None
        assert row.recovered


async def test_free_requests_of_today_are_known_after_a_restart(tmp_path: Path) -> None:
    rules = Rules(free_requests_per_day=2, free_requests_per_day_with_credit=9)
    async with office(tmp_path, rules=rules) as one:
        await one.settled(settlement("a", cost_nano=0, free=True))
        free = await one.free(await one.balance("default"))
        assert (free.limit, free.used) == (2, 1)
        await one._writer.call(
            lambda store: store.ledger.grant("default", 10 * USD, id="g", at=NOW)
        )
        free = await one.free(await one.balance("default"))
        assert (free.limit, free.used) == (9, 1)
    writer = Writer.open(f"sqlite:///{tmp_path}/weir.db")
    day = int(NOW // DAY_S)
    used = await writer.call(lambda store: store.ledger.free_today(day))
    await writer.close()
    assert used == {"default": 1}


async def test_a_worker_tells_its_supervisor_who_it_is_and_takes_what_it_lends(
    tmp_path: Path,
) -> None:
    channel = Supervised()
    async with office(tmp_path, channel=channel, wall=time.time) as one:
        assert channel.heard == [(OWNER, "me")]
        assert one.treasury.owner == "me"
        channel.handlers[RECALL]([])
        task = asyncio.create_task(one._ask(CHANNEL, None))
        await asyncio.wait([task])
        assert isinstance(task.exception(), ConnectionError)
        assert channel.heard[-1] == (CHANNEL, None)


async def test_a_close_waits_for_every_charge_before_the_leases_go(tmp_path: Path) -> None:
    async with office(tmp_path) as one:
        await one._writer.call(
            lambda store: store.ledger.grant("default", 10 * USD, id="g", at=NOW)
        )
        hold = await one.treasury.wait_hold([account_pot("default")], 9 * USD)
        hold.settle(3000 * 1_000_000)
        for number in range(3000):
            pots, charge = ("account:default",), 1_000_000
            one.noted(settlement(f"g{number}", cost_nano=1, owner="me", pots=pots))
            one.finished(settlement(f"g{number}", cost_nano=charge, owner="me", pots=pots))
    writer = Writer.open(f"sqlite:///{tmp_path}/weir.db")
    balance = await writer.call(lambda store: store.ledger.balance("default"))
    audit = await writer.call(lambda store: store.ledger.verify())
    await writer.close()
    assert balance.charged_nano == 3000 * 1_000_000
    assert (balance.leased_nano, audit.differences) == (0, ())


async def test_a_store_that_takes_nothing_keeps_its_leases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.office.WRITTEN_S", 0.05)
    monkeypatch.setattr(Writer.close, "__kwdefaults__", {"timeout_s": 0.05})

    def refuses(self: SqlLedger, settlements: object) -> None:
        raise StoreUnavailable("full")

    async with office(tmp_path) as one:
        monkeypatch.setattr(SqlLedger, "settle", refuses)
        one.finished(settlement("a"))
        await eventually(lambda: not one.healthy)
    monkeypatch.undo()
    writer = Writer.open(f"sqlite:///{tmp_path}/weir.db")
    beats = await writer.call(lambda store: store.ledger.beat("me"))
    await writer.close()
    assert "me" in beats
