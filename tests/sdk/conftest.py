"""What the SDKs' tests stand on: packages from npm, providers, and a gateway before them."""

import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.running import Running, weir
from tests.sdk.scenarios import config
from tests.sdk.upstreams import (
    KINDS,
    Upstream,
    fixtures,
    install,
    node,
    oddities,
    reach_aimock,
    start_fake,
)


@pytest.fixture(autouse=True)
def no_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each client of an SDK would first read every certificate authority there is, for nothing:
    these tests speak plain HTTP to loopback.
    """
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))


@pytest.fixture(scope="session")
def packages() -> None:
    """The npm packages, installed."""
    install()


@pytest.fixture(scope="session")
def aimock(packages: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of one aimock for all tests."""
    file = tmp_path_factory.mktemp("aimock") / "fixtures.json"
    file.write_text(json.dumps(fixtures() + oddities()))
    with node("provider.mjs", str(file)) as started:
        assert started.stdout is not None
        url = started.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:"), "aimock did not start"
        yield url


@pytest.fixture(params=KINDS)
async def upstream(request: pytest.FixtureRequest) -> AsyncIterator[Upstream]:
    """A provider of each kind, with an empty memory."""
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "fake":
            yield await stack.enter_async_context(start_fake())
        else:
            yield await stack.enter_async_context(reach_aimock(request.getfixturevalue("aimock")))


@pytest.fixture
async def gateway(
    request: pytest.FixtureRequest, tmp_path: Path, upstream: Upstream
) -> AsyncIterator[Running]:
    """Weir before that provider, on its own start unless the test names another server."""
    server = getattr(request, "param", "weir")
    async with weir(tmp_path, config(tmp_path, upstream), server) as running:
        yield running
