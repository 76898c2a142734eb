"""What a provider lists under `GET /models`, in whatever shape, as rows of one vocabulary.

Recorded are OpenAI, Mistral, DeepSeek, Groq, Cerebras, Perplexity and OpenRouter; from their docs
Together (a bare array), Fireworks (`supports_chat`), DeepInfra (`metadata`), Hugging Face's router
(`providers`), Moonshot, vLLM (`max_model_len`), llama.cpp (`meta`) and LM Studio
(`max_context_length`). Nothing here asks who the provider is: a key means the same wherever it
stands. What puts out nothing that is served here is left out; where the list is silent, or says no
more than that a model does not chat (`()`), the name decides later, in `routing/catalogue.py`. A
row that makes no sense is skipped, the rest serves.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from proxy.dialects.prices import count, live, pricing
from proxy.dialects.values import mapping
from proxy.errors import GatewayError
from proxy.wire.listing import Listing

ROWS_MAX: Final = 10_000
"""OpenRouter, the longest list known, has fewer than 500 rows; beyond this none is read."""

_NAME_CHARS_MAX = 256
_DESCRIPTION_CHARS_MAX = 4_000
_WORDS_MAX = 100

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

_SERVED: Final = frozenset((
    "text", "image", "embeddings", "rerank", "speech", "transcription"
))  # fmt: skip
_CHAT_TYPE = re.compile(r"chat|llm|vlm")
_OTHER_TYPE = re.compile(r"code|language|moderation|video")
"""`type` at Together and LM Studio; `language` and `code` complete text without a chat."""

_TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "audio": ("speech",),
    "embedding": ("embeddings",),
    "embeddings": ("embeddings",),
    "image": ("image",),
    "rerank": ("rerank",),
    "speech": ("speech",),
    "tts": ("speech",),
    "stt": ("transcription",),
    "transcribe": ("transcription",),
    "transcription": ("transcription",),
}
_ABILITIES: Final = (("audio_transcription", "transcription"), ("audio_speech", "speech"))
"""`capabilities` at Mistral, of models that do not chat."""

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

_Object = dict[str, Any]


def decode_listing(body: bytes) -> tuple[Listing, ...]:
    """The models that `body` lists, in its order, each name once.

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
    model = next((name for key in ("id", "model", "name") if (name := name_in(raw.get(key)))), None)
    outputs = _outputs(raw)
    if model is None or raw.get("active") is False:
        return None
    if outputs and _SERVED.isdisjoint(outputs):
        return None
    quantization = str(raw.get("quantization")).lower()
    return Listing(
        model=model,
        name=name_in(raw.get("display_name")) or name_in(raw.get("name")),
        description=_description(raw),
        created=count(raw.get("created")),
        context_length=_context_length(raw),
        max_completion_tokens=_first_count(raw, _COMPLETION),
        input_modalities=_inputs(raw),
        output_modalities=outputs,
        supported_parameters=_parameters(raw),
        quantization=quantization if _QUANTIZATION.fullmatch(quantization) else None,
        pricing=pricing(raw, outputs),
    )


def name_in(value: object) -> str | None:
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
    if kind in _TYPES:
        return _TYPES[kind]
    if _OTHER_TYPE.fullmatch(kind):
        return (kind,)
    chats = raw.get("supports_chat")  # Fireworks
    if isinstance(capabilities, dict):
        chats = capabilities.get("completion_chat", chats)  # Mistral
    elif words := _words(capabilities):
        chats = not {"completion", "chat"}.isdisjoint(words)  # llama.cpp, Ollama
    if _CHAT_TYPE.fullmatch(kind):
        chats = True
    if not isinstance(chats, bool):
        return None
    able = mapping(capabilities)
    others = (output for name, output in _ABILITIES if able.get(name) is True)
    return ("text",) if chats else tuple(others)


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
    behind = [length for one in live(raw) if (length := _first_count(one, _CONTEXT))]
    return min(behind, default=None) or _first_count(raw, _CONTEXT)


def _first_count(raw: _Object, keys: Sequence[str]) -> int | None:
    for place in (raw, *(mapping(raw.get(name)) for name in _PLACES)):
        for key in keys:
            if found := count(place.get(key)):
                return found
    return None


def _words(value: Any) -> tuple[str, ...] | None:
    """The short strings of a list; `None` where it is no list or has none."""
    if not isinstance(value, list):
        return None
    return tuple(word for word in value[:_WORDS_MAX] if name_in(word)) or None
