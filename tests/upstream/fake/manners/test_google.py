"""Google's counts, embeddings and predictions, and on Vertex."""

from base64 import b64decode
from typing import Any

from proxy.upstream.fake.scenario import Rule
from proxy.upstream.fake.vectors import vector
from tests.upstream.fake.tasking import PARTS, REQUESTS, VERTEX, post, whole

Data = dict[str, Any]
PREDICT = f"{VERTEX}/google/models/m:predict"


def test_counts() -> None:
    rows = [{"modality": "TEXT", "tokenCount": 2}]
    assert whole(REQUESTS["gemini-count"]) == {"totalTokens": 2, "promptTokensDetails": rows}
    assert whole(REQUESTS["vertex-gemini-count"]) == {
        "promptTokensDetails": rows,
        "totalBillableCharacters": 7,
        "totalTokens": 2,
    }


def test_embeddings() -> None:
    batch = whole(REQUESTS["gemini-embeddings"])
    assert [row["values"] for row in batch["embeddings"]] == [vector("hi there", 3072)]
    assert batch["usageMetadata"]["promptTokenCount"] == 2
    path = "/v1beta/models/gemini-embedding-001:embedContent"
    assert list(whole(post(path, {"content": PARTS}))) == ["embedding"]
    vertex = whole(REQUESTS["vertex-gemini-embeddings"])
    assert vertex["embedding"]["values"] == vector("hi there", 4)
    assert vertex["usageMetadata"]["totalTokenCount"] == 2
    mute = whole(REQUESTS["vertex-gemini-embeddings"], Rule(fault="no-content"))
    assert mute["embedding"] == {"values": []}


def test_predicted_embeddings() -> None:
    said = whole(REQUESTS["vertex-gemini-predict"])
    (row,) = said["predictions"]
    assert row["embeddings"]["values"] == vector("hi there", 4)
    assert row["embeddings"]["statistics"] == {"truncated": False, "token_count": 2}
    assert said["metadata"] == {"billableCharacterCount": 7}


def test_pictures() -> None:
    said = whole(REQUESTS["gemini-predict"])
    assert [row["mimeType"] for row in said["predictions"]] == ["image/png"] * 2
    assert b64decode(said["predictions"][0]["bytesBase64Encoded"]).startswith(b"\x89PNG")
    parameters = {"sampleCount": 1, "outputOptions": {"mimeType": "image/jpeg"}}
    body: Data = {"instances": [{"prompt": "a weir"}], "parameters": parameters}
    (row,) = whole(post(PREDICT, body))["predictions"]
    assert b64decode(row["bytesBase64Encoded"]).startswith(b"\xff\xd8")
    (barred,) = whole(post(PREDICT, {"instances": [{"prompt": "forbidden"}]}))["predictions"]
    assert list(barred) == ["raiFilteredReason"]
