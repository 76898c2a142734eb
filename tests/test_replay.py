"""Every recorded chat, whoever spoke it, through sockets: what comes out is what was said.

A provider on loopback serves the recordings; each is asked for through a running gateway, streamed
and whole.

The provider finds the recording to play by the model's name: there is a model for each.
"""

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
import pytest
from starlette.types import Receive, Scope, Send

from proxy import providers
from proxy.dialects.chat.fields import OWN_FIELDS
from proxy.dialects.chat.request import decode_request
from proxy.errors import GatewayError
from tests.heard import check_error, check_same, heard_answer, heard_stream
from tests.recordings import Recording, Row, load
from tests.running import Running, model_text, serving, weir
from tests.truths.chat import PAIRS, Json, Truth, chats, check_count, kind
from tests.truths.dialects import DIALECTS, retry_after, truth_of

AT_ONCE = 8
SLUGS = {"zai": "z-ai"}
WRITTEN_ANEW = {"model", "stream", "stream_options", "reasoning"}  # the last for OpenRouter alone
FORMS = {"sse": "text/event-stream", "eventstream": "application/vnd.amazon.eventstream"}
"""For the recordings of which no headers were kept."""

NAME = re.compile(rb"the(?:/|%2F)model(?:%3A|:)[sw](\d+)")


class Replay:
    """A provider of recordings, in pieces of odd sizes. `faults` is what it did not like."""

    def __init__(self, recordings: list[Recording]) -> None:
        self._recordings = recordings
        self.faults: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return
        if scope["path"].endswith("/models"):
            await _answer(send, 200, {"content-type": "application/json"}, [b'{"data":[]}'])
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        wanted = NAME.search(scope["raw_path"]) or NAME.search(body)
        assert wanted is not None
        recording = self._recordings[int(wanted[1])]
        self._look(scope, json.loads(body), recording.row)
        told = {"content-type": FORMS.get(recording.row["kind"], "application/json")}
        kept = ("content-type", "retry-after")
        told |= {name: value for name, value in recording.headers.items() if name in kept}
        await _answer(send, recording.status, told, _pieces(recording))

    def _look(self, scope: Scope, asked: Json, row: Row) -> None:
        headers, provider = dict(scope["headers"]), row["provider"]
        if headers[b"authorization"] != f"Bearer key-of-{provider}".encode():
            self.faults.append(f"{provider}: another key")
        if row["api"] != "chat":
            return
        known = WRITTEN_ANEW if provider == "openrouter" else WRITTEN_ANEW - {"reasoning"}
        if own := asked.keys() & OWN_FIELDS - known:
            self.faults.append(f"{provider}: the gateway's own {own}")


async def _answer(send: Send, status: int, headers: dict[str, str], pieces: Any) -> None:
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b""})


def _pieces(recording: Recording) -> Iterator[bytes]:
    rng = random.Random(recording.row["name"])
    start = 0
    while start < len(recording.body):
        end = start + rng.choice((1, 2, 17, 500, 3000))
        yield recording.body[start:end]
        start = end


class Heard(NamedTuple):
    """An answer of the gateway."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def configuration(folder: Path, url: str, recordings: list[Recording]) -> str:
    rows = [f'[store]\nurl = "sqlite:///{folder}/weir.db"']
    for api, provider in PAIRS:
        known = SLUGS.get(provider, provider)
        rows.append(
            f'[[providers]]\nslug = "{slug_of(api, provider)}"\nname = "The {provider}"\n'
            f'base_url = "{url}/{provider}"\napi_key = "key-of-{provider}"\n'
            f'dialect = "{DIALECTS[api]}"\nauth = "bearer"\n'
            'tool_prices = { web_search = "0.01" }'
        )
        if known in providers.known():
            quirks = msgspec.to_builtins(providers.known()[known].quirks)
            for key in ("attachments", "reads_pdf"):
                del quirks[key]  # recorded refusals are of attachments that are not sent any more
            said = {key: value for key, value in quirks.items() if value is not None}
            rows.append(f"quirks = {inline(said)}")
    for number, recording in enumerate(recordings):
        slug = slug_of(recording.row["api"], recording.row["provider"])
        rows += [
            model_text(f"test/{form}{number}", (slug, f"the/model:{form}{number}"))
            for form in "sw"  # streamed and whole: one may be told to pause, the other not yet
        ]
    return "\n".join(rows)


def inline(value: Any) -> str:
    """A value of JSON as TOML writes it on one line."""
    if isinstance(value, dict):
        pairs = (f"{json.dumps(key)} = {inline(one)}" for key, one in value.items())
        return f"{{ {', '.join(pairs)} }}"
    return json.dumps(value)


def slug_of(api: str, provider: str) -> str:
    return f"{provider}-{api.lower()}"


def question(number: int, recording: Recording, *, stream: bool) -> tuple[Json, bool]:
    """What to ask, and whether it is what was asked when the recording was made."""
    ours = {"model": f"test/{'s' if stream else 'w'}{number}", "stream": stream}
    plain = {"messages": [{"role": "user", "content": "hello"}], **ours}
    recorded = recording.request.get("body")
    if not isinstance(recorded, dict) or recording.row["api"] != "chat":
        return plain, False
    body = recorded | ours
    body.pop("provider", None)  # who was to answer then, and is not here
    try:
        decode_request(json.dumps(body).encode())
    except GatewayError as error:
        if error.kind != "not_supported":
            raise
        return plain, False
    return body, True


async def ask(session: aiohttp.ClientSession, running: Running, body: Json) -> Heard:
    url = f"{running.base_url}/chat/completions"
    async with session.post(url, json=body) as response:
        return Heard(response.status, response.headers, await response.read())


def check(heard: Heard, recording: Recording, *, stream: bool) -> None:
    """Whether the client got what the recording says."""
    assert heard.headers["X-Generation-Id"].startswith("gen-")
    form = heard.headers["Content-Type"]
    name = f"The {recording.row['provider']}"
    if recording.status != 200 and b": OPENROUTER PROCESSING" in heard.body:
        # On a busy machine the refusal took more than a second, and the answer had begun.
        error = heard_stream(heard.body).error
        assert error is not None
        check_error(json.dumps({"error": error}).encode(), error["code"], recording, name)
        return
    if recording.status != 200:
        assert form == "application/json"
        check_error(heard.body, heard.status, recording, name)
        assert heard.headers.get("Retry-After") == retry_after(recording)
        return
    truth = truth_of(recording)
    if truth.error is not None:
        check_broken(heard, truth, name)
        return
    assert heard.status == 200
    assert form == ("text/event-stream" if stream else "application/json")
    got = heard_stream(heard.body) if stream else heard_answer(heard.body)
    check_same(got, truth)
    assert got.usage is not None
    zero = truth.usage is not None and truth.usage["prompt_tokens"] == 0
    assert (got.usage["prompt_tokens"] > 0) != zero, "counted, or estimated if not told"
    shown = heard.body.split(b"\n\n")[-3].removeprefix(b"data: ") if stream else heard.body
    answer = json.loads(shown)
    assert answer["id"] == heard.headers["X-Generation-Id"]
    assert answer["provider"] == name
    anything = any(
        one.text or one.reasoning or one.refusal or one.calls or one.audio or one.images
        or one.details or one.annotations
        for one in truth.voices.values()
    )  # fmt: skip
    explicit_zero = truth.usage is not None and truth.usage["total_tokens"] == 0
    free = explicit_zero or not anything
    assert (answer["usage"]["cost"] == 0) == free, "an empty answer costs nothing"


def check_broken(heard: Heard, truth: Truth, name: str) -> None:
    """An answer that broke: by status where nothing was sent yet, else by its last event."""
    if heard.headers["Content-Type"] == "application/json":
        error = json.loads(heard.body)["error"]
        assert heard.status == error["code"] >= 400
    else:
        found = heard_stream(heard.body).error
        assert found is not None
        error = found
    assert truth.error is not None
    assert truth.error["message"] in error["message"]
    assert error["metadata"]["provider_name"] == name


@pytest.mark.wire
async def test_every_recording_through_sockets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recordings = [load(row) for api, provider in PAIRS for row in chats(provider, api)]
    spoken_as_chat = sum(recording.row["api"] == "chat" for recording in recordings)
    replay = Replay(recordings)
    replayed: dict[tuple[str, str], Counter[str]] = {pair: Counter() for pair in PAIRS}
    as_recorded = 0
    gate = asyncio.Semaphore(AT_ONCE)

    async def play(session: aiohttp.ClientSession, running: Running, number: int) -> None:
        nonlocal as_recorded
        recording = recordings[number]
        for stream in (True, False):
            body, same = question(number, recording, stream=stream)
            async with gate:
                heard = await ask(session, running, body)
            try:
                check(heard, recording, stream=stream)
            except Exception as error:
                error.add_note(f"in the recording {recording.row['dir']}, {stream=}")
                error.add_note(f"{heard.status} {heard.body[:2000]!r}")
                raise
            as_recorded += same
        replayed[recording.row["api"], recording.row["provider"]][kind(recording)] += 1

    async with (
        serving(replay) as url,
        weir(tmp_path, configuration(tmp_path, url, recordings)) as running,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {running.key}"}) as session,
        asyncio.TaskGroup() as group,
    ):
        for number in range(len(recordings)):
            group.create_task(play(session, running, number))
    assert replay.faults == []
    assert as_recorded > spoken_as_chat, "most are asked for in the words of their own time"
    table = check_count(replayed)
    with capsys.disabled():
        print(f"\n\nrecordings replayed through sockets, streamed and whole\n{table}")
