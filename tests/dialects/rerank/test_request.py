"""Callers' requests for a reranking, and what they can use at most."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.rerank.request import decode_request, search_units
from proxy.errors import GatewayError
from proxy.wire.events import Usage
from proxy.wire.request import Ask

PNG = "iVBORw0KGgoAAAANSUhEUg=="


def ask(**fields: Any) -> Ask:
    usual = {"model": "m", "query": "q", "documents": ["d"]}
    return decode_request(json.dumps(usual | fields).encode())


def test_texts() -> None:
    found = ask(query="añ", documents=["abcd", {"text": "b"}], top_n=1.0, max_tokens_per_doc=9)
    assert found.body == {
        "query": "añ",
        "documents": ["abcd", {"text": "b"}],
        "top_n": 1,
        "max_tokens_per_doc": 9,
    }
    assert (found.task, found.models, found.media_prompt) == ("rerank", ("m",), 0)
    assert found.text_bytes == 2 * 3 + 5
    assert found.most == Usage(prompt_tokens=11 + 2 * 16, search_units=1)
    assert found.likely == Usage(prompt_tokens=3, search_units=1)


def test_images_stand_in_messages() -> None:
    url = f"data:image/png;base64,{PNG}"
    found = ask(documents=["a", {"text": "b", "image": PNG}, {"image": "https://a.test/x"}])
    parts = [
        [],
        [{"type": "image_url", "image_url": {"url": url}}],
        [{"type": "image_url", "image_url": {"url": "https://a.test/x"}}],
    ]
    assert found.body["messages"] == [{"role": "user", "content": one} for one in parts]
    assert found.media_prompt == 2
    assert found.most == Usage(
        prompt_tokens=3 + 2 + 2 * 4096 + 3 * 16, prompt_image_tokens=2 * 4096, search_units=1
    )
    assert found.likely == Usage(prompt_tokens=2 + 2000, search_units=1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"query": ""}, "query: a text is required"),
        ({"query": None}, "query: a text is required"),
        ({"query": 3}, "query: expected a string, got a number"),
        ({"documents": []}, "documents: a list is required, not an empty one"),
        ({"documents": None}, "documents: a list is required, not an empty one"),
        ({"documents": "d"}, "documents: expected a list, got a string"),
        ({"documents": ["d", 3]}, "documents[1]: must be a text or an object"),
        ({"documents": [{}]}, "documents[0]: has neither text nor image"),
        ({"documents": [{"text": 3}]}, "documents[0].text: must be a text"),
        ({"documents": [{"image": {}}]}, "documents[0].image: must be a text"),
        (
            {"documents": [{"image": "data:image/png;base64,?"}]},
            "documents[0].image: the data is not base64",
        ),
        ({"top_n": 0}, "top_n: must be at least 1"),
        ({"stream": True}, "stream: the answer to this comes whole"),
    ],
    ids=str,
)
def test_what_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(GatewayError) as caught:
        ask(**fields)
    assert caught.value.status == 400
    assert caught.value.message.startswith(message.partition(", got")[0])


@pytest.mark.parametrize(
    ("query", "documents", "units"),
    [
        (0, [0], 1),
        (100, [400] * 100, 1),
        (100, [400] * 101, 2),
        (100, [401] * 50, 1),
        (100, [401] * 51, 2),
        (499, [100] * 100, 1),
        (9999, [101] * 100, 2),
    ],
)
def test_search_units(query: int, documents: list[int], units: int) -> None:
    assert search_units(query, documents) == units


@given(st.text(min_size=1), st.lists(st.text(), min_size=1, max_size=9))
def test_what_is_likely_is_no_more_than_the_most(query: str, documents: list[str]) -> None:
    found = ask(query=query, documents=[text or "d" for text in documents])
    assert found.most is not None
    assert found.likely is not None
    assert found.likely.prompt_tokens <= found.most.prompt_tokens
    assert 1 <= found.likely.search_units <= found.most.search_units
