"""Whether Cohere's own SDK could have sent a body: every field is one of its types', no more."""

import inspect
import types
import typing
from typing import Any, Literal, Union, get_args, get_origin

import pydantic
from cohere.v2.raw_client import RawV2Client

PLAIN: dict[Any, tuple[type, ...]] = {
    str: (str,),
    int: (int,),
    float: (int, float),
    bool: (bool,),
}


def cohere_accepts(body: dict[str, Any]) -> None:
    """Fails where the SDK's `chat`, or its `chat_stream`, has no such argument."""
    stream = body.get("stream")
    assert isinstance(stream, bool)
    call = RawV2Client.chat_stream if stream else RawV2Client.chat
    hints = typing.get_type_hints(call)
    arguments = inspect.signature(call).parameters
    names = arguments.keys() - {"self", "request_options"}
    assert body.keys() - {"stream"} <= names, body.keys() - names
    assert {"model", "messages"} <= body.keys()
    for name in body.keys() - {"stream"}:
        check(body[name], hints[name], name)


def check(value: object, hint: Any, place: str) -> None:
    """Fails where `value`, at `place`, is none of `hint`."""
    if get_origin(hint) is typing.Annotated or hasattr(hint, "__metadata__"):
        hint = get_args(hint)[0]
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        # Next to words, `Any` stands for words that are still to come.
        wanted = [one for one in inner if one is not Any]
        assert any(fits(value, one, place) for one in wanted), f"{place}: {value!r}"
    elif origin is Literal:
        assert value in inner, f"{place}: {value!r}"
    elif inspect.isclass(hint) and issubclass(hint, pydantic.BaseModel):
        check_model(value, hint, place)
    elif origin is dict:
        assert isinstance(value, dict), place
    elif inner:
        assert isinstance(value, list), place
        for number, one in enumerate(value):
            check(one, inner[0], f"{place}[{number}]")
    else:
        assert type(value) in PLAIN[hint], f"{place}: {value!r}"


def check_model(value: object, model: type[pydantic.BaseModel], place: str) -> None:
    assert isinstance(value, dict), place
    fields = model.model_fields
    names = {field.alias or name for name, field in fields.items()}
    assert value.keys() <= names, f"{place}: {value.keys() - names}"
    for name, field in fields.items():
        told = field.alias or name
        tag = get_origin(field.annotation) is Literal  # the SDK fills it in, the API wants it
        assert told in value or not (field.is_required() or tag), f"{place}.{told} is missing"
        if told in value:
            check(value[told], field.annotation, f"{place}.{told}")


def fits(value: object, hint: Any, place: str) -> bool:
    if hint is type(None):
        return value is None
    try:
        check(value, hint, place)
    except AssertionError:
        return False
    return True
