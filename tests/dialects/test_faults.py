"""What providers answer when something is wrong, and what of it a caller may see."""

import base64
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from proxy.dialects.chat.errors import encode_error, failure
from proxy.dialects.faults import (
    MESSAGE_CHARS_MAX,
    RAW_CHARS_MAX,
    decode_refusal,
    provider_error,
    scrub,
)
from proxy.errors import GatewayError
from proxy.wire.events import Failed

Json = dict[str, Any]
KEY = "0123456789abcdef0123456789abcdef"


def error_of(status: int, body: Any, retry_after: str | None = None) -> GatewayError:
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    failed = decode_refusal(status, data, headers)
    return provider_error(failed, provider="Acme", secrets=(KEY,))


STATUS: list[tuple[int, str, int]] = [
    (400, "provider_rejected", 400),
    (401, "provider_credential", 502),
    (402, "provider_credential", 502),
    (403, "provider_credential", 502),
    (404, "provider_lacks_model", 404),
    (405, "provider_rejected", 400),
    (408, "provider_timeout", 504),
    (413, "provider_rejected", 413),
    (418, "provider_rejected", 400),
    (422, "provider_rejected", 422),
    (429, "provider_rate_limited", 429),
    (500, "provider_unavailable", 502),
    (502, "provider_unavailable", 502),
    (503, "provider_overloaded", 503),
    (504, "provider_timeout", 504),
    (524, "provider_timeout", 504),
    (529, "provider_overloaded", 503),
    (301, "provider_unavailable", 502),
]


@pytest.mark.parametrize(("theirs", "kind", "ours"), STATUS)
def test_statuses(theirs: int, kind: str, ours: int) -> None:
    error = error_of(theirs, {"error": {"message": "No such luck."}})
    assert (error.kind, error.status) == (kind, ours)
    assert error.metadata["provider_name"] == "Acme"
    assert error.metadata["is_byok"] is False
    assert ("raw" in error.metadata) == (theirs not in (401, 402, 403))


FORMS: dict[str, tuple[Any, str, str | None]] = {
    "OpenAI": (
        {"error": {"message": "No.", "type": "t", "param": None, "code": "c"}}, "No.", "c",
    ),
    "OpenAI without code": ({"error": {"message": "No.", "type": "t", "code": None}}, "No.", "t"),
    "a number for a code": ({"error": {"message": "No.", "code": 1302}}, "No.", "1302"),
    "xAI": ({"code": "c", "error": "No."}, "No.", "c"),
    "Cerebras": ({"message": "No.", "type": "t", "param": "p", "code": "c"}, "No.", "c"),
    "Mistral, 401": ({"detail": "No."}, "No.", None),
    "Mistral, 422": (
        {"detail": [{"type": "t", "loc": ["body", "n", 0], "msg": "No."}, {"msg": "Nor this."}]},
        "body.n.0: No.; Nor this.", None,
    ),
    "Mistral, nested": (
        {"object": "error", "message": {"detail": [{"loc": ["body"], "msg": "No."}]}, "type": "t"},
        "body: No.", "t",
    ),
    "Mistral, 400": ({"object": "error", "message": "No.", "code": "3051"}, "No.", "3051"),
    "Google": ([{"error": {"message": "No.", "code": 400}}], "No.", "400"),
    "a reason": ({"error": {"message": "No.", "reason": "r"}}, "No.", "r"),
    "a string": ("No.", "No.", None),
    "text": (b"No.", "No.", None),
    "HTML": (b"<html><head><TITLE>\nNo. </title></head></html>", "No.", None),
    "no text in it": ({"error": {"code": "c"}}, "", "c"),
    "nothing": ({}, "", None),
    "no body": (b"", "", None),
    "an empty list": ([], "", None),
    "a number": (5, "", None),
    "odd types": ({"error": {"message": 5, "code": [], "type": {}}}, "", None),
    "an odd place": ({"detail": {"loc": 5, "msg": "No."}}, "No.", None),
    "an odd list": ({"detail": [None, 5, "No."]}, "No.", None),
    "bad UTF-8": (b"No\xff.", "No\ufffd.", None),
}  # fmt: skip


@pytest.mark.parametrize(("body", "said", "code"), FORMS.values(), ids=FORMS)
def test_every_form_is_read(body: Any, said: str, code: str | None) -> None:
    error = error_of(400, body)
    assert error.message == f"Provider returned error: {said}".removesuffix(": ")
    assert error.metadata.get("provider_code") == code


@pytest.mark.parametrize("depth", [5, 200, 600, 1000])
def test_however_deep(depth: int) -> None:
    for form in (b'{"error":%b}', b'{"detail":%b}', b"%b", b'{"error":{"code":%b,"loc":%b}}'):
        for left, right in ((b"[", b"]"), (b'{"message":', b"}")):
            deep = left * depth + b"1" + right * depth
            assert error_of(500, form.replace(b"%b", deep)).status == 502


def test_a_chunk_however_deep() -> None:
    deep = orjson.loads(b"[" * 800 + b"]" * 800)
    for error in (deep, {"message": deep, "code": deep}, {"message": "No.", "x": deep}):
        found = failure({"error": error})
        assert found is not None
        assert found.raw == ""


def test_openrouters_own_words_are_not_said_twice() -> None:
    body = {"error": {"message": "Provider returned error", "code": 429}}
    assert error_of(429, body).message == "Provider returned error"


SECRETS = (
    "sk-or-v1-0123456789abcdef", "sk-proj-abc_DEF-123456", "gsk_abcdefgh12345", "xai-abcdefgh123",
    "csk-abcdefgh1234", "hf_abcdefghij", "nvapi-abcdefghij", "pplx-abcdefghij", "org-abcdefghij",
    "user_2abcdefghij", "Bearer abc.def", "proj_abcdefghi", "req_abcdefgh1", KEY, "sk-ab****wxyz",
)  # fmt: skip


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "text", ["Wrong: {}.", '"{}"', "{}", "Key={} was refused", "x\n{}\ny", "\x00{}", "x_{}"]
)
def test_no_secret_passes(secret: str, text: str) -> None:
    said = scrub(text.format(secret), secrets=(KEY,))
    assert secret not in said
    assert "[hidden]" in said
    body = {"error": {"message": text.format(secret), "code": secret}}
    for status in (400, 401, 429, 500):
        assert secret.encode() not in encode_error(error_of(status, body))


@pytest.mark.parametrize(
    "write",
    [
        lambda key: key.replace("/", "\\/"),
        lambda key: quote(key, safe=""),
        lambda key: key.replace("=", "\\u003d").replace("+", "\\u002B"),
        lambda key: base64.b64encode(f"user:{key}".encode()).decode(),
    ],
)
def test_our_own_key_passes_in_no_spelling(write: Callable[[str], str]) -> None:
    key = "0f/S3cr3t+with//everything=="
    body = {"error": {"message": f"You sent {write(key)}.", "code": write(key)}}
    failed = decode_refusal(500, orjson.dumps(body), {})
    said = encode_error(provider_error(failed, provider="Acme", secrets=(key,))).decode()
    assert write(key) not in said
    assert "S3cr3t" not in said
    assert "[hidden]" in said


def test_harmless_text_stays() -> None:
    text = 'The model "gpt-5.1" does not exist; use max_tokens <= 4096 (see docs/keys).'
    assert scrub(text) == text


ADDRESSES = (
    "http://10.0.0.3:8000/v1/chat", "https://192.0.2.7", "http://[::1]:80/a", "http://127.1/",
    "http://0x7f.0x1./", "HTTP://localhost/x?y#z", "https://vllm:80/", "http://Foo.LOCAL",
    "http://a.svc.cluster.local/x", "http://a.internal./", "http://llm.svc", "http://2130706433/",
    "https://user:pass@example.com/x", r"http:\/\/10.0.0.1\/v1", "https://api.acme.test:443/v1?a=b",
)  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize(
    "text", ["At {} it failed.", '"{}"', "({})", "https://example.com/?to={}", "{}", "{} {}"]
)
def test_no_address_of_a_private_net_passes(address: str, text: str) -> None:
    host = address.replace("\\", "").split("//")[1].split("/")[0].split("?")[0]
    for said in (
        scrub(text.format(address, address), hosts=("api.acme.test", "")),
        scrub(text.format(address, address), secrets=("api.acme.test", "")),
    ):
        assert "[hidden]" in said
        assert host not in said
        assert "10.0.0." not in said


PUBLIC = (
    "see https://platform.openai.com/docs/guides/error-codes.",
    "URLs must start with http:// or https://.",
    "https://a.internal.example.com:8443/x?y=1#z",
    "http://",
    "x-api.acme.tests and api.acme.test2",
    "https://ai.google.dev/x, (https://docs.x.ai/y)",
)


@pytest.mark.parametrize("text", PUBLIC)
def test_addresses_of_documentation_stay(text: str) -> None:
    assert scrub(text, hosts=("api.acme.test",)) == text


def test_hosts_are_hidden_in_every_part() -> None:
    body = {"error": {"message": "Ask api.acme.test:80", "code": "API.acme.test"}}
    failed = decode_refusal(500, orjson.dumps(body), {})
    error = provider_error(failed, provider="Acme", hosts=iter(["api.acme.test"]))
    assert error.message == "Provider returned error: Ask [hidden]:80"
    assert b"acme.test" not in encode_error(error).lower()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    error = error_of(status, b"<html><title>Moved</title></html>")
    assert error.message == (
        f"Provider returned error: it redirected the request (status {status}), "
        "which is not followed"
    )


OURS = [
    "Incorrect API key provided: x",
    "Invalid api_key",
    "API key not valid",
    "API key expired. Please renew the API key.",
    "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.",
    "You have reached your specified API usage limits. You will regain access on 2026-12-01.",
    "You have reached your specified workspace API usage limits.",
    "This organization has been disabled.",
]


@pytest.mark.parametrize("message", OURS)
def test_our_key_and_our_account_are_nobodys_business(message: str) -> None:
    error = error_of(400, {"error": message})
    assert (error.kind, error.status) == ("provider_credential", 502)
    assert message not in encode_error(error).decode()


@pytest.mark.parametrize("said", OURS)
def test_what_a_caller_wrote_does_not_speak_of_our_key(said: str) -> None:
    error = error_of(400, {"error": {"message": f"Invalid value: '{said}'."}})
    assert error.kind == "provider_rejected"


def test_control_characters_and_novels() -> None:
    error = error_of(400, {"error": {"message": "a\x00b\u2028c\x1b[31m" + "d" * 9999}})
    assert error.message.startswith("Provider returned error: a b c [31mddd")
    assert len(error.message) <= MESSAGE_CHARS_MAX + len("Provider returned error: ")
    assert len(error.metadata["raw"]) == RAW_CHARS_MAX


@pytest.mark.parametrize(
    ("told", "expected"),
    [(None, {}), ("5", {"Retry-After": "5"}), (" 60 ", {"Retry-After": "60"}), ("", {}),
     ("Wed, 21 Oct 2026 07:28:00 GMT", {}), ("1.5", {}), ("-1", {}), ("1\r\nX: y", {}),
     ("9" * 30, {})],
)  # fmt: skip
def test_retry_after(told: str | None, expected: dict[str, str]) -> None:
    assert error_of(429, {}, retry_after=told).headers == expected


def test_a_failure_inside_an_answer_is_told_like_any() -> None:
    error = provider_error(Failed(None, "No.", None, ""), provider="Acme", secrets=iter(["x"]))
    assert (error.kind, error.status) == ("provider_unavailable", 502)
    assert error.metadata["raw"] == "No."
    error = provider_error(Failed(400, "No.", "c", "raw"), provider="Acme")
    assert (error.status, error.metadata["raw"], error.metadata["provider_code"]) == (
        400,
        "raw",
        "c",
    )


REFUSALS: list[tuple[Json, Json, str, str | None]] = [
    ({"type": "error", "error": {"type": "overloaded_error", "message": "Busy"}}, {},
     "Busy", "overloaded_error"),
    ({"error": {"code": 400, "message": "Bad", "status": "INVALID_ARGUMENT"}}, {},
     "Bad", "INVALID_ARGUMENT"),
    ({"message": "Slow down"}, {"x-amzn-errortype": "ThrottlingException:http://x"},
     "Slow down", "ThrottlingException"),
    ({"id": "1", "message": "invalid request"}, {}, "invalid request", None),
]  # fmt: skip


@pytest.mark.parametrize(("body", "headers", "said", "code"), REFUSALS, ids=str)
def test_native_refusals(body: Json, headers: dict[str, str], said: str, code: str | None) -> None:
    failed = decode_refusal(400, orjson.dumps(body), headers)
    assert (failed.message, failed.code) == (said, code)


@pytest.mark.parametrize(
    ("delay", "seconds"), [("7s", "7"), ("6.2s", "7"), ("soon", None), (5, None)]
)
def test_google_says_how_long_to_wait(delay: object, seconds: str | None) -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}]
    body = {"error": {"code": 429, "message": "Quota", "details": details}}
    assert decode_refusal(429, orjson.dumps(body), {}).retry_after == seconds


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "The provided model identifier is invalid.", "provider_lacks_model"),
        (
            400,
            "Invocation of model ID anthropic.x with on-demand throughput.",
            "provider_lacks_model",
        ),
        (400, "bad name: the provided model identifier is invalid", "provider_rejected"),
        (400, "prompt is too long: 210000 tokens > 200000 maximum", "provider_context_length"),
        (
            400,
            "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
            "provider_context_length",
        ),
        (413, "This model's maximum context length is 8192 tokens", "provider_context_length"),
        (400, "Output blocked by content policy", "provider_moderated"),
        (400, "temperature: must be below 1", "provider_rejected"),
    ],
)
def test_what_clients_act_on_is_told_apart(status: int, message: str, kind: str) -> None:
    assert error_of(status, {"message": message}).kind == kind


@pytest.mark.parametrize(
    "secret",
    [
        "AKIAIOSFODNN7EXAMPLE", "AIzaSyA1234567890abcdefghijklmnopqrstuv", "projects/my-firm-42",
        "ya29.a0AfH6SMBx-y_z", "eyJhbGciOi.eyJzdWIi.c2ln",
        "arn:aws:bedrock:us-east-1:123456789012",
    ],
)  # fmt: skip
def test_names_of_an_organisation_do_not_pass(secret: str) -> None:
    shown = scrub(f"no access for {secret} here")
    assert secret not in shown
    assert "123456789012" not in shown
    assert shown.startswith("no access for ")
    assert shown.endswith(" here")
