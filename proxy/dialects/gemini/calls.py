"""Function calls of one choice: their numbers, their ids, and arguments that come in pieces."""

import hashlib
import re
from collections.abc import Iterator
from typing import Any, Final

from proxy.dialects.values import json_text, mapping, objects, string
from proxy.wire.events import ToolCall

Json = dict[str, Any]

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[['\"]([^'\"]*)['\"]\]")
_UNFIT = re.compile(r"[^A-Za-z0-9_-]")
_VALUES: Final = ("stringValue", "numberValue", "boolValue", "nullValue")
_NAME_CHARS_MAX = 14  # OpenAI refuses ids of more than 40 characters
_ITEMS_MAX = 1000


def made_up_id(answer_id: str, choice: int, number: int, name: str) -> str:
    """The id of a call that has none, in OpenRouter's form `tool_<name>_<20 characters>`.

    The last are of SHA-256 over the answer's own id, the choice and the call's number in it, so
    that an id is the same however the answer was sliced and no other answer has it.
    """
    digest = hashlib.sha256(f"{answer_id}:{choice}:{number}".encode()).hexdigest()
    return f"tool_{_UNFIT.sub('_', name)[:_NAME_CHARS_MAX]}_{digest[:20]}"


class Calls:
    """The calls of one choice. A call is whole in one part, unless it says `willContinue`: then
    its arguments follow in parts without a name, until one that does not say so (Vertex).
    """

    def __init__(self, choice: int) -> None:
        self._choice = choice
        self._numbers = 0
        self._pending: Json | None = None

    @property
    def any(self) -> bool:
        return self._numbers > 0

    def read(self, call: Json, answer_id: str) -> Iterator[ToolCall]:
        """The pieces that one `functionCall` completes; the first of a call has its id."""
        name = string(call.get("name"))
        if name is None and self._pending is None:
            return
        if name is not None:
            yield from self.end()
            id_ = string(call.get("id")) or made_up_id(answer_id, self._choice, self._numbers, name)
            args = call.get("args")
            self._numbers += 1
            if not call.get("willContinue"):
                yield self._piece(id_, name, written(args))
                return
            self._pending = dict(args) if isinstance(args, dict) else {}
            yield self._piece(id_, name, "")
        assert self._pending is not None
        for part in objects(call.get("partialArgs")):
            _put(self._pending, part)
        if not call.get("willContinue"):
            yield from self.end()

    def end(self) -> Iterator[ToolCall]:
        """The arguments of a call that never said it was complete."""
        if self._pending is not None:
            yield self._piece(None, None, written(self._pending))
            self._pending = None

    def _piece(self, id_: str | None, name: str | None, arguments: str) -> ToolCall:
        return ToolCall(self._choice, self._numbers - 1, id_, name, arguments)


def written(value: object) -> str:
    """An object as text; what Gemini leaves out is an empty one.

    Raises GatewayError `provider_malformed` where it is too deep.
    """
    return json_text(mapping(value))


def _put(args: Json, part: Json) -> None:
    """Puts a piece of the arguments at its JSON path; a text that is there already grows."""
    path = part.get("jsonPath")
    steps: list[Any] = [
        int(step[2]) if step[2] else step[1] or step[3]
        for step in _STEP.finditer(path if isinstance(path, str) else "")
    ]
    key = next((key for key in _VALUES if key in part), None)
    if not steps or key is None:
        return
    value = None if key == "nullValue" else part[key]
    place: Any = args
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        if not _fits(place, step):
            return
        if isinstance(place, list) and step == len(place):
            place.append(None)
        known = place[step] if isinstance(place, list) else place.get(step)
        if following is not None:
            known = known if known is not None else ([] if isinstance(following, int) else {})
            place[step], place = known, known
        elif isinstance(known, str) and isinstance(value, str):
            place[step] = known + value
        else:
            place[step] = value


def _fits(place: object, step: object) -> bool:
    """Whether there is, or could be next, such an entry."""
    if isinstance(place, list):
        return isinstance(step, int) and step <= len(place) < _ITEMS_MAX
    return isinstance(place, dict) and isinstance(step, str)
