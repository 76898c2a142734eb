"""Anthropic's usage in OpenRouter's counting: the cache is part of the prompt."""

from typing import Any

from msgspec.structs import replace

from proxy.dialects.counts import count, usable
from proxy.dialects.values import mapping, objects
from proxy.wire.events import Usage


def decode_usage(usage: dict[str, Any]) -> Usage | None:
    """The counts; what is missing, negative, absurd or no number is 0. None where neither the
    prompt nor the completion was counted. Compacting the context is billed beside the answer, whose
    counts leave it out (SDK, `BetaUsage.iterations`).
    """
    counted = _decode(usage)
    if counted is None:
        return None
    for one in objects(usage.get("iterations")):
        if one.get("type") == "compaction" and (more := _decode(one)) is not None:
            counted = _sum(counted, more)
    return counted


def _sum(one: Usage, more: Usage) -> Usage:
    return replace(
        one,
        prompt_tokens=one.prompt_tokens + more.prompt_tokens,
        completion_tokens=one.completion_tokens + more.completion_tokens,
        cached_tokens=one.cached_tokens + more.cached_tokens,
        cache_write_tokens=one.cache_write_tokens + more.cache_write_tokens,
        cache_write_1h_tokens=one.cache_write_1h_tokens + more.cache_write_1h_tokens,
    )


def _decode(usage: dict[str, Any]) -> Usage | None:
    sent, answered = usable(usage.get("input_tokens")), usable(usage.get("output_tokens"))
    if sent is None and answered is None:
        return None
    cached = usable(usage.get("cache_read_input_tokens")) or 0
    written = usable(usage.get("cache_creation_input_tokens")) or 0
    lasting = usage.get("cache_creation")
    details = usage.get("output_tokens_details")
    thought = details.get("thinking_tokens") if isinstance(details, dict) else None
    return Usage(
        prompt_tokens=(sent or 0) + cached + written,
        completion_tokens=answered or 0,
        cached_tokens=cached,
        cache_write_tokens=written,
        cache_write_1h_tokens=(
            count(lasting.get("ephemeral_1h_input_tokens")) if isinstance(lasting, dict) else 0
        ),
        reasoning_tokens=usable(thought) or 0,
        web_searches=count(mapping(usage.get("server_tool_use")).get("web_search_requests")),
    )


def decode_prompt(usage: dict[str, Any]) -> Usage | None:
    """The counts of the prompt alone; None where there are none, as some servers say 0 at first."""
    counted = _decode({**usage, "output_tokens": 0, "output_tokens_details": None})
    return counted if counted is not None and counted.prompt_tokens else None
