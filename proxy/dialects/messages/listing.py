"""Anthropic's list of models: `GET /v1/models`, whose rows say what each of them takes.

Recorded with capabilities and limits; without them, as older servers answer, a row is only a name.
"""

import calendar
import re
from typing import Any, Final

import orjson

from proxy.dialects.listing import ROWS_MAX, name_in
from proxy.dialects.messages.models import claude_of
from proxy.dialects.prices import count
from proxy.errors import GatewayError
from proxy.wire.listing import Listing

_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d+)?Z")
_ALWAYS: Final = (
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
)
_CAPABLE: Final = {
    "thinking": ("reasoning", "include_reasoning", "reasoning_effort"),
    "structured_outputs": ("structured_outputs", "response_format"),
    "effort": ("verbosity",),
}
"""OpenRouter's parameters by the capability that they need."""


def decode_listing(body: bytes) -> tuple[Listing, ...]:
    """The models that `body` lists, in its order, each name once; not those that are retired.

    Raises GatewayError of kind `provider_malformed` where it is no list of models at all.
    """
    try:
        decoded = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise GatewayError("provider_malformed", "the list of models is not JSON") from None
    raws = decoded.get("data") if isinstance(decoded, dict) else None
    if not isinstance(raws, list):
        raise GatewayError("provider_malformed", "the answer has no list of models")
    rows: dict[str, Listing] = {}
    for raw in raws[:ROWS_MAX]:
        row = _row(raw) if isinstance(raw, dict) else None
        if row is not None:
            rows.setdefault(row.model, row)
    return tuple(rows.values())


def _row(raw: dict[str, Any]) -> Listing | None:
    model = name_in(raw.get("id"))
    if model is None or raw.get("lifecycle") == "retired":
        return None
    said = raw.get("capabilities")
    able = {name for name, one in said.items() if _able(one)} if isinstance(said, dict) else None
    return Listing(
        model=model,
        name=name_in(raw.get("display_name")),
        created=_seconds(raw.get("created_at")),
        context_length=count(raw.get("max_input_tokens")),
        max_completion_tokens=count(raw.get("max_tokens")),
        input_modalities=None if able is None else _modalities(able),
        output_modalities=("text",),
        supported_parameters=None if able is None else _parameters(model, able),
    )


def _able(capability: object) -> bool:
    return isinstance(capability, dict) and capability.get("supported") is True


def _modalities(able: set[str]) -> tuple[str, ...]:
    kinds = (("image", "image_input"), ("file", "pdf_input"))
    return ("text", *(kind for kind, capability in kinds if capability in able))


def _parameters(model: str, able: set[str]) -> tuple[str, ...]:
    sampling = ("temperature", "top_p", "top_k") if claude_of(model).samples else ()
    told = (name for capability, names in _CAPABLE.items() if capability in able for name in names)
    return (*_ALWAYS, *sampling, *told)


def _seconds(value: object) -> int | None:
    """A time in seconds since 1970; the beginning itself stands for one that is not known."""
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    try:
        return calendar.timegm(tuple(map(int, found.groups()))) or None
    except ValueError:  # the thirteenth month
        return None
