"""Items of a Responses request as the messages of a chat; the inverse of `history`.

What stands here one after the other (reasoning, text, calls, work of the provider's own tools) is
one assistant message there, until somebody else speaks. Calls that a caller carries out himself but
which are no functions (shells, patches, computers) are told as calls of functions of that name.
"""

from typing import Any, Final

from proxy.dialects.bodies import too_many
from proxy.dialects.responses.items import OPENAI, images_of, server_call
from proxy.dialects.responses.sealing import details_of, seals_in
from proxy.dialects.responses.tools import spaced, wrapped
from proxy.dialects.values import json_text, string
from proxy.errors import GatewayError
from proxy.wire.slices import MESSAGES_PER_STEP, Steps

Json = dict[str, Any]


_ROLES: Final = ("user", "system", "developer", "assistant")
_OWN_CALLS: Final = ("local_shell_call", "shell_call", "apply_patch_call", "computer_call")
_RESULTS: Final = (
    "function_call_output",
    "custom_tool_call_output",
    *(f"{call}_output" for call in _OWN_CALLS),
)
_WORK: Final = frozenset((
    "code_interpreter_call", "compaction", "file_search_call", "image_generation_call", "mcp_call",
    "mcp_list_tools", "program", "program_output", "tool_search_call", "tool_search_output",
    "web_search_call",
))  # fmt: skip
"""What the provider's own tools did."""

_SILENT: Final = frozenset((
    "additional_tools", "agent_message", "context_compaction", "mcp_approval_request",
    "mcp_approval_response",
))  # fmt: skip
"""What means something to OpenAI alone, and nothing in a chat."""

_FRAME: Final = frozenset(("id", "type", "status", "call_id"))


def refuse(field: str, reason: str) -> GatewayError:
    """What to raise for a field that is wrong."""
    return GatewayError("invalid_request", f"{field}: {reason}")


class Recall:
    """Items becoming messages; `places` are the items that the messages begin with.

    Raises GatewayError `invalid_request`, which names the item.
    """

    def __init__(self) -> None:
        self.messages: list[Json] = []
        self.places: list[int] = []
        self._answer: Json | None = None  # the assistant's message that is under way

    def read(self, said: str | list[Any]) -> Steps[None]:
        """The whole of `input`, in steps of so many items."""
        if isinstance(said, str):
            self._add({"role": "user", "content": said}, 0)
            return
        if too_many(seals_in(said)):
            raise refuse("input", "too many values in its sealed reasoning")
        yield
        for place, item in enumerate(said):
            if place % MESSAGES_PER_STEP == MESSAGES_PER_STEP - 1:
                yield
            if not isinstance(item, dict):
                raise refuse(f"input[{place}]", "expected an object")
            try:
                self._item(place, item)
            except GatewayError as error:
                if error.kind != "provider_malformed":
                    raise
                raise refuse(f"input[{place}]", "can not be written as JSON") from None
        self._end()

    def _item(self, place: int, item: Json) -> None:
        where = f"input[{place}]"
        type_ = item.get("type") or ("message" if "role" in item else "")
        if not isinstance(type_, str):
            raise refuse(f"{where}.type", "expected a string")
        if type_ == "message":
            self._message(place, item)
        elif type_ == "reasoning":
            self._reasoning(self._speaking(place), item, where)
        elif type_ in ("function_call", "custom_tool_call", *_OWN_CALLS):
            self._speaking(place)["tool_calls"].append(_call(item, type_, where))
        elif type_ in _RESULTS:
            self._end()
            self._add(_result(item, where), place)
        elif type_ in _WORK:
            answer = self._speaking(place)
            details = answer["reasoning_details"]
            details.append(server_call(item, OPENAI, len(details)))
            answer["images"] += images_of(item)
        elif type_ == "item_reference":
            raise refuse(where, "nothing is stored here that an item_reference could mean")
        elif type_ not in _SILENT and not type_.startswith("openrouter:"):
            raise refuse(f"{where}.type", "not supported" if type_ else "required")

    def _add(self, message: Json, place: int) -> None:
        self.messages.append(message)
        self.places.append(place)

    def _message(self, place: int, item: Json) -> None:
        role, content, where = item.get("role"), item.get("content"), f"input[{place}].content"
        if role not in _ROLES:
            raise refuse(f"input[{place}].role", f"must be one of {', '.join(_ROLES)}")
        if content is not None and not isinstance(content, str | list):
            raise refuse(where, "expected a string or a list")
        if role == "assistant":
            answer = self._speaking(place)
            parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
            for number, part in enumerate(parts or ()):
                _say(answer, part, f"{where}[{number}]")
            return
        self._end()
        told = content if isinstance(content, str) else _parts(content or [], where)
        self._add({"role": role, "content": told}, place)

    def _speaking(self, place: int) -> Json:
        """The assistant's message that is under way, or a new one."""
        if self._answer is None:
            parts: Json = {"content": [], "tool_calls": [], "images": [], "reasoning_details": []}
            self._answer = {"role": "assistant", **parts, "refusal": [], "reasoning": ""}
            self._add(self._answer, place)
        return self._answer

    def _reasoning(self, answer: Json, item: Json, where: str) -> None:
        details = answer["reasoning_details"]
        try:
            details += details_of(item, len(details))
        except ValueError as error:
            raise refuse(f"{where}.encrypted_content", str(error)) from None

    def _end(self) -> None:
        """Somebody else speaks. An answer that is nothing but thoughts was cut off: no provider
        would take it back.
        """
        answer, self._answer = self._answer, None
        if answer is None:
            return
        if not any(answer[name] for name in ("content", "tool_calls", "images", "refusal")):
            self.messages.pop()
            self.places.pop()
            return
        content = answer["content"]
        answer["refusal"] = "".join(answer["refusal"])
        answer["reasoning"] = "".join(map(_thought, answer["reasoning_details"]))
        bare = len(content) == 1 and content[0].keys() == {"type", "text"}
        answer["content"] = content[0]["text"] if bare else content or None
        for name in ("tool_calls", "images", "reasoning_details", "refusal", "reasoning"):
            if not answer[name]:
                del answer[name]


def _thought(detail: Json) -> str:
    return string(detail.get("text")) or string(detail.get("summary")) or ""


def _say(answer: Json, part: object, where: str) -> None:
    """A part of what the assistant said."""
    match part:
        case {"type": "refusal", "refusal": str() as refusal}:
            answer["refusal"].append(refusal)
        case {"type": "output_text" | "input_text" | "text", "text": str() as text}:
            if text:
                answer["content"].append({"type": "text", "text": text, **_marks(part)})
        case _:
            raise refuse(where, "expected an output_text or a refusal")


def _call(item: Json, type_: str, where: str) -> Json:
    id_ = string(item.get("call_id"))
    if id_ is None:
        raise refuse(f"{where}.call_id", "required")
    name = string(item.get("name"))
    if type_ in _OWN_CALLS:
        name = type_.removesuffix("_call")
        arguments = json_text({key: item[key] for key in item if key not in _FRAME})
    else:
        field = "arguments" if type_ == "function_call" else "input"
        if name is None:
            raise refuse(f"{where}.name", "required")
        said = item.get(field)
        if not isinstance(said, str):
            raise refuse(f"{where}.{field}", "expected a string")
        arguments = said if type_ == "function_call" else wrapped(said)
        if namespace := string(item.get("namespace")):
            name = spaced(namespace, name)
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def _result(item: Json, where: str) -> Json:
    id_, output = string(item.get("call_id")) or string(item.get("id")), item.get("output")
    if id_ is None:
        raise refuse(f"{where}.call_id", "required")
    content: Any = output
    if isinstance(output, dict) and output.get("type") == "computer_screenshot":
        content = _parts([output | {"type": "input_image"}], f"{where}.output")
    elif isinstance(output, list) and item.get("type") != "shell_call_output":
        content = _parts(output, f"{where}.output")
    elif not isinstance(output, str):
        if item.get("type") in ("function_call_output", "custom_tool_call_output"):
            raise refuse(f"{where}.output", "expected a string or a list")
        content = json_text(output)
    return {"role": "tool", "tool_call_id": id_, "content": content}


def _parts(parts: list[Any], where: str) -> list[Json]:
    return [_part(part, f"{where}[{number}]") for number, part in enumerate(parts)]


def _part(part: object, where: str) -> Json:
    """A part of what the user, or a tool, said."""
    if not isinstance(part, dict):
        raise refuse(where, "expected an object")
    return _shown(part, where) | _marks(part)


def _shown(part: Json, where: str) -> Json:
    match part:
        case {"type": "input_text" | "output_text" | "text", "text": str() as text}:
            return {"type": "text", "text": text}
        case {"type": "input_image", "image_url": str() as url} if url:
            detail = {"detail": part["detail"]} if part.get("detail") else {}
            return {"type": "image_url", "image_url": {"url": url, **detail}}
        case {"type": "input_image" | "input_file", "file_id": str() as id_} if id_:
            return {"type": "file", "file": {"file_id": id_}}
        case {"type": "input_file"}:
            return {"type": "file", "file": _file(part, where)}
        case {"type": "input_audio", "input_audio": dict() as audio}:
            return {"type": "input_audio", "input_audio": dict(audio)}
        case {"type": "input_video", "video_url": str() as url}:
            return {"type": "video_url", "video_url": {"url": url}}
        case {"type": "input_text" | "input_image" | "input_audio" | "input_video" as type_}:
            raise refuse(where, f"an {type_} without what it is")
    raise refuse(f"{where}.type", "not supported" if part.get("type") else "required")


def _file(part: Json, where: str) -> Json:
    data = string(part.get("file_data")) or string(part.get("file_url"))
    if data is None:
        raise refuse(where, "an input_file needs file_data, file_url or file_id")
    name = string(part.get("filename"))
    return ({"filename": name} if name else {}) | {"file_data": data}


def _marks(part: Any) -> Json:
    """Where the caller wishes a cache to be written."""
    names = ("cache_control", "prompt_cache_breakpoint")
    return {name: part[name] for name in names if part.get(name) is not None}
