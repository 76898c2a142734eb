"""The formats that callers speak: one row for each."""

from proxy.dialects.chat import errors as chat_errors
from proxy.dialects.chat import request as chat_request
from proxy.dialects.chat import stream as chat_stream
from proxy.dialects.completions import request as completions_request
from proxy.dialects.completions import stream as completions_stream
from proxy.dialects.count import answer as count_answer
from proxy.dialects.embeddings import answer as embeddings_answer
from proxy.dialects.embeddings import request as embeddings_request
from proxy.dialects.forms import Inbound, Presets
from proxy.dialects.images import answer as images_answer
from proxy.dialects.images import request as images_request
from proxy.dialects.images import stream as images_stream
from proxy.dialects.messages import answer as messages_answer
from proxy.dialects.messages import asked as messages_asked
from proxy.dialects.messages import envelope as messages_envelope
from proxy.dialects.messages import stream as messages_stream
from proxy.dialects.messages.presets import draft_of_messages, in_messages
from proxy.dialects.presets import draft_of_chat, in_chat, in_completion
from proxy.dialects.rerank import answer as rerank_answer
from proxy.dialects.rerank import request as rerank_request
from proxy.dialects.responses import asked as responses_asked
from proxy.dialects.responses import envelope as responses_envelope
from proxy.dialects.responses import stream as responses_stream
from proxy.dialects.responses.presets import draft_of_responses, in_responses
from proxy.dialects.speech import request as speech_request
from proxy.dialects.speech import stream as speech_stream
from proxy.dialects.transcription import answer as transcription_answer
from proxy.dialects.transcription import request as transcription_request

_IMAGES = Inbound(
    decode_request=images_request.decode_request,
    encoder=images_stream.Encoder,
    encode_answer=images_answer.encode_answer,
    encode_error=chat_errors.encode_error,
)

_MESSAGES = Inbound(
    decode_request=messages_asked.decode_request,
    encoder=messages_stream.Encoder,
    encode_answer=messages_answer.encode_answer,
    encode_error=messages_envelope.encode_error,
    ask_steps=messages_asked.ask_steps,
    presets=Presets(in_messages, draft_of_messages),
)

INBOUND = {
    "chat": Inbound(
        decode_request=chat_request.decode_request,
        encoder=chat_stream.Encoder,
        encode_answer=chat_stream.encode_answer,
        encode_error=chat_errors.encode_error,
        ask_steps=chat_request.ask_steps,
        presets=Presets(in_chat, draft_of_chat),
    ),
    "messages": _MESSAGES,
    "count": _MESSAGES._replace(
        decode_request=messages_asked.decode_count,
        encode_answer=count_answer.encode_answer,
        ask_steps=messages_asked.count_steps,
    ),
    "completions": Inbound(
        decode_request=completions_request.decode_request,
        encoder=completions_stream.Encoder,
        encode_answer=completions_stream.encode_answer,
        encode_error=chat_errors.encode_error,
        presets=Presets(in_completion, draft_of_chat),
    ),
    "embeddings": Inbound(
        decode_request=embeddings_request.decode_request,
        encoder=None,
        encode_answer=embeddings_answer.encode_answer,
        encode_error=chat_errors.encode_error,
    ),
    "rerank": Inbound(
        decode_request=rerank_request.decode_request,
        encoder=None,
        encode_answer=rerank_answer.encode_answer,
        encode_error=chat_errors.encode_error,
    ),
    "images": _IMAGES,
    "image edits": _IMAGES._replace(decode_request=images_request.decode_edit),
    "speech": Inbound(
        decode_request=speech_request.decode_request,
        encoder=speech_stream.Encoder,
        encode_answer=speech_stream.encode_answer,
        encode_error=chat_errors.encode_error,
        media_type=speech_stream.media_type,
        waiting=b"",
        breaks=True,
    ),
    "transcription": Inbound(
        decode_request=transcription_request.decode_request,
        encoder=transcription_answer.Encoder,
        encode_answer=transcription_answer.encode_answer,
        encode_error=chat_errors.encode_error,
        media_type=transcription_answer.media_type,
    ),
    "responses": Inbound(
        decode_request=responses_asked.decode_request,
        encoder=responses_stream.Encoder,
        encode_answer=responses_stream.encode_answer,
        encode_error=responses_envelope.encode_error,
        ask_steps=responses_asked.ask_steps,
        presets=Presets(in_responses, draft_of_responses),
        ends=responses_envelope.CUT,
        waiting=b": \n\n",
    ),
}
