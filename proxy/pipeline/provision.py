"""What must be made ready before endpoints can be asked: URLs fetched, files read as text.

What any endpoint of a plan can not be sent as it is, is made ready once, before the first of them
is asked. What failed fails only the endpoints that need it.
"""

import asyncio
import base64
import binascii
from collections import Counter
from collections.abc import Coroutine, Iterable
from html import escape
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from msgspec.structs import replace

from proxy.dialects.parts import Media
from proxy.errors import GatewayError
from proxy.pipeline.takes import PDF, Item, Takes, items, mime_of, readable, takes
from proxy.routing.catalogue import Endpoint, Model
from proxy.routing.plan import Plan
from proxy.upstream.egress import Egress
from proxy.upstream.found import Budget, Fetched
from proxy.upstream.pdf import Reader
from proxy.wire.request import Ask

FILES_MAX: Final = 20  # to be fetched, or to be read as text, for one request
FETCH_BYTES_MAX: Final = 32 * 1024 * 1024  # of all that is fetched for one request
TEXT_BYTES_MAX: Final = 512 * 1024  # of text out of all files of one request
NAME_CHARS_MAX: Final = 200  # of a file's name, where it becomes text

_KINDS: Final = {"image": "an image", "video": "a video", "audio": "a recording"}


class _File(NamedTuple):
    mime: str
    data: bytes


class Provisions:
    """What was made ready for one request."""

    def __init__(self, items: tuple[Item, ...], wanted: frozenset[Takes]) -> None:
        self._items = items
        self._wanted = wanted
        self._fetched: dict[str, Fetched | GatewayError] = {}
        self._texts: dict[str, str | GatewayError] = {}
        self._written: dict[str, str] = {}

    @property
    def read_bytes(self) -> int:
        """How much text stands in place of files, counted wherever one stands in the request."""
        found = ((item, self._texts.get(_key(item.media))) for item in self._items)
        return sum(len(_told(item, text).encode()) for item, text in found if isinstance(text, str))

    def ask_of(self, ask: Ask, model: Model, endpoint: Endpoint) -> Ask:
        """The request as that endpoint can be sent it.

        Raises GatewayError `provider_lacks_media` for what it needs and could not be made ready.
        """
        taken = takes(model, endpoint, ask)
        changed: dict[int, dict[str, Any]] = {}
        for item in self._items:
            if taken.as_is(item.media):
                continue
            message = changed.get(item.message)
            if message is None:
                message = changed[item.message] = dict(ask.body["messages"][item.message])
                message["content"] = list(message["content"])
            message["content"][item.place] = self._part(item, taken)
        if not changed:
            return ask
        messages = [changed.get(n, one) for n, one in enumerate(ask.body["messages"])]
        return replace(ask, body=ask.body | {"messages": messages}, native=None)

    def _part(self, item: Item, taken: Takes) -> dict[str, Any]:
        """What stands in its place."""
        media, mime = item.media, mime_of(item.media)
        if media.url is not None:
            mime = self._found(item, media.url)
        if media.kind == "file" and not taken.reads_files and readable(mime):
            return self._read(item)
        assert media.url is not None
        return self._inlined(item, media.url, mime)

    def _found(self, item: Item, url: str) -> str:
        """The MIME type of what stands at `url`."""
        found = self._fetched[url]
        if isinstance(found, GatewayError):
            raise _lacks(item, found)
        mime, kind = found.mime or "application/octet-stream", item.media.kind
        if kind != "file" and not mime.startswith(f"{kind}/"):
            raise _lacks(item, _failure(f"The URL does not lead to {_KINDS[kind]}."))
        return mime

    def _read(self, item: Item) -> dict[str, Any]:
        text = self._texts[_key(item.media)]
        if isinstance(text, GatewayError):
            raise _lacks(item, text)
        part = {"type": "text", "text": _told(item, text)}
        if mark := item.part.get("cache_control"):
            part["cache_control"] = mark
        return part

    def _inlined(self, item: Item, url: str, mime: str) -> dict[str, Any]:
        kind, written = item.part["type"], self._written.get(url)
        if written is None:
            found = self._fetched[url]
            assert isinstance(found, Fetched)
            written = f"data:{mime};base64,{base64.b64encode(found.data).decode()}"
            self._written[url] = written
        if kind == "file":
            said = {"filename": _name(item.media) or "file"} | item.part["file"]
            return item.part | {"file": said | {"file_data": written}}
        said = item.part.get(kind)
        return item.part | {kind: (said if isinstance(said, dict) else {}) | {"url": written}}

    # How it is made ready.

    async def fetch(self, egress: Egress, *, bytes_max: int, timeout_s: float) -> None:
        """Fetches what some endpoint needs, all at the same time. Each URL is fetched once and
        counts as often as it stands in the request: so often it is sent.
        """
        urls = Counter(one.url for one in self._media() if one.url and self._needed(one))
        budget = Budget(FETCH_BYTES_MAX)

        async def fetch(url: str) -> None:
            try:
                found = await egress.fetch(
                    url, bytes_max=bytes_max, timeout_s=timeout_s, budget=budget
                )
                budget.take(len(found.data) * (urls[url] - 1))
                self._fetched[url] = found
            except GatewayError as error:
                self._fetched[url] = error

        for url in list(urls)[FILES_MAX:]:
            self._fetched[url] = _failure(f"No more than {FILES_MAX} URLs are fetched.")
        await _together(fetch(url) for url in list(urls)[:FILES_MAX])

    async def read(self, reader: Reader) -> None:
        """Reads as text the files that some endpoint does not read itself."""
        media = {_key(one): one for one in self._media() if one.kind == "file"}
        files = {
            key: file
            for key, one in media.items()
            if self._needed(one) and (file := self._file(one))
        }
        times = Counter(key for one in self._media() if (key := _key(one)) in files)
        kept = list(files.items())[:FILES_MAX]
        share = TEXT_BYTES_MAX // max(1, sum(times[key] for key, _ in kept))

        async def read(key: str, file: _File) -> None:
            try:
                self._texts[key] = await _text_of(file, reader, share)
            except GatewayError as error:
                self._texts[key] = error

        for key in list(files)[FILES_MAX:]:
            self._texts[key] = _failure(f"No more than {FILES_MAX} files are read as text.")
        await _together(read(key, file) for key, file in kept)

    def _media(self) -> Iterable[Media]:
        return (item.media for item in self._items)

    def _needed(self, media: Media) -> bool:
        return any(not taken.as_is(media) for taken in self._wanted)

    def _file(self, media: Media) -> _File | None:
        """What can be read as text and is here."""
        if media.url is not None:
            found = self._fetched.get(media.url)
            if isinstance(found, Fetched) and readable(found.mime or ""):
                return _File(found.mime or "", found.data)
            return None
        try:
            return _File(mime_of(media), base64.b64decode(media.data or ""))
        except binascii.Error:
            return _File(PDF, b"")


class Provisioner:
    """Makes ready. `bytes_max` and `timeout_s` are for each URL."""

    def __init__(
        self,
        egress: Egress,
        reader: Reader,
        *,
        bytes_max: int = FETCH_BYTES_MAX,
        timeout_s: float = 20.0,
    ) -> None:
        self._egress = egress
        self._reader = reader
        self._bytes_max = bytes_max
        self._timeout_s = timeout_s

    async def provide(self, provisions: Provisions) -> None:
        """Fetches and reads. What fails is kept, for the endpoints that need it."""
        await provisions.fetch(self._egress, bytes_max=self._bytes_max, timeout_s=self._timeout_s)
        await provisions.read(self._reader)


def needed(ask: Ask, plan: Plan) -> Provisions | None:
    """What is to be made ready, still empty; None where every endpoint takes all as it is, as is so
    of every request without attachments.
    """
    if not ask.media_prompt:
        return None
    found = tuple(items(ask))
    wanted = frozenset(takes(model, endpoint, ask) for model, endpoint in plan.attempts)
    if all(taken.as_is(item.media) for taken in wanted for item in found):
        return None
    return Provisions(found, wanted)


async def _text_of(file: _File, reader: Reader, bytes_max: int) -> str:
    if file.mime == PDF:
        return await reader.text(file.data, bytes_max=bytes_max)
    data = file.data[:bytes_max].decode(errors="replace").encode()  # what is no text is longer now
    text = data[:bytes_max].decode(errors="ignore")
    return text if len(file.data) <= bytes_max >= len(data) else f"{text}\n\n[The rest is cut.]"


async def _together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """All of it; where it is cancelled, nothing of it goes on."""
    async with asyncio.TaskGroup() as group:
        for one in work:
            group.create_task(one)


def _told(item: Item, text: str) -> str:
    """A file's text as the model reads it. Its name is text too now, and the caller's to choose."""
    name = escape((_name(item.media) or "file")[:NAME_CHARS_MAX])
    return f'<file name="{name}">\n{text}\n</file>'


def _key(media: Media) -> str:
    return media.url or media.data or ""


def _name(media: Media) -> str | None:
    return media.name or (media.url and unquote(urlsplit(media.url).path.rpartition("/")[2]))


def _lacks(item: Item, error: GatewayError) -> GatewayError:
    return GatewayError(error.kind, f"{item.field}: {error.message}")


def _failure(message: str) -> GatewayError:
    return GatewayError("provider_lacks_media", message)
