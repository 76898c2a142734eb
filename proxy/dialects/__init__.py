"""In which words? One table of the formats callers speak, one of those that providers speak.

Pure and sans-I/O: bytes and values in, bytes and values out. A new dialect is a module, or two,
and a row here. Callers' formats are named by what they ask for (`chat`), providers' by the value
of `dialect` in their row.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from proxy.dialects.asking import NO_HEADERS, Encoded, Target
from proxy.dialects.bedrock import events as bedrock_events
from proxy.dialects.bedrock import listing as bedrock_listing
from proxy.dialects.bedrock import request as bedrock_request
from proxy.dialects.chat import errors as chat_errors
from proxy.dialects.chat import events as chat_events
from proxy.dialects.chat import request as chat_request
from proxy.dialects.chat import stream as chat_stream
from proxy.dialects.chat.request import azure_path
from proxy.dialects.cohere import events as cohere_events
from proxy.dialects.cohere import listing as cohere_listing
from proxy.dialects.cohere import request as cohere_request
from proxy.dialects.gemini import events as gemini_events
from proxy.dialects.gemini import listing as gemini_listing
from proxy.dialects.gemini import request as gemini_request
from proxy.dialects.listing import decode_listing
from proxy.dialects.messages import events as messages_events
from proxy.dialects.messages import listing as messages_listing
from proxy.dialects.messages import request as messages_request
from proxy.dialects.parts import Kind
from proxy.dialects.responses import events as responses_events
from proxy.dialects.responses import request as responses_request
from proxy.errors import GatewayError
from proxy.money import Cost
from proxy.providers import Provider, Quirks
from proxy.wire.events import Event, Usage
from proxy.wire.listing import PARAMETERS, Listing
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
    provider lists no models, `models_path` is None; `models_headers` belong to the asking.

    `expresses` are the parameters of a chat request that it has words for, None where that is all
    of them; `fetches` the attachments whose URL the provider takes as it is, where `fetches_http`
    even one without TLS, `takes_url` says which other URLs it does; `reads_pdf` whether it takes
    PDFs.
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

_CLAUDE = Outbound(
    path=lambda target, stream: "/v1/messages",
    models_path="/v1/models?limit=1000",
    models_headers={"anthropic-version": messages_request.VERSION},
    encode_request=messages_request.encode_request,
    decoder=messages_events.decoder,
    decode_answer=messages_events.decode_answer,
    decode_listing=messages_listing.decode_listing,
    expresses=messages_request.EXPRESSES,
    fetches=frozenset(("image", "file")),
    fetches_http=False,
)
_GEMINI = Outbound(
    path=gemini_request.path,
    models_path=gemini_request.MODELS_PATH,
    encode_request=gemini_request.encode_request,
    decoder=gemini_events.decoder,
    decode_answer=gemini_events.decode_answer,
    decode_listing=gemini_listing.decode_listing,
    expresses=gemini_request.EXPRESSES,
    takes_url=gemini_request.takes_url,
)

OUTBOUND = {
    "openai": Outbound(
        path=lambda target, stream: "/chat/completions",
        models_path="/models",
        encode_request=chat_request.encode_request,
        decoder=chat_events.decoder,
        decode_answer=chat_events.decode_answer,
        decode_listing=decode_listing,
        fetches=frozenset(("image", "video")),
    ),
    "responses": Outbound(
        path=lambda target, stream: "/responses",
        models_path="/models",
        encode_request=lambda ask, target: responses_request.encode_request(
            ask, target, target.provider.quirks.details_format
        ),
        decoder=lambda quirks: responses_events.decoder(quirks, quirks.details_format),
        decode_answer=lambda body, quirks: responses_events.decode_answer(
            body, quirks, quirks.details_format
        ),
        decode_listing=decode_listing,
        expresses=responses_request.EXPRESSES,
        fetches=frozenset(("image", "file")),
    ),
    "anthropic": _CLAUDE,
    "gemini": _GEMINI,
    "vertex": _GEMINI._replace(
        path=gemini_request.vertex_path,
        models_path=None,
        encode_request=gemini_request.encode_vertex_request,
    ),
    "cohere": Outbound(
        path=lambda target, stream: "/v2/chat",
        models_path="/v1/models?page_size=1000&endpoint=chat",
        encode_request=cohere_request.encode_request,
        decoder=cohere_events.decoder,
        decode_answer=cohere_events.decode_answer,
        decode_listing=cohere_listing.decode_listing,
        expresses=cohere_request.EXPRESSES,
        fetches=frozenset(("image",)),
        reads_pdf=False,
    ),
    "bedrock": Outbound(
        path=bedrock_request.path,
        models_path="/foundation-models",
        encode_request=bedrock_request.encode_request,
        decoder=bedrock_events.decoder,
        decode_answer=bedrock_events.decode_answer,
        decode_listing=bedrock_listing.decode_listing,
        expresses=bedrock_request.EXPRESSES,
    ),
}
OUTBOUND["azure"] = OUTBOUND["openai"]._replace(path=azure_path, models_path=None)

_VERTEX_CLAUDE = _CLAUDE._replace(
    path=gemini_request.vertex_claude_path,
    models_path=None,
    encode_request=messages_request.encode_vertex,
    fetches=frozenset(),
)
_CHAT_ONLY = frozenset((
    "audio", "functions", "function_call", "modalities", "prediction", "seed",
    "web_search_options",
))  # fmt: skip
"""What OpenAI's chat completions have words for, and its Responses have not. Penalties, biases and
stop sequences are not among it: models that reason refuse them over both.
"""


def outbound(provider: Provider, model: str, ask: Ask | None = None) -> Outbound:
    """The format in which `ask` is put to the provider's `model`; without one, the usual.

    Vertex serves Claude in Anthropic's words. OpenAI's reasoning models tell their reasoning, and
    take it back, only over Responses, which can not say all that a chat can.
    """
    if provider.dialect == "vertex" and model.startswith("claude"):
        return _VERTEX_CLAUDE
    sayable = ask is None or (ask.choices == 1 and _CHAT_ONLY.isdisjoint(ask.body))
    if sayable and provider.responses and re.match(provider.responses, model):
        return OUTBOUND["responses"]
    return OUTBOUND[provider.dialect]


def expressible(provider: Provider, model: str) -> frozenset[str] | None:
    """The parameters of a chat that the provider's `model` can be told of; None where that is all
    of them. What the provider would refuse, and is not sent therefore, is not among them.
    """
    said, quirks = outbound(provider, model).expresses, provider.quirks
    if said is not None and OUTBOUND[provider.dialect].expresses is None:
        said |= _CHAT_ONLY
    lacks = {*quirks.omits, *(() if quirks.json_schema else ("structured_outputs",))}
    if not lacks.intersection(PARAMETERS):
        return said
    return frozenset(PARAMETERS if said is None else said) - lacks
