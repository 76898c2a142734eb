"""Embeddings of Google, at AI Studio and at Vertex."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.dialects.embeddings.gemini import decode_answer
from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.events import Produced, Usage, UsageReport
from tests.dialects.embeddings.asking import DOT, PNG, TEXT, path, provider, sent

STUDIO = provider("google-ai-studio")
VERTEX = replace(provider("google-vertex"), options={"project": "p", "location": "global"})
OLDER, NEWER = "gemini-embedding-001", "gemini-embedding-2"


def test_studio_takes_all_in_one_batch() -> None:
    body = sent(STUDIO, OLDER, input=["a", "b"], dimensions=8, input_type="search_query")
    settings = {"taskType": "RETRIEVAL_QUERY", "outputDimensionality": 8}
    assert body == {
        "requests": [
            {"model": f"models/{OLDER}", "content": {"parts": [{"text": text}]}} | settings
            for text in ("a", "b")
        ]
    }
    assert path(STUDIO, OLDER, input="a") == f"/v1beta/models/{OLDER}:batchEmbedContents"


@pytest.mark.parametrize(
    ("said", "kind"),
    [("document", "RETRIEVAL_DOCUMENT"), ("classification", "CLASSIFICATION"),
     ("semantic_similarity", "SEMANTIC_SIMILARITY")],
)  # fmt: skip
def test_what_an_input_is_for(said: str, kind: str) -> None:
    assert sent(STUDIO, OLDER, input="a", input_type=said)["requests"][0]["taskType"] == kind
    (request,) = sent(STUDIO, NEWER, input="a", input_type=said)["requests"]
    assert request.keys() == {"model", "content"}


def test_inputs_of_several_parts() -> None:
    (request,) = sent(STUDIO, NEWER, input=[{"content": [TEXT, DOT]}])["requests"]
    inline = {"inlineData": {"mimeType": "image/png", "data": PNG}}
    assert request["content"]["parts"] == [{"text": "a"}, inline]


def test_vertex_takes_contents_in_newer_models() -> None:
    body = sent(VERTEX, NEWER, input=["a", "b"], dimensions=8)
    own = {"embedContentConfig": {"outputDimensionality": 8}}
    assert body["requests"] == [{"content": {"parts": [{"text": one}]}} | own for one in "ab"]
    place = f"projects/p/locations/global/publishers/google/models/{NEWER}"
    assert path(VERTEX, NEWER, input="a") == f"/v1beta1/{place}:batchEmbedContents"
    assert sent(VERTEX, NEWER, input="a") == {"requests": [{"content": {"parts": [{"text": "a"}]}}]}


def test_vertex_takes_instances_in_older_models() -> None:
    body = sent(VERTEX, "text-embedding-005", input=["a", "b"], dimensions=8, input_type="query")
    assert body == {
        "instances": [{"content": one, "task_type": "RETRIEVAL_QUERY"} for one in "ab"],
        "parameters": {"outputDimensionality": 8},
    }
    place = "projects/p/locations/global/publishers/google/models/text-embedding-005"
    assert path(VERTEX, "text-embedding-005", input="a") == f"/v1/{place}:predict"
    assert sent(VERTEX, OLDER, input="a") == {"instances": [{"content": "a"}]}


@pytest.mark.parametrize(
    ("to", "model", "said", "what"),
    [
        (STUDIO, NEWER, [1], "tokens"),
        (VERTEX, OLDER, ["a", "b"], "more than one input"),
        (VERTEX, OLDER, [{"content": [DOT]}], "images, sound or files"),
    ],
    ids=str,
)
def test_what_it_has_no_words_for(to: Any, model: str, said: Any, what: str) -> None:
    with pytest.raises(GatewayError, match=what) as caught:
        sent(to, model, input=said)
    assert caught.value.kind == "provider_unfit"


def heard(**said: Any) -> tuple[list[Any], list[Usage]]:
    events = decode_answer(json.dumps(said).encode(), Quirks())
    vectors = [event.value["embedding"] for event in events if isinstance(event, Produced)]
    return vectors, [event.usage for event in events if isinstance(event, UsageReport)]


def test_answers_in_every_form() -> None:
    assert heard(embeddings=[{"values": [1.0]}, {"values": [2.0]}]) == ([[1.0], [2.0]], [])
    counted = {"promptTokenCount": 3}
    assert heard(embedding={"values": [1.0]}, usageMetadata=counted) == (
        [[1.0]],
        [Usage(prompt_tokens=3)],
    )
    details = [
        {"modality": "IMAGE", "tokenCount": 2},
        {"modality": "IMAGE", "tokenCount": 1},
        {"modality": "AUDIO", "tokenCount": 4},
        {"modality": "VIDEO", "tokenCount": 5},
        {"modality": "TEXT", "tokenCount": 6},
    ]
    _, (usage,) = heard(
        embeddings=[{"values": [1.0]}],
        usageMetadata={"promptTokenCount": 18, "promptTokensDetails": details},
    )
    assert usage == Usage(
        prompt_tokens=18, prompt_image_tokens=3, prompt_audio_tokens=4, prompt_video_tokens=5
    )


def predicted(*counts: Any) -> list[dict[str, Any]]:
    return [{"embeddings": {"values": [1.0], "statistics": {"token_count": one}}} for one in counts]


def test_predictions_count_each_for_itself() -> None:
    assert heard(predictions=predicted(3, 4)) == ([[1.0], [1.0]], [Usage(prompt_tokens=7)])
    assert heard(predictions=predicted(3, None)) == ([[1.0], [1.0]], [])


@pytest.mark.parametrize("said", [{}, {"embeddings": []}, {"predictions": [{}]}], ids=str)
def test_what_is_no_answer(said: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as caught:
        heard(**said)
    assert caught.value.kind == "provider_malformed"
