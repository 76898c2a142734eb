"""Embeddings with the keys of recorded ones."""

import json
import struct
from base64 import b64decode

import pytest

from proxy.upstream.fake.vectors import packed, vector
from tests import recordings
from tests.upstream.fake.tasking import REQUESTS, Data, post, whole

COHERE = {"model": "m", "input_type": "search_query"}


def test_openai() -> None:
    plain = whole(post("/v1/embeddings", {"model": "m", "input": ["a b", "c"], "dimensions": 4}))
    assert [row["embedding"] for row in plain["data"]] == [vector("a b", 4), vector("c", 4)]
    assert [row["index"] for row in plain["data"]] == [0, 1]
    assert plain["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    body = {"model": "m", "input": [[1, 2]], "encoding_format": "base64", "output_dimension": 2}
    said = whole(post("/v1/embeddings", body))
    assert (said["data"][0]["embedding"], said["usage"]["prompt_tokens"]) == (
        packed(vector("1 2", 2)), 2
    )  # fmt: skip
    default = whole(post("/v1/embeddings", {"model": "m", "input": "a"}))
    assert len(default["data"][0]["embedding"]) == 1536


def test_perplexity_has_bytes() -> None:
    said = whole(post("/v1/embeddings", {"model": "pplx-embed", "input": "a", "dimensions": 4}))
    numbers = struct.unpack("4b", b64decode(said["data"][0]["embedding"]))
    assert numbers == pytest.approx([127 * value for value in vector("a", 4)], abs=0.5)


def test_cohere() -> None:
    said = whole(post("/v2/embed", COHERE | {"texts": ["a b", "c"], "output_dimension": 8}))
    assert said["embeddings"] == {"float": [vector("a b", 8), vector("c", 8)]}
    assert (said["texts"], said["meta"]["billed_units"]) == (["a b", "c"], {"input_tokens": 3})
    kinds = ["int8", "ubinary", "base64"]
    typed = whole(post("/v2/embed", COHERE | {"texts": ["a"], "embedding_types": kinds}))
    assert list(typed["embeddings"]) == kinds
    assert [len(typed["embeddings"][kind][0]) for kind in kinds] == [1536, 192, 8192]
    pictures = whole(post("/v2/embed", COHERE | {"images": ["data:x", "data:y"]}))
    assert pictures["meta"]["billed_units"] == {"images": 2, "image_tokens": 170}


def recorded(provider: str, api: str) -> Data:
    """A recorded answer."""
    rows = (r for r in recordings.index() if (r["provider"], r["api"]) == (provider, api))
    body: Data = json.loads(recordings.load(next(r for r in rows if r["status"] == 200)).body)
    return body


@pytest.mark.wire
@pytest.mark.parametrize(
    ("provider", "api", "name"),
    [
        ("openai", "embeddings", "embeddings"),
        ("cohere", "embeddings", "cohere-embeddings"),
        ("cohere", "rerank", "cohere-rerank"),
        ("google", "embeddings", "gemini-embeddings"),
        ("google-vertex", "embeddings", "vertex-gemini-embeddings"),
        ("anthropic", "count_tokens", "anthropic-count"),
        ("google", "count_tokens", "gemini-count"),
        ("google-vertex", "count_tokens", "vertex-gemini-count"),
    ],
)
def test_the_keys_are_those_of_recorded_answers(provider: str, api: str, name: str) -> None:
    real, mine = recorded(provider, api), whole(REQUESTS[name])
    assert set(mine) == set(real)
    for key in ("usage", "usageMetadata", "meta"):
        assert set(mine.get(key, ())) == set(real.get(key, ()))
