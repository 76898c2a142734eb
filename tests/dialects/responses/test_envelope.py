"""Every error in the form that clients of Responses know."""

import json

import pytest

from proxy.dialects.responses.envelope import code, encode_error, ending
from proxy.errors import KINDS, GatewayError

CODES = {
    "invalid_prompt": {400, 404, 405, 413, 415},
    "rate_limit_exceeded": {429},
    "server_error": {401, 402, 403, 408, 500, 502, 503, 504},
    "image_content_policy_violation": {400},
    "invalid_image": {400},
    "failed_to_download_image": {400},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_before_the_first_token(kind: str) -> None:
    error = GatewayError(kind, "What went wrong", metadata={"a": 1})
    body = json.loads(encode_error(error))
    assert body == {
        "error": {"code": code(error), "message": "What went wrong"},
        "error_type": KINDS[kind].error_type,
        "metadata": {"a": 1},
    }
    assert error.status in CODES[code(error)]


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("invalid_request", "invalid_prompt"),
        ("unauthenticated", "server_error"),
        ("credits_short", "server_error"),
        ("key_limit", "server_error"),
        ("rate_limited", "rate_limit_exceeded"),
        ("provider_rate_limited", "rate_limit_exceeded"),
        ("internal", "server_error"),
        ("provider_timeout", "server_error"),
        ("provider_unavailable", "server_error"),
        ("provider_moderated", "image_content_policy_violation"),
        ("invalid_image", "invalid_image"),
        ("provider_lacks_media", "failed_to_download_image"),
    ],
)
def test_codes(kind: str, word: str) -> None:
    assert code(GatewayError(kind, "x")) == word


def test_a_status_that_the_provider_gave() -> None:
    assert code(GatewayError("provider_rejected", "x", status=429)) == "rate_limit_exceeded"


def test_without_more_to_tell() -> None:
    assert json.loads(encode_error(GatewayError("invalid_request", "x")))["metadata"] is None


def test_a_generation_that_failed() -> None:
    """The form of a response, which has its error at the same place."""
    body = json.loads(encode_error(GatewayError("provider_cut", "x"), "gen-1", {"attempt": 1}))
    assert body == {
        "id": "gen-1",
        "object": "response",
        "status": "failed",
        "error": {"code": "server_error", "message": "x"},
        "error_type": "provider_unavailable",
        "metadata": None,
        "openrouter_metadata": {"attempt": 1},
    }


def test_nothing_is_told_of_our_own_faults() -> None:
    body = json.loads(encode_error(GatewayError("internal", "x"), "gen-1", {"attempt": 1}))
    assert "openrouter_metadata" not in body


def test_how_a_response_ends_by_it() -> None:
    assert ending(GatewayError("provider_cut", "x"))["status"] == "failed"
    assert ending(GatewayError("provider_context_length", "x")) == {
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
    }


def test_availability_stands_beside_code_and_message() -> None:
    told = {"code": "temporarily_unavailable", "retryable": True}
    error = GatewayError("provider_timeout", "late", availability=told)
    assert json.loads(encode_error(error))["error"]["availability"] == told
    assert ending(error)["error"]["availability"] == told
