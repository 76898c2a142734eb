"""A conversation as the items of a Responses request.

What a chat keeps within one assistant message stands here one after the other: reasoning, work of
the provider's own tools, the text, the calls. Reasoning goes back as it came, or not at all.
"""

from typing import Any, Final

from proxy.dialects.asking import inexpressible
from proxy.dialects.parts import Media, media_of, parts_of, short_id
from proxy.dialects.responses.items import server_item
from proxy.dialects.values import string
from proxy.providers import Provider
from proxy.wire.slices import TURNS_PER_STEP, Steps, paced

CALL_ID_CHARS_MAX: Final = 64
"""OpenAI answers a longer `call_id` with a 400."""

_OUTPUTS: Final = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
}
"""The item of a call's result, by that of the call."""
_RESULTS: Final = frozenset(_OUTPUTS.values())

_SUFFIXES: Final = {"application/pdf": ".pdf", "text/plain": ".txt"}
_DETAILS_OF_IMAGES: Final = frozenset(("low", "high", "auto", "original"))


class History:
    """Messages becoming items. `format_` names the reasoning that this provider takes back.

    Raises GatewayError `provider_unfit` for an attachment that it can not be sent.
    """

    def __init__(self, provider: Provider, format_: str) -> None:
        self._provider = provider
        self._format = format_
        self._items: list[dict[str, Any]] = []
        self._custom: set[object] = set()  # calls of tools that take free text
        self._thoughts: set[tuple[str | None, str]] = (
            set()
        )  # encrypted, and placed: a second one is a 400
        self._legacy = 0  # calls of the form before `tool_calls`, which had no ids

    def encode(self, messages: list[dict[str, Any]]) -> Steps[list[dict[str, Any]]]:
        """The items, in steps of so many messages."""
        for pause, message in paced(messages):
            if pause:
                yield
            match message["role"]:
                case "assistant":
                    self._assistant(message)
                case "tool":
                    self._result(message, _short(message.get("tool_call_id")))
                case "function":
                    self._result(message, f"call_{self._legacy}")
                case role:
                    known = role != "developer" or self._provider.quirks.developer_role
                    role = role if known else "system"
                    content = message.get("content")
                    content = self._named(content, message.get("name"))
                    self._items.append({"role": role, "content": self._content(content)})
        yield
        return (yield from _paired(self._items))

    def _assistant(self, message: dict[str, Any]) -> None:
        details = message.get("reasoning_details")
        self._reasoning(details if isinstance(details, list) else [], _pictures(message))
        text = self._named(message.get("content"), message.get("name"))
        parts = [part for part in parts_of(text) if part.get("type") in ("text", "refusal")]
        refusal = message.get("refusal")
        if isinstance(refusal, str) and refusal:
            parts.append({"type": "refusal", "refusal": refusal})
        if any(part["type"] == "refusal" for part in parts):
            self._items.append(self._refused(parts))
        elif said := "".join(part.get("text") or "" for part in parts) or _transcript(message):
            self._items.append({"role": "assistant", "content": said})
        for call in message.get("tool_calls") or []:
            self._call(call)
        if isinstance(legacy := message.get("function_call"), dict):
            self._legacy += 1
            self._call({"id": f"call_{self._legacy}", "function": legacy})

    def _refused(self, parts: list[dict[str, Any]]) -> dict[str, Any]:
        """A message with a refusal: only a message of the provider's own can have one, so it needs
        an id, of which nothing but the beginning counts.
        """
        content: list[dict[str, Any]] = [
            {"type": "refusal", "refusal": part.get("refusal") or ""}
            if part["type"] == "refusal"
            else {"type": "output_text", "text": part.get("text") or "", "annotations": []}
            for part in parts
        ]
        id_ = f"msg_{len(self._items)}"
        head = {"type": "message", "id": id_, "role": "assistant", "status": "completed"}
        return {**head, "content": content}

    def _call(self, call: dict[str, Any]) -> None:
        id_, custom = _short(call.get("id")), call.get("custom")
        if isinstance(custom, dict):
            self._custom.add(id_)
            item = {"type": "custom_tool_call", "call_id": id_, "name": custom.get("name")}
            self._items.append(item | {"input": custom.get("input") or ""})
            return
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        item = {"type": "function_call", "call_id": id_, "name": function.get("name")}
        self._items.append(item | {"arguments": function.get("arguments") or "{}"})

    def _result(self, message: dict[str, Any], id_: object) -> None:
        kind = "custom_tool_call_output" if id_ in self._custom else "function_call_output"
        output = self._content(message.get("content"))
        self._items.append({"type": kind, "call_id": id_, "output": output})

    def _reasoning(self, details: list[Any], images: list[str]) -> None:
        """Puts back what this provider said before. An encrypted part ends an item, whose summary
        and text stand before it; without one the provider would look for the item in vain.
        """
        texts: dict[str, list[tuple[object, str]]] = {}
        id_ = None
        for detail in details:
            if not isinstance(detail, dict) or detail.get("format") != self._format:
                continue
            match detail.get("type"):
                case "reasoning.summary":
                    _grow(texts.setdefault("summary", []), detail, "summary")
                case "reasoning.text":
                    if id_ not in (None, detail.get("id")):
                        self._open(texts, id_)
                    id_ = detail.get("id")
                    _grow(texts.setdefault("text", []), detail, "text")
                case "reasoning.encrypted" if data := string(detail.get("data")):
                    said = (string(detail.get("id")), data)
                    if said not in self._thoughts:
                        item = _thought(texts, detail.get("id"))
                        self._items.append({**item, "encrypted_content": data})
                    self._thoughts.add(said)
                    texts, id_ = {}, None
                case "reasoning.server_tool_call":
                    self._open(texts, id_)
                    id_ = None
                    if work := server_item(detail, images):
                        self._items.append(work)
        self._open(texts, id_)

    def _open(self, texts: dict[str, list[tuple[object, str]]], id_: object) -> None:
        """Puts back reasoning that was not encrypted, which open models give as text."""
        if "text" in texts:
            self._items.append(_thought(texts, id_))
        texts.clear()

    def _named(self, content: Any, name: object) -> Any:
        """The content, which says who speaks: messages have no names here."""
        if not isinstance(name, str) or not name or not content:
            return content
        if isinstance(content, str):
            return f"{name}: {content}"
        return [{"type": "text", "text": f"{name}: "}, *content]

    def _content(self, content: object) -> str | list[dict[str, Any]]:
        if content is None or isinstance(content, str):
            return content or ""
        return [self._part(part) for part in parts_of(content)]

    def _part(self, part: dict[str, Any]) -> dict[str, Any]:
        mark = {name: part[name] for name in ("prompt_cache_breakpoint",) if name in part}
        return self._shown(part) | mark

    def _shown(self, part: dict[str, Any]) -> dict[str, Any]:
        if part.get("type") in ("text", "input_text", "output_text", None):
            return {"type": "input_text", "text": part.get("text") or ""}
        media = media_of(part)
        if media is not None and media.kind == "image":
            said = part["image_url"]
            detail = said.get("detail") if isinstance(said, dict) else None
            detail = detail if detail in _DETAILS_OF_IMAGES else "auto"
            url = media.url or _data_url(media)
            return {"type": "input_image", "image_url": url, "detail": detail}
        if media is not None and media.kind == "file":
            return {"type": "input_file", **_file(media)}
        what = media.kind if media is not None else f"content of type {part.get('type')}"
        raise inexpressible(self._provider, what)


def _paired(items: list[dict[str, Any]]) -> Steps[list[dict[str, Any]]]:
    """The items without what is a 400: a result of no call is told by the user, and a call that was
    left behind without one has one that says so.
    """
    calls: set[Any] = set()
    results: set[Any] = set()
    for place, item in enumerate(items, 1):
        if place % TURNS_PER_STEP == 0:
            yield
        type_ = item.get("type")
        if type_ in _OUTPUTS:
            calls.add(item["call_id"])
        elif type_ in _RESULTS:
            results.add(item["call_id"])
    yield
    paired: list[dict[str, Any]] = []
    missing: list[dict[str, Any]] = []
    for place, item in enumerate(items, 1):
        if place % TURNS_PER_STEP == 0:
            yield
        type_ = item.get("type")
        if type_ not in _OUTPUTS:
            paired += missing
            missing = []
        elif item["call_id"] not in results:
            output = {"call_id": item["call_id"], "output": "The call was not answered."}
            missing.append({"type": _OUTPUTS[type_], **output})
        if type_ in _RESULTS and item["call_id"] not in calls:
            item = {"role": "user", "content": item["output"]}
        paired.append(item)
    return paired


def _transcript(message: dict[str, Any]) -> str:
    """What an answer that was spoken said."""
    audio = message.get("audio")
    said = audio.get("transcript") if isinstance(audio, dict) else None
    return said if isinstance(said, str) else ""


def _short(id_: Any) -> Any:
    return short_id(id_, CALL_ID_CHARS_MAX) if isinstance(id_, str) else id_


def _file(media: Media) -> dict[str, str]:
    if media.id is not None:
        return {"file_id": media.id}
    if media.url is not None:
        return {"file_url": media.url}
    # Bytes without a name are refused.
    name = media.name or "file" + _SUFFIXES.get(media.mime or "", "")
    return {"filename": name, "file_data": _data_url(media)}


def _data_url(media: Media) -> str:
    return f"data:{media.mime or 'application/octet-stream'};base64,{media.data}"


def _pictures(message: dict[str, Any]) -> list[str]:
    """The message's own images as base64, as far as it has their bytes."""
    found = (media_of({**part, "type": "image_url"}) for part in parts_of(message.get("images")))
    return [media.data for media in found if media is not None and media.data]


def _grow(texts: list[tuple[object, str]], detail: dict[str, Any], key: str) -> None:
    """Pieces with one index are one text, as in a stream."""
    text = detail.get(key)
    if not isinstance(text, str):
        return
    index = detail.get("index")
    if texts and texts[-1][0] == index:
        texts[-1] = (index, texts[-1][1] + text)
    else:
        texts.append((index, text))


def _thought(texts: dict[str, list[tuple[object, str]]], id_: object) -> dict[str, Any]:
    item: dict[str, Any] = {"type": "reasoning"}
    if isinstance(id_, str) and id_:
        item["id"] = id_
    summary = [{"type": "summary_text", "text": text} for _, text in texts.get("summary", ())]
    item["summary"] = summary
    if "text" in texts:
        item["content"] = [{"type": "reasoning_text", "text": text} for _, text in texts["text"]]
    return item
