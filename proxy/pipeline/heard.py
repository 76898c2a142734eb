"""What one attempt heard of an answer, apart from its bytes.

Two attempts may run side by side, so each has a record of its own; that of the one whose answer
the caller gets becomes the exchange's.
"""

import msgspec
from msgspec.structs import replace

from proxy.pipeline.calls import Calls
from proxy.routing.catalogue import Endpoint
from proxy.wire.events import (
    Attachments,
    Audio,
    Content,
    Event,
    Finished,
    Reasoning,
    Refusal,
    Spliced,
    Started,
    Text,
    ToolCall,
    Usage,
)
from proxy.wire.request import WEB_SEARCH, Ask

BYTES_PER_TOKEN_MIN = 3  # of text; a vocabulary that makes more tokens of it is rare
TOKENS_PER_IMAGE = 1000
_NOT_OPENED = Started()
_TEXTS = (Text, Reasoning, Refusal)
_MORE = frozenset((Attachments, Reasoning))  # what may be images, or tell of a search


class Heard(msgspec.Struct):
    """`said_bytes` is the answer's text in bytes, `images` how many came beside it, `searches` how
    often it told of a search of the web; `content_at` is when the first content came, on the loop's
    clock. `spoken` are the choices that had content, `done` those with a finish reason. `calls` are
    kept of a request that has tools.
    """

    opened: Started = _NOT_OPENED
    usage: Usage | None = None
    said_bytes: int = 0
    images: int = 0
    searches: int = 0
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    content_at: float | None = None
    spoken: set[int] = msgspec.field(default_factory=set)
    done: set[int] = msgspec.field(default_factory=set)
    calls: Calls | None = None

    def bytes_within(self, tokens: int) -> int:
        """How many bytes of text make up so many tokens beside the images, as `said_max` goes."""
        return (tokens - TOKENS_PER_IMAGE * self.images) * BYTES_PER_TOKEN_MIN

    @property
    def said_max(self) -> int:
        """A rough upper estimate of the tokens in what was said."""
        return -(-self.said_bytes // BYTES_PER_TOKEN_MIN) + TOKENS_PER_IMAGE * self.images

    @property
    def tokens_max(self) -> int:
        """The same, or the provider's own count of all it made where that is greater."""
        said, usage = self.said_max, self.usage
        return said if usage is None else max(said, usage.completion_tokens)

    @property
    def complete(self) -> bool:
        """Whether all that began to speak has finished; the end of the bytes does not say so."""
        return bool(self.done) and self.spoken <= self.done

    @property
    def sound(self) -> bool | None:
        """Whether its tool calls can be used; None where nothing is to be said of them."""
        return None if self.calls is None else self.calls.sound(self.finish_reason)

    def speak(self, content: Content, now: float) -> tuple[int, int]:
        """A piece of content came: how many bytes of text it is, and how many images."""
        if self.content_at is None:
            self.content_at = now
        images = 0
        if type(content) is Text:  # most are
            text = content.text
            size = len(text) if text.isascii() else len(text.encode())
        elif type(content) is Spliced:
            size = sum(content.sizes)
            if self.calls is not None:
                self.calls.splice(content.data)
        else:
            if type(content) is ToolCall and self.calls is not None:
                self.calls.hear(content)
            size = said_bytes(content)
            if type(content) in _MORE:
                images = images_in(content)
                self.images += images
                self.searches += _searches_in(content)
        self.said_bytes += size
        if content.choice not in self.spoken:
            self.spoken.add(content.choice)
        return size, images

    def finish(self, event: Finished) -> None:
        """A choice is complete; the first choice's reason is the answer's."""
        done = self.done
        done.add(event.choice)
        if len(done) == 1 or event.choice == min(done):
            self.finish_reason = event.reason
            self.native_finish_reason = event.native


def said_bytes(event: Event) -> int:
    """How much text an event of an answer has in it; an estimate of its usage goes by their sum."""
    if isinstance(event, _TEXTS):
        text = event.text
        return len(text) if text.isascii() else len(text.encode())
    if isinstance(event, ToolCall):
        return len(event.arguments) + len(event.name or "")
    return len(event.audio.get("transcript") or "") if isinstance(event, Audio) else 0


def images_in(event: Event) -> int:
    """How many images it is."""
    return len(event.items) if isinstance(event, Attachments) and event.name == "images" else 0


def _searches_in(content: Content) -> int:
    details = content.details if isinstance(content, Reasoning) else ()
    told = (one for one in details if one.get("type") == "reasoning.server_tool_call")
    return sum(one.get("tool_name") == WEB_SEARCH for one in told)


def with_searches(usage: Usage, heard: Heard, endpoint: Endpoint) -> Usage:
    """`usage` with the searches of the web that nobody counted: those that were told of, where all
    of it is guessed, and the one that a model makes unasked.
    """
    unasked = WEB_SEARCH in endpoint.provider.tools_of(endpoint.model)
    searches = heard.searches if usage.estimated else 0
    if usage.web_searches or not (searches or unasked):
        return usage
    return replace(usage, web_searches=searches or 1)


def with_units(usage: Usage, ask: Ask | None) -> Usage:
    """`usage` with the units that the gateway counts itself, where the provider counts others."""
    if ask is None or ask.likely is None:
        return usage
    characters = usage.characters or ask.likely.characters
    return replace(usage, characters=characters, audio_ms=usage.audio_ms or ask.likely.audio_ms)
