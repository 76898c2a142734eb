"""In which words? One table of the formats callers speak, one of those that providers speak.

Pure and sans-I/O: bytes and values in, bytes and values out. A new dialect is a module, or two,
and a row here. Callers' formats are named by what they ask for (`chat`), providers' by the value
of `dialect` in their row.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from proxy.dialects import chat, chat_errors, chat_events, chat_stream
from proxy.dialects.listing import decode_listing
from proxy.errors import GatewayError
from proxy.money import Cost
from proxy.providers import Quirks
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
    """A format that callers speak."""

    decode_request: Callable[[bytes], Ask]
    encoder: Callable[[Head, bool], StreamEncoder]
    encode_answer: Callable[[Iterable[Event], Head, dict[str, Any], bool], bytes]
    encode_usage: Callable[[Usage, Cost | None], dict[str, Any]]
    encode_error: Callable[[GatewayError], bytes]


class Outbound(NamedTuple):
    """A format that providers speak; paths are appended to the provider's base URL."""

    path: str
    models_path: str
    encode_request: Callable[[Ask, str, Quirks], bytes]
    decoder: Callable[[Quirks], StreamDecoder]
    decode_answer: Callable[[bytes, Quirks], list[Event]]
    decode_error: Callable[..., GatewayError]
    decode_failure: Callable[..., GatewayError]
    decode_listing: Callable[[bytes], tuple[Listing, ...]]


CHAT = Inbound(
    decode_request=chat.decode_request,
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
        path="/chat/completions",
        models_path="/models",
        encode_request=lambda ask, model, quirks: chat.encode_request(
            ask, model=model, quirks=quirks
        ),
        decoder=chat_events.Decoder,
        decode_answer=chat_events.decode_answer,
        decode_error=chat_errors.decode_error,
        decode_failure=chat_errors.provider_error,
        decode_listing=decode_listing,
    )
}
