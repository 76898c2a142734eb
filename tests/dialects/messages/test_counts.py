"""Anthropic's counts in OpenRouter's counting."""

from typing import Any

import pytest

from proxy.dialects.messages.counts import decode_usage
from proxy.wire.events import Usage


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        ({}, None),
        ({"input_tokens": None, "output_tokens": -1}, None),
        ({"input_tokens": True, "output_tokens": 2**40}, None),
        ({"output_tokens": 3}, Usage(completion_tokens=3)),
        (
            {
                "input_tokens": 1,
                "cache_read_input_tokens": 20,
                "cache_creation_input_tokens": 300,
                "output_tokens": 4000,
                "output_tokens_details": {"thinking_tokens": 50},
            },
            Usage(
                prompt_tokens=321,
                completion_tokens=4000,
                cached_tokens=20,
                cache_write_tokens=300,
                reasoning_tokens=50,
            ),
        ),
        (
            {"input_tokens": 1, "output_tokens": 2, "output_tokens_details": None},
            Usage(prompt_tokens=1, completion_tokens=2),
        ),
    ],
)
def test_the_cache_is_part_of_the_prompt(said: dict[str, Any], usage: Usage | None) -> None:
    assert decode_usage(said) == usage
