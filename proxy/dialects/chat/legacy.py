"""What OpenAI's chat had before its tools, and OpenRouter's before `video_url`, in today's words.

The answer to a caller who still says `functions` has `tool_calls`.
"""

from typing import Any, Final

_Object = dict[str, Any]

_LEGACY: Final = frozenset(("functions", "function_call"))


def modernize(fields: _Object, messages: list[_Object]) -> _Object:
    """The fields with tools in the place of functions; `messages` are changed."""
    for number, message in enumerate(messages):
        if message["role"] == "function":
            _turn_result(message, number)
        elif isinstance(message.get("function_call"), dict):
            call = message.pop("function_call")
            wrapped = {"id": f"call_{number}", "type": "function", "function": call}
            message["tool_calls"] = [*(message.get("tool_calls") or ()), wrapped]
        for part in message["content"] if isinstance(message.get("content"), list) else ():
            if part["type"] == "input_video":
                part["type"] = "video_url"
    if _LEGACY.isdisjoint(fields):
        return fields
    functions, choice = fields.get("functions"), fields.get("function_call")
    fields = {name: value for name, value in fields.items() if name not in _LEGACY}
    if functions and not fields.get("tools"):
        fields["tools"] = [{"type": "function", "function": one} for one in functions]
    if choice is not None and fields.get("tool_choice") is None:
        named = isinstance(choice, dict)
        fields["tool_choice"] = {"type": "function", "function": choice} if named else choice
    return fields


def _turn_result(message: _Object, number: int) -> None:
    """A function's result belongs to the call before it."""
    message["role"] = "tool"
    message["tool_call_id"] = f"call_{number - 1}"
    message.pop("name", None)
