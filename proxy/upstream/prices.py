"""The price table of the `genai-prices` package, read in OpenRouter's terms.

The package carries its data and is imported by the first function that needs it; it is never asked
to fetch newer ones. Its rows are matchers: one row prices every dated or tagged spelling of a model
at one provider. So a row's id is a model's name only where the row recognises it as one.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import ROUND_UP, Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from proxy.money import PriceOverride, Pricing
from proxy.routing.kinds import modalities_of
from proxy.wire.listing import Listing

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

_PER_MILLION: Final[Mapping[str, str]] = {
    "input_mtok": "prompt",
    "output_mtok": "completion",
    "cache_read_mtok": "input_cache_read",
    "cache_write_mtok": "input_cache_write",
    "cache_write_1h_mtok": "input_cache_write_1h",
    "input_audio_mtok": "audio",
    "input_image_mtok": "image_token",
    "input_video_mtok": "video_token",
    "output_audio_mtok": "audio_output",
    "output_image_mtok": "image_output",
    "output_reasoning_mtok": "internal_reasoning",
    "input_mchars": "character",
}
_PER_THOUSAND: Final[Mapping[str, str]] = {
    "requests_kcount": "request",
    "web_searches_kcount": "web_search",
}
_SCALES: Final = ((_PER_MILLION, -6), (_PER_THOUSAND, -3))
_SECONDS: Final = Decimal(3600)
_NANO: Final = Decimal("1e-12")
_SILENT: Final = frozenset((("embeddings",), ("rerank",)))
"""What these put out is no completion, and costs nothing."""
_TIERED: Final = (
    "prompt", "completion", "input_cache_read", "input_cache_write", "input_cache_write_1h"
)  # fmt: skip


def rows(price_id: str, *, now: datetime) -> tuple[Listing, ...]:
    """The models of a provider that the table describes well enough to offer: with a name, a price
    and, where they talk, a context length, not deprecated, and called by their own name.

    `price_id` is `Provider.prices`; one that the table does not have has no rows.
    """
    provider = _provider(price_id)
    return tuple(
        Listing(
            model=row.id,
            name=row.name,
            description=row.description,
            context_length=row.context_window,
            output_modalities=_outputs(pricing),
            pricing=pricing,
        )
        for row in (provider.models if provider else ())
        if row.name and not row.deprecated
        if row.context_window or modalities_of(row.id) not in (("text",), ())
        if _find(price_id, row.id) is row
        if (pricing := _pricing(row.get_prices(now), row.id)) is not None
    )


def price_of(price_id: str, model: str, *, now: datetime) -> Pricing | None:
    """What the provider charges for `model`, its own name for it; `None` where the table does not
    know. The price is that of the moment `now`, which must have a time zone.
    """
    row = _find(price_id, model)
    return None if row is None else _pricing(row.get_prices(now), model)


def described(listing: Listing, price_id: str) -> Listing:
    """`listing` with the context length that the table knows, where the provider gives none.

    Most first-party lists (OpenAI, DeepSeek, xAI, Cerebras) are names and nothing else.
    """
    if listing.context_length is not None:
        return listing
    row = _find(price_id, listing.model)
    return listing if row is None else replace(listing, context_length=row.context_window)


def _provider(price_id: str) -> "Provider | None":
    from genai_prices.data_snapshot import get_snapshot

    return next((one for one in get_snapshot().providers if one.id == price_id), None)


@lru_cache(maxsize=16_384)  # a provider's rows are tried one by one, for each list and catalogue
def _find(price_id: str, model: str) -> "ModelInfo | None":
    provider = _provider(price_id)
    return None if provider is None else provider.find_model(model)


def _pricing(price: "ModelPrice", model: str) -> Pricing | None:
    """`None` for what is not sold by a unit of ours, such as pages, or not by that alone."""
    base: dict[str, Any] = {}
    tiers: dict[int, dict[str, Decimal]] = {}
    for names, scale in _SCALES:
        for name, ours in names.items():
            value = vars(price).get(name)
            if value is None:
                continue
            base[ours] = getattr(value, "base", value).scaleb(scale)
            for tier in getattr(value, "tiers", ()):
                tiers.setdefault(tier.start, {})[ours] = tier.price.scaleb(scale)
    hourly = vars(price).get("input_audio_hours")  # `audio_hours` alone are of both directions
    if hourly is not None and "prompt" not in base:
        base["audio_second"] = (hourly / _SECONDS).quantize(_NANO, ROUND_UP)
    if not _whole(base, model):
        return None
    base = {"prompt": Decimal(0), "completion": Decimal(0)} | base
    overrides = tuple(
        PriceOverride(min_prompt_tokens=start, **{k: v for k, v in own.items() if k in _TIERED})
        for start, own in sorted(tiers.items())
    )
    return Pricing(overrides=overrides, **base)


def _outputs(pricing: Pricing) -> tuple[str, ...] | None:
    """What the unit of a price tells of a model, whatever its name."""
    if pricing.audio_second is not None:
        return ("transcription",)
    return None if pricing.character is None else ("speech",)


def _whole(base: Mapping[str, Any], model: str) -> bool:
    """Whether these prices are all that a model is charged by."""
    if "prompt" in base:
        return "completion" in base or modalities_of(model) in _SILENT
    return not {"character", "audio_second"}.isdisjoint(base)
