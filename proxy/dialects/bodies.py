"""A caller's body as JSON: at once, or in steps where it is large."""

import re
from itertools import islice
from typing import Any, Final

import msgspec
import orjson

from proxy.errors import GatewayError
from proxy.wire.slices import Steps, at_once, value_steps

VALUES_MAX: Final = 250_000
"""Of objects, lists and their entries in a body: they cost the loop's time, not the bytes. 28 MB of
`[],` took it 1.5 s and 600,000 messages up to 1 s; now both are refused within 45 ms. Counting
takes 1 ms of an ordinary body of 2 MB; 4 MB of prose have about 60,000 commas."""

BIG_BODY_BYTES: Final = 256 * 1024
"""A larger body is decoded in steps: one of 2 MB takes 3 ms and more."""

_COUNTED_BYTES: Final = 512 * 1024  # in one step
_COUNTED_VALUES: Final = 4096
_decode: Final = msgspec.json.Decoder().decode
_TOO_MANY: Final = "The body has too many values."
_VALUE: Final = re.compile(rb'(?s)"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[,\[{]')


def decode_object(body: bytes) -> dict[str, Any]:
    """A JSON object out of a caller's bytes; of a doubled key the last one counts, as the provider
    is sent only what is encoded again from here.

    Raises GatewayError `invalid_request` for all that is not one, however deep, wide or broken.
    """
    if len(body) > VALUES_MAX and too_many(body):
        raise GatewayError("invalid_request", _TOO_MANY)
    return _decoded(body)


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        fields = _decode(body)
    except RecursionError:
        raise GatewayError("invalid_request", "The body is nested too deeply.") from None
    except UnicodeError:
        raise GatewayError("invalid_request", "The body is not valid UTF-8.") from None
    except msgspec.DecodeError as error:
        raise GatewayError("invalid_request", _not_json(body, error)) from None
    if type(fields) is not dict:
        raise GatewayError("invalid_request", "The body is not a JSON object.")
    return fields


def object_steps(body: bytes) -> Steps[dict[str, Any]]:
    """The same in steps."""
    if (yield from _count_steps(body)):
        raise GatewayError("invalid_request", _TOO_MANY)
    try:
        fields = yield from value_steps(body)
    except (RecursionError, UnicodeError, msgspec.DecodeError):
        return _decoded(body)  # which says what is wrong
    return fields if isinstance(fields, dict) else _decoded(body)


def too_many(body: bytes) -> bool:
    """Whether JSON has more values than VALUES_MAX, told from the bytes that part them."""
    return len(body) > VALUES_MAX and at_once(_count_steps(body))


def _count_steps(body: bytes) -> Steps[bool]:
    marks = 0
    for start in range(0, len(body), _COUNTED_BYTES):
        end = start + _COUNTED_BYTES
        marks += sum(body.count(mark, start, end) for mark in (b",", b"[", b"{"))
        yield
    if marks <= VALUES_MAX:
        return False
    # A table or a program as text has as many of its own, so here a string counts as one.
    values = _VALUE.finditer(body)
    for _ in range(VALUES_MAX // _COUNTED_VALUES):
        if next(islice(values, _COUNTED_VALUES - 1, None), None) is None:
            return False
        yield
    return next(islice(values, VALUES_MAX % _COUNTED_VALUES, None), None) is not None


def _not_json(body: bytes, error: msgspec.DecodeError) -> str:
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as other:
        # msgspec calls it truncated.
        if "surrogate" in other.msg:
            return f"The body is not valid JSON: half a surrogate pair (near character {other.pos})"
    reason = str(error).removeprefix("JSON is malformed: ").partition(" - at ")[0]
    return f"The body is not valid JSON: {reason}"
