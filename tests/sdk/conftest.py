"""What the SDKs' tests stand on: packages from npm, providers, and a gateway before them."""

import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from proxy.pipeline import relay
from tests.running import Running, weir
from tests.sdk.script import fixtures, oddities
from tests.sdk.upstreams import KINDS, Spoken, Upstream, install, node, reach_aimock, start_fake
from tests.sdk.world import config


@pytest.fixture(autouse=True)
def no_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each client of an SDK would first read every certificate authority there is, for nothing:
    these tests speak plain HTTP to loopback.
    """
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))


@pytest.fixture(scope="session", autouse=True)
def closed_once() -> Iterator[None]:
    """OpenRouter's Python SDK closes its clients once more when the collector finds them, in the
    loop of whatever test that is, the simulation's included. Here `with` closes them.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("openrouter.sdk.close_clients", lambda *_: None)
        yield


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a busy machine takes, no comment is sent before the status."""
    monkeypatch.setattr(relay, "FIRST_COMMENT_S", 30.0)


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
    """A provider of each kind, with an empty memory; it speaks OpenAI's chat, unless the test has
    `Spoken` for it.
    """
    param = request.param
    kind, dialect = param if isinstance(param, Spoken) else Spoken(param)
    async with contextlib.AsyncExitStack() as stack:
        if kind == "fake":
            yield await stack.enter_async_context(start_fake(dialect))
        else:
            url = request.getfixturevalue("aimock")
            yield await stack.enter_async_context(reach_aimock(url, dialect))


@pytest.fixture
async def gateway(
    request: pytest.FixtureRequest, tmp_path: Path, upstream: Upstream
) -> AsyncIterator[Running]:
    """Weir before that provider, on its own start unless the test names another server."""
    server = getattr(request, "param", "weir")
    async with weir(tmp_path, config(tmp_path, upstream), server) as running:
        yield running


@pytest.fixture(autouse=True)
def who_asks_whom(request: pytest.FixtureRequest) -> None:
    """What the table at the end counts: a test's caller, and the provider that it is before."""
    params = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    if "upstream" not in params:
        return
    named = params.get("caller") or params.get("agent")
    kind, dialect = params["upstream"], "openai"
    if isinstance(kind, Spoken):
        kind, dialect = kind
    caller = named or request.node.path.stem.removeprefix("test_")
    request.node.user_properties.append(("asks", (caller, dialect, kind)))
