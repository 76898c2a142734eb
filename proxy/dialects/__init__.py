"""In which words? One table of the formats callers speak, one of those that providers speak.

Pure and sans-I/O: bytes and values in, bytes and values out. A new dialect is a module, or two,
and a row here. Callers' formats are named by what they ask for (`chat`), providers' by the value
of `dialect` in their row.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from proxy.dialects.asking import Encoded, Target
from proxy.dialects.chat import errors as chat_errors
from proxy.dialects.chat import events as chat_events
from proxy.dialects.chat import request as chat_request
from proxy.dialects.chat import stream as chat_stream
from proxy.dialects.listing import decode_listing
from proxy.dialects.parts import Kind
from proxy.errors import GatewayError
from proxy.money import Cost
from proxy.providers import Provider, Quirks
from proxy.wire.events import Event, Usage
from proxy.wire.listing import Listing
from proxy.wire.request import Ask, Head


class StreamDecoder(Protocol):
    """A provider's stream becoming events. What is not its dialect raises GatewayError when the
    events before it have been taken.
    """

    def feed(self, data: bytes) -> Iterator[Event]: ...

    def end(self) -> Iterator[Event]: ...


class StreamEncoder(Protocol):
    """Events becoming a caller's stream."""

    def encode(self, event: Event) -> bytes: ...

    def encode_end(self, usage: dict[str, Any]) -> bytes: ...

    def encode_failure(self, error: GatewayError) -> bytes: ...


class Inbound(NamedTuple):
    """A format that callers speak. Requests are decoded with their headers, names in lower case."""

    decode_request: Callable[[bytes, Iterable[tuple[bytes, bytes]]], Ask]
    encoder: Callable[[Head, bool], StreamEncoder]
    encode_answer: Callable[[Iterable[Event], Head, dict[str, Any], bool], bytes]
    encode_usage: Callable[[Usage, Cost | None], dict[str, Any]]
    encode_error: Callable[[GatewayError], bytes]


class Outbound(NamedTuple):
    """A format that providers speak; paths are appended to the provider's base URL. Where a
    provider lists no models, `models_path` is None.

    `expresses` are the parameters of a chat request that it has words for, None where that is all
    of them; `fetches` the attachments whose URL the provider takes as it is; `reads_pdf` whether it
    takes PDFs.
    """

    path: Callable[[Target, bool], str]
    models_path: str | None
    encode_request: Callable[[Ask, Target], Encoded]
    decoder: Callable[[Quirks], StreamDecoder]
    decode_answer: Callable[[bytes, Quirks], list[Event]]
    decode_listing: Callable[[bytes], tuple[Listing, ...]]
    expresses: frozenset[str] | None = None
    fetches: frozenset[Kind] = frozenset()
    reads_pdf: bool = True


CHAT = Inbound(
    decode_request=chat_request.decode_request,
    encoder=lambda head, hide: chat_stream.Encoder(head, hide_reasoning=hide),
    encode_answer=lambda events, head, usage, hide: chat_stream.encode_answer(
        events, head, usage, hide_reasoning=hide
    ),
    encode_usage=chat_stream.encode_usage,
    encode_error=chat_errors.encode_error,
)

INBOUND = {"chat": CHAT}

OUTBOUND = {
    "openai": Outbound(
        path=lambda target, stream: "/chat/completions",
        models_path="/models",
        encode_request=chat_request.encode_request,
        decoder=chat_events.decoder,
        decode_answer=chat_events.decode_answer,
        decode_listing=decode_listing,
        fetches=frozenset(("image", "file", "video")),
    )
}


def outbound(provider: Provider, model: str, ask: Ask | None = None) -> Outbound:
    """The format in which `ask` is put to the provider's `model`; without one, the usual."""
    return OUTBOUND[provider.dialect]
