"""Whether OpenAI's and Mistral's own SDKs could have sent a body: every field is one of their
types', none is more.

The SDK describes requests as TypedDicts, which pydantic reads lazily where they say `Iterable` and
without a word about unknown keys, so they are read here.
"""

import typing
from collections.abc import Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin

from mistralai.client.models import ChatCompletionRequest
from openai.types.chat import completion_create_params as chat_params
from openai.types.responses import response_create_params as responses_params
from typing_extensions import is_typeddict

PLAIN: dict[Any, tuple[type, ...]] = {
    str: (str,),
    int: (int,),
    float: (int, float),
    bool: (bool,),
    NoneType: (NoneType,),
}


def responses_accepts(body: dict[str, Any]) -> None:
    """Fails where the SDK's `responses.create` has no such argument."""
    streaming = responses_params.ResponseCreateParamsStreaming
    plain = responses_params.ResponseCreateParamsNonStreaming
    accepts(body, streaming if body.get("stream") else plain)


def chat_accepts(body: dict[str, Any]) -> None:
    """Fails where the SDK's `chat.completions.create` has no such argument."""
    streaming = chat_params.CompletionCreateParamsStreaming
    plain = chat_params.CompletionCreateParamsNonStreaming
    accepts(body, streaming if body.get("stream") else plain)


def mistral_accepts(body: dict[str, Any]) -> None:
    """Fails where Mistral's `chat.complete` has no such argument."""
    read = ChatCompletionRequest.model_validate(body)
    lost = _lost(body, read.model_dump(by_alias=True, exclude_unset=True), "body")
    assert not lost, lost


def accepts(body: dict[str, Any], hint: Any) -> None:
    reason = complaint(body, hint, "body")
    assert reason is None, reason


def complaint(value: object, hint: Any, place: str) -> str | None:
    """Why `value`, at `place`, is none of `hint`; None where it is. Of the ways in which it might
    have been, the one that comes furthest says why.
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Required, NotRequired, typing.Annotated):
        return complaint(value, inner[0], place)
    if origin is Union or origin is UnionType:
        reasons = [complaint(value, one, place) for one in inner]
        return None if None in reasons else max((r or "" for r in reasons), key=_depth)
    if origin is Literal:
        return None if value in inner else f"{place}: {value!r} is none of {inner}"
    if is_typeddict(hint):
        return _complaint_of_fields(value, hint, place)
    if hint in (object, Any):
        return None
    if hint in PLAIN:
        fits = type(value) in PLAIN[hint]
        return None if fits else f"{place}: {value!r} is no {hint.__name__}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        fields = value if isinstance(value, dict) else None
        entries = None if fields is None else [(f"{place}.{k}", v) for k, v in fields.items()]
    elif inner and isinstance(origin, type):
        items = value if isinstance(value, list) else None
        entries = None if items is None else [(f"{place}[{n}]", v) for n, v in enumerate(items)]
    else:
        raise NotImplementedError(f"{place}: {hint!r}")
    if entries is None:
        return f"{place}: {value!r} is no {hint}"
    return next(filter(None, (complaint(v, inner[-1], where) for where, v in entries)), None)


def _complaint_of_fields(value: object, hint: Any, place: str) -> str | None:
    if not isinstance(value, dict):
        return f"{place}: {value!r} is no object"
    hints = _hints(hint)
    for name, one in value.items():
        if name not in hints:
            return f"{place}.{name}: unknown to {hint.__name__}"
        if reason := complaint(one, hints[name], f"{place}.{name}"):
            return reason
    missing = hint.__required_keys__ - value.keys()
    return f"{place}: {hint.__name__} needs {sorted(missing)}" if missing else None


@cache
def _hints(hint: Any) -> dict[str, Any]:
    return typing.get_type_hints(hint, include_extras=True)


def _depth(reason: str) -> tuple[int, int]:
    place = reason.partition(": ")[0]
    return place.count(".") + place.count("["), -reason.count("unknown to")


def _lost(value: object, kept: object, place: str) -> str | None:
    """Where `kept` lacks what `value` has."""
    entries: list[tuple[str, Any, Any]] = []
    if isinstance(value, dict) and isinstance(kept, dict):
        for name in value:
            if name not in kept:
                return f"{place}.{name}"
        entries = [(f"{place}.{name}", one, kept[name]) for name, one in value.items()]
    elif isinstance(value, list) and isinstance(kept, list):
        pairs = enumerate(zip(value, kept, strict=True))
        entries = [(f"{place}[{number}]", one, other) for number, (one, other) in pairs]
    return next(filter(None, (_lost(one, other, where) for where, one, other in entries)), None)
