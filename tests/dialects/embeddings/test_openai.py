"""Embeddings of providers that speak as OpenAI does."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.dialects.embeddings.openai import decode_answer, decode_usage
from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.events import Failed, Produced, Started, Usage, UsageReport
from tests.dialects.embeddings.asking import DOT, TEXT, path, provider, sent


@pytest.mark.parametrize(
    ("slug", "said"),
    [
        ("openai", {"dimensions": 8, "encoding_format": "base64", "user": "u"}),
        ("mistral", {"output_dimension": 8}),
        ("together", {"dimensions": 8, "user": "u"}),
        (
            "openrouter",
            {
                "dimensions": 8,
                "encoding_format": "base64",
                "user": "u",
                "input_type": "search_query",
            },
        ),
        ("nvidia", {"dimensions": 8, "user": "u", "input_type": "query"}),
        (
            "voyage",
            {"output_dimension": 8, "encoding_format": "base64", "input_type": "query"},
        ),
        ("perplexity", {"dimensions": 8, "user": "u"}),
        ("ollama", {"dimensions": 8, "user": "u"}),
    ],
)
def test_a_request_in_the_words_of_each(slug: str, said: dict[str, Any]) -> None:
    body = sent(
        provider(slug),
        input=["a", "b"],
        dimensions=8,
        encoding_format="base64",
        input_type="search_query",
        user="u",
    )
    assert body == {"model": "m", "input": ["a", "b"]} | said


def test_what_is_not_said_is_left_out_but_where_it_is_required() -> None:
    assert sent(provider("voyage"), input="a", encoding_format="float") == {
        "model": "m",
        "input": ["a"],
    }
    assert sent(provider("nvidia"), input="a", truncate="END") == {
        "model": "m",
        "input": ["a"],
        "input_type": "passage",
        "truncate": "END",
    }
    assert sent(provider("voyage"), input="a", input_type="document")["input_type"] == "document"


def test_tokens_travel() -> None:
    assert sent(provider(), input=[1, 2])["input"] == [[1, 2]]


def test_media_are_for_who_takes_them() -> None:
    body = sent(provider("openrouter"), input=[{"content": [TEXT, DOT]}, {"content": [TEXT]}])
    assert body == {"model": "m", "input": [{"content": [TEXT, DOT]}, {"content": [TEXT]}]}
    with pytest.raises(GatewayError, match="images, sound or files") as caught:
        sent(provider("openai"), input=[{"content": [DOT]}])
    assert caught.value.kind == "provider_unfit"


def test_where_each_is_asked() -> None:
    assert path(provider("openai"), input="a") == "/embeddings"
    assert path(provider("perplexity"), input="a") == "/v1/embeddings"
    azure = replace(provider("azure"), options={"api_version": "2024"})
    assert path(azure, "my one", input="a") == (
        "/openai/deployments/my%20one/embeddings?api-version=2024"
    )


def answered(**fields: Any) -> bytes:
    return json.dumps({"data": [{"embedding": [1.0]}]} | fields).encode()


def test_vectors_stand_where_they_say() -> None:
    data = [{"index": 1, "embedding": [1]}, {"index": 0, "embedding": [2]}, {"embedding": [3]}]
    events = decode_answer(answered(data=data, id="x", usage={"total_tokens": 3}), Quirks())
    assert events[0] == Started(upstream_id="x")
    places = [one.value["index"] for one in events if isinstance(one, Produced)]
    assert places == [1, 0, 2]
    assert UsageReport(Usage(prompt_tokens=3)) in events


@pytest.mark.parametrize(
    "fields",
    [{"data": []}, {"data": None}, {"data": [{}]}, {"data": [{"embedding": "?"}]}],
    ids=str,
)
def test_what_is_no_answer(fields: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as caught:
        decode_answer(answered(**fields), Quirks())
    assert caught.value.kind == "provider_malformed"


def test_an_error_that_came_with_success() -> None:
    (failed,) = decode_answer(b'{"error": {"message": "No."}}', Quirks())
    assert isinstance(failed, Failed)


@pytest.mark.parametrize(
    ("said", "tokens"),
    [
        ({"prompt_tokens": 2, "total_tokens": 3}, 2),
        ({"prompt_tokens": 0, "total_tokens": 3}, 0),
        ({"prompt_tokens": -1, "total_tokens": 3}, 3),
        ({}, None),
        (None, None),
    ],
    ids=str,
)
def test_usage(said: Any, tokens: int | None) -> None:
    found = decode_usage(said)
    assert (found and found.prompt_tokens) == tokens
