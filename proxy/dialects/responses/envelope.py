"""Errors for a caller of Responses: the code that its clients know, and the bodies around it.

Contract, section 2.4: a request that is refused gets `{error {code, message}, metadata}`, an answer
that failed is a response of status `failed` with `error` and `error_type`. The codes are those of
OpenRouter's page "Responses: error handling", which are OpenAI's; there are so few that most of
what is no fault of the prompt is a `server_error`. (OpenRouter's openapi.yaml has the status for a
code; what it sends is the word.)
"""

from typing import Any, Final

import orjson

from proxy.errors import GatewayError

CUT: Final = frozenset(("context_length_exceeded", "max_tokens_exceeded", "token_limit_exceeded"))
"""Types of errors that are no errors here, but make the answer `incomplete` (contract, 2.4)."""

_CODES: Final = {
    "authentication": "server_error",
    "content_policy_violation": "image_content_policy_violation",
    "payment_required": "server_error",
    "permission_denied": "server_error",
    "rate_limit_exceeded": "rate_limit_exceeded",
    "timeout": "server_error",
    "invalid_image": "invalid_image",
    "image_download_failed": "failed_to_download_image",
}


def code(error: GatewayError) -> str:
    """The word for it, out of those that a response's `error.code` may be."""
    if error.error_type in _CODES:
        return _CODES[error.error_type]
    if error.status == 429:
        return "rate_limit_exceeded"
    return "invalid_prompt" if error.status < 500 else "server_error"


def ending(error: GatewayError, routing: dict[str, Any] | None = None) -> dict[str, Any]:
    """What a response that began says of it: that it failed, or that it is not complete."""
    if error.error_type in CUT:
        said = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    else:
        said = {"status": "failed", "error": _told(error), "error_type": error.error_type}
    return said | _routed(error, routing)


def _routed(error: GatewayError, routing: dict[str, Any] | None) -> dict[str, Any]:
    """What is told of the routing: nothing beside 500 (contract, 2.5)."""
    if routing is None or error.status == 500:
        return {}
    return {"openrouter_metadata": routing}


def _told(error: GatewayError) -> dict[str, Any]:
    told: dict[str, Any] = {"code": code(error), "message": error.message}
    if error.availability is not None:
        told["availability"] = error.availability
    return told


def encode_error(
    error: GatewayError, id: str | None = None, routing: dict[str, Any] | None = None
) -> bytes:
    """The body of an answer that failed before anything of it was sent. With an `id` it is a failed
    response, else a refused request; both have `error` and `metadata` at the same place.
    """
    body: dict[str, Any] = {}
    if id is not None:
        body = {"id": id, "object": "response", "status": "failed"}
    body |= {"error": _told(error), "error_type": error.error_type}
    body["metadata"] = error.metadata or None
    return orjson.dumps(body | _routed(error, routing), default=str)
