"""Bedrock's models as they are, and the count in the head of what they say."""

import json

from proxy.upstream.fake.scenario import Rule
from proxy.upstream.fake.vectors import vector
from tests.upstream.fake.tasking import headed, post, whole

PATH = "/model/m/invoke"
COUNT = b"x-amzn-bedrock-input-token-count"


def test_titan() -> None:
    head, data = headed(post(PATH, {"inputText": "a b", "dimensions": 256}))
    assert json.loads(data) == {"embedding": vector("a b", 256), "inputTextTokenCount": 2}
    assert dict(head.headers)[COUNT] == b"2"
    said = whole(post(PATH, {"inputText": "a"}), Rule(fault="usage-missing"))
    assert list(said) == ["embedding"]
    assert len(said["embedding"]) == 1024


def test_cohere() -> None:
    plain = whole(post(PATH, {"texts": ["a"], "input_type": "x"}))
    assert plain["embeddings"] == [vector("a", 1536)]
    assert (plain["response_type"], "meta" in plain) == ("embeddings_floats", False)
    typed = whole(post(PATH, {"texts": ["a"], "input_type": "x", "embedding_types": ["int8"]}))
    assert (list(typed["embeddings"]), typed["response_type"]) == (["int8"], "embeddings_by_type")


def test_ranks() -> None:
    said = whole(post(PATH, {"query": "b", "documents": ["a", "b"], "top_n": 1}))
    assert [row["index"] for row in said["results"]] == [1]
