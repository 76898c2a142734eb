"""The answer of Gemini: bytes in, canonical events out, at AI Studio and Vertex alike.

Recorded streams have no end mark: the finish reason comes in the last event, and every event has
the usage so far. What follows from the parts is in `calls.py`, `server.py`, `sources.py` and
`counts.py`; where a signature stood is said as `replay.py` reads it.
"""

from typing import Any, Final

from msgspec.structs import replace

from proxy.dialects.chat.errors import failure
from proxy.dialects.gemini.calls import Calls
from proxy.dialects.gemini.counts import decode_logprobs, decode_usage
from proxy.dialects.gemini.family import family_of
from proxy.dialects.gemini.replay import FORMAT, ON_END, ON_IMAGE, ON_TEXT
from proxy.dialects.gemini.server import Server, encrypted
from proxy.dialects.gemini.sources import annotations
from proxy.dialects.reading import Decoder, parse
from proxy.dialects.values import mapping, objects, string
from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.events import (
    Attachments,
    Audio,
    Ended,
    Event,
    Failed,
    Finished,
    Reasoning,
    Started,
    Text,
    UsageReport,
)

REASONS: Final = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "JAILBREAK": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MALFORMED_FUNCTION_CALL": "error",
    "MALFORMED_RESPONSE": "error",
    "UNEXPECTED_TOOL_CALL": "error",
    "TOO_MANY_TOOL_CALLS": "error",
    "MISSING_THOUGHT_SIGNATURE": "error",
    "IMAGE_OTHER": "error",
    "OTHER": "error",
}
"""Google's finish reasons in OpenRouter's words; an unknown one reads as `stop`. What it could not
write down is an error: the answer is broken, and another endpoint may do better.
"""

_TIERS = {
    "standard": "default",
    "ON_DEMAND": "default",
    "ON_DEMAND_FLEX": "flex",
    "ON_DEMAND_PRIORITY": "priority",
    "PROVISIONED_THROUGHPUT": "provisioned",
}
"""Service tiers of the Gemini API, traffic types of Vertex: as OpenRouter calls them, the last one
recorded."""


def decoder(quirks: Quirks) -> Decoder:
    """A stream of Gemini's."""
    reader = Reader()
    return Decoder(lambda _, chunk, events: reader.read(chunk, events))


def decode_answer(body: bytes, quirks: Quirks) -> list[Event]:
    """The events of a whole answer.

    Raises GatewayError `provider_malformed` for what is no answer.
    """
    events: list[Event] = []
    Reader(whole=True).read(parse(body), events)
    if not any(isinstance(event, Finished | Failed) for event in events):
        raise GatewayError("provider_malformed", "The answer has no candidates.")
    events.append(Ended())
    return events


class Reader:
    """Turns objects into events and remembers what later ones need."""

    def __init__(self, *, whole: bool = False) -> None:
        self._whole = whole
        self._id = ""
        self._started: Started | None = None
        self._choices: dict[int, _Choice] = {}
        self._counted: object = None
        self._each = False  # whether every search is sold, not the answer that has any

    def read(self, chunk: dict[str, Any], events: list[Event]) -> None:
        """Appends the events of one object: a chunk of a stream, or a whole answer."""
        failed = _failure(chunk)
        if failed is None:
            self._start(chunk, events)
            candidates = objects(chunk.get("candidates"))
            for candidate in candidates:
                self._choice(candidate).read(candidate, self._id, events)
            if not candidates:
                self._blocked(chunk.get("promptFeedback"), events)
        if isinstance(model := chunk.get("modelVersion"), str):
            self._each = family_of(model).version >= (3, 0)
        self._usage(chunk.get("usageMetadata"), events)
        if failed is not None:
            events.append(failed)

    def _start(self, chunk: dict[str, Any], events: list[Event]) -> None:
        usage, before = mapping(chunk.get("usageMetadata")), self._started
        told = string(usage.get("serviceTier")) or string(usage.get("trafficType"))
        tier = _TIERS.get(told or "", told)
        if before is None:
            self._id = string(chunk.get("responseId")) or ""
        elif tier in (None, before.service_tier):
            return
        self._started = Started(self._id or None, None, tier)
        events.append(self._started)

    def _choice(self, candidate: dict[str, Any]) -> "_Choice":
        index = candidate.get("index")
        index = index if isinstance(index, int) and not isinstance(index, bool) else 0
        if index not in self._choices:
            self._choices[index] = _Choice(index, self._whole)
        return self._choices[index]

    def _blocked(self, feedback: object, events: list[Event]) -> None:
        """A prompt that was blocked is an answer without candidates, or without any more."""
        reason = string(feedback.get("blockReason")) if isinstance(feedback, dict) else None
        if reason is not None:
            self._choice({}).block(reason, events)

    def _usage(self, usage: object, events: list[Event]) -> None:
        searches = sum(choice.searches(self._each) for choice in self._choices.values())
        if not isinstance(usage, dict) or (usage, searches) == self._counted:
            return
        self._counted = usage, searches
        if (counts := decode_usage(usage)) is not None:
            events.append(UsageReport(replace(counts, web_searches=searches)))


class _Choice:
    """One candidate: what it said so far, as far as its end needs it."""

    def __init__(self, index: int, whole: bool) -> None:
        self._index = index
        self._whole = whole
        self._finished = False
        self._text: list[str] = []
        self._images = 0
        self._calls = Calls(index)
        self._server = Server(index)
        self._grounding: dict[str, Any] = {}
        self._citations: dict[str, Any] = {}

    def read(self, candidate: dict[str, Any], answer_id: str, events: list[Event]) -> None:
        content = candidate.get("content")
        first = len(events)
        for part in objects(content.get("parts")) if isinstance(content, dict) else ():
            self._part(part, answer_id, events)
        if isinstance(said := candidate.get("logprobsResult"), dict):
            self._logprobs(said, first, events)
        if isinstance(said := candidate.get("groundingMetadata"), dict):
            self._grounding |= said
        if isinstance(said := candidate.get("citationMetadata"), dict):
            self._citations |= said
        reason = string(candidate.get("finishReason"))
        if (reason is not None or self._whole) and not self._finished:
            self._finish(reason, candidate, events)

    def searches(self, each: bool) -> int:
        """How many searches of the web it is charged for. Those without words are not (Google's
        guide "Grounding with Google Search").
        """
        asked = self._grounding.get("webSearchQueries")
        said = asked if isinstance(asked, list) else []
        queries = {one for one in said if isinstance(one, str) and one}
        return len(queries) if each else min(1, len(queries))

    def block(self, native: str, events: list[Event]) -> None:
        """Ends it, for what was found in the prompt."""
        if not self._finished:
            self._finished = True
            events.append(Finished(self._index, "content_filter", native))

    def _part(self, part: dict[str, Any], answer_id: str, events: list[Event]) -> None:
        signature = string(part.get("thoughtSignature"))
        text = part.get("text")
        if isinstance(text, str):
            if part.get("thought") is True:
                self._thought(text, signature, events)
                return
            if text:
                self._text.append(text)
                events.append(Text(self._index, text))
            if signature:
                self._sign(encrypted(signature, ON_TEXT if text else ON_END), events)
        elif isinstance(call := part.get("functionCall"), dict):
            pieces = list(self._calls.read(call, answer_id))
            if signature and pieces:
                self._sign(encrypted(signature, 0, pieces[0].id), events)
            events.extend(pieces)
        elif isinstance(data := part.get("inlineData"), dict):
            self._media(data, signature, events)
        elif "executableCode" in part or "toolCall" in part:
            self._server.call(part, answer_id, signature)
        elif "codeExecutionResult" in part or "toolResponse" in part:
            self._detail(self._server.result(part, signature), events)

    def _thought(self, text: str, signature: str | None, events: list[Event]) -> None:
        if text:
            said = {"type": "reasoning.text", "text": text, "format": FORMAT, "index": 0}
            events.append(Reasoning(self._index, text, (said,)))
        if signature:
            mark = {"type": "reasoning.text", "signature": signature, "format": FORMAT, "index": 0}
            self._sign(mark, events)

    def _media(self, data: dict[str, Any], signature: str | None, events: list[Event]) -> None:
        mime, said = string(data.get("mimeType")) or "image/png", string(data.get("data"))
        if said is None:
            return
        if mime.startswith("audio/"):
            events.append(Audio(self._index, {"data": said}))
        else:
            image = {"type": "image_url", "image_url": {"url": f"data:{mime};base64,{said}"}}
            events.append(Attachments(self._index, "images", (image,)))
            if signature:
                self._sign(encrypted(signature, ON_IMAGE + self._images), events)
            self._images += 1

    def _logprobs(self, said: dict[str, Any], first: int, events: list[Event]) -> None:
        """Puts the tokens of this chunk to the last text of it."""
        if (logprobs := decode_logprobs(said)) is None:
            return
        for place in range(len(events) - 1, first - 1, -1):
            event = events[place]
            if isinstance(event, Text):
                events[place] = Text(self._index, event.text, logprobs)
                return
        events.append(Text(self._index, "", logprobs))

    def _finish(self, native: str | None, candidate: dict[str, Any], events: list[Event]) -> None:
        self._finished = True
        events.extend(self._calls.end())
        self._detail(self._server.end(), events)
        if self._grounding or self._citations:
            text = "".join(self._text)
            if cited := annotations(text, self._grounding, self._citations):
                events.append(Attachments(self._index, "annotations", cited))
        reason = REASONS.get(native or "STOP", "stop")
        if reason == "error":
            told = string(candidate.get("finishMessage"))
            message = told or f"The provider ended the answer with {native!r}."
            events.append(Failed(None, message, native, message))
            return
        if reason == "stop" and self._calls.any:
            reason = "tool_calls"  # Gemini says STOP for both
        events.append(Finished(self._index, reason, native))

    def _sign(self, detail: dict[str, Any], events: list[Event]) -> None:
        events.append(Reasoning(self._index, "", (detail,)))

    def _detail(self, details: tuple[dict[str, Any], ...], events: list[Event]) -> None:
        if details:
            events.append(Reasoning(self._index, "", details))


def _failure(chunk: dict[str, Any]) -> Failed | None:
    """The error in a chunk; Google's own word for it is its `status`."""
    failed = failure(chunk) if "error" in chunk else None
    error = chunk.get("error")
    word = string(error.get("status")) if isinstance(error, dict) else None
    if failed is None or word is None:
        return failed
    return Failed(failed.status, failed.message, word, failed.raw, failed.retry_after)
