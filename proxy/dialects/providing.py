"""The formats that providers speak in a conversation: one row for each value of `dialect`."""

from collections.abc import Callable

from proxy.dialects.asking import Encoded, Target
from proxy.dialects.bedrock import events as bedrock_events
from proxy.dialects.bedrock import listing as bedrock_listing
from proxy.dialects.bedrock import request as bedrock_request
from proxy.dialects.chat import events as chat_events
from proxy.dialects.chat import request as chat_request
from proxy.dialects.chat.request import azure_path
from proxy.dialects.chat.splice import spliced
from proxy.dialects.cohere import events as cohere_events
from proxy.dialects.cohere import listing as cohere_listing
from proxy.dialects.cohere import request as cohere_request
from proxy.dialects.forms import Outbound
from proxy.dialects.gemini import events as gemini_events
from proxy.dialects.gemini import listing as gemini_listing
from proxy.dialects.gemini import request as gemini_request
from proxy.dialects.listing import decode_listing
from proxy.dialects.messages import events as messages_events
from proxy.dialects.messages import listing as messages_listing
from proxy.dialects.messages import native as messages_native
from proxy.dialects.messages import request as messages_request
from proxy.dialects.reading import Decoder, verbatim_answer, verbatim_stream
from proxy.dialects.responses import events as responses_events
from proxy.dialects.responses import native as responses_native
from proxy.dialects.responses import request as responses_request
from proxy.providers import Quirks
from proxy.wire.request import Ask


def _same(
    row: Outbound,
    encode_request: Callable[[Ask, Target], Encoded],
    decoder: Callable[[Quirks], Decoder],
) -> Outbound:
    """`row`, and beside it the same for a caller who speaks its words."""
    same = row._replace(
        encode_request=encode_request,
        encode_steps=None,
        decoder=verbatim_stream(decoder),
        decode_answer=verbatim_answer(row.decode_answer),
    )
    return row._replace(same=same)


_MESSAGES = Outbound(
    path=lambda target, stream: "/v1/messages",
    models_path="/v1/models?limit=1000",
    models_headers={"anthropic-version": messages_request.VERSION},
    encode_request=messages_request.encode_request,
    encode_steps=messages_request.encode_steps,
    decoder=messages_events.decoder,
    decode_answer=messages_events.decode_answer,
    decode_listing=messages_listing.decode_listing,
    expresses=messages_request.EXPRESSES,
    fetches=frozenset(("image", "file")),
    fetches_http=False,
    words="messages",
)
_CLAUDE = _same(_MESSAGES, messages_native.encode_request, messages_events.decoder)
_GEMINI = Outbound(
    path=gemini_request.path,
    models_path=gemini_request.MODELS_PATH,
    encode_request=gemini_request.encode_request,
    encode_steps=gemini_request.encode_steps,
    decoder=gemini_events.decoder,
    decode_answer=gemini_events.decode_answer,
    decode_listing=gemini_listing.decode_listing,
    expresses=gemini_request.EXPRESSES,
    takes_url=gemini_request.takes_url,
)

_RESPONSES = _same(
    Outbound(
        path=lambda target, stream: "/responses",
        models_path="/models",
        encode_request=lambda ask, target: responses_request.encode_request(
            ask, target, target.provider.quirks.details_format
        ),
        encode_steps=lambda ask, target: responses_request.encode_steps(
            ask, target, target.provider.quirks.details_format
        ),
        decoder=lambda quirks: responses_events.decoder(quirks, quirks.details_format),
        decode_answer=lambda body, quirks: responses_events.decode_answer(
            body, quirks, quirks.details_format
        ),
        decode_listing=decode_listing,
        expresses=responses_request.EXPRESSES,
        fetches=frozenset(("image", "file")),
        words="responses",
    ),
    lambda ask, target: responses_native.encode_native(
        ask, target, target.provider.quirks.details_format
    ),
    lambda quirks: responses_events.decoder(quirks, quirks.details_format),
)

OUTBOUND = {
    "openai": Outbound(
        path=lambda target, stream: "/chat/completions",
        models_path="/models",
        encode_request=chat_request.encode_request,
        encode_steps=chat_request.encode_steps,
        decoder=chat_events.decoder,
        decode_answer=chat_events.decode_answer,
        decode_listing=decode_listing,
        fetches=frozenset(("image", "video")),
        splice=spliced,
    ),
    "responses": _RESPONSES,
    "anthropic": _CLAUDE,
    "gemini": _GEMINI,
    "vertex": _GEMINI._replace(
        path=gemini_request.vertex_path,
        models_path=None,
        encode_request=gemini_request.encode_vertex_request,
        encode_steps=gemini_request.vertex_steps,
    ),
    "cohere": Outbound(
        path=lambda target, stream: "/v2/chat",
        models_path=cohere_listing.MODELS_PATH,
        encode_request=cohere_request.encode_request,
        encode_steps=cohere_request.encode_steps,
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
        encode_steps=bedrock_request.encode_steps,
        decoder=bedrock_events.decoder,
        decode_answer=bedrock_events.decode_answer,
        decode_listing=bedrock_listing.decode_listing,
        expresses=bedrock_request.EXPRESSES,
    ),
}
OUTBOUND["azure"] = OUTBOUND["openai"]._replace(path=azure_path, models_path=None)

VERTEX_CLAUDE = _same(
    _MESSAGES._replace(
        path=gemini_request.vertex_claude_path,
        models_path=None,
        encode_request=messages_request.encode_vertex,
        encode_steps=messages_request.vertex_steps,
        fetches=frozenset(),
    ),
    messages_native.encode_vertex,
    messages_events.decoder,
)
"""Vertex serves Claude in Anthropic's words."""
