"""What models are listed for, and where."""

import pytest

from proxy.routing.kinds import modalities_of
from proxy.upstream.fake.kinds import kind_of, listed
from proxy.upstream.fake.scenario import MODELS
from tests.upstream.fake.speaking import MANNERS

OUTPUTS = {
    "chat": "text",
    "completion": "text",
    "embeddings": "embeddings",
    "rerank": "rerank",
    "image": "image",
    "speech": "speech",
    "transcription": "transcription",
}


@pytest.mark.parametrize("model", MODELS)
def test_the_gateway_takes_each_model_for_what_it_is(model: str) -> None:
    assert modalities_of(model)[0] == OUTPUTS[kind_of(model)]


def test_each_kind_is_there() -> None:
    assert {kind_of(model) for model in MODELS} == set(OUTPUTS)
    assert listed(["a", "b-rerank", "embed"], "rerank", "embeddings") == [
        ("b-rerank", "rerank"), ("embed", "embeddings")
    ]  # fmt: skip


def test_lists_have_only_what_the_provider_has() -> None:
    made = {name: manner.models(MODELS, 0) for name, manner in MANNERS.items()}
    assert {row["id"] for row in made["chat"]["data"]} == set(MODELS)
    assert all(kind_of(row["id"]) == "chat" for row in made["anthropic"]["data"])
    cohere = {row["name"]: row["endpoints"] for row in made["cohere"]["models"]}
    assert (cohere["weir/embedding"], cohere["weir/rerank"]) == (["embed"], ["rerank"])
    assert "weir/whisper" not in cohere
    gemini = {row["name"]: row["supportedGenerationMethods"] for row in made["gemini"]["models"]}
    assert gemini["models/weir/embedding"] == ["embedContent", "countTokens"]
    assert gemini["models/weir/image"] == ["predict"]
    bedrock = {row["modelId"]: row["outputModalities"] for row in made["bedrock"]["modelSummaries"]}
    assert bedrock["weir/embedding"] == ["EMBEDDING"]
    assert "publishers/google/models/weir/tts" not in {
        row["name"] for row in made["vertex-gemini"]["publisherModels"]
    }
