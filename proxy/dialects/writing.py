"""A large request as JSON, written in steps, so that nobody waits long for it."""

from typing import Any, Final

from proxy.dialects.asking import encode_json
from proxy.dialects.bodies import BIG_BODY_BYTES
from proxy.wire.slices import Steps

STEP_WEIGHT: Final = 1024
"""How much a step writes: each value weighs 1, wherever it stands, and a text 1 more for each
`TEXT_BYTES` of it."""

TEXT_BYTES: Final = 128

DEPTH_MAX: Final = 8
"""How deep entries are told apart. It has to end somewhere: at each level they are weighed anew,
and a caller's nesting is not to fill the stack."""


def json_steps(body: dict[str, Any], size_bytes: int, *, spent: str | None = None) -> Steps[bytes]:
    """`encode_json` of a request of `size_bytes` in steps; a small one is written in one. The list
    `spent` of it is nobody else's and left empty: to free it takes as long as to write it.

    Raises GatewayError `invalid_request` for what JSON could say to us and not from here.
    """
    if size_bytes <= BIG_BODY_BYTES:
        return encode_json(body)
    # One list for all levels: a text put together from the texts below is one more copy of them.
    out: list[bytes | memoryview] = []
    yield from _write(body, out, DEPTH_MAX, spent=spent)
    yield
    return b"".join(out)


def _write(
    value: Any,
    out: list[bytes | memoryview],
    depth: int,
    *,
    spent: str | None = None,
    spend: bool = False,
) -> Steps[None]:
    """Writes an object or a list, whose light entries are written together."""
    named = type(value) is dict
    out.append(b"{" if named else b"[")
    light: dict[Any, Any] = {}
    weight = 0
    for place, entry in value.items() if named else enumerate(value):
        more = _weight(entry)
        nested = depth > 0 and (type(entry) is dict or type(entry) is list)
        apart = nested and (more > STEP_WEIGHT or place == spent)
        if weight and (apart or weight + more > STEP_WEIGHT):
            if light:
                out += _inner(light, named=named), b","
            light, weight = {}, 0
            yield
        weight += more
        if apart:
            if named:
                out += encode_json(place), b":"
            yield from _write(entry, out, depth - 1, spend=place == spent)
            out.append(b",")
        else:
            light[place] = entry
        if spend:
            value[place] = None
    if light:
        out.append(_inner(light, named=named))
    elif out[-1] == b",":
        out.pop()
    if spend:
        value.clear()
    out.append(b"}" if named else b"]")


def _inner(entries: dict[Any, Any], *, named: bool) -> memoryview:
    return memoryview(encode_json(entries if named else list(entries.values())))[1:-1]


def _weight(value: Any) -> int:
    """Of a value with all that stands in it, or enough of that to be more than a step writes."""
    weight, rest = 0, [value]
    while rest and weight <= STEP_WEIGHT:
        one = rest.pop()
        kind = type(one)
        weight += 1
        if kind is str:
            weight += len(one) // TEXT_BYTES
        elif kind is dict:
            rest += one.values()
        elif kind is list:
            rest += one
    return weight
