"""The same conversation by a caller of each format at a provider of each dialect, streamed and not.

A system prompt to be cached, a picture, thoughts, two calls at once with their results, and a third
turn. The simulated provider refuses what a real one would, a signature that is not its own above
all; what a pair of formats can not carry stands in a table here, and is asserted.
"""

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
import pytest

from proxy.stores.sql import SqlStore
from proxy.upstream.fake import Fake, Scenario, fake
from tests.callers import CALLERS, RESULTS, THANKS, Call, Caller, Json, Said
from tests.campaign import rows_of
from tests.running import Running, eventually, serving, weir
from tests.story.test_conversation import MARKING, PLACES, SIGNING, configuration

STREAMED: Final = {"streamed": True, "whole": False}
SYSTEM: Final = "You know the weather. " * 9
EACH: Final = [
    pytest.param(caller, place, stream, id=f"{caller}-{place}-{form}")
    for caller, place, (form, stream) in itertools.product(CALLERS, PLACES, STREAMED.items())
]


class Table(NamedTuple):
    """A gateway before the simulated provider, a caller of it, and the store of its books."""

    session: aiohttp.ClientSession
    running: Running
    app: Fake
    store: SqlStore

    async def post(self, path: str, body: Json) -> tuple[int, bytes]:
        async with self.session.post(f"{self.running.base_url}/{path}", json=body) as response:
            return response.status, await response.read()


@asynccontextmanager
async def laid(folder: Path) -> AsyncIterator[Table]:
    app = fake(Scenario(), keep=20)
    async with (
        serving(app) as url,
        weir(folder, configuration(folder, url)) as running,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {running.key}"}) as session,
    ):
        store = SqlStore.open(f"sqlite:///{folder}/weir.db")
        try:
            yield Table(session, running, app, store)
        finally:
            store.close()


@pytest.mark.parametrize(("name", "place", "stream"), EACH)
async def test_the_same_conversation(tmp_path: Path, name: str, place: str, stream: bool) -> None:
    caller = CALLERS[name]
    async with laid(tmp_path) as table:
        rest, told = caller.opening(SYSTEM)
        answers = []
        for _ in range(3):
            body = {"model": f"test/{place}", "stream": stream, caller.turns: told, **rest}
            status, raw = await table.post(caller.path, body)
            assert status == 200, raw
            said = caller.heard(raw, stream=stream)
            answers.append(said)
            told = [*told, *said.turns]
            told += caller.results(said.calls) if said.calls else [caller.says(THANKS)]
        for said in answers: print(said)
