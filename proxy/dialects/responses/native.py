"""A Responses request for a provider of Responses: as its caller wrote it, but for what it refuses.

Nothing is stored there either, so reasoning comes back encrypted; that of other providers, and
OpenRouter's fields beside it, would be refused.
"""

from typing import Any, Final

from proxy.dialects.asking import Encoded, Target, encode_json
from proxy.dialects.parts import short_id
from proxy.dialects.responses.history import CALL_ID_CHARS_MAX
from proxy.dialects.responses.items import OPENAI
from proxy.dialects.responses.request import OUTPUT_TOKENS_MIN, reasons, stream_fields
from proxy.dialects.responses.sealing import SEAL
from proxy.dialects.responses.telling import THOUGHT
from proxy.dialects.thinking import check_optional, effort_of, wish_of
from proxy.dialects.tiers import FAIR_TIERS
from proxy.dialects.values import mapping, objects, string
from proxy.wire.request import Ask, Effort

Json = dict[str, Any]

_ENCRYPTED: Final = "reasoning.encrypted_content"
_LOGPROBS: Final = "message.output_text.logprobs"
_BEGINNING: Final = "gAAAA"  # of all that OpenAI and Azure encrypt (recorded)
_LACKING: Final = frozenset((
    "cache_control", "client_metadata", "deferred_tools", "frequency_penalty", "image_config",
    "include_reasoning", "logit_bias", "min_p", "modalities", "presence_penalty",
    "repetition_penalty", "seed", "stop", "top_a", "top_k",
))  # fmt: skip
"""What OpenRouter's callers may say, and Responses has no words for; and what a coding agent tells
of itself, which not every provider takes.
"""

_REASONING: Final = frozenset(("enabled", "exclude", "max_tokens"))  # OpenRouter's own


def encode_native(ask: Ask, target: Target, format_: str = OPENAI) -> Encoded:
    """The request as its caller wrote it. `format_` names the reasoning that the provider takes
    back.

    Raises GatewayError `provider_unfit` where a model always thinks that is not to,
    `invalid_request` for what JSON can not say.
    """
    asked, quirks = ask.native or {}, target.provider.quirks
    reasoning = _reasoning(ask, quirks.efforts_for(target.model))
    if reasoning and quirks.always_thinks(target.model):
        check_optional(ask)
    left_out = _LACKING.union(quirks.refused(target.model, reasoning.get("effort")))
    body: Json = {"model": target.model}
    body |= {name: value for name, value in asked.items() if name not in left_out}
    body |= {"input": _input(asked.get("input"), format_), "store": False}
    if ask.max_tokens is not None:
        body["max_output_tokens"] = max(ask.max_tokens, OUTPUT_TOKENS_MIN)
    body.pop("reasoning", None)
    if reasoning:
        body["reasoning"] = reasoning
    lost = _LOGPROBS if "logprobs" in left_out else None
    include = [one for one in asked.get("include", ()) if one != lost]
    if (reasoning or reasons(target.model)) and _ENCRYPTED not in include:
        include.append(_ENCRYPTED)
    if include:
        body["include"] = include
    if target.tier is not None:
        body["service_tier"] = target.tier
    elif body.get("service_tier") not in FAIR_TIERS:
        body.pop("service_tier", None)
    if ask.stream:
        body |= stream_fields(quirks)
    return Encoded(encode_json(body))


def _reasoning(ask: Ask, efforts: tuple[Effort, ...]) -> Json:
    """How much to think, in an effort that the model knows; all else as it was said."""
    thinking = wish_of(ask)
    if thinking is None or not efforts:
        return {}  # the model may be one that does not reason
    said = mapping((ask.native or {}).get("reasoning"))
    kept = {name: value for name, value in said.items() if value is not None}
    kept = {name: value for name, value in kept.items() if name not in _REASONING}
    if effort := effort_of(thinking, ask.max_tokens, known=efforts):
        kept["effort"] = effort
    return kept


def _input(said: object, format_: str) -> object:
    if not isinstance(said, list):
        return said
    return [_item(item) for item in objects(said) if not _foreign(item, format_)]


def _foreign(item: Json, format_: str) -> bool:
    """Whether it is reasoning that the provider would refuse: another's, or such that it would have
    to have stored.
    """
    if item.get("type") != "reasoning":
        return False
    data, told = string(item.get("encrypted_content")), string(item.get("format"))
    if data is None:
        unknown = told is None and (string(item.get("id")) or "").startswith(THOUGHT)
        return unknown or told not in (None, format_) or not item.get("content")
    if told is not None:
        return told != format_ or data.startswith(SEAL)
    return data.startswith(SEAL) or (format_ != OPENAI and data.startswith(_BEGINNING))


def _item(item: Json) -> Json:
    """An item in OpenAI's own fields; its ids for calls have a limit."""
    if item.get("type") == "reasoning":
        return {key: item[key] for key in item if key not in ("format", "signature")}
    if isinstance(id_ := item.get("call_id"), str):
        return item | {"call_id": short_id(id_, CALL_ID_CHARS_MAX)}
    return item
