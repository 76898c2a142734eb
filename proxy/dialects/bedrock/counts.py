"""What Bedrock counts, in OpenRouter's counting: what the cache gave and took is of the prompt.

Counts of the cache come under two names (recorded), of which older models know only one.
"""

from proxy.dialects.counts import count, usable
from proxy.dialects.values import objects
from proxy.wire.events import Usage


def decode_usage(said: object) -> Usage | None:
    """The counts; what is missing, negative, absurd or no number is 0. None where neither the
    prompt nor the completion was counted.
    """
    usage = said if isinstance(said, dict) else {}
    sent, answered = usable(usage.get("inputTokens")), usable(usage.get("outputTokens"))
    if sent is answered is None:
        return None
    read, written = (
        usable(usage.get(f"{name}Tokens")) or usable(usage.get(f"{name}TokenCount")) or 0
        for name in ("cacheReadInput", "cacheWriteInput")
    )
    return Usage(
        prompt_tokens=(sent or 0) + read + written,
        completion_tokens=answered or 0,
        cached_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=sum(
            count(one.get("inputTokens"))
            for one in objects(usage.get("cacheDetails"))
            if one.get("ttl") == "1h"
        ),
    )
