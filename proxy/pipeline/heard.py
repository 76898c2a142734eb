"""What one attempt heard of an answer, apart from its bytes.

Two attempts may run side by side, so each has a record of its own; that of the one whose answer
the caller gets becomes the exchange's.
"""

from dataclasses import dataclass, field

from msgspec.structs import replace

from proxy.routing.catalogue import Endpoint
from proxy.wire.events import Attachments, Content, Event, Finished, Reasoning, Started, Usage
from proxy.wire.request import WEB_SEARCH, Ask

BYTES_PER_TOKEN_MIN = 3  # of text; a vocabulary that makes more tokens of it is rare
TOKENS_PER_IMAGE = 1000


@dataclass(slots=True)
class Heard:
    """`said_bytes` is the answer's text in bytes, `images` how many came beside it, `searches` how
    often it told of a search of the web; `content_at` is when the first content came, on the loop's
    clock. `spoken` are the choices that had content, `done` those with a finish reason.
    """

    opened: Started = field(default_factory=Started)
    usage: Usage | None = None
    said_bytes: int = 0
    images: int = 0
    searches: int = 0
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    content_at: float | None = None
    spoken: set[int] = field(default_factory=set)
    done: set[int] = field(default_factory=set)

    @property
    def said_max(self) -> int:
        """A rough upper estimate of the tokens in what was said."""
        return -(-self.said_bytes // BYTES_PER_TOKEN_MIN) + TOKENS_PER_IMAGE * self.images

    @property
    def tokens_max(self) -> int:
        """The same, or the provider's own count of all it made where that is greater."""
        counted = 0 if self.usage is None else self.usage.completion_tokens
        return max(self.said_max, counted)

    @property
    def complete(self) -> bool:
        """Whether all that began to speak has finished; the end of the bytes does not say so."""
        return bool(self.done) and self.spoken <= self.done

    def speak(self, content: Content, size_bytes: int, images: int, now: float) -> None:
        """A piece of content came."""
        if self.content_at is None:
            self.content_at = now
        self.said_bytes += size_bytes
        self.images += images
        self.searches += _searches_in(content)
        self.spoken.add(content.choice)

    def finish(self, event: Finished) -> None:
        """A choice is complete; the first choice's reason is the answer's."""
        self.done.add(event.choice)
        if event.choice == min(self.done):
            self.finish_reason = event.reason
            self.native_finish_reason = event.native


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
