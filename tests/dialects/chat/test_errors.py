"""Errors inside a provider's answer, and the envelope that callers get."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.chat.errors import encode_error, encode_failed_event, failure
from proxy.dialects.faults import decode_refusal, provider_error
from proxy.errors import GatewayError
from proxy.wire.events import Failed
from proxy.wire.request import Head

Json = dict[str, Any]


def error_of(status: int, body: Any) -> GatewayError:
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return provider_error(decode_refusal(status, data, {}), provider="Acme")


NO: Json = {"message": "No."}
RAW = '{"message":"No.","status_code":400}'
FAILURES: list[tuple[Json, Failed | None]] = [
    ({}, None),
    ({"error": None, "choices": [{"error": None}]}, None),
    ({"error": {}}, None),
    ({"choices": 5}, None),
    ({"choices": [5, {"index": 0}]}, None),
    ({"error": "No."}, Failed(None, "No.", None, '"No."')),
    ({"error": ["No."]}, Failed(None, "No.", None, '["No."]')),
    ({"error": NO | {"code": 502}}, Failed(502, "No.", "502", '{"message":"No.","code":502}')),
    ({"error": NO | {"code": "c"}}, Failed(None, "No.", "c", '{"message":"No.","code":"c"}')),
    ({"error": NO | {"status_code": 400}}, Failed(400, "No.", None, RAW)),
    ({"error": {"code": 7}}, Failed(None, "", "7", '{"code":7}')),
    ({"choices": [{"index": 0, "error": NO}]}, Failed(None, "No.", None, '{"message":"No."}')),
]


@pytest.mark.parametrize(("chunk", "expected"), FAILURES, ids=str)
def test_errors_inside_an_answer(chunk: Json, expected: Failed | None) -> None:
    assert failure(chunk) == expected


def test_the_envelope() -> None:
    error = GatewayError("model_unknown", "No such model.", metadata={"near": ["a/b"]})
    assert json.loads(encode_error(error)) == {
        "error": {
            "message": "No such model.",
            "code": 400,
            "metadata": {"near": ["a/b"], "error_type": "not_found"},
        }
    }


def test_availability_stands_beside_code_and_message() -> None:
    told = {"code": "model_not_found", "retryable": False}
    error = GatewayError("model_unknown", "No such model.", availability=told)
    assert json.loads(encode_error(error))["error"]["availability"] == told
    head = Head(id="gen-1", created=7, model="a/b", provider="Acme")
    assert encode_failed_event(error, head)["error"]["availability"] == told


def test_the_event_that_ends_a_stream() -> None:
    head = Head(id="gen-1", created=7, model="a/b", provider="Acme")
    event = encode_failed_event(GatewayError("provider_cut", "Cut."), head)
    assert event == {
        "id": "gen-1",
        "object": "chat.completion.chunk",
        "created": 7,
        "model": "a/b",
        "provider": "Acme",
        "error": {
            "message": "Cut.", "code": 502, "metadata": {"error_type": "provider_unavailable"},
        },
        "choices": [
            {
                "index": 0,
                "delta": {"content": "", "role": "assistant"},
                "finish_reason": "error",
                "native_finish_reason": None,
            }
        ],
    }  # fmt: skip


@given(st.integers(300, 599), st.binary(max_size=80))
def test_any_body_becomes_an_envelope(status: int, body: bytes) -> None:
    error = json.loads(encode_error(error_of(status, body)))["error"]
    assert 400 <= error["code"] < 600
    assert isinstance(error["message"], str)
