"""What a supervisor does for its workers: it lends limits, and buries the dead."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.accounts.bucket import moment
from proxy.accounts.ledger import account_pot
from proxy.accounts.lending import Borrower
from proxy.accounts.limits import Claim
from proxy.crew import Crew
from proxy.office import OWNER, RECALL
from proxy.steward import keeping
from proxy.stores.limits import CHANNEL
from proxy.stores.schema import StoreError, StoreUnavailable
from proxy.stores.sql import SqlStore
from proxy.stores.writer import Writer

NOW = 1_750_000_000.0
AT = moment(1.0, NOW)
ONE = Claim(name="key:k:slots", kind="slots", limit=1, amount=1, text="concurrent")


def crew() -> Crew:
    return Crew(dict)


def store(folder: Path) -> SqlStore:
    return SqlStore.open(f"sqlite:///{folder}/weir.db")


def leased(folder: Path, owner: str) -> int:
    opened = store(folder)
    try:
        return opened.ledger.balance("default").leased_nano
    finally:
        opened.close()


async def test_a_limit_is_lent_once_over_all_workers(tmp_path: Path) -> None:
    made = crew()
    async with keeping(made, f"sqlite:///{tmp_path}/weir.db", wall=lambda: NOW):
        first, second = Borrower(), Borrower()

        def ask(number: int, borrower: Borrower) -> Any:
            message = borrower.ask([ONE], last=True)
            reply = made.handlers[CHANNEL](number, message)
            try:
                return borrower.absorb(message, reply, AT)
            except Exception as error:
                return error

        assert ask(1, first).claims == (ONE,)
        assert ask(2, second).status == 429
        made.on_death(1)
        assert ask(2, second).claims == (ONE,)


async def test_who_is_short_has_the_others_asked(tmp_path: Path) -> None:
    made = crew()
    async with keeping(made, f"sqlite:///{tmp_path}/weir.db", wall=lambda: NOW):
        wide = Claim(name="key:k:requests", kind="requests", limit=640, amount=1, text="requests")
        told: list[tuple[str, Any]] = []
        channel = SimpleNamespace(notify=lambda name, payload: told.append((name, payload)))
        made.workers[1] = SimpleNamespace(channel=channel)  # type: ignore[assignment]
        one, other = Borrower(), Borrower()
        message = one.ask([wide])
        one.absorb(message, made.handlers[CHANNEL](1, message), AT)
        rest = Claim(name=wide.name, kind="requests", limit=640, amount=639, text="requests")
        made.handlers[CHANNEL](2, other.ask([rest]))
        assert told == [(RECALL, [wide.name])]
        made.workers.clear()
        made.handlers[CHANNEL](2, other.ask([rest]))


async def test_the_leases_of_the_dead_go_back_at_once(tmp_path: Path) -> None:
    made = crew()
    async with keeping(made, f"sqlite:///{tmp_path}/weir.db", wall=lambda: NOW):
        opened = store(tmp_path)
        opened.ledger.grant("default", 1000, id="g", at=NOW)
        opened.ledger.open_owner("me", at=NOW)
        pot = account_pot("default")
        opened.ledger.resize("me", pot, keep_nano=0, least_nano=900, want_nano=900, at=NOW)
        opened.close()
        assert leased(tmp_path, "me") == 900
        made.handlers[OWNER](1, "me")
        made.on_death(2)
        made.on_death(1)
    assert leased(tmp_path, "me") == 0


async def test_a_burial_that_fails_is_left_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = crew()
    async with keeping(made, f"sqlite:///{tmp_path}/weir.db", wall=lambda: NOW):

        async def fails(self: Writer, fn: Any) -> None:
            raise StoreUnavailable("locked")

        monkeypatch.setattr(Writer, "call", fails)
        made.handlers[OWNER](1, "me")
        made.on_death(1)
    assert "stay for a while: locked" in caplog.text


async def test_without_a_store_there_is_nothing_to_keep(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        async with keeping(crew(), f"sqlite:///{tmp_path}", wall=lambda: NOW):
            raise AssertionError
