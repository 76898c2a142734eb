"""Long questions are asked beside the writer, one at a time."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from proxy.stores.aside import Aside
from proxy.stores.schema import StoreUnavailable
from proxy.stores.sql import SqlStore
from proxy.stores.trials import ArmRow
from proxy.stores.writer import Writer
from proxy.wire.record import Generation
from tests.stores.vault import unbilled

ROW = Generation(id="g", created_at=5.0, requested_model="x/y", arm="a/b", account="team")


async def test_it_answers_while_the_writer_is_busy(url: str, writer: Writer) -> None:
    await writer.call(lambda store: store.ledger.settle([unbilled(ROW)]))
    go_on = threading.Event()
    busy = asyncio.create_task(writer.call(lambda _: go_on.wait(10)))
    (found,) = await Aside(url).trial("x/y", 0.0, "team")
    assert (found.arm, found.requests) == ("a/b", 1)
    assert await Aside(url).trial("x/y", 0.0, "default") == []
    assert not busy.done()
    go_on.set()
    assert await busy


async def test_one_question_at_a_time(
    url: str,
    writer: Writer,
    monkeypatch: pytest.MonkeyPatch,
    until: Callable[..., Awaitable[None]],
) -> None:
    await writer.call(lambda store: store.changes_seq())
    entered: list[str] = []
    go_on = threading.Event()

    def trial(_: SqlStore, alias: str, **__: object) -> list[ArmRow]:
        entered.append(alias)
        assert go_on.wait(10)
        return []

    monkeypatch.setattr(SqlStore, "trial", trial)
    aside = Aside(url)
    asked = [asyncio.create_task(aside.trial(name, 0.0, "a")) for name in ("x/y", "x/z")]
    await until(lambda: bool(entered))
    await asyncio.sleep(0.02)  # in which the other one would begin
    assert entered == ["x/y"]
    go_on.set()
    await asyncio.gather(*asked)
    assert entered == ["x/y", "x/z"]


async def test_where_there_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        await Aside(f"sqlite:///{tmp_path}/none.db").trial("x/y", 0.0, "a")
