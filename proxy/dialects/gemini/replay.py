"""The last answer's reasoning, put back into the parts that it came with.

`reasoning_details` of another format are left out: a foreign signature is a 400. Which part a
signature belongs to is told by its `id` (a call) or else by its `index`; `events.py` wrote both.
"""

from typing import Any, Final

from proxy.dialects.values import objects, parsed, string

FORMAT: Final = "google-gemini-v1"

ON_TEXT: Final = 0
"""`index` of a signature without `id` that stood on the answer's text."""

ON_END: Final = 1
"""… on an empty part behind it, where streams put it."""

ON_IMAGE: Final = 2
"""… on the first image; the second has the next number, and so on."""

CODE: Final = "code_execution"
MADE_UP: Final = "tool_"
"""How the ids begin that calls without one are given: Gemini is not sent them."""

Part = dict[str, Any]


class Replay:
    """What an assistant message of ours still knows of Gemini's own parts."""

    def __init__(self, message: dict[str, Any]) -> None:
        self.server: list[Part] = []
        self.thoughts: list[Part] = []
        self.calls: dict[str, str] = {}
        self.places: dict[int, str] = {}
        self._pairs: dict[str, list[Part]] = {}
        for detail in objects(message.get("reasoning_details")):
            if detail.get("format") == FORMAT:
                self._read(detail)

    def _read(self, detail: dict[str, Any]) -> None:
        match detail.get("type"):
            case "reasoning.server_tool_call" if string(detail.get("tool_name")):
                parts = _server_parts(detail)
                self._pairs[str(detail.get("tool_call_id"))] = parts
                self.server += parts
            case "reasoning.text" if signature := string(detail.get("signature")):
                # Thoughts are not sent back, except those that are signed.
                part = {"text": string(detail.get("text")) or "", "thought": True}
                self.thoughts.append(signed(part, signature))
            case "reasoning.encrypted":
                self._sign(detail)

    def _sign(self, detail: dict[str, Any]) -> None:
        data, id_, index = detail.get("data"), detail.get("id"), detail.get("index")
        index = index if isinstance(index, int) else ON_TEXT
        if not isinstance(data, str) or not data:
            return
        if not isinstance(id_, str) or not id_:
            self.places[index] = data
        elif pair := self._pairs.get(id_):
            signed(pair[1 if index > 0 and len(pair) > 1 else 0], data)
        else:
            self.calls[id_] = data


def signed(part: Part, signature: str | None) -> Part:
    """`part` with its signature, if it has one."""
    if signature:
        part["thoughtSignature"] = signature
    return part


def _server_parts(detail: dict[str, Any]) -> list[Part]:
    """What Google ran itself: the call, and its result where there was one."""
    name, id_ = detail.get("tool_name"), detail.get("tool_call_id")
    known = isinstance(id_, str) and not id_.startswith(MADE_UP)
    own: Part = {"id": id_} if known else {}
    arguments, result = parsed(detail.get("arguments")), parsed(detail.get("result"))
    if name == CODE:
        call, answer = {"executableCode": own | (arguments or {})}, "codeExecutionResult"
        return [call] if result is None else [call, {answer: own | result}]
    own["toolType"] = name
    call = {"toolCall": own | ({"args": arguments} if arguments else {})}
    if result is None:
        return [call]
    return [call, {"toolResponse": own | ({"response": result} if result else {})}]
