"""A conversation in Anthropic's blocks as the messages of a chat: the inverse of `turns.py`.

What has no counterpart is said as near as a chat can: what a document is called besides its title,
which of its words were cited, that a tool failed, and where between the words a thought stood are
lost on a provider that is not Anthropic's own.
"""

import re
from html import escape
from typing import Any, Final

import orjson

from proxy.dialects.messages.blocks import FORMAT, USES, Block, marked
from proxy.dialects.messages.seals import unsealed
from proxy.dialects.values import mapping, objects, string
from proxy.errors import GatewayError
from proxy.wire.slices import MESSAGES_PER_STEP, Steps

_PLACE: Final = re.compile(r"messages\[(\d+)\]\.content\[(\d+)\]\.([\w.]+)")
_MEDIA: Final = ("image_url", "file")


class Recall:
    """The messages of one request, and where each of their parts stood in it."""

    def __init__(self) -> None:
        self._messages: list[Block] = []
        self._paths: dict[int, str] = {}  # of parts, by their identity

    def messages(self, fields: dict[str, Any]) -> Steps[list[Block]]:
        """The chat of a request whose types were checked, in steps of so many messages.

        Raises GatewayError `invalid_request`, which names the field.
        """
        if fields.get("messages") is None:
            raise GatewayError("invalid_request", "messages: required")
        if not fields["messages"]:
            raise GatewayError("invalid_request", "messages: must not be empty")
        if system := fields.get("system"):
            self._messages.append({"role": "system", "content": _words(system)})
        for number, message in enumerate(fields["messages"]):
            if number % MESSAGES_PER_STEP == MESSAGES_PER_STEP - 1:
                yield
            self._add(message, f"messages[{number}].content")
        return self._messages

    def told(self, error: GatewayError) -> GatewayError:
        """`error` with the caller's own name for the part of a message that it is about."""
        found = _PLACE.match(error.message)
        if found is None:
            return error
        part = self._messages[int(found[1])]["content"][int(found[2])]
        field = "source" if found[3].startswith(_MEDIA) else found[3]
        message = f"{self._paths[id(part)]}.{field}{error.message[found.end() :]}"
        return GatewayError(error.kind, message)

    def _add(self, message: Block, path: str) -> None:
        role, content = message["role"], message["content"]
        if isinstance(content, str):
            self._messages.append({"role": role, "content": content})
        elif role == "assistant":
            self._messages.append(_answer(content, path))
        else:
            self._say(role, content, path)

    def _say(self, role: str, blocks: list[Block], path: str) -> None:
        """Results are messages of their own, and come first."""
        parts: list[Block] = []
        for number, block in enumerate(blocks):
            place = f"{path}[{number}]"
            if block["type"] == "tool_result":
                self._messages.append(self._result(block, place))
            else:
                parts += self._parts(block, place)
        if parts:
            self._messages.append({"role": role, "content": parts})

    def _result(self, block: Block, path: str) -> Block:
        id_, content = block.get("tool_use_id"), block.get("content")
        if not isinstance(id_, str):
            raise GatewayError("invalid_request", f"{path}.tool_use_id: required")
        told: str | list[Block] = content if isinstance(content, str) else ""
        parts: list[Block] = []
        for number, one in enumerate(objects(content)):
            parts += self._parts(one, f"{path}.content[{number}]")
        message = {"role": "tool", "tool_call_id": id_, "content": parts or told}
        return marked(message, block)

    def _parts(self, block: Block, path: str) -> list[Block]:
        """What a user's block, or one of a result, is in a chat. A document of many is many."""
        source = mapping(block.get("source"))
        if block.get("type") == "document" and source.get("type") == "content":
            content = source.get("content")
            inner = [{"type": "text", "text": content}] if isinstance(content, str) else content
            return [part for one in objects(inner) for part in self._parts(one, path)]
        part = _part(block, source, path)
        if part is None:
            return []
        self._paths[id(part)] = path
        return [marked(part, block)]


def _words(content: str | list[Block]) -> str | list[Block]:
    """Instructions, or what was answered, as a chat has them: marks need parts."""
    if isinstance(content, str):
        return content
    parts = [marked({"type": "text", "text": one["text"]}, one) for one in content]
    if len(parts) == 1 and "cache_control" not in parts[0]:
        return str(parts[0]["text"])
    return parts


def _part(block: Block, source: Block, path: str) -> Block | None:
    match block.get("type"):
        case "text":
            text = string(block.get("text"))
            return {"type": "text", "text": text} if text else None
        case "image" if source.get("type") != "file":
            return {"type": "image_url", "image_url": {"url": _url(source, path)}}
        case "document" if source.get("type") == "text":
            return {"type": "text", "text": _document(block, source, path)}
        case "image" | "document":
            return {"type": "file", "file": _file(block, source, path)}
        case "search_result":
            return {"type": "text", "text": _found(block)}
        case "tool_reference":
            return {"type": "text", "text": str(block.get("tool_name"))}
        case "thinking" | "redacted_thinking" | "tool_use":
            raise GatewayError("invalid_request", f"{path}.type: not in a user's message")
    return dict(block)


def _file(block: Block, source: Block, path: str) -> Block:
    title = string(block.get("title")) or ("image.png" if block["type"] == "image" else None)
    named: Block = {"filename": title} if title else {}
    if source.get("type") == "file" and string(source.get("file_id")):
        return {**named, "file_id": source["file_id"]}
    return {**named, "file_data": _url(source, path)}


def _url(source: Block, path: str) -> str:
    """Where the data is, or the data itself. Raises GatewayError `invalid_request`."""
    data, url = source.get("data"), source.get("url")
    match source.get("type"):
        case "url" if isinstance(url, str) and url:
            return url
        case "base64" if isinstance(data, str) and string(source.get("media_type")):
            return f"data:{source['media_type']};base64,{data}"
    raise GatewayError("invalid_request", f"{path}.source: neither data nor a URL")


def _document(block: Block, source: Block, path: str) -> str:
    """A text that everybody can read, as other files become one."""
    if not isinstance(source.get("data"), str):
        raise GatewayError("invalid_request", f"{path}.source.data: required")
    title = string(block.get("title"))
    name = f' name="{escape(title)}"' if title else ""
    return f"<file{name}>\n{source['data']}\n</file>"


def _found(block: Block) -> str:
    """A search result in words."""
    heads = [one for name in ("title", "source") if (one := string(block.get(name)))]
    texts = [str(one.get("text") or "") for one in objects(block.get("content"))]
    return "\n".join([*heads, *texts])


def _answer(blocks: list[Block], path: str) -> Block:
    """What the model said, all of a kind together."""
    texts: list[Block] = []
    calls: list[Block] = []
    details: list[Block] = []
    uses: dict[str, Block] = {}
    for number, block in enumerate(blocks):
        type_ = block["type"]
        if type_ == "text":
            if string(block.get("text")):
                texts.append(block)
        elif type_ == "compaction":  # all that is left of what was said before it
            if text := string(block.get("content")):
                texts.append({"text": text})
        elif type_ == "tool_use":
            calls.append(_call(block, f"{path}[{number}]"))
        elif type_ in USES:
            detail = _use(block, len(details))
            uses[str(block.get("id"))] = detail
            details.append(detail)
        elif type_.endswith("_tool_result"):
            if (use := uses.get(str(block.get("tool_use_id")))) is not None:
                use["result"] = json_of(block)
        elif thought := _thought(block, len(details)):
            details.append(thought)
    message: Block = {"role": "assistant", "content": _words(texts) if texts else None}
    if told := "".join(str(one.get("text") or one.get("summary") or "") for one in details):
        message["reasoning"] = told
    if details:
        message["reasoning_details"] = details
    if calls:
        message["tool_calls"] = calls
    return message


def _call(block: Block, path: str) -> Block:
    for name in ("id", "name"):
        if not isinstance(block.get(name), str):
            raise GatewayError("invalid_request", f"{path}.{name}: required")
    function = {"name": block["name"], "arguments": json_of(mapping(block.get("input")))}
    return marked({"id": block["id"], "type": "function", "function": function}, block)


def _thought(block: Block, index: int) -> Block | None:
    """A `reasoning_details` entry; None for what is no thought."""
    match block["type"]:
        case "thinking":
            text, signature = string(block.get("thinking")), string(block.get("signature"))
            if (kept := unsealed(signature)) is not None:
                key = "summary" if kept.get("type") == "reasoning.summary" else "text"
                return {**kept, key: text} if text else kept
            detail: Block = {"type": "reasoning.text", "text": text or ""}
            if signature:
                detail |= {"signature": signature, "format": FORMAT}
            else:
                detail["format"] = "unknown"
            return {**detail, "index": index}
        case "redacted_thinking":
            if (kept := unsealed(block.get("data"))) is not None:
                return kept
            detail = {"type": "reasoning.encrypted", "data": block.get("data"), "format": FORMAT}
            return {**detail, "index": index}
    return None


def _use(block: Block, index: int) -> Block:
    """A server's tool, as `events.py` tells of it; its result is yet to come."""
    own: Block = {key: block[key] for key in ("caller", "server_name") if key in block}
    return {
        "type": "reasoning.server_tool_call",
        "tool_name": block.get("name"),
        "arguments": json_of(mapping(block.get("input"))),
        "result": "",
        "tool_call_id": block.get("id"),
        "format": FORMAT,
        "index": index,
        **own,
    }


def json_of(value: object) -> str:
    """`value` as text. Raises GatewayError `invalid_request` where it is nested too deeply."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        raise GatewayError("invalid_request", "The body is nested too deeply.") from None
