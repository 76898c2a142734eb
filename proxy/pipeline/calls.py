"""Whether the tool calls of an answer can be used: what is known of an endpoint's quality by them.

An answer is not sound if a call names no tool of the request, or has arguments that are no JSON
object, or if there is none where `tool_choice` insists on one. Arguments that are empty are taken
for none. Whether they fit the tool's schema is not looked at. Nothing is said of an answer that was
cut by its length, or of calls that are longer than anybody would check on the way.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from proxy.wire.events import ToolCall

CALLS_BYTES_MAX: Final = 128 * 1024
"""Of calls that are longer together nothing is said."""

_CALL: Final = b'"tool_calls"'
_KINDS: Final = ("function", "custom")


class Calls:
    """The calls of one answer, as they come. `body` is the request's, in OpenRouter's words."""

    __slots__ = ("_body", "_pieces", "_size_bytes")

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = body
        self._pieces: list[ToolCall | bytes] = []
        self._size_bytes = 0

    def hear(self, piece: ToolCall) -> None:
        """A piece of a call."""
        self._keep(piece, len(piece.arguments))

    def splice(self, data: bytes) -> None:
        """Events in the words of a chat, which may be pieces of calls."""
        if _CALL in data:
            self._keep(data, len(data))

    def _keep(self, piece: ToolCall | bytes, size_bytes: int) -> None:
        self._size_bytes += size_bytes + 1  # there is no end of pieces with nothing in them
        if self._size_bytes <= CALLS_BYTES_MAX:
            self._pieces.append(piece)
        else:
            self._pieces.clear()

    def sound(self, finish_reason: str | None) -> bool | None:
        """Whether they can be used; None where that is not to be said, as of an answer that called
        nothing and need not. `finish_reason` is how the answer ended.
        """
        if self._size_bytes > CALLS_BYTES_MAX or finish_reason not in ("stop", "tool_calls"):
            return None
        if not self._pieces:
            return False if _insists(self._body.get("tool_choice")) else None
        names = _names(self._body.get("tools"))
        calls: dict[tuple[int, int], _Call] = {}
        for choice, index, name, text, custom in self._told():
            call = calls.setdefault((choice, index), _Call())
            call.name = call.name or name
            call.text += text
            call.custom = call.custom or custom
        return all(call.sound(names) for call in calls.values())

    def _told(self) -> Iterable[tuple[int, int, str | None, str, bool]]:
        for piece in self._pieces:
            if isinstance(piece, ToolCall):
                yield piece.choice, piece.index, piece.name, piece.arguments, piece.custom
            else:
                yield from _spliced(piece)


class _Call:
    """One call, its pieces put together."""

    __slots__ = ("custom", "name", "text")

    def __init__(self) -> None:
        self.name: str | None = None
        self.text = ""
        self.custom = False

    def sound(self, names: frozenset[str] | None) -> bool:
        if names is not None and self.name not in names:
            return False
        if self.custom or not self.text:
            return True
        try:
            return isinstance(orjson.loads(self.text), dict)
        except orjson.JSONDecodeError:
            return False


def _spliced(data: bytes) -> Iterable[tuple[int, int, str | None, str, bool]]:
    """What `Encoder` of a chat wrote; what begins a call is never spliced."""
    for event in data.split(b"\n\n")[:-1]:
        for choice in orjson.loads(event.removeprefix(b"data: "))["choices"]:
            for call in choice["delta"].get("tool_calls") or ():
                text = call.get("function", call.get("custom", {}))
                arguments = text.get("arguments", text.get("input", ""))
                yield choice["index"], call["index"], None, arguments, False


def _insists(said: Any) -> bool:
    """Whether `tool_choice` leaves no other way than to call one of the request's own tools."""
    return said == "required" or (isinstance(said, dict) and said.get("type") in _KINDS)


def _names(tools: Any) -> frozenset[str] | None:
    """What the request's tools are called; None where one has no name that we know."""
    names = set()
    for tool in tools if isinstance(tools, list) else ():
        name = _name(tool) if isinstance(tool, dict) else None
        if name is None:
            return None
        names.add(name)
    return frozenset(names)


def _name(tool: Mapping[str, Any]) -> str | None:
    for kind in _KINDS:
        own = tool.get(kind)
        if isinstance(own, dict) and isinstance(name := own.get("name"), str):
            return name
    return None
