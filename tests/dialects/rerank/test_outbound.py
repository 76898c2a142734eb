"""Reranking at providers of every kind."""

import json
from typing import Any

import pytest
from cohere.v2.raw_client import RawV2Client

from proxy.dialects.rerank.outbound import decode_answer
from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.events import Failed, Produced, Started, Usage, UsageReport
from tests.dialects.embeddings.asking import PNG, path, provider, sent
from tests.dialects.embeddings.test_cohere import accepted

COHERE, BEDROCK = provider("cohere"), provider("amazon-bedrock")
URL = f"data:image/png;base64,{PNG}"


def asked(to: Any, model: str = "m", **fields: Any) -> Any:
    usual = {"query": "q", "documents": ["a", {"text": "b"}], "top_n": 1}
    return sent(to, model, "rerank", **usual | fields)


WHOLE = {"query": "q", "documents": ["a", "b"], "top_n": 1}


def test_bodies() -> None:
    assert asked(provider("together"), user="u") == {"model": "m", "user": "u"} | WHOLE
    voyage = asked(provider("voyage"), user="u", truncation=False)
    assert voyage == {
        "model": "m", "query": "q", "documents": ["a", "b"], "top_k": 1, "truncation": False,
    }  # fmt: skip
    own = accepted(asked(COHERE, max_tokens_per_doc=9, user="u"), RawV2Client.rerank)
    assert own == {"model": "m", "max_tokens_per_doc": 9} | WHOLE
    assert asked(BEDROCK, "cohere.rerank-v3-5:0") == {"api_version": 2} | WHOLE
    assert asked(BEDROCK, "amazon.rerank-v1:0") == WHOLE
    assert "top_n" not in asked(provider("together"), top_n=None)
    assert asked(COHERE, top_n=None) == {"model": "m", "query": "q", "documents": ["a", "b"]}


def test_paths() -> None:
    fields: dict[str, Any] = {"task": "rerank", "query": "q", "documents": ["a"]}
    assert path(provider("voyage"), **fields) == "/rerank"
    assert path(COHERE, **fields) == "/v2/rerank"
    assert path(BEDROCK, "amazon.rerank-v1:0", **fields) == "/model/amazon.rerank-v1%3A0/invoke"


def test_images_are_for_who_takes_them() -> None:
    documents = ["a", {"text": "b"}, {"text": "c", "image": URL}, {"image": "https://a.test/x"}]
    assert asked(provider("openrouter"), documents=documents)["documents"] == documents
    for to in (provider("together"), COHERE, BEDROCK):
        with pytest.raises(GatewayError, match="images to rank") as caught:
            asked(to, documents=documents)
        assert caught.value.kind == "provider_unfit"


def test_who_has_no_rankings_is_not_asked_for_one() -> None:
    for slug in ("deepinfra", "google-ai-studio", "azure"):
        with pytest.raises(GatewayError, match="a request for rerank"):
            asked(provider(slug))


def heard(**said: Any) -> tuple[Any, list[Usage]]:
    events = decode_answer(json.dumps(said).encode(), Quirks())
    assert events[0] == Started(upstream_id=said.get("id"))
    (ranking,) = [event.value for event in events if isinstance(event, Produced)]
    return ranking, [event.usage for event in events if isinstance(event, UsageReport)]


@pytest.mark.parametrize("score", ["relevance_score", "relevanceScore", "score"])
@pytest.mark.parametrize("key", ["results", "data"])
def test_answers(key: str, score: str) -> None:
    ranking, _ = heard(id="x", **{key: [{"index": 1, score: 0.5, "document": {}}, "odd"]})
    assert ranking == [{"index": 1, "relevance_score": 0.5}]
    assert heard(results=[]) == ([], [])


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        ({"usage": {"total_tokens": 3}}, Usage(prompt_tokens=3)),
        ({"usage": {"prompt_tokens": 4, "total_tokens": -1}}, Usage(prompt_tokens=4)),
        (
            {"usage": {"total_tokens": 3, "search_units": 1}},
            Usage(prompt_tokens=3, search_units=1),
        ),
        ({"meta": {"billed_units": {"search_units": 2.0}}}, Usage(search_units=2)),
        ({"meta": {"billed_units": {}}}, None),
        ({"usage": None, "meta": 3}, None),
    ],
    ids=str,
)
def test_what_was_counted(said: dict[str, Any], usage: Usage | None) -> None:
    assert heard(results=[], **said)[1] == ([usage] if usage else [])


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"results": 3},
        {"results": [{}]},
        {"results": [{"index": 0}]},
        {"results": [{"index": -1, "score": 0.5}]},
        {"results": [{"index": 0, "score": True}]},
        {"results": [{"index": 0, "score": "0.5"}]},
    ],
    ids=str,
)
def test_what_is_no_answer(said: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as caught:
        decode_answer(json.dumps(said).encode(), Quirks())
    assert caught.value.kind == "provider_malformed"


def test_an_error_that_came_with_success() -> None:
    (failed,) = decode_answer(b'{"error": {"message": "No."}}', Quirks())
    assert isinstance(failed, Failed)
