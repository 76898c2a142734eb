"""The pieces of a chat's answer, and how they are put together again."""

from collections.abc import Iterable
from typing import Any

import orjson

from proxy.errors import GatewayError
from proxy.wire.events import (
    Attachments,
    Audio,
    Event,
    Finished,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)

GROWING = ("reasoning.text", "reasoning.summary")
GROWING_TEXTS = ("data", "transcript", "text", "summary")


def to_json(value: dict[str, Any]) -> bytes:
    """The bytes of an object. Raises GatewayError `provider_malformed` where it is too deep."""
    try:
        return orjson.dumps(value, default=str)
    except orjson.JSONEncodeError:  # a provider's own objects travel in it, however deep
        raise GatewayError("provider_malformed", "The answer can not be written as JSON.") from None


def call_piece(event: ToolCall) -> dict[str, Any]:
    type_, key = _call_words(event)
    said = {key: event.arguments}
    if event.name is None and event.id is None:
        return {"index": event.index, type_: said}
    # Every client joins pieces by index, yet some providers send a call without an id, and a
    # result must be able to name its call.
    return {
        "index": event.index,
        "id": event.id or f"call_{event.choice}_{event.index}",
        "type": type_,
        type_: {"name": event.name or "", **said},
    }


def _call_words(event: ToolCall) -> tuple[str, str]:
    """The type of a call, which is also the key of its object, and the key of its arguments."""
    return ("custom", "input") if event.custom else ("function", "arguments")


def plain_detail(text: str) -> dict[str, Any]:
    """Reasoning without structure; `unknown` is the format OpenRouter gives it."""
    return {"type": "reasoning.text", "text": text, "format": "unknown", "index": 0}


def sealed(details: Iterable[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """What is left of reasoning for who wishes not to see it: what nobody can read, and the
    provider wants back. OpenRouter leaves it too (recorded: `reasoning.exclude` before OpenAI).
    """
    return tuple(one for one in details if one.get("type") == "reasoning.encrypted")


class Message:
    """One choice of a whole answer, put together piece by piece."""

    def __init__(self, hide_reasoning: bool) -> None:
        self._hide_reasoning = hide_reasoning
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._reasoning: list[str] = []
        self._details: list[dict[str, Any]] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._audio: dict[str, Any] = {}
        self._attachments: dict[str, list[dict[str, Any]]] = {}
        self._logprobs: dict[str, Any] | None = None
        self._finished: Finished | None = None

    def add(self, event: Event) -> None:
        match event:
            case Text() | Refusal():
                (self._text if isinstance(event, Text) else self._refusal).append(event.text)
                if event.logprobs is not None:
                    self._logprobs = joined(self._logprobs, event.logprobs)
            case Reasoning():
                self._reasoning.append(event.text)
                plain = (plain_detail(event.text),) if event.text else ()
                for detail in event.details or plain:
                    self._add_detail(detail)
            case ToolCall():
                if call := self._calls.get(event.index):
                    type_, key = _call_words(event)
                    said = call.setdefault(type_, {})
                    said[key] = said.get(key, "") + event.arguments
                else:
                    self._calls[event.index] = call_piece(event)
            case Audio():
                self._audio = joined(self._audio, event.audio)
            case Attachments():
                self._attachments.setdefault(event.name, []).extend(event.items)
            case Finished():
                self._finished = event

    def _add_detail(self, detail: dict[str, Any]) -> None:
        """Streamed text is many entries with one index, the signature a last one."""
        last = self._details[-1] if self._details else {}
        grows = detail.get("type") in GROWING and isinstance(detail.get("index"), int)
        if grows and all(last.get(key) == detail.get(key) for key in ("type", "index")):
            self._details[-1] = joined(last, detail)
        else:
            self._details.append(detail)

    def render(self, index: int) -> dict[str, Any]:
        text, refusal = "".join(self._text), "".join(self._refusal)
        silent = self._calls or refusal or self._audio
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if silent and not text else text,
            "refusal": refusal or None,
        }
        reasoning = "".join(self._reasoning)
        if not self._hide_reasoning:
            message["reasoning"] = reasoning or None
        if self._calls:
            calls = self._calls.values()
            message["tool_calls"] = [{"type": "function", **call} for call in calls]
        if details := sealed(self._details) if self._hide_reasoning else self._details:
            message["reasoning_details"] = details
        message |= self._attachments
        if self._audio:
            message["audio"] = self._audio
        finished = self._finished
        return {
            "index": index,
            "logprobs": self._logprobs,
            "finish_reason": finished.reason if finished else None,
            "native_finish_reason": finished.native if finished else None,
            "message": message,
        }


def joined(known: dict[str, Any] | None, piece: dict[str, Any]) -> dict[str, Any]:
    """Two pieces of one object: lists and texts that grow are joined, the rest is the newer."""
    joined = dict(known or {})
    for name, value in piece.items():
        before = joined.get(name)
        if isinstance(before, list) and isinstance(value, list):
            joined[name] = [*before, *value]
        elif isinstance(before, str) and isinstance(value, str) and name in GROWING_TEXTS:
            joined[name] = before + value
        elif value is not None or name not in joined:
            joined[name] = value
    return joined
