"""Callers' requests for embeddings: every form of input, and what they can use at most."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.embeddings.request import decode_request
from proxy.errors import GatewayError
from proxy.wire.events import Usage
from proxy.wire.request import Ask

PNG = "iVBORw0KGgoAAAANSUhEUg=="
URL = f"data:image/png;base64,{PNG}"


def ask(**fields: Any) -> Ask:
    return decode_request(json.dumps({"model": "m"} | fields).encode())


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


@pytest.mark.parametrize(
    ("said", "inputs"),
    [
        ("one", ["one"]),
        (["one", "two"], ["one", "two"]),
        ([1, 2, 3], [[1, 2, 3]]),
        ([[1, 2], [3]], [[1, 2], [3]]),
        ([{"content": [text("a"), text("b")]}, {"content": [text("c")]}], ["ab", "c"]),
    ],
    ids=str,
)
def test_inputs_without_media(said: Any, inputs: list[Any]) -> None:
    found = ask(input=said, dimensions=8.0, input_type="query", encoding_format="base64", user="u")
    assert found.body == {
        "input": inputs,
        "dimensions": 8,
        "input_type": "query",
        "encoding_format": "base64",
        "user": "u",
    }
    assert (found.task, found.models, found.stream) == ("embeddings", ("m",), False)
    assert (found.media_prompt, found.audio_prompt) == (0, 0)


def test_the_most_that_it_can_use() -> None:
    texts = ask(input=["añ", "b"])
    assert texts.text_bytes == 4
    assert texts.most == Usage(prompt_tokens=4 + 2 * 16)
    assert texts.likely == Usage(prompt_tokens=1)
    tokens = ask(input=[[1, 2, 3], [4]])
    assert tokens.text_bytes == 16
    assert tokens.most == Usage(prompt_tokens=4 + 2 * 16)
    assert tokens.likely == Usage(prompt_tokens=4)
    mixed = ask(input=[{"content": [text("abcde"), image(URL)]}])
    assert mixed.text_bytes == 5
    assert mixed.most == Usage(prompt_tokens=5 + 4096 + 16, prompt_image_tokens=4096)
    assert mixed.likely == Usage(prompt_tokens=2 + 1000)


def image(url: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def media(kind: str, data: Any, **more: Any) -> dict[str, Any]:
    return {"type": kind, kind: {"data": data} | more}


@pytest.mark.parametrize(
    ("said", "part"),
    [
        (image(URL), image(URL)),
        (image("https://a.test/x.png"), image("https://a.test/x.png")),
        (
            media("input_audio", "QUJD", format="wav"),
            {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}},
        ),
        (
            media("input_video", "QUJD", format="webm"),
            {"type": "video_url", "video_url": {"url": "data:video/webm;base64,QUJD"}},
        ),
        (
            media("input_video", "data:video/mp4;base64,QUJD"),
            {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,QUJD"}},
        ),
        (
            media("input_video", "QUJD"),
            {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,QUJD"}},
        ),
        (
            media("input_file", "https://a.test/x.pdf", format="pdf"),
            {
                "type": "file",
                "file": {"file_data": "https://a.test/x.pdf", "filename": "file.pdf"},
            },
        ),
        (
            media("input_file", "JVBERi0x"),
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0x"}},
        ),
    ],
    ids=str,
)
def test_media_stand_in_messages(said: dict[str, Any], part: dict[str, Any]) -> None:
    found = ask(input=[{"content": [text("a"), said]}, {"content": [text("b")]}])
    assert "input" not in found.body
    assert found.body["messages"] == [
        {"role": "user", "content": [text("a"), part]},
        {"role": "user", "content": [text("b")]},
    ]
    heard = said["type"] == "input_audio"
    assert (found.media_prompt, found.audio_prompt) == (int(not heard), int(heard))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (None, "input: a text or a list is required"),
        (7, "input: a text or a list is required"),
        ([], "input: must not be empty"),
        ("", "input[0]: must not be empty"),
        (["a", ""], "input[1]: must not be empty"),
        (["a", 1], "input[1]: all must be of one kind"),
        ([True], "input[0]: must be a text, tokens or an object"),
        ([1.5], "input[0]: must be a text, tokens or an object"),
        ([1, "a"], "input: must be a list of tokens"),
        ([1, -1], "input: must be a list of tokens"),
        ([[1], []], "input[1]: must be a list of tokens"),
        ([["a"]], "input[0]: must be a list of tokens"),
        ([{}], "input[0].content: a list is required"),
        ([{"content": []}], "input[0].content: a list is required"),
        ([{"content": ["a"]}], "input[0].content[0]: nothing that can be embedded"),
        ([{"content": [text("")]}], "input[0].content[0]: nothing that can be embedded"),
        ([{"content": [{"type": []}]}], "input[0].content[0]: nothing that can be embedded"),
        (
            [{"content": [media("input_file", 3)]}],
            "input[0].content[0]: nothing that can be embedded",
        ),
        ([{"content": [image(None)]}], "input[0].content[0]: there is no data in it"),
        (
            [{"content": [image("data:image/png;base64,?")]}],
            "input[0].content[0].image_url.url: the data is not base64",
        ),
    ],
    ids=str,
)
def test_what_is_no_input(said: Any, message: str) -> None:
    with pytest.raises(GatewayError) as caught:
        ask(input=said)
    assert caught.value.status == 400
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dimensions": 0}, "dimensions: must be between 1 and 1048576"),
        ({"dimensions": 2**21}, "dimensions: must be between 1 and 1048576"),
        ({"dimensions": "8"}, "dimensions: expected a whole number, got a string"),
        ({"encoding_format": "int8"}, "encoding_format: none of the values it can have"),
    ],
    ids=str,
)
def test_what_no_vector_can_be(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(GatewayError) as caught:
        ask(input="a", **fields)
    assert caught.value.message.startswith(message.partition(", got")[0])


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5))
def test_what_is_likely_is_no_more_than_the_most(texts: list[str]) -> None:
    found = decode_request(json.dumps({"model": "m", "input": texts}).encode("utf-8", "replace"))
    assert found.most is not None
    assert found.likely is not None
    assert found.likely.prompt_tokens <= found.most.prompt_tokens
    assert found.body["input"] == texts
