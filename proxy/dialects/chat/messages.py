"""A conversation in OpenRouter's form as one provider of dialect `openai` takes it.

What most of them refuse is left out or said otherwise, as the flags of the provider's row tell.
"""

import re
from hashlib import sha256
from typing import Any, Final

from proxy.dialects.asking import inexpressible
from proxy.dialects.parts import Media, media_of, parts_of, short_id
from proxy.dialects.values import objects
from proxy.providers import Provider
from proxy.quirks import Attachment, Quirks
from proxy.wire.slices import Steps, at_once, paced

OPENROUTER_ADDITIONS: Final = frozenset((
    "reasoning", "reasoning_content", "reasoning_details", "model", "annotations", "images",
))  # fmt: skip

_MARKS: Final = frozenset(("cache_control", "prompt_cache_breakpoint"))

_KINDS: Final[dict[object, Attachment]] = {
    "image_url": "image",
    "input_audio": "audio",
    "file": "file",
    "video_url": "video",
    "input_video": "video",
}

CALL_ID_CHARS_MAX: Final = 40
"""OpenAI answers a longer id of a call with a 400."""

_ASKING: Final = ("user", "system")
_SILENT: Final = frozenset(("role", "name", "content"))

_NINE: Final = re.compile(r"[A-Za-z0-9]{9}")

_Message = dict[str, Any]


def encode_messages(messages: list[_Message], provider: Provider) -> list[_Message]:
    """The conversation as this provider takes it.

    Raises GatewayError `provider_unfit` for an attachment of a kind that it does not take.
    """
    return at_once(message_steps(messages, provider))


def message_steps(messages: list[_Message], provider: Provider) -> Steps[list[_Message]]:
    """The same in steps of so many messages."""
    out: list[_Message] = []
    shown: list[_Message] = []  # attachments of results wait until the last result
    for pause, message in paced(messages):
        if pause:
            yield
        bare = len(message) == 2 and message["role"] in _ASKING
        bare = bare and type(message.get("content")) is str  # as it is for every provider
        spoken = message if bare else _spoken(message, provider)
        if spoken["role"] == "tool" and not provider.quirks.tool_attachments:
            spoken, more = _without_attachments(spoken)
            shown += more
        elif shown:
            out.append({"role": "user", "content": shown})
            shown = []
        if not _is_empty(spoken):
            out.append(spoken)
    if shown:
        out.append({"role": "user", "content": shown})
    return _alternating(out) if provider.quirks.alternates else out


def _is_empty(message: _Message) -> bool:
    """Whether it is an answer that says nothing: one that was cut off while it thought."""
    if message["role"] != "assistant" or message.get("content"):
        return False
    return message.keys() <= _SILENT


def _alternating(messages: list[_Message]) -> list[_Message]:
    """The same with each turn as one message."""
    out: list[_Message] = []
    joined = False  # whether the last one is of our own making, and may grow
    for message in messages:
        last = out[-1] if out else message
        plain = all(one.keys() == {"role", "content"} for one in (last, message))
        if out and plain and last["role"] == message["role"] != "system":
            if not joined:
                out[-1] = {"role": message["role"], "content": parts_of(last["content"])}
            out[-1]["content"] += parts_of(message["content"])
            joined = True
        else:
            out.append(message)
            joined = False
    return out


def unmarked(value: _Message) -> _Message:
    """A message, or a tool, without the marks for caches anywhere in it."""
    if not _MARKS.isdisjoint(value):
        value = {name: one for name, one in value.items() if name not in _MARKS}
    for name in ("content", "tool_calls"):
        parts = value.get(name)
        if isinstance(parts, list) and not all(map(_MARKS.isdisjoint, parts)):
            value = value | {name: [unmarked(part) for part in parts]}
    return value


def _without_attachments(message: _Message) -> tuple[_Message, list[_Message]]:
    content = message.get("content")
    if not isinstance(content, list):
        return message, []
    more = [part for part in content if part["type"] in _KINDS]
    if not more:
        return message, []
    left = [part for part in content if part["type"] not in _KINDS]
    return message | {"content": left or "The result is shown below."}, more


def _spoken(message: _Message, provider: Provider) -> _Message:
    quirks = provider.quirks
    if not quirks.cache_marks:
        message = unmarked(message)
    changed: _Message = {}
    if message["role"] == "developer" and not quirks.developer_role:
        changed["role"] = "system"
    if isinstance(message.get("content"), list):
        changed["content"] = _content(message["content"], provider)
    if changed:
        message = message | changed
    if not quirks.names and message["role"] != "tool" and "name" in message:
        message = _named(message)
    if quirks.reasoning_replay == "details":
        return message
    if message["role"] == "assistant":
        return _answer(message, quirks)
    if "tool_call_id" in message:
        told = _call_id(message["tool_call_id"], quirks)
        if told is not message["tool_call_id"]:
            return message | {"tool_call_id": told}
    return message


def _content(parts: list[_Message], provider: Provider) -> list[_Message] | str:
    quirks = provider.quirks
    if not quirks.text_parts and all(part["type"] == "text" for part in parts):
        return "\n".join(part.get("text") or "" for part in parts)
    return [_part(part, provider) for part in parts]


def _part(part: _Message, provider: Provider) -> _Message:
    quirks = provider.quirks
    kind = _KINDS.get(part["type"])
    if kind and quirks.attachments is not None and kind not in quirks.attachments:
        raise inexpressible(provider, f"attachments of kind {kind}")
    if kind == "file" and quirks.files != "file" and (media := media_of(part)):
        return _file(media, quirks, part)
    return part


def _file(media: Media, quirks: Quirks, part: _Message) -> _Message:
    """A file in the words of a provider that does not use OpenAI's."""
    if media.id is not None:
        return part
    url = media.url or f"data:{media.mime or 'application/pdf'};base64,{media.data}"
    if quirks.files == "document_url":
        named = {"document_name": media.name} if media.name else {}
        return {"type": "document_url", "document_url": url, **named}
    named = {"file_name": media.name} if media.name else {}
    # Perplexity wants the bytes bare, and a URL as it is.
    return {"type": "file_url", "file_url": {"url": media.url or media.data}, **named}


def _named(message: _Message) -> _Message:
    """Who speaks stands before the text."""
    said = {key: value for key, value in message.items() if key != "name"}
    name, content = message["name"], said.get("content")
    if not name or not content:
        return said
    if isinstance(content, str):
        return said | {"content": f"{name}: {content}"}
    return said | {"content": [{"type": "text", "text": f"{name}:"}, *content]}


def _reasoning(message: _Message) -> str:
    """What it thought, if it was a model of this dialect's: what others gave a form of their own is
    of use to nobody else.
    """
    details = message.get("reasoning_details")
    plain = all(one.get("format") in (None, "unknown") for one in objects(details))
    said = message.get("reasoning") or message.get("reasoning_content")
    return said if isinstance(said, str) and plain else ""


def _call(call: _Message, quirks: Quirks) -> _Message:
    """An earlier call. A whole answer numbers its calls, and OpenAI-like providers refuse the
    number, sent back; some refuse arguments that are no JSON, as those of a call without any are.
    """
    said = dict(call)
    said.pop("index", None)
    if "id" in said:
        said["id"] = _call_id(said["id"], quirks)
    function = said.get("function")
    if isinstance(function, dict) and function.get("arguments") == "":
        said["function"] = function | {"arguments": "{}"}
    return said


def _call_id(id_: Any, quirks: Quirks) -> Any:
    """A call's id, the same for the call and its result."""
    if not isinstance(id_, str):
        return id_
    if quirks.call_ids == "nine":
        known = _NINE.fullmatch(id_)
        return id_ if known else sha256(id_.encode(errors="replace")).hexdigest()[:9]
    return short_id(id_, CALL_ID_CHARS_MAX)


def _answer(message: _Message, quirks: Quirks) -> _Message:
    """An earlier answer without OpenRouter's additions, which most providers answer with a 400."""
    reasoning, answer = "", message
    if not OPENROUTER_ADDITIONS.isdisjoint(message):
        reasoning = _reasoning(message)
        answer = {name: one for name, one in message.items() if name not in OPENROUTER_ADDITIONS}
    if None in answer.values():
        answer = {name: one for name, one in answer.items() if one is not None or name == "content"}
    if answer.get("tool_calls"):
        answer = dict(answer)
        answer["tool_calls"] = [_call(call, quirks) for call in answer["tool_calls"]]
        if quirks.replay_required:
            reasoning = reasoning or " "
    if not reasoning or quirks.reasoning_replay in ("none", "details"):
        return answer
    if quirks.reasoning_replay != "thinking":
        return answer | {quirks.reasoning_replay: reasoning}
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": reasoning}]}
    return answer | {"content": [thought, *parts_of(answer.get("content"))]}
