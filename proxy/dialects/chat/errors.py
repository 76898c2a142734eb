"""Errors of chat completions: those inside a provider's answer, and OpenRouter's envelope."""

from typing import Any

import orjson

from proxy.dialects.faults import text_of, word_of
from proxy.errors import GatewayError
from proxy.wire.events import Failed
from proxy.wire.request import Head


def failure(chunk: dict[str, Any]) -> Failed | None:
    """The error in a chunk or an answer that came with a status of success, if there is one.

    It may stand at the top (OpenAI, Groq, OpenRouter) or in a choice (OpenRouter's older form).
    """
    error = chunk.get("error")
    if not error:
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and (error := choice.get("error")):
                break
        else:
            return None
    try:
        raw = orjson.dumps(error).decode()  # never what else stands there: the answer
    except orjson.JSONEncodeError:  # too deep
        raw = ""
    if not isinstance(error, dict):
        return Failed(None, text_of(error), None, raw)
    code = error.get("code")
    status = next(
        (s for s in (error.get("status_code"), code) if isinstance(s, int) and 400 <= s < 600), None
    )
    return Failed(status, text_of(error), word_of(code), raw)


def envelope(error: GatewayError, routing: dict[str, Any] | None = None) -> dict[str, Any]:
    """OpenRouter's error object; `error_type` is always there for clients that switch on it.
    `routing` stands beside it, but for 500 (contract, 2.5).
    """
    metadata = {**error.metadata, "error_type": error.error_type}
    told = {"message": error.message, "code": error.status, "metadata": metadata}
    if error.availability is not None:
        told["availability"] = error.availability
    if routing is None or error.status == 500:
        return {"error": told}
    return {"error": told, "openrouter_metadata": routing}


def encode_error(
    error: GatewayError, id: str | None = None, routing: dict[str, Any] | None = None
) -> bytes:
    """The body of an answer that failed before anything of it was sent."""
    return orjson.dumps(envelope(error, routing), default=str)


def encode_failed_event(
    error: GatewayError, head: Head, routing: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The event that ends a stream which failed after its head was sent (contract, 2.4)."""
    delta = {"content": "", "role": "assistant"}
    choice = {
        "index": 0,
        "delta": delta,
        "finish_reason": "error",
        "native_finish_reason": None,
    }
    return {
        "id": head.id,
        "object": "chat.completion.chunk",
        "created": head.created,
        "model": head.model,
        "provider": head.provider,
        **envelope(error, routing),
        "choices": [choice],
    }
