"""Cohere's v2 chat, the answer: bytes in, canonical events out.

The plan before tool calls is reasoning, as it is meant for nobody but the model. Source: "Chat with
Streaming" in Cohere's API reference, and recorded traffic.
"""

from collections.abc import Callable
from typing import Any, Final

import orjson

from proxy.dialects.cohere import FORMAT, PLAN, THINKING
from proxy.dialects.cohere.citations import annotations
from proxy.dialects.cohere.counts import decode_usage, logprobs_of, whole_logprobs
from proxy.dialects.faults import text_of
from proxy.dialects.reading import Decoder, parse
from proxy.dialects.values import mapping, objects, string
from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.events import (
    Attachments,
    Ended,
    Event,
    Failed,
    Finished,
    Reasoning,
    Started,
    Text,
    ToolCall,
    UsageReport,
)

REASONS: Final = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR_LIMIT": "length",  # the context is full
    "ERROR_TOXIC": "content_filter",
    "ERROR": "error",
    "TIMEOUT": "error",
    "USER_CANCEL": "error",
}
"""Cohere's finish reasons in OpenRouter's words; an unknown one reads as `stop`."""

_Object = dict[str, Any]


def decoder(quirks: Quirks) -> Decoder:
    """A stream of Cohere's; `message-end` ends it, as not every host of it sends `[DONE]`."""
    return Decoder(Reader().read)


def decode_answer(body: bytes, quirks: Quirks) -> list[Event]:
    """The events of a whole answer; a whole JSON object is its own end mark.

    Raises GatewayError `provider_malformed` for what is no answer.
    """
    answer = parse(body)
    events: list[Event] = []
    Reader().read_whole(answer, events)
    if not events:
        raise GatewayError("provider_malformed", "The answer has no message.")
    return events


class Reader:
    """Turns objects into events and remembers which blocks of reasoning and calls there were."""

    def __init__(self) -> None:
        self._blocks: dict[object, int] = {}
        self._calls: dict[object, int] = {}
        self._kinds: dict[str, Callable[[_Object, _Object, list[Event]], None]] = {
            "content-delta": self._content,
            "tool-call-delta": self._call_delta,
            "tool-plan-delta": self._plan,
            "message-start": self._start,
            "content-start": self._content,
            "tool-call-start": self._call_start,
            "citation-start": self._cite,
            "message-end": self._end,
        }

    def read(self, name: str, said: _Object, events: list[Event]) -> None:
        """Appends the events of one frame of a stream; of a kind that is not known there are
        none.
        """
        read = self._kinds.get(string(said.get("type")) or name)
        if read is not None:
            delta = mapping(said.get("delta"))
            read(said, mapping(delta.get("message")), events)
        elif "error" in said or "type" not in said:
            # What is refused without a stream has an id and a message, and no type.
            events.append(_failed(said, said.get("error") or said.get("message")))

    def read_whole(self, answer: _Object, events: list[Event]) -> None:
        """Appends the events of a whole answer; none where it is none."""
        message = answer.get("message")
        if isinstance(message, str):
            events.append(_failed(answer, message))
        if not isinstance(message, dict):
            return
        self._start(answer, message, events)
        blocks = objects(message.get("content"))
        text = "".join(string(block.get("text")) or "" for block in blocks)
        logprobs = whole_logprobs(answer.get("logprobs"), text)
        for index, block in enumerate(blocks):
            self._block(index, block, None, events)
        if logprobs is not None:
            events.append(Text(0, "", logprobs))
        self._plan(answer, message, events)
        for index, call in enumerate(objects(message.get("tool_calls"))):
            self._call_start({"index": index}, {"tool_calls": call}, events)
        for citation in objects(message.get("citations")):
            self._cite(answer, {"citations": citation}, events)
        self._finish(answer, events)

    def _start(self, said: _Object, message: _Object, events: list[Event]) -> None:
        events.append(Started(upstream_id=string(said.get("id"))))

    def _content(self, said: _Object, message: _Object, events: list[Event]) -> None:
        self._block(said.get("index"), mapping(message.get("content")), said, events)

    def _block(
        self, index: object, block: _Object, said: _Object | None, events: list[Event]
    ) -> None:
        """A piece of a block, or all of it. `said` has what stands beside a piece."""
        if text := string(block.get("text")):
            logprobs = logprobs_of(said["logprobs"]) if said and "logprobs" in said else None
            events.append(Text(0, text, logprobs))
        if thought := string(block.get("thinking")):
            events.append(self._reasoning(index, THINKING, thought))

    def _plan(self, said: _Object, message: _Object, events: list[Event]) -> None:
        if plan := string(message.get("tool_plan")):
            events.append(self._reasoning(PLAN, PLAN, plan))

    def _reasoning(self, place: object, own: str, text: str) -> Reasoning:
        # Clients join the pieces of one index, and a block of text counts among Cohere's.
        number = self._blocks.setdefault(_key(place), len(self._blocks))
        detail = {
            "type": "reasoning.text",
            "text": text,
            "format": FORMAT,
            "id": own,
            "index": number,
        }
        return Reasoning(0, text, (detail,))

    def _call_start(self, said: _Object, message: _Object, events: list[Event]) -> None:
        call = mapping(message.get("tool_calls"))
        function = mapping(call.get("function"))
        number = self._calls[_key(said.get("index"))] = len(self._calls)
        id_, name = string(call.get("id")), string(function.get("name"))
        arguments = string(function.get("arguments")) or ""
        events.append(ToolCall(0, number, id_, name or "", arguments))

    def _call_delta(self, said: _Object, message: _Object, events: list[Event]) -> None:
        function = mapping(mapping(message.get("tool_calls")).get("function"))
        number = self._calls.get(_key(said.get("index")))
        if number is None:
            raise GatewayError("provider_malformed", "A part of the answer belongs to no call.")
        if arguments := string(function.get("arguments")):
            events.append(ToolCall(0, number, None, None, arguments))

    def _cite(self, said: _Object, message: _Object, events: list[Event]) -> None:
        if items := annotations(mapping(message.get("citations"))):
            events.append(Attachments(0, "annotations", items))

    def _end(self, said: _Object, message: _Object, events: list[Event]) -> None:
        self._finish(mapping(said.get("delta")), events)

    def _finish(self, said: _Object, events: list[Event]) -> None:
        """The usage and how it ended: beside a whole message, or in a stream's last frame."""
        if (usage := decode_usage(said.get("usage"))) is not None:
            events.append(UsageReport(usage))
        native = string(said.get("finish_reason"))
        reason = REASONS.get(native or "COMPLETE", "stop")
        if reason == "error":
            told = said.get("error") or f"The provider ended the answer with {native!r}."
            events.append(_failed(said, told, native))
            return
        if reason == "stop" and self._calls:
            reason = "tool_calls"  # as OpenRouter does where a call is present
        events += (Finished(0, reason, native), Ended())


def _failed(said: _Object, told: object, code: str | None = None) -> Failed:
    error = {name: said[name] for name in ("id", "message", "error") if name in said}
    status = 504 if code == "TIMEOUT" else None
    try:
        raw = orjson.dumps(error).decode()
    except orjson.JSONEncodeError:  # too deep
        raw = ""
    return Failed(status, text_of(told), code, raw)


def _key(index: object) -> object:
    return index if isinstance(index, int | str) else 0
