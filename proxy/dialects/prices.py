"""What a provider's list of models says of prices, whatever the form, as prices per token.

Prices come per token (OpenRouter, Groq) or per million tokens (Together, Perplexity, DeepInfra).
"""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from proxy.dialects.values import mapping
from proxy.money import PriceOverride, Pricing

_COUNT_MAX = 10**11  # more tokens than any context; in seconds the year 5138

_OPTIONAL_PRICES = (
    "request",
    "web_search",
    "image",
    "image_token",
    "audio",
    "audio_output",
    "image_output",
    "internal_reasoning",
    "input_cache_read",
    "input_cache_write",
    "input_cache_write_1h",
)
_OVERRIDDEN_PRICES = (
    "prompt", "completion", "input_cache_read", "input_cache_write", "input_cache_write_1h"
)  # fmt: skip
_PER_MILLION: Final[Mapping[str, tuple[str, ...]]] = {
    "prompt": ("input", "input_tokens"),
    "completion": ("output", "output_tokens"),
    "input_cache_read": ("cache_read", "cached_input", "cache_read_tokens"),
    "input_cache_write": ("cache_write", "cache_write_tokens"),
}
"""What prices in USD per million tokens are called, by OpenRouter's names for those per token."""

_USD_MAX = 1000  # as in the configuration

_Object = dict[str, Any]


def pricing(raw: _Object, outputs: tuple[str, ...] | None) -> Pricing | None:
    """The price in a row, of a model that gives `outputs`, where those are known; behind a router
    only where it is the same whomever the router chooses.
    """
    if behind := live(raw):
        prices = [_prices(one.get("pricing"), outputs) for one in behind]
        return prices[0] if all(price == prices[0] for price in prices) else None
    found = _prices(raw.get("pricing") or mapping(raw.get("metadata")).get("pricing"), outputs)
    if outputs is None or "text" in outputs or str(raw.get("id")).endswith(":free"):
        return found
    # What costs nothing by its tokens is sold by another unit, of which the list is silent.
    free = found is not None and not (found.prompt or found.completion or found.character)
    return None if free else found


def _prices(raw: Any, outputs: tuple[str, ...] | None) -> Pricing | None:
    """The prices of one row. Vectors and rankings have no completion."""
    raw = mapping(raw)
    if "prompt" not in raw:
        raw = _per_token(raw)
    if outputs in (("embeddings",), ("rerank",)):
        raw = {"completion": 0} | raw
    prompt, completion = _usd(raw.get("prompt")), _usd(raw.get("completion"))
    if outputs == ("speech",) and prompt is not None and completion is None:
        # Groq's prompt is what is spoken, counted in characters.
        return Pricing(prompt=Decimal(0), completion=Decimal(0), character=prompt)
    if prompt is None or completion is None:  # OpenRouter's routers say -1: it depends
        return None
    more: _Object = {
        key: price for key in _OPTIONAL_PRICES if (price := _usd(raw.get(key))) is not None
    }
    return Pricing(prompt=prompt, completion=completion, overrides=_overrides(raw), **more)


def _per_token(raw: _Object) -> _Object:
    """Prices per million tokens as OpenRouter's; nothing where the unit is another one."""
    if raw.get("unit", "usd_per_1m_tokens") != "usd_per_1m_tokens":  # Perplexity names it
        return {}
    return {
        name: price.scaleb(-6)
        for name, keys in _PER_MILLION.items()
        for key in keys
        if (price := _usd(raw.get(key))) is not None
    }


def _overrides(raw: _Object) -> tuple[PriceOverride, ...]:
    """The prices of long prompts. Those of certain hours are left out: they are rebates."""
    found = raw.get("overrides")
    return tuple(
        PriceOverride(
            min_prompt_tokens=tokens,
            **{key: p for key in _OVERRIDDEN_PRICES if (p := _usd(one.get(key))) is not None},
        )
        for one in (found if isinstance(found, list) else ())
        if isinstance(one, dict) and (tokens := count(one.get("min_prompt_tokens")))
        if "utc_start" not in one
    )


def live(raw: _Object) -> list[_Object]:
    """The providers behind Hugging Face's router that serve the model now."""
    behind = raw.get("providers")
    if not isinstance(behind, list):
        return []
    return [one for one in behind if isinstance(one, dict) and one.get("status") == "live"]


def _usd(value: Any) -> Decimal | None:
    """`value` as an exact price; a JSON number counts by its shortest decimal form."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        return None
    try:
        price = Decimal(str(value))
    except InvalidOperation:
        return None
    return price if price.is_finite() and 0 <= price <= _USD_MAX else None


def count(value: Any) -> int | None:
    """A number of tokens or of seconds that can be one."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 < value <= _COUNT_MAX else None
