"""Cohere's counts and logprobs in the words of everyone else."""

from typing import Any

import pytest

from proxy.dialects.cohere.counts import decode_usage, whole_logprobs
from proxy.wire.events import Usage


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        (
            {
                "billed_units": {"input_tokens": 267, "output_tokens": 52},
                "tokens": {
                    "input_tokens": 34,
                    "output_tokens": 56,
                    "reasoning_tokens": 9,
                    "image_tokens": 259,
                },
                "cached_tokens": 16,
            },
            Usage(
                prompt_tokens=293,
                completion_tokens=56,
                cached_tokens=16,
                reasoning_tokens=9,
            ),
        ),
        ({"tokens": {"input_tokens": 3.0, "output_tokens": 4.5}}, Usage(prompt_tokens=3)),
        ({"tokens": {"output_tokens": 4}}, Usage(completion_tokens=4)),
        ({"tokens": {"input_tokens": -1, "output_tokens": 2**40}}, None),
        ({"tokens": {"input_tokens": True}}, None),
        ({"billed_units": {"input_tokens": 3}}, Usage(prompt_tokens=3)),
        ({"billed_units": {"search_units": 3}}, None),
        ({"tokens": [3]}, None),
        ({}, None),
        (None, None),
    ],
)
def test_usage_counts_what_the_model_read_and_wrote(said: object, usage: Usage | None) -> None:
    assert decode_usage(said) == usage


def piece(text: str) -> dict[str, Any]:
    return {"text": text, "token_ids": [1], "logprobs": [-1.0]}


@pytest.mark.parametrize(
    ("texts", "text", "kept"),
    [
        (["a", "b"], "ab", ["a", "b"]),
        (["x", "a", "b"], "ab", ["a", "b"]),
        (["xa", "b"], "ab", None),
        (["b"], "ab", None),
        ([], "ab", None),
        (["a"], "", None),
    ],
)
def test_only_logprobs_that_fit_the_text_are_its_own(
    texts: list[str], text: str, kept: list[str] | None
) -> None:
    found = whole_logprobs([piece(one) for one in texts], text)
    assert (found and [entry["token"] for entry in found["content"]]) == kept
    assert whole_logprobs(7, text) is None
