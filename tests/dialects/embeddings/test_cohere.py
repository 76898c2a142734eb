"""Embeddings of Cohere, by its own types."""

import inspect
import json
import typing
from typing import Any

import pytest
from cohere.v2.raw_client import RawV2Client

from proxy.dialects.embeddings.cohere import decode_answer
from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.events import Produced, Usage, UsageReport
from tests.accepted.cohere import check
from tests.dialects.embeddings.asking import DOT, PNG, SOUND, TEXT, path, provider, sent

COHERE = provider("cohere")


def accepted(body: dict[str, Any], call: Any = RawV2Client.embed) -> dict[str, Any]:
    """`body`, which Cohere's SDK could have sent."""
    hints = typing.get_type_hints(call)
    assert body.keys() <= inspect.signature(call).parameters.keys()
    for name, value in body.items():
        check(value, hints[name], name)
    return body


def test_texts() -> None:
    assert accepted(sent(COHERE, input=["a", "b"], user="u")) == {
        "model": "m",
        "texts": ["a", "b"],
        "input_type": "search_document",
        "embedding_types": ["float"],
    }
    assert path(COHERE, input="a") == "/v2/embed"


def test_settings() -> None:
    body = accepted(
        sent(COHERE, input="a", dimensions=256, input_type="query", truncate="END", max_tokens=9)
    )
    assert body == {
        "model": "m",
        "texts": ["a"],
        "input_type": "search_query",
        "embedding_types": ["float"],
        "output_dimension": 256,
        "truncate": "END",
        "max_tokens": 9,
    }
    assert accepted(sent(COHERE, input="a", input_type="clustering"))["input_type"] == "clustering"


def test_images() -> None:
    body = accepted(sent(COHERE, input=[{"content": [TEXT, DOT]}]))
    url = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    assert body["inputs"] == [{"content": [TEXT, url]}]
    assert "texts" not in body


@pytest.mark.parametrize(
    ("said", "what"),
    [([1, 2], "tokens"), ([{"content": [SOUND]}], "media other than images")],
    ids=str,
)
def test_what_it_has_no_words_for(said: Any, what: str) -> None:
    with pytest.raises(GatewayError, match=what) as caught:
        sent(COHERE, input=said)
    assert caught.value.kind == "provider_unfit"


@pytest.mark.parametrize(
    ("billed", "usage"),
    [
        ({"input_tokens": 3}, Usage(prompt_tokens=3)),
        (
            {"input_tokens": 3, "image_tokens": 4},
            Usage(prompt_tokens=7, prompt_image_tokens=4),
        ),
        ({"image_tokens": 4.0}, Usage(prompt_tokens=4, prompt_image_tokens=4)),
        ({"images": 1}, None),
        (None, None),
    ],
    ids=str,
)
def test_what_is_billed(billed: Any, usage: Usage | None) -> None:
    body = {"embeddings": {"float": [[1.0]]}, "meta": {"billed_units": billed}}
    events = decode_answer(json.dumps(body).encode(), Quirks())
    reports = [event.usage for event in events if isinstance(event, UsageReport)]
    assert reports == ([usage] if usage else [])


@pytest.mark.parametrize("told", [[[1.0], [2.0]], {"int8": [], "float": [[1.0], [2.0]]}], ids=str)
def test_both_forms_of_an_answer(told: Any) -> None:
    events = decode_answer(json.dumps({"embeddings": told}).encode(), Quirks())
    values = [event.value for event in events if isinstance(event, Produced)]
    assert values == [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [2.0]}]


@pytest.mark.parametrize("told", [None, [], {}, {"float": None}, [[]], 3], ids=str)
def test_what_is_no_answer(told: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        decode_answer(json.dumps({"embeddings": told}).encode(), Quirks())
    assert caught.value.kind == "provider_malformed"
