"""What Bedrock counts, in OpenRouter's counting: what the cache gave and took is of the prompt.

Counts of the cache come under two names (recorded), of which older models know only one.
"""

from proxy.dialects.chat.compat import COUNT_MAX
from proxy.wire.events import Usage


def decode_usage(said: object) -> Usage | None:
    """The counts; what is missing, negative, absurd or no number is 0. None where neither the
    prompt nor the completion was counted.
    """
    usage = said if isinstance(said, dict) else {}
    sent, answered = _usable(usage.get("inputTokens")), _usable(usage.get("outputTokens"))
    if sent is answered is None:
        return None
    read, written = (
        _usable(usage.get(f"{name}Tokens")) or _usable(usage.get(f"{name}TokenCount")) or 0
        for name in ("cacheReadInput", "cacheWriteInput")
    )
    return Usage(
        prompt_tokens=(sent or 0) + read + written,
        completion_tokens=answered or 0,
        cached_tokens=read,
        cache_write_tokens=written,
    )


def _usable(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= COUNT_MAX else None
