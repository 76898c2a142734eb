"""What a provider lists under `GET /models`, in whatever shape, as rows of one vocabulary.

Recorded are OpenAI, Mistral, DeepSeek, Groq, Cerebras, Perplexity and OpenRouter; from their docs
Together (a bare array), Fireworks (`supports_chat`), DeepInfra (`metadata`), Hugging Face's router
(`providers`), Moonshot, vLLM (`max_model_len`), llama.cpp (`meta`) and LM Studio
(`max_context_length`). Nothing here asks who the provider is: a key means the same wherever it
stands. What the listing itself calls no chat model is left out; where it is silent, the name
decides later, in `routing/catalogue.py`. A row that makes no sense is skipped, the rest serves.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import orjson

from proxy.dialects.values import mapping
from proxy.errors import GatewayError
from proxy.money import PriceOverride, Pricing
from proxy.wire.listing import Listing

ROWS_MAX: Final = 10_000
"""OpenRouter, the longest list known, has fewer than 500 rows; beyond this none is read."""

_NAME_CHARS_MAX = 256
_DESCRIPTION_CHARS_MAX = 4_000
_WORDS_MAX = 100
_COUNT_MAX = 10**11  # more tokens than any context; in seconds the year 5138

_CONTEXT = (
    "loaded_context_length",  # LM Studio: what it was started with, not what the model could
    "n_ctx",
    "context_length",
    "context_window",
    "max_context_length",
    "max_model_len",
    "n_ctx_train",
)
_COMPLETION = ("max_completion_tokens", "max_output_length", "max_output_tokens", "max_tokens")
_PLACES = ("metadata", "top_provider", "meta")
"""Objects inside a row that say more about the model."""

_CHAT_TYPE = re.compile(r"chat|llm|vlm")
_OTHER_TYPE = re.compile(
    r"audio|code|embeddings?|image|language|moderation|rerank|speech|stt|transcri\w+|tts|video"
)
"""`type` at Together and LM Studio; `language` and `code` complete text without a chat."""

_IMAGE_FLAGS = ("supports_image_input", "supports_image_in")  # Fireworks, Moonshot
_IMAGE_WORDS = frozenset(("vision", "multimodal"))
_QUANTIZATION = re.compile(r"int[48]|(?:mx|nv)?fp4|fp6|(?:mx)?fp8|fp16|bf16|fp32")

_FEATURES: Final[Mapping[str, tuple[str, ...]]] = {
    "tools": ("tools", "tool_choice"),
    "json_mode": ("response_format",),
    "structured_outputs": ("structured_outputs", "response_format"),
    "reasoning": ("reasoning", "include_reasoning"),
}
"""`supported_features`, which OpenRouter wants of its providers, in its own parameter names."""

_OPTIONAL_PRICES = (
    "request",
    "image",
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


def decode_listing(body: bytes) -> tuple[Listing, ...]:
    """The chat models that `body` lists, in its order, each name once.

    Raises GatewayError of kind `provider_malformed` where it is no list of models at all.
    """
    rows: dict[str, Listing] = {}
    for raw in _rows(body)[:ROWS_MAX]:
        row = _row(raw) if isinstance(raw, dict) else None
        if row is not None:
            rows.setdefault(row.model, row)
    return tuple(rows.values())


def _rows(body: bytes) -> list[Any]:
    try:
        decoded = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise GatewayError("provider_malformed", "the list of models is not JSON") from None
    if isinstance(decoded, dict):
        # llama.cpp sends both: `models` for Ollama's clients, `data` for OpenAI's.
        decoded = decoded.get("data", decoded.get("models"))
    if not isinstance(decoded, list):
        raise GatewayError("provider_malformed", "the answer has no list of models")
    return decoded


def _row(raw: _Object) -> Listing | None:
    model = next((name for key in ("id", "model", "name") if (name := _name(raw.get(key)))), None)
    outputs = _outputs(raw)
    if model is None or raw.get("active") is False:
        return None
    if outputs is not None and "text" not in outputs:
        return None
    quantization = str(raw.get("quantization")).lower()
    return Listing(
        model=model,
        name=_name(raw.get("display_name")) or _name(raw.get("name")),
        description=_description(raw),
        created=_count(raw.get("created")),
        context_length=_context_length(raw),
        max_completion_tokens=_first_count(raw, _COMPLETION),
        input_modalities=_inputs(raw),
        output_modalities=outputs,
        supported_parameters=_parameters(raw),
        quantization=quantization if _QUANTIZATION.fullmatch(quantization) else None,
        pricing=_pricing(raw),
    )


def _name(value: Any) -> str | None:
    """`value` where it can be a name: short, and nothing a terminal or a header stumbles over."""
    if not isinstance(value, str) or not 0 < len(value) <= _NAME_CHARS_MAX:
        return None
    return value if value.isprintable() and not value.isspace() else None


def _description(raw: _Object) -> str | None:
    value = raw.get("description") or mapping(raw.get("metadata")).get("description")
    return value[:_DESCRIPTION_CHARS_MAX] if isinstance(value, str) else None


def _outputs(raw: _Object) -> tuple[str, ...] | None:
    """What the model gives; `()` is "no chat", `None` is "does not say"."""
    said = _modalities(raw, "output_modalities")
    if said is not None:
        return said
    capabilities, kind = raw.get("capabilities"), str(raw.get("type"))
    chats = raw.get("supports_chat")  # Fireworks
    if isinstance(capabilities, dict):
        chats = capabilities.get("completion_chat", chats)  # Mistral
    elif words := _words(capabilities):
        chats = not {"completion", "chat"}.isdisjoint(words)  # llama.cpp, Ollama
    if _CHAT_TYPE.fullmatch(kind) or _OTHER_TYPE.fullmatch(kind):
        chats = _CHAT_TYPE.fullmatch(kind) is not None
    return None if not isinstance(chats, bool) else ("text",) if chats else ()


def _inputs(raw: _Object) -> tuple[str, ...] | None:
    said = _modalities(raw, "input_modalities")
    if said is not None:
        return said
    capabilities = raw.get("capabilities")
    if isinstance(capabilities, dict) and "vision" in capabilities:
        more = (("image", "vision"), ("audio", "audio"))
        return ("text", *(name for name, key in more if capabilities.get(key) is True))
    if raw.get("type") in ("llm", "vlm"):
        return ("text", "image") if raw["type"] == "vlm" else ("text",)
    flags = [raw[key] for key in _IMAGE_FLAGS if isinstance(raw.get(key), bool)]
    words = _words(capabilities) or _words(mapping(raw.get("metadata")).get("tags"))
    if words is not None:
        flags.append(not _IMAGE_WORDS.isdisjoint(words))
    return None if not flags else ("text", "image") if any(flags) else ("text",)


def _modalities(raw: _Object, key: str) -> tuple[str, ...] | None:
    return _words(mapping(raw.get("architecture")).get(key)) or _words(raw.get(key))


def _parameters(raw: _Object) -> tuple[str, ...] | None:
    said = _words(raw.get("supported_parameters"))
    features = _words(raw.get("supported_features"))
    sampling = _words(raw.get("supported_sampling_parameters"))
    if said is not None or (features is None and sampling is None):
        return said
    names = [name for feature in features or () for name in _FEATURES.get(feature, ())]
    return tuple(dict.fromkeys([*(sampling or ()), *names]))


def _context_length(raw: _Object) -> int | None:
    """The context, behind a router the smallest of those it may choose from."""
    behind = [length for one in _live(raw) if (length := _first_count(one, _CONTEXT))]
    return min(behind, default=None) or _first_count(raw, _CONTEXT)


def _first_count(raw: _Object, keys: Sequence[str]) -> int | None:
    for place in (raw, *(mapping(raw.get(name)) for name in _PLACES)):
        for key in keys:
            if count := _count(place.get(key)):
                return count
    return None


def _live(raw: _Object) -> list[_Object]:
    """The providers behind Hugging Face's router that serve the model now."""
    behind = raw.get("providers")
    if not isinstance(behind, list):
        return []
    return [one for one in behind if isinstance(one, dict) and one.get("status") == "live"]


def _pricing(raw: _Object) -> Pricing | None:
    """The price; behind a router only where it is the same whomever the router chooses."""
    if live := _live(raw):
        prices = [_prices(one.get("pricing")) for one in live]
        return prices[0] if all(price == prices[0] for price in prices) else None
    return _prices(raw.get("pricing") or mapping(raw.get("metadata")).get("pricing"))


def _prices(raw: Any) -> Pricing | None:
    raw = mapping(raw)
    if "prompt" not in raw:
        raw = _per_token(raw)
    prompt, completion = _usd(raw.get("prompt")), _usd(raw.get("completion"))
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
        if isinstance(one, dict) and (tokens := _count(one.get("min_prompt_tokens")))
        if "utc_start" not in one
    )


def _usd(value: Any) -> Decimal | None:
    """`value` as an exact price; a JSON number counts by its shortest decimal form."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        return None
    try:
        price = Decimal(str(value))
    except InvalidOperation:
        return None
    return price if price.is_finite() and 0 <= price <= _USD_MAX else None


def _count(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 < value <= _COUNT_MAX else None


def _words(value: Any) -> tuple[str, ...] | None:
    """The short strings of a list; `None` where it is no list or has none."""
    if not isinstance(value, list):
        return None
    return tuple(word for word in value[:_WORDS_MAX] if _name(word)) or None
