"""Counts and likelihoods of tokens."""

from typing import Any

import pytest

from proxy.dialects.gemini.counts import decode_logprobs, decode_usage
from proxy.wire.events import Usage


def test_thoughts_and_tools_are_counted_in() -> None:
    assert decode_usage(
        {
            "promptTokenCount": 100,
            "toolUsePromptTokenCount": 20,
            "candidatesTokenCount": 30,
            "thoughtsTokenCount": 5,
            "cachedContentTokenCount": 40,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 50},
                {"modality": "AUDIO", "tokenCount": 30},
                {"modality": "VIDEO", "tokenCount": 20},
            ],
            "toolUsePromptTokensDetails": [{"modality": "AUDIO", "tokenCount": 1}],
            "candidatesTokensDetails": [
                {"modality": "IMAGE", "tokenCount": 7},
                {"modality": "AUDIO", "tokenCount": 8},
                {"tokenCount": 9},
            ],
        }
    ) == Usage(
        prompt_tokens=120,
        completion_tokens=35,
        cached_tokens=40,
        prompt_audio_tokens=31,
        prompt_video_tokens=20,
        reasoning_tokens=5,
        completion_audio_tokens=8,
        completion_image_tokens=7,
    )


@pytest.mark.parametrize("count", [None, -1, True, "3", 1.5, 2**40])
def test_absurd_counts_are_none(count: Any) -> None:
    assert decode_usage({"promptTokenCount": count, "trafficType": "ON_DEMAND"}) is None
    said = decode_usage({"promptTokenCount": 3, "candidatesTokenCount": count})
    assert said == Usage(prompt_tokens=3)


def test_thoughts_alone_are_a_count() -> None:
    said = decode_usage({"thoughtsTokenCount": 9})
    assert said == Usage(completion_tokens=9, reasoning_tokens=9)


def test_logprobs() -> None:
    assert decode_logprobs(
        {
            "topCandidates": [{"candidates": [{"token": "é", "logProbability": -0.1}]}],
            "chosenCandidates": [
                {"token": "é", "tokenId": 1, "logProbability": -0.1},
                {"tokenId": 2, "logProbability": True},
            ],
        }
    ) == {
        "content": [
            {
                "token": "é",
                "logprob": -0.1,
                "bytes": [195, 169],
                "top_logprobs": [{"token": "é", "logprob": -0.1, "bytes": [195, 169]}],
            },
            {"token": "", "logprob": -9999.0, "bytes": [], "top_logprobs": []},
        ],
        "refusal": None,
    }
    assert decode_logprobs({}) is None
