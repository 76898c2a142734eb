"""Documents in order, in the words of each provider."""

from tests.upstream.fake.tasking import post, whole

BODY = {"model": "m", "query": "b", "documents": ["a", "b c", {"text": "b"}]}


def test_together_and_jina() -> None:
    said = whole(post("/v1/rerank", BODY | {"top_n": 2, "return_documents": True}))
    assert {row["index"] for row in said["results"]} == {1, 2}
    documents = {row["index"]: row["document"] for row in said["results"]}
    assert documents == {1: {"text": "b c"}, 2: {"text": "b"}}
    assert said["usage"] == {"prompt_tokens": 5, "completion_tokens": 0, "total_tokens": 5}
    assert "document" not in whole(post("/v1/rerank", BODY))["results"][0]


def test_voyage() -> None:
    said = whole(post("/voyage/v1/rerank", BODY | {"top_k": 1, "return_documents": True}))
    (row,) = said["data"]
    assert (row["document"], said["usage"]) == (("", "b c", "b")[row["index"]], {"total_tokens": 5})
    assert said["object"] == "list"


def test_cohere_counts_searches() -> None:
    for documents, units in ((1, 1), (100, 1), (101, 2)):
        body = {"model": "m", "query": "a", "documents": ["x"] * documents}
        said = whole(post("/v2/rerank", body))
        assert said["meta"]["billed_units"] == {"search_units": units}
        assert len(said["results"]) == documents
