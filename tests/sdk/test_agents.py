"""Coding agents through a running gateway, over every dialect of both kinds of provider.

They stream, think, look at a note and a picture with their own tools, and end with their errors.
What they count is what the ledger has.
"""

import base64
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from proxy.upstream.fake import Invocation, Rule, Scenario
from proxy.wire.record import Generation
from tests.calling import Calls, calling
from tests.clients import PNG
from tests.running import Running, eventually
from tests.sdk.coding import AGENTS, FOLDER, NOTE, PICTURE, Agent, Ended, run
from tests.sdk.dialects import DIALECTS
from tests.sdk.scenarios import LONG
from tests.sdk.script import TEXT, fixtures
from tests.sdk.upstreams import (
    KINDS,
    LACKS,
    FakeUpstream,
    Spoken,
    Upstream,
    install,
    node,
    reach_aimock,
    start_fake,
)

pytestmark = pytest.mark.sdk

WORDS: Final = "the water is cold"
LOOK: Final = "Look at the note and the picture."
SEEN: Final = "The tool said"
CALLS: Final = [call for agent in AGENTS.values() for call in agent.calls]
SCENARIO: Final = Scenario(
    rules=(
        Rule(
            model="weir/*reason",
            calls=tuple(Invocation(name=name, arguments=given) for name, given in CALLS),
        ),
        Rule(model="fault/cut", fault="cut", events=10, tokens_per_s=50, calls=()),
        Rule(model="weir/*", calls=()),
    )
)
"""Which of the calls an agent gets depends on what tools it offers."""


def _fixtures() -> list[Any]:
    """The same for aimock, before what it says anyhow."""
    known = fixtures()
    names = {row["match"]["model"] for row in known if "reason" in row["match"]["model"]}
    usage = {"usage": {"prompt_tokens": 1000, "completion_tokens": 20}}
    rows = []
    for model in sorted(names):
        told = {"content": f"{SEEN}: {WORDS}", "reasoning": "I can answer it.", **usage}
        rows.append({"match": {"model": model, "turnIndex": 1}, "response": told})
        for agent in AGENTS.values():
            calls = [{"name": name, "arguments": given} for name, given in agent.calls]
            said = {"toolCalls": calls, "reasoning": "I can answer it.", **usage}
            match = {"model": model, "turnIndex": 0, "toolName": agent.calls[0][0]}
            rows.append({"match": match, "response": said})
    return rows + known


@pytest.fixture(scope="session")
def programs() -> None:
    """The agents, installed."""
    install(FOLDER)


@pytest.fixture(scope="module")
def storied(packages: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an aimock that knows the agents' tools."""
    file = tmp_path_factory.mktemp("storied") / "fixtures.json"
    file.write_text(json.dumps(_fixtures()))
    with node("provider.mjs", str(file)) as started:
        assert started.stdout is not None
        yield started.stdout.readline().strip()


@pytest.fixture
async def upstream(request: pytest.FixtureRequest) -> AsyncIterator[Upstream]:
    spoken: Spoken = request.param
    if spoken.kind == "fake":
        async with start_fake(spoken.dialect, SCENARIO) as fake:
            yield fake
    else:
        url = request.getfixturevalue("storied")
        async with reach_aimock(url, spoken.dialect) as aimock:
            yield aimock


class Place(NamedTuple):
    """An agent before a gateway, in a folder with a note and a picture."""

    agent: Agent
    gateway: Running
    upstream: Upstream
    calls: Calls
    folder: Path

    async def run(self, model: str, question: str = LOOK) -> Ended:
        home, work = self.folder / "home", self.folder / "work"
        home.mkdir()
        work.mkdir()
        (work / NOTE).write_text(f"{WORDS}\n")
        (work / PICTURE).write_bytes(base64.b64decode(PNG))
        return await run(self.agent, self.gateway, model, question=question, work=work, home=home)

    async def rows(self) -> list[Generation]:
        """What was kept of the requests, oldest first, once all are settled. Claude Code first
        tries a system's message among the others, which not every model of Anthropic takes.
        """
        await eventually(lambda: not any(self.calls.open_now().values()))
        rows = sorted(self.calls.rows.values(), key=lambda row: row.created_at)
        return rows[1:] if rows[0].status == 400 else rows


@pytest.fixture
async def place(
    programs: None, gateway: Running, upstream: Upstream, agent: str, tmp_path: Path
) -> AsyncIterator[Place]:
    folder = tmp_path / "agent"
    folder.mkdir()
    async with calling(gateway) as calls:
        yield Place(AGENTS[agent], gateway, upstream, calls, folder)


ALL: Final = [Spoken(kind, dialect) for dialect in DIALECTS for kind in KINDS]
EVERYWHERE: Final = (
    ALL
    if LONG
    else [Spoken(KINDS[place % len(KINDS)], dialect) for place, dialect in enumerate(DIALECTS)]
)
every_agent = pytest.mark.parametrize("agent", AGENTS)
everywhere = pytest.mark.parametrize(
    "upstream", EVERYWHERE, indirect=True, ids=["-".join(one) for one in EVERYWHERE]
)


HERE: Final = EVERYWHERE if LONG else EVERYWHERE[::3]
here_and_there = pytest.mark.parametrize(
    "upstream", HERE, indirect=True, ids=["-".join(one) for one in HERE]
)


@every_agent
@everywhere
async def test_it_looks_at_a_note_and_a_picture(place: Place, upstream: Upstream) -> None:
    code, told = await place.run("test/reason")
    assert (code, told.error) == (0, "")
    assert SEEN in told.text
    assert WORDS in told.text
    assert WORDS in told.results
    kind = "fake" if isinstance(upstream, FakeUpstream) else "aimock"
    lacks = (Spoken(kind, upstream.dialect), "reasoning-streamed") in LACKS
    assert "I can answer it" in (told.text if lacks else told.thoughts)
    *_, asked = await upstream.asked()
    assert asked.stream
    assert any(WORDS in result for result in asked.results)
    *_, body = await upstream.bodies()
    assert PNG in json.dumps(body)
    rows = await place.rows()
    assert [(row.status, row.streamed) for row in rows] == [(200, True)] * 2
    assert (sum(row.prompt_tokens for row in rows), sum(row.completion_tokens for row in rows)) == (
        told.tokens
    )
    assert [row.cost_nano for row in rows] == [
        row.prompt_tokens * 1000 + row.completion_tokens * 2000 for row in rows
    ]


@every_agent
@here_and_there
async def test_it_ends_with_the_error_of_who_is_asked(place: Place) -> None:
    code, told = await place.run("test/limited")
    assert code == 1
    assert told.text == ""
    assert "429" in told.error or "rate limit" in told.error  # it may be told inside of the stream
    (row,) = await place.rows()
    assert (row.status, row.cost_nano, len(row.attempts)) == (429, 0, 2)


@every_agent
@here_and_there
async def test_an_answer_breaks_off(place: Place) -> None:
    """Who asks again gets the answer of the next provider; who does not ends with the error."""
    code, told = await place.run("test/cut")
    first, *others = await place.rows()
    assert (first.status, first.cost_nano) == (502, 0)
    if place.agent.retries:
        assert (code, told.text) == (0, TEXT)
        assert [row.status for row in others] == [200]
    else:
        assert (code, others) == (1, [])
        assert "broke off" in told.error
