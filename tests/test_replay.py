"""Every recorded chat in OpenAI's dialect is served by a provider on loopback and asked for through
a running gateway, streamed and whole; what comes out of the socket is what the recording says.

The provider finds the recording to play by a field that the gateway does not know, and so hands on.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from starlette.types import Receive, Scope, Send

from proxy.dialects.chat.fields import OWN_FIELDS
from proxy.dialects.chat.request import decode_request
from proxy.errors import GatewayError
from tests.heard import check_error, check_same, heard_answer, heard_stream
from tests.recordings import Recording, load
from tests.running import Running, model_text, serving, weir
from tests.truth import PROVIDERS, Json, Truth, chats, check_count, kind, said

AT_ONCE = 8
SLUGS = {"zai": "z-ai"}
WRITTEN_ANEW = {"model", "stream", "stream_options", "reasoning"}  # the last for OpenRouter alone


class Replay:
    """A provider of recordings, in pieces of odd sizes. `faults` is what it did not like."""

    def __init__(self, recordings: dict[str, Recording]) -> None:
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
        asked = json.loads(body)
        recording = self._recordings[asked["recording"]]
        self._look(scope, asked, recording.row["provider"])
        told = {"content-type": "application/json"}  # two recorders kept no headers
        kept = ("content-type", "retry-after")
        told |= {name: value for name, value in recording.headers.items() if name in kept}
        await _answer(send, recording.status, told, _pieces(recording))

    def _look(self, scope: Scope, asked: Json, provider: str) -> None:
        headers = dict(scope["headers"])
        if headers[b"authorization"] != f"Bearer key-of-{provider}".encode():
            self.faults.append(f"{provider}: another key")
        known = WRITTEN_ANEW if provider == "openrouter" else WRITTEN_ANEW - {"reasoning"}
        if own := asked.keys() & OWN_FIELDS - known:
            self.faults.append(f"{provider}: the gateway's own {own}")
        if asked["model"] != "the/model:own-name":
            self.faults.append(f"{provider}: another model")


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


def configuration(folder: Path, url: str) -> str:
    rows = [f'[store]\nurl = "sqlite:///{folder}/weir.db"']
    for provider in PROVIDERS:
        slug = SLUGS.get(provider, provider)
        rows.append(
            f'[[providers]]\nslug = "{slug}"\nname = "The {provider}"\n'
            f'base_url = "{url}/{provider}"\napi_key = "key-of-{provider}"'
        )
        rows.append(model_text(f"test/{provider}", (slug, "the/model:own-name")))
    return "\n".join(rows)


def question(recording: Recording, *, stream: bool) -> tuple[Json, bool]:
    """What to ask, and whether it is what was asked when the recording was made."""
    row = recording.row
    ours = {"model": f"test/{row['provider']}", "recording": row["dir"], "stream": stream}
    plain = {"messages": [{"role": "user", "content": "hello"}], **ours}
    recorded = recording.request.get("body")
    if not isinstance(recorded, dict):
        return plain, False
    body = recorded | ours
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
    if recording.status != 200:
        assert form == "application/json"
        check_error(heard.body, heard.status, recording, name)
        assert heard.headers.get("Retry-After") == recording.headers.get("retry-after")
        return
    truth = said(recording)
    if truth.error is not None:
        check_broken(heard, truth, name)
        return
    assert heard.status == 200
    assert form == ("text/event-stream" if stream else "application/json")
    got = heard_stream(heard.body) if stream else heard_answer(heard.body)
    check_same(got, truth)
    assert got.usage is not None
    assert got.usage["prompt_tokens"] > 0, "counted, or estimated where the provider does not tell"
    shown = heard.body.split(b"\n\n")[-3].removeprefix(b"data: ") if stream else heard.body
    answer = json.loads(shown)
    assert answer["id"] == heard.headers["X-Generation-Id"]
    assert answer["provider"] == name
    anything = any(
        one.text or one.reasoning or one.refusal or one.calls or one.audio or one.images
        or one.details or one.annotations
        for one in truth.voices.values()
    )  # fmt: skip
    assert (answer["usage"]["cost"] > 0) == anything, "an empty answer costs nothing"


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
    recordings = {row["dir"]: load(row) for provider in PROVIDERS for row in chats(provider)}
    replay = Replay(recordings)
    replayed: dict[str, Counter[str]] = {provider: Counter() for provider in PROVIDERS}
    as_recorded = 0
    gate = asyncio.Semaphore(AT_ONCE)

    async def play(session: aiohttp.ClientSession, running: Running, recording: Recording) -> None:
        nonlocal as_recorded
        for stream in (True, False):
            body, same = question(recording, stream=stream)
            async with gate:
                heard = await ask(session, running, body)
            try:
                check(heard, recording, stream=stream)
            except Exception as error:
                error.add_note(f"in the recording {recording.row['dir']}, {stream=}")
                error.add_note(f"{heard.status} {heard.body[:2000]!r}")
                raise
            as_recorded += same
        replayed[recording.row["provider"]][kind(recording)] += 1

    async with (
        serving(replay) as url,
        weir(tmp_path, configuration(tmp_path, url)) as running,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {running.key}"}) as session,
        asyncio.TaskGroup() as group,
    ):
        for recording in recordings.values():
            group.create_task(play(session, running, recording))
    assert replay.faults == []
    assert as_recorded > len(recordings), "most are asked for in the words of their own time"
    table = check_count(replayed)
    with capsys.disabled():
        print(f"\n\nrecordings replayed through sockets, streamed and whole\n{table}")
