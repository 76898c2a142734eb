"""npm's `@anthropic-ai/sdk`, and npm's `openai` beyond chats, each in one Node process of its own.

Each goes through all scenarios where it is at home and before OpenAI's chat, and before the other
dialects through those that a dialect may have an influence on; the simulated provider and aimock
speak all of them.
"""

import asyncio
import base64
import contextlib
import io
import json
import wave
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

import pytest
from _pytest.mark import ParameterSet

from tests.calling import Calls, calling
from tests.running import Running, config_text, eventually, provider, weir
from tests.sdk import test_responses
from tests.sdk.clients import Client, Failure, JSONObject, Outcome
from tests.sdk.dialects import DIALECTS
from tests.sdk.scenarios import SCENARIOS, Scenario, abroad
from tests.sdk.script import QUESTION, TEXT
from tests.sdk.upstreams import KINDS, LACKS, Spoken, Upstream, node
from tests.sdk.words import CODES, message_outcome, message_request
from tests.sdk.world import World

pytestmark = pytest.mark.sdk

Do = Callable[[JSONObject], Any]


@contextlib.contextmanager
def process(script: str) -> Iterator[Do]:
    """Has a Node process do jobs and returns what came of each; it blocks meanwhile."""
    with node(script) as started:

        def run(job: JSONObject) -> Any:
            assert started.stdin is not None
            assert started.stdout is not None
            print(json.dumps(job), file=started.stdin, flush=True)
            answer = json.loads(started.stdout.readline())
            assert "bug" not in answer, answer["bug"]
            return answer["ok"]

        yield run


@pytest.fixture(scope="session")
def messages(packages: None) -> Iterator[Do]:
    with process("anthropic.mjs") as run:
        yield run


@pytest.fixture(scope="session")
def tasks(packages: None) -> Iterator[Do]:
    with process("tasks.mjs") as run:
        yield run


class Common:
    """A client whose SDK is in another process."""

    errors: Mapping[int, str] = {
        400: "BadRequestError",
        401: "AuthenticationError",
        429: "RateLimitError",
        502: "InternalServerError",
    }
    do: ClassVar[Do]

    def __init__(self, base_url: str, key: str) -> None:
        self._base = {"base_url": base_url, "key": key}

    @staticmethod
    def said(request: JSONObject) -> JSONObject:
        """A scenario's request in the SDK's words."""
        raise NotImplementedError

    async def ask(self, verb: str, **job: Any) -> Any:
        return await asyncio.to_thread(type(self).do, {"verb": verb, **self._base, **job})

    async def models(self) -> list[str]:
        return list(await self.ask("models"))

    async def hang_up(self, request: JSONObject) -> str:
        return str(await self.ask("hang_up", request=self.said(request)))


class Messages(Common):
    """npm's `@anthropic-ai/sdk`."""

    broken_stream = "APIError"
    provider_named = True
    said = staticmethod(message_request)

    async def chat(self, request: JSONObject, *, stream: bool) -> Outcome:
        row = await self.ask("chat", request=self.said(request), stream=stream)
        return message_outcome(row["id"], row["message"], row["usage"])

    async def fail(self, request: JSONObject, *, stream: bool) -> Failure:
        row = await self.ask("fail", request=self.said(request), stream=stream)
        return Failure(**{"code": CODES[row.pop("type")], **row})


class _Told:
    """A response as Python's SDK would have it."""

    def __init__(self, row: JSONObject, text: str) -> None:
        self.id, self.model, self.output_text = row["id"], row["model"], text
        self._row = row

    def model_dump(self, *, exclude_none: bool) -> JSONObject:
        kept = json.dumps(self._row)
        return dict(json.loads(kept, object_hook=_without_none if exclude_none else None))


def _without_none(row: JSONObject) -> JSONObject:
    return {name: value for name, value in row.items() if value is not None}


class Responses(Common):
    """npm's `openai`, asking for responses."""

    broken_stream = "response.failed"
    provider_named = False
    said = staticmethod(test_responses.said)

    async def chat(self, request: JSONObject, *, stream: bool) -> Outcome:
        row = await self.ask("chat", request=self.said(request), stream=stream)
        return test_responses.outcome(_Told(row["response"], row["text"]))

    async def fail(self, request: JSONObject, *, stream: bool) -> Failure:
        row = await self.ask("fail", request=self.said(request), stream=stream)
        row.pop("availability", None)  # of the event that tells it
        return Failure(**row | {"code": test_responses.CODES[row["code"]]})


CALLERS: Final[Mapping[str, tuple[type[Common], str, str]]] = {
    "npm-anthropic": (Messages, "messages", "anthropic"),
    "npm-responses": (Responses, "tasks", "responses"),
}
"""Each caller by name: its class, its process, and the dialect in which it is at home."""


def _rows() -> Iterator[ParameterSet]:
    for name, (_, _, home) in CALLERS.items():
        everywhere = [Spoken(kind, dialect) for kind in KINDS for dialect in DIALECTS]
        for place, spoken in enumerate(everywhere):
            at_home = spoken.dialect == home and spoken.kind == "fake"
            for scenario in SCENARIOS if at_home else abroad(place, share=12):
                if (spoken, scenario.name) not in LACKS:
                    id_ = "-".join((name, *spoken, scenario.name))
                    yield pytest.param(spoken, name, scenario, id=id_)


@pytest.fixture
def client(request: pytest.FixtureRequest, caller: str) -> type[Client]:
    class_, process_, _ = CALLERS[caller]
    do = staticmethod(request.getfixturevalue(process_))
    made: Any = type(class_.__name__, (class_,), {"do": do})
    return made  # type: ignore[no-any-return]


@pytest.mark.parametrize(("upstream", "caller", "scenario"), list(_rows()), indirect=["upstream"])
async def test_scenario(
    client: type[Client], scenario: Scenario, gateway: Running, upstream: Upstream
) -> None:
    await scenario.run(World.meet(client, gateway, upstream))


@pytest.mark.parametrize("upstream", [Spoken("fake", "anthropic"), Spoken("fake")], indirect=True)
async def test_a_count(messages: Do, gateway: Running) -> None:
    turns = [{"role": "user", "content": QUESTION}]
    job = {"verb": "count", "request": {"model": "test/lorem", "messages": turns}}
    where = {"base_url": gateway.base_url, "key": gateway.key}
    assert await asyncio.to_thread(messages, job | where) >= 5


class Place(NamedTuple):
    """A gateway whose models are for all tasks, and the SDK that asks it."""

    gateway: Running
    do: Do
    calls: Calls

    async def ask(self, verb: str, model: str, request: JSONObject, **more: Any) -> Any:
        job = {"verb": verb, "request": {"model": f"test/{model}", **request}, **more}
        where = {"base_url": self.gateway.base_url, "key": self.gateway.key}
        return await asyncio.to_thread(self.do, job | where)

    async def charged(self) -> list[int | None]:
        """What the requests so far were charged, in nano-dollars."""
        await eventually(lambda: not any(self.calls.open_now().values()))
        return [row.cost_nano for row in self.calls.rows.values()]


PRICES: Final = {
    "lorem": ("text", 'prompt = "0.000001", completion = "0.000002"'),
    "text-embedding": ("embeddings", 'prompt = "0.000001", completion = "0"'),
    "gpt-image": ("image", 'prompt = "0.000005", completion = "0.00004"'),
    "tts": ("speech", 'prompt = "0", completion = "0", character = "0.00001"'),
    "whisper": ("transcription", 'prompt = "0", completion = "0", audio_second = "0.0001"'),
}


@pytest.fixture
async def place(tmp_path: Path, tasks: Do) -> AsyncIterator[Place]:
    models = "".join(
        f'[[models]]\nid = "test/{name}"\noutput_modalities = ["{kind}"]\n'
        f'[[models.endpoints]]\nprovider = "p0"\nmodel = "{name}"\npricing = {{ {prices} }}\n'
        for name, (kind, prices) in PRICES.items()
    )
    async with (
        provider() as (_, url),
        weir(tmp_path, config_text(tmp_path, url, more=models)) as gateway,
        calling(gateway) as calls,
    ):
        yield Place(gateway, tasks, calls)


def _sound() -> str:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
        sound.writeframes(bytes(16_000))
    return base64.b64encode(file.getvalue()).decode()


async def test_a_completion(place: Place) -> None:
    for stream in (False, True):
        said = await place.ask(
            "completion", "lorem", {"prompt": QUESTION, "max_tokens": 99}, stream=stream
        )
        assert said.strip() == TEXT


async def test_an_embedding(place: Place) -> None:
    told = await place.ask("embedding", "text-embedding", {"input": ["one", "two"]})
    assert len(told["lengths"]) == 2
    assert min(told["lengths"]) > 0
    assert told["usage"]["prompt_tokens"] == 2
    assert await place.charged() == [2000]


async def test_an_image(place: Place) -> None:
    told = await place.ask("image", "gpt-image", {"prompt": "Water over a weir", "n": 2})
    assert len(told) == 2
    assert min(told) > 0


async def test_speech(place: Place) -> None:
    request = {"input": QUESTION, "voice": "alloy", "response_format": "pcm"}
    assert await place.ask("speech", "tts", request) > 0
    assert await place.charged() == [len(QUESTION) * 10_000]


async def test_a_transcription(place: Place) -> None:
    assert await place.ask("transcription", "whisper", {}, data=_sound())
    assert await place.charged() == [100_000]
