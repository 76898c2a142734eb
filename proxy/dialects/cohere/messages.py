"""Cohere's v2 chat, the conversation: OpenRouter's messages as Cohere takes them.

It wants something in every message, results only for calls that it knows, and text before calls as
their `tool_plan`. Thinking goes back into the block it came in, a plan to where plans stand; a
detail of another provider is left out.
"""

from typing import Any, Final

from proxy.dialects.asking import encode_json, inexpressible
from proxy.dialects.cohere import PLAN, THINKING
from proxy.dialects.parts import Media, arguments_of, media_of, parts_of, text_in
from proxy.dialects.values import objects
from proxy.providers import Provider
from proxy.wire.slices import Steps, paced

_DETAILS: Final = ("auto", "low", "high")


def encode_messages(
    messages: list[dict[str, Any]], provider: Provider
) -> Steps[list[dict[str, Any]]]:
    """The conversation as Cohere takes it, in steps of so many messages.

    Raises GatewayError `provider_unfit` for attachments that it has no words for.
    """
    known: set[str] = set()
    out: list[dict[str, Any]] = []
    shown: list[dict[str, Any]] = []  # pictures of tool results wait until the last result
    for pause, message in paced(messages):
        if pause:
            yield
        role = message["role"]
        if role in ("tool", "function"):
            result, pictures = _result(message, known, provider)
            out.append(result)
            shown += pictures
            continue
        shown = _show(out, shown)
        if role == "assistant":
            spoken = _assistant(message)
            known.update(call["id"] for call in spoken.get("tool_calls", ()))
        elif role == "user":
            content = [_user_part(part, provider) for part in _named(message)]
            spoken = {"role": "user", "content": content} if content else {}
        else:
            text = _text(message)
            spoken = {"role": "system", "content": text} if text else {}
        if spoken:
            out.append(spoken)
    _show(out, shown)
    return out


def _show(out: list[dict[str, Any]], pictures: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Results can not hold pictures, so the user shows them; none are left."""
    if pictures:
        out.append({"role": "user", "content": pictures})
    return []


def _named(message: dict[str, Any]) -> list[dict[str, Any]]:
    """A message's parts; who speaks, which Cohere has no field for, stands before the text."""
    parts = _parts(message)
    name = message.get("name")
    if not (parts and isinstance(name, str) and name):
        return parts
    first = parts[0]
    if first.get("type") == "text":
        return [first | {"text": f"{name}: {first['text']}"}, *parts[1:]]
    return [{"type": "text", "text": f"{name}:"}, *parts]


def _parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Its parts, without texts that say nothing: they are a 400."""
    parts = parts_of(message.get("content"))
    return [part for part in parts if part.get("type") != "text" or part.get("text")]


def _text(message: dict[str, Any]) -> str:
    return text_in(_named(message))


def _user_part(part: dict[str, Any], provider: Provider) -> dict[str, Any]:
    if part.get("type") == "text":
        return {"type": "text", "text": part["text"]}
    media = media_of(part)
    if media is not None and media.kind == "image":
        return _picture(part, media)
    what = f"attachments of kind {media.kind}" if media else "such a part"
    raise inexpressible(provider, what)


def _picture(part: dict[str, Any], media: Media) -> dict[str, Any]:
    url = media.url or f"data:{media.mime or 'image/png'};base64,{media.data}"
    own = {"url": url}
    said = part.get("image_url")
    if isinstance(said, dict) and said.get("detail") in _DETAILS:
        own["detail"] = said["detail"]
    return {"type": "image_url", "image_url": own}


def _assistant(message: dict[str, Any]) -> dict[str, Any]:
    """What the model said; nothing where that is nothing."""
    own: dict[str, Any] = {"role": "assistant"}
    details = objects(message.get("reasoning_details"))
    text = _text(message) or message.get("refusal") or ""
    plan = "".join(_said(details, PLAN))
    calls = _calls(message)
    if calls:
        own["tool_calls"] = calls
        if plan or text:
            own["tool_plan"] = plan or text
            text = text if plan else ""
    content = [{"type": "thinking", "thinking": thought} for thought in _said(details, THINKING)]
    if text:
        content.append({"type": "text", "text": text})
    if content:
        own["content"] = content
    return own if len(own) > 1 else {}


def _said(details: list[dict[str, Any]], own: str) -> list[str]:
    """The texts of details that Cohere said as `own`, each block whole again if a client kept the
    pieces of a stream.
    """
    texts: dict[object, str] = {}
    for detail in details:
        text, index = detail.get("text"), detail.get("index")
        if detail.get("id") == own and detail.get("type") == "reasoning.text":
            place = index if isinstance(index, int) else None
            texts[place] = texts.get(place, "") + (text if isinstance(text, str) else "")
    return [text for text in texts.values() if text]


def _calls(message: dict[str, Any]) -> list[dict[str, Any]]:
    called = objects(message.get("tool_calls"))
    if isinstance(legacy := message.get("function_call"), dict):
        called = [*called, {"function": legacy, "id": f"call_{legacy.get('name')}"}]
    return [_call(call, number) for number, call in enumerate(called)]


def _call(call: dict[str, Any], number: int) -> dict[str, Any]:
    said = call.get("function")
    function = said if isinstance(said, dict) else {}
    text = function.get("arguments")
    whole = isinstance(text, str) and arguments_of(call)
    return {
        "id": str(call.get("id") or f"call_{number}"),
        "type": "function",
        "function": {
            "name": str(function.get("name") or ""),
            "arguments": text if whole else encode_json(arguments_of(call)).decode(),
        },
    }


def _result(
    message: dict[str, Any], known: set[str], provider: Provider
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A tool's result, and the pictures in it. One for a call that is not there is a 400, so that
    the user tells it.
    """
    id_ = message.get("tool_call_id") or f"call_{message.get('name')}"
    parts = _parts(message)
    content = [part for part in parts if _is_document(part)]
    others = [_user_part(part, provider) for part in parts if not _is_document(part)]
    content = [part for part in others if part["type"] == "text"] + content
    pictures = [part for part in others if part["type"] != "text"]
    if not content:
        content = [{"type": "document", "document": {"data": {"output": ""}}}]
    if id_ in known:
        return {"role": "tool", "tool_call_id": id_, "content": content}, pictures
    return {"role": "user", "content": [_as_text(part) for part in content]}, pictures


def _is_document(part: dict[str, Any]) -> bool:
    """Cohere's own form of a result, which a caller may use."""
    return part.get("type") == "document" and isinstance(part.get("document"), dict)


def _as_text(part: dict[str, Any]) -> dict[str, Any]:
    if part["type"] == "text":
        return part
    told = part["document"].get("data")
    return {"type": "text", "text": encode_json({"data": told}).decode()}
