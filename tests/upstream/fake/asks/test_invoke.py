"""What is read in the bodies of Bedrock's models, and what is refused."""

from typing import Any

import pytest

from proxy.upstream.fake.ask import Refused
from tests.upstream.fake.tasking import ask_of, post

Data = dict[str, Any]
PATH = "/model/a/b/invoke"


@pytest.mark.parametrize(
    ("body", "form", "texts"),
    [
        ({"inputText": "a b"}, "titan", ("a b",)),
        ({"texts": ["a", "b"], "input_type": "search_query"}, "cohere", ("a", "b")),
        ({"query": "q", "documents": ["a"], "api_version": 2}, "ranking", ("q", "a")),
    ],
)
def test_bodies(body: Data, form: str, texts: tuple[str, ...]) -> None:
    asked = ask_of(post(PATH, body))
    assert (asked.model, asked.body["form"], asked.texts) == ("a/b", form, texts)


def test_pictures() -> None:
    size = {"embeddingConfig": {"outputEmbeddingLength": 384}}
    asked = ask_of(post(PATH, {"inputText": "a", "inputImage": "eA=="} | size))
    assert (asked.attachments, asked.body["dimensions"]) == (("image",), 384)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "inputText"),
        ({"inputText": ""}, "minLength"),
        ({"inputText": "a", "dimensions": 7}, "not a valid enum value"),
        ({"texts": ["a"]}, "input_type"),
        ({"documents": ["a"]}, "query must not be empty"),
    ],
)
def test_what_is_refused(body: Data, message: str) -> None:
    with pytest.raises(Refused, match=message):
        ask_of(post(PATH, body))
