"""Embeddings of models on Bedrock, each in its own words."""

import json
from typing import Any

import pytest

from proxy.dialects.embeddings.bedrock import decode_answer
from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.events import Produced, Usage, UsageReport
from tests.dialects.embeddings.asking import DOT, PNG, SOUND, TEXT, path, provider, sent

BEDROCK = provider("amazon-bedrock")
TITAN, PICTURED, COHERE = (
    "amazon.titan-embed-text-v2:0", "amazon.titan-embed-image-v1", "us.cohere.embed-v4:0"
)  # fmt: skip


@pytest.mark.parametrize(
    ("model", "fields", "body"),
    [
        (TITAN, {"input": "a"}, {"inputText": "a"}),
        (TITAN, {"input": "a", "dimensions": 256}, {"inputText": "a", "dimensions": 256}),
        ("amazon.titan-embed-text-v1", {"input": "a", "dimensions": 256}, {"inputText": "a"}),
        ("amazon.titan-embed-g1-text-02", {"input": "a", "dimensions": 256}, {"inputText": "a"}),
        (PICTURED, {"input": "a"}, {"inputText": "a"}),
        (
            PICTURED,
            {"input": [{"content": [TEXT, DOT]}], "dimensions": 256},
            {
                "inputText": "a",
                "inputImage": PNG,
                "embeddingConfig": {"outputEmbeddingLength": 256},
            },
        ),
        (PICTURED, {"input": [{"content": [DOT]}]}, {"inputImage": PNG}),
        (
            COHERE,
            {"input": ["a", "b"], "dimensions": 256, "input_type": "query"},
            {
                "texts": ["a", "b"],
                "input_type": "search_query",
                "embedding_types": ["float"],
                "output_dimension": 256,
            },
        ),
    ],
    ids=str,
)
def test_bodies(model: str, fields: dict[str, Any], body: dict[str, Any]) -> None:
    assert sent(BEDROCK, model, **fields) == body


def test_it_is_invoked() -> None:
    assert path(BEDROCK, TITAN, input="a") == "/model/amazon.titan-embed-text-v2%3A0/invoke"


@pytest.mark.parametrize(
    ("model", "said", "what"),
    [
        (TITAN, ["a", "b"], "more than one input"),
        (TITAN, [1], "tokens"),
        (TITAN, [{"content": [DOT]}], "images, sound or files"),
        (PICTURED, [{"content": [DOT, DOT]}], "more than one input"),
        (PICTURED, [{"content": [SOUND]}], "media other than images"),
        (COHERE, [{"content": [SOUND]}], "media other than images"),
    ],
    ids=str,
)
def test_what_it_has_no_words_for(model: str, said: Any, what: str) -> None:
    with pytest.raises(GatewayError, match=what) as caught:
        sent(BEDROCK, model, input=said)
    assert caught.value.kind == "provider_unfit"


def heard(**said: Any) -> tuple[list[Any], list[Usage]]:
    events = decode_answer(json.dumps(said).encode(), Quirks())
    vectors = [event.value["embedding"] for event in events if isinstance(event, Produced)]
    return vectors, [event.usage for event in events if isinstance(event, UsageReport)]


def test_answers() -> None:
    titan = heard(embedding=[1.0], inputTextTokenCount=3)
    assert titan == ([[1.0]], [Usage(prompt_tokens=3)])
    assert heard(embedding=[1.0]) == ([[1.0]], [])
    assert heard(embeddings={"float": [[1.0], [2.0]]}) == ([[1.0], [2.0]], [])
    assert heard(embeddings=[[1.0]]) == ([[1.0]], [])


def test_what_is_no_answer() -> None:
    with pytest.raises(GatewayError) as caught:
        heard(message="No.")
    assert caught.value.kind == "provider_malformed"
