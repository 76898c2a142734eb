"""Attachments for a provider that fetches nothing and reads no PDFs, over sockets."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import orjson
from starlette.types import Receive, Scope, Send

from proxy.upstream.fake import Fake, fake
from tests.calling import Calls, calling
from tests.running import config_text, eventually, model_text, serving, weir
from tests.upstream.papers import bomb, pdf

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
PAPER = pdf("first page", "second page")
NEEDY = 'quirks = { fetches = [], reads_pdf = false }\nauthor = "test"'
ALLOW = '[egress]\nallow = ["127.0.0.1"]\nbytes_max = 10000\ntimeout_s = 5\n'


class Files:
    """A server of files: `/png`, `/pdf`, `/away` which leads there, and `/never`, which hangs."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.left = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        self.asked.append(scope["path"])
        if scope["path"] == "/never":
            while (await receive())["type"] != "http.disconnect":
                pass
            self.left.set()
            return
        status, headers, body = 200, [(b"content-type", b"application/octet-stream")], PNG
        if scope["path"] == "/away":
            status, headers = 302, [(b"location", b"/pdf")]
        elif scope["path"] == "/pdf":
            body = PAPER
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Scene(NamedTuple):
    calls: Calls
    fake: Fake
    files: Files
    url: str
    session: aiohttp.ClientSession

    async def ask(self, *parts: dict[str, Any], **more: Any) -> tuple[int, Any]:
        running = self.calls.running
        body = {"model": "test/m", "messages": [{"role": "user", "content": list(parts)}]} | more
        headers = {"Authorization": f"Bearer {running.key}"}
        url = f"{running.base_url}/chat/completions"
        async with self.session.post(url, json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    @property
    def sent(self) -> Any:
        """The content that the provider was sent last."""
        return orjson.loads(self.fake.seen[-1].body)["messages"][0]["content"]


@contextlib.asynccontextmanager
async def scene(folder: Path, more: str = ALLOW) -> AsyncIterator[Scene]:
    files = Files()
    app = fake(keep=10)
    async with serving(app) as base, serving(files) as url:
        text = config_text(folder, f"{base}/v1", more=more).replace('author = "test"', NEEDY)
        text += model_text("test/m", ("p0", "m"))
        async with (
            weir(folder, text) as running,
            calling(running) as calls,
            aiohttp.ClientSession() as session,
        ):
            yield Scene(calls, app, files, url, session)


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def paper(data: str) -> dict[str, Any]:
    return {"type": "file", "file": {"filename": "a.pdf", "file_data": data}}


async def test_what_the_operator_allows_is_fetched_and_inlined(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        status, _ = await it.ask(image(f"{it.url}/png"), paper(f"{it.url}/away"))
        assert status == 200
        data = base64.b64encode(PNG).decode()
        assert it.sent == [
            image(f"data:image/png;base64,{data}"),
            {"type": "text", "text": '<file name="a.pdf">\nfirst page\n\nsecond page\n</file>'},
        ]
        assert sorted(it.files.asked) == ["/away", "/pdf", "/png"]


async def test_without_that_it_is_refused_and_nobody_asked(tmp_path: Path) -> None:
    async with scene(tmp_path, more="") as it:
        status, answer = await it.ask(image(f"{it.url}/png"))
        assert status == 400
        assert answer["error"]["message"] == (
            "messages[0].content[0].image_url.url: The URL can not be fetched: "
            "only https at its usual port is fetched."
        )
        assert "127.0.0.1" not in str(answer)
        assert answer["error"]["metadata"]["error_type"] == "image_download_failed"
        assert it.files.asked == []
        assert not any(one.method == "POST" for one in it.fake.seen)


async def test_a_bomb_harms_nobody(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        data = base64.b64encode(bomb()).decode()
        status, answer = await it.ask(paper(f"data:application/pdf;base64,{data}"))
        assert status == 400
        assert "The PDF can not be read as text" in answer["error"]["message"]
        assert (await it.ask({"type": "text", "text": "hello"}))[0] == 200


async def test_who_hangs_up_ends_the_fetch(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        task = asyncio.create_task(it.ask(image(f"{it.url}/never"), stream=True))
        await eventually(lambda: bool(it.files.asked))
        task.cancel()
        await asyncio.wait([task])
        async with asyncio.timeout(20):
            await it.files.left.wait()
        await eventually(lambda: bool(it.calls.rows))
        (row,) = it.calls.rows.values()
        assert (row.status, row.cancelled, row.cost_nano) == (499, True, 0)
        assert not any(one.method == "POST" for one in it.fake.seen)
