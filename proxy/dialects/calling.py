"""The formats that callers speak: one row for each."""

from proxy.dialects.chat import errors as chat_errors
from proxy.dialects.chat import request as chat_request
from proxy.dialects.chat import stream as chat_stream
from proxy.dialects.forms import Inbound

INBOUND = {
    "chat": Inbound(
        decode_request=chat_request.decode_request,
        encoder=chat_stream.Encoder,
        encode_answer=chat_stream.encode_answer,
        encode_error=chat_errors.encode_error,
    ),
}
