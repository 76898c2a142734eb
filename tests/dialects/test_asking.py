"""What a request becomes on its way to a provider."""

import json

import pytest

from proxy.dialects.asking import Target, encode_json, inexpressible
from proxy.errors import GatewayError, Retry
from proxy.providers import Provider

PROVIDER = Provider(slug="acme", name="Acme", base_url="http://acme.test")


@pytest.mark.parametrize(
    ("model", "path_name"),
    [
        ("m-1.5", "m-1.5"),
        ("us.claude-v1:0", "us.claude-v1%3A0"),
        ("a/b c", "a%2Fb%20c"),
        ("claude-9@20260101", "claude-9@20260101"),
        ("../x?y#z", "..%2Fx%3Fy%23z"),
    ],
)
def test_a_model_is_one_segment_of_a_path(model: str, path_name: str) -> None:
    assert Target(PROVIDER, model).path_name == path_name


@pytest.mark.parametrize("model", [".", ".."])
def test_dots_are_no_segment(model: str) -> None:
    with pytest.raises(GatewayError) as caught:
        _ = Target(PROVIDER, model).path_name
    assert caught.value.kind == "provider_unfit"


def test_json_is_compact_and_exact() -> None:
    assert encode_json({"a": [1, "é"], "big": 2**80}) == json.dumps(
        {"a": [1, "é"], "big": 2**80}, ensure_ascii=False, separators=(",", ":")
    ).encode()  # fmt: skip


@pytest.mark.parametrize("value", ["\ud800", object()], ids=["half", "object"])
def test_what_is_no_json_is_refused(value: object) -> None:
    with pytest.raises(GatewayError, match="can not be sent as JSON"):
        encode_json({"x": value})


def test_another_endpoint_may_have_words() -> None:
    error = inexpressible(PROVIDER, "video")
    assert (error.retry, error.status) == (Retry.ENDPOINT, 400)
    assert error.message == "Acme can not be sent video."
