"""What Google ran itself while it answered: code, searches, files, as one detail for each."""

from typing import Any

from proxy.dialects.gemini.calls import made_up_id, written
from proxy.dialects.gemini.replay import CODE, FORMAT
from proxy.dialects.values import string

Json = dict[str, Any]
Details = tuple[Json, ...]


class Server:
    """Calls of one choice that wait for their result."""

    def __init__(self, choice: int) -> None:
        self._choice = choice
        self._number = 0
        self._waiting: dict[str, tuple[Json, str | None]] = {}

    def call(self, part: Json, answer_id: str, signature: str | None) -> None:
        """Takes an `executableCode` or a `toolCall`."""
        code, own = part.get("executableCode"), part.get("toolCall")
        said = code if isinstance(code, dict) else own if isinstance(own, dict) else {}
        name = CODE if said is code else string(said.get("toolType")) or "tool"
        id_ = string(said.get("id")) or made_up_id(answer_id, self._choice, ~self._number, name)
        self._number += 1
        args = {k: v for k, v in said.items() if k != "id"} if said is code else said.get("args")
        detail = {
            "type": "reasoning.server_tool_call",
            "tool_name": name,
            "arguments": written(args),
            "result": "",
            "tool_call_id": id_,
            "format": FORMAT,
            "index": 0,
        }
        self._waiting[id_] = (detail, signature)

    def result(self, part: Json, signature: str | None) -> Details:
        """The details that a `codeExecutionResult` or a `toolResponse` completes."""
        code, own = part.get("codeExecutionResult"), part.get("toolResponse")
        said = code if isinstance(code, dict) else own if isinstance(own, dict) else {}
        id_ = string(said.get("id")) or next(iter(self._waiting), "")
        if id_ not in self._waiting:
            return ()
        detail, before = self._waiting.pop(id_)
        result = {k: v for k, v in said.items() if k != "id"} if said is code else None
        detail["result"] = written(said.get("response") if result is None else result)
        return (detail, *_signature(id_, before, 0), *_signature(id_, signature, 1))

    def end(self) -> Details:
        """The calls that no result came for."""
        left = tuple(
            one
            for id_, (detail, signature) in self._waiting.items()
            for one in (detail, *_signature(id_, signature, 0))
        )
        self._waiting.clear()
        return left


def encrypted(signature: str, index: int, id_: str | None = None) -> Json:
    """A signature as a detail; `index` says of which part it is (see `replay.py`)."""
    named = {"id": id_} if id_ else {}
    head = {"type": "reasoning.encrypted", "data": signature, "format": FORMAT}
    return head | named | {"index": index}


def _signature(id_: str, signature: str | None, index: int) -> Details:
    return (encrypted(signature, index, id_),) if signature else ()
