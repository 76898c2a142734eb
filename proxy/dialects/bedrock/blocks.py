"""Content blocks of an answer, as they come: text, calls, thoughts, citations, pictures.

The decoder does not know whose model answers. Thoughts with a signature are Claude's, as nobody
else signs them, and so are redacted ones that hold the text that Anthropic's own API shows; all
others get the format `unknown`. In a stream the signature comes last, so pieces of text name no
format before it: clients join the pieces, and the signature's names it.
"""

import base64
import binascii
import re
from typing import Any, Final

from proxy.dialects.messages.blocks import FORMAT
from proxy.dialects.values import json_text, mapping, objects, string
from proxy.errors import GatewayError
from proxy.wire.events import Attachments, Event, Reasoning, Text, ToolCall

OTHER_FORMAT: Final = "unknown"
SERVER_TOOL: Final = "server_tool_use"
_SEALED = re.compile(rb"[A-Za-z0-9+/]+={0,2}")

_Object = dict[str, Any]


class Writing:
    """What blocks of one answer count together: the text so far, calls, thoughts, server tools."""

    def __init__(self) -> None:
        self.length = 0
        self.calls = 0
        self.thoughts = 0
        self.used: dict[str, _Object] = {}  # server tools without a result, by their id

    def whole(self, content: _Object, events: list[Event]) -> None:
        """Appends the events of a block that is all there."""
        block = Block(self)
        for kind, told in content.items():
            if kind == "toolUse":
                block.begin(kind, mapping(told), events)
                given = mapping(mapping(told).get("input"))
                block.add(kind, {"input": json_text(given)}, events)
            elif kind == "toolResult":
                block.begin(kind, mapping(told), events)
                block.add(kind, mapping(told).get("content"), events)
            elif kind == "citationsContent":
                for piece in objects(mapping(told).get("content")):
                    block.add("text", piece.get("text"), events)
                for citation in objects(mapping(told).get("citations")):
                    block.add("citation", citation, events)
            elif kind == "reasoningContent":
                block.think_whole(mapping(told), events)
            elif kind == "image":
                block.begin(kind, mapping(told), events)
                block.add(kind, told, events)
            else:
                block.add(kind, told, events)
        block.close(events)

    def finish(self, events: list[Event]) -> None:
        """Appends the server tools whose results never came."""
        events.extend(Reasoning(0, "", (use,)) for use in self.used.values())
        self.used.clear()

    def thought(self) -> int:
        self.thoughts += 1
        return self.thoughts - 1


class Block:
    """One block: pieces of it become events as they come, the rest when it closes."""

    __slots__ = ("_call", "_cited", "_given", "_picture", "_result", "_start", "_thought", "_use",
                 "_writing")  # fmt: skip

    def __init__(self, writing: Writing) -> None:
        self._writing = writing
        self._start = writing.length
        self._call: int | None = None
        self._thought: int | None = None
        self._given = False
        self._use: _Object | None = None
        self._result: _Object | None = None
        self._cited: list[_Object] = []
        self._picture: tuple[str, list[str]] | None = None

    def begin(self, kind: str, told: _Object, events: list[Event]) -> None:
        """Reads the start that calls, results of server tools and pictures have."""
        if kind == "toolUse":
            id_, name = string(told.get("toolUseId")), string(told.get("name"))
            if told.get("type") == SERVER_TOOL:
                self._use = {
                    "type": "reasoning.server_tool_call",
                    "tool_name": name,
                    "arguments": "",
                    "result": None,
                    "format": OTHER_FORMAT,
                    "tool_call_id": id_,
                    "index": self._writing.thought(),
                }
                self._writing.used[id_ or ""] = self._use
                return
            self._call = self._writing.calls
            self._writing.calls += 1
            events.append(ToolCall(0, self._call, id_, name or "", ""))
        elif kind == "toolResult":
            self._result = {key: value for key, value in told.items() if key != "content"}
            self._result["content"] = []
        elif kind == "image":
            self._picture = string(told.get("format")) or "png", []

    def add(self, kind: str, told: Any, events: list[Event]) -> None:
        """Reads a piece; of a kind that is not known nothing is said."""
        if kind == "text":
            if isinstance(told, str) and told:
                self._writing.length += len(told)
                events.append(Text(0, told))
        elif kind == "toolUse":
            self._argue(mapping(told).get("input"), events)
        elif kind == "reasoningContent":
            self._think(mapping(told), events)
        elif kind == "citation":
            self._cited.append(mapping(told))
        elif kind == "toolResult" and self._result is not None:
            _extend(self._result["content"], objects(told))
        elif kind == "image" and self._picture is not None:
            source = mapping(mapping(told).get("source"))
            self._picture[1].append(string(source.get("bytes")) or "")

    def close(self, events: list[Event]) -> None:
        """Appends what could not be said before all of the block was there."""
        if self._call is not None and not self._given:
            events.append(ToolCall(0, self._call, None, None, "{}"))
        if self._result is not None:
            self._give(self._result, events)
        if self._cited:
            place = {"start_index": self._start, "end_index": self._writing.length}
            items = tuple(_annotation(citation, place) for citation in self._cited)
            events.append(Attachments(0, "annotations", items))
        if self._picture is not None and (data := _joined(self._picture[1])):
            url = f"data:image/{self._picture[0]};base64,{data}"
            image = {"type": "image_url", "image_url": {"url": url}}
            events.append(Attachments(0, "images", (image,)))

    def think_whole(self, told: _Object, events: list[Event]) -> None:
        """Reads thoughts that are all there: text and signature are one entry."""
        said = told.get("reasoningText")
        if not isinstance(said, dict):
            self._think(told, events)
            return
        text, signature = string(said.get("text")) or "", string(said.get("signature"))
        detail: _Object = {"type": "reasoning.text", "text": text}
        if signature:
            detail["signature"] = signature
        detail["format"] = FORMAT if signature else OTHER_FORMAT
        detail["index"] = self._number()
        if text or signature:
            events.append(Reasoning(0, text, (detail,)))

    def _argue(self, said: object, events: list[Event]) -> None:
        arguments = string(said)
        if arguments is None:
            return
        if self._use is not None:
            self._use["arguments"] += arguments
        elif self._call is None:
            raise GatewayError("provider_malformed", "A part of the answer belongs to no call.")
        else:
            self._given = True
            events.append(ToolCall(0, self._call, None, None, arguments))

    def _give(self, result: _Object, events: list[Event]) -> None:
        use = self._writing.used.pop(string(result.get("toolUseId")) or "", None)
        if use is not None:
            use["result"] = json_text(result)
            events.append(Reasoning(0, "", (use,)))

    def _think(self, told: _Object, events: list[Event]) -> None:
        if text := string(told.get("text")):
            detail = {"type": "reasoning.text", "text": text, "index": self._number()}
            events.append(Reasoning(0, text, (detail,)))
        if signature := string(told.get("signature")):
            detail = {"type": "reasoning.text", "signature": signature, "format": FORMAT}
            events.append(Reasoning(0, "", (detail | {"index": self._number()},)))
        if sealed := string(told.get("redactedContent")):
            data = unsealed(sealed)
            detail = {"type": "reasoning.encrypted", "data": data or sealed}
            detail["format"] = FORMAT if data else OTHER_FORMAT
            events.append(Reasoning(0, "", (detail | {"index": self._number()},)))

    def _number(self) -> int:
        if self._thought is None:
            self._thought = self._writing.thought()
        return self._thought


def unsealed(data: str) -> str | None:
    """What a redacted thought of Claude is called at Anthropic, which Bedrock puts into base64 once
    more; None where it is none.
    """
    try:
        own = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return None
    return own.decode() if _SEALED.fullmatch(own) else None


def sealed(data: str) -> str:
    """The same the other way round."""
    return base64.b64encode(data.encode()).decode()


def _annotation(citation: _Object, place: _Object) -> _Object:
    """A citation in OpenRouter's words where it has an address, else in Bedrock's own."""
    location = mapping(citation.get("location"))
    web = mapping(location.get("web"))
    source = string(citation.get("source")) or ""
    url = string(web.get("url")) or (source if source.startswith(("http://", "https://")) else None)
    if url is None:
        return {"type": "file_citation", "file_citation": citation | place}
    title = string(citation.get("title")) or string(web.get("domain")) or url
    cited = {"url": url, "title": title, **place}
    texts = (string(piece.get("text")) for piece in objects(citation.get("sourceContent")))
    if content := "".join(filter(None, texts)):
        cited["content"] = content
    return {"type": "url_citation", "url_citation": cited}


def _extend(known: list[_Object], pieces: list[_Object]) -> None:
    """Adds pieces of a result; text that follows text is one."""
    for piece in pieces:
        if known and isinstance(piece.get("text"), str) and "text" in known[-1]:
            known[-1] = {"text": known[-1]["text"] + piece["text"]}
        else:
            known.append(piece)


def _joined(pieces: list[str]) -> str:
    """Base64 of all the bytes of which these are pieces."""
    if len(pieces) == 1:
        return pieces[0]
    try:
        return base64.b64encode(b"".join(map(base64.b64decode, pieces))).decode()
    except (binascii.Error, ValueError):
        raise GatewayError("provider_malformed", "A picture of the answer is broken.") from None
