"""Canonical events becoming Anthropic's: blocks one after the other, each begun, told and ended.

Canonical events interleave: what belongs to a block that can not begin yet waits until the open one
is over. A call is over when its arguments are a whole object, everything else when something else
is said. A whole answer is the same events, folded (`answer.py`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from proxy.dialects.chat.stream import hides_reasoning
from proxy.dialects.forms import Bill
from proxy.dialects.messages.blocks import FORMAT, Block
from proxy.dialects.messages.cited import citation
from proxy.dialects.messages.events import REASONS
from proxy.dialects.messages.seals import sealed
from proxy.dialects.messages.tally import additions, encode_usage
from proxy.dialects.values import objects, parsed, string
from proxy.wire.events import (
    Attachments,
    Event,
    Finished,
    Reasoning,
    Refusal,
    Started,
    Text,
    ToolCall,
    Usage,
)
from proxy.wire.request import Ask, Head

STOPS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
"""Anthropic's stop reasons by OpenRouter's finish reasons."""

_NATIVE: Final = frozenset((*REASONS, "compaction"))
_LOOKS_MAX: Final = 100  # at the arguments of one call, which are read anew each time


@dataclass
class _Part:
    """A block of the answer. `waiting` are its deltas that are not sent yet, `given` the pieces of
    a call's arguments, `kept` what is to be sealed of another provider's thought.
    """

    key: object
    block: Block
    waiting: list[Block] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    kept: Block | None = None
    signed: bool = False
    looks: int = 0

    @property
    def over(self) -> bool:
        """Whether another block may begin; of long arguments that go on and on, it is not seen."""
        if self.block["type"] != "tool_use":
            return True
        if not self.given or not self.given[-1].rstrip().endswith("}") or self.looks > _LOOKS_MAX:
            return False
        self.looks += 1
        return parsed("".join(self.given)) is not None


class Speech:
    """The events of one answer, each an object with its `type`."""

    def __init__(self, head: Head, ask: Ask) -> None:
        self._head = head
        self._hidden = hides_reasoning(ask)
        self._began = False
        self._tier: str | None = None
        self._index = -1
        self._open: _Part | None = None
        self._parts: list[_Part] = []  # that wait for the open one
        self._behind: list[Block] = []  # sealed thoughts behind a text
        self._calls: set[int] = set()
        self._refused: list[str] = []
        self._finished: Finished | None = None

    def say(self, event: Event) -> Iterator[Block]:
        """What one event makes."""
        if isinstance(event, Started):
            self._tier = event.service_tier or self._tier
            if not self._began:
                yield from self._begin(event)
            return
        self._take(event)
        if self._parts or (self._open and self._open.waiting):
            yield from self._advance(last=False)

    def end(self, bill: Bill) -> Iterator[Block]:
        """The end of the answer; what still waits comes before it."""
        stop, refused = self._stop(), "".join(self._refused)
        if refused and (self._finished is None or self._finished.native != "refusal"):
            self._text({"type": "text_delta", "text": refused})  # its own are `stop_details` alone
        yield from self._advance(last=True)
        details = {"type": "refusal", "category": None, "explanation": refused or None}
        delta = {
            "container": None,
            "stop_details": details if stop == "refusal" else None,
            "stop_reason": stop,
            "stop_sequence": None,
        }
        usage = encode_usage(bill.usage, self._tier) | additions(bill)
        yield {"type": "message_delta", "delta": delta, "usage": usage}
        yield {"type": "message_stop"} | routed(bill)

    def _begin(self, started: Started) -> Iterator[Block]:
        self._began = True
        message: Block = {
            "id": self._head.id,
            "type": "message",
            "role": "assistant",
            "model": self._head.model,
            "provider": self._head.provider,
            "container": None,
            "content": [],
            "stop_reason": None,
            "stop_details": None,
            "stop_sequence": None,
            "usage": encode_usage(started.prompt or Usage(), self._tier),
        }
        yield {"type": "message_start", "message": message}

    def _advance(self, *, last: bool) -> Iterator[Block]:
        """Sends what can be sent in order."""
        if not self._began:
            yield from self._begin(Started())
        while self._open or self._parts:
            if self._open is not None:
                for delta in self._open.waiting:
                    yield self._delta(delta)
                self._open.waiting.clear()
                if not last and not (self._parts and self._open.over):
                    return
                yield from self._close(self._open)
            if self._parts:
                self._open = self._parts.pop(0)
                self._index += 1
                block = self._open.block
                yield {"type": "content_block_start", "index": self._index, "content_block": block}

    def _close(self, part: _Part) -> Iterator[Block]:
        self._open = None
        if part.kept is not None:
            yield self._delta({"type": "signature_delta", "signature": sealed(part.kept)})
        yield {"type": "content_block_stop", "index": self._index}

    def _delta(self, delta: Block) -> Block:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}

    # What the events mean.

    def _take(self, event: Event) -> None:
        match event:
            case Text():
                if event.text:
                    self._text({"type": "text_delta", "text": event.text})
            case Refusal():
                self._refused.append(event.text)
            case Reasoning():
                self._reason(event)
            case ToolCall():
                self._call(event)
            case Attachments(name="annotations"):
                self._cite(event)
            case Finished():
                self._finished = event

    def _last(self) -> _Part | None:
        return self._parts[-1] if self._parts else self._open

    def _part(self, key: object, block: Block) -> _Part:
        """The block that is told last, if it is that of `key`; else a new one."""
        part = self._last()
        if part is None or part.key != key or part.signed:
            part = _Part(key, block)
            self._parts.append(part)
        return part

    def _text(self, delta: Block) -> None:
        block = {"type": "text", "text": "", "citations": None}
        self._part("text", block).waiting.append(delta)

    def _call(self, event: ToolCall) -> None:
        known = [self._open, *self._parts]
        part = next((one for one in known if one and one.key == event.index), None)
        if part is None:
            if event.index in self._calls:  # its arguments were a whole object already
                return
            self._calls.add(event.index)
            while self._behind:
                self._whole(self._behind.pop(0))
            id_ = event.id or f"call_{event.choice}_{event.index}"
            block = {"type": "tool_use", "id": id_, "name": event.name or "", "input": {}}
            part = _Part(event.index, {**block, "caller": {"type": "direct"}})
            self._parts.append(part)
        if event.arguments:
            part.given.append(event.arguments)
            part.waiting.append({"type": "input_json_delta", "partial_json": event.arguments})

    def _reason(self, event: Reasoning) -> None:
        for detail in event.details:
            self._detail(detail)
        told = any(string(one.get("text")) or string(one.get("summary")) for one in event.details)
        if event.text and not told:
            plain = {"type": "reasoning.text", "text": event.text, "format": "unknown", "index": 0}
            self._detail(plain)

    def _detail(self, detail: Block) -> None:
        claudes = detail.get("format") == FORMAT
        match detail.get("type"):
            case "reasoning.text":
                self._thought(detail, "text")
            case "reasoning.summary":
                self._thought(detail, "summary")
            case "reasoning.encrypted" if claudes:
                self._whole({"type": "redacted_thinking", "data": detail.get("data")})
            case "reasoning.server_tool_call" if claudes:
                self._server_tool(detail)
            case _:
                self._seal({"type": "redacted_thinking", "data": sealed(detail)})

    def _thought(self, detail: Block, name: str) -> None:
        """A piece of a thought; only its last one may tell whose it is."""
        text = None if self._hidden else string(detail.get(name))
        signature = string(detail.get("signature"))
        if text is None and signature is None:
            return
        key = (detail["type"], detail.get("index"))
        part = self._part(key, {"type": "thinking", "thinking": "", "signature": ""})
        if text is not None:
            part.waiting.append({"type": "thinking_delta", "thinking": text})
        if signature is not None and detail.get("format") == FORMAT:
            part.waiting.append({"type": "signature_delta", "signature": signature})
            part.kept, part.signed = None, True
        else:
            more = {one: value for one, value in detail.items() if one != name}
            part.kept = (part.kept or {}) | more

    def _seal(self, block: Block) -> None:
        """Gemini signs a text when it is over. Coding agents take the last block for the answer, so
        that is told only where a call follows, with which it has to come back.
        """
        last = self._last()
        if last is not None and last.key == "text":
            self._behind.append(block)
        else:
            self._whole(block)

    def _whole(self, block: Block) -> _Part:
        part = _Part(None, block, signed=True)
        self._parts.append(part)
        return part

    def _server_tool(self, detail: Block) -> None:
        """A use and its result; `events.py` wrote both down."""
        own: Block = {key: detail[key] for key in ("caller", "server_name") if key in detail}
        type_ = "mcp_tool_use" if "server_name" in own else "server_tool_use"
        named: Block = {
            "id": detail.get("tool_call_id"),
            "name": detail.get("tool_name"),
            "input": {},
        }
        use = self._whole({"type": type_, **named, **own})
        if given := string(detail.get("arguments")):
            use.waiting.append({"type": "input_json_delta", "partial_json": given})
        if result := parsed(detail.get("result")):
            self._whole(result)

    def _cite(self, event: Attachments) -> None:
        """Citations belong to the text before them; without one they are nobody's."""
        last = self._last()
        if last is None or last.key != "text":
            return
        for item in objects(list(event.items)):
            if cited := citation(item):
                last.waiting.append({"type": "citations_delta", "citation": cited})

    def _stop(self) -> str:
        """Why it ended: in the provider's words, where they are Anthropic's and tell of calls."""
        finished = self._finished
        if finished is not None and finished.native in _NATIVE:
            done = self._calls and finished.native == "end_turn"
            return "tool_use" if done else str(finished.native)
        reason = finished.reason if finished else "stop"
        if reason == "stop" and (self._calls or self._refused):
            return "tool_use" if self._calls else "refusal"
        return STOPS.get(reason, "end_turn")


def routed(bill: Bill) -> Block:
    """What a caller is told of the routing, where it asked to be."""
    return {} if bill.routing is None else {"openrouter_metadata": bill.routing}
