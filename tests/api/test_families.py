"""Families of models: what OpenRouter's own lists say of the same slugs."""

import json
from typing import get_args

import pytest
from openrouter.components import ModelGroup

from proxy.api.families import FAMILIES, family_of
from tests.recordings import index, load

# fmt: off
FAMILY = {
    "openrouter/auto": "Router",
    "openai/gpt-4o": "GPT",
    "openai/o3-mini": "GPT",
    "openai/gpt-oss-120b": "GPT",
    "openai/text-embedding-3-small": "GPT",
    "anthropic/claude-sonnet-4.5": "Claude",
    "google/gemini-3.7-flash:batch": "Gemini",
    "x-ai/grok-4.6": "Grok",
    "cohere/command-a": "Cohere",
    "amazon/nova-pro-v1": "Nova",
    "qwen/qwen3-235b-a22b": "Qwen3",
    "qwen/qwen3.8-27b": "Qwen",
    "qwen/qwen-max": "Qwen",
    "01-ai/yi-large": "Yi",
    "deepseek/deepseek-v4-pro-0813": "DeepSeek",
    "deepseek/deepseek-r1-distill-llama-70b": "Llama3",
    "deepseek/deepseek-r1-distill-qwen-32b": "Qwen",
    "mistralai/mistral-large": "Mistral",
    "nousresearch/nous-hermes-2-mixtral": "Mistral",
    "meta-llama/llama-2-70b-chat": "Llama2",
    "meta-llama/llama-3.3-70b-instruct": "Llama3",
    "meta-llama/llama-4-scout": "Llama4",
    "liquid/lfm-2.5-2.6b:free": "Other",
    "acme/large": "Other",
}
# fmt: on


@pytest.mark.parametrize(("slug", "family"), FAMILY.items())
def test_a_slug_tells_the_family(slug: str, family: str) -> None:
    assert family_of(slug) == family


def test_recorded_lists_tell_the_same() -> None:
    seen = 0
    for row in index():
        recording = load(row)
        if recording.request["path"] == "/api/v1/models" and "openrouter" in row["dir"]:
            for model in json.loads(recording.body)["data"]:
                assert family_of(model["id"]) == model["architecture"]["tokenizer"]
                seen += 1
    assert seen > 20


def test_all_of_openrouters_families_are_there() -> None:
    assert set(FAMILIES) == set(get_args(get_args(ModelGroup)[0]))
