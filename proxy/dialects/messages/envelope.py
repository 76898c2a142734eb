"""Errors as Anthropic's clients read them, with OpenRouter's `error_type`.

Contract: section 2.4, "Skins", and AnthropicMessagesErrorResponse.
"""

from typing import Any, Final

import orjson

from proxy.errors import GatewayError

TYPES: Final = {
    "authentication": "authentication_error",
    "permission_denied": "permission_error",
    "payment_required": "billing_error",
    "not_found": "not_found_error",
    "rate_limit_exceeded": "rate_limit_error",
    "provider_overloaded": "overloaded_error",
    "timeout": "timeout_error",
    "payload_too_large": "request_too_large",
    "server": "api_error",
    "provider_unavailable": "api_error",
}
"""Anthropic's types by OpenRouter's; every other error is the request's own."""

_TOO_LONG: Final = "prompt is too long"
"""Anthropic's own words, by which coding agents know that they must shorten a conversation."""


def envelope(
    error: GatewayError, id: str | None = None, routing: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The object of an error, whether it is an answer or the last event of one."""
    message = error.message
    if error.error_type == "context_length_exceeded" and _TOO_LONG not in message.lower():
        message = f"{_TOO_LONG}: {message}"
    told: dict[str, Any] = {
        "type": "error",
        "error": {
            "type": TYPES.get(error.error_type, "invalid_request_error"),
            "message": message,
            "error_type": error.error_type,
        },
        "request_id": id,
    }
    if error.availability is not None:
        told["error"]["availability"] = error.availability
    if error.metadata:
        told["metadata"] = error.metadata
    if routing is not None and error.status != 500:  # of which nothing is told (contract, 2.5)
        told["openrouter_metadata"] = routing
    return told


def encode_error(
    error: GatewayError, id: str | None = None, routing: dict[str, Any] | None = None
) -> bytes:
    """The body of an answer that failed before anything of it was sent."""
    return orjson.dumps(envelope(error, id, routing), default=str)
