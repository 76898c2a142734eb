"""Every error there is, as Anthropic's clients read it."""

import json
from typing import get_args

import pytest
from anthropic.types.shared import ErrorType

from proxy.dialects.messages.envelope import encode_error
from proxy.dialects.messages.stream import Encoder
from proxy.errors import KINDS, GatewayError
from tests.anthropics import HEAD
from tests.plain import ASK

TYPES = {
    "invalid_request": "invalid_request_error",
    "invalid_image": "invalid_request_error",
    "not_supported": "invalid_request_error",
    "model_unknown": "not_found_error",
    "wrong_endpoint": "invalid_request_error",
    "model_ambiguous": "invalid_request_error",
    "credentials_differ": "invalid_request_error",
    "unauthenticated": "authentication_error",
    "credits_short": "billing_error",
    "context_length": "invalid_request_error",
    "no_price": "billing_error",
    "key_limit": "permission_error",
    "management_only": "permission_error",
    "management_key": "permission_error",
    "no_endpoint": "not_found_error",
    "not_found": "not_found_error",
    "method_not_allowed": "invalid_request_error",
    "body_too_slow": "timeout_error",
    "body_too_large": "request_too_large",
    "encoding_unsupported": "invalid_request_error",
    "rate_limited": "rate_limit_error",
    "internal": "api_error",
    "draining": "api_error",
    "no_provider": "api_error",
    "store_unavailable": "api_error",
    "provider_rejected": "invalid_request_error",
    "provider_context_length": "invalid_request_error",
    "provider_moderated": "invalid_request_error",
    "provider_unfit": "invalid_request_error",
    "provider_lacks_media": "invalid_request_error",
    "provider_credential": "api_error",
    "provider_lacks_model": "not_found_error",
    "provider_rate_limited": "rate_limit_error",
    "provider_unavailable": "api_error",
    "provider_unreachable": "api_error",
    "provider_malformed": "api_error",
    "provider_cut": "api_error",
    "provider_empty": "api_error",
    "provider_overloaded": "overloaded_error",
    "provider_timeout": "timeout_error",
}


def test_every_kind_is_here() -> None:
    assert KINDS.keys() == TYPES.keys()
    known = set(get_args(ErrorType))
    assert set(TYPES.values()) - {"request_too_large"} <= known


@pytest.mark.parametrize(("kind", "type_"), TYPES.items())
def test_before_and_after_the_first_token(kind: str, type_: str) -> None:
    error = GatewayError(kind, "Prompt is too long, for one.")
    told = json.loads(encode_error(error))
    said = {"type": type_, "message": error.message, "error_type": error.error_type}
    assert told == {"type": "error", "error": said, "request_id": None}
    event = Encoder(HEAD, ASK).encode_failure(error)
    name, data, *_ = event.split(b"\n")
    assert name == b"event: error"
    assert json.loads(data.removeprefix(b"data: ")) == told | {"request_id": HEAD.id}


def test_a_conversation_that_is_too_long_is_called_so() -> None:
    """Coding agents shorten it when they read Anthropic's words for it."""
    error = GatewayError("provider_context_length", "The maximum is 8 tokens.")
    said = json.loads(encode_error(error))["error"]["message"]
    assert said == "prompt is too long: The maximum is 8 tokens."


def test_what_more_there_is_to_tell() -> None:
    error = GatewayError("provider_rate_limited", "No.", metadata={"provider_name": "A"})
    told = json.loads(encode_error(error, "gen-1", {"attempt": 2}))
    assert told["request_id"] == "gen-1"
    assert told["metadata"] == {"provider_name": "A"}
    assert told["openrouter_metadata"] == {"attempt": 2}
    masked = json.loads(encode_error(GatewayError("internal", "No."), "gen-1", {"attempt": 2}))
    assert "openrouter_metadata" not in masked


def test_availability_stands_beside_type_and_message() -> None:
    told = {"code": "temporarily_unavailable", "retryable": True}
    error = GatewayError("provider_timeout", "late", availability=told)
    assert json.loads(encode_error(error))["error"]["availability"] == told
