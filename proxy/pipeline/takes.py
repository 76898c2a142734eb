"""Which attachments an endpoint takes as they are: by its dialect, its provider and its model."""

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from proxy.dialects import outbound
from proxy.dialects.attached import field_of
from proxy.dialects.parts import Media, media_of
from proxy.routing.catalogue import Endpoint, Model
from proxy.wire.request import Ask

PDF: Final = "application/pdf"
_PDF_DATA: Final = "JVBERi0"  # how the base64 of any begins, whatever it is called
_TEXTS: Final = ("application/json", "application/xml", "application/yaml")


class Item(NamedTuple):
    """An attachment, and where it stands in a request."""

    message: int
    place: int
    part: dict[str, Any]
    media: Media

    @property
    def field(self) -> str:
        """Its name for the caller."""
        return field_of(self.message, self.place, self.part)


class Takes(NamedTuple):
    """What an endpoint takes: kinds of attachments, those of which it fetches URLs itself, and
    whether it reads files and fetches without TLS. `storage` are beginnings of URLs that it reads
    with our rights.
    """

    kinds: frozenset[str] | None  # None is any
    fetches: frozenset[str]
    reads_files: bool
    takes_url: Callable[[str], bool] = lambda url: False
    fetches_http: bool = True
    storage: tuple[str, ...] = ()

    def as_is(self, media: Media) -> bool:
        """Whether it is sent that attachment as the caller gave it. What it takes in no way is left
        for its dialect to say so. A URL that is not of the web (`file:`, a cloud's storage) names
        what is ours, not the caller's: it is for nobody who was not told to take it.
        """
        if media.url is None:
            unread = media.kind == "file" and not self.reads_files
            return not (unread and media.data is not None and readable(mime_of(media)))
        if media.url.startswith(self.storage) or self.takes_url(media.url):
            return True
        scheme = media.url[:8].lower()
        web = scheme == "https://" or scheme.startswith("http://")
        fetched = media.kind in self.fetches and web
        if not self.fetches_http:
            fetched = fetched and scheme == "https://"
        if media.kind != "file":
            return fetched or (self.kinds is not None and media.kind not in self.kinds)
        if not self.reads_files:  # of which it may be none is found out by a look at it
            return web and media.mime is not None and not readable(media.mime)
        return fetched and media.mime in (None, PDF)


def takes(model: Model, endpoint: Endpoint, ask: Ask) -> Takes:
    """What it takes as it is. Files are read by models that see: providers show them the pages. One
    on our own machines would fetch from inside our net: it does so only where its row says it.
    """
    dialect = outbound(endpoint.provider, endpoint.model, ask)
    quirks = endpoint.provider.quirks
    kinds = None if quirks.attachments is None else frozenset(quirks.attachments)
    reads = dialect.reads_pdf if quirks.reads_pdf is None else quirks.reads_pdf
    usual = frozenset() if endpoint.provider.local else dialect.fetches
    sees = not {"file", "image"}.isdisjoint(model.input_modalities)
    return Takes(
        kinds=kinds,
        fetches=usual if quirks.fetches is None else frozenset(quirks.fetches),
        reads_files=reads and sees and (kinds is None or "file" in kinds),
        takes_url=dialect.takes_url,
        fetches_http=dialect.fetches_http,
        storage=quirks.storage,
    )


def items(ask: Ask) -> Iterator[Item]:
    """All attachments, in their order."""
    for number, message in enumerate(ask.body.get("messages", ())):
        content = message.get("content")
        for index, part in enumerate(content if isinstance(content, list) else ()):
            media = media_of(part)
            if media is not None:
                yield Item(number, index, part, media)


def mime_of(media: Media) -> str:
    """The MIME type of what came as data; empty where nothing tells it."""
    if media.data is not None and media.data.startswith(_PDF_DATA):
        return PDF
    return media.mime or ""


def readable(mime: str) -> bool:
    """Whether a file of that type can be put as text."""
    return mime == PDF or mime.startswith("text/") or mime in _TEXTS
