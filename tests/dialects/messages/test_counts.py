"""Anthropic's counts in OpenRouter's counting."""

from typing import Any

import pytest

from proxy.dialects.messages.counts import decode_prompt, decode_usage
from proxy.wire.events import Usage


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        ({}, None),
        ({"input_tokens": None, "output_tokens": -1}, None),
        ({"input_tokens": True, "output_tokens": 2**40}, None),
        ({"output_tokens": 3}, Usage(completion_tokens=3)),
        (
            {"output_tokens": 3, "server_tool_use": {"web_search_requests": 2}},
            Usage(completion_tokens=3, web_searches=2),
        ),
        ({"output_tokens": 3, "server_tool_use": None}, Usage(completion_tokens=3)),
        (
            {"output_tokens": 3, "server_tool_use": {"web_search_requests": -1}},
            Usage(completion_tokens=3),
        ),
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
            {
                "input_tokens": 1,
                "cache_creation_input_tokens": 300,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": 100,
                    "ephemeral_1h_input_tokens": 200,
                },
            },
            Usage(prompt_tokens=301, cache_write_tokens=300, cache_write_1h_tokens=200),
        ),
        ({"input_tokens": 1, "cache_creation": []}, Usage(prompt_tokens=1)),
        (
            {
                "input_tokens": 1,
                "output_tokens": 2,
                "iterations": [
                    {"type": "message", "input_tokens": 1, "output_tokens": 2},
                    {
                        "type": "compaction",
                        "input_tokens": 30,
                        "output_tokens": 4,
                        "cache_read_input_tokens": 500,
                        "cache_creation_input_tokens": 6,
                    },
                    {"type": "compaction"},
                    "compaction",
                ],
            },
            Usage(prompt_tokens=537, completion_tokens=6, cached_tokens=500, cache_write_tokens=6),
        ),
        (
            {"input_tokens": 1, "output_tokens": 2, "output_tokens_details": None},
            Usage(prompt_tokens=1, completion_tokens=2),
        ),
    ],
)
def test_the_cache_is_part_of_the_prompt(said: dict[str, Any], usage: Usage | None) -> None:
    assert decode_usage(said) == usage


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        ({}, None),
        ({"input_tokens": 0, "output_tokens": 3}, None),
        ({"input_tokens": -1, "cache_read_input_tokens": "9"}, None),
        (
            {
                "input_tokens": 1,
                "cache_read_input_tokens": 20,
                "output_tokens": 4,
                "output_tokens_details": {"thinking_tokens": 2},
            },
            Usage(prompt_tokens=21, cached_tokens=20),
        ),
    ],
)
def test_the_prompt_alone(said: dict[str, Any], usage: Usage | None) -> None:
    assert decode_prompt(said) == usage
