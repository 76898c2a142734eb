"""Large JSON, decoded in steps, so that nobody waits long for it.

A step reads a slice of so many bytes, or finds where the entries of one object or list begin and
end, for which a parser skips over them. What comes out is what decoding it at once would give.
"""

from collections.abc import Generator, Iterable, Iterator
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

Told = TypeVar("Told")
Steps: TypeAlias = Generator[None, None, Told]
"""Work that may be interrupted at every `yield`; at its end it returns what came of it."""

SLICE_BYTES: Final = 64 * 1024
MESSAGES_PER_STEP: Final = 128
"""Of a conversation that is put into other words; a part of a message counts as one."""
TURNS_PER_STEP: Final = 1024  # of one that is looked through
VALUE_BYTES: Final = 32  # what one more value costs, in bytes of the same time
DEPTH_MAX: Final = 4
"""How deep the entries are told apart: the list of messages, a message, its content, a part. Each
level is skipped over once more, so that it has to end somewhere."""

_BLANKS: Final = b" \t\r\n"
_entries: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode: Final = msgspec.json.Decoder().decode


def paced(messages: list[dict[str, Any]]) -> Iterator[tuple[bool, dict[str, Any]]]:
    """Messages that are put into other words, each with whether a step ends before it."""
    weight = 0
    for message in messages:
        content = message.get("content")
        own = 1 + len(content) if type(content) is list else 1
        pause = weight > 0 and weight + own > MESSAGES_PER_STEP
        weight = own if pause else weight + own
        yield pause, message


def at_once(steps: Steps[Told]) -> Told:
    """What comes of them, without an interruption."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            told: Told = end.value
            return told


def value_steps(data: bytes | msgspec.Raw, depth: int = 0) -> Steps[Any]:
    """The value in `data`. Raises what `msgspec.json.decode` raises, RecursionError included."""
    view = memoryview(data)
    if len(view) <= SLICE_BYTES or depth == DEPTH_MAX:
        return _decode(data)
    yield
    opening = (bytes(view[:64]).lstrip(_BLANKS) or bytes(view).lstrip(_BLANKS))[:1]
    if opening == b"[":
        return (yield from _listed(_entries(data), depth))
    if opening == b"{":
        members = _members(data)
        values = yield from _listed(members.values(), depth)
        return dict(zip(members, values, strict=True))
    return _decode(data)


def _listed(raws: Iterable[msgspec.Raw], depth: int) -> Steps[list[Any]]:
    values, done_bytes = [], 0
    for raw in raws:
        size_bytes = memoryview(raw).nbytes
        if done_bytes + size_bytes > SLICE_BYTES:
            yield
            done_bytes = 0
        if size_bytes > SLICE_BYTES:
            values.append((yield from value_steps(raw, depth + 1)))
        else:
            values.append(_decode(raw))
            done_bytes += size_bytes + VALUE_BYTES
    return values
