"""The same conversation by a caller of each format at a provider of each dialect, streamed and not.

A system prompt to be cached, a picture, thoughts, two calls at once with their results, and a third
turn. The simulated provider refuses what a real one would, a signature that is not its own above
all; what a pair of formats can not carry stands in a table here, and is asserted.
"""

import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Mapping
from typing import Final, NamedTuple

import aiohttp
import pytest
import pytest_asyncio

from proxy.stores.sql import SqlStore
from proxy.upstream.fake import Fake, Scenario, fake
from proxy.upstream.fake.seals import Seal
from tests.campaign import rows_of
from tests.clients import (
    ARGUMENTS,
    CALLERS,
    QUESTION,
    RESULTS,
    THANKS,
    Caller,
    Json,
    Said,
    text_streamed,
    text_whole,
)
from tests.running import Running, serving, weir
from tests.story.test_conversation import PLACES, configuration

PROMPT_NANO: Final = 1000  # per token, as tests.running.PRICING says
COMPLETION_NANO: Final = 2000
pytestmark = pytest.mark.asyncio(loop_scope="module")

STREAMED: Final = {"streamed": True, "whole": False}
PAIRS: Final = list(itertools.product(CALLERS, PLACES))
EACH: Final = [
    pytest.param(caller, place, stream, id=f"{caller}-{place}-{form}")
    for (caller, place), (form, stream) in itertools.product(PAIRS, STREAMED.items())
]
CONTINUED: Final = [
    pytest.param(place, stream, id=f"{place}-{form}")
    for place, (form, stream) in itertools.product(PLACES, STREAMED.items())
]

THOUGHT: Final = "The prompt has about {} tokens. I can answer it as it stands."
THOUGHT_TOKENS: Final = 13
CALL_TOKENS: Final = 10
SPOKEN: Final = (
    "Water meets the weir and waits a little, then it finds the lowest place and goes over, "
    "bright and even, on its long and patient way down to the wide open sea."
)
SEEN: Final = f"I was given 2 images. {SPOKEN}"
TOLD: Final = "The tool said: 4 degrees; noon"
PICTURE_TOKENS: Final = 85

LOST_AT: Final[Mapping[str, frozenset[str]]] = {
    "openai": frozenset({"mark", "signature", "picture of a tool"}),
    "azure": frozenset({"mark", "signature", "picture of a tool"}),
    "cohere": frozenset({"mark", "signature", "picture of a tool", "count of thoughts"}),
    "responses": frozenset({"mark"}),
    "gemini": frozenset({"mark", "words of a tool"}),
    "vertex": frozenset({"mark", "words of a tool"}),
    "vertex-claude": frozenset({"count of thoughts"}),
    "bedrock": frozenset({"count of thoughts"}),
    "anthropic": frozenset(),
}
"""What a provider's format has no place for: caching what the caller marks, signing thoughts, a
picture in the result of a tool (it stands in a turn of the user behind it), telling how many tokens
were thoughts, and counting what tools said (the simulated one).
"""

LOST_BY: Final[Mapping[str, frozenset[str]]] = {
    "chat": frozenset(),
    "messages": frozenset({"count of thoughts"}),
    "responses": frozenset({"provider"}),
}
"""What a caller's format has no place for: the same, and who answered."""

LOST_BETWEEN: Final[Mapping[tuple[str, str], frozenset[str]]] = {
    ("messages", "gemini"): frozenset({"signature of a text"}),
    ("messages", "vertex"): frozenset({"signature of a text"}),
}
"""What only a pair has no place for: a text is Claude's last block, no signature follows it. Google
demands those of calls alone.
"""

ASKED: Final = "How does water cross a weir?"
TELLING: Final = {"anthropic", "vertex-claude", "cohere", "bedrock"}
THINKING: Final = TELLING | {"responses", "gemini", "vertex"}
"""Who thinks unasked, as those do not that continue texts, and who tells what it thought."""


class Table(NamedTuple):
    """A gateway before the simulated provider, a caller of it, and the store of its books."""

    session: aiohttp.ClientSession
    running: Running
    app: Fake
    store: SqlStore

    async def post(self, path: str, body: Json) -> "Answered":
        """A good answer; read to its end."""
        async with self.session.post(f"{self.running.base_url}/{path}", json=body) as response:
            raw = await response.read()
            assert response.status == 200, raw
            form = "text/event-stream" if body["stream"] else "application/json"
            assert response.headers["Content-Type"] == form
            return Answered(response.headers["X-Generation-Id"], raw)


class Answered(NamedTuple):
    """An answer, and the id that it is kept under."""

    id: str
    raw: bytes


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def table(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Table]:
    folder = tmp_path_factory.mktemp("callers")
    app = fake(Scenario(), keep=20)
    async with (
        serving(app) as url,
        weir(folder, configuration(folder, url)) as running,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {running.key}"}) as session,
    ):
        with contextlib.closing(SqlStore.open(f"sqlite:///{folder}/weir.db")) as store:
            yield Table(session, running, app, store)


async def held(
    table: Table, caller: Caller, place: str, *, system: str, stream: bool
) -> AsyncIterator[tuple[str, Said]]:
    """The three answers of the conversation with their ids, each sent back as it came."""
    rest, told = caller.opening(system)
    for _ in range(3):
        body = {"model": f"test/{place}", "stream": stream, caller.turns: told, **rest}
        answered = await table.post(caller.path, body)
        said = caller.heard(answered.raw, stream=stream)
        yield answered.id, said
        told = [*told, *said.turns]
        told += caller.results(said.calls) if said.calls else [caller.says(THANKS)]


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each signature that a provider looked at, whether it was its own there; it refuses one
    that is so nowhere.
    """
    found: list[bool] = []
    holds = Seal.holds

    def spied(seal: Seal, signature: object, *parts: str) -> bool:
        found.append(holds(seal, signature, *parts))
        return found[-1]

    monkeypatch.setattr(Seal, "holds", spied)
    return found


def words(*texts: str) -> int:
    return sum(len(text.split()) for text in texts)


@pytest.mark.parametrize(("name", "place", "stream"), EACH)
async def test_the_same_conversation(
    table: Table, checked: list[bool], name: str, place: str, stream: bool
) -> None:
    caller = CALLERS[name]
    lost = LOST_AT[place] | LOST_BY[name] | LOST_BETWEEN.get((name, place), frozenset())
    system = "You know the weather. " * 9 + f"{name}-{place}-{stream}"  # no two share a cache
    prompt = words(system, QUESTION) + PICTURE_TOKENS
    answers = held(table, caller, place, system=system, stream=stream)

    id_, said = await anext(answers)
    assert (said.text, said.finish) == ("", caller.called)
    assert [(call.name, call.arguments) for call in said.calls] == [
        (tool, f'{{"{field}": "water"}}') for tool, field in ARGUMENTS.items()
    ]
    assert len({call.id for call in said.calls}) == 2
    await check(table, (id_, said), place, lost, prompt=prompt, said_tokens=CALL_TOKENS)
    cache = Cache(said.counts.cached, said.counts.written)
    assert cache == Cache(0, 0 if "mark" in lost else words(system))
    assert checked == []

    prompt += PICTURE_TOKENS + (0 if "words of a tool" in lost else words(*RESULTS.values()))
    id_, said = await anext(answers)
    assert (said.text, said.calls, said.finish) == (TOLD, [], caller.stopped)
    assert shown_behind(table.app.seen[-1].body) == ("picture of a tool" in lost)
    await check(table, (id_, said), place, lost, prompt=prompt, said_tokens=words(TOLD))
    cache = Cache(said.counts.cached, said.counts.written)
    assert cache == Cache(0 if "mark" in lost else words(system), 0)
    sealed = 0 if "signature" in lost else 1
    assert checked.count(True) == sealed
    checked.clear()

    prompt += words(TOLD, THANKS)
    id_, said = await anext(answers)
    assert (said.text, said.calls, said.finish) == (SEEN, [], caller.stopped)
    await check(table, (id_, said), place, lost, prompt=prompt, said_tokens=words(SEEN) + 1)
    assert checked.count(True) == sealed * (1 if "signature of a text" in lost else 2)


def shown_behind(body: bytes) -> bool:
    """Whether what was asked ends with a user who says nothing, but shows a picture."""
    last: Json = (json.loads(body).get("messages") or [{}])[-1]
    parts = last.get("content")
    return isinstance(parts, list) and all(one.get("type") == "image_url" for one in parts)


class Cache(NamedTuple):
    """How much of a prompt was read from a cache, and how much was written to it."""

    read: int
    written: int


async def check(
    table: Table,
    said: tuple[str, Said],
    place: str,
    lost: frozenset[str],
    *,
    prompt: int,
    said_tokens: int,
) -> None:
    """The thought, who answered, and what was counted and charged."""
    id_, told = said
    assert told.reasoning == THOUGHT.format(prompt)
    assert told.names == [f"test/{place}", f"At {place}"][: 1 if "provider" in lost else 2]
    assert told.counts[:2] == (prompt, THOUGHT_TOKENS + said_tokens)
    assert told.counts.reasoning == (0 if "count of thoughts" in lost else THOUGHT_TOKENS)
    assert told.cost_nano == prompt * PROMPT_NANO + told.counts.completion * COMPLETION_NANO
    await check_charge(table, id_, told.cost_nano)


async def check_charge(table: Table, id: str, cost_nano: int) -> None:
    """What a caller was told is what its account paid, once, by books that agree."""
    rows = rows_of(table.store, "default")
    assert rows.charges[id] == rows.generations[id].cost_nano == cost_nano > 0
    assert rows.counts[id] == 1


@pytest.mark.parametrize(("place", "stream"), CONTINUED)
async def test_one_text_goes_on(table: Table, place: str, stream: bool) -> None:
    """Who asks for no thoughts pays for those that come, and sees them beside the text."""
    body = {"model": f"test/{place}", "prompt": ASKED, "stream": stream, "max_tokens": 4000}
    answered = await table.post("completions", body)
    said = (text_streamed if stream else text_whole)(answered.raw)
    assert (said.text, said.finish) == (SPOKEN, CALLERS["chat"].stopped)
    assert said.names == [f"test/{place}", f"At {place}"]
    thought = THOUGHT_TOKENS * (place in THINKING)
    assert said.counts[:2] == (words(ASKED), thought + words(SPOKEN))
    assert said.reasoning == (THOUGHT.format(words(ASKED)) if place in TELLING else "")
    assert said.counts.reasoning == (0 if "count of thoughts" in LOST_AT[place] else thought)
    assert said.cost_nano == words(ASKED) * PROMPT_NANO + said.counts[1] * COMPLETION_NANO
    await check_charge(table, answered.id, said.cost_nano)


async def test_every_pair_is_tried(capsys: pytest.CaptureFixture[str]) -> None:
    pairs = {*PAIRS, *(("completions", place) for place in PLACES)}
    assert LOST_AT.keys() == PLACES.keys()
    assert LOST_BY.keys() == CALLERS.keys()
    with capsys.disabled():
        print(f"\n{len(pairs)} pairs of callers and providers, streamed and whole")


async def test_the_books_agree(table: Table) -> None:
    assert table.store.ledger.verify().differences == ()
