"""OpenRouter's usage in Anthropic's counting, for a caller: what was cached stands beside the rest.

The inverse of `counts.py`, with OpenRouter's additions.
"""

from typing import Any, Final

from proxy.dialects.chat.stream import encode_usage as encode_chat_usage
from proxy.dialects.forms import Bill
from proxy.wire.events import Usage

_TIERS: Final = {"default": "standard"}


def encode_usage(usage: Usage, tier: str | None) -> dict[str, Any]:
    """The counts. Tokens that were written to the cache are told by how long they stay there."""
    written, lasting = usage.cache_write_tokens, usage.cache_write_1h_tokens
    lasting = min(lasting, written)
    cached = usage.cached_tokens
    return {
        "input_tokens": max(0, usage.prompt_tokens - cached - written),
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": (
            {"thinking_tokens": usage.reasoning_tokens} if usage.reasoning_tokens else None
        ),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "cache_creation": {
            "ephemeral_5m_input_tokens": written - lasting,
            "ephemeral_1h_input_tokens": lasting,
        },
        "inference_geo": None,
        "server_tool_use": _ran(usage.web_searches),
        "service_tier": _TIERS.get(tier or "", tier),
    }


def _ran(searches: int) -> dict[str, int] | None:
    return {"web_fetch_requests": 0, "web_search_requests": searches} if searches else None


def additions(bill: Bill) -> dict[str, Any]:
    """What OpenRouter's usage has more than Anthropic's."""
    told = encode_chat_usage(bill.usage, bill.cost)
    return {name: told[name] for name in ("cost", "is_byok", "cost_details")}
