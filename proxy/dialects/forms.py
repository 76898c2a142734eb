"""What a format is: the one that a caller speaks, and the one that a provider does.

Pure and sans-I/O: bytes and values in, bytes and values out.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias

import msgspec

from proxy.dialects.asking import NO_HEADERS, Encoded, Target
from proxy.dialects.bodies import object_steps
from proxy.dialects.parts import Kind
from proxy.errors import GatewayError
from proxy.money import Cost
from proxy.providers import Quirks
from proxy.wire.events import Event, Spliced, Usage
from proxy.wire.frames import PROCESSING
from proxy.wire.listing import Listing
from proxy.wire.presets import Draft
from proxy.wire.request import Ask, Head, Words
from proxy.wire.slices import Steps

Headers: TypeAlias = Iterable[tuple[bytes, bytes]]


class Bill(msgspec.Struct, frozen=True):
    """What the end of an answer tells: its usage, its cost where that is known, and OpenRouter's
    `openrouter_metadata` where the caller asked to be told.
    """

    usage: Usage
    cost: Cost | None = None
    routing: dict[str, Any] | None = None


class StreamDecoder(Protocol):
    """A provider's stream becoming events. What is not its dialect raises GatewayError when the
    events before it have been taken.
    """

    def feed(self, data: bytes) -> Iterable[Event]: ...

    def end(self) -> Iterable[Event]: ...


class SplicingDecoder(StreamDecoder, Protocol):
    """One that may spare itself the work. `splice` gives what is told of bytes that need no
    decoding, which are pieces of a choice that had content; None for others: those are to be fed.
    It is `splicing` while it knows how.
    """

    @property
    def splicing(self) -> bool: ...

    def splice(self, data: bytes) -> Spliced | None: ...


class StreamEncoder(Protocol):
    """Events becoming a caller's stream. It is given every event in the order in which the caller
    is told of them; `Finished`, and what follows it of a `Verbatim` answer, come last, when the
    request is settled. After an error `encode_failure` ends the stream, wherever it was;
    `routing` is what the caller asked to be told of its way.
    """

    def encode(self, event: Event) -> bytes: ...

    def encode_end(self, bill: Bill) -> bytes: ...

    def encode_failure(
        self, error: GatewayError, routing: dict[str, Any] | None = None
    ) -> bytes: ...


def media_type(ask: Ask) -> str:
    """The type of most answers."""
    return "text/event-stream" if ask.stream else "application/json"


class Presets(NamedTuple):
    """How a format uses presets, and makes them: `merge` gives a request's fields with those of a
    preset, in the words of a chat, and its system prompt; `draft` what a preset keeps of a request.
    """

    merge: Callable[[dict[str, Any], dict[str, Any], str | None], dict[str, Any]]
    draft: Callable[[dict[str, Any]], Draft]


class Inbound(NamedTuple):
    """A format that callers speak. Requests are decoded with their headers, names in lower case.

    `encode_answer` gives a whole answer, with the headers that are its own; `encode_error` is told
    the generation's id, where there is one, and what `Bill.routing` is. `waiting` is what a caller
    is sent while nothing else comes. Where `breaks`, an answer that began can not tell of an error:
    it is broken off. Errors of the types `ends` are none once a request was admitted: they end its
    answer by its length. `encoder` is None where every answer comes whole. `ask_steps` is
    `decode_request` of a body that was decoded, whose size in bytes it is told, in steps; None
    where a body is not one JSON object, or never a large one. `presets` is None where a request can
    name none.
    """

    decode_request: Callable[[bytes, Headers], Ask]
    encoder: Callable[[Head, Ask], StreamEncoder] | None
    encode_answer: Callable[[Iterable[Event], Head, Ask, Bill], Encoded]
    encode_error: Callable[[GatewayError, str | None, dict[str, Any] | None], bytes]
    media_type: Callable[[Ask], str] = media_type
    waiting: bytes = PROCESSING
    breaks: bool = False
    ends: frozenset[str] = frozenset()
    ask_steps: Callable[[dict[str, Any], int, Headers], Steps[Ask]] | None = None
    presets: Presets | None = None

    def decode_steps(self, body: bytes, headers: Headers) -> Steps[Ask]:
        """The same as `decode_request`, in steps, for a body that is large."""
        if self.ask_steps is None:
            return self.decode_request(body, headers)
        fields = yield from object_steps(body)
        return (yield from self.ask_steps(fields, len(body), headers))

    def streaming(self, head: Head, ask: Ask) -> StreamEncoder | None:
        """What tells the answer while it comes; None where the caller wants it whole."""
        return self.encoder(head, ask) if self.encoder is not None and ask.stream else None


class Outbound(NamedTuple):
    """A format that providers speak; paths are appended to the provider's base URL. Where a
    provider lists no models, `models_path` is None; `models_headers` belong to the asking.

    `expresses` are the parameters of a chat request that it has words for, None where that is all
    of them; `fetches` the attachments whose URL the provider takes as it is, where `fetches_http`
    even one without TLS, `takes_url` says which other URLs it does; `reads_pdf` whether it takes
    PDFs. `same` is this format for a caller who speaks the same `words`: the request goes out in
    its own form, and the answer comes back as `Verbatim`. `raw` decodes an answer that is
    neither JSON nor events, where there are such: its end makes it whole. `splice` makes of a
    stream's decoder one for a caller who is told by that encoder, None where it can spare nothing.
    `encode_steps` is `encode_request` in steps, None where even a large request takes no time.
    """

    path: Callable[[Target, bool], str]
    models_path: str | None
    encode_request: Callable[[Ask, Target], Encoded]
    decoder: Callable[[Quirks], StreamDecoder]
    decode_answer: Callable[[bytes, Quirks], list[Event]]
    decode_listing: Callable[[bytes], tuple[Listing, ...]]
    expresses: frozenset[str] | None = None
    fetches: frozenset[Kind] = frozenset()
    fetches_http: bool = True
    takes_url: Callable[[str], bool] = lambda url: False
    reads_pdf: bool = True
    models_headers: Mapping[str, str] = NO_HEADERS
    words: Words | None = None
    same: "Outbound | None" = None
    raw: Callable[[Quirks], StreamDecoder] | None = None
    splice: Callable[[StreamDecoder, StreamEncoder], SplicingDecoder | None] | None = None
    encode_steps: Callable[[Ask, Target], Steps[Encoded]] | None = None
