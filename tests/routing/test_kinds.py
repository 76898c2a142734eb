"""What a model is for is told by its name, and that is all that it is asked for."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.routing.kinds import inputs_of, modalities_of, outputs_of, tasks_for
from proxy.wire.request import Task

TALK: frozenset[Task] = frozenset(("chat", "completion", "count"))
DRAW: frozenset[Task] = frozenset(("image",))

NAMES: dict[tuple[str, ...], str] = {
    ("text",): (
        "gpt-4o gpt-4o-audio-preview gpt-4o-search-preview gpt-4-vision-preview "
        "gpt-oss-safeguard-20b gpt-3.5-turbo-16k chatgpt-4o-latest o4-mini mistral-large-latest "
        "voxtral-small-2507 sonar-deep-research deepseek-chat grok-code-fast-1 "
        "qwen3-vl-235b-a22b-instruct llava:7b gemma-3-4b-it codestral-2508 "
        "command-a-vision-07-2025 nvidia/nemotron-nano-12b-v2-vl adapt-1 "
        "babbage-002 davinci text-davinci-003 gpt-3.5-turbo-instruct "
        "curie-search-query curie:ft-acme-2023-05-03"
    ),
    ("embeddings",): (
        "text-embedding-3-small mistral-embed nomic-embed-text BAAI/bge-m3 intfloat/e5-large "
        "thenlper/gte-large text-search-ada-doc-001 code-search-babbage-code-001 "
        "text-similarity-ada-001 ada-similarity sentence-transformers/all-MiniLM-L6-v2 "
        "cohere.embed-v4:0 models/gemini-embedding-001 Qwen/Qwen3-Embedding-8B voyage-3.5 "
        "amazon.titan-embed-text-v2:0 pplx-embed-v1-4b"
    ),
    ("rerank",): "rerank-v4.0-pro BAAI/bge-reranker-v2-m3 Qwen/Qwen3-Reranker-8B rerank-2.5",
    ("transcription",): (
        "whisper-1 whisper-large-v3-turbo gpt-4o-transcribe gpt-4o-mini-transcribe "
        "openai/whisper-large-v3 qwen3-asr-flash voxtral-mini-transcribe-2507"
    ),
    ("speech",): (
        "tts-1 tts-1-hd gpt-4o-mini-tts orpheus-v1 playai-tts gemini-2.5-flash-preview-tts "
        "eleven/speech-1"
    ),
    ("image",): (
        "dall-e-3 gpt-image-1 chatgpt-image-latest imagen-4.0 black-forest-labs/FLUX.1-dev "
        "stable-diffusion-3 grok-2-image qwen-image"
    ),
    ("text", "image"): "gemini-2.5-flash-image models/gemini-3-pro-image-preview",
    (): (
        "omni-moderation-latest sora-2 gpt-4o-realtime-preview llama-guard-4-12b veo-3.1 "
        "mistral-ocr-latest openai/clip-vit-large lyria-002 wan-video-2 voyage-context-3 "
        "voyage-multimodal-3 pplx-embed-context-v1-4b"
    ),
}


@pytest.mark.parametrize(
    ("name", "outputs"), [(name, outputs) for outputs in NAMES for name in NAMES[outputs].split()]
)
def test_a_name_tells_what_comes_out(name: str, outputs: tuple[str, ...]) -> None:
    assert modalities_of(name) == outputs
    assert modalities_of(name.upper()) == outputs
    assert ("chat" in tasks_for("m", modalities_of(name))) == ("text" in outputs)


OLD = (
    "babbage-002 davinci text-davinci-003 gpt-3.5-turbo-instruct curie-search-query "
    "openai/davinci-002 curie:ft-acme-2023-05-03 text-babbage-001 code-davinci-002 Ada "
    "gpt-3.5-turbo-instruct-0914"
)


@pytest.mark.parametrize("name", OLD.split())
def test_what_was_made_before_chats_only_goes_on_with_a_text(name: str) -> None:
    assert tasks_for(name, ("text",)) == {"completion"}


@pytest.mark.parametrize("name", ["adapt-1", "gpt-3.5-turbo", "curie9", "my-davinci"])
def test_others_are_not_taken_for_them(name: str) -> None:
    assert tasks_for(name, ("text",)) == TALK


TASKS: list[tuple[tuple[str, ...], frozenset[Task]]] = [
    ((), frozenset()),
    (("text",), TALK),
    (("text", "image"), TALK | DRAW),
    (("text", "audio"), TALK),
    (("audio",), frozenset(("chat",))),
    (("image",), DRAW),
    (("embeddings",), frozenset(("embeddings",))),
    (("rerank",), frozenset(("rerank",))),
    (("speech",), frozenset(("speech",))),
    (("transcription",), frozenset(("transcription",))),
    (("video",), frozenset()),
    (("unheard of", "rerank"), frozenset(("rerank",))),
]


@pytest.mark.parametrize(("outputs", "tasks"), TASKS)
def test_what_comes_out_tells_what_can_be_asked_for(
    outputs: tuple[str, ...], tasks: frozenset[Task]
) -> None:
    assert tasks_for("m", outputs) == tasks


def test_every_task_is_that_of_some_model() -> None:
    assert frozenset().union(*(tasks for _, tasks in TASKS)) == set(get_args(Task))


@given(st.text())
def test_any_name_is_of_a_kind_that_something_can_be_asked_for_or_of_none(name: str) -> None:
    outputs = modalities_of(name)
    assert bool(outputs) == bool(tasks_for("m", outputs))
    assert tasks_for(name, outputs) <= tasks_for("m", outputs)


@pytest.mark.parametrize(
    ("name", "said", "outputs"),
    [
        ("mistral-embed", None, ("embeddings",)),
        ("mistral-embed", (), ("embeddings",)),
        ("mistral-embed", ("rerank",), ("rerank",)),
        ("mistral-large", None, ("text",)),
        ("mistral-large", (), ()),
        ("gemini-2.5-flash-image", (), ("image",)),
        ("mistral-ocr-latest", (), ()),
    ],
)
def test_a_listing_says_more_than_a_name(
    name: str, said: tuple[str, ...] | None, outputs: tuple[str, ...]
) -> None:
    assert outputs_of(name, said) == outputs


def test_what_goes_in_is_what_mostly_does() -> None:
    assert inputs_of(("embeddings",)) == ("text",)
    assert inputs_of(("transcription",)) == ("audio",)
    assert inputs_of(("text", "image")) == inputs_of(("image",)) == ("text", "image")


@pytest.mark.parametrize(
    ("name", "said", "outputs"),
    [
        ("gpt-9", None, ("text",)),
        ("gpt-9", (), ()),  # its listing says that it does not chat
        ("bge-9", (), ("embeddings",)),
        ("gemini-9-image", (), ("image",)),
        ("bge-9", None, ("embeddings",)),
        ("bge-9", ("text",), ("text",)),
        ("moderation", None, ()),
        ("moderation", ("text",), ("text",)),
    ],
)
def test_a_listing_knows_better_than_the_name(
    name: str, said: tuple[str, ...] | None, outputs: tuple[str, ...]
) -> None:
    assert outputs_of(name, said) == outputs


@given(st.text())
def test_something_goes_in_wherever_something_comes_out(name: str) -> None:
    outputs = modalities_of(name)
    assert not outputs or inputs_of(outputs)


def test_what_goes_in_is_told_by_what_comes_out() -> None:
    assert inputs_of(("text",)) == inputs_of(("text", "image")) == ("text", "image")
    assert inputs_of(("transcription",)) == ("audio",)
    assert inputs_of(("embeddings",)) == inputs_of(("rerank",)) == inputs_of(("speech",))
    assert inputs_of(("speech",)) == ("text",)
