"""Which dialect a path speaks, and that it takes what the real one was recorded to take."""

import json
from typing import Any
from urllib.parse import unquote

import pytest

from proxy.upstream.fake.ask import Refused, Request
from proxy.upstream.fake.routes import route
from proxy.upstream.fake.seals import Seal
from tests import recordings

PLACE = "/v1/projects/p/locations/l/publishers"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/chat/completions", "chat"),
        ("/chat/completions", "chat"),
        ("/openai/deployments/weir/lorem/chat/completions", "azure"),
        ("/x/openai/v1/chat/completions", "azure"),
        ("/v1/responses", "responses"),
        ("/openai/v1/responses", "responses"),
        ("/v1/messages", "anthropic"),
        (f"{PLACE}/anthropic/models/weir/lorem:rawPredict", "vertex-anthropic"),
        (f"{PLACE}/anthropic/models/m:streamRawPredict", "vertex-anthropic"),
        ("/v1beta/models/weir/lorem:generateContent", "gemini"),
        ("/v1beta/models/m:streamGenerateContent", "gemini"),
        (f"{PLACE}/google/models/m:generateContent", "vertex-gemini"),
        ("/v2/chat", "cohere"),
        ("/model/weir/lorem/converse", "bedrock"),
        ("/any/model/m/converse-stream", "bedrock"),
        ("/v1/completions", "completion"),
        ("/v1/fim/completions", "fim"),
        ("/api/v1/images", "image"),
        ("/openai/deployments/weir/turbo-instruct/completions", "azure-completion"),
        ("/v1/embeddings", "embeddings"),
        ("/openai/deployments/weir/embedding/embeddings", "azure-embeddings"),
        ("/openai/v1/embeddings", "azure-embeddings"),
        ("/v2/embed", "cohere-embeddings"),
        ("/v1beta/models/weir/embedding:embedContent", "gemini-embeddings"),
        ("/v1beta/models/weir/embedding:batchEmbedContents", "gemini-embeddings"),
        (f"{PLACE}/google/models/m:embedContent", "vertex-gemini-embeddings"),
        (f"{PLACE}/google/models/m:predict", "vertex-gemini-predict"),
        ("/v1beta/models/weir/imagen:predict", "gemini-predict"),
        ("/model/weir/embedding/invoke", "bedrock-invoke"),
        ("/v1/rerank", "rerank"),
        ("/v2/rerank", "cohere-rerank"),
        ("/v1/images/generations", "image"),
        ("/v1/images/edits", "image"),
        ("/openai/deployments/m/images/edits", "azure-image"),
        ("/v1/audio/speech", "speech"),
        ("/openai/deployments/m/audio/speech", "azure-speech"),
        ("/v1/audio/transcriptions", "transcription"),
        ("/openai/deployments/m/audio/transcriptions", "azure-transcription"),
        ("/v1/messages/count_tokens", "anthropic-count"),
        (f"{PLACE}/anthropic/models/count-tokens:rawPredict", "vertex-anthropic-count"),
        ("/v1beta/models/m:countTokens", "gemini-count"),
        (f"{PLACE}/google/models/m:countTokens", "vertex-gemini-count"),
        ("/model/m/count-tokens", "bedrock-count"),
    ],
)
def test_where_answers_are(path: str, name: str) -> None:
    found = route(Request("POST", path, {}, b""))
    assert found
    assert (found.manner.name, found.lists) == (name, False)
    assert route(Request("PUT", path, {}, b"")) is None


@pytest.mark.parametrize(
    ("path", "headers", "query", "name"),
    [
        ("/v1/models", {}, "", "chat"),
        ("/openai/v1/models", {}, "", "azure"),
        ("/v1/models", {"anthropic-version": "2023-06-01"}, "", "anthropic"),
        ("/v1beta/models", {}, "pageSize=1000", "gemini"),
        ("/v1beta1/publishers/google/models", {}, "", "vertex-gemini"),
        ("/v1/models", {}, "page_size=1000", "cohere"),
        ("/cohere/v1/models", {}, "", "cohere"),
        ("/foundation-models", {}, "", "bedrock"),
    ],
)
def test_where_lists_are(path: str, headers: dict[str, str], query: str, name: str) -> None:
    found = route(Request("GET", path, headers, b"", query=query))
    assert found
    assert (found.manner.name, found.lists) == (name, True)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/messages"),
        ("GET", "/"),
        ("POST", "/v1/models"),
        ("POST", "/v1/models/m:batchGenerateContent"),
        ("POST", "/model/m/invoke-with-response-stream"),
        ("DELETE", "/v1/models"),
    ],
)
def test_where_nothing_is(method: str, path: str) -> None:
    assert route(Request(method, path, {}, b"")) is None


class Trusting(Seal):
    """Takes the signatures of others."""

    def holds(self, signature: object, *parts: str) -> bool:
        return True


def refused(request: Request) -> str | None:
    """Why a request is refused; None where it is not, or is for nobody here."""
    found = route(request)
    try:
        if found:
            found.manner.decode(request, Trusting(1))
    except Refused as error:
        return str(error)
    return None


PROVIDERS = {"anthropic", "google", "google-vertex", "cohere", "bedrock", "openai", "azure"}
# A guardrail answered this one before anybody looked at it.
ODD = "test-guardrail-converse"


@pytest.mark.wire
def test_no_recorded_request_that_was_answered_is_refused() -> None:
    seen = 0
    reasons: list[Any] = []
    for row in recordings.index():
        if row["status"] != 200 or row["provider"] not in PROVIDERS or ODD in row["name"]:
            continue
        sent = recordings.load(row).request
        body = sent.get("body")
        if sent["method"] != "POST" or not body or sent["path"].endswith("/invoke"):
            continue
        if "prompt" in body and row["api"] == "responses":  # a stored prompt names the model
            continue
        request = Request(
            "POST",
            unquote(sent["path"]),
            {"anthropic-version": "2023-06-01"},
            json.dumps(body).encode(),
            query="api-version=1&alt=sse",
        )
        seen += route(request) is not None
        if reason := refused(request):
            reasons.append((row["name"], reason))
    assert reasons == []
    assert seen > 300
