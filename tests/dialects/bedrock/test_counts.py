"""Bedrock's counts in OpenRouter's counting."""

from typing import Any

import pytest

from proxy.dialects.bedrock.counts import decode_usage
from proxy.wire.events import Usage

TABLE: list[tuple[Any, Usage | None]] = [
    (None, None),
    ([], None),
    ({}, None),
    ({"inputTokens": -1, "outputTokens": True, "totalTokens": 9}, None),
    ({"inputTokens": 3}, Usage(prompt_tokens=3)),
    ({"outputTokens": 3, "inputTokens": 2**40}, Usage(completion_tokens=3)),
    ({"inputTokens": 0, "outputTokens": 0}, Usage()),
    (
        {
            "inputTokens": 11, "outputTokens": 236, "totalTokens": 1275,
            "cacheWriteInputTokens": 1028, "cacheWriteInputTokenCount": 1028,
            "cacheReadInputTokens": 0, "cacheReadInputTokenCount": 0, "serverToolUsage": {},
        },
        Usage(prompt_tokens=1039, completion_tokens=236, cache_write_tokens=1028),
    ),
    (
        {"inputTokens": 2, "outputTokens": 5, "cacheReadInputTokenCount": 1322},
        Usage(prompt_tokens=1324, completion_tokens=5, cached_tokens=1322),
    ),
    (
        {
            "inputTokens": 2, "outputTokens": 5, "cacheWriteInputTokens": 50,
            "cacheDetails": [
                {"ttl": "5m", "inputTokens": 30}, {"ttl": "1h", "inputTokens": 20}, {"ttl": "1h"}
            ],
        },
        Usage(
            prompt_tokens=52, completion_tokens=5, cache_write_tokens=50, cache_write_1h_tokens=20
        ),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("said", "usage"), TABLE, ids=str)
def test_counts(said: Any, usage: Usage | None) -> None:
    assert decode_usage(said) == usage
