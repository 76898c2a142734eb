"""What the tests of the stores share: a database file of their own, and rows to put into it."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from proxy.accounts.keys import Key
from proxy.stores.sql import SqlStore
from proxy.stores.writer import Writer


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'weir.db'}"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store: copying it is quicker than migrating anew."""
    path = tmp_path_factory.mktemp("template") / "weir.db"
    SqlStore.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def store(url: str, tmp_path: Path, template: Path) -> Iterator[SqlStore]:
    if not (tmp_path / "weir.db").exists():
        shutil.copy(template, tmp_path / "weir.db")
    opened = SqlStore.open(url)
    yield opened
    opened.close()


@pytest.fixture
async def writer(url: str) -> AsyncIterator[Writer]:
    opened = Writer.open(url)
    yield opened
    await opened.close(timeout_s=1.0)


@pytest.fixture
def new_key() -> Callable[..., Key]:
    """Makes keys whose hashes begin with the given digits."""

    def make(name: str, hash: str = "", account: str = "default") -> Key:
        digits = hash or name.encode().hex()
        return Key(
            hash=digits.ljust(64, "0"),
            name=name,
            label=f"sk-or-v1-{name}",
            account=account,
            created_at=1_000.0,
        )

    return make


@pytest.fixture
def until() -> Callable[..., Awaitable[None]]:
    """Waits for what another thread or process does, and fails where it does not."""

    async def wait(met: Callable[[], bool], timeout_s: float = 20.0) -> None:
        async with asyncio.timeout(timeout_s):
            for _ in iter(met, True):
                await asyncio.sleep(0.005)

    return wait
