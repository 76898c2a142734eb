"""Anthropic's Messages, the answer: its event stream, or a whole message, as canonical events.

Blocks come one after the other, each begun, told in pieces and ended; a whole message has the same
blocks at once. Citations are told when their block ends, since they span it; a server tool when its
result is there. Usage counts only from `message_delta` on: that of the beginning knows only the
prompt. Recorded at Anthropic and on Vertex AI.
"""

from typing import Any, Final

from proxy.dialects.faults import text_of
from proxy.dialects.messages.blocks import FORMAT, THOUGHTS, USES, Block
from proxy.dialects.messages.counts import decode_prompt, decode_usage
from proxy.dialects.reading import Decoder, parse
from proxy.dialects.values import json_text, mapping, objects, string
from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.events import (
    Attachments,
    Ended,
    Event,
    Failed,
    Finished,
    Reasoning,
    Refusal,
    Started,
    Text,
    ToolCall,
    UsageReport,
)

REASONS: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
"""Anthropic's stop reasons in OpenRouter's words; an unknown one reads as `stop`."""

STATUSES: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The status that an error inside a stream would have had before it (API reference, "Errors")."""

_TIERS: Final = {"standard": "default"}
_WEB = "web_search_result_location"


def decoder(quirks: Quirks) -> Decoder:
    """A stream of one provider."""
    return Decoder(Reader().read)


def decode_answer(body: bytes, quirks: Quirks) -> list[Event]:
    """The events of a whole message; a whole JSON object is its own end mark.

    Raises GatewayError `provider_malformed` for what is no message.
    """
    message = parse(body)
    events: list[Event] = []
    reader = Reader()
    if message.get("type") == "error":
        reader.read("error", message, events)
    elif isinstance(message.get("content"), list):
        reader.whole(message, events)
    else:
        raise GatewayError("provider_malformed", "The answer has no content.")
    events.append(Ended())
    return events


class Reader:
    """Turns events of Anthropic's into ours and remembers what later ones need: the open block,
    tool uses without a result, how much text there was.
    """

    def __init__(self) -> None:
        self._block: Block = {}
        self._given: list[str] = []  # pieces of a tool's input
        self._cited: list[Block] = []
        self._uses: dict[str, Block] = {}  # server tools at work
        self._usage: dict[str, Any] = {}
        self._id: str | None = None
        self._tier: str | None = None
        self._calls = 0
        self._details = 0
        self._said_chars = 0
        self._block_begin = 0
        self._finished = False

    def read(self, _name: str, event: dict[str, Any], events: list[Event]) -> None:
        """Appends what one event says; what is not known, `ping` among it, says nothing."""
        match event.get("type"):
            case "content_block_delta":
                self._delta(mapping(event.get("delta")), events)
            case "content_block_start":
                self._begin(mapping(event.get("content_block")), events)
            case "content_block_stop":
                self._end(events)
            case "message_start":
                self._start(mapping(event.get("message")), events)
            case "message_delta":
                self._count(event)
                if (tier := self._served()) != self._tier:
                    self._tier = tier
                    events.append(Started(self._id, service_tier=tier))
                self._finish(mapping(event.get("delta")), events)
                if event.get("usage"):
                    self._report(events)
            case "message_stop":
                events.append(Ended())
            case "error":
                events.append(_failed(event.get("error")))

    def whole(self, message: dict[str, Any], events: list[Event]) -> None:
        """Appends what a whole message says."""
        self._start(message, events)
        for block in message["content"]:
            if isinstance(block, dict):
                self._begin(block, events)
                self._end(events)
        self._finish(message, events)
        self._report(events)

    def _start(self, message: dict[str, Any], events: list[Event]) -> None:
        self._count(message)
        self._id, self._tier = string(message.get("id")), self._served()
        events.append(Started(self._id, service_tier=self._tier, prompt=decode_prompt(self._usage)))

    def _served(self) -> str | None:
        """The service tier that was served; Anthropic's fast mode is told beside its own tiers."""
        if self._usage.get("speed") == "fast":
            return "priority"
        tier = string(self._usage.get("service_tier"))
        return _TIERS.get(tier or "", tier)

    def _begin(self, block: Block, events: list[Event]) -> None:
        self._end(events)  # some servers never say that one is over
        self._block, self._given, self._cited = block, [], []
        self._block_begin = self._said_chars
        type_ = block.get("type")
        if type_ == "text":
            self._cited += objects(block.get("citations"))
            self._text(block.get("text"), events)
        elif type_ == "thinking":
            self._thought(block.get("thinking"), block.get("signature"), events)
        elif type_ == "redacted_thinking":
            detail = {"type": "reasoning.encrypted", "data": block.get("data"), "format": FORMAT}
            events.append(Reasoning(0, "", ({**detail, "index": self._details},)))
        elif type_ == "tool_use":
            id_, name = string(block.get("id")), string(block.get("name"))
            events.append(ToolCall(0, self._calls, id_, name or "", ""))
        elif isinstance(type_, str) and type_.endswith("_tool_result"):
            self._result(block, events)

    def _delta(self, delta: dict[str, Any], events: list[Event]) -> None:
        type_ = delta.get("type")
        if type_ == "text_delta":
            self._text(delta.get("text"), events)
        elif type_ == "input_json_delta":
            if piece := string(delta.get("partial_json")):
                self._given.append(piece)
                if self._block.get("type") == "tool_use":
                    events.append(ToolCall(0, self._calls, None, None, piece))
        elif type_ == "thinking_delta":
            self._thought(delta.get("thinking"), None, events)
        elif type_ == "signature_delta":
            self._thought(None, delta.get("signature"), events)
        elif type_ == "citations_delta":
            self._cited.append(mapping(delta.get("citation")))

    def _end(self, events: list[Event]) -> None:
        block, self._block = self._block, {}
        type_ = block.get("type")
        if type_ == "text" and self._cited:
            spans = (self._block_begin, self._said_chars)
            items = tuple(_annotation(one, *spans) for one in self._cited if one)
            events.append(Attachments(0, "annotations", items))
        elif type_ in THOUGHTS:
            self._details += 1
        elif type_ == "tool_use":
            if not self._given:
                events.append(
                    ToolCall(0, self._calls, None, None, json_text(mapping(block.get("input"))))
                )
            self._calls += 1
        elif type_ in USES:
            given = "".join(self._given) or json_text(mapping(block.get("input")))
            self._uses[str(block.get("id"))] = {**block, "input": given}

    def _text(self, text: object, events: list[Event]) -> None:
        if isinstance(text, str) and text:
            self._said_chars += len(text)
            events.append(Text(0, text))

    def _thought(self, text: object, signature: object, events: list[Event]) -> None:
        said, signed = string(text) or "", string(signature)
        if not said and signed is None:
            return
        detail: dict[str, Any] = {"type": "reasoning.text"}
        if said:
            detail["text"] = said
        if signed:
            detail["signature"] = signed
        events.append(Reasoning(0, said, ({**detail, "format": FORMAT, "index": self._details},)))

    def _result(self, block: Block, events: list[Event]) -> None:
        """A result belongs to the use that it names, else to the oldest that waits for one."""
        oldest = next(iter(self._uses), "")
        id_ = str(block.get("tool_use_id"))
        if use := self._uses.pop(id_ if id_ in self._uses else oldest, None):
            self._server_tool(use, json_text(block), events)

    def _server_tool(self, use: Block, result: str, events: list[Event]) -> None:
        """What a server tool was asked and gave, in full: it has to be sent back."""
        own: Block = {key: use[key] for key in ("caller", "server_name") if key in use}
        detail = {
            "type": "reasoning.server_tool_call",
            "tool_name": use.get("name"),
            "arguments": use["input"],
            "result": result,
            "tool_call_id": use.get("id"),
            "format": FORMAT,
            "index": self._details,
            **own,
        }
        self._details += 1
        events.append(Reasoning(0, "", (detail,)))

    def _finish(self, delta: dict[str, Any], events: list[Event]) -> None:
        native = string(delta.get("stop_reason"))
        if native is None or self._finished:
            return
        self._finished = True
        self._end(events)
        for use in self._uses.values():  # the turn was paused before their results
            self._server_tool(use, "", events)
        if refusal := string(mapping(delta.get("stop_details")).get("explanation")):
            events.append(Refusal(0, refusal))
        reason = REASONS.get(native, "stop")
        if reason == "stop" and self._calls:
            reason = "tool_calls"
        events.append(Finished(0, reason, native))

    def _count(self, message: dict[str, Any]) -> None:
        """Counts are cumulative; what a later one leaves out, or says null of, holds on."""
        usage = mapping(message.get("usage"))
        self._usage |= {name: value for name, value in usage.items() if value is not None}

    def _report(self, events: list[Event]) -> None:
        if (usage := decode_usage(self._usage)) is not None:
            events.append(UsageReport(usage))


def _annotation(citation: Block, begin: int, end: int) -> Block:
    """A citation as OpenRouter writes it; it spans its block in the whole text."""
    if citation.get("type") == _WEB and isinstance(citation.get("url"), str):
        cited = {
            "url": citation["url"],
            "title": citation.get("title") or citation["url"],
            "start_index": begin,
            "end_index": end,
            "content": citation.get("cited_text") or "",
        }
        return {"type": "url_citation", "url_citation": cited}
    cited = {**citation, "start_index": begin, "end_index": end}
    return {"type": "file_citation", "file_citation": cited}


def _failed(error: object) -> Failed:
    said = mapping(error)
    type_ = string(said.get("type"))
    return Failed(STATUSES.get(type_ or ""), text_of(said), type_, json_text(said))
