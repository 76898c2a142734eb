"""What providers do beside conversations, by dialect and task."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from proxy.dialects.chat.request import azure_path
from proxy.dialects.completions import events as completions_events
from proxy.dialects.completions import request as completions_request
from proxy.dialects.count import outbound as count
from proxy.dialects.embeddings import answer as embeddings_answer
from proxy.dialects.embeddings import bedrock as bedrock_embeddings
from proxy.dialects.embeddings import cohere as cohere_embeddings
from proxy.dialects.embeddings import gemini as gemini_embeddings
from proxy.dialects.embeddings import openai as openai_embeddings
from proxy.dialects.forms import Outbound
from proxy.dialects.gemini import request as gemini_request
from proxy.dialects.images import google as images_google
from proxy.dialects.images import made as images_made
from proxy.dialects.images import sent as images_sent
from proxy.dialects.listing import decode_listing
from proxy.dialects.reading import NoStream
from proxy.dialects.rerank import answer as rerank_answer
from proxy.dialects.rerank import outbound as rerank
from proxy.dialects.speech import events as speech_events
from proxy.dialects.speech import gemini as speech_gemini
from proxy.dialects.speech import request as speech_request
from proxy.dialects.transcription import events as transcription_events
from proxy.dialects.transcription import request as transcription_request
from proxy.providers import Quirks
from proxy.wire.events import Event
from proxy.wire.request import Ask, Task

_COMPLETIONS: Final = Outbound(
    path=lambda target, stream: target.provider.quirks.completions_path,
    models_path="/models",
    encode_request=completions_request.encode_request,
    decoder=completions_events.decoder,
    decode_answer=completions_events.decode_answer,
    decode_listing=decode_listing,
)

_EMBEDDINGS: Final = Outbound(
    path=openai_embeddings.path,
    models_path="/models",
    encode_request=openai_embeddings.encode_request,
    decoder=NoStream,
    decode_answer=openai_embeddings.decode_answer,
    decode_listing=decode_listing,
)
_GEMINI_EMBEDDINGS: Final = _EMBEDDINGS._replace(
    path=gemini_embeddings.path,
    encode_request=gemini_embeddings.encode_request,
    decode_answer=gemini_embeddings.decode_answer,
)
_RERANK: Final = _EMBEDDINGS._replace(
    path=rerank.path,
    encode_request=rerank.encode_request,
    decode_answer=rerank.decode_answer,
)

_IMAGES: Final = Outbound(
    path=images_sent.path,
    models_path="/models",
    encode_request=images_sent.encode_request,
    decoder=images_made.Stream,
    decode_answer=images_made.decode_answer,
    decode_listing=decode_listing,
    fetches_http=False,
)
_GOOGLE_IMAGES: Final = Outbound(
    path=images_google.path,
    models_path=None,
    encode_request=images_google.encode_request,
    decoder=NoStream,
    decode_answer=images_google.decode_answer,
    decode_listing=decode_listing,
)

_COUNT: Final = Outbound(
    path=count.path,
    models_path=None,
    encode_request=count.encode_request,
    decoder=NoStream,
    decode_answer=count.decode_answer,
    decode_listing=decode_listing,
)

_SPEECH: Final = Outbound(
    path=lambda target, stream: "/audio/speech",
    models_path="/models",
    encode_request=speech_request.encode_request,
    decoder=speech_events.decoder,
    decode_answer=speech_events.decode_answer,
    decode_listing=decode_listing,
    raw=speech_events.Bytes,
)
_GEMINI_SPEECH: Final = Outbound(
    path=gemini_request.path,
    models_path=None,
    encode_request=speech_gemini.encode_request,
    decoder=speech_gemini.decoder,
    decode_answer=speech_gemini.decode_answer,
    decode_listing=decode_listing,
)
_TRANSCRIPTION: Final = Outbound(
    path=lambda target, stream: "/audio/transcriptions",
    models_path="/models",
    encode_request=transcription_request.encode_request,
    decoder=transcription_events.decoder,
    decode_answer=transcription_events.decode_answer,
    decode_listing=decode_listing,
)

TASKS: Final[Mapping[tuple[str, Task], Outbound]] = {
    ("anthropic", "count"): _COUNT._replace(fetches=frozenset(("image", "file"))),
    ("vertex", "count"): _COUNT._replace(
        path=count.vertex_path, encode_request=count.encode_vertex
    ),
    ("gemini", "count"): _COUNT._replace(
        path=count.gemini_path, encode_request=count.encode_gemini
    ),
    ("bedrock", "count"): _COUNT._replace(
        path=count.bedrock_path, encode_request=count.encode_bedrock
    ),
    ("openai", "completion"): _COMPLETIONS,
    ("openai", "embeddings"): _EMBEDDINGS,
    ("openai", "rerank"): _RERANK,
    ("azure", "completion"): _COMPLETIONS._replace(
        path=lambda target, stream: azure_path(target, stream, "/completions")
    ),
    ("azure", "embeddings"): _EMBEDDINGS._replace(
        path=lambda target, stream: azure_path(target, stream, "/embeddings")
    ),
    ("cohere", "embeddings"): _EMBEDDINGS._replace(
        path=cohere_embeddings.path,
        encode_request=cohere_embeddings.encode_request,
        decode_answer=cohere_embeddings.decode_answer,
    ),
    ("cohere", "rerank"): _RERANK._replace(
        path=rerank.cohere_path, encode_request=rerank.encode_cohere
    ),
    ("gemini", "embeddings"): _GEMINI_EMBEDDINGS,
    ("vertex", "embeddings"): _GEMINI_EMBEDDINGS._replace(
        path=gemini_embeddings.vertex_path,
        encode_request=gemini_embeddings.encode_vertex_request,
    ),
    ("bedrock", "embeddings"): _EMBEDDINGS._replace(
        path=bedrock_embeddings.path,
        encode_request=bedrock_embeddings.encode_request,
        decode_answer=bedrock_embeddings.decode_answer,
    ),
    ("bedrock", "rerank"): _RERANK._replace(
        path=bedrock_embeddings.path, encode_request=rerank.encode_bedrock
    ),
    ("openai", "image"): _IMAGES,
    ("azure", "image"): _IMAGES._replace(
        path=images_sent.azure_path, encode_request=images_sent.encode_azure
    ),
    ("gemini", "image"): _GOOGLE_IMAGES,
    ("vertex", "image"): _GOOGLE_IMAGES._replace(
        path=images_google.vertex_path, encode_request=images_google.encode_vertex
    ),
    ("openai", "speech"): _SPEECH,
    ("azure", "speech"): _SPEECH._replace(
        path=lambda target, stream: azure_path(target, stream, "/audio/speech")
    ),
    ("gemini", "speech"): _GEMINI_SPEECH,
    ("vertex", "speech"): _GEMINI_SPEECH._replace(path=gemini_request.vertex_path),
    ("openai", "transcription"): _TRANSCRIPTION,
    ("azure", "transcription"): _TRANSCRIPTION._replace(
        path=lambda target, stream: azure_path(target, stream, "/audio/transcriptions")
    ),
}
"""A row for each dialect and task; a task that a provider has no row for is not asked of it."""

_CHECKS: Final[Mapping[Task, Callable[[Iterable[Event], Ask], None]]] = {
    "embeddings": embeddings_answer.check,
    "rerank": rerank_answer.check,
}


def answering(row: Outbound, ask: Ask) -> Outbound:
    """`row`, for an answer to `ask`: one to something else is refused as malformed, so that another
    endpoint is asked and nobody pays for it.
    """
    check = _CHECKS.get(ask.task)
    if check is None:
        return row

    def decode_answer(body: bytes, quirks: Quirks) -> list[Event]:
        events = row.decode_answer(body, quirks)
        check(events, ask)
        return events

    return row._replace(decode_answer=decode_answer)
