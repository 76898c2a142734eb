"""What a caller is told whose money, or whose key, does not cover a request.

Clients match on the beginnings of these sentences, which are OpenRouter's (contract, section 2.4);
only the place where more is had differs.
"""

from typing import Final

from proxy.errors import GatewayError
from proxy.money import to_usd

MORE: Final = "Add more with `weir credits grant`."


def credits_short(*, wanted_tokens: int, affordable_tokens: int, needed_nano: int) -> GatewayError:
    """402: the credit at hand does not cover a completion of `wanted_tokens`, but one of
    `affordable_tokens`, 0 where not even the prompt can be paid. `needed_nano` is what the request
    may cost at most. Who lowers `max_tokens` to `metadata.affordable_tokens` may ask again.
    """
    message = f"Insufficient credits. {MORE}"
    if affordable_tokens > 0:
        message = (
            "This request requires more credits, or fewer max_tokens. You requested up to "
            f"{wanted_tokens} tokens, but can only afford {affordable_tokens}. {MORE}"
        )
    return GatewayError(
        "credits_short",
        message,
        metadata={
            "requested_tokens": wanted_tokens,
            "affordable_tokens": max(0, affordable_tokens),
            "required_usd": to_usd(needed_nano),
        },
    )


def key_limit(
    reset: str | None, *, limit_nano: int, affordable_tokens: int = 0, resets_at: int | None = None
) -> GatewayError:
    """403: what the key may still spend in its period does not cover the request. `reset` is
    `daily`, `weekly`, `monthly` or None, `resets_at` the end of the period in seconds since 1970.
    """
    metadata: dict[str, object] = {
        "limit": to_usd(limit_nano),
        "limit_reset": reset,
        "affordable_tokens": max(0, affordable_tokens),
    }
    if resets_at is not None:
        metadata["resets_at"] = resets_at
    return GatewayError(
        "key_limit",
        f"Key limit exceeded ({reset or 'total'} limit). Manage it with `weir keys`.",
        metadata=metadata,
    )


def management_only() -> GatewayError:
    """403: a key for answers asks what only a management key may ask."""
    return GatewayError("management_only", "Only management keys can perform this operation")


def management_key() -> GatewayError:
    """403: a management key asks for an answer."""
    return GatewayError(
        "management_key",
        "Management keys can not be used for inference. Create another with `weir keys create`.",
    )


def no_ledger() -> GatewayError:
    """Nothing is run up that could not be written down."""
    headers = {"Retry-After": "1"}
    return GatewayError("store_unavailable", "The ledger does not answer.", headers=headers)
