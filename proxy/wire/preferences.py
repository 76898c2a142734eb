"""What a caller wishes of the endpoints that answer it: OpenRouter's `provider` object, checked.

Contract, section 4, items 4 to 9; the shapes are `ProviderPreferences` of OpenRouter's own
specification, and its SDKs' newest. It is the same for every format a caller speaks.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias, get_args

import msgspec

from proxy.errors import GatewayError
from proxy.wire.misfits import explained

Sort: TypeAlias = Literal["price", "throughput", "latency", "exacto"]
Partition: TypeAlias = Literal["model", "none"]
Quantization: TypeAlias = Literal[
    "int4", "int8", "fp4", "mxfp4", "nvfp4", "fp6", "fp8", "mxfp8", "fp16", "bf16", "fp32",
    "unknown",
]  # fmt: skip

WIDER: Final[Mapping[str, tuple[str, ...]]] = {
    "fp4": ("mxfp4", "nvfp4"),
    "fp8": ("mxfp8",),
}
"""Quantizations that are of the kind of another, which names them too."""

PERCENTILES: Final[Mapping[str, float]] = {"p50": 0.5, "p75": 0.75, "p90": 0.9, "p99": 0.99}
LISTED_MAX: Final = 200  # names in one list: more than there are providers
NAME_CHARS_MAX: Final = 200  # what is wished is kept for the next request
PRICE_CHARS_MAX: Final = 40  # for the same reason


class Ceiling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The dearest that is allowed: USD per million tokens, per request, per image, per unit of
    audio; None is no bound.
    """

    prompt: Decimal | None = None
    completion: Decimal | None = None
    request: Decimal | None = None
    image: Decimal | None = None
    audio: Decimal | None = None


class Preferences(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """All of it, None or the default where nothing is wished. `order`, `only` and `ignore` are
    names as the caller wrote them, in lower case. `quantizations` has those named and those of
    their kind. `throughput` and `latency` are what is preferred: (percentile, bound) of tokens a
    second at least and of seconds at most.
    """

    order: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    allow_fallbacks: bool = True
    require_parameters: bool = False
    private: bool = False
    zdr: bool = False
    distillable: bool = False
    quantizations: frozenset[str] = frozenset()
    sort: Sort | None = None
    partition: Partition = "model"
    ceiling: Ceiling | None = None
    throughput: tuple[tuple[float, float], ...] = ()
    latency: tuple[tuple[float, float], ...] = ()


NONE: Final = Preferences()


class _SortBy(msgspec.Struct, forbid_unknown_fields=True):
    by: Sort | None = None
    partition: Partition | None = None


class _Cutoffs(msgspec.Struct, forbid_unknown_fields=True):
    p50: float | None = None
    p75: float | None = None
    p90: float | None = None
    p99: float | None = None


class _Said(msgspec.Struct, forbid_unknown_fields=True):
    """The object as callers write it; null is the same as absent everywhere."""

    order: list[str] | None = None
    only: list[str] | None = None
    ignore: list[str] | None = None
    allow_fallbacks: bool | None = None
    require_parameters: bool | None = None
    data_collection: Literal["allow", "deny"] | None = None
    zdr: bool | None = None
    enforce_distillable_text: bool | None = None
    quantizations: list[Quantization] | None = None
    sort: Sort | _SortBy | None = None
    max_price: Ceiling | None = None
    preferred_min_throughput: float | _Cutoffs | None = None
    preferred_max_latency: float | _Cutoffs | None = None
    options: dict[str, dict[str, Any]] | None = None


_FIELDS: Final = frozenset(_Said.__struct_fields__)
_SHOWN_CHARS: Final = 64
_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "provider.data_collection": ("allow", "deny"),
    "provider.quantizations": get_args(Quantization),
    "provider.sort": get_args(Sort),
    "provider.sort.by": get_args(Sort),
    "provider.sort.partition": get_args(Partition),
}
"""The words that each field knows."""

_WITHIN: Final[Mapping[str, tuple[str, ...]]] = {
    "provider.max_price": Ceiling.__struct_fields__,
    "provider.preferred_max_latency": tuple(PERCENTILES),
    "provider.preferred_min_throughput": tuple(PERCENTILES),
    "provider.sort": _SortBy.__struct_fields__,
}
"""The names of the fields within each."""


def decode(provider: Mapping[str, Any] | None) -> Preferences:
    """What is wished in a request's `provider`; `options`, which are sent and not wished, are only
    checked (`options_in`).

    Raises GatewayError `invalid_request`, which names the field.
    """
    if not provider:
        return NONE
    if unknown := provider.keys() - _FIELDS:
        name = ascii(min(unknown)[:_SHOWN_CHARS])[1:-1]
        raise GatewayError("invalid_request", f"provider.{name}: is no preference")
    try:
        said = msgspec.convert(provider, _Said)
    except msgspec.ValidationError as error:
        told = explained(str(error), "provider")
        raise GatewayError("invalid_request", told + _known(told)) from None
    by = said.sort if isinstance(said.sort, _SortBy) else _SortBy(said.sort)
    return Preferences(
        order=_names("order", said.order),
        only=_names("only", said.only),
        ignore=_names("ignore", said.ignore),
        allow_fallbacks=said.allow_fallbacks is not False,
        require_parameters=said.require_parameters is True,
        private=said.data_collection == "deny",
        zdr=said.zdr is True,
        distillable=said.enforce_distillable_text is True,
        quantizations=_kinds(said.quantizations or ()),
        sort=by.by,
        partition=by.partition or "model",
        ceiling=_bounded(said.max_price),
        throughput=_cutoffs("preferred_min_throughput", said.preferred_min_throughput),
        latency=_cutoffs("preferred_max_latency", said.preferred_max_latency),
    )


def _known(told: str) -> str:
    """What the field that is told of knows instead; nothing where its type is wrong."""
    field, _, reason = told.partition(": ")
    if reason.startswith("expected"):
        return ""
    known = _WITHIN if reason.startswith("has") else _WORDS
    words = known.get(field.partition("[")[0], ())
    return f" ({', '.join(words)})" if words else ""


def options_in(provider: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Fields for one provider alone, by its slug: `provider.options`, whose types were checked."""
    return (provider or {}).get("options") or {}


def _names(field: str, said: list[str] | None) -> tuple[str, ...]:
    said = said or []
    if len(said) > LISTED_MAX:
        raise GatewayError("invalid_request", f"provider.{field}: at most {LISTED_MAX} names")
    for number, name in enumerate(said):
        if len(name) > NAME_CHARS_MAX:
            where = f"provider.{field}[{number}]"
            raise GatewayError("invalid_request", f"{where}: at most {NAME_CHARS_MAX} characters")
    return tuple(dict.fromkeys(name.strip().lower() for name in said))


def _kinds(said: list[Quantization] | tuple[()]) -> frozenset[str]:
    return frozenset(kind for name in said for kind in (name, *WIDER.get(name, ())))


def _bounded(ceiling: Ceiling | None) -> Ceiling | None:
    for name, price in msgspec.structs.asdict(ceiling).items() if ceiling is not None else ():
        if price is not None and not _is_price(price):
            raise GatewayError("invalid_request", f"provider.max_price.{name}: not a price")
    return None if ceiling == Ceiling() else ceiling


def _is_price(price: Decimal) -> bool:
    return price.is_finite() and price >= 0 and len(str(price)) <= PRICE_CHARS_MAX


def _cutoffs(field: str, said: float | _Cutoffs | None) -> tuple[tuple[float, float], ...]:
    if said is None:
        return ()
    if not isinstance(said, _Cutoffs):
        said = _Cutoffs(p50=said)
    wished = [(at, getattr(said, name)) for name, at in PERCENTILES.items()]
    found = tuple((at, bound) for at, bound in wished if bound is not None)
    if not all(0 < bound < float("inf") for _, bound in found):
        raise GatewayError("invalid_request", f"provider.{field}: must be above 0")
    return found
