"""What is read in requests beside chat of OpenAI's, and what is refused."""

from typing import Any

import pytest

from proxy.upstream.fake.ask import Refused
from tests.upstream.fake.tasking import WAV, ask_of, form, post

Data = dict[str, Any]
IMAGES, EDITS = "/v1/images/generations", "/v1/images/edits"
SPEECH, HEARD = "/v1/audio/speech", "/v1/audio/transcriptions"


@pytest.mark.parametrize(
    ("given", "texts"),
    [
        ("a b", ("a b",)),
        (["a", "b"], ("a", "b")),
        ([1, 2, 3], ("1 2 3",)),
        ([[1, 2], [3]], ("1 2", "3")),
    ],
)
def test_inputs(given: Any, texts: tuple[str, ...]) -> None:
    assert ask_of(post("/v1/embeddings", {"model": "m", "input": given})).texts == texts
    asked = ask_of(post("/v1/completions", {"model": "m", "prompt": given, "n": 2}))
    assert (asked.texts, asked.choices) == (texts, 2 * len(texts))
    assert asked.tokens_max == 16


def test_a_completion() -> None:
    body = {"model": "m", "prompt": "a", "suffix": "b c", "max_tokens": 0, "stop": "x"}
    asked = ask_of(post("/v1/completions", body))
    assert (asked.prompt_tokens, asked.tokens_max, asked.stop) == (3, 0, ("x",))
    assert ask_of(post("/v1/completions", {"model": "m"})).texts == ("<|endoftext|>",)


def test_a_deployment_names_the_model() -> None:
    path = "/x/openai/deployments/a/b/embeddings"
    asked = ask_of(post(path, {"model": "other", "input": "x"}, query="api-version=1"))
    assert asked.model == "a/b"
    with pytest.raises(Refused) as caught:
        ask_of(post(path, {"input": "x"}))
    assert caught.value.kind == "unknown-model"


def test_documents() -> None:
    documents = ["a", {"text": "b"}, {"title": "c"}]
    asked = ask_of(post("/v1/rerank", {"model": "m", "query": "q", "documents": documents}))
    assert asked.texts == ("q", "a", "b", "{'title': 'c'}")
    assert asked.body["voyage"] is False
    for more in ({"model": "voyageai/x"}, {"top_k": 1}):
        body = {"model": "m", "query": "q", "documents": ["a"]} | more
        assert ask_of(post("/v1/rerank", body)).body["voyage"] is True


def test_pictures() -> None:
    asked = ask_of(post(IMAGES, {"model": "gpt-image", "prompt": "a weir", "stream": True, "n": 2}))
    assert (asked.stream, asked.body["n"], asked.body["edits"]) == (True, 2, False)
    fields = {"model": "gpt-image", "prompt": "a weir", "n": "3", "stream": "true"}
    edits = ask_of(form(EDITS, fields, {"image[]": b"1", "image": b"2", "mask": b"3"}))
    assert (edits.stream, edits.body["n"], edits.body["edits"]) == (True, 3, True)
    assert edits.attachments == ("image", "image")
    older = ask_of(post(IMAGES, {"model": "dall-e-3", "prompt": "a", "response_format": "url"}))
    assert (older.stream, older.body["older"]) == (False, True)


@pytest.mark.parametrize(
    ("more", "count"),
    [
        ({"image": {"url": "x"}}, 1),
        ({"images": [{"url": "x"}, {"url": "y"}]}, 2),
        ({"image_url": "x"}, 1),
        ({"input_references": [{"type": "image_url"}]}, 1),
    ],
)
def test_pictures_in_json(more: Data, count: int) -> None:
    asked = ask_of(post(EDITS, {"model": "grok", "prompt": "a"} | more))
    assert len(asked.attachments) == count


def test_speech_always_comes_in_pieces() -> None:
    asked = ask_of(post(SPEECH, {"model": "m", "input": "a b", "voice": {"id": "x"}}))
    assert (asked.stream, asked.said, asked.body["response_format"]) == (True, "a b", "mp3")


def test_transcriptions() -> None:
    asked = ask_of(
        form(HEARD, {"model": "whisper-1", "prompt": "a b", "stream": "true"}, {"file": WAV})
    )
    assert (asked.stream, asked.prompt_tokens, asked.body["recording"]) == (False, 2, WAV)
    assert ask_of(form(HEARD, {"model": "gpt", "stream": "true"}, {"file": WAV})).stream


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/v1/embeddings", {"input": "x"}, "you must provide a model parameter"),
        ("/v1/embeddings", {"model": "m"}, "Missing required parameter: 'input'."),
        ("/v1/embeddings", {"model": "m", "input": []}, "Missing required parameter: 'input'."),
        ("/v1/embeddings", {"model": "m", "input": [""]}, r"'\$.input' is invalid"),
        ("/v1/embeddings", {"model": "m", "input": [{}]}, r"'\$.input' is invalid"),
        ("/v1/embeddings", {"model": "m", "input": ["x"] * 2049}, r"'\$.input' is invalid"),
        ("/v1/embeddings", {"model": "m", "input": "x", "encoding_format": "y"}, "Invalid value"),
        ("/v1/embeddings", {"model": "m", "input": "x", "dimensions": 0}, "'dimensions' must be"),
        ("/v1/completions", {"model": "m", "prompt": "x", "messages": []}, "Unrecognized"),
        ("/v1/rerank", {"model": "m", "documents": ["x"]}, "Missing required parameter: 'query'"),
        ("/v1/rerank", {"model": "m", "query": "x", "documents": []}, "must not be empty"),
        (IMAGES, {"model": "m"}, "Missing required parameter: 'prompt'"),
        (IMAGES, {"model": "m", "prompt": "x", "n": 11}, "out of range"),
        (IMAGES, {"model": "m", "prompt": "x", "n": "x"}, "out of range"),
        (IMAGES, {"model": "gpt-image", "prompt": "x", "response_format": "url"}, "Unknown param"),
        (IMAGES, {"model": "dall-e-3", "prompt": "x", "background": "auto"}, "Unknown parameter"),
        (IMAGES, {"model": "m", "prompt": "forbidden"}, "^$"),
        (EDITS, {"model": "m", "prompt": "x"}, "Missing required parameter: 'image'"),
        (SPEECH, {"model": "m", "voice": "x"}, "Missing required parameter: 'input'"),
        (SPEECH, {"model": "m", "input": "x"}, "Missing required parameter: 'voice'"),
        (SPEECH, {"model": "m", "input": "x" * 4097, "voice": "x"}, "at most 4096 characters"),
        (SPEECH, {"model": "m", "input": "x", "voice": "x", "response_format": "y"}, "'pcm'"),
        (HEARD, {"model": "m"}, "Could not parse multipart form"),
    ],
)
def test_what_is_refused(path: str, body: Data, message: str) -> None:
    with pytest.raises(Refused, match=message):
        ask_of(post(path, body))


def test_forms_that_are_refused() -> None:
    for fields, files, message in (
        ({"model": "m"}, {}, "'file'"),
        ({}, {"file": WAV}, "you must provide a model"),
        ({"model": "m", "response_format": "srt"}, {"file": WAV}, "Invalid value: 'srt'"),
        ({"model": "whisper", "response_format": "x"}, {"file": WAV}, "Invalid value: 'x'"),
    ):
        with pytest.raises(Refused, match=message):
            ask_of(form(HEARD, fields, files))
