"""Requests in OpenAI's chat form, which Azure and most other providers share."""

from collections.abc import Iterable
from itertools import chain, dropwhile, takewhile
from typing import Any, Final

from proxy.upstream.fake.ask import (
    Ask,
    Function,
    JSONObject,
    Refused,
    child,
    count_of,
    decode_object,
    rows,
    strings,
)

_ATTACHMENTS: Final = {
    "image_url": "image",
    "input_audio": "recording",
    "file": "file",
    "video_url": "video",
}


def decode_chat(body: bytes, model: str | None = None) -> Ask:
    """What `body` asks; `model` is the deployment's where the path names it.

    Raises Refused with a message in OpenAI's words.
    """
    decoded = decode_object(body, "We could not parse the JSON body of your request.")
    model = model or decoded.get("model")
    messages = decoded.get("messages")
    if not isinstance(model, str):
        raise Refused("you must provide a model parameter")
    if not isinstance(messages, list) or not messages:
        raise Refused("Missing required parameter: 'messages'.")
    if not all(isinstance(message, dict) for message in messages):
        raise Refused("Invalid type for 'messages[0]': expected an object.")
    structured, schema = _wanted_format(child(decoded, "response_format"))
    choice, named = _tool_choice(decoded.get("tool_choice"))
    _check_voice(decoded)
    limit = decoded.get("max_completion_tokens") or decoded.get("max_tokens")
    return Ask(
        model=model,
        body=decoded,
        stream=decoded.get("stream") is True,
        choices=count_of(decoded.get("n")) or 1,
        tokens_max=count_of(limit),
        texts=tuple(_text(message) for message in messages),
        said=next((_text(m) for m in reversed(messages) if m.get("role") == "user"), ""),
        results=_results(messages),
        attachments=tuple(_attachments(messages)),
        functions=tuple(_functions(decoded.get("tools"))),
        choice=choice,
        named=named,
        parallel=decoded.get("parallel_tool_calls") is not False,
        stop=strings(decoded.get("stop")),
        structured=structured,
        schema=schema,
        thinks="reason" in model,
    )


def _check_voice(body: JSONObject) -> None:
    """An answer that is spoken has a voice, and in a stream one format."""
    if "audio" not in strings(body.get("modalities")):
        return
    audio = child(body, "audio")
    wanted = audio.get("format")
    if not audio.get("voice") or not wanted:
        raise Refused("Missing required parameter: 'audio'.", code="missing_required_parameter")
    if body.get("stream") is True and wanted != "pcm16":
        raise Refused(
            f"Unsupported value: 'audio.format' does not support '{wanted}' when stream=true."
            " Supported values are: 'pcm16'.",
            code="unsupported_value",
        )


def _wanted_format(wanted: JSONObject) -> tuple[bool, Any]:
    match wanted.get("type"):
        case "json_schema":
            return True, child(wanted, "json_schema").get("schema", {})
        case "json_object":
            return True, None
        case _:
            return False, None


def _tool_choice(choice: Any) -> tuple[str, bool]:
    if isinstance(choice, dict) and isinstance(named := choice.get("function"), dict):
        return str(named.get("name")), True
    return (choice if choice in ("none", "required") else "auto"), False


def _functions(tools: Any) -> Iterable[Function]:
    for tool in rows(tools):
        function = child(tool, "function")
        if isinstance(function.get("name"), str):
            yield Function(function["name"], function.get("parameters"))


def _attachments(messages: list[JSONObject]) -> Iterable[str]:
    parts = chain.from_iterable(rows(message.get("content")) for message in messages)
    kinds = (str(part.get("type")) for part in parts)
    return (_ATTACHMENTS[kind] for kind in kinds if kind in _ATTACHMENTS)


def _results(messages: list[JSONObject]) -> str | None:
    """What the tools said; pictures of theirs may stand behind it, as a tool has only words."""
    rest = dropwhile(is_shown, reversed(messages))
    results = list(takewhile(lambda message: message.get("role") == "tool", rest))
    return "; ".join(_text(message) for message in reversed(results)) if results else None


def is_shown(message: JSONObject) -> bool:
    """Whether it is a user's message without a word, of pictures alone."""
    return message.get("role") == "user" and bool(message.get("content")) and not _text(message)


def _text(message: JSONObject) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    texts = (part.get("text") for part in rows(content))
    return "".join(text for text in texts if isinstance(text, str))
