"""Azure: the version in the query, the deployment in the path, filters in every answer."""

import pytest

from proxy.upstream.fake.ask import Refused
from proxy.upstream.fake.manner import Failure
from tests.upstream.fake.speaking import MANNERS, SEAL, Wish, request, streamed, whole

AZURE = MANNERS["azure"]


def test_the_deployment_is_the_model_and_a_version_is_wanted() -> None:
    asked = request("azure", Wish(model="weir/echo"))
    assert AZURE.decode(asked, SEAL).model == "weir/echo"
    with pytest.raises(Refused, match="Resource not found") as refused:
        AZURE.decode(asked._replace(query=""), SEAL)
    assert refused.value.kind == "unknown-model"
    v1 = request("chat", Wish(model="m"))._replace(path="/openai/v1/chat/completions")
    assert AZURE.decode(v1, SEAL).model == "m"


def test_filters_are_told() -> None:
    first, second, *_ = streamed("azure", Wish())
    assert list(first) == [
        "choices", "created", "id", "model", "object", "prompt_filter_results", "@"
    ]  # fmt: skip
    assert first["choices"] == []
    assert second["choices"][0]["content_filter_results"] == {}
    body = whole("azure", Wish())
    assert list(body) == sorted(body)
    assert "protected_material_code" in body["choices"][0]["content_filter_results"]


def test_refusals() -> None:
    assert AZURE.refusal(Failure("bad-key")).body["error"]["code"] == "401"
    missing = AZURE.refusal(Failure("unknown-model"))
    assert list(missing.body["error"]) == ["type", "code", "message"]
    limited = AZURE.refusal(Failure("rate-limit", retry_after_s=3))
    assert (limited.status, limited.headers) == (429, ((b"retry-after", b"3"),))
    assert AZURE.refusal(Failure("invalid", "no")).body["error"]["message"] == "no"
    said = AZURE.refusal(Failure("unknown-model", "Resource not found")).body["error"]
    assert said["message"] == "Resource not found"
