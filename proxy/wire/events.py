"""The canonical events: what any provider can say, in one vocabulary.

Every outbound dialect decodes its provider's bytes into these, every inbound dialect encodes them
for its caller, so N callers and M providers need N + M translations. A whole answer is the same
events as a streamed one, only fewer and larger. `choice` counts from 0.
"""

from typing import Any, Final, TypeAlias, TypeGuard, get_args

import msgspec


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Token counts in OpenRouter's counting: cached and written tokens are part of the prompt,
    those written for an hour part of the written, reasoning tokens part of the completion. All are
    counts of the model's own tokenizer. What is not sold by tokens is counted beside them:
    `images` made, `search_units` of a reranking, `characters` spoken, `audio_ms` heard,
    `web_searches` that the provider made while it answered.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    prompt_audio_tokens: int = 0
    prompt_video_tokens: int = 0
    prompt_image_tokens: int = 0
    reasoning_tokens: int = 0
    completion_audio_tokens: int = 0
    completion_image_tokens: int = 0
    images: int = 0
    search_units: int = 0
    characters: int = 0
    audio_ms: int = 0
    web_searches: int = 0
    estimated: bool = False  # the provider gave none; `pipeline/settle.py` says how it was guessed


class Event(msgspec.Struct, frozen=True, tag=True):
    """The base of all events; never made itself."""


class Started(Event, frozen=True):
    """The provider began to answer. Any field may be missing from what it sent; `prompt` is what
    it counted of the prompt by then, which is all that is known of an answer that is cut.
    """

    upstream_id: str | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    prompt: Usage | None = None


class Text(Event, frozen=True):
    """A piece of the answer's text. `logprobs` is OpenAI's object for exactly this piece."""

    choice: int
    text: str
    logprobs: dict[str, Any] | None = None


class Refusal(Event, frozen=True):
    """A piece of a refusal, which OpenAI sends beside the content."""

    choice: int
    text: str
    logprobs: dict[str, Any] | None = None


class Reasoning(Event, frozen=True):
    """A piece of the model's reasoning: plain text, and OpenRouter's `reasoning_details` entries
    where the provider gave structure (signatures, encrypted parts, summaries).
    """

    choice: int
    text: str
    details: tuple[dict[str, Any], ...] = ()


class ToolCall(Event, frozen=True):
    """A piece of a tool call. The first piece of `index` has the name; `arguments` concatenate.
    A custom tool takes free text in their place.
    """

    choice: int
    index: int
    id: str | None
    name: str | None
    arguments: str
    custom: bool = False


class Audio(Event, frozen=True):
    """A piece of audio output: OpenAI's keys `id`, `data` (base64), `transcript`, `expires_at`."""

    choice: int
    audio: dict[str, Any]


class Attachments(Event, frozen=True):
    """Items beside the text: `annotations` (citations) or `images`, in OpenRouter's form."""

    choice: int
    name: str
    items: tuple[dict[str, Any], ...]


class Produced(Event, frozen=True):
    """A piece of an answer that is no message; its task says what `value` is, in OpenRouter's form:
    one vector with the `index` of its input (a list of numbers, or base64 of 32-bit floats, the
    lowest byte first), the ranking (a list of `index` and `relevance_score`), the transcript with
    all that belongs to it, a count.
    """

    choice: int
    value: Any


class Sound(Event, frozen=True):
    """A piece of a recording, in the encoding that was asked for."""

    choice: int
    data: bytes


class Echo(Event, frozen=True):
    """What was sent to a provider, for a caller that debugs."""

    body: dict[str, Any]


class Verbatim(Event, frozen=True):
    """An event of a provider that speaks its caller's format, as it came, and what it means. `name`
    is that of its frame, None for an answer that came whole.
    """

    name: str | None
    data: bytes
    said: dict[str, Any]
    events: tuple[Event, ...]


class Spliced(Event, frozen=True):
    """Pieces of one choice that came together, in the caller's format already: `data` are their
    events, each with its blank line, and `sizes` how much text is in each, as `Text` and its like
    would be measured.
    """

    choice: int
    data: bytes
    sizes: tuple[int, ...]

    def parts(self) -> list["Spliced"]:
        """Each piece by itself. No line of JSON is blank, so a blank one ends an event."""
        events = self.data.split(b"\n\n")
        pairs = zip(events, self.sizes, strict=False)  # nothing stands behind the last blank line
        return [Spliced(self.choice, event + b"\n\n", (size,)) for event, size in pairs]


class Finished(Event, frozen=True):
    """A choice is complete. `reason` is OpenRouter's word, `native` the provider's own."""

    choice: int
    reason: str
    native: str | None


class UsageReport(Event, frozen=True):
    """What the provider counted so far; the last report holds."""

    usage: Usage


class Failed(Event, frozen=True):
    """The provider refused, or reported an error inside an answer that began well. `retry_after` is
    in seconds, as the provider wrote it.
    """

    status: int | None
    message: str
    code: str | None
    raw: str
    retry_after: str | None = None


class Ended(Event, frozen=True):
    """The dialect's own end mark. The end of the bytes alone is not one."""


Content: TypeAlias = (
    Text | Refusal | Reasoning | ToolCall | Audio | Attachments | Produced | Sound | Spliced
)
CONTENT: Final = frozenset(get_args(Content))
_SAID: Final = (Text, Refusal)
_WHATEVER_IT_SAYS: Final = frozenset((ToolCall, Audio, Attachments, Produced, Spliced))


def is_content(event: Event) -> TypeGuard[Content]:
    """Whether the caller receives something for this event, so that no other endpoint may follow.

    An empty piece is no content, whatever its kind: many providers open with one.
    """
    if type(event) in _WHATEVER_IT_SAYS:
        return True
    if isinstance(event, _SAID):
        return event.text != ""
    if isinstance(event, Reasoning):
        return event.text != "" or event.details != ()
    return isinstance(event, Sound) and event.data != b""
