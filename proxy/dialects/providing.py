"""The formats that providers speak in a conversation: one row for each value of `dialect`."""

from proxy.dialects.bedrock import events as bedrock_events
from proxy.dialects.bedrock import listing as bedrock_listing
from proxy.dialects.bedrock import request as bedrock_request
from proxy.dialects.chat import events as chat_events
from proxy.dialects.chat import request as chat_request
from proxy.dialects.chat.request import azure_path
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
from proxy.dialects.messages import request as messages_request
from proxy.dialects.responses import events as responses_events
from proxy.dialects.responses import request as responses_request

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

VERTEX_CLAUDE = _CLAUDE._replace(
    path=gemini_request.vertex_claude_path,
    models_path=None,
    encode_request=messages_request.encode_vertex,
    fetches=frozenset(),
)
"""Vertex serves Claude in Anthropic's words."""
