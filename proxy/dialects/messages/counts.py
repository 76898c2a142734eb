"""Anthropic's usage in OpenRouter's counting: the cache is part of the prompt."""

from typing import Any

from proxy.dialects.chat.compat import COUNT_MAX
from proxy.wire.events import Usage


def decode_usage(usage: dict[str, Any]) -> Usage | None:
    """The counts; what is missing, negative, absurd or no number is 0. None where neither the
    prompt nor the completion was counted.
    """
    sent, answered = _usable(usage.get("input_tokens")), _usable(usage.get("output_tokens"))
    if sent is None and answered is None:
        return None
    cached = _usable(usage.get("cache_read_input_tokens")) or 0
    written = _usable(usage.get("cache_creation_input_tokens")) or 0
    details = usage.get("output_tokens_details")
    thought = details.get("thinking_tokens") if isinstance(details, dict) else None
    return Usage(
        prompt_tokens=(sent or 0) + cached + written,
        completion_tokens=answered or 0,
        cached_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=_usable(thought) or 0,
    )


def _usable(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= COUNT_MAX else None
